"""Decide where the model may repaint, and what it starts from.

A mask is an (H, W) uint8 image: 0 keeps a pixel, 255 gives it away. Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from stable_restyle.core.records import Pixels

_BINOMIAL_9 = np.array([1, 8, 28, 56, 70, 56, 28, 8, 1], np.float32) / 256


def mask(change: Pixels, strength: float, grow_px: int) -> Pixels:
    """What the model may change between two slides. change: (H, W), as `change` makes it."""
    return soften(grow(freedom(change, strength), grow_px))


def free_all(frame: Pixels) -> Pixels:
    """The mask of a middle slide: everything may change. frame: (H, W, 3)."""
    return np.full(frame.shape[:2], 255, np.uint8)


def change(frames: Sequence[Pixels]) -> Pixels:
    """How much each pixel's luma (BT.601, full range) changed on the way, summed over every step.

    frames: (H, W, 3) RGB, one or more. Returns (H, W) uint8, saturated at 255.
    """
    lumas = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    total = np.zeros(lumas[0].shape, np.uint8)
    for before, after in pairwise(lumas):
        cv2.add(total, cv2.absdiff(before, after), dst=total)
    return total


def freedom(change: Pixels, strength: float) -> Pixels:
    """Turn change into permission to repaint.

    change: (H, W) uint8. strength: 0 frees every pixel, 8 frees only those that changed.
    """
    still = 256 - 32 * strength  # what a pixel that did not change is given
    grey = np.arange(256, dtype=np.float32) * strength + still  # of every change that there is
    return np.asarray(cv2.LUT(change, grey.clip(0, 255).astype(np.uint8)), np.uint8)


def grow(mask: Pixels, px: int) -> Pixels:
    """The maximum over a square that reaches `px` pixels to each side."""
    if px == 0:
        return mask
    px = min(px, max(mask.shape))  # more reaches no further, and would not fit into memory
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * px + 1, 2 * px + 1))
    return np.asarray(cv2.dilate(mask, square), np.uint8)


def soften(mask: Pixels) -> Pixels:
    """Past the 9x9 binomial blur by half again: `m - 1.5 * (m - blur(m))`, borders replicated.

    This is FFmpeg's `unsharp` filter with a 9x9 matrix and the amount -1.5.
    """
    blurred = cv2.sepFilter2D(
        mask, cv2.CV_32F, _BINOMIAL_9, _BINOMIAL_9, borderType=cv2.BORDER_REPLICATE
    )
    soft = cv2.addWeighted(mask, -0.5, blurred, 1.5, 0, dtype=cv2.CV_8U)
    return np.asarray(soft, np.uint8)


def blend(carried: Pixels, frame: Pixels, mask: Pixels) -> Pixels:
    """The guide: half the frame where the mask frees a pixel fully, none of it where it keeps one.

    carried, frame: (H, W, 3) RGB. mask: (H, W). `carried * (1-a) + frame * a`, a = mask / 510.
    """
    share = mask.astype(np.float32) / 510
    return np.asarray(cv2.blendLinear(frame, carried, share, 1 - share), np.uint8)
