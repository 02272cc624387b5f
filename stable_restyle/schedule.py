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
from typing import Generic, TypeVar

from stable_restyle.errors import NoBackendLeft, RestyleError, WorkflowFault
from stable_restyle.model import Step

Prepared = TypeVar("Prepared")

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
    draw: Callable[[Step, Prepared], object],
    slots: int,
    helpers: int,
    stop: Callable[[], None],
    tick: Callable[[int], None],
) -> list[Failure]:
    """Draw every slide of the schedule; returns what failed.

    prepare: makes what needs input frames only. draw: makes and keeps the slide. Both run in
    threads. slots: slides in flight. helpers: threads that prepare. stop: called when the run ends
    early, so that draws in flight end soon. tick: called in this thread with the number of slides
    just finished, at least every TICK_S seconds.

    A step that raises a RestyleError loses what hangs on it; the others go on. NoBackendLeft,
    WorkflowFault and everything else end the run and are raised again.
    """
    failures: list[Failure] = []
    running: dict[Future[object], Step] = {}
    with ExitStack() as threads:
        artists = threads.enter_context(ThreadPoolExecutor(slots, "draw"))
        ahead = _Ahead(threads.enter_context(ThreadPoolExecutor(helpers, "prepare")), prepare)
        try:
            while True:
                while len(running) < slots and (step := schedule.take()):
                    prepared = ahead.claim(step)
                    task = artists.submit(lambda s, p: draw(s, p.result()), step, prepared)
                    running[task] = step
                if not running:
                    return failures
                ahead.look(schedule.upcoming(slots))
                done, _ = wait(running, TICK_S, FIRST_COMPLETED)
                finished = 0
                for task in done:
                    step = running.pop(task)
                    try:
                        task.result()
                    except (NoBackendLeft, WorkflowFault):
                        raise
                    except RestyleError as error:
                        failures.append(Failure(step, schedule.fail(step), error))
                        log.warning("%s The other chains go on.", str(error).partition("\n")[0])
                    else:
                        schedule.finish(step)
                        finished += 1
                tick(finished)
        except BaseException:
            ahead.look(())
            stop()
            raise


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
