"""Simulate many films on a large cluster, drawn as `--batch --dask` draws them.

A worker has one server and two threads, so that two scenes take turns at the server. Tasks are
those of `shares.divide`; the longest goes to the worker with the fewest. (Dask sends a worker one
task more than it has threads, and lets idle workers steal it; here it stays in the scheduler's
queue.) Films begin as in `batch`: one is being prepared at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.clock import Clock
from stable_restyle.cluster.shares import TASKS_PER_THREAD, THREADS_PER_WORKER, Share

PREPARED = -1  # in place of a worker's number: a film has been prepared


@dataclass(frozen=True)
class Film:
    """A film as the tasks that it is divided into."""

    shares: Sequence[Share]
    slides: int
    prepare_s: float  # from its start to its first task


@dataclass(frozen=True)
class Usage:
    """How long drawing films took, and how busy that kept the servers."""

    seconds: float
    busy: float  # of the time of all servers, 0..1
    tasks: int


@dataclass
class _Task:
    share: Share
    left: float  # slides

    def __lt__(self, other: _Task) -> bool:
        """Order tasks as Dask starts them: the longest first."""
        return self.share.length > other.share.length


@dataclass
class _Worker:
    tasks: list[_Task] = field(default_factory=list)
    since_s: float = 0.0  # when its tasks were last updated
    turn: int = 0  # how often its tasks have changed

    def draw(self, slides: float) -> None:
        """Draw a number of slides, of its tasks in turn."""
        for task in self.tasks:
            task.left -= slides / len(self.tasks)


_Event: TypeAlias = tuple[int, int]  # a worker that finishes a task, and its turn; or PREPARED, 0


class _Simulation:
    def __init__(self, films: Sequence[Film], workers: int, slide_s: float) -> None:
        self.clock: Clock[_Event] = Clock()
        self.tasks = 0
        self._slide_s = slide_s
        self._workers = [_Worker() for _ in range(workers)]
        self._idle: list[list[int]] = [
            [*range(workers)],
            *([] for _ in range(THREADS_PER_WORKER)),
        ]  # worker numbers by number of tasks; outdated entries are skipped
        self._films = iter(films)
        self._preparing: Film | None = None
        self._queue: list[_Task] = []
        self._unfinished = 0

    def begin_film(self) -> None:
        """Start preparing a film if the workers will soon need one."""
        if self._preparing or self._unfinished >= TASKS_PER_THREAD * THREADS_PER_WORKER * len(
            self._workers
        ):
            return
        if film := next(self._films, None):
            self._preparing = film
            self.clock.set(self.clock.now + film.prepare_s, (PREPARED, 0))

    def handle(self, event: _Event) -> None:
        """Handle an event: a film is prepared, or a worker has finished a task."""
        number, turn = event
        if number == PREPARED and self._preparing:
            self._add(self._preparing.shares)
            self._preparing = None
        elif self._workers[number].turn == turn:
            worker = self._catch_up(number)
            done = min(worker.tasks, key=lambda task: task.left)
            worker.tasks.remove(done)
            self._unfinished -= 1
            self._add(done.share.then)
            self._reschedule(number)

    def place(self) -> None:
        """Give tasks to workers that have a thread for them."""
        while self._queue and (number := self._take_idle()) is not None:
            self._catch_up(number).tasks.append(heapq.heappop(self._queue))
            self._reschedule(number)

    def _add(self, shares: Sequence[Share]) -> None:
        for share in shares:
            heapq.heappush(self._queue, _Task(share, len(share.steps)))
        self._unfinished += len(shares)
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

    def _reschedule(self, number: int) -> None:
        """Set the next event of a worker whose tasks have changed."""
        worker = self._workers[number]
        worker.turn += 1
        self._idle[len(worker.tasks)].append(number)
        if worker.tasks:
            left = min(task.left for task in worker.tasks) * len(worker.tasks)
            self.clock.set(self.clock.now + left * self._slide_s, (number, worker.turn))


def simulate(films: Sequence[Film], workers: int, slide_s: float) -> Usage:
    """Draw films on workers whose servers take slide_s for each slide."""
    cluster = _Simulation(films, workers, slide_s)
    cluster.begin_film()
    while cluster.clock:
        event = cluster.clock.go()
        assert event is not None
        cluster.handle(event)
        cluster.place()
        cluster.begin_film()
    seconds = cluster.clock.now
    slides = sum(film.slides for film in films)
    return Usage(seconds, slides * slide_s / (workers * seconds), cluster.tasks)
