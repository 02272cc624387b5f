"""Read the frames of a film as they are wanted, without exporting it.

A film is decoded once from its beginning (`split.mark_film`), where each frame gets its mark, a
checksum of its pixels. From then on frames are decoded in stretches: FFmpeg seeks to a key frame
before the stretch, and the same filters make frames of what follows. Each is compared with its
mark. Where one differs, since the film cannot be sought exactly there, decoding begins further
ahead, in the end at the beginning of the film. So a frame is the same to the bit, however it is
reached; or there is an error.

Stretches are kept on disk as PNGs, some at a time: of what was tried, for a frame of 1280x720, PNG
takes 0.95 MB, 9 ms to write and 12 ms to read; raw pixels 2.8 MB, 5 ms and 1 ms; FFV1 0.54 MB, 32
and 35 ms; decoding the film again 9 ms.
"""

from __future__ import annotations

import logging
import math
import subprocess
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import IO

import numpy as np
from isal import isal_zlib

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.errors import ProgramFailed, UnusableInput, cannot_write
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import Pixels
from stable_restyle.media import convert, png, sequence
from stable_restyle.media.ffmpeg import FILM, command_line, file_url, run
from stable_restyle.media.naming import OWN, Naming
from stable_restyle.media.probe import Film, probe_film

SCRATCH = "scratch-"  # begins the names of the folders of stretches
MARK_DIGITS = 8

# Together a stretch and its frames on disk take some 60 MB.
_STRETCH_PIXELS = 64 * 1280 * 720
_STRETCH_LEAST = 8  # frames
# Frames between a key frame and the first one wanted: filters look back, and what is shown before a
# key frame may depend on what precedes it.
_LEAD = 2
_FURTHER_S = 10  # how much further ahead the second attempt begins
_APART_MOST = 1000  # frames from a key frame to the next: all are decoded for the last of them
_TRIALS, _TRIED = 4, 3  # places, and frames at each
_STAMPS_FROM = 10**12  # milliseconds, in 2001: some file systems have no times before 1980

log = logging.getLogger(__name__)


class _Differs(Exception):
    """A frame has other pixels than when it was marked."""


