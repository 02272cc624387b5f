"""Finish slides by --finish: have windows made over them, and blend these where they overlap.

One --finish is done after the other, each over all of the film, so that all servers are busy.
"""

from __future__ import annotations

import logging
import math
import os
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import mean

from stable_restyle.core import files
from stable_restyle.core.errors import WorkflowFault, counted
from stable_restyle.core.parallel import map_in_order
from stable_restyle.core.progress import Progress, task
from stable_restyle.core.records import DrawRecord
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.finish import FinishSpec
from stable_restyle.drawing.session import DrawingSpec
from stable_restyle.imaging import arrays, joins, subject
from stable_restyle.media import png, sequence, window_folder
from stable_restyle.media.frames import reading
from stable_restyle.media.split import check_free, size_of
from stable_restyle.media.window_folder import Join
from stable_restyle.plan import windows
from stable_restyle.run import finish
from stable_restyle.run.claim import Claimed
from stable_restyle.run.failures import SlidesMissing, slide_numbers
from stable_restyle.run.finish import Finish, Stage
from stable_restyle.run.team import Team
from stable_restyle.workdir.journal import Journal
from stable_restyle.workdir.layout import RunPaths

# Levels between two windows' pictures of a slide, on average, from which on a viewer may see one
# turn into the other: what a codec of latents loses alone is 2 to 5.
APART = 8.0

log = logging.getLogger(__name__)


def run(
    spec: DrawingSpec,
    claimed: Claimed,
    team: Team,
    paths: RunPaths,
    notes: Journal,
    progress: Progress,
) -> None:
    """Do each --finish of a run in its turn. All slides are there that the first one starts from.

    Raises SlidesMissing, WorkflowFault.
    """
    spec = replace(spec, frames=claimed.frames, scenes=[*claimed.scenes])
    for stage in claimed.stages:
        if stage.finish is not None:
            _Finishing(spec, claimed, stage, stage.finish, paths).run(team, notes, progress)


@dataclass(frozen=True)
class _Place:
    """A slide to blend."""

    slide: int
    shares: Sequence[tuple[range, float]]  # of the windows that show it, the earlier one first
    missing: bool  # otherwise windows are only compared there


