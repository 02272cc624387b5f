"""Read animated WebP with Pillow, since FFmpeg before version 8.1 cannot."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.media import png

_FLAGS_AT = 20  # offset of the flags of the chunk VP8X, which is the first (RFC 9649)
_ANIMATED = 2


def is_animated(path: Path) -> bool:
    """Return whether a file is an animated WebP, by its header. Raises OSError."""
    with path.open("rb") as file:
        header = file.read(_FLAGS_AT + 1)
    named = header[:4] == b"RIFF" and header[8:16] == b"WEBPVP8X" and len(header) > _FLAGS_AT
    return named and bool(header[_FLAGS_AT] & _ANIMATED)


def read_times(path: Path) -> tuple[tuple[int, int], list[int]]:
    """Return width and height, and when each picture is shown and when the last one ends.

    Times are milliseconds from the first. Decodes the whole file. Raises UnusableInput.
    """
    times, size = [0], (0, 0)
    for image in _decoded(path):
        times.append(times[-1] + int(image.info["duration"]))
        size = image.size
    return size, times


def frames(path: Path, places: Sequence[int]) -> Iterator[Pixels]:
    """Yield the frames of a film, (H, W, 3) RGB on black.

    places: the frame from which on each picture of the file is shown, and the number of frames.
    """
    for image, (place, end) in zip(_decoded(path), itertools.pairwise(places), strict=True):
        both = np.asarray(image.convert("RGBA"))
        picture = png.over_black(both[:, :, :3], both[:, :, 3:])
        yield from itertools.repeat(picture, end - place)


def _decoded(path: Path) -> Iterator[Image.Image]:
    """Yield the pictures of a file, each valid until the next one. Raises UnusableInput."""
    try:
        with Image.open(path, formats=("WEBP",)) as image:
            for index in range(image.n_frames):  # type: ignore[attr-defined]
                image.seek(index)
                image.load()
                yield image
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise UnusableInput(f"{path} is damaged: {error}.\nExport it again.") from error
