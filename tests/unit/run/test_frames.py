"""Whole runs over frames that are called and encoded as people have them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import clips, runs
from support.runs import Silent, files, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import Settings
from stable_restyle.media import pictures, png, sequence
from stable_restyle.media.probe import probe_film
from stable_restyle.run import dry_run, measurement, reporting, status

MakeFrames = Callable[..., Path]
PREVIEW = ("preview:clay",)


def renamed(frames: Path, to: Path, name: str, first: int, **options: Any) -> Path:
    """Save frames again under other names, such as "shot_{:04d}.jpg"."""
    to.mkdir()
    for index, each in enumerate(sequence.numbered(frames)):
        Image.fromarray(png.read(frames / each)).save(to / name.format(first + index), **options)
    return to


@pytest.fixture
def frames(make_frames: MakeFrames) -> Path:
    return make_frames(5, 4)


@pytest.fixture
def plain(frames: Path, tmp_path: Path) -> dict[str, bytes]:
    """Return the slides of the frames as this program names them."""
    run(Settings(frames, tmp_path / "plain" / "out", backends=PREVIEW))
    return files(tmp_path / "plain" / "out")


@pytest.mark.parametrize(
    ("name", "first"),
    [("shot_{:04d}.TIF", 1001), ("{}.bmp", 8), ("a.{:03d}.webp", 0), ("x {:02d}.PNG", 99)],
)
def test_slides_are_those_of_the_same_frames_by_any_name(
    name: str, first: int, frames: Path, plain: dict[str, bytes], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"lossless": True} if name.endswith("webp") else {}
    source = renamed(frames, tmp_path / "other", name, first, **options)
    asked = Settings(source, tmp_path / "out", backends=PREVIEW)
    assert dry_run.plan(asked, None, Silent()).slides == 5
    assert run(asked).slides == 5
    assert files(asked.target) == plain
    assert status.is_finished(asked)
    runs.assert_goes_on(replace(asked, fresh=False), [1, 4])


@pytest.fixture
def jpegs(frames: Path, tmp_path: Path) -> Path:
    return renamed(frames, tmp_path / "jpegs", "shot_{:04d}.jpg", 1001, quality=92)


@pytest.fixture
def asked(jpegs: Path, tmp_path: Path) -> Settings:
    return Settings(jpegs, tmp_path / "out", frames_per_slide=1, backends=PREVIEW)


def test_a_pattern_is_the_folder(asked: Settings) -> None:
    Image.new("RGB", (8, 8)).save(asked.source / "b_1.png")
    Image.new("RGB", (8, 8)).save(asked.source / "b_2.png")
    with pytest.raises(UnusableInput, match="2 numbered sequences"):
        run(asked)
    by_pattern = replace(asked, source=asked.source / "shot_%04d.jpg")
    assert run(by_pattern).slides == 9 and status.is_finished(by_pattern)
    with pytest.raises(WrongUsage, match="SOURCE and TARGET are both"):
        run(replace(by_pattern, target=asked.source))


def test_other_frames_are_named_as_they_are_called(asked: Settings) -> None:
    run(asked)
    changed = asked.source / "shot_1003.jpg"
    changed.write_bytes((asked.source / "shot_1007.jpg").read_bytes())
    with pytest.raises(UnusableInput, match=r"other frames: shot_1003\.jpg\n"):
        run(asked)
    assert run(replace(asked, fresh=True)).drawn < 9


def test_given_pictures_are_called_as_their_frames(asked: Settings, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    picture = pictures.read(asked.source / "shot_1002.jpg")
    Image.fromarray(255 - picture).save(given / "shot_1002.png")
    wanted = replace(asked, given=given)
    run(wanted)
    assert np.array_equal(png.read(asked.target / "000002.png"), 255 - picture)
    Image.fromarray(picture).save(given / "shot_1002.tif")
    with pytest.raises(WrongUsage, match="show the same frame"):
        run(wanted)
    (given / "shot_1002.tif").rename(given / "shot_2000.tif")
    with pytest.raises(WrongUsage, match=r"shot_2000\.tif is none of the film's 9 frames"):
        run(wanted)


@pytest.mark.parametrize("pattern", ["", "m%d.tif"])
def test_masks_have_names_of_their_own(asked: Settings, pattern: str, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = np.zeros(pictures.read(asked.source / "shot_1001.jpg").shape[:2], np.uint8)
    mask[:, :30] = 255
    for number in range(9):
        Image.fromarray(mask).save(masks / f"m{number}.tif")
    if pattern:
        Image.fromarray(mask).save(masks / "notes1.tif")
        Image.fromarray(mask).save(masks / "notes2.tif")
    wanted = replace(asked, only=masks / pattern if pattern else masks)
    run(wanted)
    slide = png.read(asked.target / "000003.png")
    frame = pictures.read(asked.source / "shot_1003.jpg")
    assert np.array_equal(slide[:, 30:], frame[:, 30:])
    assert not np.array_equal(slide[:, :30], frame[:, :30])
    assert status.is_finished(wanted)
    assert not measurement.measure_run(wanted, Silent()).missing
    assert run(wanted).drawn == 0


@pytest.mark.parametrize(("name", "is_large"), [("shot_{:04d}.jpg", False), ("{}.tif", True)])
def test_the_report_shows_frames_that_browsers_can_show(
    name: str, is_large: bool, frames: Path, tmp_path: Path
) -> None:
    source = renamed(frames, tmp_path / "other", name, 7)
    asked = Settings(source, tmp_path / "out", backends=PREVIEW)
    run(asked)
    large = runs.interp(asked) / "report" / "large"
    assert large.exists() == is_large
    if is_large:
        with Image.open(large / "000002.jpg") as shown:
            frame = pictures.read(source / name.format(7 + 2))
            assert np.abs(np.asarray(shown).astype(int) - frame).mean() < 4
    reporting.write_report(asked, Silent())
    page = (runs.interp(asked) / "report.html").read_text()
    film = json.loads(page.partition('id="film" type="application/json">')[2].partition("<")[0])
    assert film["frame_names"]["first"] == 7
    assert film["paths"]["large"] == ("report/large/" if is_large else "")


def test_the_tone_of_frames_by_ffmpeg_is_said_once(
    frames: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "dpx"
    source.mkdir()
    clips.run_ffmpeg("-i", frames / "%06d.png", "-start_number", "0", source / "f%04d.dpx")
    asked = Settings(source, tmp_path / "out", backends=PREVIEW)
    with caplog.at_level(logging.INFO):
        run(asked)
    assert caplog.text.count("taken as FFmpeg decodes them, without tone mapping") == 1
    first = pictures.read(source / "f0000.dpx")
    assert np.array_equal(first, png.read(frames / "000001.png"))


@pytest.mark.parametrize("durations", [[80] * 6, [40, 40, 200, 40, 80, 120]])
def test_an_animated_webp_is_a_film(durations: list[int], tmp_path: Path) -> None:
    shown = [Image.fromarray(each) for each in clips.numbered(6)]
    path = tmp_path / "film.webp"
    shown[0].save(path, save_all=True, append_images=shown[1:], duration=durations, lossless=True)
    asked = Settings(path, tmp_path / "clay.mp4", frames_per_slide=1, backends=PREVIEW)
    film = probe_film(path)
    count = sum(durations) // durations[0]
    assert (film.rate, film.frames) == (Fraction(1000, durations[0]), count)
    assert dry_run.plan(asked, None, Silent()).slides == count
    run(asked)
    made = probe_film(asked.target)
    assert (made.rate, made.frames) == (film.rate, film.frames)
    split = clips.read_folder(tmp_path / "clay.restyle" / "in")
    expected = [i for i, each in enumerate(durations) for _ in range(each // durations[0])]
    assert [clips.number(each) for each in split] == expected


def test_a_damaged_webp_is_refused(tmp_path: Path) -> None:
    shown = [Image.fromarray(each) for each in clips.numbered(6)]
    path = tmp_path / "film.webp"
    shown[0].save(path, save_all=True, append_images=shown[1:])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UnusableInput, match=r"film\.webp is damaged"):
        probe_film(path)


@pytest.mark.parametrize(
    ("name", "codec", "crf"),
    [("a.mov", "prores", None), ("a.mkv", "ffv1", None), ("a.ts", None, 5)],
)
def test_another_codec_is_only_a_matter_of_joining(
    frames: Path, tmp_path: Path, name: str, codec: str | None, crf: int | None
) -> None:
    asked = Settings(frames, tmp_path / name, backends=PREVIEW)
    run(asked)
    assert status.is_finished(asked)
    other = replace(asked, video_codec=codec, crf=crf)
    assert not status.is_finished(other)
    assert run(other).drawn == 0
    assert status.is_finished(other) and not status.is_finished(asked)


def test_what_cannot_be_written_is_refused_before_anything_is_drawn(
    frames: Path, tmp_path: Path
) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(3), rate="60")
    asked = Settings(film, tmp_path / "out", frames_per_slide=1, backends=PREVIEW)
    for target, codec, crf, told in (
        ("a.mp4", "prores", None, r"a \.mp4 film cannot hold it"),
        ("out", "h265", None, "--video-codec is for a TARGET that is a film; .*out is a folder"),
        ("out", None, 5, "--crf is for a TARGET that is a film"),
        ("a.gif", None, None, "60 slides a second"),
        ("a.mp5", None, None, "neither a folder nor a film"),
        ("a.final", None, None, "neither a folder nor a film"),
    ):
        with pytest.raises(WrongUsage, match=told):
            run(replace(asked, target=tmp_path / target, video_codec=codec, crf=crf))
    assert not any(path.suffix == ".png" for path in tmp_path.rglob("out/*"))
    (tmp_path / "a.final").mkdir()
    assert run(replace(asked, target=tmp_path / "a.final")).slides == 3
    assert run(Settings(frames, tmp_path / "b" / "b.final", backends=PREVIEW)).slides == 5
