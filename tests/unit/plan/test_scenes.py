"""Boundaries, scenes, chains: each slide exactly once, the previous one first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Keys, Step, StepKind
from stable_restyle.plan import scenes


@st.composite
def films(draw: st.DrawFn) -> tuple[list[int], int]:
    """Draw boundaries of a film and its frames per slide."""
    frames = draw(st.integers(1, 400))
    cuts = draw(st.sets(st.integers(1, frames), max_size=30))
    return scenes.boundaries(cuts, frames), draw(st.integers(1, 12))


@given(films())
def test_each_slide_once_and_the_previous_before_the_next(film: tuple[list[int], int]) -> None:
    bounds, frames_per_slide = film
    seen: set[int] = set()
    for scene in scenes.find_scenes(bounds, frames_per_slide):
        for step in scenes.steps(scene):
            assert step.previous is None or step.previous in seen
            assert step.slide not in seen
            seen.add(step.slide)
    assert seen == set(range(scenes.slide_count(bounds[-1], frames_per_slide)))


@given(films())
def test_a_scene_holds_its_slides_its_middle_and_all_frames_that_it_crosses(
    film: tuple[list[int], int],
) -> None:
    bounds, frames_per_slide = film
    for scene in scenes.find_scenes(bounds, frames_per_slide):
        assert scene.middle in scene.slides
        for step in scenes.steps(scene):
            crossed = scenes.frames_crossed(step, frames_per_slide)
            assert all(scene.start <= frame < scene.stop for frame in crossed)
            assert crossed[-1] == step.slide * frames_per_slide
            if step.previous is not None:
                assert crossed[0] == step.previous * frames_per_slide


@given(films())
def test_middle_is_the_originals_unless_that_lies_before_its_scene(
    film: tuple[list[int], int],
) -> None:
    bounds, frames_per_slide = film
    for scene in scenes.find_scenes(bounds, frames_per_slide):
        original = int((scene.start + scene.stop) / 2 / frames_per_slide)
        assert scene.middle == (original if original in scene.slides else scene.slides.start)


def test_cuts_at_the_ends_or_beyond_them_divide_nothing() -> None:
    assert scenes.boundaries([12, 5, 9, 1, 0, -3], 9) == [0, 1, 5, 9]


def test_a_last_group_of_fewer_frames_has_its_slide() -> None:
    assert [scenes.slide_count(frames, 4) for frames in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


def test_a_scene_without_a_slide_is_dropped() -> None:
    found = scenes.find_scenes([0, 5, 6, 12], 4)
    assert [(scene.number, scene.slides) for scene in found] == [(1, range(0, 2)), (2, range(2, 3))]


def test_chains_proceed_outward() -> None:
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


def test_slides_between_keys_are_made_from_both_of_them() -> None:
    (scene,) = scenes.find_scenes([0, 9], 1)
    keys = Keys(keys=frozenset({2, 4, 6}), assisted=frozenset({5}))
    assert scenes.steps(scene, keys) == [
        Step(4, 1, None),
        Step(2, 1, 4),
        Step(3, 1, 4, other_key=2, kind=StepKind.FILL),
        Step(0, 1, 2),  # the last of a chain is a key in any case
        Step(1, 1, 2, other_key=0, kind=StepKind.FILL),
        Step(6, 1, 4),
        Step(5, 1, 4, other_key=6, kind=StepKind.DRAW),
        Step(8, 1, 6),
        Step(7, 1, 6, other_key=8, kind=StepKind.FILL),
    ]


@pytest.mark.parametrize(
    ("step", "frames"),
    [
        (Step(3, 1, None), range(6, 7)),
        (Step(2, 1, 3), range(4, 7)),
        (Step(4, 1, 3, other_key=6, kind=StepKind.FILL), range(6, 13)),
    ],
)
def test_a_slide_depends_on_all_frames_up_to_its_sources(step: Step, frames: range) -> None:
    assert scenes.frames_spanned(step, 2) == frames


# Scenes of slides 0 to 4 (drawn 2, 1, 0, 3, 4) and 5 to 7 (drawn 6, 5, 7), two frames per slide.
BEFORE = scenes.all_steps(scenes.find_scenes([0, 10, 16], 2))


@pytest.mark.parametrize(
    ("bounds", "changed_scene", "changed_frames", "outdated"),
    [
        pytest.param([0, 10, 16], 0, {}, set(), id="nothing"),
        pytest.param([0, 10, 16], 2, {}, {5, 6, 7}, id="what is set for a scene"),
        pytest.param([0, 10, 16], 0, {3}, {1, 0}, id="a frame, and what is drawn from its slide"),
        pytest.param([0, 10, 16], 0, {8}, {4}, id="the last slide's frame"),
        pytest.param([0, 10, 16], 0, {4}, {0, 1, 2, 3, 4}, id="a middle's frame"),
        pytest.param([0, 10, 20], 0, {}, {5, 6, 7, 8, 9}, id="a longer scene: another middle"),
        pytest.param([0, 10, 16, 22], 0, {}, {8, 9, 10}, id="a new scene"),
    ],
)
def test_what_is_drawn_differently_than_before(
    bounds: list[int], changed_scene: int, changed_frames: set[int], outdated: set[int]
) -> None:
    now = scenes.all_steps(scenes.find_scenes(bounds, 2))

    def changed(before: Step, now: Step) -> bool:
        assert before.slide == now.slide
        return now.scene == changed_scene

    assert scenes.outdated(BEFORE, now, changed, set(changed_frames), 2) == outdated


def test_a_slide_that_the_model_no_longer_draws_is_outdated() -> None:
    (scene,) = scenes.find_scenes([0, 5], 1)
    before, now = (
        scenes.steps(scene, Keys(frozenset({2}), frozenset(assisted))) for assisted in ({1}, ())
    )
    assert scenes.outdated(before, now, lambda *_: False, set(), 1) == {1}


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
        ("48", "not a list of whole numbers"),
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
