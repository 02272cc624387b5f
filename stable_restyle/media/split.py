"""Split films into frames, and find their cuts."""

from __future__ import annotations

import itertools
import logging
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np

from stable_restyle.core.errors import UnusableInput, counted
from stable_restyle.core.records import Pixels
from stable_restyle.media import animated_webp, png, primaries, sequence
from stable_restyle.media.ffmpeg import (
    FILES_ONLY,
    FILM,
    PICTURES,
    command_line,
    file_url,
    find_ffmpeg,
    follow,
    run,
)
from stable_restyle.media.probe import Film

log = logging.getLogger(__name__)

_HDR_NEEDS = ("zscale", "tonemap")

# Level 1 with the Up filter takes 1.2 to 1.8 bytes a pixel, measured on four clips of 192x144 to
# 1280x720, and 2.3 with strong grain. The ten-second clip is split in 3.5 s of CPU. FFmpeg's
# defaults take 14 s in version 9 (level 6, Paeth; 0.8 of the bytes) and 5.4 s in version 7
# (level 6, no filter; 1.2 of the bytes).
_FAST_PNG = {"compression_level": 1, "pred": "up"}
_BYTES_PER_PIXEL = 2.0

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


def disk_needed(film: Film, frames_per_slide: int) -> int:
    """Estimate how many bytes the frames and the slides of a film take on disk."""
    pictures = film.frames + math.ceil(film.frames / frames_per_slide)
    return size_of(pictures, film.width, film.height)


def size_of(pictures: int, width: int, height: int) -> int:
    """Estimate how many bytes frames or slides take on disk."""
    return round(pictures * width * height * _BYTES_PER_PIXEL)


def check_disk(film: Film, folder: Path, frames_per_slide: int) -> None:
    """Raise UnusableInput if the disk is too full for the frames and slides of a film."""
    needed = disk_needed(film, frames_per_slide)
    check_free(folder, needed, f"The frames and slides of {film.path.name}")


def check_free(folder: Path, needed: int, what: str) -> None:
    """Raise UnusableInput if the disk of a folder, which need not exist yet, is too full.

    needed: bytes. what: takes them; begins the message.
    """
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UnusableInput(
            f"{what} need about {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are "
            "free. Free some, or name a folder on another disk with --work."
        )


def split_film(
    film: Film, folder: Path, threshold: float, on_frame: Callable[[int], None]
) -> list[int]:
    """Write the frames as 8-bit RGB PNGs, 000001.png and on, and find the cuts, in one decode.

    folder: exists and is empty. threshold: scdet's, 0..100. on_frame: called with the number of
    further frames, twice a second. Returns the first frame of each new scene, counted from 0.

    Frames are upright and progressive, with square pixels and a constant rate: a frame is repeated
    while the film pauses. They have the primaries of BT.709; HDR becomes SDR, and transparency
    black. A damaged film gives the frames that can be decoded, and a warning.
    """
    if film.webp_places:
        return detect_cuts(_saved(_webp_frames(film), folder), threshold, on_frame)
    frames = _detecting_cuts(_frames(film), threshold).output(
        PICTURES, format="image2", **_FAST_PNG
    )
    return _read(film, frames, on_frame, folder)[1]


def detect_film_cuts(
    film: Film, threshold: float, on_frame: Callable[[int], None]
) -> tuple[int, list[int]]:
    """Return the number of frames and the cuts, as found by `split_film`; write nothing."""
    if film.webp_places:
        return film.frames, detect_cuts(_webp_frames(film), threshold, on_frame)
    return _read(
        film, _detecting_cuts(_frames(film), threshold).output("-", format="null"), on_frame
    )


def _webp_frames(film: Film) -> Iterable[Pixels]:
    return animated_webp.frames(film.path, film.webp_places)


def _saved(frames: Iterable[Pixels], folder: Path) -> Iterable[Pixels]:
    """Write frames to a folder, and yield them."""
    for index, frame in enumerate(frames):
        (folder / sequence.name(index)).write_bytes(png.encode(frame))
        yield frame


