"""Make masks, which say where the model may repaint, and guides, from which it starts.

A mask is an (H, W) uint8 image: 0 keeps a pixel, 255 frees it.
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
    """Return the mask of a slide by how much pixels changed. change: (H, W), of `change`."""
    return soften(grow(freedom(change, strength), grow_px))


def from_flow(estimates: Sequence[FlowEstimate], strength: float, grow_px: int) -> Pixels:
    """Return the mask of a slide that is warped by optical flow.

    estimates: from each slide that this one is made from; what any of them shows is kept. strength:
    8 frees only pixels that were uncovered or moved in a way that warping cannot follow, less also
    those that warping follows less well, 0 every pixel. grow_px: how far the mask extends around
    such pixels, in pixels of the frame.

    The mask decides which of two pictures a pixel shows; only its narrow edge mixes them.
    """
    if not strength:
        return free_all(estimates[0].frame)
    lost = estimates[0].unreliability_at(strength)
    for each in estimates[1:]:
        lost = np.minimum(lost, each.unreliability_at(strength))
    wide = spread(enlarge(lost, estimates[0].frame.shape), grow_px)
    return np.asarray(np.rint(255 * np.minimum(wide * np.float32(MASK_GAIN), 1)), np.uint8)


def free_all(frame: Pixels) -> Pixels:
    """Return the mask of a middle slide, which frees everything. frame: (H, W, 3)."""
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
    """Return the mask for a change, neither grown nor softened.

    change: (H, W) uint8. strength: 0 frees every pixel, 8 only those that changed.
    """
    still = 256 - 32 * strength  # the mask where nothing changed
    table = np.arange(256, dtype=np.float32) * strength + still
    return np.asarray(cv2.LUT(change, table.clip(0, 255).astype(np.uint8)), np.uint8)


def grow(mask: Pixels, px: int) -> Pixels:
    """Return the maximum over a square that reaches `px` pixels to each side."""
    if px == 0:
        return mask
    px = min(px, max(mask.shape))  # a larger square changes nothing, and may not fit in memory
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * px + 1, 2 * px + 1))
    return np.asarray(cv2.dilate(mask, square), np.uint8)


def soften(mask: Pixels) -> Pixels:
    """Blur with a 9x9 binomial filter, half as much again: `m - 1.5 * (m - blur(m))`.

    This is FFmpeg's `unsharp` filter with a 9x9 matrix and the amount -1.5; borders are replicated.
    """
    blurred = cv2.sepFilter2D(
        mask, cv2.CV_32F, _BINOMIAL_9, _BINOMIAL_9, borderType=cv2.BORDER_REPLICATE
    )
    soft = cv2.addWeighted(mask, -0.5, blurred, 1.5, 0, dtype=cv2.CV_8U)
    return np.asarray(soft, np.uint8)


def blend(warped: Pixels, frame: Pixels, mask: Pixels) -> Pixels:
    """Return the guide: half frame, half warped slide where free; the warped slide elsewhere.

    warped, frame: (H, W, 3) RGB. mask: (H, W). `warped * (1-a) + frame * a`, a = mask / 510.
    """
    share = mask.astype(np.float32) / 510
    return np.asarray(cv2.blendLinear(frame, warped, share, 1 - share), np.uint8)


def spread(share: Floats, reach_px: int) -> Floats:
    """Grow a share by `reach_px`, with a soft edge as wide: (H, W), 0..1."""
    side = 2 * min(reach_px, max(share.shape)) + 1
    grown = cv2.dilate(share, np.ones((side, side), np.uint8))
    return np.asarray(cv2.blur(grown, (side, side)), np.float32)
