"""Keep decoded frames on disk for a while, in stretches that are decoded in the background.

The stretches used last stay, up to a number and a size. Of what was tried, for a frame of
1280x720, PNG takes 0.95 MB, 9 ms to write and 12 ms to read; raw pixels 2.8 MB, 5 ms and 1 ms; FFV1
0.54 MB, 32 and 35 ms; decoding the film again 9 ms.
"""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from threading import Condition
from typing import TypeAlias

from stable_restyle.core import files
from stable_restyle.core.errors import cannot_write
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import Pixels
from stable_restyle.media import png, sequence

PREFIX = "scratch-"  # begins the names of the folders of stretches
BYTES_PER_PIXEL = 1.2  # of most frames as PNG; 2.3 with strong grain
_MOST_PER_PIXEL = 3.1  # of noise, which is no smaller as PNG

# Called with each frame of a stretch, in order.
Take: TypeAlias = Callable[[int, Pixels], None]


class _Closed(Exception):
    """Nobody reads from here any more."""


class Scratch:
    """Stretches of frames. Thread-safe."""

    def __init__(
        self,
        parent: Path,
        decode: Callable[[range, Take], None],
        most: int,
        most_bytes: int,
        pixels: int,
    ) -> None:
        """Keep at most `most` stretches in folders of `parent`.

        most_bytes: of all their frames. decode: hands over each frame of a stretch, in order, or
        raises an error; called from several threads. pixels: of a frame.
        """
        self._parent, self._decode = parent, decode
        self._most, self._most_bytes = most, most_bytes
        self._frame_bytes = math.ceil(_MOST_PER_PIXEL * pixels)
        self._stretches: OrderedDict[int, _Stretch] = (
            OrderedDict()
        )  # by first frame; used last last
        self._changed = Condition()
        self._threads = ThreadPoolExecutor(max(2, cores()), "decode")
        self._is_closed = False

    def read(self, wanted: range, index: int) -> Pixels:
        """Return a frame of a stretch, once it is decoded. Raises what `decode` raises."""
        with self._changed:
            stretch = self._claim(wanted)
            try:
                while index >= stretch.until and stretch.error is None:
                    self._changed.wait()
            except BaseException:
                self._leave(stretch)
                raise
        try:
            if index >= stretch.until:
                assert stretch.error is not None
                raise stretch.error
            return png.read(stretch.folder / sequence.name(index))
        finally:
            with self._changed:
                self._leave(stretch)

    def close(self) -> None:
        """Remove all stretches. Nothing is read any more."""
        self._is_closed = True
        self._threads.shutdown(cancel_futures=True)
        for stretch in self._stretches.values():
            stretch.remove()

    def _claim(self, wanted: range) -> _Stretch:
        """Return a stretch, which stays until `_leave`."""
        while (stretch := self._stretches.get(wanted.start)) is None:
            size = len(wanted) * self._frame_bytes
            if self._has_room(size):
                stretch = _Stretch(self._parent, wanted, size)
                self._stretches[wanted.start] = stretch
                self._threads.submit(self._fill, stretch)
                break
            self._changed.wait()
        self._stretches.move_to_end(wanted.start)
        stretch.readers += 1
        return stretch

    def _leave(self, stretch: _Stretch) -> None:
        stretch.readers -= 1
        self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        """Make room for a stretch of this many bytes. Return whether there is enough now."""
        for first, stretch in [*self._stretches.items()]:
            if self._fits(size):
                return True
            if not stretch.readers and stretch.is_whole:
                del self._stretches[first]
                stretch.remove()
        return self._fits(size)

    def _fits(self, size: int) -> bool:
        taken = sum(each.size for each in self._stretches.values())
        return not self._stretches or (
            len(self._stretches) < self._most and taken + size <= self._most_bytes
        )

    def _fill(self, stretch: _Stretch) -> None:
        """Decode a stretch; those who wait for a frame get it as soon as it is there."""
        written = 0

        def take(index: int, picture: Pixels) -> None:
            nonlocal written
            if self._is_closed:
                raise _Closed
            if index < stretch.until:
                return  # decoding began once more, further ahead
            written += _write(stretch.folder / sequence.name(index), picture)
            with self._changed:
                stretch.until = index + 1
                self._changed.notify_all()

        error: BaseException | None = None
        try:
            self._decode(stretch.wanted, take)
        except BaseException as raised:  # those who wait for a frame raise it
            error = raised
            stretch.remove()
        with self._changed:
            if error is None:
                stretch.is_whole, stretch.size = True, written
            else:
                stretch.error, stretch.until = error, stretch.wanted.start
                del self._stretches[stretch.wanted.start]
            self._changed.notify_all()


class _Stretch:
    """A folder of decoded frames, removed at the latest once nothing refers to this object."""

    def __init__(self, parent: Path, wanted: range, size: int) -> None:
        self.wanted = wanted
        self.size = size  # bytes; as long as it is not whole, those that it may take
        self.until = wanted.start  # the frames before this one are there
        self.is_whole = False
        self.readers = 0
        self.error: BaseException | None = None
        try:
            self.folder = Path(mkdtemp(prefix=PREFIX, dir=parent))
        except OSError as error:
            raise cannot_write(parent, error) from error
        self.remove = weakref.finalize(self, _remove, self.folder)


def _write(path: Path, picture: Pixels) -> int:
    """Write a frame, and return its size in bytes. Raises UnusableInput."""
    data = png.encode(picture)
    try:
        path.write_bytes(data)  # not synced: it does not outlive the run
    except OSError as error:
        raise cannot_write(path, error, len(data)) from error
    return len(data)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        files.remove_tree(folder)
