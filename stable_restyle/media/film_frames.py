"""Read the frames of a film as they are wanted, without exporting it.

A film is decoded once from its beginning (`marking`), where each frame gets its mark. Frames are
decoded in stretches: FFmpeg seeks to a key frame before the stretch, and the same filters make
frames of what follows. Each is compared with its mark. Where one differs, since the film cannot be
sought exactly there, decoding begins further ahead, in the end at the beginning of the film. So a
frame is the same to the bit, however it is reached; or there is an error.
"""

from __future__ import annotations

import logging
import math
import subprocess
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
from isal import isal_zlib

from stable_restyle.core.errors import ProgramFailed, UnusableInput
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import Pixels
from stable_restyle.media import convert, seeking, sequence
from stable_restyle.media.ffmpeg import FILM, command_line, file_url, run
from stable_restyle.media.marking import MARK_DIGITS
from stable_restyle.media.naming import OWN, Naming
from stable_restyle.media.probe import Film, probe_film
from stable_restyle.media.scratch import BYTES_PER_PIXEL, Scratch, Take

_STRETCH_PIXELS = 64 * 1280 * 720
_STRETCH_LEAST = 8  # frames
# Bytes of the stretches on disk: of those that slides are drawn from, and of others at that time.
# Together less than 1 GB, however many backends there are.
_DRAWING_BYTES = 700_000_000
_OTHER_BYTES = 250_000_000
_TRIALS, _TRIED = 4, 3  # places, and frames at each
_STAMPS_FROM = 10**12  # milliseconds, in 2001: some file systems have no times before 1980

log = logging.getLogger(__name__)


class _Differs(Exception):
    """A frame has other pixels than when it was marked."""


@dataclass(frozen=True)
class FilmFrames:
    """The frames of a film. A `Frames`.

    While the film is looked through, `marks` and `bounds` grow: the frames up to the last bound can
    be read.
    """

    source: Film | Path  # a path is probed once a frame is read
    width: int
    height: int
    marks: Sequence[str]  # of the frames from `first` on; "" for one that is not wanted
    bounds: Sequence[int]  # of the scenes; no stretch goes beyond its scene
    scratch: Path  # folder for the folders of stretches
    first: int = 0
    places: int = 2 * cores() + 2  # stretches on disk at a time
    most_bytes: int = _OTHER_BYTES  # of them
    names: Naming = OWN

    @property
    def count(self) -> int:
        return self.bounds[-1]

    def read(self, index: int) -> Pixels:
        return self._scratch.read(self._stretch(index), index)

    def stamp(self, index: int) -> int:
        if index not in range(self.first, self.first + len(self.marks)):
            raise FileNotFoundError(f"There is no frame {sequence.name(index)}")
        return _STAMPS_FROM + int(self.marks[index - self.first], 16)

    def serving(self, places: int) -> FilmFrames:
        return replace(self, places=places, most_bytes=_DRAWING_BYTES)

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
        *sought, beginning = seeking.attempts(self.film, wanted.start)
        for key in sought or [beginning]:
            with suppress(_Differs, ProgramFailed):
                self._decode_from(key, wanted, lambda index, picture: None)
                return True
        return False

    def release(self) -> None:
        if (opened := self.__dict__.pop("_scratch", None)) is not None:
            opened.close()

    def __getstate__(self) -> dict[str, object]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def film(self) -> Film:
        return self.source if isinstance(self.source, Film) else probe_film(self.source)

    def _stretch(self, index: int) -> range:
        """Return the stretch of a frame: its scene, or a part of it."""
        pixels = self.width * self.height
        fitting = int(self.most_bytes / (BYTES_PER_PIXEL * pixels * self.places))
        most = max(min(_STRETCH_PIXELS // pixels, fitting), _STRETCH_LEAST)
        place = bisect_right(self.bounds, index)
        start, stop = self.bounds[place - 1 : place + 1]
        parts = math.ceil((stop - start) / most)
        part = ((index - start + 1) * parts - 1) // (stop - start)
        first, end = (start + (stop - start) * each // parts for each in (part, part + 1))
        return range(first, end)

    @cached_property
    def _scratch(self) -> Scratch:
        return Scratch(
            self.scratch, self._decode, self.places, self.most_bytes, self.width * self.height
        )

    def _decode(self, wanted: range, take: Take) -> None:
        """Decode frames and hand each over that has its mark. Raises UnusableInput."""
        for key in seeking.attempts(self.film, wanted.start):
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

    def _decode_from(self, key: int | None, wanted: range, take: Take) -> None:
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


def trials(count: int) -> list[range]:
    """Return frames of a film at which seeking is tried. count: of the frames, 0 or more."""
    places = {count * trial // _TRIALS for trial in range(1, _TRIALS)} | {max(count - _TRIED, 0)}
    return [range(place, min(place + _TRIED, count)) for place in sorted(places)]


def mark(picture: Pixels) -> str:
    """Return the mark of a frame: the CRC-32 of its pixels, as FFmpeg's `framehash` gives it."""
    return f"{isal_zlib.crc32(np.ascontiguousarray(picture)):0{MARK_DIGITS}x}"


def _command(film: Film, key: int | None, wanted: range) -> list[str]:
    """Return the command line that decodes frames to raw pixels on the standard output."""
    stream = seeking.frames_from(film, key, wanted)
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
