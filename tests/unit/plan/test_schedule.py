"""The order of drawing, with plain values and a simulated clock."""

from __future__ import annotations

from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.schedule import shortest, steps_of
from stable_restyle.core.records import BackendEstimate, Keys, Step, StepKind
from stable_restyle.plan import answers, keyframes, scenes, windows
from stable_restyle.plan.schedule import Schedule, estimate


def idle(backends: int = 1, slide_s: float = 10.0) -> list[BackendEstimate]:
    """Return backends that have nothing to do."""
    return [BackendEstimate(number, 1, 2, slide_s, 0.0) for number in range(backends)]


def taken(schedule: Schedule, backends: list[BackendEstimate]) -> list[tuple[Step, int]]:
    """Take everything that can be sent at once."""
    sent: list[tuple[Step, int]] = []
    while given := schedule.take(backends):
        sent.append(given)
    return sent


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
        team = [BackendEstimate(number, 1, 2, 1.0 + number, 0.5) for number in range(backends)]
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


@settings(max_examples=40)
@given(lengths, st.randoms(use_true_random=False), st.integers(1, 9))
def test_scenes_that_come_later_are_drawn_once_each(
    lengths: list[int], chance: Random, backends: int
) -> None:
    """Whatever comes with what, and when: early, late, or one scene at a time."""
    steps = steps_of(lengths)
    cuts = sorted({*chance.choices(range(1, len(lengths) + 1), k=4), len(lengths)})
    batches = [
        [step for step in steps if first < step.scene <= last]
        for first, last in pairwise([0, *cuts])
    ]
    schedule = Schedule(batches.pop(0))
    drawn: list[int] = []
    in_flight: list[Step] = []
    while True:
        if batches and chance.random() < 0.5:
            schedule.add(batches.pop(0))
        team = [BackendEstimate(number, 1, 2, 1.0 + number, 0.5) for number in range(backends)]
        for step, _ in taken(schedule, team):
            assert step.previous is None or step.previous in drawn
            in_flight.append(step)
        if in_flight:
            step = in_flight.pop(chance.randrange(len(in_flight)))
            schedule.finish(step)
            drawn.append(step.slide)
        elif batches:
            schedule.add(batches.pop(0))
        else:
            break
    assert sorted(drawn) == [step.slide for step in sorted(steps, key=lambda each: each.slide)]
    assert schedule.total == len(drawn)


def test_scenes_that_are_all_added_at_once_are_drawn_as_if_they_were_known() -> None:
    steps = steps_of([3, 9, 1, 5])
    later = Schedule([])
    later.add(steps)
    assert estimate(later, [1.0, 2.0]) == estimate(Schedule(steps), [1.0, 2.0])


def test_what_is_not_handed_out_can_be_dropped() -> None:
    schedule = Schedule(with_keys(3, 7))
    ((step, _),) = taken(schedule, idle()[:1])[:1]
    schedule.clear()
    assert schedule.take(idle()) is None
    schedule.finish(step)
    assert schedule.take(idle()) is None and schedule.take_fillable() is None


@given(lengths, st.integers(1, 9))
def test_a_simulated_run_is_close_to_its_lower_bound(lengths: list[int], servers: int) -> None:
    """Graham's bound holds for any list schedule; Hu's rule must reach it at least."""
    steps = steps_of(lengths)
    longest = Schedule(steps).longest_chain
    took = estimate(Schedule(steps), [1.0] * servers)
    assert max(len(steps) / servers, longest) <= took
    assert took <= len(steps) / servers + longest * (1 - 1 / servers) + 1e-9


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 3))
def test_small_films_take_the_shortest_time_possible(lengths: list[int], servers: int) -> None:
    steps = steps_of(lengths)
    assert estimate(Schedule(steps), [1.0] * servers) == shortest(steps, [1.0] * servers)


