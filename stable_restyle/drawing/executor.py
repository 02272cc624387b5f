"""Execute a schedule on thread pools. All blocking waits of a run are here.

Keeps the backends supplied: prepares the next slides ahead, fills slides between keyframes
meanwhile, and writes what is drawn. The number of pictures in memory is bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event
from typing import Any, Generic, Protocol, TypeVar

from stable_restyle.core.errors import CannotWrite, NoBackendLeft, RestyleError, WorkflowFault
from stable_restyle.core.film_threads import named
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
    """What to do for a slide. All functions are called from several threads."""

    prepare: Callable[[Step], Prepared]  # makes what needs the input frames only
    # Draws the slide on the backend of this number; the next slide can then be drawn from it. The
    # function that it returns writes the slide.
    draw: Callable[[Step, Prepared, int], Save]
    fill: Callable[[Step], Save]  # fills or composes a slide, without a backend


class MoreSteps(Protocol):
    """Steps that come while others are drawn. Used in the thread of `execute`."""

    @property
    def arrived(self) -> Future[None]:
        """Return what is done as soon as `take` should be called."""
        ...

    @property
    def breaks_off(self) -> bool:
        """Return whether what is not begun is left undone, after `take` has returned None."""
        ...

    def take(self) -> Sequence[Step] | None:
        """Return further steps, for `Schedule.add`; None if no more come."""
        ...


def execute(
    schedule: Schedule,
    work: Work[Prepared],
    *,
    backends: Callable[[], Sequence[BackendEstimate]],
    slots: int,
    preparers: int,
    fillers: int,
    stop: Callable[[], None],
    tick: Callable[[int], None],
    more: MoreSteps | None = None,
    dry: Event | None = None,
) -> list[Failure]:
    """Draw every slide of the schedule, and of the steps that come. Return what failed.

    backends: returns those that work now, at least one. slots: slides in flight on them. preparers,
    fillers: numbers of threads. stop: called when the run ends early, so that draws in flight end
    soon. tick: called in this thread with the number of slides just written, answers not counted,
    at least every TICK_S seconds. dry: set while less is left to draw than backends take.

    If a step raises a RestyleError, the slides that depend on it are lost and the others go on.
    NoBackendLeft, WorkflowFault, CannotWrite and any other exception end the run
    and are raised again, once the slides drawn by then are written.
    """
    with ExitStack() as stack:
        save, draw, fill, prepare = (
            stack.enter_context(ThreadPoolExecutor(count, named(name)))
            for count, name in (
                (SAVERS, "save"),
                (slots, "draw"),
                (fillers, "fill"),
                (preparers, "prepare"),
            )
        )
        threads = _Threads(save, draw, slots, fill, fillers)
        execution = _Execution(
            schedule,
            work,
            backends,
            threads,
            _Preparation(prepare, work.prepare),
            more,
            dry or Event(),
        )
        try:
            while execution.start():
                execution.wait()
                execution.settle_drawn()
                tick(execution.settle_saved())
        except BaseException:
            stop()
            execution.abort()
            raise
    return execution.failures


@dataclass(frozen=True)
class _Threads:
    """Thread pools, and how many tasks each takes at once."""

    savers: ThreadPoolExecutor
    drawers: ThreadPoolExecutor
    slots: int
    fillers: ThreadPoolExecutor
    fills: int


class _Execution(Generic[Prepared]):
    """The tasks in progress. Used in the main thread only."""

    def __init__(
        self,
        schedule: Schedule,
        work: Work[Prepared],
        backends: Callable[[], Sequence[BackendEstimate]],
        threads: _Threads,
        preparation: _Preparation[Prepared],
        more: MoreSteps | None,
        dry: Event,
    ) -> None:
        self.failures: list[Failure] = []
        self._schedule = schedule
        self._work = work
        self._backends = backends
        self._threads = threads
        self._preparation = preparation
        self._more = more
        self._dry = dry
        self._drawing: dict[Future[Save], Step] = {}
        self._filling: dict[Future[Save], Step] = {}
        self._saving: dict[Future[None], Step] = {}

    def start(self) -> bool:
        """Start what can be started. Return whether there is anything to wait for."""
        self._take_more()
        while self._can_draw() and (assigned := self._schedule.take(self._backends())):
            step, backend = assigned
            prepared = self._preparation.claim(step)
            task = self._threads.drawers.submit(self._draw, step, prepared, backend)
            self._drawing[task] = step
        while self._can_fill() and (fillable := self._schedule.take_fillable()):
            self._filling[self._threads.fillers.submit(self._work.fill, fillable)] = fillable
        self._preparation.set_upcoming(self._schedule.upcoming(self._threads.slots))
        runs_dry = self._more is None and self._schedule.drawable < self._threads.slots
        self._dry.set() if runs_dry else self._dry.clear()
        return bool(self._drawing or self._filling or self._saving or self._more)

    def wait(self) -> None:
        """Wait until something is done, or for TICK_S."""
        tasks: list[Future[Any]] = [*self._drawing, *self._filling, *self._saving]
        if self._more:
            tasks.append(self._more.arrived)
        wait(tasks, TICK_S, FIRST_COMPLETED)

    def settle_drawn(self) -> None:
        """Have drawn slides written, and continue their chains; drop the chains that failed."""
        for task, step in self._done():
            try:
                save = task.result()
            except (NoBackendLeft, WorkflowFault, CannotWrite):
                raise
            except RestyleError as error:
                if lost := self._schedule.fail(step):
                    self.failures.append(Failure(step, lost, error))
                log.warning("%s The other chains go on.", str(error).partition("\n")[0])
            else:
                self._schedule.finish(step)
                self._saving[self._threads.savers.submit(save)] = step

    def settle_saved(self) -> int:
        """Return how many slides were written since the last call. Raises if writing failed."""
        saved = [task for task in self._saving if task.done()]
        steps = [self._saving.pop(task) for task in saved]
        for task in saved:
            task.result()
        return sum(step.is_slide for step in steps)

    def abort(self) -> None:
        """Start nothing more, and have written what is drawn."""
        self._preparation.set_upcoming(())
        for task in [*self._drawing, *self._filling]:
            if not task.cancel() and task.exception() is None:
                self._threads.savers.submit(task.result())

    def _take_more(self) -> None:
        while self._more and self._more.arrived.done():
            steps = self._more.take()
            if steps is not None:
                self._schedule.add(steps)
                continue
            if self._more.breaks_off:
                self._schedule.clear()
            self._more = None

    def _done(self) -> Iterator[tuple[Future[Save], Step]]:
        for tasks in (self._drawing, self._filling):
            for task in [task for task in tasks if task.done()]:
                yield task, tasks.pop(task)

    def _can_draw(self) -> bool:
        """Draw no faster than slides can be written, so that memory stays bounded."""
        drawing, slots = len(self._drawing), self._threads.slots
        return drawing < slots and drawing + len(self._saving) < slots + SAVERS

    def _can_fill(self) -> bool:
        """Fill no faster than slides can be written, so that drawn slides need not wait."""
        return len(self._filling) < self._threads.fills and len(self._saving) < SAVERS

    def _draw(self, step: Step, prepared: Future[Prepared], backend: int) -> Save:
        return self._work.draw(step, prepared.result(), backend)


class _Preparation(Generic[Prepared]):
    """Prepares the next slides before they are taken.

    Holds only the steps of the last `set_upcoming`, so its memory does not grow with the film.
    """

    def __init__(self, pool: ThreadPoolExecutor, prepare: Callable[[Step], Prepared]) -> None:
        self._pool = pool
        self._prepare = prepare
        self._tasks: dict[Step, Future[Prepared]] = {}

    def set_upcoming(self, steps: Iterable[Step]) -> None:
        """Prepare these steps unless they already are, and drop all others."""
        upcoming = {step: self._tasks.get(step) or self._submit(step) for step in steps}
        for step, task in self._tasks.items():
            if step not in upcoming:
                task.cancel()
        self._tasks = upcoming

    def claim(self, step: Step) -> Future[Prepared]:
        """Return what this step needs, and hold it no longer."""
        return self._tasks.pop(step, None) or self._submit(step)

    def _submit(self, step: Step) -> Future[Prepared]:
        return self._pool.submit(self._prepare, step)
