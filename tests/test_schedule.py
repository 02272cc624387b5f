"""Highest level first, on plain values and a simulated clock; then the threads that do it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stable_restyle import scenes
from stable_restyle.errors import NoBackendLeft, RestyleError, UnusableInput
from stable_restyle.model import Step
from stable_restyle.schedule import Failure, Schedule, carry_out, estimate


def steps_of(lengths: list[int]) -> list[Step]:
    """The steps of a film with scenes of so many slides."""
    bounds = [0]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    return [step for scene in scenes.find_scenes(bounds, 1) for step in scenes.steps(scene)]


lengths = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@given(lengths, st.sets(st.integers(0, 100)), st.integers(1, 9))
def test_every_slide_is_drawn_once_after_its_previous(
    lengths: list[int], finished: set[int], slots: int
) -> None:
    steps = steps_of(lengths)
    schedule = Schedule(steps, finished)
    there = {step.slide for step in steps} & finished
    drawn: list[int] = []
    in_flight: list[Step] = []
    while True:
        while len(in_flight) < slots and (step := schedule.take()):
            assert step.previous is None or step.previous in there
            in_flight.append(step)
        if not in_flight:
            break
        step = in_flight.pop(0)
        schedule.finish(step)
        there.add(step.slide)
        drawn.append(step.slide)
    assert sorted(drawn) == sorted({step.slide for step in steps} - finished)
    assert schedule.total == len(drawn)


@given(lengths, st.integers(1, 9))
def test_a_simulated_run_is_close_to_its_lower_bound(lengths: list[int], servers: int) -> None:
    """Graham's bound holds for any list schedule; Hu's rule must reach it at least."""
    steps = steps_of(lengths)
    longest = Schedule(steps).longest_chain
    took = estimate(Schedule(steps), servers, 1.0)
    assert max(len(steps) / servers, longest) <= took
    assert took <= len(steps) / servers + longest * (1 - 1 / servers) + 1e-9


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3))
@settings(deadline=None)
def test_small_films_take_the_shortest_time_possible(lengths: list[int], servers: int) -> None:
    steps = steps_of(lengths)
    assert estimate(Schedule(steps), servers, 1.0) == shortest(steps, servers)


def shortest(steps: list[Step], servers: int) -> int:
    """The fewest rounds in which `servers` can draw all slides, by trying every choice."""
    everything = frozenset(step.slide for step in steps)

    @cache
    def rounds(drawn: frozenset[int]) -> int:
        if drawn == everything:
            return 0
        ready = [
            step.slide
            for step in steps
            if step.slide not in drawn and (step.previous is None or step.previous in drawn)
        ]
        from itertools import combinations

        choices = combinations(ready, min(servers, len(ready)))
        return 1 + min(rounds(drawn | frozenset(choice)) for choice in choices)

    return rounds(frozenset())


def test_the_longest_chain_goes_first() -> None:
    schedule = Schedule(steps_of([3, 9, 5]))
    middles = [schedule.take(), schedule.take(), schedule.take()]
    assert [step.scene for step in middles if step] == [2, 3, 1]
    assert schedule.take() is None


def test_a_finished_slide_breaks_the_chain_ahead() -> None:
    (scene,) = scenes.find_scenes([0, 21], 1)
    schedule = Schedule(scenes.steps(scene), finished={10, 12, *range(0, 10)})
    ready = [schedule.take(), schedule.take()]
    assert [step.slide for step in ready if step] == [13, 11]
    assert schedule.longest_chain == 8


def test_a_failure_loses_what_hangs_on_it_and_no_more() -> None:
    schedule = Schedule(steps_of([7]))
    middle = schedule.take()
    assert middle is not None
    schedule.finish(middle)
    step = schedule.take()
    assert step == Step(2, 1, 3)
    assert schedule.fail(step) == [0, 1, 2]
    up = schedule.take()
    assert up == Step(4, 1, 3)


def test_what_comes_next_is_known_as_far_as_it_can_be() -> None:
    schedule = Schedule(steps_of([5, 3]))
    middle = schedule.take()
    assert middle == Step(2, 1, None)
    assert schedule.upcoming(2) == [Step(1, 1, 2), Step(3, 1, 2)]
    assert schedule.upcoming(9) == [Step(1, 1, 2), Step(3, 1, 2), Step(6, 2, None)]
    assert schedule.upcoming(0) == []


class Work:
    """Stands in for the pictures: counts what is prepared and drawn, and fails where told."""

    def __init__(self, failing: dict[int, BaseException] | None = None) -> None:
        self.failing = failing or {}
        self.lock = threading.Lock()
        self.held = self.held_most = 0
        self.drawing = self.drawing_most = 0
        self.unkept: dict[int, BaseException] = {}
        self.drawn: list[int] = []
        self.kept: list[int] = []
        self.ticks: list[int] = []
        self.stopped = threading.Event()

    def prepare(self, step: Step) -> int:
        with self.lock:
            self.held += 1
            self.held_most = max(self.held_most, self.held)
        return step.slide

    def draw(self, step: Step, prepared: int) -> Callable[[], None]:
        assert prepared == step.slide
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

    def keep(self, slide: int) -> None:
        if slide in self.unkept:
            raise self.unkept[slide]
        with self.lock:
            self.kept.append(slide)

    def carry_out(self, steps: list[Step], slots: int = 3) -> list[Failure]:
        return carry_out(
            Schedule(steps),
            prepare=self.prepare,
            draw=self.draw,
            slots=slots,
            helpers=2,
            stop=self.stopped.set,
            tick=self.ticks.append,
        )


def test_threads_draw_every_slide() -> None:
    work = Work()
    assert work.carry_out(steps_of([9, 1, 30, 4])) == []
    assert sorted(work.drawn) == sorted(work.kept) == list(range(44))
    assert sum(work.ticks) == 44
    assert work.drawing_most <= 3
    assert not work.stopped.is_set()


def test_what_is_made_ahead_is_bounded() -> None:
    work = Work()
    work.carry_out(steps_of([40] * 10), slots=2)
    forgotten = work.held  # prepared, then overtaken by a longer chain
    assert work.held_most - forgotten <= 3 * 2 + 2


def test_one_bad_scene_does_not_stop_the_others() -> None:
    error = UnusableInput("in/000005.png is damaged")
    work = Work({4: error})
    failures = work.carry_out(steps_of([7, 3]))
    assert failures == [Failure(Step(4, 1, 3), [4, 5, 6], error)]
    assert sorted(work.drawn) == [0, 1, 2, 3, 7, 8, 9]


@pytest.mark.parametrize(
    "error", [NoBackendLeft("none"), KeyboardInterrupt(), ZeroDivisionError("a bug")]
)
def test_what_concerns_the_whole_run_ends_it(error: BaseException) -> None:
    work = Work({0: error})
    with pytest.raises(type(error)):
        work.carry_out(steps_of([1, 30]), slots=1)
    assert work.stopped.is_set()
    assert len(work.drawn) < 31


def test_failures_carry_their_reason() -> None:
    reason = RestyleError("no")
    (failure,) = Work({0: reason}).carry_out(steps_of([1]))
    assert failure.reason is reason and failure.lost == [0]


def test_a_slide_that_cannot_be_kept_ends_the_run() -> None:
    work = Work()
    work.unkept[3] = UnusableInput("the disk is full")
    with pytest.raises(UnusableInput, match="the disk is full"):
        work.carry_out(steps_of([7, 40]))
    assert work.stopped.is_set()
    assert sorted(work.kept) == sorted(set(work.drawn) - {3})
