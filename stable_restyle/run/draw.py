"""Have a run's slides drawn, and composed if they are made from answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, are, bytes_in_words, cannot_write, counted
from stable_restyle.core.progress import COMPOSING, DRAWING, Progress, task
from stable_restyle.core.records import DrawRecord, Step, StepKind, slide_of
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.executor import Failure, MoreSteps
from stable_restyle.drawing.session import DrawingSpec, OnSaved, find_done
from stable_restyle.media import sequence, window_folder
from stable_restyle.media.frames import Frames
from stable_restyle.media.marking import NotSought
from stable_restyle.media.probe import Film
from stable_restyle.media.split import check_free, size_of
from stable_restyle.plan import answers, scenes, windows
from stable_restyle.run import fill, finish, given
from stable_restyle.run.claim import Claimed
from stable_restyle.run.coming import Coming
from stable_restyle.run.failures import SlidesMissing
from stable_restyle.run.team import Team
from stable_restyle.workdir.journal import Journal
from stable_restyle.workdir.layout import RunPaths

log = logging.getLogger(__name__)


def draw(
    spec: DrawingSpec,
    claimed: Claimed,
    coming: Coming,
    team: Team,
    settings: Settings,
    paths: RunPaths,
    notes: Journal,
    progress: Progress,
    *,
    asks: bool,
) -> tuple[Claimed, int]:
    """Make every slide that is missing, and copy given ones; return all, and how many were made.

    coming: has what is claimed meanwhile. asks: whether backends are there to be asked. Raises
    SlidesMissing.
    """
    window_folder.tidy(paths.windows)
    work = _Work(spec, claimed, coming, settings, paths)
    steps, done = work.begin()
    made = 0

    def on_saved(key: int, by: DrawRecord) -> None:
        if key in work.composed:
            notes.composed(key)
        elif key in work.windows:
            notes.window(work.windows[key], by)
        else:
            notes.drawn(slide_of(key), by)

    def tick(count: int) -> None:
        nonlocal made
        made += count
        progress.remark(work.looked_at())
        progress.advance(count)

    draws = any(step.uses_backend and step.key not in done for step in steps)
    if draws and not asks:
        raise UnusableInput(
            f"Answers have vanished from {paths.answers} meanwhile, or windows from "
            f"{paths.windows}.\nRun the command again to have them made again."
        )
    only_composed = work.missing and work.composed and not draws and claimed.is_whole
    name = COMPOSING if only_composed else DRAWING
    with task(progress, name, work.expected(), "slide", done=work.kept):
        failures = _draw_missing(spec, steps, done, team, on_saved, tick, work.more)
    window_folder.tidy(paths.windows)  # of workers that died
    if work.error is not None:
        claimed = coming.exported(work.error)
        spec = replace(spec, frames=claimed.frames, scenes=[*claimed.scenes])
        claimed, rest = draw(
            spec, claimed, coming, team, settings, paths, notes, progress, asks=asks
        )
        return claimed, made + rest
    for failure in failures:
        notes.failed(failure.lost, str(failure.reason))
    count = len(work.claimed.steps)
    if failures:
        raise SlidesMissing(failures, count)
    _check_slides(paths, count)
    return work.claimed, made


class _Work:
    """The steps of a run, as its scenes are claimed. A `MoreSteps`."""

    def __init__(
        self,
        spec: DrawingSpec,
        claimed: Claimed,
        coming: Coming,
        settings: Settings,
        paths: RunPaths,
    ) -> None:
        self.claimed = claimed
        self.kept = self.missing = 0  # slides of an earlier run, and those that it left undone
        self.composed: set[int] = set()  # keys
        self.windows: dict[int, range] = {}  # the slides of each, by its key
        self.error: NotSought | None = None
        self._spec, self._coming, self._settings, self._paths = spec, coming, settings, paths

    @property
    def more(self) -> MoreSteps | None:
        """Return what has further steps; None if all scenes are claimed."""
        return None if self.claimed.is_whole else self

    @property
    def arrived(self) -> Future[None]:
        return self._coming.arrived

    @property
    def breaks_off(self) -> bool:
        return self.error is not None

    def begin(self) -> tuple[list[Step], set[int]]:
        """Return the steps that are known, and the keys of those that are done."""
        claimed, paths = self.claimed, self._paths
        kept = _kept(paths, len(claimed.steps), self.expected(), claimed.frames)
        missing = {step.slide for step in claimed.steps} - kept
        if missing or self.more:
            files.remove_all(paths.interp, [paths.measure_file.name])  # it describes other slides
        finish.discard(claimed.stages, missing)
        self.kept = len(kept.union(claimed.given))
        self.missing = len(missing.difference(claimed.given))
        steps, done = self._add(claimed.steps, kept, window_folder.find(paths.windows))
        share = len(claimed.steps) / self.expected()
        if self._spec.fill is not None:
            _check_room_for_windows(self._spec.fill.folder, claimed.frames, steps, done, share)
        if self._spec.answers is not None:
            done |= _answers(self._spec, steps, done, paths, share)
        return steps, done

    def take(self) -> list[Step] | None:
        """Return the steps of scenes that were claimed since the last time; None if none follow.

        Nothing of these was made by an earlier run, which has noted all scenes that it drew.
        """
        try:
            claimed = self._coming.take()
        except NotSought as error:
            self.error = error
            return None
        if claimed is None:
            return None
        before = self.claimed
        self.claimed = claimed
        self._spec.scenes.extend(claimed.scenes[len(before.scenes) :])
        steps, done = self._add(claimed.steps[len(before.steps) :], (), ())
        return [step for step in steps if step.key not in done]

    def expected(self) -> int:
        """Return how many slides there are; as long as the film is looked through, about."""
        source, count = self.claimed.source, len(self.claimed.steps)
        if self.claimed.is_whole or not isinstance(source, Film):
            return count
        return max(count, scenes.slide_count(source.frames, self._settings.frames_per_slide))

    def looked_at(self) -> str:
        """Return how much of the film is looked at, in words; empty if that is all."""
        source = self.claimed.source
        if self.claimed.is_whole or not isinstance(source, Film):
            return ""
        return f"{min(100 * self._coming.looked_at // source.frames, 99)} % of the film looked at"

    def _add(
        self, slides: Sequence[Step], kept: Collection[int], there: Collection[range]
    ) -> tuple[list[Step], set[int]]:
        """Return the steps of slides, and the keys of those that are done; copy given slides.

        kept: slides that are finished. there: the slides of each window that is.
        """
        claimed = self.claimed
        given.put(
            claimed.given, {step.slide for step in slides}.difference(kept), self._paths.slides
        )
        done, steps = {*kept, *claimed.given}, claimed.every(slides)
        self.composed |= {step.key for step in steps if step.kind is StepKind.COMPOSE}
        self.windows |= {step.key: step.between for step in steps if step.pictures}
        return steps, done | answers.done(steps, done) | windows.done(slides, done, there)


def _answers(
    spec: DrawingSpec, steps: Sequence[Step], done: Collection[int], paths: RunPaths, share: float
) -> set[int]:
    """Return the keys of the answers that are there; log what answers take.

    share: of the film's slides that have these steps. Raises UnusableInput if the disk is too full
    for the answers of all.
    """
    wanted = [step for step in steps if step.kind is StepKind.ANSWER and step.key not in done]
    found = find_done(spec, wanted)
    if found:
        log.info("%s %s there already.", counted(len(found), "answer"), are(len(found)))
    if missing := round((len(wanted) - len(found)) / share):
        frames, folder = spec.frames, paths.answers
        needed = size_of(missing, frames.width, frames.height)
        check_free(folder, needed, f"{counted(missing, 'answer')} of the model")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        log.info(
            "Keeping the model's answers in %s, about %s, so that slides can be composed again "
            "without it.",
            folder,
            bytes_in_words(needed),
        )
    return found


def _check_room_for_windows(
    folder: Path, frames: Frames, steps: Sequence[Step], done: Collection[int], share: float
) -> None:
    """Raise UnusableInput if the disk is too full for the windows that are missing.

    share: of the film's slides that have these steps.
    """
    wanted = [step.pictures for step in steps if step.pictures and step.key not in done]
    pictures, count = round(sum(wanted) / share), round(len(wanted) / share)
    if count:
        needed = size_of(pictures, frames.width, frames.height)
        check_free(folder, needed, f"{counted(count, 'window')} of the model")


def _draw_missing(
    spec: DrawingSpec,
    steps: Sequence[Step],
    done: Collection[int],
    team: Team,
    on_saved: OnSaved,
    tick: Callable[[int], None],
    more: MoreSteps | None,
) -> list[Failure]:
    """Do the steps that are not done; the film's first middle before all, if others load it."""
    first = [step for step in steps if step.slide == spec.film_middle and step.uses_backend]
    if "film" not in spec.roles or all(step.key in done for step in first):
        return team.draw(spec, steps, done, on_saved, tick, more)
    if failures := team.draw(spec, first, done, on_saved, tick, None):
        missing = sorted({step.slide for step in steps if step.key not in done})
        return [replace(failures[0], lost=missing)]
    return team.draw(spec, steps, {*done, *(step.key for step in first)}, on_saved, tick, more)


