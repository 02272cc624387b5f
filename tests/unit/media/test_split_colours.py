"""Colours, transparency and HDR of films become 8-bit RGB of BT.709."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import clips
from support.media import BT601, BT709, BT2020, Split, each_ffmpeg, ignore, posix, stand_in, worst

from stable_restyle.core.errors import RestyleError
from stable_restyle.core.records import Pixels
from stable_restyle.media.ffmpeg import find_ffmpeg
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import split_film


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
    """Make a film of greys with these signals, 0..1, tagged as HDR."""
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
