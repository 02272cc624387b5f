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

A window takes as long as its pictures do, and counts as that many slides in the length of a chain.
Windows are another model's than slides, and a backend takes long to load one: windows come after
the slides that are ready, and none is sent where a slide will be followed by another one.

Steps are known by their keys: that of a slide is its number, see `Step.key`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile

from stable_restyle.core.records import BackendEstimate, Step, slide_of

# A slide is sent to a busy backend, where it waits for its turn, no earlier than this before that:
# once sent, it cannot give way to a longer chain. The larger of the two counts.
AHEAD_S = 2.0
AHEAD_SHARE = 0.5  # of the time for what it waits for

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
    drawing: Sequence[Step]  # in flight there, in their order
    free_in_s: float = field(init=False)  # until it can start another one

    def __post_init__(self) -> None:
        before = len(self.drawing) - self.estimate.at_once
        self.free_in_s = 0.0 if before < 0 else self._ends_in_s(before)

    @property
    def takes_one(self) -> bool:
        """Return whether a slide may be sent there now."""
        last_s = self._takes_s(self.drawing[-1]) if self.drawing else 0.0
        ahead_s = max(AHEAD_S, AHEAD_SHARE * last_s)
        return len(self.drawing) < self.estimate.slots and self.free_in_s <= ahead_s

    def done_in_s(self, step: Step, ready_in_s: float = 0.0) -> float:
        """Return when a step that can be sent after `ready_in_s` would be finished."""
        return max(self.free_in_s, ready_in_s) + self._takes_s(step)

    def ends(self) -> Iterator[tuple[int, float]]:
        """Yield the keys of the steps in flight, and in how many seconds each will be finished."""
        for turn, step in enumerate(self.drawing):
            yield step.key, self._ends_in_s(turn)

    def _ends_in_s(self, turn: int) -> float:
        """Return in how many seconds the step after `turn` others will be finished."""
        at_once = self.estimate.at_once
        first, *others = self.drawing[turn % at_once : turn + 1 : at_once]
        # An overdue slide gives no better estimate: assume that it needs as long again as it is
        # late.
        return abs(self._takes_s(first) - self.estimate.busy_s) + sum(map(self._takes_s, others))

    def _takes_s(self, step: Step) -> float:
        return seconds(step, self.estimate.slide_s, self.estimate.picture_s)


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
        self.total = self._left = self._left_pictures = 0  # pictures: of windows
        self._place: dict[int, int] = {}
        self._waiting: dict[int, list[Step]] = defaultdict(list)
        self._level: dict[int, int] = {}  # slides ahead on the longest chain that backends draw
        # key -> number of the steps before it that are not finished
        self._missing: dict[int, int] = {}
        self._ready: list[Step] = []
        self._heads: list[Step] = []  # those of `_ready` that nothing precedes, in their order
        self._windows: list[Step] = []  # those that are ready, in their order
        self._fillable: deque[Step] = deque()
        self._begun: dict[int, Step] = {}  # ready, and the previous slide was drawn in this run
        # key -> step and its backend, in the order of `take`
        self._in_flight: dict[int, tuple[Step, int]] = {}
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
        self._left += sum(not step.pictures for step in todo if step.uses_backend)
        self._left_pictures += sum(step.pictures for step in todo)
        unfinished = {step.key for step in todo}
        for step in reversed(todo):
            ahead = (self._level[each.key] for each in self._waiting[step.key])
            self._level[step.key] = _length(step) + max(ahead, default=0)
            for source in unfinished.intersection(step.needs):
                self._waiting[source].append(step)
        self._missing.update({step.key: len(unfinished.intersection(step.needs)) for step in todo})
        ready = [step for step in todo if not self._missing[step.key]]
        heads = [step for step in ready if step.uses_backend and not step.pictures]
        self._windows += [step for step in ready if step.pictures]
        self._heads += heads
        self._ready += heads
        self._ready.sort(key=self._rank)
        self._fillable += [step for step in ready if not step.uses_backend]

    def clear(self) -> None:
        """Drop every step that is not handed out."""
        for dropped in (self._ready, self._heads, self._windows, self._fillable, self._waiting):
            dropped.clear()
        self._begun.clear()

    @property
    def drawable(self) -> int:
        """Return how many slides and answers backends draw now, or could draw."""
        return len(self._in_flight) + len(self._ready)

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
        if not free or not (self._ready or self._windows):
            return None
        slide_s = [max(backend.slide_s, SHORTEST_S) for backend in backends]
        fastest_s = min(slide_s)
        speed = sum(
            backend.at_once * fastest_s / its_s
            for backend, its_s in zip(backends, slide_s, strict=True)
        )
        self._critical = (self._left + self._left_pictures) / (1 + SPARE * (speed - 1))
        rest_s = self._left * fastest_s / speed  # lower bound for the rest of the film
        pictures_a_s = sum(each.at_once / max(each.picture_s, SHORTEST_S) for each in backends)
        rest_s += self._left_pictures / pictures_a_s
        for step, ready_in_s in self._in_order(queues):
            after_s = (self._level[step.key] - _length(step)) * fastest_s
            able = [each for each in queues if not (step.pictures and self._goes_on(each))]
            in_time = [
                queue
                for queue in able
                if queue in free and queue.done_in_s(step) + after_s <= rest_s
            ]
            if self._is_critical(step) or not in_time:
                in_time = able
            if not in_time:
                continue
            done_in_s = [each.done_in_s(step, ready_in_s) for each in in_time]
            queue = in_time[done_in_s.index(min(done_in_s))]
            if queue in free and not self._missing[step.key]:
                return self._hand_out(step, queue.estimate.backend)
            if queue.done_in_s(step) <= ready_in_s:
                continue  # it has time for another slide first
            queue.free_in_s = queue.done_in_s(step, ready_in_s)  # reserved for this slide
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
            if following.pictures:
                insort(self._windows, following, key=self._place_of)
            elif following.uses_backend:
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
            self._take_off(gone)
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
            self._take_off(step)

    def _take_off(self, step: Step) -> None:
        """Count a step as no longer left for the backends."""
        self._left_pictures -= step.pictures
        self._left -= step.uses_backend and not step.pictures

    def _hand_out(self, step: Step, backend: int) -> tuple[Step, int]:
        self._in_flight[step.key] = step, backend
        if step.pictures:
            self._windows.remove(step)
            return step, backend
        del self._ready[bisect_left(self._ready, self._rank(step), key=self._rank)]
        if self._begun.pop(step.key, None) is None:
            del self._heads[bisect_left(self._heads, self._place[step.key], key=self._place_of)]
        return step, backend

    def _in_order(self, queues: Iterable[_Queue]) -> Iterator[tuple[Step, float]]:
        """Yield the steps that need a backend, and in how many seconds each can be sent.

        First the critical slides, also those that still wait for one in flight; then the others
        that are ready; then the windows that are ready.
        """
        coming = [
            (step, ends_in_s)
            for queue in queues
            for slide, ends_in_s in queue.ends()
            for step in self._waiting.get(slide, ())
            if step.uses_backend and not step.pictures and self._is_critical(step)
        ]
        coming.sort(key=lambda each: self._rank(each[0]), reverse=True)
        ready = ((step, 0.0) for step in self._critical_ones())
        # Of equal levels the ready ones go first.
        yield from heapq.merge(ready, coming, key=lambda each: -self._level[each[0].key])
        yield from ((step, 0.0) for step in self._others())
        yield from ((step, 0.0) for step in self._windows_in_order())

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

    def _windows_in_order(self) -> list[Step]:
        """Return the windows that are ready: the longest of those that are critical, or in order.

        In the order of the film, as for chains.
        """
        critical = sorted(filter(self._is_critical, self._windows), key=self._rank, reverse=True)
        return critical + [step for step in self._windows if not self._is_critical(step)]

    def _following(self) -> list[Step]:
        """Return the steps that wait for a slide in flight, the longest chain first."""
        waiting = (step for slide in self._in_flight for step in self._waiting.get(slide, ()))
        slides = (step for step in waiting if step.uses_backend and not step.pictures)
        return sorted(slides, key=self._rank, reverse=True)

    def _queues(self, backends: Iterable[BackendEstimate]) -> list[_Queue]:
        drawing: dict[int, list[Step]] = defaultdict(list)
        for step, backend in self._in_flight.values():
            drawing[backend].append(step)
        return [_Queue(each, drawing[each.backend]) for each in backends]

    def _goes_on(self, queue: _Queue) -> bool:
        """Return whether a slide that is drawn there is followed by another one."""
        waiting = (step for each in queue.drawing for step in self._waiting.get(each.key, ()))
        return any(step.uses_backend and not step.pictures for step in waiting)

    def _is_critical(self, step: Step) -> bool:
        return self._level[step.key] >= self._critical

    def _place_of(self, step: Step) -> int:
        return self._place[step.key]

    def _rank(self, step: Step) -> tuple[int, int]:
        return self._level[step.key], -self._place[step.key]


