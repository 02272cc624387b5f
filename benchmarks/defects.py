"""Measure what E_warp does not see: wrong colours, scars, surfaces that wander.

Slides are compared with what the engine draws of the same frames alone. An engine that invents
draws a frame differently each time; what two such drawings differ by is the floor of each figure.

Pictures are (H, W, 3) RGB uint8 of one size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import metrics
from stable_restyle.imaging.arrays import Flags, Floats, blur, lab, shrink

COLOUR_SHRINK = 8  # colours are compared at an eighth of the size: texture does not count
SCAR_SHRINK = 2  # scars are looked for at half the size
FINE, SCAR_FROM, SCAR_TO = 1.0, 2.0, 8.0  # shrunken pixels: sigmas of blurs
SCAR_SHARE = 0.02  # of the pixels: the worst, since a scar is small
# White noise is 0.71 times as strong between the second and third blur as between the first two.
# Three times its deviation is rarely exceeded.
NOISE_MOST = 3 * 0.71
STILL_LEVELS = 3.0  # how far a still pixel's frames may differ, blurred
STILL_WIDTH = 2.0  # pixels: sigma of that blur
STILL_LEAST = 0.02  # of the picture: with less there is no still surface


def colour_error(slide: Pixels, free: Pixels) -> float:
    """Return the mean local difference of colours from a free drawing, in 8-bit Lab levels."""
    height, width = slide.shape[:2]
    size = max(1, width // COLOUR_SHRINK), max(1, height // COLOUR_SHRINK)
    first, second = (lab(shrink(picture, *size)).astype(np.float32) for picture in (slide, free))
    return float(np.abs(first - second).mean())


def scars(slide: Pixels, free: Pixels) -> float:
    """Return how strong the halos and the edges of old masks are, in 8-bit Lab levels.

    A scar is wider than texture and narrower than a surface: it shows in the difference from a free
    drawing between two blurs. Texture shows there too, but still more in the finer band beneath,
    whose strength nearby shows how much of it is normal; only what exceeds that counts. The mean
    over the worst fiftieth of the pixels.
    """
    height, width = slide.shape[:2]
    size = max(1, width // SCAR_SHRINK), max(1, height // SCAR_SHRINK)
    first, second = (lab(shrink(picture, *size)).astype(np.float32) for picture in (slide, free))
    fine, middle, wide = (blur(first - second, sigma) for sigma in (FINE, SCAR_FROM, SCAR_TO))
    texture = np.sqrt(blur(_squared(fine - middle), SCAR_TO))
    excess = np.sqrt(_squared(middle - wide)) - np.float32(NOISE_MOST) * texture
    worst = np.sort(excess.ravel())[-max(1, round(SCAR_SHARE * excess.size)) :]
    return float(np.maximum(worst, 0).mean())


def sharpness_at_ends(slides: Sequence[Pixels], free: Sequence[Pixels]) -> float:
    """Return the sharpness of the first and last slide, relative to free drawings of them."""
    ratios = [
        metrics.sharpness(slides[end]) / max(metrics.sharpness(free[end]), 1e-9) for end in (0, -1)
    ]
    return float(np.mean(ratios))


def still_pixels(frames: Sequence[Pixels], middle: int) -> Flags:
    """Find the pixels whose colour is that of the middle frame in every frame: (H, W)."""
    smooth = [blur(frame.astype(np.float32), STILL_WIDTH) for frame in frames]
    furthest = np.max([np.abs(each - smooth[middle]).max(axis=2) for each in smooth], axis=0)
    still: Flags = furthest <= STILL_LEVELS
    return still


def wandering(
    slides: Sequence[Pixels], frames: Sequence[Pixels], still: Flags, middle: int
) -> float:
    """Return how far still pixels are from the middle slide at the ends of its chains, in levels.

    What their frames differ by does not count. nan if hardly anything is still.
    """
    if still.mean() < STILL_LEAST:
        return math.nan
    moved = [
        _difference(pictures[end], pictures[middle], still) * sign
        for pictures, sign in ((slides, 1), (frames, -1))
        for end in (0, -1)
    ]
    return max(0.0, sum(moved) / 2)


def _difference(first: Pixels, second: Pixels, counted: Flags) -> float:
    return float(cv2.absdiff(first, second)[counted].mean())


def _squared(picture: Floats) -> Floats:
    """Return the sum of the squared channels: (H, W)."""
    return np.asarray((picture * picture).sum(axis=2), np.float32)
