"""Films in and out, with the FFmpeg that a run would use and films whose truth is known."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from support import clips, paths

from stable_restyle.core.errors import ProgramFailed, RestyleError, UnusableInput, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.media import png, sequence
from stable_restyle.media.ffmpeg import find_ffmpeg
from stable_restyle.media.join import CONTAINERS, join_slides
from stable_restyle.media.probe import Film, probe_film
from stable_restyle.media.split import (
    check_disk,
    detect_cuts,
    detect_film_cuts,
    disk_needed,
    split_film,
)

BUNNY = paths.EXAMPLE
BUNNY_CUTS = [18, 48, 88, 128, 168, 208, 228]  # 0.75, 2, 3.67, 5.33, 7, 8.67, 9.5 s
SQUARE = 32  # pixels
BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)

CASES = paths.DATA / "cases"

each_ffmpeg = pytest.mark.usefixtures("each_ffmpeg")
posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in for FFmpeg is a shell script")
Split = Callable[[Path], tuple[Film, list[Pixels]]]


def ignore(_: int) -> None:
    pass


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Probes and splits a film: what it is, and its frames."""

    def probe_and_split(path: Path) -> tuple[Film, list[Pixels]]:
        film = probe_film(path)
        folder = tmp_path / f"frames of {path.name.encode('ascii', 'replace').decode()}"
        folder.mkdir()
        split_film(film, folder, 10, ignore)
        return film, clips.read_folder(folder)

    return probe_and_split


@pytest.fixture(scope="session")
def chart() -> Pixels:
    """(256, 256, 3): 64 plain colours, in squares."""
    levels = [(r, g, b) for r in (0, 64, 128, 255) for g in (0, 90, 180, 255) for b in (0, 50, 255)]
    levels += [(grey, grey, grey) for grey in range(0, 256, 17)]
    squares = np.array(levels, np.uint8).reshape(8, 8, 3)
    return squares.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1)


