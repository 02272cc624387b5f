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
from stable_restyle.imaging.arrays import Flags, blur, lab, shrink

COLOUR_SHRINK = 8  # colours are compared at an eighth of the size: texture does not count
SCAR_FROM, SCAR_TO = 3.0, 16.0  # pixels: sigmas of the two blurs between which a scar is seen
SCAR_SHARE = 0.02  # of the pixels: the worst, since a scar is small
SCAR_MEDIANS = 4.0  # how much stronger than its median the same share of noise is
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

    It is the difference from a free drawing between two blurs, sigma 3 and 16 pixels: the mean over
    the worst fiftieth of the pixels, less what noise as strong as the median has there. The first
    blur weakens texture, and the median measures what is left of it: it is everywhere, a scar is
    not. The second blur removes colours that are wrong over a whole surface.
    """
    gap = lab(slide).astype(np.float32) - lab(free)
    band = blur(gap, SCAR_FROM) - blur(gap, SCAR_TO)
    strength = np.sqrt((band * band).sum(axis=2)).ravel()
    count = max(1, round(SCAR_SHARE * strength.size))
    worst = np.partition(strength, -count)[-count:].mean()
    return max(0.0, float(worst - SCAR_MEDIANS * np.median(strength)))


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
