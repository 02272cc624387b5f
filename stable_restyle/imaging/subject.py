"""Restyle a part of the picture: read the subject's mask, free what it covers, blend its edge.

A subject's mask is (H, W) uint8, as `levels` returns it: 255 is restyled, 0 stays as the frame is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stable_restyle.imaging.arrays import enlarge, fit, grey, mix
from stable_restyle.imaging.masks import grow

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats

# Levels of a mask that count as black and as white: lossy films of masks are noisy at edges.
BLACK, WHITE = 16, 239
# How far around the subject the model may paint. Chains continue from what it painted there, so
# that a mask whose outline is a few pixels off in one frame frees nothing in the next.
AROUND_PX = 8
EDGE_PX = 2  # half of the width of the soft edge, which lies inside the subject
UNCOVERED_LEAST = 32  # levels: what resampling leaves at the edge of a warped mask


def levels(picture: Pixels, *, inverted: bool) -> Pixels:
    """Return the subject's mask that a picture shows by its luma.

    picture: (H, W, 3) RGB. inverted: whether black is restyled.
    """
    table = (np.arange(256, dtype=np.float32) - BLACK) * (255 / (WHITE - BLACK))
    rising = np.rint(table).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(grey(picture), 255 - rising if inverted else rising), np.uint8)


def surrounded(subject: Pixels) -> Pixels:
    """Return the mask of the subject and AROUND_PX around it: (H, W) uint8."""
    return grow(subject, AROUND_PX)


def restrict(mask: Pixels, around: Pixels, before: Pixels) -> Pixels:
    """Return the mask of a slide within the subject, with what the subject newly covers freed.

    mask: (H, W) uint8, 0 keeps and 255 frees. around: `surrounded` of this slide's subject.
    before: the same of the previous slide, warped to this frame.
    """
    covered = cv2.subtract(around, before)
    covered[covered < UNCOVERED_LEAST] = 0
    return np.minimum(np.maximum(mask, covered), around)


def share(subject: Pixels) -> Floats:
    """Return the slide's share of each pixel: (H, W), 0 to 1, 0 wherever the subject's mask is 0.

    The edge is soft over 2 EDGE_PX and lies inside the subject, except at the picture's border.
    """
    side = 2 * EDGE_PX + 1
    core = cv2.erode(subject, np.ones((side, side), np.uint8))
    soft = cv2.blur(core, (side, side), borderType=cv2.BORDER_REPLICATE)
    return np.divide(soft, 255, dtype=np.float32)


def compose(slide: Pixels, frame: Pixels, share: Floats) -> Pixels:
    """Return the slide where the share is 1, and exactly the frame where it is 0.

    slide: (H, W, 3), of the frame's size or a scale of it, to which the frame is scaled. share:
    (H, W) of the frame, 0 to 1.
    """
    height, width = slide.shape[:2]
    return mix(slide, fit(frame, width, height), enlarge(share, slide.shape))