def worst(picture: Pixels, truth: Pixels) -> int:
    """The largest difference of two charts, the edges of their squares left out."""
    places = np.arange(picture.shape[0]) % SQUARE
    inner = (places >= SQUARE // 4) & (places < SQUARE - SQUARE // 4)
    return int(np.abs(picture.astype(int) - truth)[inner][:, inner].max())


# Finding FFmpeg


def stand_in(folder: Path, script: str) -> Path:
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


@posix
@pytest.mark.parametrize(
    "script", ["for a in libx264 png -fps_mode; do echo ' x' $a; done", "exit 1"]
)
def test_an_ffmpeg_that_cannot_do_enough_is_passed_over(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = stand_in(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", str(lacking.parent), prepend=os.pathsep)
    assert find_ffmpeg() != str(lacking)


@posix
def test_an_ffmpeg_on_the_path_that_can_do_all_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = stand_in(tmp_path / "bin", "for a in scdet libx264 png -fps_mode; do echo ' x' $a; done")
    monkeypatch.setenv("PATH", str(able.parent), prepend=os.pathsep)
    assert find_ffmpeg() == str(able)


@posix
def test_without_any_ffmpeg_the_error_says_what_each_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = stand_in(tmp_path / "bin", "for a in libx264 png -fps_mode; do echo ' x' $a; done")
    monkeypatch.setenv("PATH", str(lacking.parent))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "gone"))
    with pytest.raises(RestyleError) as error:
        find_ffmpeg("zscale", task="Splitting night.mov")
    assert "Splitting night.mov needs" in str(error.value)
    assert f"{lacking} lacks scdet, zscale" in str(error.value)


# Splitting


def test_the_ten_second_clip_has_its_frames_and_cuts(tmp_path: Path) -> None:
    film = probe_film(BUNNY)
    assert (film.width, film.height, film.frames) == (640, 360, 240)
    assert film.rate == 24
    told: list[int] = []
    assert split_film(film, tmp_path, 10, told.append) == BUNNY_CUTS
    frames = sequence.find_frames(tmp_path)
    assert frames.count == sum(told) == 240
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
    told: list[int] = []
    assert detect_cuts([dark] * 3 + [bright] * 3, 10, told.append) == [3]
    assert sum(told) == 6


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
        (".mkv", "60000/1001", 0),
        (".mov", "25/2", 0),
        (".mkv", "17", 0.1),
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
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
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


@pytest.mark.parametrize(
    ("stamps", "tick", "rate"),
    [
        pytest.param([0, 1000, 1033, 1066, 3000, 3033], 1000, 30, id="a recorded screen"),
        pytest.param([7507 * (k // 2) + 3003 * (k % 2) for k in range(40)], 90000, 24, id="DVD"),
        pytest.param([40 * k + k % 3 for k in range(40)], 1000, 25, id="shaken"),
    ],
)
def test_a_film_without_a_steady_pace_gets_a_usual_rate(
    stamps: list[int], tick: int, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / "film.mkv"
    clips.make_with_stamps(path, clips.numbered(len(stamps)), stamps, Fraction(1, tick))
    film = probe_film(path)
    assert abs(film.rate / rate - 1) < 0.002  # 23.976 for 24
    assert film.frames == pytest.approx(stamps[-1] / tick * rate + 1, abs=1)


@each_ffmpeg
def test_a_film_that_counts_anew_and_changes_size_midway(tmp_path: Path, split: Split) -> None:
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
@pytest.mark.parametrize(
    ("luma", "tags", "full", "bits"),
    [
        (BT601, "", False, 8),
        (BT601, "colorspace=smpte170m:range=tv", False, 8),
        (BT601, "colorspace=bt470bg:range=pc", True, 8),
        (BT709, "colorspace=bt709:range=tv", False, 8),
        (BT709, "colorspace=bt709:range=pc", True, 10),
        (BT2020, "colorspace=bt2020nc:range=tv", False, 10),
    ],
)
def test_colours_are_read_by_their_tags(
    luma: tuple[float, float],
    tags: str,
    full: bool,
    bits: int,
    chart: Pixels,
    tmp_path: Path,
    split: Split,
) -> None:
    path = tmp_path / "film.mkv"
    tagging = ("-vf", f"setparams={tags}") if tags else ()
    clips.make_yuv(path, chart, luma, *tagging, full=full, bits=bits)
    _, (frame,) = split(path)
    assert worst(frame, chart) <= 3


def test_a_large_film_without_tags_is_bt709(chart: Pixels, tmp_path: Path, split: Split) -> None:
    large = np.tile(chart, (3, 5, 1))
    path = tmp_path / "film.mkv"
    clips.make_yuv(path, large, BT709)
    _, (frame,) = split(path)
    assert worst(frame[-256:, -256:], chart) <= 3


@each_ffmpeg
@pytest.mark.parametrize("pixels", ["gbrp", "gray", "rgb24", "yuvj444p"])
def test_other_kinds_of_pixels_are_read(pixels: str, tmp_path: Path, split: Split) -> None:
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (48, 64, 3))
    codec = {"rgb24": "png", "yuvj444p": "mjpeg"}.get(pixels, "ffv1")
    path = tmp_path / "film.mkv"
    clips.make(path, ramp[None], "-c:v", codec, "-q:v", "1", "-pix_fmt", pixels)
    _, (frame,) = split(path)
    assert np.abs(frame.astype(int) - ramp).max() <= 2


# Linear RGB of BT.709 in other primaries: of BT.2020 by ITU-R BT.2087, others by the same method.
PRIMARIES = {
    "bt2020": [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]],
    "smpte432": [[0.8225, 0.1775, 0.0000], [0.0332, 0.9668, 0.0000], [0.0171, 0.0724, 0.9105]],
    "smpte170m": [[1.0654, -0.0554, -0.0010], [-0.0196, 1.0364, -0.0167], [0.0016, 0.0044, 0.9940]],
    "bt470bg": [[0.9578, 0.0422, 0.0000], [0.0000, 1.0000, 0.0000], [0.0000, -0.0119, 1.0119]],
}


@each_ffmpeg
@pytest.mark.parametrize(
    ("primaries", "transfer", "pixels"),
    [
        ("bt2020", "bt2020-10", "gbrp12le"),
        ("smpte432", "bt709", "gbrap12le"),
        ("smpte432", "iec61966-2-1", "gbrp12le"),
        ("smpte170m", "smpte170m", "gbrp12le"),
        ("bt470bg", "smpte170m", "gbrp12le"),
    ],
)
def test_primaries_become_those_of_bt709(
    primaries: str, transfer: str, pixels: str, chart: Pixels, tmp_path: Path, split: Split
) -> None:
    colours = (80 + 0.5 * chart).astype(np.uint8)[:-1, :-1]  # none that the other primaries lack
    signal = colours / 255
    if transfer == "iec61966-2-1":  # sRGB
        light = ((signal + 0.055) / 1.055) ** 2.4 @ np.array(PRIMARIES[primaries]).T
        signal = 1.055 * light ** (1 / 2.4) - 0.055
    else:
        signal = (signal**2.4 @ np.array(PRIMARIES[primaries]).T) ** (1 / 2.4)
    signal = np.round(65535 * signal).astype("<u2")
    data = np.dstack([signal, np.full_like(signal[..., :1], 65535)]).tobytes()
    raw = ("-f", "rawvideo", "-pix_fmt", "rgba64le", "-s", "255x255", "-i", "pipe:")
    tags = f"setparams=color_primaries={primaries}:color_trc={transfer}"
    path = tmp_path / "film.mkv"
    clips.run_ffmpeg(*raw, "-vf", tags, "-c:v", "ffv1", "-pix_fmt", pixels, path, data=data)
    _, (frame,) = split(path)
    assert worst(frame, colours) <= 3


def test_colours_of_bt709_stay_to_the_bit(chart: Pixels, tmp_path: Path, split: Split) -> None:
    tags = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
    tagged = clips.make_yuv(tmp_path / "tagged.mkv", chart, BT709, "-vf", tags)
    matrix = clips.make_yuv(
        tmp_path / "matrix.mkv", chart, BT709, "-vf", "setparams=colorspace=bt709:range=tv"
    )
    np.testing.assert_array_equal(split(tagged)[1], split(matrix)[1])


# Interlaced films


def pan(count: int) -> Pixels:
    """(count, 48, 64, 3): a grey texture that moves by 3 pixels from moment to moment."""
    rows, columns = np.mgrid[: clips.HEIGHT, : clips.WIDTH]
    moments = np.arange(count)[:, None, None]
    grey = 128 + 90 * np.sin((columns + 3 * moments) / 4) * np.cos(rows / 5)
    return np.asarray(grey, np.uint8)[..., None].repeat(3, axis=3)


def woven(path: Path, order: str, flag: str) -> Path:
    """A film of 20 frames, of two moments of `pan` each. order: top or bottom, the first field."""
    weave = f"tinterlace=interleave_{order},setfield={flag}"
    return clips.make(path, pan(40), "-vf", weave, *clips.H264, "-flags", "+ilme+ildct")


@each_ffmpeg
@pytest.mark.parametrize(
    ("order", "flag"), [("top", "tff"), ("bottom", "bff"), ("top", "prog"), ("top", "bff")]
)
def test_interlaced_frames_become_the_first_of_their_moments(
    order: str, flag: str, tmp_path: Path, split: Split, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        film, frames = split(woven(tmp_path / "film.mp4", order, flag))
    assert film.rate == 12
    assert len(frames) == 20
    for frame, moment in zip(frames[1:-1], pan(40)[2:-2:2], strict=True):
        assert np.abs(frame.astype(int) - moment).mean() < 3
    assert caplog.text.count("film.mp4 is interlaced") == 1


def test_progressive_frames_stay_as_they_are_whatever_their_flag(
    tmp_path: Path, split: Split
) -> None:
    plain = clips.make(tmp_path / "plain.mkv", pan(20), "-c:v", "ffv1")
    flagged = clips.make(tmp_path / "f.mkv", pan(20), "-vf", "setfield=tff", "-c:v", "ffv1")
    with av.open(flagged) as container:
        assert next(container.decode(video=0)).interlaced_frame
    np.testing.assert_array_equal(split(flagged)[1], split(plain)[1])


@each_ffmpeg
@pytest.mark.parametrize("pixels", ["bgra", "gbrap10le", "yuva444p"])
def test_transparency_lies_over_black(pixels: str, tmp_path: Path, split: Split) -> None:
    picture = np.full((48, 64, 4), 200, np.uint8)
    picture[..., 3] = np.arange(0, 256, 4)
    path = tmp_path / "film.mkv"
    raw = ("-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x48", "-i", "pipe:")
    clips.run_ffmpeg(*raw, "-c:v", "ffv1", "-pix_fmt", pixels, path, data=picture.tobytes())
    _, (frame,) = split(path)
    assert np.abs(frame[..., 1] - 200 * (picture[..., 3] / 255)).max() <= 2


@each_ffmpeg
@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_alpha_of_webm_lies_over_black(codec: str, tmp_path: Path, split: Split) -> None:
    picture = np.full((48, 64, 4), 200, np.uint8)
    picture[:, :32, 3], picture[:, 32:, 3] = 128, 0
    raw = ("-f", "rawvideo", "-pix_fmt", "rgba", "-s", "64x48", "-i", "pipe:")
    encoding = (
        "-c:v",
        codec,
        "-pix_fmt",
        "yuva420p",
        "-auto-alt-ref",
        "0",
        "-crf",
        "4",
        "-b:v",
        "1M",
    )
    path = tmp_path / "film.webm"
    clips.run_ffmpeg(*raw, *encoding, path, data=picture.tobytes() * 3)
    film, frames = split(path)
    assert film.alpha
    assert len(frames) == 3
    for frame in frames:
        assert abs(int(frame[24, 16, 1]) - 100) <= 3
        assert frame[24, 48, 1] <= 3


def hdr_film(path: Path, transfer: str, signals: list[float]) -> Path:
    """Greys of these signals, 0..1, tagged as HDR."""
    greys = np.round(np.array(signals) * 255).astype(np.uint8).repeat(16)
    picture = np.broadcast_to(greys[None, :, None], (16, greys.size, 3))
    tags = f"colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}:range=tv"
    return clips.make_yuv(path, picture, BT2020, "-vf", f"setparams={tags}", bits=10)


def can_read_hdr() -> bool:
    try:
        return bool(find_ffmpeg("zscale", "tonemap"))
    except RestyleError:
        return False


@pytest.mark.skipif(not can_read_hdr(), reason="no FFmpeg with zscale and tonemap")
@pytest.mark.parametrize(
    ("transfer", "white"), [("smpte2084", 0.581), ("arib-std-b67", 0.75)], ids=["PQ", "HLG"]
)
def test_hdr_becomes_sdr(transfer: str, white: float, tmp_path: Path, split: Split) -> None:
    # white: the signal of diffuse white, 203 cd/m2, by ITU-R BT.2408.
    signals = [0, 0.25 * white, 0.5 * white, 0.75 * white, white, 0.95]
    film, (frame,) = split(hdr_film(tmp_path / "film.mkv", transfer, signals))
    greys = frame[8, 8::16].astype(int)
    assert film.hdr
    assert np.ptp(greys, axis=1).max() <= 2  # still grey
    levels = greys[:, 1]
    assert levels[0] == 0
    assert 205 <= levels[4] <= 225
    assert 240 <= levels[5] <= 255
    assert (np.diff(levels) > 10).all()


@posix
def test_hdr_without_the_filters_for_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = probe_film(hdr_film(tmp_path / "night.mkv", "smpte2084", [0, 0.5, 1]))
    able = stand_in(tmp_path / "bin", "for a in scdet libx264 png -fps_mode; do echo ' x' $a; done")
    monkeypatch.setenv("PATH", str(able.parent))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(able))
    with pytest.raises(RestyleError, match=r"(?s)night.mkv, which is HDR.*lacks tonemap, zscale"):
        split_film(film, tmp_path, 10, ignore)


# Films that cannot be used


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    text, empty, picture = (tmp_path / name for name in ("text.mp4", "empty.mkv", "100%03d.png"))
    text.write_text("This is no film.\n" * 100)
    shutil.copy(text, tmp_path / "text.txt")
    empty.touch()
    png.write(picture, clips.numbered(1)[0])
    for path, reason in [
        (tmp_path / "gone.mp4", "does not exist"),
        (text, "is not a film"),
        (tmp_path / "text.txt", "not a film"),
        (empty, "is not a film"),
        (picture, "is a picture"),
        (tmp_path, "is not a film|may not be read"),  # Windows opens no folders
    ]:
        with pytest.raises(UnusableInput, match=reason) as error:
            probe_film(path)
        assert str(path) in str(error.value)


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".gif", ".apng", ".png"])
def test_animated_pictures_are_films(suffix: str, tmp_path: Path, split: Split) -> None:
    muxer = "gif" if suffix == ".gif" else "apng"
    path = tmp_path / f"film{suffix}"
    film, frames = split(clips.make(path, clips.numbered(12), "-f", muxer, rate="10"))
    assert film.rate == 10
    assert [clips.number(frame) for frame in frames] == list(range(12))


def test_an_animated_webp_is_refused_with_the_way_to_a_gif(tmp_path: Path) -> None:
    still, moving = tmp_path / "still.webp", tmp_path / "a film.webp"
    clips.make(still, clips.numbered(1), "-c:v", "libwebp")
    clips.make(moving, clips.numbered(3), "-c:v", "libwebp_anim")
    with pytest.raises(UnusableInput, match=r"still\.webp is a picture, not a film"):
        probe_film(still)
    with pytest.raises(UnusableInput, match=r"(?s)an animated WebP.*magick '.*a film\.webp' "):
        probe_film(moving)


def test_sound_alone_is_refused_with_or_without_a_cover(tmp_path: Path) -> None:
    sound, cover, both = tmp_path / "sound.mp3", tmp_path / "cover.png", tmp_path / "both.mp3"
    clips.run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.5", sound)
    png.write(cover, clips.numbered(1)[0])
    clips.run_ffmpeg("-i", sound, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", both)
    with pytest.raises(UnusableInput, match="has no video:"):
        probe_film(sound)
    with pytest.raises(UnusableInput, match="has no video, only a cover:"):
        probe_film(both)


def test_a_film_without_its_index_is_refused(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "film.mp4", clips.scenes(20))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UnusableInput, match="too damaged"):
        probe_film(path)


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


def test_a_film_with_nothing_to_decode_is_refused(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "film.mp4", clips.numbered(3))
    data = path.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path.write_bytes(data[:begin] + bytes(end - begin) + data[end:])
    with pytest.raises(UnusableInput, match="not one frame"):
        probe_film(path)


# Disk


def test_the_disk_is_checked_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = probe_film(BUNNY)
    assert disk_needed(film, 2) == 360 * 640 * 360 * 2
    folder = tmp_path / "not" / "yet"
    check_disk(film, folder, 2)

    def nearly_full(path: Path) -> shutil._ntuple_diskusage:
        assert path == tmp_path
        return shutil._ntuple_diskusage(10**12, 10**12 - 10**8, 10**8)

    monkeypatch.setattr("shutil.disk_usage", nearly_full)
    with pytest.raises(UnusableInput, match=r"about 0\.2 GB in .*0\.1 GB are free.*--work"):
        check_disk(film, folder, 2)


# Joining


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))


