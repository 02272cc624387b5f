"""Split films into frames, and find their cuts."""

from __future__ import annotations

import itertools
import logging
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import ffmpeg
import numpy as np

from stable_restyle.core.errors import UnusableInput, counted
from stable_restyle.core.records import Pixels
from stable_restyle.media import animated_webp, convert, png, sequence
from stable_restyle.media.ffmpeg import (
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

# Level 1 with the Up filter takes 1.2 to 1.8 bytes a pixel, measured on four clips of 192x144 to
# 1280x720, and 2.3 with strong grain. The ten-second clip is split in 3.5 s of CPU. FFmpeg's
# defaults take 14 s in version 9 (level 6, Paeth; 0.8 of the bytes) and 5.4 s in version 7
# (level 6, no filter; 1.2 of the bytes).
_FAST_PNG = {"compression_level": 1, "pred": "up"}
_BYTES_PER_PIXEL = 2.0


def disk_needed(film: Film, frames_per_slide: int, *, exported: bool = True) -> int:
    """Estimate how many bytes the slides of a film, and its frames if exported, take on disk."""
    pictures = film.frames * exported + math.ceil(film.frames / frames_per_slide)
    return size_of(pictures, film.width, film.height)


def size_of(pictures: int, width: int, height: int) -> int:
    """Estimate how many bytes frames or slides take on disk."""
    return round(pictures * width * height * _BYTES_PER_PIXEL)


def check_disk(film: Film, folder: Path, frames_per_slide: int, *, exported: bool) -> None:
    """Raise UnusableInput if the disk is too full for the slides of a film.

    exported: whether its frames are written, too.
    """
    needed = disk_needed(film, frames_per_slide, exported=exported)
    name = film.path.name
    what = f"The frames and slides of {name}" if exported else f"The slides of {name}"
    check_free(folder, needed, what)


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
    frames = _frames_and_cuts(film, threshold).output(PICTURES, format="image2", **_FAST_PNG)
    return _read(film, frames, on_frame, folder)[1]


def detect_film_cuts(
    film: Film, threshold: float, on_frame: Callable[[int], None]
) -> tuple[int, list[int]]:
    """Return the number of frames and the cuts, as found by `split_film`; write nothing."""
    if film.webp_places:
        return film.frames, detect_cuts(_webp_frames(film), threshold, on_frame)
    output = _frames_and_cuts(film, threshold).output("-", format="null")
    return _read(film, output, on_frame)


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
        detecting_cuts(stream, threshold).output("-", format="null"), find_ffmpeg()
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


def _frames_and_cuts(film: Film, threshold: float) -> Any:
    return detecting_cuts(convert.to_frames(convert.opened(film), film), threshold)


def detecting_cuts(stream: Any, threshold: float) -> Any:
    """Make FFmpeg print a line on its standard output for each frame that starts a scene."""
    return stream.filter("scdet", threshold=threshold).filter(
        "metadata", mode="print", key="lavfi.scd.time", file="-", direct=1
    )


def _read(
    film: Film, output: Any, on_frame: Callable[[int], None], folder: Path | None = None
) -> tuple[int, list[int]]:
    """Run FFmpeg on a film; return the number of frames and the cuts. Log what it complained of."""
    task = f"Splitting {film.path.name}"
    command = command_line(output, convert.program(film, task), {FILM: file_url(film.path)})
    (frames, cuts), complaints = run(
        task,
        command,
        lambda child: follow(child.stdout, on_frame),
        folder=folder,
        result=folder,
    )
    if not frames:
        raise UnusableInput(f"{film.path} is damaged: not one frame of it can be decoded.")
    explain_deinterlacing(film)
    if complaints:
        log.warning(
            "FFmpeg complained about %s: %s\nContinuing with the %s (%.1f s) that it decoded.",
            film.path.name,
            complaints.splitlines()[0],
            counted(frames, "frame"),
            frames / film.rate,
        )
    return frames, cuts


def explain_deinterlacing(film: Film) -> None:
    """Log that the frames of a film are deinterlaced, if they are."""
    if film.deinterlacing:
        log.info("%s is interlaced: its frames are deinterlaced.", film.path.name)