@dataclass(frozen=True)
class _Finishing:
    """One --finish over all slides."""

    spec: DrawingSpec  # of the slides
    claimed: Claimed
    stage: Stage
    finish: Finish
    paths: RunPaths

    @property
    def _size(self) -> tuple[int, int]:
        return self.spec.frames.width, self.spec.frames.height

    @property
    def _count(self) -> int:
        return len(self.claimed.steps)

    def run(self, team: Team, notes: Journal, progress: Progress) -> None:
        """Have the windows made that are missing, blend them, and remove them."""
        window_folder.tidy(self.stage.windows)
        missing = finish.missing_of(self.stage, self._count, self._size)
        if missing:
            files.remove_all(self.paths.interp, [self.paths.measure_file.name])
            self._make_windows(missing, team, notes, progress)
        if there := self.stage.left():
            self._check_sizes(there, missing)
            self._blend(there, missing, progress)
            files.remove_folder(self.stage.windows)

    def _make_windows(
        self, missing: Collection[int], team: Team, notes: Journal, progress: Progress
    ) -> None:
        wanted = [step for step in self.stage.steps if any(s in missing for s in step.between)]
        left = self.stage.left()
        todo = [step for step in wanted if step.between not in left]
        if not todo:
            return
        spec, between = self._spec(), {step.key: step.between for step in todo}
        needed = size_of(sum(step.pictures for step in todo), *self._size)
        check_free(self.stage.windows, needed, f"{counted(len(todo), 'window')} of --finish")
        saved = deque[int]()

        def on_saved(key: int, by: DrawRecord) -> None:
            notes.window(between[key], by)
            saved.append(key)

        def tick(_: int) -> None:  # is told of slides alone
            count = len(saved)
            for _ in range(count):
                saved.popleft()
            progress.advance(count)

        name = f"Finishing with {os.path.basename(self.finish.workflow.name)}"
        with task(progress, name, len(wanted), "window", done=len(wanted) - len(todo)):
            failures = team.draw(spec, todo, range(self._count), on_saved, tick, None)
            tick(0)
        window_folder.tidy(self.stage.windows)  # of workers that died
        if failures:
            failures = list(_without_doubles(failures, missing))
            for failure in failures:
                notes.failed(failure.lost, str(failure.reason))
            raise SlidesMissing(failures, self._count)

    def _spec(self) -> DrawingSpec:
        """Return how windows are made, which may be done on other machines."""
        assert self.stage.source is not None  # the stage before is done
        source = self.stage.source.absolute()
        headers = (png.read_header(source / sequence.name(each)) for each in range(self._count))
        spec = FinishSpec(
            workflow=self.finish.key,
            folder=self.stage.windows.absolute(),
            rule=self.finish.rule,
            rate=self.claimed.rate,
            size=max((header.size for header in headers), key=math.prod),
            film_middle=self.spec.film_middle,
        )
        return replace(
            self.spec,
            slides=source,
            answers=None,
            drawn=None,
            seeds={},
            changes={},
            fill=None,
            finish=spec,
        )

    def _check_sizes(self, there: Collection[range], missing: Collection[int]) -> None:
        """Raise WorkflowFault if pictures of some windows are larger than those of others."""
        assert self.stage.slides is not None
        firsts = [
            (self.stage.windows / window_folder.name(each) / sequence.name(each[0]), each)
            for each in sorted(there, key=min)
        ]
        kept = sorted(set(range(self._count)).difference(missing))[:1]
        firsts += [
            (self.stage.slides / sequence.name(each), range(each, each + 1)) for each in kept
        ]
        (size, one), *others = [(png.read_header(path).size, slides) for path, slides in firsts]
        for its_size, other in others:
            if its_size != size:
                raise WorkflowFault(
                    f"--finish {self.finish.workflow.name}: the workflow makes pictures of "
                    f"{size[0]}x{size[1]} of {slide_numbers(one)}, and of "
                    f"{its_size[0]}x{its_size[1]} of {slide_numbers(other)}.\nLet it enlarge all "
                    "windows by the same factor."
                )

    def _blend(
        self, there: Collection[range], missing: Collection[int], progress: Progress
    ) -> None:
        """Write the slides that are missing, and note how far windows are from each other."""
        places = list(self._places(there, missing))
        steps: defaultdict[range, list[float]] = defaultdict(list)
        with (
            reading(self.spec.frames),
            task(progress, "Blending", len(places), "slide"),
        ):
            for found in map_in_order(self._blend_slide, places, progress.advance):
                for overlap, step in found:
                    steps[overlap].append(step)
        found_joins = {
            overlap[0]: Join(round(mean(its), 2), round(mean(its) / (len(overlap) + 1), 2))
            for overlap, its in steps.items()
        }
        noted = window_folder.read_note(self.stage.folder)
        window_folder.write_joins(self.stage.folder, {**noted, **found_joins})
        self._warn(found_joins)

    def _places(self, there: Collection[range], missing: Collection[int]) -> Iterator[_Place]:
        by_scene: defaultdict[int, list[range]] = defaultdict(list)
        for step in self.stage.steps:
            by_scene[step.scene].append(step.between)
        for scene in self.claimed.scenes:
            for slide in scene.slides:
                shares = windows.weights(by_scene[scene.number], slide)
                overlaps = len(shares) > 1 and all(each in there for each, _ in shares)
                if slide in missing or overlaps:
                    yield _Place(slide, shares, slide in missing)

    def _blend_slide(self, place: _Place) -> list[tuple[range, float]]:
        """Write a slide if it is missing; return the steps between its windows, by overlap."""
        assert self.stage.slides is not None
        folder, slide = self.stage.windows, place.slide
        shown = [each for each, _ in place.shares]
        pictures = [window_folder.read(folder, each, slide) for each in shown]
        frame, only = slide * self.spec.frames_per_slide, self.spec.only
        mask = None if only is None else only.read(frame)
        if place.missing:
            picture = arrays.blend(pictures, [share for _, share in place.shares])
            if mask is not None:
                picture = subject.compose(
                    picture, self.spec.frames.read(frame), subject.share(mask)
                )
            png.write(self.stage.slides / sequence.name(slide), picture)
        inside = mask if mask is None else arrays.enlarge(mask, pictures[0].shape)
        return [
            (range(later.start, earlier.stop), joins.step(one, other, inside))
            for (earlier, one), (later, other) in pairwise(zip(shown, pictures, strict=True))
        ]

    def _warn(self, found: Mapping[int, Join]) -> None:
        """Warn if windows show the same slides differently."""
        apart = {slide: its.before for slide, its in found.items() if its.before >= APART}
        if not apart:
            return
        worst = max(apart, key=apart.__getitem__)
        log.warning(
            "--finish %s: at %d of %s, neighbouring windows show the same slides differently, by "
            "%.0f levels of 255 at slide %d. They are blended, but a viewer may see one turn into "
            'the other. Look at these places on the report; a larger "overlap" in the workflow '
            "makes the change slower.",
            *(self.finish.workflow.name, len(apart), counted(len(found), "join")),
            *(apart[worst], worst + 1),
        )


def _without_doubles(failures: Sequence[Failure], missing: Collection[int]) -> Iterator[Failure]:
    """Yield what failed, each with the slides of its window that are in no earlier one."""
    lost = set[int]()
    for failure in sorted(failures, key=lambda each: each.step.slide):
        its = [each for each in failure.step.between if each in missing and each not in lost]
        lost.update(its)
        if its:
            yield replace(failure, lost=its)