def in_rgb(frame: av.VideoFrame) -> Pixels:
    """By the formulas of BT.709, limited range, whatever the tags say."""
    planes = [
        np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1) for plane in frame.planes
    ]
    luma, *chroma = (
        p[:, : q.width].astype(float) for p, q in zip(planes, frame.planes, strict=True)
    )
    y = (luma - 16) / 219
    cb, cr = ((plane.repeat(2, axis=0).repeat(2, axis=1) - 128) / 224 for plane in chroma)
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    rgb = np.round(255 * np.stack([red, green, blue], axis=2))
    return rgb.clip(0, 255).astype(np.uint8)


@each_ffmpeg
@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("rate", ["12", "30000/1001"])
def test_a_joined_film_has_each_slide_at_the_exact_rate(
    suffix: str, rate: str, tmp_path: Path
) -> None:
    slides = clips.write_folder(tmp_path / "out", clips.numbered(25))
    target = tmp_path / "not" / "yet" / f"film{suffix.upper()}"
    told: list[int] = []
    join_slides(slides, 25, Fraction(rate), target, None, told.append)
    film = probe_film(target)
    assert (film.rate, film.frames, sum(told)) == (Fraction(rate), 25, 25)
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


# Sound, subtitles and titles

SUBTITLES = """1
00:00:00,200 --> 00:00:00,700
First

2
00:00:00,800 --> 00:00:01,000
Second
"""


