"""Deflickered slides: where both kinds lie, what stops and starts, and what they look like."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.runs import Silent, Stopping, files, run

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.run import dry_run, measurement, pipeline

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Scenes of 5, 3 and 1 slides, a frame each."""
    (tmp_path / "interp").mkdir()
    (tmp_path / "interp" / "scenes.json").write_text("[0, 5, 8, 9]")
    frames = make_frames(5, 3, 1)
    boiling = Settings(
        frames, tmp_path / "out", frames_per_slide=1, motion="codec", backends=("preview",)
    )
    return replace(boiling, deflicker=2)


@pytest.fixture
def whole(asked: Settings) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The slides of an undisturbed run in another folder: as drawn, and deflickered."""
    other = replace(asked, target=asked.target.parent / "whole" / "out")
    (asked.target.parent / "whole" / "interp").mkdir(parents=True)
    (asked.target.parent / "whole" / "interp" / "scenes.json").write_text("[0, 5, 8, 9]")
    run(other)
    return files(drawn(other)), files(other.target)


def drawn(asked: Settings) -> Path:
    return asked.target.parent / "interp" / "drawn"


def test_target_has_calmer_slides_than_were_drawn(asked: Settings) -> None:
    progress = Silent()
    outcome = pipeline.run(asked, progress)
    assert (outcome.slides, outcome.drawn) == (9, 9)
    assert progress.tasks == [
        ("Drawing", 9, 0),
        ("Deflickering", 9, 0),
        ("Thumbnails", 9, 0),
    ]
    assert progress.counted == [9, 9, 9]
    plain = replace(asked, target=asked.target.parent / "plain" / "out", deflicker=0)
    (plain.target.parent / "interp").mkdir(parents=True)
    (plain.target.parent / "interp" / "scenes.json").write_text("[0, 5, 8, 9]")
    run(plain)
    assert files(drawn(asked)) == files(plain.target)
    calm, boiling = (measurement.measure_run(each, Silent()).whole for each in (asked, plain))
    assert calm.e_warp < 0.7 * boiling.e_warp


def test_no_slide_is_averaged_across_a_cut(asked: Settings) -> None:
    run(asked)
    alone = sequence.name(8)  # a scene of one slide
    assert np.array_equal(png.read(asked.target / alone), png.read(drawn(asked) / alone))


def test_another_reach_draws_nothing_again(
    asked: Settings, whole: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    run(replace(asked, deflicker=0))
    assert files(asked.target) == whole[0]
    assert run(asked).drawn == 0
    assert (files(drawn(asked)), files(asked.target)) == whole
    assert run(replace(asked, deflicker=1)).drawn == 0
    assert files(drawn(asked)) == whole[0] and files(asked.target) != whole[1]
    assert run(asked).drawn == 0
    assert (files(drawn(asked)), files(asked.target)) == whole
    assert dry_run.plan(replace(asked, deflicker=0), None, Silent()).finished == 9
    assert run(replace(asked, deflicker=0)).drawn == 0
    assert files(asked.target) == whole[0] and not drawn(asked).exists()


@pytest.mark.parametrize("after", range(1, 18, 2))
def test_stopped_at_any_moment_it_goes_on_to_the_same_slides(
    asked: Settings, whole: tuple[dict[str, bytes], dict[str, bytes]], after: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, Stopping(after))
    run(asked)
    assert (files(drawn(asked)), files(asked.target)) == whole


@pytest.mark.parametrize("lost", [[0], [2], [7], [1, 6], [8]])
@pytest.mark.parametrize("lost_in_target", [False, True])
def test_what_hangs_on_a_slide_that_is_drawn_again_is_made_again(
    asked: Settings,
    whole: tuple[dict[str, bytes], dict[str, bytes]],
    lost: list[int],
    lost_in_target: bool,
) -> None:
    run(asked)
    scenes = (range(5), range(5, 8), range(8, 9))
    black = png.encode(np.zeros((50, 66, 3), np.uint8))
    for slide in lost:
        (drawn(asked) / sequence.name(slide)).unlink()
        if lost_in_target:
            (asked.target / sequence.name(slide)).unlink()
        near = [each for scene in scenes if slide in scene for each in scene]
        for each in set(near) & set(range(slide - 2, slide + 3)) - {slide}:
            (asked.target / sequence.name(each)).write_bytes(black)
    assert run(asked).drawn == len(lost)
    assert (files(drawn(asked)), files(asked.target)) == whole


@pytest.mark.parametrize("reach", [0, 2])
def test_a_move_that_was_stopped_is_ended(
    asked: Settings, whole: tuple[dict[str, bytes], dict[str, bytes]], reach: int
) -> None:
    run(replace(asked, deflicker=0))
    drawn(asked).mkdir()
    for slide in (0, 4, 5):
        (asked.target / sequence.name(slide)).rename(drawn(asked) / sequence.name(slide))
    assert run(replace(asked, deflicker=reach)).drawn == 0
    assert files(asked.target) == whole[1 if reach else 0]


def test_a_run_that_is_refused_leaves_target_as_it_is(asked: Settings) -> None:
    run(replace(asked, deflicker=0))
    before = files(asked.target)
    with pytest.raises(UnusableInput, match=r"9 slides in .*out were made with other settings"):
        run(replace(asked, mask_size=3))
    assert files(asked.target) == before
    run(asked)
    before = files(asked.target)
    with pytest.raises(UnusableInput, match=r"9 slides in .*drawn were made with other settings"):
        run(replace(asked, mask_size=3, deflicker=0))
    assert files(asked.target) == before


def test_fresh_discards_both_kinds(asked: Settings) -> None:
    run(asked)
    assert run(replace(asked, mask_strength=5, fresh=True)).drawn == 9
    again = replace(asked, mask_strength=5, target=asked.target.parent / "again" / "out")
    (again.target.parent / "interp").mkdir(parents=True)
    (again.target.parent / "interp" / "scenes.json").write_text("[0, 5, 8, 9]")
    run(again)
    assert files(again.target) == files(asked.target)


def test_slides_that_an_earlier_version_averaged_are_averaged_again(
    asked: Settings, whole: tuple[dict[str, bytes], dict[str, bytes]]
) -> None:
    run(asked)
    (asked.target / sequence.name(2)).write_bytes(whole[0][sequence.name(2)])  # a softer one
    made = asked.target.parent / "interp" / "deflicker.json"
    made.write_text(json.dumps({"slides": 2, "scenes": [0, 5, 8, 9]}))
    outcome = pipeline.run(asked, Silent())
    assert outcome.drawn == 0 and files(asked.target) == whole[1]


def test_other_scenes_have_other_neighbours(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    path = asked.target.parent / "interp" / "scenes.json"
    path.write_text(json.dumps([0, 5, 7, 8, 9]))
    run(replace(asked, fresh=True))
    after = files(asked.target)
    assert {name: after[name] == before[name] for name in ("000006.png", "000001.png")} == {
        "000006.png": False,
        "000001.png": True,
    }


def test_a_film_is_made_of_the_deflickered_slides(asked: Settings) -> None:
    film = asked.target.parent / "film.mkv"
    work = asked.target.parent / "film.restyle"
    (work / "interp").mkdir(parents=True)
    (work / "interp" / "scenes.json").write_text("[0, 5, 8, 9]")
    run(replace(asked, target=film, deflicker=0))
    boiling = film.read_bytes()
    progress = Silent()
    pipeline.run(replace(asked, target=film), progress)
    tasks = [task for task, _, _ in progress.tasks]
    assert tasks == ["Drawing", "Deflickering", "Joining", "Thumbnails"]
    assert film.read_bytes() != boiling
    assert len(files(work / "out")) == len(files(work / "interp" / "drawn")) == 9


def test_enlarged_slides_are_deflickered_as_large_as_they_are(asked: Settings) -> None:
    run(replace(asked, deflicker=0))
    for path in asked.target.glob("*.png"):
        png.write(path, png.read(path).repeat(2, axis=0).repeat(2, axis=1))
    assert run(asked).drawn == 0
    assert {png.read_header(path).size for path in asked.target.glob("*.png")} == {(132, 100)}
