"""Keep the colours of a chain steady: match kept pixels, correct drift, recolour frames.

Pictures are (H, W, 3) RGB uint8. Colours are compared in 8-bit Lab at an eighth of the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stable_restyle.imaging.arrays import Kind, blur, enlarge, lab, shrink, strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats


COLOUR_SHRINK = 8  # colours are compared at an eighth of the size
COLOUR_WIDTH = 4.0  # shrunken pixels: how far a local difference in colour reaches
COLOUR_TRUST = 0.2  # weight of no difference, against the trusted pixels nearby
GAIN_LEAST, GAIN_MOST = 0.8, 1.25  # a full match would flatten the palette
TRUSTED_LEAST = 0.05  # of the picture: with less, colours are left as they are
CHANGE_LEAST = 0.5  # levels: rounding undoes a smaller change
DEVIATION_LEAST = 1.0  # levels: below that there is no contrast to compare


@dataclass(frozen=True)
class ColourStats:
    """The colours of a picture: mean and standard deviation of L, a and b, 8-bit levels, (3,)."""

    mean: Floats
    deviation: Floats


def colour_stats(picture: Pixels, inside: Pixels | None = None) -> ColourStats:
    """Return the colours of a picture, as `correct_drift` compares them.

    inside: (H, W) uint8, the weight of each pixel, not all 0; None if all count alike.
    """
    small = _small_lab(picture).astype(np.float32)
    if inside is None:
        return ColourStats(*_mean_and_deviation(small, np.ones(small.shape[:2], np.float32)))
    return ColourStats(*_mean_and_deviation(small, _shrunken(inside.astype(np.float32))))


def match_kept_colours(answer: Pixels, warped: Pixels, mask: Pixels) -> Pixels:
    """Remove from the model's answer the change of colour that its kept pixels show.

    They should not have changed, so what changed them has changed the free ones too. Each channel
    of Lab becomes `a x + b`, a = sd(warped) / sd(answer) limited to 0.8..1.25, b = mean(warped) -
    a mean(answer), over the kept pixels; the answer is unchanged if these are too few. mask: (H, W)
    uint8, 0 keeps.
    """
    kept = (_shrunken(mask) == 0).astype(np.float32)
    if kept.mean() < TRUSTED_LEAST:
        return answer
    mean, deviation = _mean_and_deviation(_small_lab(answer), kept)
    wanted, wanted_deviation = _mean_and_deviation(_small_lab(warped), kept)
    gain = _limited(wanted_deviation / deviation)
    return _adjust(answer, gain, wanted - gain * mean)


def correct_drift(
    picture: Pixels,
    frame: Pixels,
    middle_slide: ColourStats,
    middle_frame: ColourStats,
    share: float,
    inside: Pixels | None = None,
) -> Pixels:
    """Pull the colours of a picture of a chain back towards those of the scene's middle.

    Changes of the frames themselves are not drift. For each channel of Lab, the target mean is
    `mean(middle slide) + g (mean(frame) - mean(middle frame))`, g = sd(middle slide) /
    sd(middle frame) limited to 0.8..1.25, and the target deviation is sd(middle slide) sd(frame) /
    sd(middle frame). share: how much is corrected, 0..1. All pixels change in the same way.
    inside: as for `colour_stats`.
    """
    now, here = colour_stats(picture, inside), colour_stats(frame, inside)
    gain = _limited(middle_slide.deviation / middle_frame.deviation)
    wanted = middle_slide.mean + gain * (here.mean - middle_frame.mean)
    wanted_deviation = middle_slide.deviation * here.deviation / middle_frame.deviation
    stretch = _limited(wanted_deviation / now.deviation) ** np.float32(share)
    mean = now.mean + np.float32(share) * (wanted - now.mean)
    return _adjust(picture, stretch, mean - stretch * now.mean)


def recolour(frame: Pixels, warped: Pixels, trust: Floats) -> Pixels:
    """Give a frame the colours of the warped slide, learnt where that can be trusted.

    trust: (H, W), 0..1. Each channel of RGB becomes `a x + b`: a = sd(warped) / sd(frame) of the
    whole picture, limited to 0.8..1.25, b local; the frame is unchanged if too little is trusted.
    """
    if trust.mean() < TRUSTED_LEAST:
        return frame
    weight = _shrunken(trust)
    source, wanted = (_shrunken(picture) for picture in (frame, warped))
    mean, deviation = _mean_and_deviation(source, weight)
    wanted_mean, wanted_deviation = _mean_and_deviation(wanted, weight)
    gain = _limited(wanted_deviation / deviation)
    offset = wanted_mean - gain * mean
    gap = (wanted - gain * source - offset) * weight[..., None]
    local = blur(gap, COLOUR_WIDTH) / (blur(weight, COLOUR_WIDTH) + COLOUR_TRUST)[..., None]
    recoloured = enlarge(local + offset, frame.shape)
    recoloured += frame * gain
    np.rint(recoloured, out=recoloured)
    return np.asarray(recoloured.clip(0, 255, out=recoloured), np.uint8)


def _shrunken(picture: NDArray[Kind]) -> Floats:
    height, width = picture.shape[:2]
    small = shrink(picture, max(1, width // COLOUR_SHRINK), max(1, height // COLOUR_SHRINK))
    return np.asarray(small, np.float32)


def _small_lab(picture: Pixels) -> Pixels:
    return lab(np.rint(_shrunken(picture)).astype(np.uint8))


def _mean_and_deviation(picture: NDArray[Kind], weight: NDArray[Kind]) -> tuple[Floats, Floats]:
    """Return the weighted mean and standard deviation of each channel: (3,) each."""
    shares = (weight.astype(np.float64) / weight.sum(dtype=np.float64)).ravel()
    values = picture.reshape(-1, 3).astype(np.float64)
    mean = shares @ values
    deviation = np.sqrt(np.maximum(shares @ (values * values) - mean * mean, DEVIATION_LEAST**2))
    return mean.astype(np.float32), deviation.astype(np.float32)


def _limited(gain: Floats) -> Floats:
    return gain.clip(GAIN_LEAST, GAIN_MOST)


def _adjust(picture: Pixels, gain: Floats, offset: Floats) -> Pixels:
    """Return `gain x + offset` for each channel of Lab, (3,) each, 8-bit levels; rounded once.

    Return the picture itself if that changes nothing. Converting to 8-bit Lab would cost a level
    here and there each time, which adds up to a visible grain along a chain.
    """
    levels = np.arange(256, dtype=np.float32)[:, None]
    if np.abs(gain * levels + offset - levels).max() < CHANGE_LEAST:
        return picture
    # OpenCV's float L goes to 100, and its a and b have no 128 added.
    zero = np.array([0, 128, 128], np.float32)
    shift = (offset + (gain - 1) * zero) / np.array([2.55, 1, 1], np.float32)
    change = np.column_stack([np.diag(gain), shift])
    adjusted = np.empty_like(picture)
    for rows in strips(len(picture)):
        pixels = cv2.cvtColor(picture[rows].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        rgb = cv2.cvtColor(cv2.transform(pixels, change), cv2.COLOR_LAB2RGB) * 255
        adjusted[rows] = np.rint(rgb).clip(0, 255)
    return adjusted
