"""Measuring a run: what is there, what is missing, and what is kept of it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import clips
from support.runs import Silent, files, run

from stable_restyle.core import files as its_files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.settings import Settings
from stable_restyle.imaging import metrics
from stable_restyle.media import png, sequence
from stable_restyle.run import measurement
from stable_restyle.run.measurement import Measurement

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """A run over two scenes of 4 and 3 slides; a frame a slide."""
    asked = Settings(make_frames(4, 3), tmp_path / "out", frames_per_slide=1, backends=("preview",))
    run(asked)
    return asked


def measured(asked: Settings) -> Measurement:
    return measurement.measure_run(Settings(asked.source, asked.target, asked.work), Silent())


def kept(asked: Settings) -> dict[str, Any]:
    path = asked.target.parent / "interp" / "measure.json"
    tree: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return tree


def shown(asked: Settings, slide: int) -> metrics.Shown:
    name = sequence.name(slide)
    return metrics.Shown(png.read(asked.source / name), png.read(asked.target / name))


def test_a_run_is_measured_with_its_own_settings(asked: Settings) -> None:
    before, progress = files(asked.target), Silent()
    survey = measurement.measure_run(replace(asked, frames_per_slide=2), progress)
    assert progress.tasks == [("Measuring", 7, 0)] and progress.counted == [7]
    assert [(scene.number, its.slides, its.pairs) for scene, its in survey.scenes] == [
        (1, 4, 3),
        (2, 3, 2),
    ]
    for scene, its in survey.scenes:
        pictures = [shown(asked, slide) for slide in scene.slides]
        assert its == metrics.measure_scene(pictures, scene.middle - scene.slides.start)
    assert survey.whole == metrics.combine_scenes([its for _, its in survey.scenes])
    assert not survey.missing and files(asked.target) == before


def test_the_figures_are_kept_for_every_scene_and_slide(asked: Settings) -> None:
    survey, tree = measured(asked), kept(asked)
    assert tree["all"]["e_warp_ratio"] == survey.whole.e_warp_ratio
    assert [(scene["first"], scene["last"], scene["middle"]) for scene in tree["scenes"]] == [
        (1, 4, 3),
        (5, 7, 6),
    ]
    assert [slide["slide"] for slide in tree["slides"]] == [1, 2, 3, 4, 5, 6, 7]
    first_of_scene, within = tree["slides"][4], tree["slides"][6]
    assert first_of_scene["e_warp"] is None and first_of_scene["e_warp_long"] > 0
    assert within["e_warp"] == survey.slides[6].e_warp and within["flicker"] is not None


def test_what_is_missing_is_told_and_left_out(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    whole = measured(asked)
    (asked.target / sequence.name(5)).unlink()  # the middle of the second scene
    with caplog.at_level(logging.WARNING):
        survey = measured(asked)
    assert "Missing, and so not measured: slide 6 of 7." in caplog.text
    assert survey.missing == [5] and kept(asked)["missing"] == [6]
    assert survey.scenes[0] == whole.scenes[0]
    _, second = survey.scenes[1]
    assert (second.slides, second.pairs) == (2, 0)
    assert math.isnan(second.e_warp) and math.isnan(second.style) and second.structure > 0


def test_a_film_is_measured(tmp_path: Path) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(6, 6), rate="25")
    asked = Settings(film, tmp_path / "clay.mkv", backends=("preview",))
    run(asked)
    survey = measured(asked)
    assert (survey.whole.slides, survey.whole.scenes) == (6, 2)
    assert (tmp_path / "clay.restyle" / "interp" / "measure.json").exists()


def test_figures_do_not_outlive_their_slides(asked: Settings) -> None:
    measured(asked)
    run(asked)
    assert kept(asked)["missing"] == []
    (asked.target / sequence.name(2)).unlink()
    run(asked)
    assert not (asked.target.parent / "interp" / "measure.json").exists()


def test_enlarged_slides_are_measured_at_the_size_of_the_frames(asked: Settings) -> None:
    for path in asked.target.glob("*.png"):
        png.write(path, png.read(path).repeat(2, axis=0).repeat(2, axis=1))
    assert measured(asked).whole.slides == 7


def test_without_a_run_there_is_nothing_to_measure(
    asked: Settings, make_frames: MakeFrames, tmp_path: Path
) -> None:
    elsewhere = replace(asked, target=tmp_path / "elsewhere" / "out")
    with pytest.raises(UnusableInput, match="There is no run to measure"):
        measured(elsewhere)
    assert not elsewhere.target.parent.exists()
    its_files.remove_all(asked.target, sequence.numbered(asked.target))
    with pytest.raises(UnusableInput, match=r"no slides in .*out"):
        measured(asked)
    with pytest.raises(UnusableInput, match="does not fit these frames"):
        measured(replace(asked, source=make_frames(3, name="others")))


def test_settings_that_do_not_say_what_a_slide_is(asked: Settings) -> None:
    (asked.target.parent / "interp" / "settings.json").write_text('{"fps": "2"}')
    with pytest.raises(UnusableInput, match="does not say how many frames"):
        measured(asked)
