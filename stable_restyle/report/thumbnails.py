"""Small pictures of the slides and of the frames that they show, and how steady they are.

They lie beside the report and are made while the run goes on, each slide's when it is kept; `make`
makes those that are lacking. A small picture bears the time of the file that it shows: with another
time it is out of date. What is measured here, on pictures smaller still, is for finding the bad
moments by eye; figures to compare methods by are measured at full size, by `stability`.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import TypeVar

import cv2
import numpy as np

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.parallel import map_in_order
from stable_restyle.core.records import Pixels, Scene
from stable_restyle.imaging import arrays, metrics, optical_flow
from stable_restyle.media import png, sequence
from stable_restyle.workdir.journal import JsonLines, finite

WIDTH_PX = 320
QUALITY = 80  # 8 KB at 320x180; WebP takes half of that and twenty times the time
COMPARED_PX = 160  # width of the pictures that are compared
COMPARED_LEAST_PX = 64  # and their height at least: OpenCV's flow crashes on flat pictures
AT_HAND = 64  # of them, some 90 KB each, so that a slide finds its neighbour in memory

Item = TypeVar("Item")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steadiness:
    """How a slide differs from the one before it in its scene, on small pictures."""

    flicker: float  # L*, 0..100: how much its lightness changes that the frames' does not
    e_warp: float  # RGB 0..1, squared: what changes that the motion does not explain; may be nan


class Thumbnails:
    """The small pictures of a run. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        frames: Path,
        slides: Path,
        frames_per_slide: int,
        scenes: Iterable[Scene],
    ) -> None:
        """folder: where they go. frames, slides: what they show. fps: frames per slide."""
        self._frames, self._slides, self._fps = frames, slides, frames_per_slide
        self._small_frames, self._small_slides = folder / "frames", folder / "slides"
        self._scenes = [scene.slides for scene in scenes]
        self._starts = {slides.start for slides in self._scenes}
        self._lines = JsonLines(folder / "steadiness.jsonl")
        self._compared = LRUCache(self._read_compared, AT_HAND)
        self._gave_up = False
        for each in (self._small_frames, self._small_slides):
            with suppress(OSError):  # `add` says what is in the way
                each.mkdir(parents=True, exist_ok=True)

    def add(self, slide: int, frame: Pixels, picture: Pixels) -> None:
        """A slide has been kept: make its small pictures, and compare it with its neighbours.

        frame, picture: (H, W, 3) RGB of one size. Where they cannot be written, it says so once.
        """
        if self._gave_up:
            return
        try:
            self._compared.put(slide, self._shrink(slide, frame, picture))
        except (OSError, UnusableInput) as error:
            self._gave_up = True
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.warning(
                "Small pictures for the report cannot be written to %s: %s; once that is fixed, "
                "`video-restyle --report` makes them.",
                self._small_slides.parent,
                why,
            )
            return
        for pair in (slide, slide + 1):
            if pair not in self._starts and self._is_fresh(pair - 1) and self._is_fresh(pair):
                _tried(self._measure, pair)

    def lacking(self) -> list[int]:
        """The slides that are there without small pictures, or with damaged or outdated ones."""
        now, made = self._stamps()
        return [s for s in now if made.get(s) != now[s] or not all(map(_is_whole, self._small(s)))]

    def at_hand(self) -> set[int]:
        """The slides whose small pictures are there."""
        return _numbers(self._small_frames, ".jpg") & _numbers(self._small_slides, ".jpg")

    def make(self, slides: Sequence[int], tick: Callable[[int], None]) -> None:
        """Make the small pictures of slides that are there, on all cores.

        tick: called in this thread with the number of slides just done.
        """
        _each(slides, self._make, tick)

    def measure(self, slides: Sequence[int], tick: Callable[[int], None]) -> None:
        """Compare each of these slides with the one before it, on all cores."""
        _each(slides, self._measure, tick)

    def unmeasured(self) -> list[int]:
        """The slides that were not compared with the one before them, where both are at hand."""
        now, made = self._stamps()
        fresh = {slide for slide in now if made.get(slide) == now[slide]}
        known = self._measured(now)
        return [slide for slide in self._later(fresh) if slide not in known]

    def steadiness(self) -> Mapping[int, Steadiness]:
        """What has been measured of the slides as they are now."""
        return self._measured(self._now())

    def _measured(self, now: Mapping[int, tuple[int, int]]) -> Mapping[int, Steadiness]:
        """What was measured of slides and frames of these times, (frame, slide)."""
        found: dict[int, Steadiness] = {}
        for line in self._lines.read():
            with suppress(ValueError, TypeError):
                slide, before, here, flicker, e_warp = line
                stamps = now.get(slide - 2, (0, 0))[1], now.get(slide - 1, (0, 0))[1]
                if stamps == (before, here) and slide - 1 not in self._starts:
                    its_warp = math.nan if e_warp is None else finite(e_warp)
                    found[slide - 1] = Steadiness(finite(flicker), its_warp)
        return found

    def _later(self, slides: set[int]) -> list[int]:
        """Those that have the slide before them among them, in the same scene."""
        return sorted(s for s in slides if s - 1 in slides and s not in self._starts)

    def _stamps(self) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
        """The times of (frame, slide) of every slide that is there; the same as they were shown."""
        frames, slides = _stamps(self._small_frames, ".jpg"), _stamps(self._small_slides, ".jpg")
        return self._now(), {s: (frames[s], slides[s]) for s in slides if s in frames}

    def _now(self) -> dict[int, tuple[int, int]]:
        frames, slides = _stamps(self._frames, ".png"), _stamps(self._slides, ".png")
        return {s: (frames[s * self._fps], slides[s]) for s in slides if s * self._fps in frames}

    def _make(self, slide: int) -> None:
        self.add(slide, *self._open(slide))

    def _open(self, slide: int) -> tuple[Pixels, Pixels]:
        """Read a frame and its slide, of one size. Raises UnusableInput."""
        frame = png.read(self._frame_of(slide))
        picture = png.read(self._slide_of(slide))
        height, width = frame.shape[:2]
        return frame, arrays.fit(picture, width, height)

    def _shrink(self, slide: int, frame: Pixels, picture: Pixels) -> Pixels:
        """Write the small pictures of a slide; returns what `_read_compared` would."""
        small_frame, small = _small(frame), _small(picture)
        self._write(self._small_frames, slide, small_frame, _stamp(self._frame_of(slide)))
        self._write(self._small_slides, slide, small, _stamp(self._slide_of(slide)))
        return np.hstack([_to_compare(small_frame), _to_compare(small)])

    def _measure(self, slide: int) -> None:
        """Compare a slide with the one before it."""
        (frame_before, before), (frame, after) = map(self._halves, (slide - 1, slide))
        forward, backward = optical_flow.rough_flows(frame_before, frame)
        occluded = metrics.occlusion(forward, backward)
        e_warp = metrics.warping_error(before, after, forward, occluded)
        moved, changed = (
            metrics.lightness(last) - metrics.lightness(first)
            for first, last in ((frame_before, frame), (before, after))
        )
        stamps = [_stamp(self._slide_of(each)) for each in (slide - 1, slide)]
        error = None if math.isnan(e_warp) else float(f"{e_warp:.3g}")
        self._lines.add([slide + 1, *stamps, round(abs(changed - moved), 3), error])

    def _halves(self, slide: int) -> tuple[Pixels, Pixels]:
        """A frame and its slide, small: both (H, W, 3)."""
        both = self._compared.get(slide)
        return both[:, :COMPARED_PX], both[:, COMPARED_PX:]

    def _read_compared(self, slide: int) -> Pixels:
        """The frame at the left, the slide at the right: (H, 2 * COMPARED_PX, 3).

        Damaged pictures, as a loss of power leaves some, are made again.
        """
        try:
            pictures = [png.decode(p.read_bytes(), ("JPEG",)) for p in self._small(slide)]
        except (OSError, ValueError):
            return self._shrink(slide, *self._open(slide))
        return np.hstack([*map(_to_compare, pictures)])

    def _is_fresh(self, slide: int) -> bool:
        with suppress(OSError):
            now = _stamp(self._frame_of(slide)), _stamp(self._slide_of(slide))
            return tuple(map(_stamp, self._small(slide))) == now
        return False

    def _write(self, folder: Path, slide: int, small: Pixels, stamp: int) -> None:
        """Write a small picture whole or not at all; a report and a run may do so at once."""
        part = files.part_of(folder / _name(slide), f"{os.getpid()}-{get_ident()}")
        try:
            part.write_bytes(_jpeg(small))
            os.utime(part, ns=(stamp * 1_000_000, stamp * 1_000_000))
            files.replace(part, folder / _name(slide))
        except OSError:
            with suppress(OSError):
                files.remove(part)
            raise

    def _small(self, slide: int) -> tuple[Path, Path]:
        """Where the small pictures of a frame and its slide are."""
        return self._small_frames / _name(slide), self._small_slides / _name(slide)

    def _frame_of(self, slide: int) -> Path:
        return self._frames / sequence.name(slide * self._fps)

    def _slide_of(self, slide: int) -> Path:
        return self._slides / sequence.name(slide)


