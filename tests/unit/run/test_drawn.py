"""--drawn: a film that was restyled frame by frame elsewhere becomes steady, without a server."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import clips
from support.runs import Silent, files, interp, run

from stable_restyle.backends.preview.engine import Preview
from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.records import Job, Pixels, Slide
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.drawing.session import DrawingSession, DrawingSpec
from stable_restyle.imaging import arrays, metrics, optical_flow
from stable_restyle.media import png, sequence
from stable_restyle.run import dry_run, pipeline, status, team

MakeFrames = Callable[..., Path]
SLIDES = 7


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(self: Preview, job: Job) -> Slide:
        raise AssertionError("a model was asked")

    monkeypatch.setattr(Preview, "draw", draw)


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Thirteen frames in two scenes, and a picture for each: the frame in grain of its own."""
    frames = make_frames(8, 5)
    pictures = clips.write_folder(tmp_path / "pictures", (grainy(frames, f) for f in range(13)))
    return Settings(frames, tmp_path / "out", drawn=pictures)


def grainy(frames: Path, index: int) -> Pixels:
    picture = 255 - png.read(frames / sequence.name(index)).astype(float)
    grain = np.random.default_rng(index).normal(0, 12, picture.shape)
    return np.asarray((picture + grain).clip(0, 255), np.uint8)


def flicker(asked: Settings, folder: Path, every: int) -> float:
    """Return the warping error from slide 1 to slide 2."""
    frames = [png.read(asked.source / sequence.name(2 * each)) for each in (0, 1)]
    forward, backward = optical_flow.fine_flows(*frames)
    first, second = (png.read(folder / sequence.name(every * each)) for each in (0, 1))
    return metrics.warping_error(first, second, forward, metrics.occlusion(forward, backward))


def test_pictures_of_each_frame_become_steady_slides(asked: Settings) -> None:
    assert asked.drawn is not None
    progress = Silent()
    assert pipeline.run(asked, progress).slides == SLIDES
    assert "Composing" in [name for name, _, _ in progress.tasks]
    for middle in (2, 5):
        slide = png.read(asked.target / sequence.name(middle))
        assert np.array_equal(slide, png.read(asked.drawn / sequence.name(2 * middle)))
    assert flicker(asked, asked.target, 1) < 0.7 * flicker(asked, asked.drawn, 2)
    assert status.is_finished(asked)
    assert not (interp(asked) / "answers").exists()


def test_pictures_of_each_slide_give_the_same(asked: Settings, tmp_path: Path) -> None:
    run(asked)
    pictures = clips.write_folder(
        tmp_path / "few", (grainy(asked.source, 2 * slide) for slide in range(SLIDES))
    )
    other = replace(asked, target=tmp_path / "other" / "out", drawn=pictures)
    run(other)
    assert files(other.target) == files(asked.target)


def test_a_film_of_pictures_is_split_once(asked: Settings, tmp_path: Path) -> None:
    assert asked.drawn is not None
    film = tmp_path / "restyled.mkv"
    clips.run_ffmpeg("-i", asked.drawn / "%06d.png", "-c:v", "ffv1", film)
    steady = replace(asked, drawn=film, target=tmp_path / "film" / "out")
    run(steady)
    split = interp(steady) / "pictures"
    assert sequence.find_frames(split).count == 13
    made = (split / "000001.png").stat().st_mtime_ns
    assert status.is_finished(steady)
    run(replace(steady, anchor=0.5))
    assert (split / "000001.png").stat().st_mtime_ns == made


