"""The frames and cuts of films whose truth is known."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import clips, paths
from support.media import (
    BUNNY,
    BUNNY_CUTS,
    Split,
    assert_waited_for,
    each_ffmpeg,
    ignore,
    posix,
    stand_in,
)

from stable_restyle.core.errors import ProgramFailed, UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.media import sequence
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import (
    check_disk,
    detect_cuts,
    detect_film_cuts,
    disk_needed,
    split_film,
)

CASES = paths.DATA / "cases"


def test_the_ten_second_clip_has_its_frames_and_cuts(tmp_path: Path) -> None:
    film = probe_film(BUNNY)
    assert (film.width, film.height, film.frames) == (640, 360, 240)
    assert film.rate == 24
    counts: list[int] = []
    assert split_film(film, tmp_path, 10, counts.append) == BUNNY_CUTS
    frames = sequence.find_frames(tmp_path)
    assert frames.count == sum(counts) == 240
    assert detect_cuts(map(frames.read, range(240)), 10, ignore) == BUNNY_CUTS

    first = (tmp_path / sequence.name(0)).read_bytes()
    assert b"gAMA" not in first and b"cICP" not in first  # viewers would heed them
    written = sum(entry.stat().st_size for entry in tmp_path.iterdir())
    estimate = disk_needed(film, 1) / 2  # half of it is for the slides
    assert 0.5 * estimate < written < estimate


def test_cuts_are_the_same_before_and_after_splitting(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "film.mkv", clips.scenes(9, 1, 14, 6), delay_s=0.3)
    film = probe_film(path)
    folder = tmp_path / "in"
    folder.mkdir()
    assert split_film(film, folder, 10, ignore) == [9, 10, 24]
    assert detect_film_cuts(film, 10, ignore) == (30, [9, 10, 24])
    assert detect_cuts(clips.read_folder(folder), 10, ignore) == [9, 10, 24]


def test_a_higher_threshold_finds_fewer_cuts() -> None:
    assert detect_cuts(clips.scenes(5, 5), 99, ignore) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 33)])
def test_cuts_are_found_in_frames_of_any_size(shape: tuple[int, int]) -> None:
    dark, bright = np.zeros((*shape, 3), np.uint8), np.full((*shape, 3), 255, np.uint8)
    counts: list[int] = []
    assert detect_cuts([dark] * 3 + [bright] * 3, 10, counts.append) == [3]
    assert sum(counts) == 6


def test_no_frames_have_no_cuts() -> None:
    assert detect_cuts([], 10, ignore) == []


def test_a_frame_that_cannot_be_read_ends_the_search_for_cuts(
    children: list[subprocess.Popen[bytes]],
) -> None:
    def broken() -> Iterator[Pixels]:
        yield from clips.numbered(3)
        raise UnusableInput("000004.png is damaged")

    with pytest.raises(UnusableInput, match=r"000004\.png"):
        detect_cuts(broken(), 10, ignore)
    assert_waited_for(children)


@each_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "rate", "delay_s"),
    [
        (".mp4", "24", 0),
        (".mp4", "30000/1001", 0.52),
        (".mkv", "24000/1001", 0.52),
        pytest.param(".mkv", "60000/1001", 0, marks=pytest.mark.long),
        pytest.param(".mov", "25/2", 0, marks=pytest.mark.long),
        pytest.param(".mkv", "17", 0.1, marks=pytest.mark.long),
        (".mp4", "1/10", 0),
        (".flv", "25", 0.52),
    ],
)
def test_a_steady_film_keeps_each_frame_once(
    suffix: str, rate: str, delay_s: float, tmp_path: Path, split: Split
) -> None:
    path = clips.make(tmp_path / f"film{suffix}", clips.numbered(30), rate=rate, delay_s=delay_s)
    film, frames = split(path)
    assert (film.rate, film.frames) == (Fraction(rate), 30)
    assert [clips.number(frame) for frame in frames] == list(range(30))


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_film_of_one_frame(suffix: str, tmp_path: Path, split: Split) -> None:
    film, frames = split(clips.make(tmp_path / f"film{suffix}", clips.numbered(1)))
    assert film.rate == 24
    assert film.frames == len(frames) == 1


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", pytest.param(".mkv", marks=pytest.mark.long)])
def test_phone_footage_holds_frames_where_some_were_dropped(
    suffix: str, tmp_path: Path, split: Split
) -> None:
    shown = [k for k in range(60) if k not in (7, 20, 21)]
    shaken = [0, *np.random.default_rng(1).integers(-200, 200, len(shown) - 1)]
    stamps = [3000 * k + int(shake) for k, shake in zip(shown, shaken, strict=True)]
    path = tmp_path / f"phone{suffix}"
    clips.make_with_stamps(path, clips.numbered(len(shown)), stamps, Fraction(1, 90000))
    film, frames = split(path)
    assert film.rate == 30
    expected = [sum(k <= tick for k in shown) - 1 for tick in range(60)]
    assert [clips.number(frame) for frame in frames] == expected


@each_ffmpeg
@pytest.mark.parametrize("last_ms", [1501, 1513])
def test_a_last_frame_that_is_shown_for_a_moment_is_kept(
    last_ms: int, tmp_path: Path, split: Split
) -> None:
    stamps = [0, 33, 67, 100, 1000, 1500, last_ms]
    path = tmp_path / "screen.mp4"
    clips.make_with_stamps(path, clips.numbered(len(stamps)), stamps, Fraction(1, 1000))
    film, frames = split(path)
    assert film.rate == 30
    numbers = [clips.number(frame) for frame in frames]
    assert numbers[:45] == [0, 1, 2, *[3] * 27, *[4] * 15]
    # How long the last frame stays is not in the file, and FFmpeg's versions differ on it.
    assert set(numbers[45:]) == {6}


@each_ffmpeg
def test_a_film_whose_time_and_size_start_over_midway(tmp_path: Path, split: Split) -> None:
    clips.make(tmp_path / "small.h264", clips.numbered(10))
    clips.make(tmp_path / "large.h264", clips.numbered(8).repeat(2, axis=1).repeat(2, axis=2))
    whole = tmp_path / "whole.h264"
    whole.write_bytes(
        (tmp_path / "small.h264").read_bytes() + (tmp_path / "large.h264").read_bytes()
    )
    film, frames = split(whole)
    assert film.rate == 24
    assert film.frames == 18
    assert {frame.shape for frame in frames} == {(48, 64, 3)}
    assert [clips.number(frame) for frame in frames] == [*range(10), *range(8)]


@each_ffmpeg
def test_frames_without_a_time_precede_those_that_have_one(split: Split) -> None:
    # 25 frames a second, flashes among them; Matroska says nothing of the 28 that are before 0.
    film, frames = split(CASES / "negative-start.mkv")
    assert film.rate == 25
    assert film.frames == len(frames) == 100
    assert film.start_s == Fraction(4, 1000)  # of a sound that begins at -1.104 s


@each_ffmpeg
@pytest.mark.parametrize("turned", [90, 180, 270])
def test_the_turn_of_the_camera_is_undone(turned: int, tmp_path: Path, split: Split) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 250  # top left
    path = tmp_path / "film.mp4"
    clips.make_with_stamps(path, picture[None].repeat(3, axis=0), range(3), Fraction(1, 24), turned)
    film, frames = split(path)
    upright = np.rot90(picture, turned // 90)
    assert (film.height, film.width) == upright.shape[:2]
    assert np.abs(frames[1].astype(int) - upright).mean() < 4


@each_ffmpeg
@pytest.mark.parametrize(
    ("aspect", "size"), [("4/3", (86, 48)), ("8/9", (64, 54)), ("1", (64, 48)), ("0", (64, 48))]
)
def test_pixels_become_square(
    aspect: str, size: tuple[int, int], tmp_path: Path, split: Split
) -> None:
    encoding = ("-vf", f"setsar={aspect}", *clips.H264)
    film, frames = split(clips.make(tmp_path / "film.mp4", clips.numbered(3), *encoding))
    assert (film.width, film.height) == size
    assert frames[0].shape == (size[1], size[0], 3)
    assert [clips.number(frame) for frame in frames] == [0, 1, 2]


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".gif", ".apng", ".png"])
def test_animated_pictures_are_films(suffix: str, tmp_path: Path, split: Split) -> None:
    muxer = "gif" if suffix == ".gif" else "apng"
    path = tmp_path / f"film{suffix}"
    film, frames = split(clips.make(path, clips.numbered(12), "-f", muxer, rate="10"))
    assert film.rate == 10
    assert [clips.number(frame) for frame in frames] == list(range(12))


def test_of_a_film_cut_short_the_rest_is_used(
    tmp_path: Path, split: Split, caplog: pytest.LogCaptureFixture
) -> None:
    path = clips.make(tmp_path / "film.mkv", clips.numbered(60))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, frames = split(path)
    numbers = [clips.number(frame) for frame in frames]
    assert 5 < len(numbers) < 60 and numbers == list(range(len(numbers)))
    assert "FFmpeg complained about film.mkv: " in caplog.text
    assert f"Continuing with the {len(numbers)} frames" in caplog.text


def test_the_disk_is_checked_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = probe_film(BUNNY)
    assert disk_needed(film, 2) == 360 * 640 * 360 * 2
    folder = tmp_path / "not" / "yet"
    check_disk(film, folder, 2, exported=True)

    def nearly_full(path: Path) -> shutil._ntuple_diskusage:
        assert path == tmp_path
        return shutil._ntuple_diskusage(10**12, 10**12 - 10**8, 10**8)

    monkeypatch.setattr("shutil.disk_usage", nearly_full)
    with pytest.raises(UnusableInput, match=r"about 0\.2 GB in .*0\.1 GB are free.*--work"):
        check_disk(film, folder, 2, exported=True)


@posix
def test_a_failing_ffmpeg_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: list[subprocess.Popen[bytes]]
) -> None:
    film = probe_film(BUNNY)
    able = "for a in scdet libx264 png -fps_mode; do echo ' x' $a; done"
    failing = stand_in(
        tmp_path / "bin",
        f'case "$2" in -filters|-encoders) {able};; *) echo the disk is on fire >&2; exit 7;; esac',
    )
    monkeypatch.setenv("PATH", f"{failing.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(ProgramFailed, match="the disk is on fire") as error:
        split_film(film, tmp_path, 10, ignore)
    assert str(failing) in str(error.value)
    with pytest.raises(ProgramFailed, match="the disk is on fire"):
        detect_cuts([np.zeros((720, 1280, 3), np.uint8)] * 9, 10, ignore)
    assert_waited_for(children)
