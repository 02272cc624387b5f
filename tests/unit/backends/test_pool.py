"""The pool: who gets a slide, what a fault costs, and when there is nothing left to wait for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from support.programs import LONGEST_S

from stable_restyle.backends import pool as pools
from stable_restyle.backends.base import BackendCheck, WindowPictures
from stable_restyle.backends.pool import Pool
from stable_restyle.core.errors import NoBackendLeft, OutOfMemory, ServerFault, WorkflowFault
from stable_restyle.core.records import Job, Slide, Window, WindowJob

PICTURE = np.zeros((2, 2, 3), np.uint8)


def job(slide: int = 0) -> Job:
    return Job(slide, 1, PICTURE, PICTURE[:, :, 0])


def window(first: int = 0, slides: int = 5) -> WindowJob:
    shown = Window(range(first, first + slides), slides)
    return WindowJob(shown, 1, (2, 2), Fraction(24), frozenset())


@dataclass(frozen=True)
class Made:
    """The pictures of a window; reading one calls a function."""

    count: int
    reads: Callable[[int], None]

    def read(self, place: int) -> Slide:
        self.reads(place)
        return Slide(PICTURE)

    def __iter__(self) -> Iterator[Slide]:
        return map(self.read, range(self.count))


class Painter:
    """A backend whose draws call a function."""

    engine, about = "test", "a test's"

    def __init__(
        self,
        name: str,
        does: Callable[[Job], None] = lambda _: None,
        slots: int = 2,
        at_once: int = 1,
    ):
        self.name, self.does, self.slots, self.at_once = name, does, slots, at_once
        self.lock = threading.Lock()
        self.drawn: list[int] = []
        self.made: list[range] = []  # windows
        self.makes: Callable[[WindowJob], None] = lambda _: None
        self.reads: Callable[[int], None] = lambda _: None
        self.freed = 0
        self.alive = True
        self.asked = threading.Event()

    def fit(self) -> list[str]:
        return []

    def check(self, size: tuple[int, int]) -> BackendCheck:
        return BackendCheck(self.name)

    def draw(self, job: Job) -> Slide:
        self.does(job)
        with self.lock:
            self.drawn.append(job.slide)
        return Slide(job.guide)

    @contextmanager
    def draw_window(self, job: WindowJob) -> Iterator[WindowPictures]:
        self.makes(job)
        with self.lock:
            self.made.append(job.window.slides)
        yield Made(len(job.window.slides), self.reads)

    def free_memory(self) -> None:
        self.freed += 1

    def answers(self) -> bool:
        self.asked.set()
        return self.alive

    def close(self) -> None:
        self.alive = False


def failing(error: Exception) -> Callable[[Job], None]:
    def fail(_: Job) -> None:
        raise error

    return fail


@contextmanager
def pool_of(*painters: Painter, patience_s: float = 60.0) -> Iterator[Pool]:
    with Pool(painters, patience_s) as pool:
        yield pool


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "FIRST_PAUSE_S", 0.01)


def test_slides_are_shared_and_no_backend_gets_more_than_its_slots() -> None:
    everyone = threading.Barrier(5)

    def meet(_: Job) -> None:
        everyone.wait(LONGEST_S)

    painters = [Painter("a", meet, slots=2), Painter("b", meet, slots=3)]
    with pool_of(*painters) as pool, ThreadPoolExecutor(9) as threads:
        assert pool.slots == 5
        list(threads.map(pool.draw, map(job, range(10)), [0] * 10))
    assert (len(painters[0].drawn), len(painters[1].drawn)) == (4, 6)


def test_a_slide_goes_to_the_backend_that_was_chosen_for_it() -> None:
    one, other = Painter("one"), Painter("other")
    with pool_of(one, other) as pool:
        for slide in range(4):
            pool.draw(job(slide), slide % 2)
    assert (one.drawn, other.drawn) == ([0, 2], [1, 3])


def test_where_the_chosen_backend_has_no_room_another_draws() -> None:
    begun, hold = threading.Event(), threading.Event()

    def wait(_: Job) -> None:
        begun.set()
        hold.wait(LONGEST_S)

    busy, idle = Painter("busy", wait, slots=1), Painter("idle")
    with pool_of(busy, idle) as pool, ThreadPoolExecutor(1) as threads:
        held = threads.submit(pool.draw, job(0), 0)
        assert begun.wait(LONGEST_S)
        pool.draw(job(1), 0)
        hold.set()
        held.result()
    assert (busy.drawn, idle.drawn) == ([0], [1])


def test_what_is_expected_of_a_backend_is_learnt_from_its_slides_but_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 100.0
    monkeypatch.setattr(pools, "time", SimpleNamespace(perf_counter=lambda: clock))

    def take(seconds: float) -> Callable[[Job], None]:
        def work(job: Job) -> None:
            nonlocal clock
            clock += seconds * (10 if job.slide == 0 else 1)

        return work

    with pool_of(Painter("slow", take(8.0)), Painter("fast", take(2.0))) as pool:
        assert {estimate.slide_s for estimate in pool.estimates()} == {pools.SLIDE_S}
        pool.draw(job(0), 0)  # it loads its models
        for slide in (1, 2):
            pool.draw(job(slide), 0)
        assert [estimate.slide_s for estimate in pool.estimates()] == [8.0, 8.0]
        for slide in (3, 4):
            pool.draw(job(slide), 1)
        assert [estimate.slide_s for estimate in pool.estimates()] == [8.0, 2.0]


class ClockedPool:
    """A backend of two slots on which draws begin and end by a clock that the test sets."""

    def __init__(self, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = 100.0
        monkeypatch.setattr(pools, "time", SimpleNamespace(perf_counter=lambda: self.clock))
        self._sent = [threading.Event() for _ in range(6)]
        self._done = [threading.Event() for _ in range(6)]
        self.pool = Pool([Painter("one", self._work, slots=2, at_once=at_once)], 60.0)
        self._threads = ThreadPoolExecutor(2)
        self._slides: dict[int, Future[Slide]] = {}

    def _work(self, job: Job) -> None:
        self._sent[job.slide].set()
        assert self._done[job.slide].wait(LONGEST_S)

    def send(self, slide: int, at: float) -> None:
        self.clock = at
        self._slides[slide] = self._threads.submit(self.pool.draw, job(slide), 0)
        assert self._sent[slide].wait(LONGEST_S)

    def end(self, slide: int, at: float) -> tuple[float, float]:
        """Finish a slide; return when it began and how long it took."""
        self.clock = at
        self._done[slide].set()
        drawn = self._slides[slide].result(LONGEST_S).drawn
        assert drawn is not None
        return drawn.began, drawn.seconds

    def close(self) -> None:
        for done in self._done:
            done.set()
        self._threads.shutdown()
        self.pool.close()


def test_slides_side_by_side_take_their_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come every four seconds, but a slide takes eight."""
    with closing(ClockedPool(2, monkeypatch)) as clocked:
        clocked.send(0, at=100)
        clocked.end(0, at=110)  # it loaded its models
        clocked.send(1, at=110)
        clocked.send(2, at=114)
        assert clocked.end(1, at=118) == (110, 8)
        clocked.send(3, at=118)
        assert clocked.pool.estimates()[0].busy_s == 4
        assert clocked.end(2, at=122) == (114, 8)
        assert clocked.end(3, at=126) == (118, 8)
        assert clocked.pool.estimates()[0].slide_s == 8


