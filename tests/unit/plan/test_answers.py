"""Slides split into answers, which can all be drawn at once, and steps that compose them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stable_restyle.core.records import BackendEstimate, Keys, StepKind, slide_of
from stable_restyle.plan import answers, keyframes, scenes
from stable_restyle.plan.schedule import Schedule

lengths = st.lists(st.integers(1, 12), min_size=1, max_size=4)


def bounds(lengths: list[int]) -> list[int]:
    return [sum(lengths[:count]) for count in range(len(lengths) + 1)]


def idle(count: int) -> list[BackendEstimate]:
    return [BackendEstimate(number, 99, 99, 1.0, 0.0) for number in range(count)]


def test_answers_are_ordered_outwards_from_the_middle() -> None:
    steps = answers.split(scenes.all_steps(scenes.find_scenes([0, 5, 7], 1)))
    drawn = [step for step in steps if step.kind is StepKind.ANSWER]
    assert [step.slide for step in drawn] == [2, 1, 3, 0, 4, 6, 5]
    assert not any(step.sources for step in drawn)
    composed = [step for step in steps if step.kind is StepKind.COMPOSE]
    assert [(step.slide, step.sources) for step in composed[:3]] == [(2, ()), (1, (2,)), (0, (1,))]


def test_what_is_filled_from_keys_has_no_answer() -> None:
    found = scenes.find_scenes([0, 7], 1)
    keys = Keys(keyframes.at_least(found, 3).keys, frozenset({4}))
    steps = answers.split(scenes.all_steps(found, keys))
    drawn = {step.slide for step in steps if step.kind is StepKind.ANSWER}
    assert drawn == {0, 3, 4, 6}
    kinds = {step.slide: step.kind for step in steps if step.kind is not StepKind.ANSWER}
    assert kinds[5] is StepKind.FILL and kinds[4] is StepKind.COMPOSE


def test_answers_that_load_the_middle_wait_for_it() -> None:
    steps = answers.split(scenes.all_steps(scenes.find_scenes([0, 4], 1)), middle_first=True)
    schedule = Schedule(steps)
    ready = schedule.take(idle(1))
    assert ready is not None and ready[0].slide == 2
    assert schedule.take(idle(1)) is None
    schedule.finish(ready[0])
    assert schedule.take(idle(1)) is not None


def test_a_given_start_has_no_answer_to_wait_for() -> None:
    found = scenes.find_scenes([0, 5], 1, [1])
    steps = answers.split(scenes.all_steps(found), middle_first=True)
    drawn = [step for step in steps if step.kind is StepKind.ANSWER]
    assert {step.slide for step in drawn} == {0, 2, 3, 4}
    assert not any(step.needs for step in drawn)


@given(lengths, st.booleans(), st.sets(st.integers(0, 47)))
def test_every_slide_is_composed_once_after_its_answer_and_its_sources(
    lengths: list[int], middle_first: bool, kept: set[int]
) -> None:
    steps = answers.split(
        scenes.all_steps(scenes.find_scenes(bounds(lengths), 1)), middle_first=middle_first
    )
    done = {step.key for step in steps if step.slide in kept}
    schedule, made = Schedule(steps, done), list[int]()
    while True:
        now = []
        while taken := schedule.take(idle(2)):
            now.append(taken[0])
        while composed := schedule.take_fillable():
            now.append(composed)
        if not now:
            break
        for step in now:
            assert {*made, *done}.issuperset(step.needs)
            schedule.finish(step)
        made += [step.key for step in now]
    assert len(made) == len(set(made)) and {*made, *done} == {step.key for step in steps}


def test_an_answer_that_fails_loses_the_slides_that_follow_it_once() -> None:
    schedule = Schedule(answers.split(scenes.all_steps(scenes.find_scenes([0, 5], 1))))
    taken = {}
    while found := schedule.take(idle(1)):
        taken[found[0].slide] = found[0]
    assert sorted(taken) == [0, 1, 2, 3, 4]  # all at once
    assert schedule.fail(taken[3]) == [3, 4]
    assert schedule.fail(taken[4]) == []
    for slide in (2, 1, 0):
        schedule.finish(taken[slide])
        composed = schedule.take_fillable()
        assert composed is not None and slide_of(composed.key) == slide
        schedule.finish(composed)
    assert schedule.take_fillable() is None