def _each(items: Sequence[Item], do: Callable[[Item], None], tick: Callable[[int], None]) -> None:
    for _ in map_in_order(partial(_tried, do), items, tick):
        pass


def _tried(do: Callable[[Item], None], item: Item) -> None:
    """One picture that cannot be read or written costs its own place in the report only."""
    try:
        do(item)
    except (OSError, ValueError, UnusableInput) as error:
        log.warning("The report leaves out a picture: %s", str(error).partition("\n")[0])


def _name(slide: int) -> str:
    return f"{Path(sequence.name(slide)).stem}.jpg"


def _is_whole(jpeg: Path) -> bool:
    """Whether a JPEG file has its beginning and its end."""
    try:
        data = jpeg.read_bytes()
    except OSError:
        return False
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


def _stamp(path: Path) -> int:
    """When a file was written, in whole milliseconds."""
    return path.stat().st_mtime_ns // 1_000_000


def _stamps(folder: Path, ending: str) -> dict[int, int]:
    """When each numbered picture of a folder was written, by its index."""
    found: dict[int, int] = {}
    for index, entry in _pictures(folder, ending):
        with suppress(OSError):  # just removed, or a link that leads nowhere
            found[index] = entry.stat().st_mtime_ns // 1_000_000
    return found


def _numbers(folder: Path, ending: str) -> set[int]:
    """The indices of the numbered pictures of a folder."""
    return {index for index, _ in _pictures(folder, ending)}


def _pictures(folder: Path, ending: str) -> Iterator[tuple[int, os.DirEntry[str]]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            stem, dot, found = entry.name.rpartition(".")
            if dot + found == ending and stem.isdecimal():
                yield int(stem) - 1, entry


def _small(picture: Pixels) -> Pixels:
    return _resized(picture, min(WIDTH_PX, picture.shape[1]), 1)


def _jpeg(small: Pixels) -> bytes:
    stored = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", stored, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return data.tobytes()


def _to_compare(picture: Pixels) -> Pixels:
    return _resized(picture, COMPARED_PX, COMPARED_LEAST_PX)


def _resized(picture: Pixels, width: int, least: int) -> Pixels:
    """Return a picture at this width, and in proportion, but at least so high."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return arrays.shrink(picture, width, max(least, height))