def test_pictures_of_another_size_are_scaled(
    asked: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for size, warned in (((132, 100), False), ((64, 64), True)):
        caplog.clear()
        scaled = (arrays.fit(grainy(asked.source, index), *size) for index in range(13))
        pictures = clips.write_folder(tmp_path / f"of {size}", scaled)
        other = replace(asked, drawn=pictures, target=tmp_path / f"to {size}" / "out")
        run(other)
        assert png.read_header(other.target / "000001.png").size == (66, 50)
        warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert bool(warnings) == warned


def test_too_few_pictures_are_refused_with_both_numbers(asked: Settings, tmp_path: Path) -> None:
    pictures = clips.write_folder(tmp_path / "six", (grainy(asked.source, f) for f in range(6)))
    few = replace(asked, drawn=pictures)
    for act in (run, lambda asked: dry_run.plan(asked, None, Silent())):
        with pytest.raises(UnusableInput, match="6 pictures, but 7 slides of 13 frames"):
            act(few)


def test_pictures_of_neither_frames_nor_slides_are_refused(asked: Settings, tmp_path: Path) -> None:
    pictures = clips.write_folder(tmp_path / "ten", (grainy(asked.source, f) for f in range(10)))
    with pytest.raises(UnusableInput, match="10 pictures, but 7 slides of 13 frames"):
        run(replace(asked, drawn=pictures))


def test_pictures_past_the_end_are_left_out_with_a_warning(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    assert asked.drawn is not None
    for more in range(14, 17):
        shutil.copy(asked.drawn / "000013.png", asked.drawn / f"0000{more}.png")
    run(asked)
    assert "2 pictures of --drawn past the end of SOURCE: left out." in caplog.text


def test_a_folder_that_the_run_clears_holds_no_pictures_for_it(asked: Settings) -> None:
    assert asked.drawn is not None
    for own in ("answers", "drawn"):
        with pytest.raises(WrongUsage, match="puts its own pictures there"):
            run(replace(asked, drawn=Path(shutil.copytree(asked.drawn, interp(asked) / own))))
    assert len(files(interp(asked) / "answers")) == 13


def test_workers_in_other_folders_find_the_pictures(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked.drawn is not None
    specs: list[DrawingSpec] = []

    class Noted(DrawingSession):
        def __init__(self, spec: DrawingSpec, *rest: Any, **named: Any) -> None:
            specs.append(spec)
            super().__init__(spec, *rest, **named)

    monkeypatch.setattr(team, "DrawingSession", Noted)
    monkeypatch.chdir(asked.drawn.parent)
    run(replace(asked, drawn=Path(asked.drawn.name)))
    assert specs[0].drawn is not None
    assert specs[0].drawn.pictures.folder.is_absolute()


def test_a_changed_picture_changes_the_slides_that_depend_on_it(asked: Settings) -> None:
    assert asked.drawn is not None
    run(asked)
    before = files(asked.target)
    changed = asked.drawn / sequence.name(2)  # of slide 2
    png.write(changed, 255 - png.read(changed))
    run(asked)
    after = files(asked.target)
    assert {name for name in before if before[name] != after[name]} == {"000001.png", "000002.png"}


def test_keys_and_other_composing_speak_of_pictures(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run(asked)
    run(replace(asked, keys=3))
    assert "Composing the slides again from their pictures. keys: 1 then, 3 now." in caplog.text
    assert "of 7 slides use their pictures: " in caplog.text


def test_options_of_a_model_are_refused(asked: Settings) -> None:
    for unused in (
        {"seed": 3},
        {"prompt": "clay"},
        {"redo": "1"},
        {"changes": ("6.text=x",)},
        {"guide": WARPED},
    ):
        with pytest.raises(WrongUsage, match="--drawn"):
            run(replace(asked, **unused))
    assert asked.drawn is not None
    with pytest.raises(WrongUsage, match="one would overwrite the other"):
        run(replace(asked, target=asked.drawn))
    with pytest.raises(UnusableInput, match=r"there is no .*nowhere"):
        run(replace(asked, drawn=Path("nowhere")))


def test_the_plan_asks_no_model(asked: Settings) -> None:
    planned = dry_run.plan(asked, None, Silent())
    assert (planned.asked, planned.longest_chain, planned.slides) == (0, 0, SLIDES)
