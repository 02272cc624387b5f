"""Thumbnails: made while a run goes on, known when out of date; what is measured on them."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.runs import Silent, run

from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import Settings
from stable_restyle.imaging import metrics
from stable_restyle.media import png, sequence
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.plan import scenes
from stable_restyle.report.thumbnails import WIDTH_PX, Thumbnails
from stable_restyle.run import pipeline, reporting

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Thirteen frames in two scenes: slides 0-3 and 4-6."""
    return Settings(make_frames(8, 5), tmp_path / "out", backends=("preview:clay",))


def thumbnails(asked: Settings) -> Thumbnails:
    found = scenes.find_scenes([0, 8, 13], asked.frames_per_slide)
    folder = asked.target.parent / "interp" / "report"
    frames = sequence.find_frames(asked.source)
    return Thumbnails(folder, frames, asked.target, asked.frames_per_slide, found)


def small(asked: Settings, kind: str, slide: int) -> Pixels:
    path = asked.target.parent / "interp" / "report" / kind / f"{slide + 1:06}.jpg"
    return png.decode(path.read_bytes(), ("JPEG",))


def test_a_run_leaves_small_pictures_of_frames_and_slides(asked: Settings) -> None:
    progress = Silent()
    pipeline.run(asked, progress)
    assert [task for task, _, _ in progress.tasks] == ["Finding scenes", "Drawing"]
    its = thumbnails(asked)
    assert its.missing() == its.unmeasured() == []
    assert its.present() == set(range(7))
    for slide in range(7):
        frame = png.read(asked.source / sequence.name(2 * slide)).astype(int)
        drawn = png.read(asked.target / sequence.name(slide)).astype(int)
        assert np.abs(small(asked, "frames", slide) - frame).mean() < 6
        assert np.abs(small(asked, "slides", slide) - drawn).mean() < 6


def test_small_pictures_are_small(tmp_path: Path) -> None:
    frames = FrameFolder(tmp_path / "in", 1, 960, 540, ())
    its = Thumbnails(tmp_path / "report", frames, tmp_path / "out", 1, [])
    wide = np.full((540, 960, 3), 90, np.uint8)
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
        png.write(tmp_path / folder / sequence.name(0), wide)
    its.add(0, wide, wide)
    path = tmp_path / "report" / "slides" / "000001.jpg"
    assert png.decode(path.read_bytes(), ("JPEG",)).shape == (180, WIDTH_PX, 3)


def test_pairs_are_measured_inside_scenes_only(asked: Settings) -> None:
    run(asked)
    assert sorted(thumbnails(asked).steadiness()) == [1, 2, 3, 5, 6]


def test_what_is_measured_is_what_stability_measures(asked: Settings) -> None:
    """On frames of this size little is lost; the figures need only tell bad from good."""
    run(asked)
    measured = thumbnails(asked).steadiness()
    for slide in (1, 2, 3, 5, 6):
        before, shown = (
            metrics.Shown(
                png.read(asked.source / sequence.name(2 * each)),
                png.read(asked.target / sequence.name(each)),
            )
            for each in (slide - 1, slide)
        )
        full = metrics.measure_slide(shown, before, None)
        assert measured[slide].flicker == pytest.approx(full.flicker, abs=0.5)
        assert math.isfinite(measured[slide].unexplained) and measured[slide].unexplained >= 0


def test_a_slide_that_flickers_stands_out(asked: Settings) -> None:
    run(asked)
    path = asked.target / sequence.name(2)
    png.write(path, png.read(path) // 2)
    reporting.write_report(asked, Silent())
    measured = thumbnails(asked).steadiness()
    calm = max(measured[slide].flicker for slide in (1, 5, 6))
    assert min(measured[2].flicker, measured[3].flicker) > 3 * calm
    assert min(measured[2].unexplained, measured[3].unexplained) > measured[1].unexplained


def test_pictures_that_are_out_of_date_are_made_again(asked: Settings) -> None:
    run(asked)
    path = asked.target / sequence.name(5)
    kept = path.with_name("kept")
    shutil.copy2(path, kept)
    png.write(path, 255 - png.read(path))
    assert thumbnails(asked).missing() == [5]
    assert sorted(thumbnails(asked).steadiness()) == [1, 2, 3]
    progress = Silent()
    reporting.write_report(asked, progress)
    assert progress.tasks == [("Thumbnails", 1, 0)]
    kept.replace(path)  # an older file than the one that was there
    assert thumbnails(asked).missing() == [5]
    reporting.write_report(asked, progress)
    drawn = png.read(path).astype(int)
    assert np.abs(small(asked, "slides", 5) - drawn).mean() < 6
    assert sorted(thumbnails(asked).steadiness()) == [1, 2, 3, 5, 6]


def test_a_report_makes_what_a_run_did_not(asked: Settings) -> None:
    run(asked)
    shutil.rmtree(asked.target.parent / "interp" / "report")
    progress = Silent()
    reporting.write_report(asked, progress)
    assert progress.tasks == [("Thumbnails", 7, 0)]
    assert progress.counted == [7]
    its = thumbnails(asked)
    assert its.missing() == its.unmeasured() == []


DAMAGES = [b"", b"\xff\xd8half of it", bytes(2000), b"\xff\xd8" + bytes(2000) + b"\xff\xd9"]


def damage(path: Path, data: bytes) -> None:
    """As a loss of power leaves it: the file has its name and its time, but not its bytes."""
    stamp = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(stamp, stamp))