@pytest.mark.parametrize(
    ("lengths", "slide_s", "shortest_s"),
    [
        ([], [1.0], 0.0),
        ([3], [1.0, 3.0], 3.0),  # the slow backend would not finish its slide in time
        ([1, 1], [2.0, 5.0], 4.0),
        ([4], [3.0, 1.0], 4.0),
        ([5], [1.0, 2.0], 4.0),  # each backend draws one of the last two slides
        ([5], [2.0, 1.0], 4.0),
        ([1, 2], [1.0, 2.0], 2.0),
        ([1, 3], [2.0, 1.0], 3.0),
        ([1, 4], [2.0, 5.0], 8.0),
        ([1, 5], [1.0, 2.0], 4.0),
        ([2, 3], [3.0, 2.0, 4.0], 6.0),
    ],
)
def test_on_backends_of_two_speeds_small_films_take_the_shortest_time_possible(
    lengths: list[int], slide_s: list[float], shortest_s: float
) -> None:
    """The times were found by trying every order on every backend."""
    assert estimate(Schedule(steps_of(lengths)), slide_s) == shortest_s


@given(lengths, st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_backends_of_any_speeds_draw_every_slide(lengths: list[int], slide_s: list[float]) -> None:
    """Waiting for a fast backend never stops the run, nor takes longer than the fast one alone."""
    steps = steps_of(lengths)
    took = estimate(Schedule(steps), slide_s)
    assert len(steps) / sum(1 / each for each in slide_s) <= took + 1e-9
    assert took <= len(steps) * min(slide_s) + max(slide_s)


@pytest.mark.parametrize("slide_s", [[0.0], [0.0] * 3, [0.0, 3.0], [3.0, 0.0, 1e-300]])
def test_backends_that_take_no_time_by_a_coarse_clock_draw_every_slide(
    slide_s: list[float],
) -> None:
    assert estimate(Schedule(steps_of([5, 9, 1])), slide_s) <= max(slide_s)


def test_the_longest_chain_goes_first_then_those_of_the_beginning() -> None:
    schedule = Schedule(steps_of([3, 9, 5]))
    sent = taken(schedule, idle(3))
    assert [(step.scene, backend) for step, backend in sent] == [(2, 0), (1, 1), (3, 2)]


def test_without_hurry_scenes_are_drawn_in_the_order_of_the_film() -> None:
    """So that the film can be written from its beginning while slides are drawn."""
    lengths = [3, 9, 2, 8, 4, 7, 1, 6] * 4
    schedule = Schedule(steps_of(lengths))
    begun: list[int] = []
    while sent := taken(schedule, idle(1)):
        begun += [step.scene for step, _ in sent]
        for step, _ in sent:
            schedule.finish(step)
    assert begun == sorted(begun)


def test_a_finished_slide_breaks_the_chain_ahead() -> None:
    (scene,) = scenes.find_scenes([0, 21], 1)
    schedule = Schedule(scenes.steps(scene), finished={10, 12, *range(0, 10)})
    assert [step.slide for step, _ in taken(schedule, idle(2))] == [13, 11]
    assert schedule.longest_chain == 8


def test_nothing_is_left_of_a_finished_film() -> None:
    schedule = Schedule(steps_of([3]), finished=range(3))
    assert (schedule.total, schedule.longest_chain, schedule.take(idle())) == (0, 0, None)


def test_a_failure_loses_only_what_depends_on_it() -> None:
    schedule = Schedule(steps_of([7]))
    ((middle, _),) = taken(schedule, idle())
    schedule.finish(middle)
    (down, _), (up, _) = taken(schedule, idle(2))
    assert (down, up) == (Step(2, 1, 3), Step(4, 1, 3))
    assert schedule.fail(down) == [0, 1, 2]
    schedule.finish(up)
    assert [step for step, _ in taken(schedule, idle())] == [Step(5, 1, 4)]


def test_upcoming_slides_are_known_as_far_as_possible() -> None:
    schedule = Schedule(steps_of([5, 3]))
    (middle, _), *_ = taken(schedule, [BackendEstimate(0, 1, 1, 10.0, 0.0)])
    assert middle == Step(2, 1, None)
    assert schedule.upcoming(2) == [Step(1, 1, 2), Step(3, 1, 2)]
    assert schedule.upcoming(9) == [Step(1, 1, 2), Step(3, 1, 2), Step(6, 2, None)]
    assert schedule.upcoming(0) == []


def test_with_enough_work_a_backend_continues_from_the_slide_drawn_last() -> None:
    """Its source is then still in memory."""
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
    begun, nearly_done = BackendEstimate(0, 1, 2, 10.0, 0.1), BackendEstimate(0, 1, 2, 10.0, 9.0)
    assert len(taken(schedule, [begun])) == 1
    assert taken(schedule, [begun]) == []
    assert len(taken(schedule, [nearly_done])) == 1
    assert taken(schedule, [nearly_done]) == []


@pytest.mark.parametrize(
    ("slide_s", "left_s", "sent"),
    [(10.0, 4.9, 2), (10.0, 5.1, 1), (3.0, 1.9, 2), (3.0, 2.1, 1)],
)
def test_a_slide_is_sent_ahead_by_half_of_what_one_takes_or_by_two_seconds(
    slide_s: float, left_s: float, sent: int
) -> None:
    schedule = Schedule(steps_of([1] * 50))
    begun = BackendEstimate(0, 1, 2, slide_s, slide_s - left_s)
    assert len(taken(schedule, [begun])) == sent


def test_a_backend_is_kept_free_for_the_chains_that_the_run_waits_for() -> None:
    schedule = Schedule(steps_of([41, 1]))
    nearly_done = [BackendEstimate(number, 1, 2, 10.0, 9.0) for number in (0, 1)]
    ((middle, _),) = taken(schedule, nearly_done)
    assert middle.scene == 1  # the other scene would delay its second chain
    schedule.finish(middle)
    assert set(taken(schedule, nearly_done)) == {(Step(19, 1, 20), 0), (Step(21, 1, 20), 1)}
    assert taken(schedule, nearly_done) == []


def test_what_fits_in_before_a_critical_slide_is_not_held_back() -> None:
    schedule = Schedule(steps_of([41, 1]))
    (_, first), (alone, second) = taken(schedule, idle(2))
    assert (alone.scene, {first, second}) == (2, {0, 1})


def test_the_last_slides_wait_for_a_faster_backend() -> None:
    schedule = Schedule(steps_of([5]))
    fast, slow = BackendEstimate(0, 1, 2, 1.0, 0.5), BackendEstimate(1, 1, 2, 60.0, 0.0)
    ((middle, backend),) = taken(schedule, [fast, slow])
    assert backend == 0
    schedule.finish(middle)
    assert [backend for _, backend in taken(schedule, [fast, slow])] == [0, 0]


def test_nothing_waits_for_a_backend_that_is_long_overdue() -> None:
    schedule = Schedule(steps_of([1, 1]))
    stuck, slow = BackendEstimate(0, 1, 1, 1.0, 500.0), BackendEstimate(1, 1, 1, 60.0, 0.0)
    (_, first), (_, second) = taken(schedule, [stuck, slow])
    assert (first, second) == (0, 1)


def with_keys(every: int, slides: int, assisted: set[int] | None = None) -> list[Step]:
    """Return the steps of one scene with a key every `every` slides."""
    (scene,) = scenes.find_scenes([0, slides], 1)
    regular = keyframes.at_least([scene], every).keys
    return scenes.steps(scene, Keys(regular, frozenset(assisted or ())))


def test_slides_between_keys_are_filled_once_both_are_there() -> None:
    schedule = Schedule(with_keys(3, 7))
    assert schedule.longest_chain == 2
    ((middle, _),) = taken(schedule, idle())
    assert (middle.slide, schedule.take_fillable()) == (3, None)
    schedule.finish(middle)
    (down, _), (up, _) = taken(schedule, idle(2))
    assert (down.slide, up.slide) == (0, 6)
    schedule.finish(up)
    filled = [schedule.take_fillable(), schedule.take_fillable()]
    assert filled == [Step(5, 1, 3, 6, StepKind.FILL), Step(4, 1, 3, 6, StepKind.FILL)]
    assert schedule.take_fillable() is None
    schedule.finish(down)
    assert schedule.take_fillable() == Step(1, 1, 3, 0, StepKind.FILL)


def test_a_slide_of_which_both_keys_show_too_little_goes_to_a_backend() -> None:
    schedule = Schedule(with_keys(3, 4, {1}))
    for steps in (
        [Step(2, 1, None)],
        [Step(0, 1, 2), Step(3, 1, 2)],
        [Step(1, 1, 2, 0)],
        [],
    ):
        assert [step for step, _ in taken(schedule, idle(3))] == steps
        for step in steps:
            schedule.finish(step)


def test_a_key_that_fails_loses_what_depends_on_it() -> None:
    schedule = Schedule(with_keys(3, 13))
    ((middle, _),) = taken(schedule, idle())
    schedule.finish(middle)
    (down, _), (up, _) = taken(schedule, idle(2))
    assert schedule.fail(down) == [0, 1, 2, 3, 4, 5]
    schedule.finish(up)
    filled = schedule.take_fillable()
    assert filled is not None and filled.slide == 8
    assert schedule.fail(filled) == [8]
    last = schedule.take(idle())
    assert last is not None and schedule.fail(last[0]) == [10, 11, 12]


@given(lengths, st.sets(st.integers(0, 199)), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_after_a_failure_the_rest_is_planned_as_a_film_of_its_own(
    lengths: list[int], assisted: set[int], slide_s: list[float]
) -> None:
    first, *rest = scenes.find_scenes([*accumulate([0, 200, *lengths])], 1)
    keyed = scenes.steps(first, Keys(keyframes.at_least([first], 4).keys, frozenset(assisted)))
    schedule = Schedule([*keyed, *scenes.all_steps(rest)])
    ((middle, _),) = taken(schedule, idle())
    assert schedule.fail(middle) == [*range(200)]  # the longest chain went first
    assert estimate(schedule, slide_s) == estimate(Schedule(scenes.all_steps(rest)), slide_s)


@given(lengths, st.integers(1, 9), st.sets(st.integers(0, 300)), st.sets(st.integers(0, 300)))
def test_with_keys_every_slide_is_made_once_after_its_keys(
    lengths: list[int], every: int, assisted: set[int], finished: set[int]
) -> None:
    found = scenes.find_scenes([0, *accumulate(lengths)], 1)
    chosen = Keys(keyframes.at_least(found, every).keys, frozenset(assisted))
    steps = scenes.all_steps(found, chosen)
    schedule = Schedule(steps, finished)
    there = {step.slide for step in steps} & finished
    count = len(there)
    while True:
        now = [step for step, _ in taken(schedule, idle(2))]
        while filled := schedule.take_fillable():
            now.append(filled)
        if not now:
            break
        for step in now:
            assert there.issuperset(step.sources)
            schedule.finish(step)
        there |= {step.slide for step in now}
        count += len(now)
    assert there == set(range(sum(lengths)))
    assert count == len(there)


def windowed(lengths: list[int], every: int, *, composed: bool = False) -> list[Step]:
    """Return the steps of scenes with windows between keys."""
    found = scenes.find_scenes([0, *accumulate(lengths)], 1)
    keys = windows.with_keys(found, keyframes.at_least(found, every), every + 1)
    steps = scenes.all_steps(found, keys)
    return list(windows.with_windows(answers.split(steps) if composed else steps))


@given(lengths, st.integers(2, 9), st.integers(1, 5), st.booleans())
def test_every_window_is_made_once_after_its_keys(
    lengths: list[int], every: int, backends: int, composed: bool
) -> None:
    steps = windowed(lengths, every, composed=composed)
    schedule = Schedule(steps)
    done: set[int] = set()
    in_flight: list[Step] = []
    team = [BackendEstimate(number, 1, 2, 1.0 + number, 0.5, 3.0) for number in range(backends)]
    while True:
        while filled := schedule.take_fillable():
            in_flight.append(filled)
        in_flight += [step for step, _ in taken(schedule, team)]
        if not in_flight:
            break
        step = in_flight.pop(0)
        assert done.issuperset(step.needs)
        done.add(step.key)
        schedule.finish(step)
    assert len(done) == len(steps)


def test_a_backend_makes_windows_once_no_slide_of_its_chain_follows() -> None:
    """Otherwise it would load one model after the other, again and again."""
    schedule = Schedule(windowed([9], 2))
    order: list[StepKind] = []
    while sent := taken(schedule, idle(1)):
        for step, _ in sent:
            order.append(step.kind)
            schedule.finish(step)
    assert order == [StepKind.DRAW] * 5 + [StepKind.WINDOW] * 4


def test_other_backends_make_windows_meanwhile() -> None:
    steps = windowed([9], 2)
    schedule = Schedule(steps, {step.key for step in steps if step.slide <= 4})
    ((key, _),) = taken(schedule, idle(2))
    schedule.finish(key)
    sent = taken(schedule, idle(2))
    assert {step.kind for step, _ in sent} == {StepKind.DRAW, StepKind.WINDOW}
    assert len({backend for _, backend in sent}) == 2


def gaps_of_21_5_and_16() -> Schedule:
    """Return a schedule of three windows whose keys are drawn."""
    (scene,) = scenes.find_scenes([0, 40], 1)
    keys = windows.with_keys([scene], Keys(frozenset({20, 24}), frozenset()), 21)
    steps = list(windows.with_windows(scenes.steps(scene, keys)))
    return Schedule(steps, {step.key for step in steps if step.kind is StepKind.DRAW})


def test_windows_are_made_in_order_and_towards_the_end_the_longest_first() -> None:
    one, two = [(idle(count), gaps_of_21_5_and_16()) for count in (1, 2)]
    in_order = list[int]()
    while sent := taken(one[1], one[0]):
        in_order += [step.pictures for step, _ in sent]
        one[1].finish(sent[0][0])
    assert in_order == [21, 5, 16]
    assert [step.pictures for step, _ in taken(two[1], two[0])] == [21, 16]


def test_the_next_window_is_sent_before_its_turn() -> None:
    schedule = gaps_of_21_5_and_16()
    busy = [BackendEstimate(0, 1, 2, 0.1, 0.0, picture_s=1.0)]
    ((first, _),) = taken(schedule, busy)
    assert first.pictures == 21 and not schedule.take(busy)
    almost = [BackendEstimate(0, 1, 2, 0.1, 12.0, picture_s=1.0)]  # half of its 21 s are over
    assert len(taken(schedule, almost)) == 1


def test_an_estimate_counts_windows_by_their_pictures() -> None:
    steps = windowed([9], 4)
    assert estimate(Schedule(steps), [2.0]) == 3 * 2 + 2 * 5 * 2
    assert estimate(Schedule(steps), [2.0], [0.5]) == 3 * 2 + 2 * 5 * 0.5
    composed = windowed([9], 4, composed=True)
    assert estimate(Schedule(composed), [2.0] * 2, [0.5] * 2) == 2 * 2 + 5 * 0.5


def test_a_key_that_fails_loses_its_windows() -> None:
    steps = windowed([9], 4)
    schedule = Schedule(steps)
    ((middle, _),) = taken(schedule, idle(1))
    schedule.finish(middle)
    sent = dict(taken(schedule, idle(2)))
    first = next(step for step in sent if step.slide == 0)
    assert schedule.fail(first) == [0, 1, 2, 3]
