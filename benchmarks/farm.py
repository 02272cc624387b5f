"""Films on a farm, on a simulated clock: drawn as `--batch --dask` draws them, by many servers.

A worker has a server and two threads, so that two scenes take turns at the server. Tasks are those
of `shares.divide`; the longest goes to the worker with the fewest. (Dask sends a worker one task
more than it has threads, and has it stolen back where others are idle; here it stays in the
scheduler's queue.) Films begin as `batch` has them begin, one on its way at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.clock import Clock
from stable_restyle.cluster.shares import TASKS_PER_THREAD, THREADS_PER_WORKER, Share

PREPARED = -1  # in place of a worker: a film is


@dataclass(frozen=True)
class Film:
    """A film as the tasks that it is divided into."""

    shares: Sequence[Share]
    slides: int
    prepare_s: float  # from its begin to its first task


@dataclass(frozen=True)
class Farmed:
    """What drawing films took."""

    seconds: float
    busy: float  # of the time of all servers, 0..1
    tasks: int


@dataclass
class _Task:
    share: Share
    left: float  # slides

    def __lt__(self, other: _Task) -> bool:
        """Which Dask begins first."""
        return self.share.length > other.share.length


@dataclass
class _Worker:
    tasks: list[_Task] = field(default_factory=list)
    since_s: float = 0.0  # when it was so
    turn: int = 0  # how often its tasks have changed

    def draw(self, slides: float) -> None:
        """So many slides, of its tasks in turn."""
        for task in self.tasks:
            task.left -= slides / len(self.tasks)


_Event: TypeAlias = tuple[int, int]  # a worker that has done a task, and its turn; or PREPARED, 0


class _Farm:
    def __init__(self, films: Sequence[Film], workers: int, slide_s: float) -> None:
        self.clock: Clock[_Event] = Clock()
        self.tasks = 0
        self._slide_s = slide_s
        self._workers = [_Worker() for _ in range(workers)]
        self._idle: list[list[int]] = [
            [*range(workers)],
            *([] for _ in range(THREADS_PER_WORKER)),
        ]  # by tasks; some no longer
        self._films = iter(films)
        self._on_its_way: Film | None = None
        self._queue: list[_Task] = []
        self._undone = 0

    def begin_film(self) -> None:
        """If it is time for one."""
        if self._on_its_way or self._undone >= TASKS_PER_THREAD * THREADS_PER_WORKER * len(
            self._workers
        ):
            return
        if film := next(self._films, None):
            self._on_its_way = film
            self.clock.set(self.clock.now + film.prepare_s, (PREPARED, 0))

    def take_in(self, event: _Event) -> None:
        """What has just happened."""
        number, turn = event
        if number == PREPARED and self._on_its_way:
            self._add(self._on_its_way.shares)
            self._on_its_way = None
        elif self._workers[number].turn == turn:
            worker = self._catch_up(number)
            done = min(worker.tasks, key=lambda task: task.left)
            worker.tasks.remove(done)
            self._undone -= 1
            self._add(done.share.then)
            self._go_on(number)

    def place(self) -> None:
        """Give tasks to workers that have a thread for them."""
        while self._queue and (number := self._take_idle()) is not None:
            self._catch_up(number).tasks.append(heapq.heappop(self._queue))
            self._go_on(number)

    def _add(self, shares: Sequence[Share]) -> None:
        for share in shares:
            heapq.heappush(self._queue, _Task(share, len(share.steps)))
        self._undone += len(shares)
        self.tasks += len(shares)

    def _take_idle(self) -> int | None:
        for count, numbers in enumerate(self._idle[:THREADS_PER_WORKER]):
            while numbers:
                number = numbers.pop()
                if len(self._workers[number].tasks) == count:
                    return number
        return None

    def _catch_up(self, number: int) -> _Worker:
        worker = self._workers[number]
        worker.draw((self.clock.now - worker.since_s) / self._slide_s)
        worker.since_s = self.clock.now
        return worker

    def _go_on(self, number: int) -> None:
        """A worker's tasks have changed."""
        worker = self._workers[number]
        worker.turn += 1
        self._idle[len(worker.tasks)].append(number)
        if worker.tasks:
            left = min(task.left for task in worker.tasks) * len(worker.tasks)
            self.clock.set(self.clock.now + left * self._slide_s, (number, worker.turn))


def draw(films: Sequence[Film], workers: int, slide_s: float) -> Farmed:
    """Draw films on workers whose servers take so long for a slide."""
    farm = _Farm(films, workers, slide_s)
    farm.begin_film()
    while farm.clock:
        event = farm.clock.go()
        assert event is not None
        farm.take_in(event)
        farm.place()
        farm.begin_film()
    seconds = farm.clock.now
    slides = sum(film.slides for film in films)
    return Farmed(seconds, slides * slide_s / (workers * seconds), farm.tasks)
