"""Make thumbnails of the slides and of their frames, and measure on them how steady the slides are.

Thumbnails are in the report's folder. They are made during the run, as soon as a slide is finished;
`make` makes those that are missing. A thumbnail has the modification time of the file that it
shows: with another one it is outdated. The steadiness is measured on even smaller pictures, to find
bad moments by eye; `imaging.metrics` measures at full size, to compare methods.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import get_ident

import cv2
import numpy as np

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.parallel import map_in_order
from stable_restyle.core.records import Pixels, Scene
from stable_restyle.imaging import arrays, metrics, optical_flow
from stable_restyle.media import png, sequence
from stable_restyle.media.frames import Frames
from stable_restyle.media.naming import IN_BROWSERS, Naming
from stable_restyle.workdir.journal import JsonLines, finite

WIDTH_PX = 320
QUALITY = 80  # 8 KB at 320x180; WebP takes half of that and twenty times the time
LARGE_FRAMES = "large"  # folder of frames that browsers cannot show as they are
LARGE_QUALITY = 92
COMPARED_PX = 160  # width of the pictures that are compared
COMPARED_LEAST_PX = 64  # their least height: OpenCV's optical flow crashes on flat pictures
CACHED = 64  # pairs of these pictures in memory, some 90 KB each: neighbours are compared

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Steadiness:
    """How a thumbnail differs from that of the previous slide of its scene."""

    flicker: float  # change of lightness that the frames do not show: L*, 0..100
    unexplained: float  # change that neither motion nor the frames explain, see `_measure`; or nan


class Thumbnails:
    """The thumbnails of a run. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        frames: Frames,
        slides: Path,
        frames_per_slide: int,
        scenes: Sequence[Scene],
    ) -> None:
        """Make the folders for thumbnails in `folder`.

        frames, slides: what they show. scenes: more may come. Where browsers cannot show the files
        of frames, these are also kept as JPEG, at full size.
        """
        self._frames, self._slides, self._frames_per_slide = frames, slides, frames_per_slide
        self._small_frames, self._small_slides = folder / "frames", folder / "slides"
        self._large_frames = None if in_browsers(frames.names) else folder / LARGE_FRAMES
        self._scenes = scenes
        self._lines = JsonLines(folder / "steadiness.jsonl")
        self._compared = LRUCache(self._read_compared, CACHED)
        self._gave_up = False
        for each in filter(None, (self._small_frames, self._small_slides, self._large_frames)):
            with suppress(OSError):  # `add` reports the reason
                each.mkdir(parents=True, exist_ok=True)

    def add(self, slide: int, frame: Pixels, picture: Pixels) -> None:
        """Make the thumbnails of a finished slide, and compare it with its neighbours.

        frame, picture: (H, W, 3) RGB of one size. If a thumbnail cannot be written, warn once and
        make no more of them.
        """
        if self._gave_up:
            return
        try:
            self._compared.put(slide, self._shrink(slide, frame, picture))
        except (OSError, UnusableInput) as error:
            self._gave_up = True
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.warning(
                "Thumbnails for the report cannot be written to %s: %s; once that is fixed, "
                "`video-restyle --report` makes them.",
                self._small_slides.parent,
                why,
            )
            return
        for pair in (slide, slide + 1):
            if pair not in self._starts() and self._is_fresh(pair - 1) and self._is_fresh(pair):
                _attempt(self._measure, pair)

    def missing(self) -> list[int]:
        """Return the finished slides whose thumbnails are missing, damaged or outdated."""
        now, made = self._stamps()
        return [s for s in now if made.get(s) != now[s] or not all(map(_is_whole, self._small(s)))]

    def times(self) -> Mapping[int, int]:
        """Return when each finished slide was written, in milliseconds."""
        return {slide: written for slide, (_, written) in self._now().items()}

    def present(self) -> set[int]:
        """Return the slides that have thumbnails."""
        folders = self._small_frames, self._small_slides
        frames, slides = ({index for index, _ in _pictures(each, ".jpg")} for each in folders)
        return frames & slides

    def make(self, slides: Sequence[int], tick: Callable[[int], None]) -> None:
        """Make the thumbnails of finished slides, on all cores.

        tick: called in this thread with the number of slides just done.
        """
        _attempt_all(slides, lambda slide: self.add(slide, *self._read(slide)), tick)

    def measure(self, slides: Sequence[int], tick: Callable[[int], None]) -> None:
        """Compare each of these slides with the previous one, on all cores."""
        _attempt_all(slides, self._measure, tick)

    def unmeasured(self) -> list[int]:
        """Return the slides still to be compared with the previous one, both having thumbnails."""
        now, made = self._stamps()
        fresh = {slide for slide in now if made.get(slide) == now[slide]}
        known = self._measured(now)
        starts = self._starts()
        pairs = (s for s in fresh if s - 1 in fresh and s not in starts)
        return sorted(slide for slide in pairs if slide not in known)

    def steadiness(self) -> Mapping[int, Steadiness]:
        """Return what was measured of the current slides."""
        return self._measured(self._now())

    def _measured(self, now: Mapping[int, tuple[int, int]]) -> Mapping[int, Steadiness]:
        """Return what was measured of files with these modification times, (frame, slide)."""
        found: dict[int, Steadiness] = {}
        starts = self._starts()
        for line in self._lines.read():
            with suppress(ValueError, TypeError):
                slide, before, here, measured = line
                stamps = now.get(slide - 2, (0, 0))[1], now.get(slide - 1, (0, 0))[1]
                if stamps == (before, here) and slide - 1 not in starts:
                    flicker, unexplained = measured
                    change = math.nan if unexplained is None else finite(unexplained)
                    found[slide - 1] = Steadiness(finite(flicker), change)
        return found

    def _starts(self) -> set[int]:
        """Return the first slides of scenes."""
        return {scene.slides.start for scene in self._scenes}

    def _stamps(self) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
        """Return the times of each finished slide, (frame, slide), and those of the thumbnails."""
        frames, slides = _stamps(self._small_frames, ".jpg"), _stamps(self._small_slides, ".jpg")
        return self._now(), {s: (frames[s], slides[s]) for s in slides if s in frames}

    def _now(self) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        for slide, stamp in _stamps(self._slides, ".png").items():
            with suppress(OSError):
                found[slide] = self._frame_stamp(slide), stamp
        return found

    def _read(self, slide: int) -> tuple[Pixels, Pixels]:
        """Read a frame and its slide, of one size. Raises UnusableInput."""
        frame = self._frames.read(slide * self._frames_per_slide)
        height, width = frame.shape[:2]
        return frame, arrays.fit(png.read(self._slide_of(slide)), width, height)

    def _shrink(self, slide: int, frame: Pixels, picture: Pixels) -> Pixels:
        """Write the thumbnails of a slide; return what `_read_compared` would."""
        small_frame, small = _small(frame), _small(picture)
        stamp = self._frame_stamp(slide)
        if self._large_frames:
            self._write(self._large_frames, slide, frame, stamp, LARGE_QUALITY)
        self._write(self._small_frames, slide, small_frame, stamp)
        self._write(self._small_slides, slide, small, files.stamp(self._slide_of(slide)))
        return np.hstack([_to_compare(small_frame), _to_compare(small)])

    def _measure(self, slide: int) -> None:
        """Compare a slide with the previous one.

        Fast motion that the flow misses changes frames and slides alike, and is no fault of the
        slides: their unexplained change is 1000 times the E_warp (RGB 0..1, squared) that they have
        more than their frames, but at least 0.
        """
        (frame_before, before), (frame, after) = map(self._halves, (slide - 1, slide))
        forward, backward = optical_flow.rough_flows(frame_before, frame)
        occluded = metrics.occlusion(forward, backward)
        frames, slides = (
            metrics.warping_error(first, last, forward, occluded)
            for first, last in ((frame_before, frame), (before, after))
        )
        moved, changed = (
            metrics.lightness(last) - metrics.lightness(first)
            for first, last in ((frame_before, frame), (before, after))
        )
        stamps = [files.stamp(self._slide_of(each)) for each in (slide - 1, slide)]
        more = None if math.isnan(slides) else round(max(0.0, 1000 * (slides - frames)), 3)
        self._lines.add([slide + 1, *stamps, [round(abs(changed - moved), 3), more]])

    def _halves(self, slide: int) -> tuple[Pixels, Pixels]:
        """Return a frame and its slide, as they are compared: (H, COMPARED_PX, 3) each."""
        both = self._compared.get(slide)
        return both[:, :COMPARED_PX], both[:, COMPARED_PX:]

    def _read_compared(self, slide: int) -> Pixels:
        """Return the frame on the left and the slide on the right: (H, 2 * COMPARED_PX, 3).

        Thumbnails that are damaged, perhaps by a power loss, are made again.
        """
        try:
            pictures = [png.decode(p.read_bytes(), ("JPEG",)) for p in self._small(slide)]
        except (OSError, ValueError):
            return self._shrink(slide, *self._read(slide))
        return np.hstack([*map(_to_compare, pictures)])

    def _is_fresh(self, slide: int) -> bool:
        with suppress(OSError):
            now = self._frame_stamp(slide), files.stamp(self._slide_of(slide))
            return tuple(map(files.stamp, self._small(slide))) == now
        return False

    def _write(
        self, folder: Path, slide: int, small: Pixels, stamp: int, quality: int = QUALITY
    ) -> None:
        """Write a thumbnail whole or not at all; a report and a run may do so at the same time."""
        with files.replacing(folder / _name(slide), f"{os.getpid()}-{get_ident()}") as part:
            part.write_bytes(_jpeg(small, quality))
            os.utime(part, ns=(stamp * 1_000_000, stamp * 1_000_000))

    def _small(self, slide: int) -> tuple[Path, Path]:
        """Return the paths of the thumbnails of a frame and its slide."""
        return self._small_frames / _name(slide), self._small_slides / _name(slide)

    def _frame_stamp(self, slide: int) -> int:
        return self._frames.stamp(slide * self._frames_per_slide)

    def _slide_of(self, slide: int) -> Path:
        return self._slides / sequence.name(slide)


