"""How a film is divided into shares, and which workers may draw one that was handed back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest

from stable_restyle.cluster import shares
from stable_restyle.core.records import answer_key
from stable_restyle.plan import answers, keyframes, scenes, windows


def divided(lengths: Sequence[int], kept: Sequence[int], workers: int) -> list[list[int]]:
    """Return the slides of each share; those that wait for it follow it."""
    bounds = [sum(lengths[:count]) for count in range(len(lengths) + 1)]
    steps = scenes.all_steps(scenes.find_scenes(bounds, 1))
    found = shares.divide(steps, kept, workers)
    all_shares = [each for share in found for each in (share, *share.then)]
    return [sorted(step.slide for step in share.steps) for share in all_shares]


def test_every_scene_is_a_share_and_the_longest_comes_first() -> None:
    assert divided([2, 5, 3], [], 1) == [[2, 3, 4, 5, 6], [7, 8, 9], [0, 1]]
    assert divided([2, 5, 3], [0, 1, 7], 1) == [[2, 3, 4, 5, 6], [7, 8, 9]]


def test_a_scene_that_others_would_wait_for_is_divided_at_its_middle() -> None:
    assert divided([9, 2, 2], [], 2) == [[4], [0, 1, 2, 3], [5, 6, 7, 8], [9, 10], [11, 12]]
    assert divided([9, 2, 2], [0, 1, 2, 3], 2) == [[*range(9)], [9, 10], [11, 12]]
    assert divided([2, 2], [], 2) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("load", "suspended", "chosen"),
    [
        ({"a": 0.5, "b": 0, "c": 0}, "c", "b"),  # can draw, and has the least to do
        ({"a": 0, "b": 1}, "a", "a"),  # is free at least
        ({"a": 0, "b": 0, "c": 1}, "bac", "b"),  # was tried the longest ago
        ({"a": 1.5, "b": 2, "c": 1}, "a", "cb"),  # who comes first
        ({"a": 1.5, "b": 2.5}, "a", ""),  # has enough to do
        ({"a": 1.5}, "ab", ""),
        ({}, "a", ""),
    ],
)
def test_who_draws_what_was_handed_back(
    load: dict[str, float], suspended: str, chosen: str
) -> None:
    assert shares.choose(load, suspended) == [*chosen]


def divided_answers(
    length: int, kept: Sequence[int], workers: int, *, middle_first: bool = False
) -> list[shares.Share]:
    steps = scenes.all_steps(scenes.find_scenes([0, length], 1))
    return shares.divide(answers.split(steps, middle_first=middle_first), kept, workers)


def test_the_answers_of_a_long_scene_are_divided_and_composed_once_all_are_there() -> None:
    found = divided_answers(9, [], 3)
    assert [len(share.steps) for share in found] == [3, 3, 3]
    (composing,) = {id(then): then for share in found for then in share.then}.values()
    assert [step.slide for step in composing.steps] == [4, 3, 2, 1, 0, 5, 6, 7, 8]
    assert composing.needs == {answer_key(slide) for slide in range(9)}


def test_a_scene_of_answers_that_nobody_waits_for_is_one_share() -> None:
    (share,) = divided_answers(9, [], 1)
    assert len(share.steps) == 18 and not share.then and not share.needs
    (share,) = divided_answers(9, [answer_key(slide) for slide in range(9)], 4)
    assert not share.then  # only composing is left


def test_answers_that_load_the_middle_follow_it() -> None:
    (first,) = divided_answers(9, [], 4, middle_first=True)
    assert [step.slide for step in first.steps] == [4]
    assert [len(share.steps) for share in first.then] == [2, 2, 2, 2]
    assert all(share.needs == {answer_key(4)} for share in first.then)
    without = divided_answers(9, [answer_key(4)], 4, middle_first=True)
    assert [len(share.steps) for share in without] == [2, 2, 2, 2]


def divided_windows(
    lengths: Sequence[int], kept: Sequence[int], workers: int, *, composed: bool
) -> list[shares.Share]:
    found = scenes.find_scenes([0, *accumulate(lengths)], 1)
    keys = windows.with_keys(found, keyframes.at_least(found, 4), 5)
    steps = scenes.all_steps(found, keys)
    every = windows.with_windows(answers.split(steps) if composed else steps)
    return shares.divide(list(every), kept, workers)


def done_in_order(todo: list[shares.Share], kept: Sequence[int]) -> list[shares.Share]:
    """Return the shares in an order in which a cluster may do them, each once."""
    done, order = set(kept), list[shares.Share]()
    while todo:
        share = todo.pop(0)
        assert done.issuperset(share.needs) and share not in order
        done.update(step.key for step in share.steps)
        order.append(share)
        todo += [
            each
            for each in share.then
            if done.issuperset(each.needs) and each not in (*order, *todo)
        ]
    return order


@pytest.mark.parametrize("composed", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_window_is_a_share_that_follows_those_of_its_keys(workers: int, composed: bool) -> None:
    first = divided_windows([17, 6], [], workers, composed=composed)
    order = done_in_order(first, [])
    made = [share.steps for share in order if share.steps[0].pictures]
    assert sorted(len(steps) for steps in made) == [2, 3, 4, 4, 4, 4]  # each with its slides
    every = [step.key for share in order for step in share.steps]
    assert len(every) == len(set(every))
    assert {key for key in every if key >= 0} == set(range(23))
    assert all(share.length >= 5 for share in first)  # its windows count


def test_a_window_whose_keys_are_there_waits_for_nothing() -> None:
    kept = [8, 4, 0, 12]
    found = divided_windows([17], kept, 1, composed=False)
    windows_first = [share.steps[0].between for share in found if share.steps[0].pictures]
    assert windows_first == [range(4, 9), range(0, 5), range(8, 13)]
    (others,) = [share for share in found if not share.steps[0].pictures]
    assert [share.steps[0].between for share in others.then] == [range(12, 17)]


def test_a_window_that_is_made_leaves_its_slides_to_compose() -> None:
    first = ~1
    kept = [4, 0, 8, first, 5, 6, 7, ~5]
    (share,) = divided_windows([9], kept, 1, composed=False)
    assert share.length == 0 and [step.slide for step in share.steps] == [1, 3, 2, 1]
