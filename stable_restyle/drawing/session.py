"""Draw the slides of a run on a pool of backends, and write them.

Used on this machine and on the workers of a cluster alike, so a DrawingSpec is plain data that can
be pickled. The caller chooses the slides and is called back for each.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event, Semaphore
from typing import TypeAlias, TypeVar

from stable_restyle.backends.base import WindowPictures
from stable_restyle.backends.pool import Pool
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import (
    DrawRecord,
    Job,
    Pixels,
    Scene,
    Slide,
    Step,
    StepKind,
    UserPicture,
    WindowJob,
    answer_key,
)
from stable_restyle.core.settings import FAST_FLOW
from stable_restyle.drawing.executor import Failure, MoreSteps, Work, execute
from stable_restyle.drawing.finish import FinishMaker, FinishSpec
from stable_restyle.drawing.pictures import DrawnPictures
from stable_restyle.drawing.slide import DriftCorrection, Prepared, SlideDrawer
from stable_restyle.drawing.store import Save, SlideStore
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.drawing.window import FillSpec, WindowMaker
from stable_restyle.imaging import arrays, optical_flow
from stable_restyle.imaging.optical_flow import FlowPair
from stable_restyle.media import png, sequence, window_folder
from stable_restyle.media.frames import Frames, reading
from stable_restyle.motion.choose import choose
from stable_restyle.plan import windows
from stable_restyle.plan.schedule import Schedule
from stable_restyle.report.thumbnails import Thumbnails

# One core is left for what happens between an answer and the next request.
HELPERS = max(cores() - 1, 1)
# In the film: where a slide is drawn, where the next one is prepared, and one to pass on to.
_PLACES_PER_SLOT = 3

log = logging.getLogger(__name__)

Made = TypeVar("Made")

# Called with the key of each step whose picture is written.
OnSaved: TypeAlias = Callable[[int, DrawRecord], None]


@dataclass(frozen=True)
class DrawingSpec:
    """What the slides of a run are drawn from, and how."""

    frames: Frames
    frames_per_slide: int
    motion: str  # the value of --motion
    mask_strength: float
    mask_size: int  # pixels
    anchor: float  # 0..1
    keys: int  # the value of --keys
    scenes: list[Scene]  # those known so far, as long as more steps come
    seeds: Mapping[int, int]  # of the slides that have their own
    changes: Mapping[int, Sequence[str]]  # of the workflow, for single slides: ID.INPUT=VALUE
    slides: Path  # folder
    answers: Path | None  # folder of the answers; None: slides are drawn from warped ones
    drawn: DrawnPictures | None  # the answers of --drawn, in place of those
    report: Path  # folder of the thumbnails
    steps_folder: Path | None  # for warped pictures, masks and guides; None: do not write them
    roles: frozenset[str]  # of the pictures that the workflow may load
    pictures: Sequence[UserPicture]  # those for scenes come last
    film_middle: int  # the middle slide of the film's first scene
    only: SubjectMasks | None  # the part to restyle; None: all
    given: frozenset[int]  # slides that are pictures of the user, whatever was drawn earlier
    fill: FillSpec | None = None  # windows for the slides between keys; None: no windows
    finish: FinishSpec | None = None  # windows over the slides, which are finished already


def find_done(spec: DrawingSpec, steps: Sequence[Step]) -> set[int]:
    """Return the keys of the steps whose pictures are finished."""
    size = (spec.frames.width, spec.frames.height)
    answers = {step.slide for step in steps if step.kind is StepKind.ANSWER}
    slides = {step.slide for step in steps if step.is_slide}
    done = sequence.find_finished(spec.slides, slides, size)
    if spec.answers is not None:
        done |= {*map(answer_key, sequence.find_finished(spec.answers, answers, size))}
    if spec.finish is not None:
        there = window_folder.find(spec.finish.folder)
        done |= {step.key for step in steps if step.pictures and step.between in there}
    if spec.fill is not None:
        done |= windows.done(steps, done, window_folder.find(spec.fill.folder))
    return done


class DrawingSession:
    """Draws slides on a pool of backends. Thread-safe."""

    def __init__(
        self,
        spec: DrawingSpec,
        pool: Pool,
        on_saved: OnSaved,
        *,
        writer: str = "",
        dry: Event | None = None,
    ) -> None:
        """Prepare to draw.

        on_saved: called from several threads. writer: names this process in the names of partly
        written files, where other processes write into the same folder. dry: as for `execute`.
        """
        by_answers = spec.answers is not None or spec.drawn is not None
        # Composing takes all cores: the backends that are waited for take none.
        self._fillers = cores() if by_answers else HELPERS
        at_once = max(pool.slots, self._fillers)
        frames = self._frames = spec.frames.serving(_PLACES_PER_SLOT * at_once)

        def read_frame(slide: int) -> Pixels:
            return frames.read(slide * spec.frames_per_slide)

        slide_frames = LRUCache(read_frame, size=3 * at_once)
        subjects = (
            None
            if (only := spec.only) is None
            else LRUCache(lambda slide: only.read(slide * spec.frames_per_slide), size=3 * at_once)
        )
        self._spec, self._pool, self._on_saved, self._dry = spec, pool, on_saved, dry
        self._thumbnails = Thumbnails(
            spec.report, frames, spec.slides, spec.frames_per_slide, spec.scenes
        )
        size = (frames.width, frames.height)
        self._by_answers = by_answers
        references = _References(spec, self._reference, pool.slots).of
        at_own_size = by_answers or spec.finish is not None
        self._store = SlideStore(spec.slides, None if at_own_size else size, at_once, writer)
        self._answers = SlideStore(spec.answers or spec.slides, None, at_once, writer)
        self._drawer = SlideDrawer(
            frames=frames,
            frames_per_slide=spec.frames_per_slide,
            motion=choose(spec.motion, by_answers=by_answers),
            mask_strength=spec.mask_strength,
            mask_size=spec.mask_size,
            anchor=spec.anchor,
            drift=None if by_answers else _drift_correction(spec, frames, self._store),
            ask=self._ask,
            references=references,
            store=self._store,
            answers=self._answer if spec.drawn is None else spec.drawn.read,
            slide_frames=slide_frames,
            subjects=subjects,
            flow_pairs=LRUCache(
                partial(_flow_to_next, slide_frames, spec.motion == FAST_FLOW),
                size=spec.keys + HELPERS,
            ),
            warp_slots=Semaphore(HELPERS),
            steps_folder=spec.steps_folder,
        )
        self._windows: WindowMaker | None = None
        self._finish = spec.finish and FinishMaker(
            spec.finish, pool, slide_frames.get, self._store.get, references
        )
        if spec.fill is not None:
            self._windows = WindowMaker(
                spec.fill,
                read_frame,
                self._store.get,
                subjects.get if subjects else None,
                references,
                self._ask_window,
            )

    def draw(
        self,
        steps: Sequence[Step],
        kept: Collection[int],
        tick: Callable[[int], None],
        more: MoreSteps | None = None,
    ) -> list[Failure]:
        """Make the pictures that are not kept, each after those that it is made from.

        kept: the keys of steps. tick: called in this thread with the number of slides just written,
        at least twice a second. more: steps that come meanwhile, none of them kept. Return what
        failed; an error that ends the run is raised.
        """
        with reading(self._frames):
            return self._draw_all(steps, kept, tick, more)

    def _draw_all(
        self,
        steps: Sequence[Step],
        kept: Collection[int],
        tick: Callable[[int], None],
        more: MoreSteps | None,
    ) -> list[Failure]:
        if self._by_answers:
            return self._execute(Schedule(steps, kept), tick, more)
        needs_middles = self._spec.anchor or "middle" in self._spec.roles
        lone = _lone_middles(steps, kept) if needs_middles else []
        failed = self._execute(Schedule(lone), tick) if lone else []  # in scenes begun earlier
        finished = {*kept, *(step.slide for step in lone)} - {each.step.slide for each in failed}
        return self._execute(Schedule(steps, finished), tick, more)

    def _execute(
        self, schedule: Schedule, tick: Callable[[int], None], more: MoreSteps | None = None
    ) -> list[Failure]:
        return execute(
            schedule,
            Work(self._prepare, self._draw, self._fill),
            backends=self._pool.estimates,
            slots=self._pool.slots,
            preparers=HELPERS,
            fillers=self._fillers,
            stop=self._pool.close,
            tick=tick,
            more=more,
            dry=self._dry,
        )

    def _ask(self, job: Job, backend: int) -> Slide:
        seed, changes = self._spec.seeds.get(job.slide), self._spec.changes.get(job.slide, ())
        return self._pool.draw(replace(job, seed=seed, changes=changes), backend)

    def _ask_window(
        self, job: WindowJob, backend: int, receive: Callable[[WindowPictures], Made]
    ) -> tuple[Made, DrawRecord]:
        seed = self._spec.seeds.get(job.window.slides[1])
        return self._pool.draw_window(replace(job, seed=seed), backend, receive)

    def _prepare(self, step: Step) -> Prepared | None:
        """Prepare a step; nothing for a window, whose pictures are read one by one."""
        return None if step.kind is StepKind.WINDOW else self._drawer.prepare(step)

    def _draw(self, step: Step, prepared: Prepared | None, backend: int) -> Save:
        if prepared is None:
            return self._make_window(step, backend)
        began = time.perf_counter()
        is_answer = step.kind is StepKind.ANSWER
        make = self._drawer.answer if is_answer else self._drawer.draw
        slide = make(step, prepared, backend)
        assert slide.drawn is not None  # noted by the pool
        took_s, name = time.perf_counter() - began, sequence.name(step.slide)
        log.debug("%s: %.2f s on %s", name, took_s, slide.drawn.backend)
        if is_answer:
            save = self._answers.add(step.slide, slide)
            return partial(self._save_answer, save, step.key, slide.drawn)
        save = self._store.add(step.slide, slide)
        picture = self._store.get(step.slide)
        return partial(self._save, save, step.slide, slide.drawn, prepared.frame, picture)

    def _make_window(self, step: Step, backend: int) -> Save:
        """Have a window made; it is written when this returns."""
        maker = self._finish or self._windows
        assert maker is not None
        drawn = maker.make(step, backend)
        name = window_folder.name(step.between)
        log.debug("window %s: %.2f s on %s", name, drawn.seconds, drawn.backend)
        return partial(self._on_saved, step.key, drawn)

    def _fill(self, step: Step) -> Save:
        began = time.perf_counter()
        if step.kind is StepKind.COMPOSE:
            frame, picture = self._drawer.compose(step)
            save = self._store.add(step.slide, Slide(picture))
        elif self._windows and step.kind is StepKind.FROM_WINDOW:
            frame, picture = self._drawer.within_subject(step, self._windows.compose(step))
            save = self._store.add_last(step.slide, picture, step.sources)
        else:
            frame, picture = self._drawer.fill(step)
            save = self._store.add_last(step.slide, picture, step.sources)
        drawn = DrawRecord("", began, time.perf_counter() - began)
        shown = arrays.fit(picture, frame.shape[1], frame.shape[0])
        return partial(self._save, save, step.slide, drawn, frame, shown)

    def _answer(self, slide: int) -> Pixels:
        """Return the answer of a slide, at its own size. Raises UnusableInput."""
        try:
            return self._answers.get(slide)
        except UnusableInput as error:
            raise UnusableInput(
                f"{str(error).partition(chr(10))[0]}\nRemove this answer, and it is drawn again."
            ) from error

    def _reference(self, slide: int) -> Pixels:
        """Return a slide that others load as a picture, or its answer if it has one."""
        if self._spec.answers is None or slide in self._spec.given:
            return self._store.get(slide)
        try:
            return self._answers.get(slide)
        except UnusableInput:  # its answer was removed
            return self._store.get(slide)

    def _save_answer(self, save: Save, key: int, drawn: DrawRecord) -> None:
        save()
        self._on_saved(key, drawn)

    def _save(
        self, save: Save, slide: int, drawn: DrawRecord, frame: Pixels, picture: Pixels
    ) -> None:
        save()
        self._on_saved(slide, drawn)
        self._thumbnails.add(slide, frame, picture)


class _References:
    """The pictures of a slide that are those of others too. Thread-safe."""

    def __init__(self, spec: DrawingSpec, read: Callable[[int], Pixels], in_memory: int) -> None:
        self._spec = spec
        self._slides = LRUCache(read, in_memory + 1)
        self._files = LRUCache(lambda index: png.read_any(spec.pictures[index].path), in_memory + 1)

    def of(self, step: Step) -> dict[str, Callable[[], Pixels]]:
        """Return the pictures that a slide has, by role: middle, film and the user's."""
        found: dict[str, Callable[[], Pixels]] = {
            role: partial(self._slides.get, slide)
            for role, slide in (
                ("middle", step.start),
                ("film", self._spec.film_middle),
            )
            if slide != step.slide
        }
        for index, each in enumerate(self._spec.pictures):
            if each.is_of(step.scene):
                found[each.name] = partial(self._files.get, index)
        return found


def _flow_to_next(slide_frames: LRUCache[Pixels], fast: bool, slide: int) -> FlowPair:
    """Estimate the flow from a slide's frame to that of the next one in the film."""
    first, second = map(slide_frames.get, (slide, slide + 1))
    return optical_flow.estimate_pair(first, second, fast=fast)


def _drift_correction(
    spec: DrawingSpec, frames: Frames, store: SlideStore
) -> DriftCorrection | None:
    def read(slide: int) -> tuple[Pixels, Pixels, Pixels | None]:
        frame = slide * spec.frames_per_slide
        part = None if spec.only is None else spec.only.read(frame)
        return frames.read(frame), store.get(slide), part

    return DriftCorrection(spec.anchor, read) if spec.anchor else None


def _lone_middles(steps: Sequence[Step], kept: Collection[int]) -> list[Step]:
    """Return the middles that are missing although slides of their chains are there.

    They are drawn first where chains need the middle, for --anchor or as a picture of the workflow:
    the schedule would continue such a chain without it.
    """
    begun = {step.scene for step in steps if step.slide in kept}
    return [
        step
        for step in steps
        if step.previous is None and step.slide not in kept and step.scene in begun
    ]
