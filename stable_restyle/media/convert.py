"""Convert the picture of a film to frames, by filters of FFmpeg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ffmpeg

from stable_restyle.media import primaries
from stable_restyle.media.ffmpeg import FILES_ONLY, FILM, find_ffmpeg
from stable_restyle.media.probe import Film

# An option of FFmpeg: it would otherwise count time from where it begins to decode.
OWN_CLOCK = ("-copyts",)

_HDR_NEEDS = ("zscale", "tonemap")

# Flags that make swscale exact: plain colours are 3 to 4 levels off without them, at most 1 with
# them.
_EXACT_TO_RGB = "bicubic+accurate_rnd+full_chroma_int"

# From a signal v, 0..1, to the light of a screen and back: sRGB, and for all others BT.1886.
_SRGB = 13
_SRGB_CURVE = (
    "if(lt({v},0.04045),{v}/12.92,pow(({v}+0.055)/1.055,2.4))",
    "if(lt({v},0.0031308),12.92*{v},1.055*pow({v},1/2.4)-0.055)",
)
_SCREEN_CURVE = ("pow({v},2.4)", "pow({v},1/2.4)")

_TICKS_PER_FRAME = 1000  # where several frames may share the time of one


def _needs(film: Film) -> tuple[str, ...]:
    """Return the filters and decoders that a film needs besides those of every run."""
    return (*(_HDR_NEEDS if film.hdr else ()), *((film.decoder,) if film.decoder else ()))


def program(film: Film, task: str) -> str:
    """Return the FFmpeg that decodes a film. task: as for `find_ffmpeg`. Raises RestyleError."""
    return find_ffmpeg(*_needs(film), task=f"{task}, which is HDR," if film.hdr else task)


def opened(film: Film, **seek: object) -> Any:
    """Return the picture of a film, decoded. seek: more options of FFmpeg for its input.

    Without `reinit_filter=0`, FFmpeg would rebuild the filters where the film changes size, and
    they would count from the start again.
    """
    decoder = {"c:v": film.decoder} if film.decoder else {}
    source = ffmpeg.input(FILM, reinit_filter=0, **decoder, **seek, **FILES_ONLY)
    return source[str(film.stream)]


def to_frames(stream: Any, film: Film, wanted: range | None = None) -> Any:
    """Convert the decoded picture of a film to 8-bit RGB frames at a constant rate.

    wanted: the frames to return, where the film keeps its own clock (OWN_CLOCK), which tells how
    many frames precede those that are decoded; None: all frames, decoded from the beginning.
    """
    if film.deinterlacing:
        stream = _deinterlace(stream, film.stored, film.deinterlacing)
    # From 0, so that times rounded to the container's ticks never lie between two frames.
    begin = "STARTPTS" if wanted is None or film.index is None else film.index.begin
    stream = stream.filter("setpts", f"PTS-{begin}")
    stream = stream.filter("settb", 1 / film.rate)
    if not film.steady:
        stream = stream.filter("settb", 1 / film.rate / _TICKS_PER_FRAME)
    # Whatever duration the file gives them, all frames are kept, the last one included, where the
    # rate is constant; elsewhere the last of those that share the time of one frame.
    stream = stream.filter("setpts", "max(PREV_OUTPTS+1,PTS)")
    stream = stream.filter("fps", film.rate, eof_action="pass")
    if wanted is not None:
        stream = stream.filter("trim", start_pts=wanted.start, end_pts=wanted.stop)
    if film.hdr:
        stream = _to_sdr(stream)
    matrix = {"in_color_matrix": film.matrix} if film.matrix and not film.hdr else {}
    stream = stream.filter(
        "scale", film.width, film.height, flags=_EXACT_TO_RGB, out_range="pc", **matrix
    )
    to_bt709 = None if film.hdr else primaries.to_bt709(film.primaries)
    if to_bt709 is not None:
        stream = _convert_primaries(stream, to_bt709, film)
    if film.alpha:
        stream = _over_black(stream)
    # Slides have no colour tags: with tags, viewers would show frames in other colours.
    untagged = {"color_primaries": "unknown", "color_trc": "unknown"}
    return stream.filter("format", "rgb24").filter("setsar", 1).filter("setparams", **untagged)


def _deinterlace(stream: Any, size: tuple[int, int], options: Mapping[str, str]) -> Any:
    """Make one progressive frame of each interlaced one.

    `bwdif` reads past the end of frames smaller than the first: hence `scale`, which changes only
    frames of another size.
    """
    stream = stream.filter("scale", *size, interl=-1)
    return stream.filter("bwdif", mode="send_frame", **options)


def _convert_primaries(stream: Any, matrix: primaries.Matrix, film: Film) -> Any:
    """Multiply the light of each pixel, (R, G, B), by a matrix.

    FFmpeg's own filters are unsuitable: `colorspace` is up to 27 levels off in saturated colours,
    and refuses odd sizes; `zscale` is not in every FFmpeg. This is at most 1 level off, and up to 6
    where one channel is nearly black.
    """
    curve = _SRGB_CURVE if film.transfer == _SRGB else _SCREEN_CURVE
    to_light, to_signal = (
        dict.fromkeys("rgb", f"maxval*{each.format(v='(val/maxval)')}") for each in curve
    )
    shares = {
        f"{to}{of}": f"{matrix[row, column]:.6f}"
        for row, to in enumerate("rgb")
        for column, of in enumerate("rgb")
    }
    return (
        stream.filter("format", "gbrap16le" if film.alpha else "gbrp16le")
        .filter("lutrgb", **to_light)
        .filter("colorchannelmixer", **shares)
        .filter("lutrgb", **to_signal)
        .filter("scale", flags=_EXACT_TO_RGB)
    )


def _over_black(stream: Any) -> Any:
    """Multiply by the alpha channel. FFmpeg 9 would undo `premultiply` again."""
    both = stream.filter("format", "gbrap").split()
    colour = both[0].filter("format", "gbrp")
    alpha = both[1].filter("alphaextract").filter("format", "gbrp")
    return ffmpeg.filter([colour, alpha], "blend", all_mode="multiply")


def _to_sdr(stream: Any) -> Any:
    """Map PQ or HLG to the range of an ordinary screen.

    HDR's reference white, 203 cd/m2 (ITU-R BT.2408), becomes 1. Mobius keeps what is darker
    nearly unchanged and compresses what is brighter.
    """
    return (
        stream.filter("zscale", transfer="linear", npl=203)
        .filter("format", "gbrpf32le")
        .filter("zscale", primaries="bt709")
        .filter("tonemap", "mobius", desat=0)
        .filter("zscale", transfer="bt709", range="full")
        .filter("format", "gbrp")
    )
