"""Compose slides from warped slides, frames and the model's answers.

Pictures are (H, W, 3) RGB uint8, masks (H, W) uint8, 0 keeps a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stable_restyle.imaging.answers import local_mean, lost_detail
from stable_restyle.imaging.arrays import blur, complement, enlarge, fit, mix
from stable_restyle.imaging.colour import recolour
from stable_restyle.imaging.masks import spread
from stable_restyle.imaging.resample import resample

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats
    from stable_restyle.imaging.optical_flow import FlowEstimate


# Swept, with tables in benchmarks/: FILL_REACH and KEY_*.
FILL_REACH = 1  # pixels: the soft edge between what is warped and what the frame fills in
KEY_ERROR_WIDTH, KEY_ERROR_LEAST = 2.0, 3.0  # pixels; levels
KEY_CHOICE = 3  # times errors are squared: how clearly the better keyframe is preferred


def warp_slide(previous: Pixels, estimate: FlowEstimate) -> Pixels:
    """Warp the previous slide to this frame; fill what it lacks from the frame, recoloured.

    previous: of the frame's size, or a scale of it.

    `W (1 - m) + recoloured m`, W the warped slide and m the unreliability with a soft edge.
    """
    warped = resample(previous, estimate)
    lost = spread(enlarge(estimate.unreliability, warped.shape), FILL_REACH)
    if not lost.any():
        return warped
    height, width = warped.shape[:2]
    frame = fit(estimate.frame, width, height)
    return mix(recolour(frame, warped, complement(lost)), warped, lost)


def compose(answer: Pixels, warped: Pixels, mask: Pixels) -> Pixels:
    """Return the model's answer where it was free, and the unchanged warped pixels elsewhere.

    Kept pixels bypass the model, whose VAE would change their colours and grain a little each time.
    `answer m + warped (1 - m)`, m = mask / 255.
    """
    return mix(answer, warped, np.divide(mask, 255, dtype=np.float32))


def fill(keys: Sequence[Pixels], estimates: Sequence[FlowEstimate]) -> Pixels:
    """Make a slide between two keyframes, without the model.

    keys: two slides. estimates: from each of them to this slide, along pairs. The weights are
    `w_a = e_b^8 / (e_a^8 + e_b^8)`, e the blurred residual of a keyframe warped to this frame, plus
    3 levels: mostly the better key alone, since a mean of both is soft. A key that does not show a
    pixel does not count there. What neither shows comes from the frame, recoloured.
    """
    first, second = keys
    weight_b, weight_a = map(_key_error, estimates)
    for error in (weight_a, weight_b):
        for _ in range(KEY_CHOICE):
            error *= error
    share = enlarge(np.divide(weight_a, weight_a + weight_b, dtype=np.float32), first.shape)
    return mix(warp_slide(first, estimates[0]), warp_slide(second, estimates[1]), share)


def deflicker(
    slide: Pixels, neighbours: Sequence[tuple[Pixels, FlowEstimate, int]], sigma: float
) -> Pixels:
    """Return the motion-compensated weighted mean of a slide and its neighbours.

    neighbours: slides of the scene, the motion from this slide's frame to theirs, and how many
    slides they are away; as drawn, not deflickered, so that the order does not matter. sigma: of
    the weights, in slides. A neighbour does not count where its motion is unreliable. A mean is
    soft: it gets as much fine detail as the slide has.
    """
    total = slide.astype(np.float32)
    weights = np.ones(slide.shape[:2], np.float32)
    for neighbour, estimate, distance in neighbours:
        trust = complement(spread(enlarge(estimate.unreliability, slide.shape), FILL_REACH))
        trust *= np.float32(np.exp(-0.5 * (distance / sigma) ** 2))
        total += resample(neighbour, estimate) * trust[..., None]
        weights += trust
    total /= weights[..., None]
    total += lost_detail(slide, total, local_mean(np.ones_like(weights)))[..., None]
    return np.asarray(np.rint(total).clip(0, 255), np.uint8)


def _key_error(estimate: FlowEstimate) -> Floats:
    """Return how wrong a key is at each pixel, in levels; far more where it does not count."""
    assert estimate.residual is not None
    error = blur(estimate.residual, KEY_ERROR_WIDTH) + np.float32(KEY_ERROR_LEAST)
    return error + np.float32(255) * estimate.unreliability
