"""Windows between keys and over finished slides: every slide, every length legal."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stable_restyle.core.records import Keys, Scene, Step, StepKind, WindowRule
from stable_restyle.plan import answers, keyframes, scenes, windows


@st.composite
def rules(draw: st.DrawFn, least: int = 3) -> WindowRule:
    """Draw a rule whose longest window has at least so many pictures."""
    step = draw(st.integers(1, 9))
    plus = draw(st.integers(0, step - 1))
    rule = WindowRule(step, plus, draw(st.integers(least + step, 100)))
    return WindowRule(step, plus, rule.most, draw(st.integers(0, windows.longest(rule) - 1)))


@st.composite
def keyed_films(draw: st.DrawFn) -> tuple[list[Scene], Keys, WindowRule]:
    """Draw the scenes of a film, its keys with windows between them, and their rule."""
    frames, rule = draw(st.integers(1, 300)), draw(rules())
    bounds = scenes.boundaries(draw(st.sets(st.integers(1, frames), max_size=6)), frames)
    given = draw(st.sets(st.integers(0, frames - 1), max_size=6))
    found = scenes.find_scenes(bounds, 1, given)
    few = keyframes.at_least(found, draw(st.integers(2, 120)))
    edited = few.keys | draw(st.sets(st.integers(0, frames - 1), max_size=9))
    keys = Keys(frozenset(edited), frozenset(draw(st.sets(st.integers(0, frames - 1)))))
    return found, windows.with_keys(found, keys, windows.longest(rule)), rule


@given(keyed_films())
def test_each_slide_is_made_once_and_each_window_has_a_legal_length(
    film: tuple[list[Scene], Keys, WindowRule],
) -> None:
    found, keys, rule = film
    steps = list(windows.with_windows(scenes.all_steps(found, keys)))
    slides = [step for step in steps if step.is_slide]
    assert sorted(step.slide for step in slides) == list(range(found[-1].slides.stop))
    made = [step for step in steps if step.kind is StepKind.WINDOW]
    inside = Counter(slide for step in made for slide in step.between[1:-1])
    assert inside == Counter(
        step.slide for step in slides if step.kind is StepKind.FROM_WINDOW
    )  # once each, and no key
    for step in made:
        window = windows.padded(step.between, rule)
        assert len(window.slides) <= window.length <= rule.most
        assert window.length % rule.step == rule.plus % rule.step
        scene = found[step.scene - 1]
        assert set(step.between) <= set(scene.slides)


@given(keyed_films(), st.booleans())
def test_steps_come_after_those_that_they_need_and_have_keys_of_their_own(
    film: tuple[list[Scene], Keys, WindowRule], composed: bool
) -> None:
    found, keys, _ = film
    steps = scenes.all_steps(found, keys)
    every = list(windows.with_windows(answers.split(steps) if composed else steps))
    known = set[int]()
    for step in every:
        assert known.issuperset(step.needs) and step.key not in known
        known.add(step.key)


@given(keyed_films())
def test_scenes_begin_and_end_with_keys_and_given_slides_are_keys(
    film: tuple[list[Scene], Keys, WindowRule],
) -> None:
    found, keys, _ = film
    between = {
        step.slide for step in scenes.all_steps(found, keys) if step.kind is StepKind.FROM_WINDOW
    }
    for scene in found:
        assert between.isdisjoint({scene.slides[0], scene.slides[-1], *scene.given})


@given(keyed_films())
def test_keys_that_are_near_enough_stay_as_they_are(
    film: tuple[list[Scene], Keys, WindowRule],
) -> None:
    found, keys, rule = film
    assert windows.with_keys(found, keys, windows.longest(rule)) == keys


def test_a_gap_that_is_too_long_is_divided_evenly() -> None:
    (scene,) = scenes.find_scenes([0, 101], 1)
    keys = windows.with_keys([scene], Keys(frozenset(), frozenset({3})), 41)
    assert sorted(keys.keys) == [25, 75] and not keys.assisted
    gaps = [
        each.between
        for each in windows.with_windows(scenes.steps(scene, keys))
        if each.kind is StepKind.WINDOW
    ]
    assert sorted(gaps, key=min) == [range(0, 26), range(25, 51), range(50, 76), range(75, 101)]


def test_a_slide_from_a_window_needs_it_and_both_keys() -> None:
    (scene,) = scenes.find_scenes([0, 5], 1)
    steps = list(
        windows.with_windows(scenes.steps(scene, Keys(frozenset(), frozenset(), windows=True)))
    )
    assert [(step.slide, step.kind) for step in steps[:4]] == [
        (2, StepKind.DRAW),
        (0, StepKind.DRAW),
        (1, StepKind.WINDOW),
        (1, StepKind.FROM_WINDOW),
    ]
    window, slide = steps[2], steps[3]
    assert window.uses_backend and not slide.uses_backend
    assert (window.needs, slide.needs) == ((2, 0), (2, 0, window.key))
    assert window.between == range(0, 3)


def test_a_window_that_no_length_fits_is_an_error() -> None:
    assert windows.longest(WindowRule(8, 7, 6)) == 0
    assert windows.padded(range(5, 8), WindowRule(4, 1, 81)).length == 5
    with pytest.raises(ValueError, match="82 slides are more than a window of 81"):
        windows.padded(range(82), WindowRule(4, 1, 83))


@given(rules(), st.integers(0, 50), st.integers(1, 400))
def test_overlapping_windows_show_every_slide_at_legal_lengths(
    rule: WindowRule, start: int, count: int
) -> None:
    slides = range(start, start + count)
    cut = windows.overlapping(slides, rule)
    for window in cut:
        assert set(window.slides) <= set(slides)
        assert len(window.slides) <= window.length <= rule.most
        assert window.length % rule.step == rule.plus % rule.step
    for before, after in pairwise(cut):
        assert before.slides.start < after.slides.start
        assert before.slides.stop - after.slides.start >= rule.overlap
    for slide in slides:
        shares = windows.weights([window.slides for window in cut], slide)
        assert sum(share for _, share in shares) == pytest.approx(1)
        assert all(share > 0 for _, share in shares)


def test_neighbours_are_blended_linearly() -> None:
    first, second = windows.overlapping(range(14), WindowRule(1, 0, 9, 4))
    assert (first.slides, second.slides) == (range(0, 9), range(5, 14))
    ranges = [first.slides, second.slides]
    shares = [dict(windows.weights(ranges, slide)) for slide in range(14)]
    seconds = [its.get(second.slides, 0) for its in shares]
    assert seconds == pytest.approx([*[0] * 5, 0.2, 0.4, 0.6, 0.8, *[1] * 5])


def test_an_answer_is_no_slide_and_has_no_window() -> None:
    step = Step(3, 1, None, kind=StepKind.ANSWER)
    assert not step.is_slide and list(windows.with_windows([step])) == [step]
