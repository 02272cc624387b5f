"""Which slide is drawn next, and on which backend: plain values, no threads, no clock.

Two things cost time: a backend that waits, and a long chain that is left to the end. As long as
there is work enough for all, a backend takes what follows the slide drawn last, which is still in
memory. A chain whose end is what the run will have to wait for is critical: the longest comes first
(highest level first; T. C. Hu, "Parallel sequencing and assembly line problems", Operations
Research 9(6), 1961), goes to the backend that is expected to have it done first, be it one that is
busy now, and finds it free (earliest finish time; H. Topcuoglu, S. Hariri, M.-Y. Wu, IEEE
Transactions on Parallel and Distributed Systems 13(3), 2002).

Slides that are filled from keys need no backend: they are handed out as soon as their keys are
there, and weigh nothing.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from operator import attrgetter

from stable_restyle.core.records import BackendEstimate, Step

# A slide is sent ahead, to wait at a backend for the one being drawn there, no earlier than this
# before its turn: what is sent can no longer make way for a longer chain. The larger of the two.
AHEAD_S = 2.0
AHEAD_SHARE = 0.5  # of what a slide takes there

# A chain is critical if it takes longer than the others would need for all the rest of the film,
# were they so many times as fast: by then it is too late to hurry. Simulated films (benchmarks/)
# take the same time with anything from 1.6 to 3.
SPARE = 2.0

# By a clock that stands still between two ticks, a slide may have taken no time at all.
SHORTEST_S = 1e-6


@dataclass(eq=False)
class _Queue:
    """What is planned for a backend."""

    outlook: BackendEstimate
    drawing: Sequence[int]  # slides in flight there, in their order
    free_in_s: float = field(init=False)  # until it can begin on another one

    def __post_init__(self) -> None:
        before = len(self.drawing) - self.outlook.at_once
        self.free_in_s = 0.0 if before < 0 else self._ends_in_s(before)

    @property
    def takes_one(self) -> bool:
        """Whether a slide may be sent there now."""
        ahead_s = max(AHEAD_S, AHEAD_SHARE * self.outlook.slide_s)
        return len(self.drawing) < self.outlook.slots and self.free_in_s <= ahead_s

    def done_in_s(self, ready_in_s: float = 0.0) -> float:
        """When a slide would be drawn that can be sent after `ready_in_s`."""
        return max(self.free_in_s, ready_in_s) + self.outlook.slide_s

    def ends(self) -> Iterator[tuple[int, float]]:
        """The slides in flight, and in how many seconds each is done."""
        for turn, slide in enumerate(self.drawing):
            yield slide, self._ends_in_s(turn)

    def _ends_in_s(self, turn: int) -> float:
        """When the slide is done that has so many before it, in seconds from now."""
        slide_s = self.outlook.slide_s
        # Of what is late nothing is known but that it is: suppose that it will be so once more.
        first_s = abs(slide_s - self.outlook.busy_s)
        return first_s + slide_s * (turn // self.outlook.at_once)


class Schedule:
    """The slides still to draw, and which of them comes next.

    Every slide is handed out once, by `take` or `take_fillable`, and then given back by `finish` or
    `fail`.
    """

    def __init__(self, steps: Iterable[Step], finished: Collection[int] = ()) -> None:
        """steps: each after those that it is made from. finished: slides that are there."""
        todo = [step for step in steps if step.slide not in finished]
        self.total = len(todo)
        self._left = sum(step.uses_backend for step in todo)
        self._waiting: dict[int, list[Step]] = defaultdict(list)
        self._level: dict[int, int] = {}  # slides ahead on the longest chain that backends draw
        unfinished = {step.slide for step in todo}
        for step in reversed(todo):
            ahead = (self._level[each.slide] for each in self._waiting[step.slide])
            self._level[step.slide] = step.uses_backend + max(ahead, default=0)
            for source in unfinished.intersection(step.sources):
                self._waiting[source].append(step)
        self._missing = {
            step.slide: len(unfinished.intersection(step.sources)) for step in todo
        }  # of what it is made from
        ready = [step for step in todo if not self._missing[step.slide]]
        self._ready = sorted((step for step in ready if step.uses_backend), key=self._rank)
        self._fillable = deque(step for step in ready if not step.uses_backend)
        self._begun: dict[int, Step] = {}  # the ready ones whose previous was drawn in this run
        self._in_flight: dict[int, int] = {}  # slide -> its backend, in the order of `take`
        self._critical = 0.0  # the level from which a chain is critical

    @property
    def longest_chain(self) -> int:
        """Slides that must follow each other: no run is shorter than these, one after the other."""
        return max(self._level.values(), default=0)

    def take(self, backends: Sequence[BackendEstimate]) -> tuple[Step, int] | None:
        """The slide to send now, and the number of the backend that it goes to.

        backends: those that work, at least one. None while no slide can be sent, or none should.
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
        rest_s = self._left * fastest_s / speed  # what the rest of the film takes at least
        for step, ready_in_s in self._in_order(queues):
            after_s = (self._level[step.slide] - 1) * fastest_s
            in_time = [queue for queue in free if queue.done_in_s() + after_s <= rest_s]
            if self._is_critical(step) or not in_time:
                in_time = queues
            queue = min(in_time, key=lambda each: each.done_in_s(ready_in_s))
            if queue in free and not self._missing[step.slide]:
                return self._hand_out(step, queue.outlook.backend)
            if queue.done_in_s() <= ready_in_s:
                continue  # it has time for another one before
            queue.free_in_s = queue.done_in_s(ready_in_s)  # it is left for this one
            if queue in free:
                free.remove(queue)
            if not free:
                return None
        return None

    def take_fillable(self) -> Step | None:
        """The next slide that is filled without a backend, or None while there is none."""
        return self._fillable.popleft() if self._fillable else None

    def finish(self, step: Step) -> None:
        """Its slide is drawn: those that are made from it can be taken."""
        self._give_back(step)
        for following in sorted(self._waiting.pop(step.slide, ()), key=self._rank):
            self._missing[following.slide] -= 1
            if self._missing[following.slide]:
                continue
            if following.uses_backend:
                insort(self._ready, following, key=self._rank)
                self._begun[following.slide] = following
            else:
                self._fillable.append(following)

    def fail(self, step: Step) -> list[int]:
        """Give up a step and what depends on it. Return the slides lost."""
        self._give_back(step)
        lost = {step.slide}
        hopeless = self._waiting.pop(step.slide, [])
        while hopeless:
            gone = hopeless.pop()
            if gone.slide in lost:
                continue
            lost.add(gone.slide)
            self._left -= gone.uses_backend
            hopeless += self._waiting.pop(gone.slide, ())
        return sorted(lost)

    def upcoming(self, count: int) -> list[Step]:
        """Return the next slides as far as is known: ready, or waiting for one in flight."""
        following = self._following()
        critical = [*islice(self._critical_ones(), count), *filter(self._is_critical, following)]
        critical.sort(key=self._rank, reverse=True)
        every = [*critical, *following, *islice(self._others(), count)]
        return list(dict.fromkeys(every))[:count]

    def _give_back(self, step: Step) -> None:
        if step.uses_backend:
            del self._in_flight[step.slide]
            self._left -= 1

    def _hand_out(self, step: Step, backend: int) -> tuple[Step, int]:
        del self._ready[bisect_left(self._ready, self._rank(step), key=self._rank)]
        self._begun.pop(step.slide, None)
        self._in_flight[step.slide] = backend
        return step, backend

    def _in_order(self, queues: Iterable[_Queue]) -> Iterator[tuple[Step, float]]:
        """The steps that backends are wanted for, and in how many seconds each can be sent.

        First the critical ones, among them those that still wait for a slide in flight; then the
        others that are ready.
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
        # Of equal levels the ready ones go first: nobody has to wait for them.
        yield from heapq.merge(ready, coming, key=lambda each: -self._level[each[0].slide])
        yield from ((step, 0.0) for step in self._others())

    def _critical_ones(self) -> Iterator[Step]:
        """Ready and critical, the longest chain first."""
        return takewhile(self._is_critical, reversed(self._ready))

    def _others(self) -> Iterator[Step]:
        """Ready and not critical: what follows the slide drawn last, then middles."""
        yield from (step for step in reversed(self._begun.values()) if not self._is_critical(step))
        for step in reversed(self._ready):
            if step.slide not in self._begun and not self._is_critical(step):
                yield step

    def _following(self) -> list[Step]:
        """What waits for a slide in flight."""
        waiting = (step for slide in self._in_flight for step in self._waiting.get(slide, ()))
        return sorted(filter(attrgetter("uses_backend"), waiting), key=self._rank, reverse=True)

    def _queues(self, backends: Iterable[BackendEstimate]) -> list[_Queue]:
        drawing: dict[int, list[int]] = defaultdict(list)
        for slide, backend in self._in_flight.items():
            drawing[backend].append(slide)
        return [_Queue(each, drawing[each.backend]) for each in backends]

    def _is_critical(self, step: Step) -> bool:
        return self._level[step.slide] >= self._critical

    def _rank(self, step: Step) -> tuple[int, int]:
        return self._level[step.slide], -step.slide  # of equal chains, the film's beginning first


def estimate(schedule: Schedule, slide_s: Sequence[float]) -> float:
    """How long drawing takes, in seconds, on backends that take `slide_s` each for a slide.

    Uses the schedule up.
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