@dataclass(frozen=True)
class FilmFrames:
    """The frames of a film. A `Frames`."""

    source: Film | Path  # a path is probed once a frame is read
    width: int
    height: int
    count: int
    marks: Sequence[str]  # of the frames from `first` on; "" for one that is not wanted
    bounds: Sequence[int]  # of the scenes; no stretch goes beyond its scene
    scratch: Path  # folder for the folders of stretches
    first: int = 0
    places: int = 2 * cores() + 2  # stretches on disk at a time
    names: Naming = OWN

    def read(self, index: int) -> Pixels:
        number = bisect_right(self._starts, index) - 1
        stretch = self._stretches.get(number)  # which is on disk as long as it is referred to
        return png.read(stretch.folder / sequence.name(index))

    def stamp(self, index: int) -> int:
        if index not in range(self.first, self.first + len(self.marks)):
            raise FileNotFoundError(f"There is no frame {sequence.name(index)}")
        return _STAMPS_FROM + int(self.marks[index - self.first], 16)

    def serving(self, places: int) -> FilmFrames:
        return replace(self, places=places)

    def part(self, wanted: range) -> FilmFrames:
        shift = self.first
        return replace(
            self,
            source=self.film if isinstance(self.source, Film) else self.source.absolute(),
            marks=self.marks[wanted.start - shift : wanted.stop - shift],
            bounds=[
                wanted.start,
                *(each for each in self.bounds if wanted.start < each < wanted.stop),
                wanted.stop,
            ],
            scratch=self.scratch.absolute(),
            first=wanted.start,
        )

    def finds(self, wanted: range) -> bool:
        """Return whether frames are found by seeking."""
        *sought, beginning = _attempts(self.film, wanted.start)
        for key in sought or [beginning]:
            with suppress(_Differs, ProgramFailed):
                self._decode_from(key, wanted, lambda index, picture: None)
                return True
        return False

    def release(self) -> None:
        self.__dict__.pop("_stretches", None)

    def __getstate__(self) -> dict[str, object]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def film(self) -> Film:
        return self.source if isinstance(self.source, Film) else probe_film(self.source)

    @cached_property
    def _starts(self) -> list[int]:
        """Return the first frame of each stretch, and the end of the last."""
        most = max(_STRETCH_PIXELS // (self.width * self.height), _STRETCH_LEAST)
        starts: list[int] = []
        for start, stop in pairwise(self.bounds):
            parts = math.ceil((stop - start) / most)
            starts += (start + (stop - start) * part // parts for part in range(parts))
        return [*starts, self.bounds[-1]]

    @cached_property
    def _stretches(self) -> LRUCache[_Stretch]:
        return LRUCache(self._decoded, self.places)

    def _decoded(self, number: int) -> _Stretch:
        wanted = range(*self._starts[number : number + 2])
        stretch = _Stretch(self.scratch)

        def write(index: int, picture: Pixels) -> None:
            path = stretch.folder / sequence.name(index)
            data = png.encode(picture)
            try:
                path.write_bytes(data)  # not synced: it does not outlive the run
            except OSError as error:
                raise cannot_write(path, error, len(data)) from error

        try:
            self._decode(wanted, write)
        except BaseException:
            stretch.remove()
            raise
        return stretch

    def _decode(self, wanted: range, take: Callable[[int, Pixels], None]) -> None:
        """Decode frames and hand each over that has its mark. Raises UnusableInput."""
        for key in _attempts(self.film, wanted.start):
            try:
                return self._decode_from(key, wanted, take)
            except (_Differs, ProgramFailed) as error:
                if isinstance(error, ProgramFailed) and key is None:
                    raise
                log.debug("Frames %d to %d: %s", wanted[0], wanted[-1], error)
        raise UnusableInput(
            f"{self.film.path} is decoded differently now: its frames {wanted.start + 1} to "
            f"{wanted.stop} are not as they were when the run began.\nIf the film has changed, run "
            "the command again. If a worker has another FFmpeg or processor, add --keep-frames."
        )

    def _decode_from(
        self, key: int | None, wanted: range, take: Callable[[int, Pixels], None]
    ) -> None:
        """Decode from a key frame on, or from the beginning. Raises _Differs, ProgramFailed."""
        shape = (self.height, self.width, 3)

        def receive(child: subprocess.Popen[bytes]) -> int:
            assert child.stdout is not None
            received = 0
            for index, picture in zip(wanted, _pictures(child.stdout, shape), strict=False):
                if mark(picture) != self.marks[index - self.first]:
                    raise _Differs(f"{sequence.name(index)} differs")
                take(index, picture)
                received += 1
            return received

        received, _ = run(
            f"Reading {self.film.path.name}", _command(self.film, key, wanted), receive
        )
        if received != len(wanted):
            raise _Differs(f"{received} of {len(wanted)} frames were decoded")


class _Stretch:
    """A folder of decoded frames, removed once nothing refers to this object."""

    def __init__(self, parent: Path) -> None:
        try:
            self.folder = Path(mkdtemp(prefix=SCRATCH, dir=parent))
        except OSError as error:
            raise cannot_write(parent, error) from error
        self.remove = weakref.finalize(self, _remove, self.folder)


def mark(picture: Pixels) -> str:
    """Return the mark of a frame: the CRC-32 of its pixels, as FFmpeg's `framehash` gives it."""
    return f"{isal_zlib.crc32(np.ascontiguousarray(picture)):0{MARK_DIGITS}x}"


def why_not_sought(film: Film) -> str:
    """Return why frames cannot be found by seeking, by their times; empty if they can."""
    if film.index is None:
        return "not every frame has a time of its own"
    per_frame = 1 / (film.rate * film.index.tick)
    ends = [*map(Fraction, film.index.keys), film.index.begin + film.frames * per_frame]
    if any(after - before > _APART_MOST * per_frame for before, after in pairwise(ends)):
        return f"decoding can begin at fewer than one in {_APART_MOST} frames"
    return ""


def is_exact(frames: FilmFrames) -> bool:
    """Return whether seeking finds the right frames, tried at some places of the film."""
    places = {frames.count * trial // _TRIALS for trial in range(1, _TRIALS)}
    return all(
        frames.finds(range(place, min(place + _TRIED, frames.count)))
        for place in sorted({*places, max(frames.count - _TRIED, 0)})
    )


def _attempts(film: Film, frame: int) -> list[int | None]:
    """Return the key frames, by their times, from which to decode a frame: the nearest first.

    None is the beginning of the film, which is the last.
    """
    assert film.index is not None
    index, per_second = film.index, 1 / film.index.tick
    wanted = index.begin + (frame - _LEAD) / film.rate * per_second
    near = bisect_right(index.keys, wanted) - 1
    far = bisect_right(index.keys, wanted - _FURTHER_S * per_second, hi=max(near, 0)) - 1
    return [*(index.keys[each] for each in dict.fromkeys((near, far)) if each > 0), None]


def _command(film: Film, key: int | None, wanted: range) -> list[str]:
    """Return the command line that decodes frames to raw pixels on the standard output."""
    assert film.index is not None
    seek: dict[str, object] = {}
    if key is not None:
        microseconds = math.ceil(key * film.index.tick * 10**6)  # not before that frame
        time_s = f"{microseconds / 10**6:.6f}"
        seek = {"ss": time_s, "seek_timestamp": 1, "noaccurate_seek": None}
    stream = convert.to_frames(convert.opened(film, **seek), film, wanted)
    output = stream.output("pipe:1", format="rawvideo", fps_mode="passthrough")
    program = convert.program(film, f"Reading {film.path.name}")
    names = {FILM: file_url(film.path)}
    return command_line(output, program, names, *convert.OWN_CLOCK, progress=False)


def _pictures(pipe: IO[bytes], shape: tuple[int, int, int]) -> Iterator[Pixels]:
    """Yield each picture that comes through a pipe, whole ones only."""
    while True:
        picture = np.empty(shape, np.uint8)
        left = picture.data.cast("B")
        while left:
            count = pipe.readinto(left)  # type: ignore[attr-defined]
            if not count:
                return
            left = left[count:]
        yield picture


def _remove(folder: Path) -> None:
    with suppress(OSError):
        files.remove_tree(folder)
