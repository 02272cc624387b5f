"""Find the frames, scenes and keys of a run, and check that earlier slides match them.

Scenes of a film are claimed as they are found, unless a run needs all of them first. What is
claimed is noted in the working folder before it is drawn, so that a run that was stopped can go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.progress import LockCheckedProgress, Progress, task
from stable_restyle.core.records import Keys, Scene, Step, StepKind
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.pictures import DrawnPictures
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.media.film_frames import FilmFrames
from stable_restyle.media.frames import Frames
from stable_restyle.media.marking import NotSought
from stable_restyle.media.probe import Film
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.plan import answers as plan_answers
from stable_restyle.plan import keyframes, scenes, windows
from stable_restyle.run import drawn, film_source, finish, only, prepare, stages
from stable_restyle.run.film_source import Found
from stable_restyle.run.finish import Stage
from stable_restyle.run.given import GivenSlide
from stable_restyle.run.inputs import (
    check_before_split,
    check_encoding,
    check_scenes,
    explain_fps,
    explain_tone,
    given_slides,
    keyframe_kind,
    snapshot_input,
    source_snapshot,
)
from stable_restyle.run.stages import Wanted
from stable_restyle.workdir import input_file, manifest, settings_file
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.settings_file import SettingsSnapshot

log = logging.getLogger(__name__)


class RunEnds(Exception):
    """Scenes are not wanted any more."""


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
    is_whole: bool  # whether these are all scenes of the film
    rate: Fraction  # slides per second
    stages: Sequence[Stage]  # what is made of the slides once they are drawn

    def every(self, slides: Sequence[Step]) -> list[Step]:
        """Return the steps of slides, and of the answers and windows that these are made from."""
        snapshot, steps = self.input_snapshot, list(slides)
        if snapshot.is_composed:
            steps = plan_answers.split(steps, middle_first=snapshot.middle_first)
        if not snapshot.has_answers:
            steps = [each for each in steps if each.kind is not StepKind.ANSWER]
        return list(windows.with_windows(steps))


@dataclass(frozen=True)
class Source:
    """What a run is made of, claimed before its frames and scenes are known."""

    source: Film | Frames
    film: SettingsSnapshot  # as in Claimed
    noted: SettingsSnapshot  # settings.json
    left: RunPaths  # as the last run left them
    fresh: bool  # whether slides are discarded by which frames and scenes they show
    engine: str  # what draws

    @property
    def digest(self) -> str:
        """Return the SHA-256 of a film."""
        return str(self.film.get("film_sha256"))


def claim_source(
    settings: Settings,
    variants: WorkflowVariants,
    decided: SettingsSnapshot,
    engine: str,
    paths: RunPaths,
    progress: Progress,
) -> Source:
    """Check SOURCE, and that the slides of an earlier run were made with these settings."""
    stages.finish_move(paths)
    left = stages.as_left(paths)
    source = prepare.look(paths, settings.rate, progress)
    explain_fps(source, settings.frames_per_slide)
    explain_tone(source)
    check_before_split(settings, variants, source)
    check_encoding(settings, paths, source)
    film = (
        settings_file.film_marks(source.path, paths, progress) if isinstance(source, Film) else {}
    )
    decides = {**decided, **source_snapshot(source, film)}
    noted, started_over = manifest.claim(left, decides, fresh=settings.fresh)
    noted = {**noted, settings_file.FINISH: list(settings.finish)}
    return Source(source, film, noted, left, settings.fresh and not started_over, engine)


class Claims:
    """Claims the scenes of a run: all at once, or more each time as they are found."""

    def __init__(
        self,
        settings: Settings,
        variants: WorkflowVariants,
        of: Source,
        paths: RunPaths,
        progress: LockCheckedProgress,
    ) -> None:
        self._settings, self._variants, self._of, self._paths = settings, variants, of, paths
        self._progress = progress
        self._given = given_slides(settings, of.source)
        self._keys: Keys | None = None
        self._masks: FrameFolder | None = None
        self._claimed: Claimed | None = None
        self._folders: Sequence[Path] = ()  # of the drawn slides, and of each stage

    def found(self, stopped: Callable[[], bool]) -> Generator[Claimed | int, None, None]:
        """Yield what can be drawn: all, or as scenes are found, each time with all those before.

        The first one is waited for in the main thread, which shows the progress; the others may
        come in another thread, with the number of frames looked at in between. stopped: whether
        they are not wanted any more. Raises NotSought, see `exported`.
        """
        settings = self._settings
        why_whole = self._why_whole()
        found = prepare.find(
            self._of.source,
            self._of.digest,
            self._paths,
            settings.scene_threshold,
            settings.frames_per_slide,
            self._progress,
            keep=settings.keep_frames,
            whole=bool(why_whole),
        )
        yield self._claim(self._first(found, why_whole), self._progress)
        unseen = LockCheckedProgress(_Unseen(stopped), self._progress.check)
        for each in found:
            assert self._claimed is not None
            if each.is_whole or len(each.bounds) > len(self._claimed.input_snapshot.bounds):
                yield self._claim(each, unseen)
            yield each.looked_at

    def exported(self, why: NotSought) -> Claimed:
        """Export the frames of a film that cannot be sought exactly; return what can be drawn: all.

        Slides that are drawn by now stay if their frames are the same in the export.
        """
        source, paths, settings = self._of.source, self._paths, self._settings
        assert isinstance(source, Film)
        threshold, per_slide = settings.scene_threshold, settings.frames_per_slide
        frames = film_source.export(source, paths, threshold, per_slide, self._progress, str(why))
        bounds = prepare.boundaries(source, frames, paths, threshold, self._progress)
        return self._claim(Found(frames, bounds, frames.count, is_whole=True), self._progress)

    def _first(self, found: Iterator[Found], why_whole: str) -> Found:
        """Return the first of what is found that has scenes, and those that options name."""
        named = max(self._variants.scene_changes, default=1)
        each = next(found)
        if each.is_whole or len(self._scenes(each)) >= named:
            return each
        if why_whole:
            log.info(
                "The whole film is looked through before its first slide is drawn: %s.", why_whole
            )
        assert isinstance(self._of.source, Film)
        done, count = each.looked_at, self._of.source.frames
        with task(self._progress, "Finding scenes", count, "frame", done=done):
            for each in found:
                self._progress.advance(each.looked_at - done)
                done = each.looked_at
                if each.is_whole or len(self._scenes(each)) >= named:
                    break
        return each

    def _why_whole(self) -> str:
        """Return why no scene can be drawn before all are found; empty if they can."""
        settings, source = self._settings, self._of.source
        if not isinstance(source, Film):
            return ""
        by_options = {
            "--redo names slides of the whole film": settings.redo,
            "--at-most counts all its drawings": settings.at_most is not None,
            "--drawn has pictures for the whole film": settings.drawn,
            "--set changes over the time of the film": self._variants.timed,
            "--fill-only needs a picture in every scene": settings.fill_only and settings.given,
            "--fresh compares all its frames": self._of.fresh,
        }
        by_folder = film_source.why_whole(source, self._of.digest, self._paths, self._of.left)
        return next((why for why, holds in by_options.items() if holds), by_folder)

    def _scenes(self, found: Found) -> list[Scene]:
        return scenes.find_scenes(found.bounds, self._settings.frames_per_slide, self._given)

    def _claim(self, found: Found, progress: Progress) -> Claimed:
        """Claim what is found, which has all of what was found before."""
        settings, paths, count = self._settings, self._paths, found.bounds[-1]
        if found.is_whole:
            self._given = given_slides(settings, found.frames)
        its_scenes = self._scenes(found)
        check_scenes(settings, self._variants, its_scenes)
        kind = keyframe_kind(settings, self._variants, self._given)
        self._choose_keys(found.frames, its_scenes, kind, progress)
        if self._claimed is None:
            self._masks = only.find(settings, paths, progress)
        if self._masks is not None:
            only.check_count(settings, self._masks.count, count)
        its_drawn = drawn.find(settings, paths, found.frames, progress)
        if its_drawn is not None:
            drawn.explain(its_drawn, sum(len(scene.slides) for scene in its_scenes))
        snapshot = snapshot_input(
            settings,
            self._variants,
            self._of.source,
            found.frames,
            found.bounds,
            self._given,
            self._keys,
            self._masks,
            its_drawn,
        )
        self._note(
            snapshot, is_exported=found.is_whole and not isinstance(found.frames, FilmFrames)
        )
        masks = only.subject_masks(settings, self._masks)
        if found.is_whole:
            prepare.save_keys(self._keys, its_scenes, paths, kind, drawn=its_drawn is not None)
        if found.is_whole or self._claimed is None:
            digests = finish.digests(self._variants, self._of.engine, found.bounds)
            wanted = Wanted(settings.deflicker, found.bounds, masks, digests)
            self._folders = stages.settle(paths, wanted)
        self._claimed = Claimed(
            source=self._of.source,
            film=self._of.film,
            frames=found.frames,
            scenes=its_scenes,
            given=self._given,
            input_snapshot=snapshot,
            steps=snapshot.steps(settings.frames_per_slide),
            masks=masks,
            drawn=its_drawn,
            is_whole=found.is_whole,
            rate=prepare.frame_rate(self._of.source, settings.rate) / settings.frames_per_slide,
            stages=finish.stages_of(
                finish.of(self._variants), paths, self._folders, its_scenes, settings.deflicker
            ),
        )
        return self._claimed

    def _choose_keys(
        self,
        frames: Frames,
        its_scenes: Sequence[Scene],
        kind: keyframes.Kind | None,
        progress: Progress,
    ) -> None:
        """Choose the keys of the scenes that are new."""
        before = self._keys
        new = its_scenes[len(self._claimed.scenes) if self._claimed and before else 0 :]
        per_slide = self._settings.frames_per_slide
        chosen = prepare.choose_keys(frames, new, self._paths, per_slide, kind, progress)
        self._keys = chosen if before is None or chosen is None else before.union(chosen)

    def _note(self, snapshot: InputSnapshot, *, is_exported: bool) -> None:
        """Note what is claimed; the first time, check that earlier slides were made from it."""
        self._progress.check()
        of, paths, per_slide = self._of, self._paths, self._settings.frames_per_slide
        if self._claimed is None:
            manifest.claim_input(of.left, of.noted, snapshot, per_slide, fresh=of.fresh)
        elif not is_exported:
            input_file.write(paths, snapshot)
        else:
            left = stages.as_left(paths)
            try:
                manifest.claim_input(left, of.noted, snapshot, per_slide, fresh=False)
            except UnusableInput:  # the film is decoded differently each time: draw those again
                manifest.claim_input(left, of.noted, snapshot, per_slide, fresh=True)


@dataclass(frozen=True)
class _Unseen:
    """Progress that is not shown. Raises an error once what it is about is not wanted any more."""

    stopped: Callable[[], bool]

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        self._check()

    def advance(self, count: int) -> None:
        self._check()

    def remark(self, text: str) -> None:
        self._check()

    def end(self) -> None:
        pass

    def _check(self) -> None:
        if self.stopped():
            raise RunEnds
