"""Make known flows of synthetic footage, apply a look, and compare pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from support.footage import HEIGHT, WIDTH, Camera

from stable_restyle.core.records import Pixels
from stable_restyle.imaging.optical_flow import ERROR_OUTSIDE, FlowEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.imaging.arrays import Floats

STILL = Camera()
PAN = Camera(x=5.3, y=-2.6)


def restyled(frame: Pixels) -> Pixels:
    """Apply a look: other colours, the same everywhere."""
    return np.asarray((frame * np.array([0.9, 0.8, 1.0]) + [20, 45, -15]).clip(0, 255), np.uint8)


def inside(picture: NDArray[Any], margin: int = 12) -> NDArray[Any]:
    """Return a picture without its margins."""
    return picture[margin:-margin, margin:-margin]


def psnr(picture: Pixels, truth: Pixels) -> float:
    return float(cv2.PSNR(np.ascontiguousarray(picture), np.ascontiguousarray(truth)))


def moved(
    frame: Pixels, by: Floats | None = None, unreliability: Floats | None = None
) -> FlowEstimate:
    """Return a known estimate: by default nothing moves, and everything is reliable."""
    height, width = frame.shape[:2]
    none = np.zeros((height, width), np.float32)
    still = np.zeros((height, width, 2), np.float32)
    doubt = none if unreliability is None else unreliability
    error = np.where(doubt > 0, ERROR_OUTSIDE, 0).astype(np.float16)
    return FlowEstimate(frame, still if by is None else by, doubt, error, none)


def shift(x: float, y: float = 0) -> Floats:
    """Return a flow that is the same everywhere."""
    return np.full((HEIGHT, WIDTH, 2), (x, y), np.float32)


def block(value: float = 1) -> Floats:
    """Return unreliability that is 0 except in a block of 40x40 pixels."""
    unreliability = np.zeros((HEIGHT, WIDTH), np.float32)
    unreliability[40:80, 60:100] = value
    return unreliability
