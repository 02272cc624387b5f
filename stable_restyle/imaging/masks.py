"""Decide where the model may repaint, and what it starts from.

A mask is an (H, W) uint8 image: 0 keeps a pixel, 255 gives it away. Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stable_restyle.imaging.arrays import enlarge, grey

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats
    from stable_restyle.imaging.optical_flow import FlowEstimate

MASK_GAIN = 3.0  # a wide soft edge is a mean of two pictures that differ, and looks blurred

_BINOMIAL_9 = np.array([1, 8, 28, 56, 70, 56, 28, 8, 1], np.float32) / 256


def from_change(change: Pixels, strength: float, grow_px: int) -> Pixels:
    """Return what the model may change between two slides. change: (H, W), as `change` makes it."""
    return soften(grow(freedom(change, strength), grow_px))


def from_flow(estimates: Sequence[FlowEstimate], strength: float, grow_px: int) -> Pixels:
    """Return what the model may change of a slide that is warped by optical flow.

    estimates: from each slide that this one is made from; what one of them shows is kept. strength:
    0 frees every pixel, 8 frees only what moved in a way that warping cannot follow, or was
    uncovered. grow_px: how far around such pixels the mask reaches, in pixels of the frame.
    """
    lost = estimates[0].unreliability
    for each in estimates[1:]:
        lost = np.minimum(lost, each.unreliability)
    wide = spread(enlarge(lost, estimates[0].frame.shape), grow_px)
    free = np.minimum(wide * np.float32(MASK_GAIN), 1)
    still = min(256 - 32 * strength, 255)  # as `freedom` gives a pixel that did not change
    return np.asarray(np.rint(still + (255 - still) * free), np.uint8)


def free_all(frame: Pixels) -> Pixels:
    """Return the mask of a middle slide: everything may change. frame: (H, W, 3)."""
    return np.full(frame.shape[:2], 255, np.uint8)


def change(frames: Sequence[Pixels]) -> Pixels:
    """Sum up how much each pixel's luma (BT.601, full range) changed over every step.

    frames: (H, W, 3) RGB, one or more. Returns (H, W) uint8, saturated at 255.
    """
    lumas = [*map(grey, frames)]
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
    """Return the maximum over a square that reaches `px` pixels to each side."""
    if px == 0:
        return mask
    px = min(px, max(mask.shape))  # more reaches no further, and would not fit into memory
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * px + 1, 2 * px + 1))
    return np.asarray(cv2.dilate(mask, square), np.uint8)


def soften(mask: Pixels) -> Pixels:
    """Go past the 9x9 binomial blur by half again: `m - 1.5 * (m - blur(m))`, borders replicated.

    This is FFmpeg's `unsharp` filter with a 9x9 matrix and the amount -1.5.
    """
    blurred = cv2.sepFilter2D(
        mask, cv2.CV_32F, _BINOMIAL_9, _BINOMIAL_9, borderType=cv2.BORDER_REPLICATE
    )
    soft = cv2.addWeighted(mask, -0.5, blurred, 1.5, 0, dtype=cv2.CV_8U)
    return np.asarray(soft, np.uint8)


def blend(warped: Pixels, frame: Pixels, mask: Pixels) -> Pixels:
    """Return the guide: half the frame where the mask frees a pixel, none where it keeps one.

    warped, frame: (H, W, 3) RGB. mask: (H, W). `warped * (1-a) + frame * a`, a = mask / 510.
    """
    share = mask.astype(np.float32) / 510
    return np.asarray(cv2.blendLinear(frame, warped, share, 1 - share), np.uint8)


def spread(share: Floats, reach_px: int) -> Floats:
    """Return a share that reaches further, with a soft edge as wide as that: (H, W), 0..1."""
    side = 2 * min(reach_px, max(share.shape)) + 1
    grown = cv2.dilate(share, np.ones((side, side), np.uint8))
    return np.asarray(cv2.blur(grown, (side, side)), np.float32)
