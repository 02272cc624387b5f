"""Boundaries, scenes, chains: each slide exactly once, the previous one first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stable_restyle import scenes
from stable_restyle.errors import UnusableInput
from stable_restyle.model import Step


@st.composite
def films(draw: st.DrawFn) -> tuple[list[int], int]:
    """Boundaries of a film and its frames per slide."""
    frames = draw(st.integers(1, 400))
    cuts = draw(st.sets(st.integers(1, frames), max_size=30))
    return scenes.boundaries(cuts, frames), draw(st.integers(1, 12))


@given(films())
def test_each_slide_once_and_the_previous_before_the_next(film: tuple[list[int], int]) -> None:
    bounds, fps = film
    seen: set[int] = set()
    for scene in scenes.find_scenes(bounds, fps):
        for step in scenes.steps(scene):
            assert step.previous is None or step.previous in seen
            assert step.slide not in seen
            seen.add(step.slide)
    assert seen == set(range(scenes.slide_count(bounds[-1], fps)))


@given(films())
def test_a_scene_holds_its_slides_its_middle_and_all_frames_that_it_crosses(
    film: tuple[list[int], int],
) -> None:
    bounds, fps = film
    for scene in scenes.find_scenes(bounds, fps):
        assert scene.middle in scene.slides
        for step in scenes.steps(scene):
            crossed = scenes.frames_crossed(step, fps)
            assert all(scene.start <= frame < scene.stop for frame in crossed)
            assert crossed[-1] == step.slide * fps
            if step.previous is not None:
                assert crossed[0] == step.previous * fps


@given(films())
def test_middle_is_the_originals_unless_that_lies_before_its_scene(
    film: tuple[list[int], int],
) -> None:
    bounds, fps = film
    for scene in scenes.find_scenes(bounds, fps):
        original = int((scene.start + scene.stop) / 2 / fps)
        assert scene.middle == (original if original in scene.slides else scene.slides.start)


def test_a_last_group_of_fewer_frames_has_its_slide() -> None:
    assert [scenes.slide_count(frames, 4) for frames in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


def test_a_scene_between_two_slides_is_none() -> None:
    found = scenes.find_scenes([0, 5, 6, 12], 4)
    assert [(scene.number, scene.slides) for scene in found] == [(1, range(0, 2)), (2, range(2, 3))]


def test_chains_walk_outward() -> None:
    (scene,) = scenes.find_scenes([0, 10], 2)
    assert scenes.steps(scene) == [
        Step(2, 1, None),
        Step(1, 1, 2),
        Step(0, 1, 1),
        Step(3, 1, 2),
        Step(4, 1, 3),
    ]
    assert list(scenes.frames_crossed(Step(1, 1, 2), 2)) == [4, 3, 2]
    assert list(scenes.frames_crossed(Step(3, 1, 2), 2)) == [4, 5, 6]


def test_boundaries_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scenes.json"
    scenes.write_boundaries(path, [0, 18, 48])
    assert path.read_text() == "[0, 18, 48]"
    assert scenes.read_boundaries(path, 48) == [0, 18, 48]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[0, 20, 18, 48]", "18 follows 20"),
        ("[0, 18, 18, 48]", "18 follows 18"),
        ("[0, 18, 50]", "end with their number, 48"),
        ("[-3, 18, 48]", "must begin with 0"),
        ("[0, 18]", "end with their number, 48"),
        ("[1, 48]", "must begin with 0"),
        ("[0]", "must begin with 0"),
        ("[]", "must begin with 0"),
        ("[0, 18.5, 48]", "not a list of whole numbers"),
        ("[0, true, 48]", "not a list of whole numbers"),
        ('{"scenes": [0, 48]}', "not a list of whole numbers"),
        ("[0, 48", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_bad_scenes_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "scenes.json"
    path.write_text(text)
    with pytest.raises(UnusableInput, match=reason) as refusal:
        scenes.read_boundaries(path, 48)
    assert str(path) in str(refusal.value)
    assert "remove it" in str(refusal.value)
