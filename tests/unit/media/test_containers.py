"""Films are written in the formats that people ask for, and read back as what they are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support import clips
from support.media import decoded, each_ffmpeg, ignore, in_rgb, worst

from stable_restyle.core.errors import RestyleError, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import FILM_ENDINGS, VIDEO_CODECS
from stable_restyle.media import containers, ffmpeg
from stable_restyle.media.containers import CODECS, CONTAINERS
from stable_restyle.media.join import join_slides
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import split_film

RATE = Fraction(30000, 1001)
YUV = [
    (".mp4", "h265"),
    (".mp4", "av1"),
    (".mov", "h265"),
    (".mov", "prores"),
    (".mkv", "h265"),
    (".mkv", "av1"),
    (".mkv", "prores"),
    (".webm", "av1"),
    (".m4v", "h264"),
    (".avi", "h264"),
    (".ts", "h264"),
    (".m2ts", "h265"),
]


def write(slides: Path, count: int, target: Path, codec: str | None = None) -> Path:
    join_slides(slides, count, RATE, target, None, ignore, containers.choose(target, codec))
    return target


def numbers(folder: Path, film: Path) -> list[int]:
    """Return the indices that the frames of a film show, as the program splits it."""
    frames = folder / "frames"
    frames.mkdir()
    split_film(probe_film(film), frames, 100, ignore)
    return [clips.number(frame) for frame in clips.read_folder(frames)]


@each_ffmpeg
@pytest.mark.parametrize(("suffix", "codec"), YUV)
def test_rate_colours_and_tags_are_read_back_as_written(
    suffix: str, codec: str, chart: Pixels, tmp_path: Path
) -> None:
    slides = clips.write_folder(tmp_path / "out", [chart, chart[::-1], chart])
    film = write(slides, 3, tmp_path / f"film{suffix}", codec)
    probed = probe_film(film)
    assert (probed.rate, probed.frames) == (RATE, 3)
    frames = decoded(film)
    for frame in frames:
        assert frame.color_range == 1  # limited
        assert frame.colorspace == frame.color_primaries == frame.color_trc == 1  # BT.709
        assert frame.format.name == CODECS[codec].pixels
    with av.open(film) as container:
        stream = container.streams.video[0].codec_context
        names = {"h265": "hevc", "prores": "prores"}
        assert stream.codec.canonical_name == names.get(codec, codec)
        if codec == "h265" and suffix in (".mp4", ".mov"):
            assert stream.codec_tag == "hvc1"
        if codec == "prores":
            assert stream.profile == "HQ" and stream.codec_tag == "apch"
    if codec != "prores":
        assert worst(in_rgb(frames[2]), chart) <= 6  # with another matrix, 20 and more


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_prores_has_the_colours_of_the_slides(suffix: str, chart: Pixels, tmp_path: Path) -> None:
    film = write(
        clips.write_folder(tmp_path / "out", [chart] * 2), 2, tmp_path / f"a{suffix}", "prores"
    )
    (tmp_path / "in").mkdir()
    split_film(probe_film(film), tmp_path / "in", 100, ignore)
    assert worst(clips.read_folder(tmp_path / "in")[1], chart) <= 2


@each_ffmpeg
def test_ffv1_keeps_every_pixel(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (3, 33, 47, 3), np.uint8)
    film = write(clips.write_folder(tmp_path / "out", noise), 3, tmp_path / "a.mkv", "ffv1")
    frames = decoded(film)
    for frame, slide in zip(frames, noise, strict=True):
        assert np.array_equal(frame.to_ndarray(format="rgb24"), slide)
        assert (frame.colorspace, frame.color_range) == (0, 2)  # RGB, full
        assert frame.color_primaries == frame.color_trc == 1
    assert probe_film(film).rate == RATE


@each_ffmpeg
@pytest.mark.parametrize(("suffix", "tolerance"), [(".gif", 40), (".webp", 30)])
def test_a_film_of_pictures_has_every_slide(suffix: str, tolerance: int, tmp_path: Path) -> None:
    slides = clips.write_folder(tmp_path / "out", clips.numbered(25))
    film = write(slides, 25, tmp_path / f"film{suffix}")
    assert probe_film(film).rate == RATE
    assert numbers(tmp_path, film) == list(range(25))
    read = clips.read_folder(tmp_path / "frames")
    worst_mean = max(
        np.abs(frame.astype(int) - slide).mean()
        for frame, slide in zip(read, clips.numbered(25), strict=True)
    )
    assert worst_mean <= tolerance / 10


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".avi", ".ts", ".mts"])
def test_each_slide_is_there_once(suffix: str, tmp_path: Path) -> None:
    slides = clips.write_folder(tmp_path / "out", clips.numbered(25))
    assert numbers(tmp_path, write(slides, 25, tmp_path / f"f{suffix}")) == list(range(25))


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_codec_that_a_container_cannot_hold_is_refused(suffix: str, codec: str) -> None:
    target = Path(f"film{suffix}")
    if codec in CONTAINERS[suffix].codecs:
        assert containers.choose(target, codec).codec is CODECS[codec]
    else:
        with pytest.raises(WrongUsage, match=rf"a \{suffix} film cannot hold it\.\nName a TARGET"):
            containers.choose(target, codec)


def test_the_command_line_knows_the_endings_of_films() -> None:
    """It does so without importing what writes them."""
    assert tuple(CONTAINERS) == FILM_ENDINGS


def test_quality_is_for_codecs_that_have_it() -> None:
    assert containers.choose(Path("a.mp4"), "h265", 0).options["crf"] == 0
    assert containers.choose(Path("a.webm"), None, 63).options["crf"] == 63
    assert "crf" not in containers.choose(Path("a.mov"), "prores").options
    for name, codec, crf, told in (
        ("a.mov", "prores", 10, "prores has no such setting"),
        ("a.gif", None, 10, "gif has no such setting"),
        ("a.mp4", None, 52, r"h264 takes 0 \(best\) to 51"),
        ("a.xyz", None, None, r"must end in one of \.mp4"),
    ):
        with pytest.raises(WrongUsage, match=told):
            containers.choose(Path(name), codec, crf)


def test_a_lower_crf_makes_a_larger_film(tmp_path: Path) -> None:
    slides = clips.write_folder(tmp_path / "out", clips.scenes(6))
    sizes = []
    for crf in (0, 51):
        target = tmp_path / f"{crf}.mp4"
        join_slides(slides, 6, RATE, target, None, ignore, containers.choose(target, None, crf))
        sizes.append(target.stat().st_size)
    assert sizes[0] > sizes[1]


def test_a_gif_that_is_too_fast_is_refused_before_the_run() -> None:
    target = Path("a.gif")
    containers.check(containers.choose(target), target, Fraction(50))
    with pytest.raises(WrongUsage, match=r"60 slides a second; a \.gif film shows at most 50"):
        containers.check(containers.choose(target), target, Fraction(60))


def test_a_codec_that_ffmpeg_lacks_is_named_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = ffmpeg.abilities
    monkeypatch.setattr(ffmpeg, "abilities", lambda program: listed(program) - {"libx265"})
    target = Path("a.mp4")
    containers.check(containers.choose(target), target, RATE)
    with pytest.raises(RestyleError, match=r"Writing a\.mp4 needs an FFmpeg with .*libx265"):
        containers.check(containers.choose(target, "h265"), target, RATE)


@pytest.mark.parametrize("name", ["a.mpg", "a.png", "a.wav", "a.mp5", "a.mkw", "a.MOOV", "a.apng"])
def test_what_looks_like_a_film(name: str) -> None:
    assert containers.looks_like_film(Path(name))
    assert not containers.looks_like_film(Path(name[0]))


@pytest.mark.parametrize("name", ["out", "out.v2", "run.3", "out.old", "a.final", "my. film"])
def test_what_does_not(name: str) -> None:
    assert not containers.looks_like_film(Path(name))
