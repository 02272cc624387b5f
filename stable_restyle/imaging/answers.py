"""Compose slides from warped slides and what the model draws of their frames alone: answers.

Pictures are (H, W, 3) RGB uint8 of one size, masks (H, W) uint8: 0 keeps a pixel of the warped
slide, 255 shows the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stable_restyle.imaging.arrays import blur, complement, enlarge, mix, shrink

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats

SHRINK = 8  # colours are compared at an eighth of the size
WIDTH = 2.0  # shrunken pixels: how far a local difference in colour reaches
KEPT_LEAST = 1e-3  # of the pixels nearby


def compose_answer(answer: Pixels, warped: Pixels, mask: Pixels, share: float) -> Pixels:
    """Return the warped slide where it is kept, its colours nearer to the answer's, and the answer.

    The answer shows what colours this frame has; the warped slide has those of earlier frames.
    share: how far kept colours are pulled to the answer's, 0..1: 0 leaves them, 1 takes the
    answer's.
    """
    shown = np.divide(mask, 255, dtype=np.float32)
    return mix(answer, _pulled(warped, answer, complement(shown), share), shown)


def _pulled(warped: Pixels, answer: Pixels, kept: Floats, share: float) -> Pixels:
    """Return the warped slide, nearer by `share` to the colours of the answer around each pixel."""
    if not share or not kept.any():
        return warped
    height, width = kept.shape
    size = max(1, width // SHRINK), max(1, height // SHRINK)
    weight = shrink(kept, *size)
    gap = shrink(answer.astype(np.float32), *size) - shrink(warped.astype(np.float32), *size)
    local = blur(gap * weight[..., None], WIDTH)
    local /= np.maximum(blur(weight, WIDTH), np.float32(KEPT_LEAST))[..., None]
    pulled = enlarge(local * np.float32(share), warped.shape)
    pulled += warped
    return np.asarray(np.rint(pulled, out=pulled).clip(0, 255), np.uint8)
