"""Pad pictures for models, and read the slides that come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np

from stable_restyle.core.errors import ServerFault
from stable_restyle.core.records import Pixels, Slide
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence

GRID = 8  # pixels: models crop what is no multiple of it
FORMATS = ("PNG", "JPEG", "WEBP")  # of the slide
# How much the aspect of an answer may differ from the frame's: models round sides to multiples of
# such steps, and FluxKontextImageScale only knows 17 sizes, up to 5 % from 16:9 and the like.
STEPS_PX, ASPECT = (16, 32, 64), 1.06


class OtherShape(Exception):
    """An answer whose aspect is not the frame's."""

    def __init__(self, width: int, height: int, wanted: Sequence[int]) -> None:
        super().__init__(f"a picture of {width}x{height} for one of {wanted[1]}x{wanted[0]}")


def pad(picture: Pixels, grid: Sequence[int] = (GRID, GRID)) -> Pixels:
    """Return (H, W) or (H, W, 3) with its last row and column repeated up to multiples of a grid.

    grid: height and width.
    """
    height, width = picture.shape[:2]
    margins = [(0, -height % grid[0]), (0, -width % grid[1]), (0, 0)]
    if not any(map(any, margins)):
        return picture
    return np.pad(picture, margins[: picture.ndim], "edge")


def padded(size: Sequence[int], grid: Sequence[int] = (GRID, GRID)) -> tuple[int, int]:
    """Return the size of a picture that is padded to multiples of a grid; height first."""
    return size[0] + -size[0] % grid[0], size[1] + -size[1] % grid[1]


def read_slide(data: bytes, fit: Callable[[Pixels], Pixels]) -> Slide:
    """Return the slide in a file that the server made, with its PNG if it came as a whole one.

    fit: returns the part of a picture that is the slide. Raises ServerFault for anything but a
    complete picture, and what `fit` raises.
    """
    try:
        picture = png.decode(data, FORMATS)
    except ValueError as error:
        raise ServerFault(
            f"what it made is not a complete picture (PNG, JPEG or WebP): {error}"
        ) from None
    slide = fit(picture)
    return Slide(slide, png.strip_metadata(data) if slide is picture else None)


def fitted(
    picture: Pixels,
    frame: Sequence[int],
    on_scaled: Callable[[str], None],
    grid: Sequence[int] = (GRID, GRID),
) -> Pixels:
    """Return the part of an answer that shows the frame, at the scale of the answer.

    The answer shows the frame, padded to multiples of the grid. frame, grid: height and width.
    on_scaled: called with both sizes if the aspect is off by a little, and the answer is therefore
    scaled to the padded frame. Raises OtherShape if the aspect is another one.
    """
    sent = padded(frame, grid)
    picture = shaped(picture, sent, on_scaled)
    height, width = picture.shape[:2]
    # Of one scale for both sides, so that the slide is a scale of the frame when it is found again.
    side, sent_side = min(zip((height, width), sent, strict=True), key=lambda s: s[0] / s[1])
    rows, columns = (-(-each * side // sent_side) for each in frame[:2])  # rounded up: 1 at least
    if (rows, columns) == (height, width):
        return picture
    return np.ascontiguousarray(picture[:rows, :columns])


def shaped(picture: Pixels, wanted: Sequence[int], on_scaled: Callable[[str], None]) -> Pixels:
    """Return an answer that is a scale of what was sent, or else scaled to that.

    wanted: height and width of what was sent. on_scaled, faults: as of `fitted`.
    """
    height, width = picture.shape[:2]
    if sequence.is_scale((height, width), wanted):
        return picture
    other = OtherShape(width, height, wanted)
    if not is_near((height, width), wanted):
        raise other
    on_scaled(str(other))
    return arrays.fit(picture, wanted[1], wanted[0])


def is_near(size: Sequence[int], of: Sequence[int]) -> bool:
    """Return whether a model may have rounded one size, at some scale, to the other."""
    scale = sqrt(size[0] * size[1] / (of[0] * of[1]))
    off = max(abs(side - whole * scale) for side, whole in zip(size, of, strict=True))
    return 1 / ASPECT < size[0] * of[1] / (size[1] * of[0]) < ASPECT or any(
        off < step and not any(side % step for side in size) for step in STEPS_PX
    )
