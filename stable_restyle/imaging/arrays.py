"""Warp, resize, blur and mix arrays. Other modules use these, not their own.

Pictures are (H, W, 3) RGB uint8, planes (H, W), a flow is (H, W, 2) float32: for each pixel, how
far to the right and downwards it is found in the other picture, in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.core.records import Pixels

Floats: TypeAlias = "NDArray[np.float32]"
Flags: TypeAlias = "NDArray[np.bool_]"
Kind = TypeVar("Kind", np.uint8, np.float32)

STRIP_PX = 128  # width of the strips in which large pictures are processed


def resize(picture: NDArray[Kind], width: int, height: int, interpolation: int) -> NDArray[Kind]:
    """Return a picture or plane at another size; the array itself if it already has that size.

    interpolation: one of OpenCV's INTER_ constants.
    """
    if picture.shape[:2] == (height, width):
        return picture
    resized = cv2.resize(picture, (width, height), interpolation=interpolation)
    return np.asarray(resized, picture.dtype)


def shrink(picture: NDArray[Kind], width: int, height: int) -> NDArray[Kind]:
    """Shrink a picture: each pixel becomes the mean of those that it covers."""
    return resize(picture, width, height, cv2.INTER_AREA)


def fit(picture: Pixels, width: int, height: int) -> Pixels:
    """Scale a picture between the size of the frames and the size that a workflow returns."""
    shrinks = width < picture.shape[1]
    return resize(picture, width, height, cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4)


def enlarge(picture: NDArray[Kind], shape: tuple[int, ...]) -> NDArray[Kind]:
    """Enlarge a picture or plane to the first two sides of `shape`, bilinear."""
    return resize(picture, shape[1], shape[0], cv2.INTER_LINEAR)


def blur(plane: Floats, sigma: float) -> Floats:
    """Blur with a Gaussian. sigma: its standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def warp(picture: NDArray[Kind], flow: Floats) -> NDArray[Kind]:
    """Fetch each pixel from where the flow leads, bilinear; the border is replicated."""
    return fetch(picture, *pixel_positions(flow), cv2.INTER_LINEAR)


def fetch(picture: NDArray[Kind], x: Floats, y: Floats, interpolation: int) -> NDArray[Kind]:
    """Fetch each pixel from the position (x, y); the border is replicated. x, y: (H, W)."""
    fetched = cv2.remap(picture, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fetched, picture.dtype)


def pixel_positions(flow: Floats) -> tuple[Floats, Floats]:
    """Return where the flow leads from each pixel: x and y, (H, W) float32 each."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def mix(over: Pixels, under: Pixels, share: Floats) -> Pixels:
    """Return `over share + under (1 - share)`, rounded; exact where the share is 0 or 1.

    share: (H, W), 0..1.
    """
    return np.asarray(cv2.blendLinear(over, under, share, complement(share)), np.uint8)


def blend(pictures: Sequence[Pixels], shares: Sequence[float]) -> Pixels:
    """Return the mean of pictures of one size, rounded; equal ones give the same picture.

    shares: of each picture; they sum to 1.
    """
    total = np.zeros(pictures[0].shape, np.float32)
    for picture, share in zip(pictures, shares, strict=True):
        total += picture * np.float32(share)
    return np.asarray(np.rint(total), np.uint8)


def complement(share: Floats) -> Floats:
    """Return 1 - share."""
    return np.asarray(1 - share, np.float32)


def grey(picture: Pixels) -> Pixels:
    """Return the luma (BT.601, full range): (H, W) uint8."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def lab(picture: Pixels) -> Pixels:
    """Return the picture in 8-bit Lab: L, a and b each 0..255, grey at a = b = 128."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), np.uint8)


def squared_length(vectors: Floats) -> Floats:
    """Return the squared lengths of (H, W, 2) vectors: (H, W)."""
    length: Floats = vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1]
    return length


def strips(length: int) -> Iterator[slice]:
    """Yield consecutive slices of a side, to process a picture without a second one in memory."""
    yield from (slice(start, start + STRIP_PX) for start in range(0, length, STRIP_PX))
