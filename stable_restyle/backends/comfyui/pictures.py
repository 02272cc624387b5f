"""Pad pictures for models, and read the slides that come back."""

from __future__ import annotations

import numpy as np

from stable_restyle.core.errors import ServerFault
from stable_restyle.core.records import Pixels, Slide
from stable_restyle.media import png, sequence

GRID = 8  # pixels: models crop what is no multiple of it
FORMATS = ("PNG", "JPEG", "WEBP")  # of the slide


def pad(picture: Pixels) -> Pixels:
    """Return (H, W) or (H, W, 3) with its last row and column repeated up to multiples of GRID."""
    height, width = picture.shape[:2]
    margins = [(0, -height % GRID), (0, -width % GRID), (0, 0)]
    if not any(map(any, margins)):
        return picture
    return np.pad(picture, margins[: picture.ndim], "edge")


def read_slide(data: bytes, padded: tuple[int, ...], frame: tuple[int, ...]) -> Slide:
    """Return the slide in a file that the server made, with its PNG if it came as a whole one.

    padded, frame: height and width of the guide as it was sent, and of the frame in it. Raises
    ServerFault for anything but a complete picture of a scale of `padded`.
    """
    try:
        picture = png.decode(data, FORMATS)
    except ValueError as error:
        raise ServerFault(
            f"what it made is not a complete picture (PNG, JPEG or WebP): {error}"
        ) from None
    slide = cropped(picture, padded, frame)
    return Slide(slide, png.strip_metadata(data) if slide is picture else None)


def cropped(picture: Pixels, padded: tuple[int, ...], frame: tuple[int, ...]) -> Pixels:
    """Return the part of an answer that shows the frame.

    padded, frame: height and width. An answer may be the padded picture at any scale; what is
    returned has the frame's size at that scale. Raises ServerFault if its shape is another.
    """
    height, width = picture.shape[:2]
    if not sequence.is_scale((height, width), padded):
        raise ServerFault(
            f"it made a picture of {width}x{height}, which is no scale of {padded[1]}x{padded[0]}"
        )
    # Of one scale for both sides, so that the slide is a scale of the frame when it is found again.
    side, padded_side = min(zip((height, width), padded, strict=True), key=lambda s: s[0] / s[1])
    rows, columns = (-(-each * side // padded_side) for each in frame)  # rounded up: 1 at least
    if (rows, columns) == (height, width):
        return picture
    return np.ascontiguousarray(picture[:rows, :columns])
