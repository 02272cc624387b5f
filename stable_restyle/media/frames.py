"""The protocol of frames: those of a folder (`sequence`), and those of a film (`film_frames`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from stable_restyle.core.records import Pixels
from stable_restyle.media.naming import Naming


class Frames(Protocol):
    """The frames of a run: upright RGB pictures of one size. Plain data; thread-safe."""

    @property
    def count(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def names(self) -> Naming:
        """Return how the files of frames are called, or would be."""
        ...

    @property
    def marks(self) -> Sequence[str]:
        """Return a mark for each frame, which differs from that of every other picture."""
        ...

    def read(self, index: int) -> Pixels:
        """Return frame `index` as (H, W, 3) RGB uint8. Raises UnusableInput, ProgramFailed."""
        ...

    def stamp(self, index: int) -> int:
        """Return a time in milliseconds that differs once the frame does. Raises OSError."""
        ...

    def serving(self, places: int) -> Frames:
        """Return the same frames, to be read at this many places of the film at a time."""
        ...

    def part(self, wanted: range) -> Frames:
        """Return what reads these frames alone, as small as can be and for any current folder."""
        ...

    def release(self) -> None:
        """Remove what was decoded to read frames. They can be read again."""
        ...


@contextmanager
def reading(frames: Frames) -> Iterator[None]:
    """Release the frames when the context ends, in whatever way."""
    try:
        yield
    finally:
        frames.release()
