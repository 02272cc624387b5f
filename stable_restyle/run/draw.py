"""Have a run's slides drawn, and composed if they are made from answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, are, bytes_in_words, cannot_write, counted
from stable_restyle.core.progress import COMPOSING, DRAWING, Progress, task
from stable_restyle.core.records import DrawRecord, Scene, Step, StepKind, slide_of
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.pictures import DrawnPictures
from stable_restyle.drawing.session import DrawingSpec, OnSaved, find_done
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.media import sequence, window_folder
from stable_restyle.media.frames import Frames
from stable_restyle.media.probe import Film
from stable_restyle.media.split import check_free, size_of
from stable_restyle.plan import answers as plan_answers
from stable_restyle.plan import windows
from stable_restyle.run import deflicker, fill, given, prepare
from stable_restyle.run.failures import SlidesMissing
from stable_restyle.run.given import GivenSlide
from stable_restyle.run.team import Team
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.journal import Journal
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.settings_file import SettingsSnapshot

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claimed:
    """What a run draws and from what, as claimed in the locked working folder."""

    source: Film | Frames
    film: SettingsSnapshot  # the film's marks, as it was when the run began; empty for frames
    frames: Frames
    scenes: Sequence[Scene]
    given: Mapping[int, GivenSlide]
    input_snapshot: InputSnapshot
    steps: Sequence[Step]
    masks: SubjectMasks | None  # of --only
    drawn: DrawnPictures | None

    def every(self) -> list[Step]:
        """Return the steps of all slides, and of the answers and windows that a model makes."""
        snapshot, steps = self.input_snapshot, list(self.steps)
        if snapshot.is_composed:
            steps = plan_answers.split(steps, middle_first=snapshot.middle_first)
        if not snapshot.has_answers:
            steps = [each for each in steps if each.kind is not StepKind.ANSWER]
        return list(windows.with_windows(steps))


def draw(
    spec: DrawingSpec,
    claimed: Claimed,
    team: Team,
    settings: Settings,
    paths: RunPaths,
    notes: Journal,
    progress: Progress,
    *,
    asks: bool,
) -> int:
    """Make every slide that is missing, and copy given ones; return how many were made.

    asks: whether backends are there to be asked. Raises SlidesMissing.
    """
    count = len(claimed.steps)
    kept = _kept(paths, count, spec.frames)
    missing = {step.slide for step in claimed.steps} - kept
    if missing:
        files.remove_all(paths.interp, [paths.measure_file.name])  # it describes other slides
    if settings.deflicker or spec.only:
        deflicker.discard(paths, spec.scenes, missing, settings.deflicker)
    given.put(claimed.given, missing, paths.slides)
    kept, missing = kept.union(claimed.given), missing.difference(claimed.given)
    window_folder.tidy(paths.windows)
    steps = claimed.every()
    done = _done(spec, steps, kept, paths)
    composed = {step.key for step in steps if step.kind is StepKind.COMPOSE}
    made = {step.key: step.between for step in steps if step.kind is StepKind.WINDOW}

    def on_saved(key: int, by: DrawRecord) -> None:
        if key in composed:
            notes.composed(key)
        elif key in made:
            notes.window(made[key], by)
        else:
            notes.drawn(slide_of(key), by)

    draws = any(step.uses_backend and step.key not in done for step in steps)
    if draws and not asks:
        raise UnusableInput(
            f"Answers have vanished from {paths.answers} meanwhile, or windows from "
            f"{paths.windows}.\nRun the command again to have them made again."
        )
    name = COMPOSING if missing and composed and not draws else DRAWING
    with task(progress, name, count, "slide", done=len(kept)):
        failures = _draw_missing(spec, steps, done, team, on_saved, progress.advance)
    window_folder.tidy(paths.windows)  # of workers that died
    for failure in failures:
        notes.failed(failure.lost, str(failure.reason))
    if failures:
        raise SlidesMissing(failures, count)
    _check_slides(paths, count)
    return len(missing)


def _done(
    spec: DrawingSpec, steps: Sequence[Step], kept: Collection[int], paths: RunPaths
) -> set[int]:
    """Return the keys of steps that are not needed any more.

    These are kept slides, and all answers and windows that are there. Log what the answers take.
    Raises UnusableInput if the disk is too full for what is missing.
    """
    done = {*kept, *plan_answers.done(steps, kept)}
    if spec.fill is not None:
        done |= windows.done(steps, kept, window_folder.find(spec.fill.folder))
        _check_room_for_windows(spec.fill.folder, spec.frames, steps, done)
    if spec.answers is None:
        return done
    wanted = [step for step in steps if step.kind is StepKind.ANSWER and step.key not in done]
    found = find_done(spec, wanted)
    if found:
        log.info("%s %s there already.", counted(len(found), "answer"), are(len(found)))
    if missing := len(wanted) - len(found):
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
    return done | found


def _check_room_for_windows(
    folder: Path, frames: Frames, steps: Sequence[Step], done: Collection[int]
) -> None:
    """Raise UnusableInput if the disk is too full for the windows that are missing."""
    wanted = [step for step in steps if step.pictures and step.key not in done]
    if wanted:
        needed = size_of(sum(step.pictures for step in wanted), frames.width, frames.height)
        check_free(folder, needed, f"{counted(len(wanted), 'window')} of the model")


def _draw_missing(
    spec: DrawingSpec,
    steps: Sequence[Step],
    done: Collection[int],
    team: Team,
    on_saved: OnSaved,
    tick: Callable[[int], None],
) -> list[Failure]:
    """Do the steps that are not done; the film's first middle before all, if others load it."""
    first = [step for step in steps if step.slide == spec.film_middle and step.uses_backend]
    if "film" not in spec.roles or all(step.key in done for step in first):
        return team.draw(spec, steps, done, on_saved, tick)
    if failures := team.draw(spec, first, done, on_saved, tick):
        missing = sorted({step.slide for step in steps if step.key not in done})
        return [replace(failures[0], lost=missing)]
    return team.draw(spec, steps, {*done, *(step.key for step in first)}, on_saved, tick)


def _kept(paths: RunPaths, count: int, frames: Frames) -> set[int]:
    """Return the slides that are finished, and log how many; warn about unusable ones."""
    finished, unfit = sequence.find_slides(paths.slides, count, (frames.width, frames.height))
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
    frames = claimed.frames
    mask_strength, mask_size = settings.mask
    rate = prepare.frame_rate(claimed.source, settings.rate)
    return DrawingSpec(
        frames=frames.part(range(frames.count)),
        frames_per_slide=settings.frames_per_slide,
        motion=settings.motion,
        mask_strength=mask_strength,
        mask_size=mask_size,
        anchor=settings.anchor_share,
        keys=settings.keys,
        scenes=claimed.scenes,
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
        fill=fill.spec(variants, paths, rate / settings.frames_per_slide),
    )


def _check_slides(paths: RunPaths, count: int) -> None:
    """Raise UnusableInput if slides that were finished are gone."""
    if gone := set(range(count)) - sequence.indices(paths.slides):
        raise UnusableInput(
            f"{len(gone)} of {counted(count, 'slide')} vanished from {paths.slides} meanwhile, "
            f"such as {sequence.name(min(gone))}.\nRun the command again to have them drawn again."
        )
