"""The threads that carry a schedule out: all there is of waiting.

They keep the backends supplied, have what the next slides need made ahead, fill slides between keys
beside that, and write what is drawn; pictures in memory stay bounded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from stable_restyle.core.errors import NoBackendLeft, RestyleError, WorkflowFault
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.records import Outlook, Step
from stable_restyle.plan.schedule import Schedule

Prepared = TypeVar("Prepared")

Keep: TypeAlias = Callable[[], None]

KEEPERS = 2  # threads that write slides

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A step that failed, and the slides that are missing for it, its own among them."""

    step: Step
    lost: Sequence[int]
    reason: RestyleError


@dataclass(frozen=True)
class Work(Generic[Prepared]):
    """What there is to do for a slide. All of it is called from several threads."""

    prepare: Callable[[Step], Prepared]  # makes what needs input frames only
    # Makes the slide on the backend of a number, so that the next one can be drawn from it; what it
    # returns is called to keep it.
    draw: Callable[[Step, Prepared, int], Keep]
    fill: Callable[[Step], Keep]  # does the same without a backend


def carry_out(
    schedule: Schedule,
    work: Work[Prepared],
    *,
    backends: Callable[[], Sequence[Outlook]],
    slots: int,
    helpers: int,
    stop: Callable[[], None],
    tick: Callable[[int], None],
) -> list[Failure]:
    """Draw every slide of the schedule; returns what failed.

    backends: those that work now, at least one. slots: slides in flight on them. helpers: threads
    that prepare, and as many that fill. stop: called when the run ends early, so that draws in
    flight end soon. tick: called in this thread with the number of slides just kept, at least every
    TICK_S seconds.

    A step that raises a RestyleError loses what hangs on it; the others go on. NoBackendLeft,
    WorkflowFault, a slide that cannot be kept and everything else end the run and are raised again.
    Slides that are drawn by then are kept all the same.
    """
    with ExitStack() as stack:
        keepers, artists, fillers, preparers = (
            stack.enter_context(ThreadPoolExecutor(count, name))
            for count, name in (
                (KEEPERS, "keep"),
                (slots, "draw"),
                (helpers, "fill"),
                (helpers, "prepare"),
            )
        )
        threads = _Threads(keepers, artists, slots, fillers, helpers)
        crew = _Crew(schedule, work, backends, threads, _Ahead(preparers, work.prepare))
        try:
            while crew.start():
                crew.wait()
                crew.settle_drawn()
                tick(crew.settle_kept())
        except BaseException:
            stop()
            crew.give_up()
            raise
    return crew.failures


@dataclass(frozen=True)
class _Threads:
    """Where work is done, and how much of it at once."""

    keepers: ThreadPoolExecutor
    artists: ThreadPoolExecutor
    slots: int
    fillers: ThreadPoolExecutor
    helpers: int


class _Crew(Generic[Prepared]):
    """A run at work. Called in the main thread only."""

    def __init__(
        self,
        schedule: Schedule,
        work: Work[Prepared],
        backends: Callable[[], Sequence[Outlook]],
        threads: _Threads,
        ahead: _Ahead[Prepared],
    ) -> None:
        self.failures: list[Failure] = []
        self._schedule = schedule
        self._work = work
        self._backends = backends
        self._threads = threads
        self._ahead = ahead
        self._drawing: dict[Future[Keep], Step] = {}
        self._filling: dict[Future[Keep], Step] = {}
        self._keeping: set[Future[None]] = set()

    def start(self) -> bool:
        """Send what can be sent; whether there is anything to wait for."""
        while self._can_draw() and (given := self._schedule.take(self._backends())):
            step, backend = given
            prepared = self._ahead.claim(step)
            task = self._threads.artists.submit(self._draw, step, prepared, backend)
            self._drawing[task] = step
        while self._can_fill() and (filled := self._schedule.take_fillable()):
            self._filling[self._threads.fillers.submit(self._work.fill, filled)] = filled
        self._ahead.look(self._schedule.upcoming(self._threads.slots))
        return bool(self._drawing or self._filling or self._keeping)

    def wait(self) -> None:
        """Wait until something is done, or for TICK_S."""
        tasks: list[Future[Any]] = [*self._drawing, *self._filling, *self._keeping]
        wait(tasks, TICK_S, FIRST_COMPLETED)

    def settle_drawn(self) -> None:
        """Have drawn slides kept, and their chains go on or be given up."""
        for task, step in self._done():
            try:
                keep = task.result()
            except (NoBackendLeft, WorkflowFault):
                raise
            except RestyleError as error:
                self.failures.append(Failure(step, self._schedule.fail(step), error))
                log.warning("%s The other chains go on.", str(error).partition("\n")[0])
            else:
                self._schedule.finish(step)
                self._keeping.add(self._threads.keepers.submit(keep))

    def settle_kept(self) -> int:
        """How many slides have been kept since the last time. Raises what kept one from it."""
        kept = {task for task in self._keeping if task.done()}
        self._keeping -= kept
        for task in kept:
            task.result()
        return len(kept)

    def give_up(self) -> None:
        """Start nothing more, but keep what has been drawn."""
        self._ahead.look(())
        for task in [*self._drawing, *self._filling]:
            if not task.cancel() and task.exception() is None:
                self._threads.keepers.submit(task.result())

    def _done(self) -> Iterator[tuple[Future[Keep], Step]]:
        for working in (self._drawing, self._filling):
            for task in [task for task in working if task.done()]:
                yield task, working.pop(task)

    def _can_draw(self) -> bool:
        """Slides are drawn no faster than they can be kept: so memory stays bounded."""
        in_hand = len(self._drawing) + len(self._keeping)
        slots = self._threads.slots
        return len(self._drawing) < slots and in_hand < slots + KEEPERS

    def _can_fill(self) -> bool:
        """Backends never wait for slides that are filled to be kept."""
        return len(self._filling) < self._threads.helpers and len(self._keeping) < KEEPERS

    def _draw(self, step: Step, prepared: Future[Prepared], backend: int) -> Keep:
        return self._work.draw(step, prepared.result(), backend)


class _Ahead(Generic[Prepared]):
    """What the next slides need from the input frames, made before they are taken.

    It holds only what `look` was last told to, so its memory does not grow with the film.
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
        """What this step needs, now; it is the caller's from here on."""
        made = dict(self._made)
        task = made.pop(step, None) or self._submit(step)
        self._made = made
        return task

    def _submit(self, step: Step) -> Future[Prepared]:
        return self._pool.submit(self._prepare, step)
