"""Test the execution of a schedule on thread pools."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import pytest

from benchmarks.schedule import steps_of
from stable_restyle.core.errors import NoBackendLeft, RestyleError, UnusableInput
from stable_restyle.core.records import BackendEstimate, Keys, Step
from stable_restyle.drawing.executor import Failure, Work, execute
from stable_restyle.plan.keyframes import at_least
from stable_restyle.plan.scenes import find_scenes, steps
from stable_restyle.plan.schedule import Schedule


class Ticks(list[int]):
    """The ticks of a run; calls a function at each."""

    def __init__(self, act: Callable[[int], object]) -> None:
        super().__init__()
        self._act = act

    def append(self, count: int) -> None:
        super().append(count)
        self._act(count)


class Pictures:
    """Replaces the drawing of pictures: counts calls, and fails at given slides."""

    def __init__(self, failing: dict[int, BaseException] | None = None) -> None:
        self.failing = failing or {}
        self.lock = threading.Lock()
        self.held = self.held_most = 0
        self.drawing = self.drawing_most = 0
        self.unwritable: dict[int, BaseException] = {}
        self.drawn: list[int] = []
        self.filled: list[int] = []
        self.kept: list[int] = []
        self.ticks: list[int] = []
        self.stopped = threading.Event()

    def prepare(self, step: Step) -> int:
        with self.lock:
            self.held += 1
            self.held_most = max(self.held_most, self.held)
        return step.slide

    def draw(self, step: Step, prepared: int, backend: int) -> Callable[[], None]:
        assert prepared == step.slide
        assert backend in (0, 1)
        with self.lock:
            self.drawing += 1
            self.drawing_most = max(self.drawing_most, self.drawing)
        try:
            if step.slide in self.failing:
                raise self.failing[step.slide]
            with self.lock:
                assert step.previous is None or step.previous in self.drawn
                self.drawn.append(step.slide)
            return partial(self.keep, step.slide)
        finally:
            with self.lock:
                self.drawing -= 1
                self.held -= 1

    def fill(self, step: Step) -> Callable[[], None]:
        with self.lock:
            assert {step.previous, step.other_key} <= {*self.drawn}
            self.filled.append(step.slide)
        if step.slide in self.failing:
            raise self.failing[step.slide]
        return partial(self.keep, step.slide)

    def keep(self, slide: int) -> None:
        if slide in self.unwritable:
            raise self.unwritable[slide]
        with self.lock:
            self.kept.append(slide)

    def execute(
        self, steps: list[Step], slots: int = 3, more: Scenes | None = None
    ) -> list[Failure]:
        return execute(
            Schedule(steps),
            Work(self.prepare, self.draw, self.fill),
            backends=lambda: [
                BackendEstimate(0, slots, slots, 1.0, 0.0),
                BackendEstimate(1, 1, 1, 99.0, 0.0),
            ],
            slots=slots,
            preparers=2,
            fillers=2,
            stop=self.stopped.set,
            tick=self.ticks.append,
            more=more,
        )


class Scenes:
    """Steps that come while others are drawn, scene by scene."""

    def __init__(self, steps: list[Step], *, breaks_off: bool = False) -> None:
        self.arrived: Future[None] = Future()
        self.breaks_off = breaks_off
        numbers = sorted({step.scene for step in steps})
        self._scenes = [[step for step in steps if step.scene == each] for each in numbers]

    def take(self) -> list[Step] | None:
        assert self.arrived.done()
        if not self._scenes:
            return None
        self.arrived = Future()
        return self._scenes.pop(0)

    def arrive(self) -> None:
        self.arrived.set_result(None)


def test_threads_draw_every_slide() -> None:
    work = Pictures()
    assert work.execute(steps_of([9, 1, 30, 4])) == []
    assert sorted(work.drawn) == sorted(work.kept) == list(range(44))
    assert sum(work.ticks) == 44
    assert work.drawing_most <= 3
    assert not work.stopped.is_set()


def test_preparation_is_bounded() -> None:
    work = Pictures()
    work.execute(steps_of([40] * 10), slots=2)
    dropped = work.held  # prepared, then overtaken by a longer chain
    assert work.held_most - dropped <= 3 * 2 + 2


def test_one_bad_scene_does_not_stop_the_others() -> None:
    error = UnusableInput("in/000005.png is damaged")
    work = Pictures({4: error})
    failures = work.execute(steps_of([7, 3]))
    assert failures == [Failure(Step(4, 1, 3), [4, 5, 6], error)]
    assert sorted(work.drawn) == [0, 1, 2, 3, 7, 8, 9]


@pytest.mark.parametrize(
    "error", [NoBackendLeft("none"), KeyboardInterrupt(), ZeroDivisionError("a bug")]
)
def test_an_error_of_the_whole_run_ends_it(error: BaseException) -> None:
    work = Pictures({0: error})
    with pytest.raises(type(error)):
        work.execute(steps_of([1, 30]), slots=1)
    assert work.stopped.is_set()
    assert len(work.drawn) < 31


def test_failures_carry_their_reason() -> None:
    reason = RestyleError("no")
    (failure,) = Pictures({0: reason}).execute(steps_of([1]))
    assert failure.reason is reason and failure.lost == [0]


def test_a_slide_that_cannot_be_kept_ends_the_run() -> None:
    work = Pictures()
    work.unwritable[3] = UnusableInput("the disk is full")
    with pytest.raises(UnusableInput, match="the disk is full"):
        work.execute(steps_of([7, 40]))
    assert work.stopped.is_set()
    assert sorted(work.kept) == sorted(set(work.drawn) - {3})


def test_slides_between_keys_are_filled_meanwhile() -> None:
    work = Pictures()
    (scene,) = find_scenes([0, 61], 1)
    chosen = Keys(at_least([scene], 6).keys, frozenset({4, 5}))
    assert work.execute(steps(scene, chosen)) == []
    assert sorted(work.drawn) == [0, 4, 5, *range(6, 61, 6)]
    assert sorted(work.drawn + work.filled) == sorted(work.kept) == list(range(61))
    assert sum(work.ticks) == 61


def test_a_slide_that_cannot_be_filled_is_lost_alone() -> None:
    work = Pictures({8: UnusableInput("in/000009.png is damaged")})
    (scene,) = find_scenes([0, 31], 1)
    (failure,) = work.execute(steps(scene, at_least([scene], 6)))
    assert failure.lost == [8]
    assert sorted(work.kept) == [slide for slide in range(31) if slide != 8]


@pytest.mark.parametrize("known", [0, 1, 3])
def test_scenes_that_come_are_drawn(known: int) -> None:
    """One comes whenever all slides of those before are drawn; nothing is left to wait for then."""
    every = steps_of([5, 1, 8, 3])
    more = Scenes([step for step in every if step.scene > known])
    work = Pictures()
    ends = {0: 0, 5: 1, 6: 2, 14: 3, 17: 4}  # slides drawn -> scenes

    def arrive(_: int) -> None:
        if not more.arrived.done() and ends.get(len(work.kept), 0) >= known:
            more.arrive()

    work.ticks = Ticks(arrive)
    assert work.execute([step for step in every if step.scene <= known], more=more) == []
    assert sorted(work.drawn) == sorted(work.kept) == list(range(17))
    assert not work.stopped.is_set()


def test_scenes_that_are_all_there_already_are_drawn() -> None:
    more = Scenes(steps_of([5, 1, 8]))
    more.arrive()
    work = Pictures()
    more.take = lambda: more._scenes.pop(0) if more._scenes else None  # type: ignore[method-assign]
    assert work.execute([], more=more) == []
    assert sorted(work.drawn) == list(range(14))


def test_what_is_not_begun_is_left_undone_when_steps_break_off() -> None:
    more = Scenes([], breaks_off=True)
    work = Pictures()

    def arrive(_: int) -> None:
        if not more.arrived.done():
            more.arrive()

    work.ticks = Ticks(arrive)
    assert work.execute(steps_of([40] * 5), more=more) == []
    assert 0 < len(work.drawn) < 200
    assert sorted(work.drawn) == sorted(work.kept)
    assert not work.stopped.is_set()


def test_an_error_in_what_comes_ends_the_run() -> None:
    more = Scenes([])
    more.arrive()

    def fail() -> list[Step]:
        raise ZeroDivisionError

    more.take = fail  # type: ignore[method-assign]
    work = Pictures()
    with pytest.raises(ZeroDivisionError):
        work.execute(steps_of([9]), more=more)
    assert work.stopped.is_set()