def seconds(step: Step, slide_s: float, picture_s: float) -> float:
    """Return how long a backend takes for a step: a slide, or a window by its pictures."""
    return step.pictures * picture_s if step.pictures else slide_s


def _length(step: Step) -> int:
    """Return how many slides a step counts as in a chain; none if no backend makes it."""
    return step.pictures or step.uses_backend


def estimate(
    schedule: Schedule, slide_s: Sequence[float], picture_s: Sequence[float] | None = None
) -> float:
    """Return how many seconds drawing takes on backends that each take `slide_s` for a slide.

    picture_s: for a picture of a window; None: as long as for a slide. What needs no backend takes
    no time. The schedule is empty afterwards.
    """
    picture_s = picture_s or slide_s
    clock = 0.0
    began = [0.0] * len(slide_s)
    running: list[tuple[float, int, Step]] = []

    def backends() -> list[BackendEstimate]:
        return [
            BackendEstimate(
                number,
                at_once=1,
                slots=1,
                slide_s=takes_s,
                busy_s=clock - began[number],
                picture_s=its_picture_s,
            )
            for number, (takes_s, its_picture_s) in enumerate(zip(slide_s, picture_s, strict=True))
        ]

    while True:
        while filled := schedule.take_fillable():
            schedule.finish(filled)
        while given := schedule.take(backends()):
            step, number = given
            began[number] = clock
            ends = clock + seconds(step, slide_s[number], picture_s[number])
            heapq.heappush(running, (ends, number, step))
        if not running:
            return clock
        clock, _, done = heapq.heappop(running)
        schedule.finish(done)