@pytest.mark.parametrize("data", DAMAGES, ids=["empty", "half", "zeros", "zeros within"])
@pytest.mark.parametrize("kind", ["frames", "slides"])
def test_a_damaged_picture_is_made_again_where_it_is_needed(
    asked: Settings, caplog: pytest.LogCaptureFixture, kind: str, data: bytes
) -> None:
    run(asked)
    path = asked.target.parent / "interp" / "report" / kind / "000002.jpg"
    whole = path.read_bytes()
    damage(path, data)
    (asked.target / "000003.png").unlink()
    with caplog.at_level(logging.WARNING):
        assert run(asked).drawn == 1
    assert path.read_bytes() == whole
    assert caplog.text == ""
    assert sorted(thumbnails(asked).steadiness()) == [1, 2, 3, 5, 6]


@pytest.mark.parametrize("data", DAMAGES[:3], ids=["empty", "half", "zeros"])
@pytest.mark.parametrize("kind", ["frames", "slides"])
def test_a_report_makes_damaged_pictures_again(asked: Settings, kind: str, data: bytes) -> None:
    run(asked)
    path = asked.target.parent / "interp" / "report" / kind / "000002.jpg"
    whole = path.read_bytes()
    damage(path, data)
    progress = Silent()
    reporting.write_report(asked, progress)
    assert progress.tasks == [("Thumbnails", 1, 0)]
    assert path.read_bytes() == whole


def test_a_neighbour_that_cannot_be_read_is_named(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Both its thumbnail and the slide itself are damaged; the slide drawn now is kept."""
    run(asked)
    damage(asked.target.parent / "interp" / "report" / "slides" / "000002.jpg", b"")
    slide = asked.target / "000002.png"
    data = slide.read_bytes()
    damage(slide, data[:60] + b"?" * 20 + data[80:])
    (asked.target / "000003.png").unlink()  # a middle: it is made from no other
    with caplog.at_level(logging.WARNING):
        assert run(asked).drawn == 1
    assert "The report leaves out a picture" in caplog.text
    assert f"{slide} is damaged" in caplog.text


def test_a_slide_that_cannot_be_read_costs_its_own_picture(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked)
    path = asked.target / sequence.name(5)
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + b"?" * 20 + whole[80:])
    with caplog.at_level(logging.WARNING):
        reporting.write_report(asked, Silent())
    assert "leaves out a picture" in caplog.text and "000006.png is damaged" in caplog.text


def test_pictures_that_cannot_be_written_cost_no_slide(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    folder = asked.target.parent / "interp" / "report" / "slides" / "000003.jpg"
    folder.mkdir(parents=True)  # where the picture of a slide should go
    (folder / "in the way").touch()
    with caplog.at_level(logging.WARNING):
        assert run(asked).drawn == 7
    assert "Thumbnails for the report cannot be written" in caplog.text
    assert "There is no report" not in caplog.text


def test_flat_pictures_are_compared_too(tmp_path: Path) -> None:
    """OpenCV's flow would crash on them as they are."""
    flat = np.random.default_rng(0).integers(0, 255, (4, 300, 3), np.uint8)
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(4):
        png.write(folder / sequence.name(index), flat)
    asked = Settings(folder, tmp_path / "out", frames_per_slide=1, backends=("preview:clay",))
    run(replace(asked, scene_threshold=100))
    assert len((tmp_path / "interp" / "report" / "steadiness.jsonl").read_text().split()) >= 3


def test_what_a_killed_writer_left_is_no_picture(asked: Settings) -> None:
    run(asked)
    folder = asked.target.parent / "interp" / "report" / "slides"
    (folder / f"000001.jpg.{os.getpid()}-1.part").write_bytes(b"half")
    (folder / "notes.jpg").touch()
    assert thumbnails(asked).present() == set(range(7))
