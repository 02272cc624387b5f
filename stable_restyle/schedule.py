"""Which slide is drawn next, and the threads that carry it out.

`Schedule` chooses: plain values, no threads, no clock. The rule is highest level first (T. C. Hu,
"Parallel sequencing and assembly line problems", Operations Research 9(6), 1961): of the slides
that can be drawn now, the one with the longest chain still ahead. `carry_out` is all there is of
waiting: it keeps as many slides in flight as the backends take, and has what the next ones need
made ahead.
"""

from __future__ import annotations

import heapq
import logging
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from stable_restyle.errors import NoBackendLeft, RestyleError, WorkflowFault
from stable_restyle.model import Step

Prepared = TypeVar("Prepared")

Keep: TypeAlias = Callable[[], None]

KEEPERS = 2  # threads that write slides
TICK_S = 0.5  # how often the main thread looks up while nothing happens

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A step that failed, and the slides that are missing for it, its own among them."""

    step: Step
    lost: Sequence[int]
    reason: RestyleError


class Schedule:
    """The slides still to draw, and which of them comes next.

    Every slide is handed out once by `take`, and then given back by `finish` or `fail`.
    """

    def __init__(self, steps: Iterable[Step], finished: Collection[int] = ()) -> None:
        """steps: each after the one that it is drawn from. finished: slides that are there."""
        todo = [step for step in steps if step.slide not in finished]
        self.total = len(todo)
        self._waiting: dict[int, list[Step]] = defaultdict(list)
        self._level: dict[int, int] = {}
        unfinished = {step.slide for step in todo}
        for step in reversed(todo):
            ahead = (self._level[each.slide] for each in self._waiting[step.slide])
            self._level[step.slide] = 1 + max(ahead, default=0)
            if step.previous in unfinished:
                self._waiting[step.previous].append(step)
        self._ready: list[Step] = []  # the next one last
        self._in_flight: dict[int, Step] = {}
        for step in todo:
            if step.previous not in unfinished:
                self._add(step)

    @property
    def longest_chain(self) -> int:
        """Slides that must follow each other: no run is shorter than these, one after the other."""
        return max(self._level.values(), default=0)

    def take(self) -> Step | None:
        """The slide to draw now, or None while all that are left wait for others."""
        if not self._ready:
            return None
        step = self._ready.pop()
        self._in_flight[step.slide] = step
        return step

    def finish(self, step: Step) -> None:
        """Its slide is drawn: those that are drawn from it can be taken."""
        del self._in_flight[step.slide]
        for following in self._waiting.pop(step.slide, ()):
            self._add(following)

    def fail(self, step: Step) -> list[int]:
        """Its slide will not be drawn: give up what hangs on it. Returns the slides lost."""
        del self._in_flight[step.slide]
        lost: list[int] = []
        hopeless = [step]
        while hopeless:
            gone = hopeless.pop()
            lost.append(gone.slide)
            hopeless += self._waiting.pop(gone.slide, ())
        return sorted(lost)

    def upcoming(self, count: int) -> list[Step]:
        """The next slides as far as can be told: ready, or waiting for one in flight."""
        ready = self._ready[-count:] if count else []
        following = (each for slide in self._in_flight for each in self._waiting.get(slide, ()))
        return heapq.nlargest(count, [*ready, *following], key=self._rank)

    def _add(self, step: Step) -> None:
        insort(self._ready, step, key=self._rank)

    def _rank(self, step: Step) -> tuple[int, int]:
        return self._level[step.slide], -step.slide  # of equal chains, the film's beginning first


def estimate(schedule: Schedule, servers: int, seconds: float) -> float:
    """How long drawing takes, in seconds, where every slide takes `seconds` on each of `servers`.

    Uses the schedule up.
    """
    clock = 0.0
    running: list[tuple[float, int, Step]] = []
    while True:
        while len(running) < servers and (step := schedule.take()):
            heapq.heappush(running, (clock + seconds, step.slide, step))
        if not running:
            return clock
        clock, _, done = heapq.heappop(running)
        schedule.finish(done)


def carry_out(
    schedule: Schedule,
    *,
    prepare: Callable[[Step], Prepared],
    draw: Callable[[Step, Prepared], Keep],
    slots: int,
    helpers: int,
    stop: Callable[[], None],
    tick: Callable[[int], None],
) -> list[Failure]:
    """Draw every slide of the schedule; returns what failed.

    prepare: makes what needs input frames only. draw: makes the slide, so that the next one can be
    drawn from it; what it returns is called to keep it. All three run in threads. slots: slides in
    flight. helpers: threads that prepare. stop: called when the run ends early, so that draws in
    flight end soon. tick: called in this thread with the number of slides just kept, at least every
    TICK_S seconds.

    A step that raises a RestyleError loses what hangs on it; the others go on. NoBackendLeft,
    WorkflowFault, a slide that cannot be kept and everything else end the run and are raised again.
    Slides that are drawn by then are kept all the same.
    """
    with ExitStack() as threads:
        keepers = threads.enter_context(ThreadPoolExecutor(KEEPERS, "keep"))
        artists = threads.enter_context(ThreadPoolExecutor(slots, "draw"))
        preparers = threads.enter_context(ThreadPoolExecutor(helpers, "prepare"))
        crew = _Crew(schedule, slots, artists, keepers, draw, _Ahead(preparers, prepare))
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


class _Crew(Generic[Prepared]):
    """The threads of a run at work. Called in the main thread only."""

    def __init__(
        self,
        schedule: Schedule,
        slots: int,
        artists: ThreadPoolExecutor,
        keepers: ThreadPoolExecutor,
        draw: Callable[[Step, Prepared], Keep],
        ahead: _Ahead[Prepared],
    ) -> None:
        self.failures: list[Failure] = []
        self._schedule = schedule
        self._slots = slots
        self._artists = artists
        self._keepers = keepers
        self._draw = draw
        self._ahead = ahead
        self._drawing: dict[Future[Keep], Step] = {}
        self._keeping: set[Future[None]] = set()

    def start(self) -> bool:
        """Start on as many slides as there are slots; whether there is anything to wait for."""
        while self._has_room() and (step := self._schedule.take()):
            prepared = self._ahead.claim(step)
            self._drawing[self._artists.submit(self._draw_prepared, step, prepared)] = step
        self._ahead.look(self._schedule.upcoming(self._slots))
        return bool(self._drawing or self._keeping)

    def wait(self) -> None:
        """Wait until something is done, or for TICK_S."""
        tasks: list[Future[Any]] = [*self._drawing, *self._keeping]
        wait(tasks, TICK_S, FIRST_COMPLETED)

    def settle_drawn(self) -> None:
        """Have drawn slides kept, and their chains go on or be given up."""
        for task in [task for task in self._drawing if task.done()]:
            step = self._drawing.pop(task)
            try:
                keep = task.result()
            except (NoBackendLeft, WorkflowFault):
                raise
            except RestyleError as error:
                self.failures.append(Failure(step, self._schedule.fail(step), error))
                log.warning("%s The other chains go on.", str(error).partition("\n")[0])
            else:
                self._schedule.finish(step)
                self._keeping.add(self._keepers.submit(keep))

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
        for task in self._drawing:
            if task.exception() is None:
                self._keepers.submit(task.result())

    def _has_room(self) -> bool:
        """Slides are drawn no faster than they can be kept: so memory stays bounded."""
        in_hand = len(self._drawing) + len(self._keeping)
        return len(self._drawing) < self._slots and in_hand < self._slots + KEEPERS

    def _draw_prepared(self, step: Step, prepared: Future[Prepared]) -> Keep:
        return self._draw(step, prepared.result())


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
