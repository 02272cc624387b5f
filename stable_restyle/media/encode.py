"""Encode slides as the picture of a film: all of them, or a part."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ffmpeg

from stable_restyle.media.containers import Codec, Encoding
from stable_restyle.media.ffmpeg import PICTURES

_EXACT_TO_YUV = "bicubic+accurate_rnd+full_chroma_inp"

# Without `passthrough`, FFmpeg 7 repeats slides before the first one and in gaps.
EACH_ONCE = {"fps_mode": "passthrough"}


@dataclass(frozen=True)
class Shown:
    """The slides that a film, or a part of it, shows."""

    slides: range
    sizes: Collection[tuple[int, int]]  # those that the slides have: width, height
    size: tuple[int, int]  # of the film


def picture(shown: Shown, rate: Fraction, encoding: Encoding) -> tuple[Any, Any | None]:
    """Return the picture of a film as FFmpeg is to encode it, which runs in the folder of slides.

    rate: slides a second. The second value is None, or an output from which FFmpeg counts slides.
    """
    stream = ffmpeg.input(
        PICTURES,
        format="image2",
        pattern_type="sequence",
        start_number=shown.slides.start + 1,
        framerate=rate,
    )
    # By their times: with `end_frame`, those after these would take the place of slides that cannot
    # be read, and come in addition where the size changes. FFmpeg counts time in slides here.
    stream = stream.filter("trim", end_pts=len(shown.slides))
    width, height = shown.size
    if {*shown.sizes} != {shown.size}:
        stream = stream.filter("scale", width, height, flags="bicubic")
    codec, counted = encoding.codec, None
    if codec.whole:  # FFmpeg counts what encoders give: count slides at an output without one
        both = stream.split()
        counted, stream = ffmpeg.output(both[0], "-", format="null", **EACH_ONCE), both[1]
    stream = _to_rgb(stream, codec) if codec.rgb else _to_yuv(stream, width, height, codec.pixels)
    return stream, counted


def _to_yuv(stream: Any, width: int, height: int, pixels: str) -> Any:
    """Convert to limited range BT.709, repeating the last row or column if odd.

    pixels: FFmpeg's name for a format in which chroma is smaller than luma.
    """
    right, bottom = width % 2, height % 2
    if right or bottom:
        stream = stream.filter("pad", width + right, height + bottom).filter(
            "fillborders", right=right, bottom=bottom, mode="smear"
        )
    bt709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
    return (
        stream.filter("scale", flags=_EXACT_TO_YUV, out_color_matrix="bt709", out_range="tv")
        .filter("format", pixels)
        .filter("setsar", 1)
        .filter("setparams", range="tv", **bt709)
    )


def _to_rgb(stream: Any, codec: Codec) -> Any:
    """Keep the slides' RGB, with the tags of BT.709; for GIF choose a palette for each slide.

    One palette for all would need all slides in memory. Ordered dithering stays where it is from
    slide to slide.
    """
    if codec.encoder == "gif":
        both = stream.split()
        palette = both[0].filter("palettegen", stats_mode="single")
        dither = {"new": 1, "dither": "bayer", "bayer_scale": 3}
        return ffmpeg.filter([both[1], palette], "paletteuse", **dither)
    bt709 = {"colorspace": "gbr", "color_primaries": "bt709", "color_trc": "bt709"}
    return stream.filter("format", codec.pixels).filter("setparams", range="pc", **bt709)
