"""Compose slides from warped slides and what the model draws of their frames alone: answers.

Pictures are (H, W, 3) RGB uint8 of one size, masks (H, W) uint8: 0 keeps a pixel of the warped
slide, 255 shows the answer.

A warped slide has the colours of earlier frames, and resampling changes its detail a little each
time. The answer shows how this frame should look: kept pixels are brought nearer to its local
colours and contrast, and to as much fine detail, never past them. Structure is not taken over: the
model may have invented it anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from stable_restyle.imaging.arrays import Kind, blur, complement, enlarge, mix, shrink
from stable_restyle.imaging.resample import laplacian

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats

# Swept, with tables in docs/research.md: SHRINK, WIDTH, SHARPEN.
SHRINK = 4  # the pictures are compared at a quarter of the size
WIDTH = 3.0  # shrunken pixels: how far around each one
KEPT_LEAST = 1e-3  # of the pixels around
VARIANCE_LEAST = 1.0  # levels squared: below that there is no contrast to compare
GAIN_LEAST, GAIN_MOST = 0.8, 1.25  # of contrast
DETAIL_LEAST = 4.0  # the Laplacian's mean square, levels squared: below that is rounding
DETAIL_GAIN_LEAST, DETAIL_GAIN_MOST = 0.7, 1.5
SHARPEN = 0.25  # of the Laplacian, per gain: right for detail of 4 pixels a period


def compose_answer(answer: Pixels, warped: Pixels, mask: Pixels, share: float) -> Pixels:
    """Return the warped slide where it is kept, matched to the answer, and the answer elsewhere.

    share: how far local colours and contrast are pulled to the answer's, 0..1: 0 leaves them, 1
    takes the answer's. Fine detail becomes as strong as the answer's around it.
    """
    shown = np.divide(mask, 255, dtype=np.float32)
    kept = complement(shown)
    if not kept.any():
        return answer
    around = local_mean(kept)
    matched = _recoloured(answer, warped, around, share)
    matched += lost_detail(answer, matched, around)[..., None]
    np.rint(matched, out=matched)
    return mix(answer, np.asarray(matched.clip(0, 255, out=matched), np.uint8), shown)


def local_mean(kept: Floats) -> Callable[[Floats], Floats]:
    """Return a function: the mean of a shrunken picture or plane around each pixel.

    kept: (H, W), the weight of each pixel.
    """
    weight = _shrunken(kept)
    total = np.maximum(blur(weight, WIDTH), np.float32(KEPT_LEAST))

    def around(small: Floats) -> Floats:
        over = (..., None) if small.ndim == 3 else ...
        return np.asarray(blur(small * weight[over], WIDTH) / total[over], np.float32)

    return around


def _recoloured(
    answer: Pixels, warped: Pixels, around: Callable[[Floats], Floats], share: float
) -> Floats:
    """Return the warped slide with colours and contrast nearer to the answer's: (H, W, 3).

    Each channel of RGB becomes `a (x - mean) + mean + share (wanted - mean)`, a = (wanted deviation
    / deviation)^share, limited to 0.8..1.25; means and deviations are those around each pixel.
    """
    if not share:
        return warped.astype(np.float32)
    here, there = _shrunken(warped), _shrunken(answer)
    mean, wanted = around(here), around(there)
    variance, wanted_variance = (
        np.maximum(around(small * small) - its * its, 0) + np.float32(VARIANCE_LEAST)
        for small, its in ((here, mean), (there, wanted))
    )
    gain = np.sqrt(wanted_variance / variance).clip(GAIN_LEAST, GAIN_MOST) ** np.float32(share)
    offset = mean + np.float32(share) * (wanted - mean) - gain * mean
    recoloured = enlarge(gain, warped.shape)
    recoloured *= warped
    recoloured += enlarge(offset, warped.shape)
    return recoloured


def lost_detail(model: Pixels, picture: Floats, around: Callable[[Floats], Floats]) -> Floats:
    """Return what to add to each channel of a picture for as much detail: (H, W), levels."""
    wanted, now = laplacian(model.astype(np.float32)), laplacian(picture)
    wanted_energy, energy = (
        around(_shrunken(np.square(each))) + np.float32(DETAIL_LEAST) for each in (wanted, now)
    )
    gain = np.sqrt(wanted_energy / energy).clip(DETAIL_GAIN_LEAST, DETAIL_GAIN_MOST)
    return now * enlarge(np.float32(SHARPEN) * (1 - gain), now.shape)


def _shrunken(picture: NDArray[Kind]) -> Floats:
    height, width = picture.shape[:2]
    small = shrink(picture, max(1, width // SHRINK), max(1, height // SHRINK))
    return np.asarray(small, np.float32)
