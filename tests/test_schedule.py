"""Who draws what next, on plain values and a simulated clock; then the threads that do it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.schedule import shortest, steps_of
from stable_restyle import scenes
from stable_restyle.errors import NoBackendLeft, RestyleError, UnusableInput
from stable_restyle.model import Outlook, Step
from stable_restyle.schedule import Failure, Schedule, carry_out, estimate


def idle(backends: int = 1, slide_s: float = 10.0) -> list[Outlook]:
    """Backends that have nothing to do."""
    return [Outlook(number, 1, 2, slide_s, 0.0) for number in range(backends)]


def taken(schedule: Schedule, backends: list[Outlook]) -> list[tuple[Step, int]]:
    """All that can be sent at once."""
    return list(iter(lambda: schedule.take(backends), None))


lengths = st.lists(st.integers(1, 30), min_size=1, max_size=12)


@given(lengths, st.sets(st.integers(0, 100)), st.integers(1, 9))
def test_every_slide_is_drawn_once_after_its_previous(
    lengths: list[int], finished: set[int], backends: int
) -> None:
    steps = steps_of(lengths)
    schedule = Schedule(steps, finished)
    there = {step.slide for step in steps} & finished
    drawn: list[int] = []
    in_flight: list[Step] = []
    while True:
        team = [Outlook(number, 1, 2, 1.0 + number, 0.5) for number in range(backends)]
        for step, _ in taken(schedule, team):
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
    took = estimate(Schedule(steps), [1.0] * servers)
    assert max(len(steps) / servers, longest) <= took
    assert took <= len(steps) / servers + longest * (1 - 1 / servers) + 1e-9


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3))
@settings(deadline=None)
def test_small_films_take_the_shortest_time_possible(lengths: list[int], servers: int) -> None:
    steps = steps_of(lengths)
    assert estimate(Schedule(steps), [1.0] * servers) == shortest(steps, [1.0] * servers)


@given(lengths, st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_backends_of_any_speeds_draw_every_slide(lengths: list[int], slide_s: list[float]) -> None:
    """Waiting for a fast backend never stops the run, nor takes longer than the fast one alone."""
    steps = steps_of(lengths)
    took = estimate(Schedule(steps), slide_s)
    assert len(steps) / sum(1 / each for each in slide_s) <= took + 1e-9
    assert took <= len(steps) * min(slide_s) + max(slide_s)


def test_the_longest_chain_goes_first() -> None:
    schedule = Schedule(steps_of([3, 9, 5]))
    sent = taken(schedule, idle(3))
    assert [(step.scene, backend) for step, backend in sent] == [(2, 0), (3, 1), (1, 2)]


def test_a_finished_slide_breaks_the_chain_ahead() -> None:
    (scene,) = scenes.find_scenes([0, 21], 1)
    schedule = Schedule(scenes.steps(scene), finished={10, 12, *range(0, 10)})
    assert [step.slide for step, _ in taken(schedule, idle(2))] == [13, 11]
    assert schedule.longest_chain == 8


def test_a_failure_loses_what_hangs_on_it_and_no_more() -> None:
    schedule = Schedule(steps_of([7]))
    ((middle, _),) = taken(schedule, idle())
    schedule.finish(middle)
    (down, _), (up, _) = taken(schedule, idle(2))
    assert (down, up) == (Step(2, 1, 3), Step(4, 1, 3))
    assert schedule.fail(down) == [0, 1, 2]
    schedule.finish(up)
    assert [step for step, _ in taken(schedule, idle())] == [Step(5, 1, 4)]


def test_what_comes_next_is_known_as_far_as_it_can_be() -> None:
    schedule = Schedule(steps_of([5, 3]))
    (middle, _), *_ = taken(schedule, [Outlook(0, 1, 1, 10.0, 0.0)])
    assert middle == Step(2, 1, None)
    assert schedule.upcoming(2) == [Step(1, 1, 2), Step(3, 1, 2)]
    assert schedule.upcoming(9) == [Step(1, 1, 2), Step(3, 1, 2), Step(6, 2, None)]
    assert schedule.upcoming(0) == []


def test_with_work_enough_a_backend_goes_on_with_the_slide_drawn_last() -> None:
    """What it is drawn from is still in memory then."""
    schedule = Schedule(steps_of([9] * 50))
    ((first, _),) = taken(schedule, idle())
    schedule.finish(first)
    ((second, _),) = taken(schedule, idle())
    assert second.previous == first.slide
    schedule.finish(second)
    ((third, _),) = taken(schedule, idle())
    assert third.previous == second.slide


def test_a_second_slide_is_sent_only_shortly_before_its_turn() -> None:
    schedule = Schedule(steps_of([9] * 50))
    begun, nearly_done = Outlook(0, 1, 2, 10.0, 0.1), Outlook(0, 1, 2, 10.0, 9.0)
    assert len(taken(schedule, [begun])) == 1
    assert taken(schedule, [begun]) == []
    assert len(taken(schedule, [nearly_done])) == 1
    assert taken(schedule, [nearly_done]) == []


def test_a_backend_is_kept_free_for_the_chains_that_the_run_waits_for() -> None:
    schedule = Schedule(steps_of([41, 1]))
    nearly_done = [Outlook(number, 1, 2, 10.0, 9.0) for number in (0, 1)]
    ((middle, _),) = taken(schedule, nearly_done)
    assert middle.scene == 1  # the other scene would be in the way of its second chain
    schedule.finish(middle)
    assert set(taken(schedule, nearly_done)) == {(Step(19, 1, 20), 0), (Step(21, 1, 20), 1)}
    assert taken(schedule, nearly_done) == []


def test_what_fits_in_before_a_critical_slide_is_not_held_back() -> None:
    schedule = Schedule(steps_of([41, 1]))
    (_, first), (alone, second) = taken(schedule, idle(2))
    assert (alone.scene, {first, second}) == (2, {0, 1})


def test_the_last_slides_wait_for_a_faster_backend() -> None:
    schedule = Schedule(steps_of([5]))
    fast, slow = Outlook(0, 1, 2, 1.0, 0.5), Outlook(1, 1, 2, 60.0, 0.0)
    ((middle, backend),) = taken(schedule, [fast, slow])
    assert backend == 0
    schedule.finish(middle)
    assert [backend for _, backend in taken(schedule, [fast, slow])] == [0, 0]


def test_nobody_waits_for_a_backend_that_is_long_overdue() -> None:
    schedule = Schedule(steps_of([1, 1]))
    stuck, slow = Outlook(0, 1, 1, 1.0, 500.0), Outlook(1, 1, 1, 60.0, 0.0)
    (_, first), (_, second) = taken(schedule, [stuck, slow])
    assert (first, second) == (0, 1)


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
            backends=lambda: [Outlook(0, slots, slots, 1.0, 0.0), Outlook(1, 1, 1, 99.0, 0.0)],
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
