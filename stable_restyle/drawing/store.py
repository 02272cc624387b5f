"""Keep slides or answers: all of them on disk, the few made last in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.records import Pixels, Slide
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence

Save: TypeAlias = Callable[[], None]  # writes a slide


class SlideStore:
    """The slides of a folder. Thread-safe."""

    def __init__(
        self, folder: Path, size: tuple[int, int] | None, in_memory: int, writer: str = ""
    ) -> None:
        """Open a folder of slides.

        size: width and height that `get` returns; None for each slide's own. in_memory: how many
        slides stay in memory. writer: names this process in the names of partly written files.
        """
        self._folder = folder
        self._writer = writer
        self._size = size
        self._written = LRUCache(self._read, in_memory)
        self._unwritten: dict[int, Pixels] = {}
        # Width and height of slides; they differ from the frames' if the workflow scales.
        self._sizes: dict[int, tuple[int, int]] = {}

    def get(self, slide: int) -> Pixels:
        """Return a slide that has been added: (H, W, 3) RGB."""
        picture = self._unwritten.get(slide)
        return self._written.get(slide) if picture is None else picture

    def add(self, index: int, slide: Slide) -> Save:
        """Add a slide. Return the function that writes it."""
        self._unwritten[index] = self._fit(index, slide.pixels)
        return partial(self._write, index, slide)

    def add_last(self, index: int, picture: Pixels, sources: Iterable[int]) -> Save:
        """Add a slide that no other is made from, fitted to the largest of its sources."""
        size = max(self._sizes[source] for source in sources)
        return partial(self._save, index, Slide(arrays.fit(picture, *size)))

    def _save(self, index: int, slide: Slide) -> None:
        encoded = slide.png or png.encode(slide.pixels)
        files.write_whole(self._folder / sequence.name(index), encoded, self._writer)

    def _write(self, index: int, slide: Slide) -> None:
        self._save(index, slide)
        self._written.put(index, self._unwritten[index])
        del self._unwritten[index]

    def _read(self, slide: int) -> Pixels:
        return self._fit(slide, png.read(self._folder / sequence.name(slide)))

    def _fit(self, index: int, picture: Pixels) -> Pixels:
        height, width = picture.shape[:2]
        self._sizes[index] = width, height
        return arrays.fit(picture, *(self._size or (width, height)))
