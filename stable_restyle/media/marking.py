"""Look through a film: mark each frame, and find the cuts.

The mark of a frame is a checksum of its pixels. A film is decoded once for that, from its beginning
on; what is known of it grows meanwhile, and is used before its end is reached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stable_restyle.core.errors import ProgramFailed, UnusableInput
from stable_restyle.media import convert, seeking
from stable_restyle.media.ffmpeg import FILM, command_line, file_url, running
from stable_restyle.media.probe import Film
from stable_restyle.media.split import detecting_cuts, explain_deinterlacing

MARK_DIGITS = 8

_ENDLESS = 2**31
# Frames that are decoded again where looking goes on: they must be the same, and scdet compares the
# change of a frame with that of the one before.
_OVERLAP = 8
_AT_ONCE = 8  # cuts that are found before the frames between them are marked, at most


@dataclass
class Marked:
    """The frames of a film from its beginning, as far as it has been looked through. Grows."""

    marks: list[str]
    cuts: list[int]  # first frames of scenes but the first


class NotSought(Exception):
    """The frames of a film cannot be found exactly by seeking; says why."""


class _Differs(Exception):
    """A frame has another mark than when it was decoded before."""


def look_through(film: Film, threshold: float, known: Marked) -> Iterator[None]:
    """Add the frames and cuts that are not known yet; yield each time that some were added.

    threshold: scdet's, 0..100. Yields twice a second at least, and also where nothing was added.
    Raises NotSought if the film is damaged, or if the time stamps of its frames do not count them
    from 0: it is not certain then that it gives the same frames again.
    """
    begin = max(len(known.marks) - _OVERLAP, 0)
    nearest = seeking.attempts(film, begin)[0]
    if nearest is not None:
        try:
            yield from _look(film, threshold, known, nearest, begin)
            return
        except (_Differs, ProgramFailed):
            pass  # it cannot be sought exactly there
    try:
        yield from _look(film, threshold, known, None, 0)
    except _Differs as error:
        raise NotSought("some are decoded differently each time") from error


def _look(
    film: Film, threshold: float, known: Marked, key: int | None, begin: int
) -> Iterator[None]:
    """Look through a film from a frame on, which is decoded from a key frame on."""
    task = f"Reading {film.path.name}"
    stream = detecting_cuts(seeking.frames_from(film, key, range(begin, _ENDLESS)), threshold)
    # Each mark is written at once: a pipe would hold back those of many frames.
    output = stream.output(
        "pipe:1", format="framehash", hash="crc32", fps_mode="passthrough", flush_packets=1
    )
    names = {FILM: file_url(film.path)}
    command = command_line(output, convert.program(film, task), names, *convert.OWN_CLOCK)
    before, index = len(known.marks), begin
    with running(task, command) as started:
        # Servers wait until the first scene is found; from then on slides come first.
        is_waited_for = not before
        if not is_waited_for:
            started.come_last()
        for line in started.child.stdout or ():
            is_complete = False
            if line.startswith(b"frame:"):  # "frame:18   pts:18      pts_time:0.75"
                cut = int(line.split(b"pts:")[1].split()[0])
                if cut >= before and cut not in known.cuts[-_AT_ONCE:]:
                    known.cuts.append(cut)
                    is_complete = cut <= index
            elif line.startswith(b"0,"):
                # "0,          0,          0,        1,   691200, d3dca9ae": stream, dts, pts, ...
                row = line.decode().split(",")
                if int(row[2]) != index:
                    raise NotSought("its time stamps are wrong")
                _add(known.marks, index, row[-1].strip())
                index += 1
                is_complete = index in known.cuts[-_AT_ONCE:]
            elif line.startswith(b"progress="):  # the last line of each report, every half second
                if started.complains():
                    raise NotSought("the film is damaged")
                yield
            if is_complete:
                yield
            if is_complete and is_waited_for:
                started.come_last()
                is_waited_for = False
    if not known.marks:
        raise UnusableInput(f"{film.path} is damaged: not one frame of it can be decoded.")
    if started.messages:
        raise NotSought("the film is damaged")
    explain_deinterlacing(film)


def _add(marks: list[str], index: int, mark: str) -> None:
    if index == len(marks):
        marks.append(mark)
    elif marks[index] != mark:
        raise _Differs
