"""Write the picture of a film in parts, so that it is written while slides are still drawn.

A part has LENGTH slides, the last one fewer. Its borders depend on nothing else, so that a resumed
run makes the same parts. It is named after what it is made from, so that a part of other slides, or
one written in another way, is never used. How parts become a film is left to `join`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from hashlib import blake2b
from pathlib import Path

import ffmpeg

from stable_restyle.core import files
from stable_restyle.core.errors import ProgramFailed, UnusableInput, cannot_write, counted
from stable_restyle.core.parallel import cores
from stable_restyle.media import encode, png, sequence
from stable_restyle.media.containers import Encoding
from stable_restyle.media.encode import Shown
from stable_restyle.media.ffmpeg import (
    TARGET,
    command_line,
    file_url,
    find_ffmpeg,
    follow,
    run,
    version,
)
from stable_restyle.media.png import Header

LENGTH = 48  # slides
PARTS_LIST = "parts.ffconcat"

# FFmpeg reads ahead of what it encodes, and complains where those slides are not drawn yet. Whether
# it has read all slides of the part shows in their number.
_READ_AHEAD = re.compile(r"Could not open file : \d+\.png|Input/output error")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilmParts:
    """The parts of a film's picture."""

    slides: Path  # folder of 000001.png and on
    folder: Path  # of the parts
    rate: Fraction  # slides a second
    encoding: Encoding
    task: str  # the beginning of messages: "Joining film.mp4"
    writer: str = ""  # makes temporary names unique

    def write(
        self,
        slides: range,
        headers: Sequence[Header | None],
        size: tuple[int, int],
        on_frame: Callable[[int], None],
        *,
        last: bool = False,
    ) -> Path:
        """Write a part unless it is there; return its path.

        headers: of the slides; None for one that cannot be read. size: width and height of the
        film. on_frame: called with the number of further slides, twice a second. last: whether
        other programs come first where cores are scarce. Raises UnusableInput or ProgramFailed.
        """
        program = find_ffmpeg(*self.encoding.needs, task=self.task)
        sizes = {header.size for header in headers if header}
        words = command_line(self._graph(Shown(slides, sizes, size)), program)
        marks = [header and header.mark for header in headers]
        made_of = json.dumps([version(program), cores(), *words[1:], *marks])
        name = blake2b(made_of.encode(), digest_size=8).hexdigest()
        path = self.folder / f"{slides.start // LENGTH + 1:06}-{name}.{self._muxer}"
        if path.exists():
            on_frame(len(slides))
        else:
            self._write(path, len(slides), words, on_frame, last)
        return path

    @property
    def _muxer(self) -> str:
        return self.encoding.container.of_parts or self.encoding.container.muxer

    def _graph(self, shown: Shown) -> object:
        stream, _ = encode.picture(shown, self.rate, self.encoding)
        options = {"format": self._muxer, **encode.EACH_ONCE, **self.encoding.options}
        return ffmpeg.output(stream, TARGET, **options)

    def _write(
        self,
        path: Path,
        count: int,
        words: Sequence[str],
        on_frame: Callable[[int], None],
        last: bool,
    ) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
            with files.replacing(path, self.writer) as unfinished:
                names = {TARGET: file_url(unfinished)}
                command = [names.get(word, word) for word in words]
                (frames, _), messages = run(
                    self.task,
                    command,
                    lambda child: follow(child.stdout, on_frame),
                    folder=self.slides,
                    result=path,
                    last=last,
                )
                if frames != count:  # FFmpeg stops at a gap and skips what it cannot read
                    messages += f"Only {frames} of the {counted(count, 'slide')} in {self.slides} "
                    raise ProgramFailed(self.task, command, messages + "could be read.")
                files.sync(unfinished)
            files.sync(self.folder)
        except OSError as error:
            raise cannot_write(path, error) from error
        if complaints := [line for line in messages.splitlines() if not _READ_AHEAD.search(line)]:
            _warn_once(self.task, complaints[0])

    def write_all(self, count: int, on_frame: Callable[[int], None]) -> list[Path]:
        """Write the parts of a film of `count` slides that are missing; return all of them.

        on_frame: as for `write`. Raises as `write` does.
        """
        headers = read_headers(self.slides, range(count))
        size = film_size(headers)
        starts = range(0, count, LENGTH)
        parts = [range(count)[start : start + LENGTH] for start in starts]
        return [self.write(part, headers[part.start : part.stop], size, on_frame) for part in parts]


@cache
def _warn_once(task: str, complaint: str) -> None:
    log.warning("%s: FFmpeg complained: %s", task, complaint)


def read_headers(folder: Path, slides: Iterable[int]) -> list[Header | None]:
    """Return the headers of slides; None for each that cannot be read."""
    headers: list[Header | None] = []
    for slide in slides:
        try:
            headers.append(png.read_header(folder / sequence.name(slide)))
        except UnusableInput:
            headers.append(None)
    return headers


def film_size(headers: Iterable[Header | None]) -> tuple[int, int]:
    """Return width and height of the largest slide."""
    return max(header.size for header in headers if header)


def parts_list(parts: Sequence[Path], count: int, rate: Fraction) -> bytes:
    """Return the list from which FFmpeg reads parts as one film, in their folder.

    count: of slides. rate: slides a second.
    """
    lines = ["ffconcat version 1.0"]
    for number, part in enumerate(parts):
        # Rounded times, not rounded durations, so that errors do not add up.
        begin, end = (
            round(1_000_000 * slide / rate)
            for slide in (number * LENGTH, min((number + 1) * LENGTH, count))
        )
        lines += [f"file {part.name}", f"duration {end - begin}us"]
    return "\n".join(lines).encode() + b"\n"


def remove_others(folder: Path, parts: Collection[Path]) -> None:
    """Remove what is in a folder of parts besides these parts, as far as possible."""
    kept = {part.name for part in parts}
    with suppress(UnusableInput, OSError):  # they are removed the next time
        files.remove_all(folder, {*os.listdir(folder)} - kept)