def test_a_slide_that_waits_at_a_backend_is_begun_when_its_turn_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with closing(ClockedPool(1, monkeypatch)) as clocked:
        clocked.send(0, at=100)
        clocked.send(1, at=101)
        assert clocked.end(0, at=110) == (100, 10)
        clocked.send(2, at=111)
        assert clocked.pool.estimates()[0].busy_s == 1
        assert clocked.end(1, at=118) == (110, 8)
        assert clocked.end(2, at=126) == (118, 8)
        assert clocked.pool.estimates()[0].slide_s == 8
        assert clocked.pool.estimates()[0].busy_s == 0


def test_nothing_is_expected_of_a_backend_that_has_failed() -> None:
    bad, good = Painter("bad", failing(ServerFault("it is down"))), Painter("good")
    bad.alive = False
    with pool_of(bad, good) as pool:
        pool.draw(job(0), 0)
        assert [estimate.backend for estimate in pool.estimates()] == [1]
    with pool_of(bad) as pool:
        pool._suspend(pool._members[0], ServerFault("it is down"))
        assert [estimate.backend for estimate in pool.estimates()] == [0]  # to be waited for


def test_slides_of_a_backend_that_fails_go_to_the_others() -> None:
    bad, good = Painter("bad", failing(ServerFault("it is down"))), Painter("good")
    bad.alive = False
    with pool_of(bad, good) as pool:
        for slide in range(5):
            pool.draw(job(slide), 0)
        assert bad.asked.wait(LONGEST_S)
    assert (bad.drawn, good.drawn) == ([], [0, 1, 2, 3, 4])


def test_a_backend_that_answers_again_is_used_again() -> None:
    faults = iter([ServerFault("restarting")])

    def once(_: Job) -> None:
        if fault := next(faults, None):
            raise fault

    only = Painter("only", once)
    with pool_of(only) as pool:
        pool.draw(job(3), 0)
    assert only.drawn == [3]