def make_full_film(path: Path, *encoding: str, sound: int = 1, subtitles: int = 1) -> Path:
    """A second of numbered frames with tones and subtitles. encoding: of the tracks."""
    text = path.with_suffix(".srt")
    text.write_text(SUBTITLES)
    inputs: list[str | Path] = ["-f", "lavfi", "-i", "sine=frequency=600:duration=1"]
    inputs += ["-i", text]
    maps = ["-map", "0", *["-map", "1"] * sound, *["-map", "2"] * subtitles]
    return clips.make(path, clips.numbered(24), *maps, *clips.H264, *encoding, inputs=inputs)


def tracks(path: Path) -> list[tuple[str, str, str | None]]:
    """Kind, format and language of each track but the picture, in their order."""
    with av.open(path) as container:
        return [
            (stream.type, stream.codec_context.codec.canonical_name, stream.language)
            for stream in container.streams
            if stream.type != "video" and stream.codec_context
        ]


def join_again(film_path: Path, target: Path, frames_per_slide: int = 2) -> Film:
    """Join blank slides to a film again: what the result is."""
    film = probe_film(film_path)
    count = -(-film.frames // frames_per_slide)
    slides = target.parent / f"slides for {target.name}"
    clips.write_folder(slides, clips.numbered(count))
    join_slides(slides, count, film.rate / frames_per_slide, target, film, ignore)
    joined = probe_film(target)
    assert (joined.frames, joined.rate) == (count, film.rate / frames_per_slide)
    assert joined.duration_s == pytest.approx(film.duration_s, abs=float(1 / joined.rate))
    return joined


@each_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "sound", "subtitles", "kept_sound", "kept_subtitles"),
    [
        (".mp4", "aac", "ass", "aac", "mov_text"),
        (".mp4", "flac", "srt", "flac", "mov_text"),
        (".mp4", "libvorbis", "webvtt", "aac", "mov_text"),
        (".mov", "pcm_s16le", "srt", "pcm_s16le", "mov_text"),
        (".mov", "flac", "srt", "aac", "mov_text"),
        (".mkv", "ac3", "ass", "ac3", "ass"),
        (".mkv", "libvorbis", "webvtt", "vorbis", "webvtt"),
        (".webm", "libopus", "srt", "opus", "webvtt"),
        (".webm", "aac", "webvtt", "opus", "webvtt"),
    ],
)
def test_sound_and_subtitles_are_copied_where_the_container_takes_them(
    suffix: str,
    sound: str,
    subtitles: str,
    kept_sound: str,
    kept_subtitles: str,
    tmp_path: Path,
) -> None:
    tags = ("-metadata:s:a:0", "language=jpn", "-metadata:s:s:0", "language=ger")
    source = tmp_path / "source.mkv"
    make_full_film(source, "-c:a", sound, "-c:s", subtitles, *tags)
    target = tmp_path / f"target{suffix}"
    join_again(source, target)
    assert tracks(target) == [("audio", kept_sound, "jpn"), ("subtitle", kept_subtitles, "ger")]
    assert b"First" in b"".join(packets(target, "subtitle"))


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(path) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def test_copied_sound_is_the_same_to_the_byte(tmp_path: Path) -> None:
    source = make_full_film(tmp_path / "source.mp4", "-c:a", "aac", "-c:s", "mov_text")
    join_again(source, tmp_path / "target.mkv")
    assert packets(tmp_path / "target.mkv", "audio") == packets(source, "audio")