def detect_cuts(
    frames: Iterable[Pixels], threshold: float, on_frame: Callable[[int], None]
) -> list[int]:
    """Find the cuts between decoded frames, as `split_film` does.

    frames: (H, W, 3) RGB uint8, all of one size. on_frame: called with 1 after each. Returns the
    first frame of each new scene, counted from 0.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        return []
    height, width, _ = first.shape
    stream = ffmpeg.input(
        "pipe:", format="rawvideo", pixel_format="rgb24", video_size=(width, height), framerate=1
    )
    command = command_line(
        _detecting_cuts(stream, threshold).output("-", format="null"), find_ffmpeg()
    )

    def feed(child: subprocess.Popen[bytes]) -> None:
        assert child.stdin is not None
        for frame in itertools.chain([first], rest):
            if not _write_frame(child.stdin, frame):
                return
            on_frame(1)
        child.stdin.close()

    # The cuts go to a file: writing to a full pipe, FFmpeg would not read the next frame.
    with tempfile.TemporaryFile() as output:
        run("Looking for cuts", command, feed, stdin=subprocess.PIPE, stdout=output)
        output.seek(0)
        return follow(output, lambda _: None)[1]


def _write_frame(pipe: IO[bytes], frame: Pixels) -> bool:
    """Write a frame to an unbuffered pipe; return False if FFmpeg has ended."""
    left = np.ascontiguousarray(frame).data.cast("B")
    try:
        while left:
            left = left[pipe.write(left) :]  # a signal can cut a write short
    except OSError:  # a broken pipe; Windows says "invalid argument"
        return False
    return True


def _detecting_cuts(stream: Any, threshold: float) -> Any:
    """Make FFmpeg print a line on its standard output for each frame that starts a scene."""
    return stream.filter("scdet", threshold=threshold).filter(
        "metadata", mode="print", key="lavfi.scd.time", file="-", direct=1
    )


def _frames(film: Film) -> Any:
    """Decode a film to 8-bit RGB frames at a constant rate.

    Without `reinit_filter=0`, FFmpeg would rebuild the filters where the film changes size, and
    they would count from the start again.
    """
    decoder = {"c:v": film.decoder} if film.decoder else {}
    stream = ffmpeg.input(FILM, reinit_filter=0, **decoder, **FILES_ONLY)[str(film.stream)]
    if film.deinterlacing:
        stream = _deinterlace(stream, film.stored, film.deinterlacing)
    # From 0, so that times rounded to the container's ticks never lie between two frames.
    stream = stream.filter("setpts", "PTS-STARTPTS")
    stream = stream.filter("settb", 1 / film.rate)
    if not film.steady:
        stream = stream.filter("settb", 1 / film.rate / _TICKS_PER_FRAME)
    # Whatever duration the file gives them, all frames are kept, the last one included, where the
    # rate is constant; elsewhere the last of those that share the time of one frame.
    stream = stream.filter("setpts", "max(PREV_OUTPTS+1,PTS)")
    stream = stream.filter("fps", film.rate, eof_action="pass")
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


def _read(
    film: Film, output: Any, on_frame: Callable[[int], None], folder: Path | None = None
) -> tuple[int, list[int]]:
    """Run FFmpeg on a film; return the number of frames and the cuts."""
    task = f"Splitting {film.path.name}" + (", which is HDR," if film.hdr else "")
    decoder = (film.decoder,) if film.decoder else ()
    program = find_ffmpeg(*(_HDR_NEEDS if film.hdr else ()), *decoder, task=task)
    if film.deinterlacing:
        log.info("%s is interlaced: its frames are deinterlaced.", film.path.name)
    command = command_line(output, program, {FILM: file_url(film.path)})
    (frames, cuts), messages = run(
        task,
        command,
        lambda child: follow(child.stdout, on_frame),
        folder=folder,
        result=folder,
    )
    if not frames:
        raise UnusableInput(f"{film.path} is damaged: not one frame of it can be decoded.")
    if messages:
        log.warning(
            "FFmpeg complained about %s: %s\nContinuing with the %s (%.1f s) that it decoded.",
            film.path.name,
            messages.splitlines()[0],
            counted(frames, "frame"),
            frames / film.rate,
        )
    return frames, cuts
