"""Join a window to its keys: correct its colours by what the model made of both of them.

The model returns pictures of the keys too. What these differ from the keys in colour, the pictures
between do as well: the correction changes linearly from one end to the other, the ramp. Pictures
are (H, W, 3) RGB uint8 of one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats

GAIN_LEAST, GAIN_MOST = 0.8, 1.25  # of contrast: another picture would be flattened, or stretched
DEVIATION_LEAST = 1.0  # levels: below that there is no contrast to compare
LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True)
class Ramp:
    """The correction of a window's colours. Both are (256, 3): a level for each, by channel."""

    first: Floats  # at its first end
    last: Floats

    def apply(self, picture: Pixels, share: float) -> Pixels:
        """Return a picture of the window, corrected. share: 0 at the first end, 1 at the last."""
        table = (1 - share) * self.first + share * self.last
        levels = np.rint(table).clip(0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(picture, levels[np.newaxis]), np.uint8)


def correction(picture: Pixels, key: Pixels, inside: Pixels | None = None) -> Floats:
    """Return the levels that bring the model's picture of a key nearest to it: (256, 3).

    Each channel becomes `a x + b`: with the key's mean and deviation, with its mean alone, or as it
    is, whichever differs least from the key. So it is never worse than none. inside: (H, W) uint8,
    the pixels that count are not 0; None for all. Without any, no level is changed.
    """
    if inside is not None and not inside.any():
        return np.repeat(LEVELS[:, np.newaxis], 3, axis=1)
    channels = ((picture[..., each], key[..., each]) for each in range(3))
    return np.stack([_nearest(its, wanted, inside) for its, wanted in channels], axis=1)


def step(picture: Pixels, key: Pixels, inside: Pixels | None = None) -> float:
    """Return the mean difference of the model's picture of a key from it, in levels.

    inside: as for `correction`; without any pixel, 0.
    """
    if inside is not None and not inside.any():
        return 0.0
    return float(np.mean(cv2.mean(cv2.absdiff(picture, key), mask=inside)[:3]))


def _nearest(channel: Pixels, wanted: Pixels, inside: Pixels | None) -> Floats:
    """Return the levels that bring a channel, (H, W), nearest to the wanted one: (256,)."""
    channel, wanted = np.ascontiguousarray(channel), np.ascontiguousarray(wanted)

    def distance(levels: Floats) -> float:
        table = np.rint(levels).clip(0, 255).astype(np.uint8)
        return cv2.mean(cv2.absdiff(cv2.LUT(channel, table), wanted), mask=inside)[0]

    return min(_candidates(channel, wanted, inside), key=distance)


def _candidates(channel: Pixels, wanted: Pixels, inside: Pixels | None) -> Iterator[Floats]:
    yield LEVELS
    (mean, deviation), (its_mean, its_deviation) = (
        (float(each[0][0]) for each in cv2.meanStdDev(plane, mask=inside))
        for plane in (channel, wanted)
    )
    yield LEVELS + np.float32(its_mean - mean)
    if min(deviation, its_deviation) >= DEVIATION_LEAST:
        gain = np.float32(np.clip(its_deviation / deviation, GAIN_LEAST, GAIN_MOST))
        yield gain * (LEVELS - np.float32(mean)) + np.float32(its_mean)