def in_browsers(frame_names: Naming) -> bool:
    """Return whether browsers show frames that are called so."""
    return frame_names.ending in IN_BROWSERS


def _attempt_all(
    slides: Sequence[int], act: Callable[[int], None], tick: Callable[[int], None]
) -> None:
    for _ in map_in_order(partial(_attempt, act), slides, tick):
        pass


def _attempt(act: Callable[[int], None], slide: int) -> None:
    """Call `act` with a slide; if its files cannot be read or written, only warn."""
    try:
        act(slide)
    except (OSError, ValueError, UnusableInput) as error:
        log.warning("The report leaves out a picture: %s", str(error).partition("\n")[0])


def _name(slide: int) -> str:
    return f"{Path(sequence.name(slide)).stem}.jpg"


def _is_whole(jpeg: Path) -> bool:
    """Return whether a JPEG file has its beginning and its end."""
    try:
        data = jpeg.read_bytes()
    except OSError:
        return False
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


def _stamps(folder: Path, ending: str) -> dict[int, int]:
    """Return the modification times of the numbered pictures of a folder, by index."""
    found: dict[int, int] = {}
    for index, entry in _pictures(folder, ending):
        with suppress(OSError):  # just removed, or a dangling link
            found[index] = entry.stat().st_mtime_ns // 1_000_000
    return found


def _pictures(folder: Path, ending: str) -> Iterator[tuple[int, os.DirEntry[str]]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            stem, dot, found = entry.name.rpartition(".")
            if dot + found == ending and stem.isdecimal():
                yield int(stem) - 1, entry


def _small(picture: Pixels) -> Pixels:
    return _resized(picture, min(WIDTH_PX, picture.shape[1]), 1)


def _jpeg(small: Pixels, quality: int) -> bytes:
    stored = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", stored, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return data.tobytes()


def _to_compare(picture: Pixels) -> Pixels:
    return _resized(picture, COMPARED_PX, COMPARED_LEAST_PX)


def _resized(picture: Pixels, width: int, least: int) -> Pixels:
    """Return a picture at a width and the height in proportion, but at least `least` high."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return arrays.shrink(picture, width, max(least, height))
