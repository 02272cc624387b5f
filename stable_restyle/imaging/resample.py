"""Warp a slide along a flow without softening it.

A chain resamples the same pixels at every slide, and bilinear or bicubic interpolation removes
detail each time. From a picture doubled with a long filter, bicubic interpolation removes only
frequencies that the picture does not have.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from stable_restyle.imaging.arrays import complement, enlarge, fetch, pixel_positions, strips, warp

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Floats
    from stable_restyle.imaging.optical_flow import FlowEstimate


TAPS = 12  # swept, with tables in benchmarks/, as are TAPS_BETA and SOFT_SHARE
TAPS_BETA = 5.0  # of the Kaiser window
# OpenCV's bicubic kernel (A = -0.75) amplifies medium detail by 2.5 % each time, which adds up in
# a chain; a share of bilinear interpolation compensates for that. It is computed for each slide,
# within these bounds; the first is for a slide without any detail.
SOFT_SHARE, SOFT_LEAST, SOFT_MOST = 0.17, -0.15, 0.5
LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)  # BT.601
# Rounding to 8 bits adds this to the mean square of the luma's Laplacian, whose taps are -4 and 1
# four times: rounding has a variance of 1/12 in each channel.
ROUNDING_ENERGY = (4**2 + 4) / 12 * float(np.sum(LUMA**2))
DOUBLED_MOST_PX = 2560 * 1440  # larger pictures lose less, and would take gigabytes


def resample(picture: Pixels, estimate: FlowEstimate) -> Pixels:
    """Fetch each pixel of the previous slide from where the flow leads, without softening it.

    picture: (H, W, 3) RGB uint8; so is what is returned.
    """
    height, width = picture.shape[:2]
    flow = estimate.flow_at(picture.shape)
    if height * width > DOUBLED_MOST_PX:
        return fetch(picture, *pixel_positions(flow), cv2.INTER_LANCZOS4)
    crisp, soft = _fetch_finely(picture, flow)
    share = _soft_share(picture, crisp, soft, flow, estimate.unreliability)
    mixed = cv2.addWeighted(crisp, 1 - share, soft, share, 0, dtype=cv2.CV_8U)
    return np.asarray(mixed, np.uint8)


def _fetch_finely(picture: Pixels, flow: Floats) -> tuple[Floats, Floats]:
    """Fetch from the picture at double size, crisp and soft: (H, W, 3) float32 each."""
    doubled = _double(picture)
    x, y = pixel_positions(flow)
    x *= 2
    y *= 2
    crisp, soft = (fetch(doubled, x, y, how) for how in (cv2.INTER_CUBIC, cv2.INTER_LINEAR))
    return crisp, soft


def _soft_share(
    previous: Pixels, crisp: Floats, soft: Floats, flow: Floats, unreliability: Floats
) -> float:
    """Return the share of the soft picture that makes the mix as sharp as the previous slide.

    Sharpness is the mean square of the luma's Laplacian over reliable pixels, a quadratic function
    of the share.
    """
    detail = laplacian(previous.astype(np.float32))
    wanted = warp(detail * detail, flow) - np.float32(ROUNDING_ENERGY)
    trust = complement(enlarge(unreliability, previous.shape))
    crisp_detail, soft_detail = laplacian(crisp), laplacian(soft)
    lost = crisp_detail - soft_detail
    c, b, a = (
        float(np.vdot(trust, plane))
        for plane in (crisp_detail * crisp_detail - wanted, crisp_detail * lost, lost * lost)
    )
    if a <= 0:
        return SOFT_SHARE
    share = (b - math.sqrt(max(b * b - a * c, 0))) / a
    return min(max(share, SOFT_LEAST), SOFT_MOST)


def laplacian(picture: Floats) -> Floats:
    """Return the fine detail of a picture: the Laplacian of its luma, (H, W)."""
    luma = cv2.transform(picture, LUMA)
    return np.asarray(cv2.Laplacian(luma, cv2.CV_32F), np.float32)


def _double(picture: Pixels) -> Floats:
    """Double a picture to (2 H, 2 W, 3): its pixels at even places, values between at odd ones.

    This keeps the pixels themselves exactly; cv2.resize moves them by a quarter of a pixel, and
    softens them. Rounding to integers here would add up to a visible grain.
    """
    height, width = picture.shape[:2]
    taps, alone = _half_sample_taps(), np.ones(1, np.float32)
    left = TAPS // 2 - 1  # of the taps that reach past the pixel to the left of the new one
    doubled = np.empty((2 * height, 2 * width, 3), np.float32)
    wide = doubled[::2]
    for rows in strips(height):
        strip = picture[rows]
        between = cv2.sepFilter2D(
            strip, cv2.CV_32F, taps, alone, anchor=(left, 0), borderType=cv2.BORDER_REPLICATE
        )
        pairs = cv2.merge([strip.astype(np.float32), between])  # six channels: two pixels
        wide[rows] = pairs.reshape(len(strip), 2 * width, 3)
    for columns in strips(2 * width):
        doubled[1::2, columns] = cv2.sepFilter2D(
            np.ascontiguousarray(wide[:, columns]),
            cv2.CV_32F,
            alone,
            taps,
            anchor=(0, left),
            borderType=cv2.BORDER_REPLICATE,
        )
    return doubled


@lru_cache(1)
def _half_sample_taps() -> Floats:
    """Return the filter for a value between two pixels: a sinc in a Kaiser window, (TAPS,)."""
    distances = np.arange(TAPS) - (TAPS - 1) / 2
    window = np.kaiser(2 * TAPS + 1, TAPS_BETA)[1::2]
    taps = np.sinc(distances) * window
    return np.asarray(taps / taps.sum(), np.float32)
