"""Execute a schedule on thread pools. All blocking waits of a run are here.

Backends are kept supplied, what the next slides need is made ahead, slides between keyframes are
filled meanwhile, and what is drawn is written; pictures in memory stay bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from stable_restyle.core.errors import NoBackendLeft, RestyleError, WorkflowFault
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.records import BackendEstimate, Step
from stable_restyle.drawing.store import Save
from stable_restyle.plan.schedule import Schedule

Prepared = TypeVar("Prepared")

SAVERS = 2  # threads that write slides

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A step that failed, and the slides that are lost with it, its own included."""

    step: Step
    lost: Sequence[int]
    reason: RestyleError


@dataclass(frozen=True)
class Work(Generic[Prepared]):
    """What to do for a slide. All of it is called from several threads."""

    prepare: Callable[[Step], Prepared]  # makes what needs input frames only
    # Makes the slide on the backend of a number, so that the next one can be drawn from it; what it
    # returns is called to write it.
    draw: Callable[[Step, Prepared, int], Save]
    fill: Callable[[Step], Save]  # does the same without a backend


def execute(
    schedule: Schedule,
    work: Work[Prepared],
    *,
    backends: Callable[[], Sequence[BackendEstimate]],
    slots: int,
    helpers: int,
    stop: Callable[[], None],
    tick: Callable[[int], None],
) -> list[Failure]:
    """Draw every slide of the schedule. Return what failed.

    backends: those that work now, at least one. slots: slides in flight on them. helpers: threads
    that prepare, and as many that fill. stop: called when the run ends early, so that draws in
    flight end soon. tick: called in this thread with the number of slides just written, at least
    every TICK_S seconds.

    A step that raises a RestyleError loses what depends on it; the others go on. NoBackendLeft,
    WorkflowFault, a slide that cannot be written and everything else end the run and are raised
    again. Slides that are drawn by then are written all the same.
    """
    with ExitStack() as stack:
        savers, drawers, fillers, preparers = (
            stack.enter_context(ThreadPoolExecutor(count, name))
            for count, name in (
                (SAVERS, "save"),
                (slots, "draw"),
                (helpers, "fill"),
                (helpers, "prepare"),
            )
        )
        threads = _Threads(savers, drawers, slots, fillers, helpers)
        execution = _Execution(
            schedule, work, backends, threads, _Preparation(preparers, work.prepare)
        )
        try:
            while execution.start():
                execution.wait()
                execution.settle_drawn()
                tick(execution.settle_saved())
        except BaseException:
            stop()
            execution.give_up()
            raise
    return execution.failures


@dataclass(frozen=True)
class _Threads:
    """Where work is done, and how much of it at once."""

    savers: ThreadPoolExecutor
    drawers: ThreadPoolExecutor
    slots: int
    fillers: ThreadPoolExecutor
    helpers: int


class _Execution(Generic[Prepared]):
    """A run at work. Called in the main thread only."""

    def __init__(
        self,
        schedule: Schedule,
        work: Work[Prepared],
        backends: Callable[[], Sequence[BackendEstimate]],
        threads: _Threads,
        preparation: _Preparation[Prepared],
    ) -> None:
        self.failures: list[Failure] = []
        self._schedule = schedule
        self._work = work
        self._backends = backends
        self._threads = threads
        self._preparation = preparation
        self._drawing: dict[Future[Save], Step] = {}
        self._filling: dict[Future[Save], Step] = {}
        self._saving: set[Future[None]] = set()

    def start(self) -> bool:
        """Start what can be started; return whether there is anything to wait for."""
        while self._can_draw() and (given := self._schedule.take(self._backends())):
            step, backend = given
            prepared = self._preparation.claim(step)
            task = self._threads.drawers.submit(self._draw, step, prepared, backend)
            self._drawing[task] = step
        while self._can_fill() and (filled := self._schedule.take_fillable()):
            self._filling[self._threads.fillers.submit(self._work.fill, filled)] = filled
        self._preparation.look(self._schedule.upcoming(self._threads.slots))
        return bool(self._drawing or self._filling or self._saving)

    def wait(self) -> None:
        """Wait until something is done, or for TICK_S."""
        tasks: list[Future[Any]] = [*self._drawing, *self._filling, *self._saving]
        wait(tasks, TICK_S, FIRST_COMPLETED)

    def settle_drawn(self) -> None:
        """Have drawn slides written; let their chains go on, or give them up."""
        for task, step in self._done():
            try:
                save = task.result()
            except (NoBackendLeft, WorkflowFault):
                raise
            except RestyleError as error:
                self.failures.append(Failure(step, self._schedule.fail(step), error))
                log.warning("%s The other chains go on.", str(error).partition("\n")[0])
            else:
                self._schedule.finish(step)
                self._saving.add(self._threads.savers.submit(save))

    def settle_saved(self) -> int:
        """Return how many slides were written since the last call. Raises what one failed with."""
        saved = {task for task in self._saving if task.done()}
        self._saving -= saved
        for task in saved:
            task.result()
        return len(saved)

    def give_up(self) -> None:
        """Start nothing more, but write what has been drawn."""
        self._preparation.look(())
        for task in [*self._drawing, *self._filling]:
            if not task.cancel() and task.exception() is None:
                self._threads.savers.submit(task.result())

    def _done(self) -> Iterator[tuple[Future[Save], Step]]:
        for working in (self._drawing, self._filling):
            for task in [task for task in working if task.done()]:
                yield task, working.pop(task)

    def _can_draw(self) -> bool:
        """Draw no faster than slides can be written, so that memory stays bounded."""
        in_hand = len(self._drawing) + len(self._saving)
        slots = self._threads.slots
        return len(self._drawing) < slots and in_hand < slots + SAVERS

    def _can_fill(self) -> bool:
        """Never let a backend wait for filled slides to be written."""
        return len(self._filling) < self._threads.helpers and len(self._saving) < SAVERS

    def _draw(self, step: Step, prepared: Future[Prepared], backend: int) -> Save:
        return self._work.draw(step, prepared.result(), backend)


class _Preparation(Generic[Prepared]):
    """What the next slides need from the input frames, made before they are taken.

    It holds only what `look` was last asked for, so its memory does not grow with the film.
    """

    def __init__(self, pool: ThreadPoolExecutor, prepare: Callable[[Step], Prepared]) -> None:
        self._pool = pool
        self._prepare = prepare
        self._made: Mapping[Step, Future[Prepared]] = {}

    def look(self, upcoming: Iterable[Step]) -> None:
        """Prepare these, keep what is prepared of them, and forget all others."""
        wanted = {step: self._made.get(step) or self._submit(step) for step in upcoming}
        for step, task in self._made.items():
            if step not in wanted:
                task.cancel()
        self._made = wanted

    def claim(self, step: Step) -> Future[Prepared]:
        """Return what this step needs; it is the caller's from here on."""
        made = dict(self._made)
        task = made.pop(step, None) or self._submit(step)
        self._made = made
        return task

    def _submit(self, step: Step) -> Future[Prepared]:
        return self._pool.submit(self._prepare, step)
