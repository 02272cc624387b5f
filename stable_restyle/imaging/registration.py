"""Align what a model painted with the picture that it was painted from.

Image-edit models return their pictures shifted by a few pixels and scaled by a few per cent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stable_restyle.imaging.arrays import Floats, blur, grey, shrink

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels

SIDE_PX = 320  # the longer side of the pictures that are compared
SMOOTH_PX = 1.0  # sigma of the blur before edges are found: brush strokes are none
GAIN_LEAST = 0.03  # by which the correlation of edges must rise
MATCH_LEAST = 0.2  # that it must reach: pictures of other things come to 0.1, restyled ones to 0.6
MOVE_LEAST_PX, MOVE_MOST = 0.2, 0.08  # of a corner: at that size, and as a share of the side
_FILTER = 9  # pixels: blur of findTransformECC, which widens what it can follow
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)


def align(answer: Pixels, guide: Pixels) -> Pixels:
    """Return the answer shifted and scaled so that its edges lie on those of the guide.

    Both (H, W, 3) RGB, the answer at any scale. The array itself is returned where edges would not
    match clearly better. The transform maximises the enhanced correlation coefficient (Evangelidis
    and Psarakis, 2008) of the gradients' magnitude.
    """
    height, width = guide.shape[:2]
    scale = min(SIDE_PX / max(height, width), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    wanted, given = (_edges(shrink(each, *size)) for each in (guide, answer))
    found = _estimate(wanted, given)
    if found is None:
        return answer
    here = np.array(size, np.float32) / (answer.shape[1], answer.shape[0])
    transform = found.copy()  # in pixels of the answer, whose centres are at half pixels
    transform[:, 2] = (found[:, 2] + (np.diag(found) - 1) / 2) / here - (np.diag(found) - 1) / 2
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    shape = answer.shape[1], answer.shape[0]
    aligned = cv2.warpAffine(answer, transform, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(aligned, np.uint8)


def _edges(picture: Pixels) -> Floats:
    """Return the magnitude of the gradients of a picture's luma."""
    plane = blur(grey(picture).astype(np.float32), SMOOTH_PX)
    return np.asarray(np.hypot(*(cv2.Sobel(plane, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))))


def _estimate(wanted: Floats, given: Floats) -> Floats | None:
    """Return where each pixel of `wanted` is found in `given`: (2, 3), without rotation or shear.

    None if nothing is to be gained.
    """
    start = np.eye(2, 3, dtype=np.float32)
    everywhere = np.full(wanted.shape, 255, np.uint8)
    try:
        _, found = cv2.findTransformECC(
            wanted, given, start.copy(), cv2.MOTION_AFFINE, _CRITERIA, everywhere, _FILTER
        )
    except cv2.error:  # it did not converge
        return None
    size = np.array(wanted.shape[::-1], np.float32)
    scales = np.diag(np.diag(found))
    centre = found[:, :2] @ (size / 2) + found[:, 2]
    straight: Floats = np.column_stack([scales, centre - scales @ (size / 2)]).astype(np.float32)
    moves = np.abs([straight @ (x, y, 1) - (x, y) for x in (0, size[0]) for y in (0, size[1])])
    if moves.max() < MOVE_LEAST_PX or (moves > MOVE_MOST * size).any():
        return None
    before, after = (_correlation(wanted, given, each) for each in (start, straight))
    return straight if after > max(before + GAIN_LEAST, MATCH_LEAST) else None


def _correlation(wanted: Floats, given: Floats, transform: Floats) -> float:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        given, transform, wanted.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return float(np.corrcoef(wanted.ravel(), moved.ravel())[0, 1])