def _kept(paths: RunPaths, known: int, count: int, frames: Frames) -> set[int]:
    """Return the slides that are finished, and log how many; warn about unusable ones.

    known: how many may be finished. count: of the whole film.
    """
    finished, unfit = sequence.find_slides(paths.slides, known, (frames.width, frames.height))
    for line in unfit:
        log.warning("%s It is drawn again.", line)
    if finished:
        kept, whole = len(finished), counted(count, "slide")
        log.info("%d of %s %s finished and kept.", kept, whole, are(kept))
    return finished


def spec_of(
    settings: Settings,
    claimed: Claimed,
    variants: WorkflowVariants,
    seeds: Mapping[int, int],
    paths: RunPaths,
) -> DrawingSpec:
    """Return what is to be drawn; paths are absolute, since a worker may run in another folder."""
    mask_strength, mask_size = settings.mask
    return DrawingSpec(
        frames=claimed.frames,
        frames_per_slide=settings.frames_per_slide,
        motion=settings.motion,
        mask_strength=mask_strength,
        mask_size=mask_size,
        anchor=settings.anchor_share,
        keys=settings.keys,
        scenes=[*claimed.scenes],
        seeds=seeds,
        changes=claimed.input_snapshot.values,
        slides=paths.slides.absolute(),
        answers=paths.answers.absolute() if claimed.input_snapshot.has_answers else None,
        drawn=claimed.drawn and claimed.drawn.absolute(),
        report=paths.report_folder.absolute(),
        steps_folder=paths.interp.absolute() if settings.save_interp else None,
        roles=frozenset(role for workflow in variants.every for role in workflow.roles),
        pictures=variants.pictures,
        film_middle=claimed.scenes[0].middle,
        only=claimed.masks,
        given=frozenset(claimed.given),
        fill=fill.spec(variants, paths, claimed.rate),
    )


def _check_slides(paths: RunPaths, count: int) -> None:
    """Raise UnusableInput if slides that were finished are gone."""
    if gone := set(range(count)) - sequence.indices(paths.slides):
        raise UnusableInput(
            f"{len(gone)} of {counted(count, 'slide')} vanished from {paths.slides} meanwhile, "
            f"such as {sequence.name(min(gone))}.\nRun the command again to have them drawn again."
        )
