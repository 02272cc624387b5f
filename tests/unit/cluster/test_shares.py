"""How a film is divided into shares, and which workers may draw one that was handed back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stable_restyle.cluster import shares
from stable_restyle.core.records import answer_key
from stable_restyle.plan import answers, scenes


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
