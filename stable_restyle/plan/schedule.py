"""Decide which slide is drawn next, and on which backend. Pure: no threads, no clock.

Two things cost time: a backend that waits, and a long chain that is left to the end. As long as
there is enough work for all, a backend takes the slide that follows the one drawn last, which is
still in memory. A chain that the end of the run would have to wait for is critical: the longest
comes first (highest level first; T. C. Hu, "Parallel sequencing and assembly line problems",
Operations Research 9(6), 1961) and goes to the backend that is expected to finish it first, which
is kept free for it even if it is busy now (earliest finish time; H. Topcuoglu, S. Hariri, M.-Y. Wu,
IEEE Transactions on Parallel and Distributed Systems 13(3), 2002).

Slides that are filled from keys, or composed from answers, need no backend: they are handed out as
soon as what they are made from is finished, and do not count in the length of a chain.

Steps are known by their keys: that of a slide is its number, see `Step.key`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile
from operator import attrgetter

from stable_restyle.core.records import BackendEstimate, Step, slide_of

# A slide is sent to a busy backend, where it waits for its turn, no earlier than this before that:
# once sent, it cannot give way to a longer chain. The larger of the two counts.
AHEAD_S = 2.0
AHEAD_SHARE = 0.5  # of the time for a slide there

# A chain is critical if it takes longer than the other backends would take for the rest of the film
# if they were SPARE times as fast: later it would be too late. Simulated films (benchmarks/) take
# the same time with anything from 1.6 to 3.
SPARE = 2.0

# Measured by a clock that stands still between two ticks, a slide may have taken no time.
SHORTEST_S = 1e-6


@dataclass(eq=False)
class _Queue:
    """The slides planned for a backend."""

    estimate: BackendEstimate
    drawing: Sequence[int]  # slides in flight there, in their order
    free_in_s: float = field(init=False)  # until it can start another one

    def __post_init__(self) -> None:
        before = len(self.drawing) - self.estimate.at_once
        self.free_in_s = 0.0 if before < 0 else self._ends_in_s(before)

    @property
    def takes_one(self) -> bool:
        """Return whether a slide may be sent there now."""
        ahead_s = max(AHEAD_S, AHEAD_SHARE * self.estimate.slide_s)
        return len(self.drawing) < self.estimate.slots and self.free_in_s <= ahead_s

    def done_in_s(self, ready_in_s: float = 0.0) -> float:
        """Return when a slide that can be sent after `ready_in_s` would be finished."""
        return max(self.free_in_s, ready_in_s) + self.estimate.slide_s

    def ends(self) -> Iterator[tuple[int, float]]:
        """Yield the slides in flight, and in how many seconds each will be finished."""
        for turn, slide in enumerate(self.drawing):
            yield slide, self._ends_in_s(turn)

    def _ends_in_s(self, turn: int) -> float:
        """Return in how many seconds the slide after `turn` others will be finished."""
        slide_s = self.estimate.slide_s
        # An overdue slide gives no better estimate: assume that it needs as long again as it is
        # late.
        first_s = abs(slide_s - self.estimate.busy_s)
        return first_s + slide_s * (turn // self.estimate.at_once)


class Schedule:
    """The slides and answers still to make, and their order.

    Each is handed out once, by `take` or `take_fillable`, and then reported by `finish` or
    `fail`.
    """

    def __init__(self, steps: Iterable[Step], finished: Collection[int] = ()) -> None:
        """Plan steps, each after those that it is made from.

        Of equal chains, the one that comes first in `steps` is drawn first. finished: the keys of
        steps that are done.
        """
        self.total = self._left = 0
        self._place: dict[int, int] = {}
        self._waiting: dict[int, list[Step]] = defaultdict(list)
        self._level: dict[int, int] = {}  # slides ahead on the longest chain that backends draw
        # key -> number of the steps before it that are not finished
        self._missing: dict[int, int] = {}
        self._ready: list[Step] = []
        self._heads: list[Step] = []  # those of `_ready` that nothing precedes, in their order
        self._fillable: deque[Step] = deque()
        self._begun: dict[int, Step] = {}  # ready, and the previous slide was drawn in this run
        self._in_flight: dict[int, int] = {}  # key -> its backend, in the order of `take`
        self._lost: set[int] = set()  # slides
        self._critical = 0.0  # the level from which a chain is critical
        self.add(step for step in steps if step.key not in finished)

    def add(self, steps: Iterable[Step]) -> None:
        """Plan further steps: of scenes of which none is planned yet.

        Of equal chains, those that were planned earlier are drawn first.
        """
        todo = list(steps)
        self._place.update({step.key: self.total + place for place, step in enumerate(todo)})
        self.total += len(todo)
        self._left += sum(step.uses_backend for step in todo)
        unfinished = {step.key for step in todo}
        for step in reversed(todo):
            ahead = (self._level[each.key] for each in self._waiting[step.key])
            self._level[step.key] = step.uses_backend + max(ahead, default=0)
            for source in unfinished.intersection(step.needs):
                self._waiting[source].append(step)
        self._missing.update({step.key: len(unfinished.intersection(step.needs)) for step in todo})
        ready = [step for step in todo if not self._missing[step.key]]
        heads = [step for step in ready if step.uses_backend]
        self._heads += heads
        self._ready += heads
        self._ready.sort(key=self._rank)
        self._fillable += [step for step in ready if not step.uses_backend]

    def clear(self) -> None:
        """Drop every step that is not handed out."""
        for dropped in (self._ready, self._heads, self._fillable, self._waiting, self._begun):
            dropped.clear()

    @property
    def longest_chain(self) -> int:
        """Return the length of the longest chain, whose slides cannot be drawn side by side."""
        return max(self._level.values(), default=0)

    def take(self, backends: Sequence[BackendEstimate]) -> tuple[Step, int] | None:
        """Return the slide to send now and the number of its backend; None to send none yet.

        backends: those that work, at least one.
        """
        queues = self._queues(backends)
        free = [queue for queue in queues if queue.takes_one]
        if not free or not self._ready:
            return None
        slide_s = [max(backend.slide_s, SHORTEST_S) for backend in backends]
        fastest_s = min(slide_s)
        speed = sum(
            backend.at_once * fastest_s / its_s
            for backend, its_s in zip(backends, slide_s, strict=True)
        )
        self._critical = self._left / (1 + SPARE * (speed - 1))
        rest_s = self._left * fastest_s / speed  # lower bound for the rest of the film
        for step, ready_in_s in self._in_order(queues):
            after_s = (self._level[step.key] - 1) * fastest_s
            in_time = [queue for queue in free if queue.done_in_s() + after_s <= rest_s]
            if self._is_critical(step) or not in_time:
                in_time = queues
            queue = min(in_time, key=lambda each: each.done_in_s(ready_in_s))
            if queue in free and not self._missing[step.key]:
                return self._hand_out(step, queue.estimate.backend)
            if queue.done_in_s() <= ready_in_s:
                continue  # it has time for another slide first
            queue.free_in_s = queue.done_in_s(ready_in_s)  # reserved for this slide
            if queue in free:
                free.remove(queue)
            if not free:
                return None
        return None

    def take_fillable(self) -> Step | None:
        """Return the next slide that needs no backend, or None if there is none yet."""
        return self._fillable.popleft() if self._fillable else None

    def finish(self, step: Step) -> None:
        """Record that a slide is finished: those that are made from it can be taken."""
        self._end(step)
        for following in sorted(self._waiting.pop(step.key, ()), key=self._rank):
            self._missing[following.key] -= 1
            if self._missing[following.key]:
                continue
            if following.uses_backend:
                insort(self._ready, following, key=self._rank)
                self._begun[following.key] = following
            else:
                self._fillable.append(following)

    def fail(self, step: Step) -> list[int]:
        """Give up a step and those that depend on it. Return the slides lost by that."""
        self._end(step)
        lost = {step.key}
        hopeless = self._waiting.pop(step.key, [])
        while hopeless:
            gone = hopeless.pop()
            if gone.key in lost:
                continue
            lost.add(gone.key)
            self._left -= gone.uses_backend
            hopeless += self._waiting.pop(gone.key, ())
        slides = set(map(slide_of, lost)) - self._lost
        self._lost |= slides
        return sorted(slides)

    def upcoming(self, count: int) -> list[Step]:
        """Return the likely next slides: those that are ready, or wait for one in flight."""
        following = self._following()
        critical = [*islice(self._critical_ones(), count), *filter(self._is_critical, following)]
        critical.sort(key=self._rank, reverse=True)
        every = [*critical, *following, *islice(self._others(), count)]
        return list(dict.fromkeys(every))[:count]

    def _end(self, step: Step) -> None:
        if step.uses_backend:
            del self._in_flight[step.key]
            self._left -= 1

    def _hand_out(self, step: Step, backend: int) -> tuple[Step, int]:
        del self._ready[bisect_left(self._ready, self._rank(step), key=self._rank)]
        if self._begun.pop(step.key, None) is None:
            del self._heads[bisect_left(self._heads, self._place[step.key], key=self._place_of)]
        self._in_flight[step.key] = backend
        return step, backend

    def _in_order(self, queues: Iterable[_Queue]) -> Iterator[tuple[Step, float]]:
        """Yield the steps that need a backend, and in how many seconds each can be sent.

        First the critical ones, also those that still wait for a slide in flight; then the others
        that are ready.
        """
        coming = [
            (step, ends_in_s)
            for queue in queues
            for slide, ends_in_s in queue.ends()
            for step in self._waiting.get(slide, ())
            if step.uses_backend and self._is_critical(step)
        ]
        coming.sort(key=lambda each: self._rank(each[0]), reverse=True)
        ready = ((step, 0.0) for step in self._critical_ones())
        # Of equal levels the ready ones go first.
        yield from heapq.merge(ready, coming, key=lambda each: -self._level[each[0].key])
        yield from ((step, 0.0) for step in self._others())

    def _critical_ones(self) -> Iterator[Step]:
        """Yield the steps that are ready and critical, the longest chain first."""
        return takewhile(self._is_critical, reversed(self._ready))

    def _others(self) -> Iterator[Step]:
        """Yield the ready steps that are not critical: those after the slide drawn last first.

        Then chains are begun in the order of the film, so that it can be written from its beginning
        while slides are drawn.
        """
        every = chain(reversed(self._begun.values()), self._heads)
        return (step for step in every if not self._is_critical(step))

    def _following(self) -> list[Step]:
        """Return the steps that wait for a slide in flight, the longest chain first."""
        waiting = (step for slide in self._in_flight for step in self._waiting.get(slide, ()))
        return sorted(filter(attrgetter("uses_backend"), waiting), key=self._rank, reverse=True)

    def _queues(self, backends: Iterable[BackendEstimate]) -> list[_Queue]:
        drawing: dict[int, list[int]] = defaultdict(list)
        for slide, backend in self._in_flight.items():
            drawing[backend].append(slide)
        return [_Queue(each, drawing[each.backend]) for each in backends]

    def _is_critical(self, step: Step) -> bool:
        return self._level[step.key] >= self._critical

    def _place_of(self, step: Step) -> int:
        return self._place[step.key]

    def _rank(self, step: Step) -> tuple[int, int]:
        return self._level[step.key], -self._place[step.key]


def estimate(schedule: Schedule, slide_s: Sequence[float]) -> float:
    """Return how many seconds drawing takes on backends that each take `slide_s` for a slide.

    The schedule is empty afterwards.
    """
    clock = 0.0
    began = [0.0] * len(slide_s)
    running: list[tuple[float, int, Step]] = []

    def backends() -> list[BackendEstimate]:
        return [
            BackendEstimate(
                number, at_once=1, slots=1, slide_s=takes_s, busy_s=clock - began[number]
            )
            for number, takes_s in enumerate(slide_s)
        ]

    while True:
        while given := schedule.take(backends()):
            step, number = given
            began[number] = clock
            heapq.heappush(running, (clock + slide_s[number], number, step))
        if not running:
            return clock
        clock, _, done = heapq.heappop(running)
        schedule.finish(done)