def test_with_all_gone_the_run_ends_when_patience_does(caplog: pytest.LogCaptureFixture) -> None:
    painters = [Painter(name, failing(ServerFault(f"{name} is down"))) for name in ("a", "b")]
    for painter in painters:
        painter.alive = False
    with (
        caplog.at_level(logging.WARNING),
        pool_of(*painters, patience_s=0.05) as pool,
        pytest.raises(NoBackendLeft, match=r"000008\.png:\n  a: a is down\n  b: b is down\n"),
    ):
        pool.draw(job(7), 0)
    assert "No backend is left" in caplog.text


def test_a_workflow_that_two_backends_refuse_ends_the_run() -> None:
    refusing = [Painter(name, failing(WorkflowFault(f"{name}: no model"))) for name in "abc"]
    with pool_of(*refusing) as pool, pytest.raises(WorkflowFault, match="b: no model"):
        pool.draw(job(), 0)


def test_a_workflow_that_the_only_working_backend_refuses_ends_the_run() -> None:
    down = Painter("down", failing(ServerFault("down")))
    down.alive = False
    refusing = Painter("refusing", failing(WorkflowFault("no model")))
    with pool_of(down, refusing) as pool, pytest.raises(WorkflowFault, match="no model"):
        pool.draw(job(), 0)


def test_a_workflow_that_one_of_two_refuses_is_that_ones_fault() -> None:
    refusing, good = Painter("refusing", failing(WorkflowFault("no model"))), Painter("good")
    refusing.alive = False
    with pool_of(refusing, good) as pool:
        for slide in range(4):
            pool.draw(job(slide), 0)
    assert good.drawn == [0, 1, 2, 3]


def test_out_of_memory_gets_one_more_try_with_memory_freed() -> None:
    faults = iter([OutOfMemory("full")])

    def once(_: Job) -> None:
        if fault := next(faults, None):
            raise fault

    full = Painter("full", once)
    with pool_of(full) as pool:
        pool.draw(job(1), 0)
    assert (full.freed, full.drawn) == (1, [1])


def test_closing_releases_everyone_who_waits() -> None:
    down = Painter("down", failing(ServerFault("down")))
    down.alive = False
    pool = Pool([down], 60.0)
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(pool.draw, job(slide), 0) for slide in range(3)]
        assert down.asked.wait(LONGEST_S)
        pool.close()
        for each in waiting:
            with pytest.raises(NoBackendLeft):
                each.result(LONGEST_S)
    assert not any(thread.name == "look for backends" for thread in threading.enumerate())


def test_a_window_is_made_and_its_pictures_are_received() -> None:
    good = Painter("good")
    with pool_of(good) as pool:
        read, drawn = pool.draw_window(window(3), 0, lambda made: len(list(made)))
    assert (read, drawn.backend, good.made) == (5, "good", [range(3, 8)])


def test_a_backend_that_fails_while_pictures_are_fetched_gives_the_window_to_another() -> None:
    bad, good = Painter("bad"), Painter("good")
    bad.alive = False
    bad.reads = lambda place: failing(ServerFault("gone"))(job()) if place == 3 else None
    received: list[int] = []

    def receive(made: WindowPictures) -> None:
        received.append(0)
        for _ in made:
            received[-1] += 1

    with pool_of(bad, good) as pool:
        _, drawn = pool.draw_window(window(), 0, receive)
    assert (received, drawn.backend) == ([3, 5], "good")


def test_a_window_that_two_backends_refuse_ends_the_run() -> None:
    refusing = [Painter("one"), Painter("two")]
    for each in refusing:
        each.reads = lambda _: failing(WorkflowFault("mixed sizes"))(job())
    with pool_of(*refusing) as pool, pytest.raises(WorkflowFault, match="mixed sizes"):
        pool.draw_window(window(), 0, list)
    assert [len(each.made) for each in refusing] == [1, 1]


def test_out_of_memory_gives_a_window_one_more_try() -> None:
    faults = iter([OutOfMemory("full")])
    full = Painter("full")

    def once(_: WindowJob) -> None:
        if fault := next(faults, None):
            raise fault

    full.makes = once
    with pool_of(full) as pool:
        pool.draw_window(window(), 0, list)
    assert (full.freed, len(full.made)) == (1, 1)


def test_speeds_of_slides_and_of_windows_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def takes(seconds: float) -> Callable[[object], None]:
        def take(_: object) -> None:
            clock[0] += seconds

        return take

    one = Painter("one", takes(3))
    one.makes = takes(20)
    with pool_of(one) as pool:
        for first in (0, 4, 8):  # the first of a kind loads a model, and does not count
            pool.draw(job(first), 0)
            pool.draw_window(window(first, 5), 0, list)
        (found,) = pool.estimates()
    assert (found.slide_s, found.picture_s) == (3, 4)
