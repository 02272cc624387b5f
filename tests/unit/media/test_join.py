"""Slides become a film: rate, colours and sizes, and what happens when it fails."""

from __future__ import annotations

import os
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import clips
from support.media import (
    BT601,
    BUNNY,
    Split,
    assert_waited_for,
    decoded,
    each_ffmpeg,
    ignore,
    in_rgb,
    worst,
)

from stable_restyle.core.errors import ProgramFailed, UnusableInput, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.media import sequence
from stable_restyle.media.join import join_slides
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import detect_cuts, detect_film_cuts


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("rate", ["12", "30000/1001"])
def test_a_joined_film_has_each_slide_at_the_exact_rate(
    suffix: str, rate: str, tmp_path: Path
) -> None:
    slides = clips.write_folder(tmp_path / "out", clips.numbered(25))
    target = tmp_path / "not" / "yet" / f"film{suffix.upper()}"
    counts: list[int] = []
    join_slides(slides, 25, Fraction(rate), target, None, counts.append)
    film = probe_film(target)
    assert (film.rate, film.frames, sum(counts)) == (Fraction(rate), 25, 25)
    assert [clips.number(in_rgb(frame)) for frame in decoded(target)] == list(range(25))
    assert os.listdir(target.parent) == [target.name]


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_colours_are_joined_as_bt709(suffix: str, chart: Pixels, tmp_path: Path) -> None:
    slides = clips.write_folder(tmp_path / "out", [chart] * 3)
    target = tmp_path / f"film{suffix}"
    join_slides(slides, 3, Fraction(24), target, None, ignore)
    frame = decoded(target)[1]
    assert frame.format.name == "yuv420p"
    assert frame.color_range == 1  # limited
    assert frame.colorspace == frame.color_primaries == frame.color_trc == 1  # BT.709
    assert worst(in_rgb(frame), chart) <= 3


@pytest.mark.parametrize("size", [(1, 1), (33, 17), (34, 17), (33, 18)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_odd_sides_are_padded_with_their_last_pixels(
    suffix: str, size: tuple[int, int], tmp_path: Path
) -> None:
    width, height = size
    grey = np.add.outer(5 * np.arange(height), 3 * np.arange(width)) + 40
    picture = np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)
    slides = clips.write_folder(tmp_path / "out", [picture] * 2)
    target = tmp_path / f"film{suffix}"
    join_slides(slides, 2, Fraction(24), target, None, ignore)
    joined = in_rgb(decoded(target)[0])
    padded = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    assert joined.shape == padded.shape
    assert np.abs(joined.astype(int) - padded).max() <= 8


def test_a_film_split_and_joined_again_is_the_same(
    chart: Pixels, tmp_path: Path, split: Split
) -> None:
    path = clips.make_yuv(tmp_path / "film.mkv", chart, BT601)
    film, frames = split(path)
    slides = clips.write_folder(tmp_path / "out", frames)
    join_slides(slides, 1, film.rate, tmp_path / "again.mp4", film, ignore)
    again, (frame,) = split(tmp_path / "again.mp4")
    assert again.rate == film.rate
    assert worst(frame, frames[0]) <= 3


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return clips.write_folder(tmp_path / "out", clips.numbered(6))


def test_a_target_of_another_kind_is_refused(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"\.mp4, \.mov, \.mkv, \.webm"):
        join_slides(slides, 6, Fraction(24), tmp_path / "film.mpg", None, ignore)


@pytest.mark.parametrize("wrong", ["missing", "damaged"])
def test_slides_that_cannot_be_read_leave_the_old_film(
    wrong: str, slides: Path, tmp_path: Path
) -> None:
    target = tmp_path / "film.mp4"
    target.write_text("an older film")
    slide = slides / sequence.name(3)
    if wrong == "missing":
        slide.unlink()
    else:
        slide.write_bytes(bytes(len(slide.read_bytes())))
    with pytest.raises(ProgramFailed, match=r"(?s)Joining film\.mp4 failed.* of the 6 slides"):
        join_slides(slides, 6, Fraction(24), target, None, ignore)
    assert target.read_text() == "an older film"
    assert sorted(os.listdir(tmp_path)) == ["film.mp4", "out"]


def test_a_target_that_cannot_be_written_is_named(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnusableInput, match=r"film\.mp4 cannot be written"):
        join_slides(slides, 6, Fraction(24), tmp_path / "file" / "film.mp4", None, ignore)


def test_more_slides_than_asked_for_are_left_out(slides: Path, tmp_path: Path) -> None:
    join_slides(slides, 4, Fraction(24), tmp_path / "film.mkv", None, ignore)
    assert len(decoded(tmp_path / "film.mkv")) == 4


def test_ctrl_c_leaves_nothing_behind(
    slides: Path, tmp_path: Path, children: list[subprocess.Popen[bytes]]
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join_slides(slides, 6, Fraction(24), tmp_path / "film.mp4", None, interrupt)
    assert os.listdir(tmp_path) == ["out"]
    with pytest.raises(KeyboardInterrupt):
        detect_film_cuts(probe_film(BUNNY), 10, interrupt)
    with pytest.raises(KeyboardInterrupt):
        detect_cuts(clips.numbered(6), 10, interrupt)
    assert_waited_for(children)