def test_all_tracks_chapters_and_titles_are_kept(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text(
        ";FFMETADATA1\ntitle=A night\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Two\n"
    )
    plain = make_full_film(tmp_path / "plain.mkv", sound=2, subtitles=2)
    source = tmp_path / "source.mkv"
    languages = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=jpn")
    both = ("-i", plain, "-i", notes, "-map", "0", "-map_metadata", "1", "-map_chapters", "1")
    clips.run_ffmpeg(*both, "-c", "copy", *languages, source)
    join_again(source, tmp_path / "target.mp4")
    found = tracks(tmp_path / "target.mp4")
    assert [kind for kind, *_ in found] == ["audio", "audio", "subtitle", "subtitle"]
    assert [language for *_, language in found[:2]] == ["eng", "jpn"]
    with av.open(tmp_path / "target.mp4") as container:
        assert container.metadata["title"] == "A night"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Two"]


def test_subtitles_that_are_pictures_stay_where_they_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = clips.add_picture_subtitles(make_full_film(tmp_path / "plain.mkv"))
    join_again(source, tmp_path / "target.mkv")
    assert [kind for _, kind, _ in tracks(tmp_path / "target.mkv")][-1] == "hdmv_pgs_subtitle"
    assert not caplog.text
    join_again(source, tmp_path / "target.mp4")
    assert [kind for _, kind, _ in tracks(tmp_path / "target.mp4")] == ["aac", "mov_text"]
    assert "leaves out subtitle track 2 of plain+.mkv (hdmv_pgs_subtitle)" in caplog.text


def test_surround_sound_becomes_opus(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    inputs = ("-f", "lavfi", "-i", "anullsrc=channel_layout=5.1(side):duration=1")
    encoding = ("-map", "0", "-map", "1", *clips.H264, "-c:a", "ac3")
    clips.make(source, clips.numbered(24), *encoding, inputs=inputs)
    join_again(source, tmp_path / "target.webm")
    with av.open(tmp_path / "target.webm") as container:
        assert container.streams.audio[0].codec_context.channels == 6


def test_sound_of_an_unknown_format_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_full_film(tmp_path / "source.mkv", "-c:a", "ac3")
    source.write_bytes(source.read_bytes().replace(b"A_AC3", b"A_XYZ"))
    join_again(source, tmp_path / "target.mkv")
    assert [kind for kind, *_ in tracks(tmp_path / "target.mkv")] == ["subtitle"]
    assert "leaves out sound track 1 of source.mkv (its format is unknown)" in caplog.text


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("rate", "written", "frames_per_slide", "kept"),
    [
        ("25", "01:00:00:12", 1, "01:00:00:12"),
        ("30000/1001", "01:00:00;03", 1, "01:00:00;03"),
        ("50", "01:00:00:43", 2, "01:00:00:21"),
        ("25", "01:00:00:12", 2, None),
        ("30000/1001", "01:00:00;03", 7, None),
    ],
)
def test_a_time_code_is_kept_where_the_rate_of_the_slides_has_one(
    suffix: str,
    rate: str,
    written: str,
    frames_per_slide: int,
    kept: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = tmp_path / "source.mov"
    clips.make(source, clips.numbered(24), *clips.H264, "-timecode", written, rate=rate)
    assert join_again(source, tmp_path / f"target{suffix}", frames_per_slide).timecode == kept
    assert caplog.text.count(f"The time code of source.mov, {written}, is left out") == (not kept)


def with_cover(path: Path, cover: Path) -> Path:
    """A film with this picture as its cover."""
    tracks = ("-map", "0", "-map", "1", "-c:v:1", "copy", "-disposition:v:1", "attached_pic")
    return clips.make(path, clips.numbered(24), *clips.H264, *tracks, inputs=("-i", cover))


@each_ffmpeg
def test_a_cover_stays_where_it_can(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cover = tmp_path / "cover.png"
    png.write(cover, clips.numbered(6)[5])
    source = with_cover(tmp_path / "source.mp4", cover)
    for before, after in (("source.mp4", "a.mkv"), ("a.mkv", "b.mkv"), ("b.mkv", "c.mp4")):
        join_again(tmp_path / before, tmp_path / after)
        with av.open(tmp_path / after) as container:
            _, shown = container.streams.video
            assert shown.disposition & Disposition.attached_pic
            assert bytes(next(container.demux(shown))) == cover.read_bytes()
    assert not caplog.text
    for suffix in (".mov", ".webm"):
        join_again(source, tmp_path / f"target{suffix}")
    assert caplog.text.count("leaves out cover picture 1 of source.mp4 (png)") == 2


Sound: TypeAlias = NDArray[np.float64]


def heard(path: Path) -> tuple[float, Sound]:
    """When the sound begins, and what it is, at 48 kHz."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
    assert {frame.sample_rate for frame in frames} == {48000}
    before = itertools.accumulate((frame.samples for frame in frames), initial=0)
    begins = [seconds(frame) - n / 48000 for frame, n in zip(frames, before, strict=False)]
    # The first channel. The median, as a container may round the time of each.
    return float(np.median(begins)), np.concatenate([frame.to_ndarray()[0] for frame in frames])


def lag_s(path: Path, original: Path) -> float:
    """How much later a sound is heard in one film than in another."""
    (begin, sound), (its_begin, its_sound) = heard(path), heard(original)
    size = 2 * max(sound.size, its_sound.size)
    spectra = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(its_sound, size))
    lag = (int(np.fft.irfft(spectra).argmax()) + size // 2) % size - size // 2
    return begin - its_begin + lag / 48000


def seen_s(path: Path) -> float:
    """When frame 16 is first shown."""
    return next(seconds(frame) for frame in decoded(path) if clips.number(in_rgb(frame)) >= 16)


def seconds(frame: av.AudioFrame | av.VideoFrame) -> float:
    assert frame.time is not None
    return frame.time


@each_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "codecs", "picture_late_s"),
    [
        *(
            (suffix, "libx264 aac", s)
            for suffix in (".mp4", ".mkv", ".ts")
            for s in (0, 0.63, -0.63)
        ),
        (".mkv", "libx264 libopus", 0),
        (".mkv", "libx264 ac3", 0),
        (".webm", "libvpx-vp9 libopus", 0),
    ],
)
def test_sound_stays_with_the_picture(
    suffix: str, codecs: str, picture_late_s: float, tmp_path: Path
) -> None:
    rising = "aevalsrc='if(gte(t,0.6),0.8*sin((1800+6000*t)*t),0)':duration=2:sample_rate=48000"
    source = tmp_path / f"source{suffix}"
    picture, sound = codecs.split()
    clips.make(
        source,
        clips.numbered(30),
        *("-map", "0", "-map", "1", "-c:v", picture, "-pix_fmt", "yuv420p", "-c:a", sound),
        delay_s=max(picture_late_s, 0),
        inputs=("-itsoffset", str(max(-picture_late_s, 0)), "-f", "lavfi", "-i", rising),
    )
    film = probe_film(source)
    folder = tmp_path / "in"
    folder.mkdir()
    split_film(film, folder, 10, ignore)
    frames = clips.read_folder(folder)
    slides = clips.write_folder(tmp_path / "out", frames[::2])
    for target in (tmp_path / "target.mp4", tmp_path / "target.mkv", tmp_path / "target.webm"):
        join_slides(slides, len(frames[::2]), film.rate / 2, target, film, ignore)
        late_s = lag_s(target, source) - (seen_s(target) - seen_s(source))
        assert abs(late_s) <= 0.001
        with av.open(target) as container:
            assert container.start_time is not None
            assert 0 <= container.start_time / av.time_base < 2 / film.rate


# Names


@pytest.mark.parametrize(
    "name",
    [
        "with spaces and 'quotes\".mp4",
        "-y -i.mp4",
        "100%03d%%.mp4",
        "concat:a|b.mp4",
        "http:..x.mp4",
        "[0:v],scale=1:1;.mp4",
        "back\\slash.mp4",
        "new\nline.mp4",
        "ünïcödé 影片.mp4",
        pytest.param("not utf-8 \udcff\udcfe.mp4", id="not UTF-8"),
        "<film>.mp4",
    ],
)
def test_a_name_is_a_name(
    make_folder: Callable[[str], Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(name.removesuffix(".mp4"))
    monkeypatch.chdir(folder)
    shutil.move(clips.make(tmp_path / "film.mp4", clips.numbered(4)), name)
    film = probe_film(Path(name))
    slides = Path(name + " frames")
    slides.mkdir()
    split_film(film, slides, 10, ignore)
    assert len(sequence.numbered(slides)) == 4
    join_slides(slides, 4, film.rate, Path("new " + name), film, ignore)
    Path(name).unlink()
    join_slides(slides, 4, film.rate, Path(name), None, ignore)
    assert sorted(os.listdir()) == sorted([name, "new " + name, slides.name])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{there}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile '{there}'\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
         "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("elsewhere", ["http", "file"])
def test_a_list_of_films_is_refused_and_leads_nowhere(
    name: str, text: str, elsewhere: str, tmp_path: Path
) -> None:
    """It could have other files of this machine, or of its network, in the slides."""
    private = clips.make(tmp_path / "private.mp4", clips.numbered(4))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        there = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
        (tmp_path / name).write_text(text.format(there=there if elsewhere == "http" else private))
        with pytest.raises(UnusableInput, match=name):
            probe_film(tmp_path / name)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()


# When things go wrong


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that a test starts."""
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen.__init__

    def noted(child: subprocess.Popen[bytes], *args: Any, **options: Any) -> None:
        start(child, *args, **options)
        started.append(child)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    return started


def assert_waited_for(children: list[subprocess.Popen[bytes]]) -> None:
    assert children and all(child.returncode is not None for child in children)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return clips.write_folder(tmp_path / "out", clips.numbered(6))


def test_a_target_of_another_kind_is_refused(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"\.mp4, \.mov, \.mkv, \.webm"):
        join_slides(slides, 6, Fraction(24), tmp_path / "film.avi", None, ignore)


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
