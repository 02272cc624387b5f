"""Estimate the motion between two frames, and where that estimate is unreliable.

The functions are pure: any number of threads may call them, and a resumed run draws what an
uninterrupted one would have drawn.

Pictures are (H, W, 3) RGB uint8. A flow is (H, W, 2) float32: for each pixel, how far to the right
and downwards it is found in the other picture, in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from stable_restyle.imaging.arrays import (
    blur,
    enlarge,
    grey,
    pixel_positions,
    shrink,
    squared_length,
    warp,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Flags, Floats

    Halves: TypeAlias = NDArray[np.float16]


# DIS (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search"), preset "medium".
# Swept, with tables in benchmarks/: PATCH_STRIDE, REFINEMENTS, ERROR_*, UNRELIABLE_*.
PATCH_STRIDE = 4  # pixels from one patch to the next
REFINEMENTS = 1  # passes of the variational smoothing
ESTIMATED_MOST_PX = 1920 * 1088  # motion in larger frames is estimated at reduced size

# Ruder, Dosovitskiy, Brox 2016, "Artistic style transfer for videos".
INCONSISTENT_SHARE, INCONSISTENT_PX2 = 0.01, 0.5

# unreliability = smooth step of e^2 / (e^2 + 1), e = (residual + LOST where inconsistent) / HALF.
ERROR_WIDTH = 1.5  # pixels: sigma of the blur
ERROR_HALF = 20.0  # levels
ERROR_HALF_FAST = 15.0  # at half the size the same misfit leaves a smaller error
ERROR_LOST = 12.0  # levels
ERROR_OUTSIDE = 1000.0  # relative: the flow leads out of the picture
UNRELIABLE_FROM, UNRELIABLE_TO = 0.3, 0.35  # below the first a pixel is kept, above the second free

# A surface is still if the residual without motion is at most so much larger.
STILL_MORE, STILL_WIDTH = 0.25, 3.0  # levels; pixels: sigma of the blur
STILL_MOST_PX = 1.0  # flow that is longer is motion

BORDER_PX = 1.0  # flow that leads less far past the border counts as noise
SCALED_LEAST_PX = 64  # with shorter sides DIS may have no coarser scale to start with
FLOW_SIDE_LEAST = 32  # pixels: DIS crashes on flat pictures less than 29 pixels high


@dataclass(frozen=True)
class FlowEstimate:
    """The motion between the frames of two slides.

    flow, unreliability and residual have the size that motion is estimated at, `frame` its own.
    """

    frame: Pixels  # this slide's
    flow: Floats  # from this frame to the previous slide's
    # (H, W): 0 where the previous slide shows what this one has to show, 1 where it does not.
    unreliability: Floats
    error: Halves  # (H, W): what that follows from, relative to ERROR_HALF
    # (H, W): the frames' difference after warping, in levels; of `estimate_along` only.
    residual: Floats | None = None

    def unreliability_at(self, strength: float) -> Floats:
        """Return the unreliability as if squared errors were 8 / strength times as large.

        (H, W), 0..1. At 8 it is `unreliability`.
        """
        if strength == 8:
            return self.unreliability
        return _unreliability(self.error.astype(np.float32), (strength / 8) ** 0.5)

    def flow_at(self, shape: tuple[int, ...]) -> Floats:
        """Return the flow at the size of a picture of this shape."""
        return _enlarge_flow(self.flow, shape)


@dataclass(frozen=True)
class FlowPair:
    """The flow from one frame to another, and back, at the size that motion is estimated at.

    (H, W, 2) float16 each: exact to 1/32 of a pixel up to 64 pixels, in half of the memory.
    """

    forward: Halves
    backward: Halves

    @property
    def reversed(self) -> FlowPair:
        """Return the pair from the second frame to the first."""
        return FlowPair(self.backward, self.forward)


def estimate(
    before: Pixels, frame: Pixels, *, fast: bool = False, hold_still: bool = False
) -> FlowEstimate:
    """Estimate the motion from the previous slide's frame to this slide's.

    before, frame: of one size. fast: at half the resolution, in a quarter of the time. hold_still:
    do not move what fits as well where it is. The flow from `before` to `frame` is rough: it only
    serves to find inconsistent pixels.
    """
    small_before, small = (_at_estimated_size(picture, fast) for picture in (before, frame))
    there, here = grey(small_before), grey(small)
    flow = _flow(here, there)
    forth = _rough_flow(there, here)
    residual = _residual(small_before, small, flow)
    if hold_still:
        unmoved = _difference(small_before, small)
        still = _still(flow, residual, unmoved)
        flow[still], residual[still] = 0, unmoved[still]
    return FlowEstimate(frame, flow, *_judge(residual, flow, forth, fast))


def estimate_pair(first: Pixels, second: Pixels, *, fast: bool = False) -> FlowPair:
    """Estimate the flow from the first frame to the second, and back. fast: as for `estimate`."""
    a, b = (grey(_at_estimated_size(picture, fast)) for picture in (first, second))
    return FlowPair(*(flow.astype(np.float16) for flow in (_flow(a, b), _flow(b, a))))


def estimate_along(
    before: Pixels, frame: Pixels, pairs: Sequence[FlowPair], *, fast: bool
) -> FlowEstimate:
    """Estimate the motion over several slides: `pairs` lead from `frame` to `before`.

    Short steps are far more reliable than one long step, and successive slides, whose paths are
    nearly the same, get nearly the same picture. A pixel that is hidden in between is lost, though.
    """
    small_before, small = (_at_estimated_size(picture, fast) for picture in (before, frame))
    flow, forth = pairs[0].forward.astype(np.float32), pairs[0].backward.astype(np.float32)
    for pair in pairs[1:]:
        there, back = pair.forward.astype(np.float32), pair.backward.astype(np.float32)
        flow, forth = flow + warp(there, flow), back + warp(forth, back)
    residual = _residual(small_before, small, flow)
    return FlowEstimate(frame, flow, *_judge(residual, flow, forth, fast), residual)


def rough_flows(first: Pixels, second: Pixels) -> tuple[Floats, Floats]:
    """Return the flow from the first picture to the second, and back, in a fifth of the time."""
    a, b = grey(first), grey(second)
    return _rough_flow(a, b), _rough_flow(b, a)


def fine_flows(first: Pixels, second: Pixels) -> tuple[Floats, Floats]:
    """Return the flow from the first picture to the second, and back, both at its best."""
    a, b = (grey(_at_estimated_size(picture, False)) for picture in (first, second))
    return _enlarge_flow(_flow(a, b), first.shape), _enlarge_flow(_flow(b, a), first.shape)


def inconsistent(forward: Floats, backward: Floats) -> Flags:
    """Find the pixels whose flow does not lead back to them: (H, W).

    `|F + B~|^2 > 0.01 (|F|^2 + |B~|^2) + 0.5`, B~ being the way back from where F leads.
    """
    returned = warp(backward, forward)
    lengths = squared_length(forward) + squared_length(returned)
    gap = squared_length(forward + returned)
    found: Flags = gap > INCONSISTENT_SHARE * lengths + INCONSISTENT_PX2
    return found


def leads_outside(flow: Floats, margin_px: float = 0) -> Flags:
    """Find where the flow leads out of the picture by more than the margin: (H, W)."""
    x, y = pixel_positions(flow)
    height, width = x.shape
    outside: Flags = (
        (x < -margin_px)
        | (x > width - 1 + margin_px)
        | (y < -margin_px)
        | (y > height - 1 + margin_px)
    )
    return outside


def _at_estimated_size(picture: Pixels, fast: bool) -> Pixels:
    """Return the picture at the size that motion is estimated at."""
    height, width = picture.shape[:2]
    scale = min(1.0, (ESTIMATED_MOST_PX / (width * height)) ** 0.5) / (2 if fast else 1)
    sides = (max(FLOW_SIDE_LEAST, round(side * scale)) for side in (width, height))
    return shrink(picture, *sides)


def _flow(first: Pixels, second: Pixels) -> Floats:
    """Return the flow between (H, W) luma pictures.

    A second object computes the full size: one for all scales would hold the buffers of all of
    them, a third more than those of the largest.
    """
    flow, dis = np.zeros((*first.shape, 2), np.float32), _dis(finest=0)
    if min(first.shape) >= SCALED_LEAST_PX:
        flow = _calculate(_dis(finest=1), first, second, flow)
        dis.setCoarsestScale(0)
    return _calculate(dis, first, second, flow)


def _dis(finest: int) -> cv2.DISOpticalFlow:
    """Return a new DIS object, since it keeps its buffers. finest: last scale, a power of 1/2."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(finest)
    dis.setPatchStride(PATCH_STRIDE)
    dis.setVariationalRefinementIterations(REFINEMENTS)
    return dis


def _rough_flow(first: Pixels, second: Pixels) -> Floats:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return _calculate(dis, first, second, np.zeros((*first.shape, 2), np.float32))


def _calculate(dis: cv2.DISOpticalFlow, first: Pixels, second: Pixels, guess: Floats) -> Floats:
    """Run DIS. guess: the flow to start with, which may be overwritten."""
    return np.asarray(dis.calc(first, second, guess), np.float32)


def _residual(before: Pixels, frame: Pixels, flow: Floats) -> Floats:
    """Return `max_c |warp(before) - frame|`, blurred: (H, W), levels."""
    return _difference(warp(before, flow), frame)


def _still(flow: Floats, residual: Floats, unmoved: Floats) -> Flags:
    """Find the pixels that the flow hardly moves, and that fit as well unmoved: (H, W).

    On an even or a noisy surface, flow is mostly noise; along a chain, it would make the surface
    crawl. unmoved: the residual without motion.
    """
    less = blur(unmoved - residual, STILL_WIDTH)
    still: Flags = (less <= STILL_MORE) & (squared_length(flow) <= STILL_MOST_PX**2)
    return still


def _difference(first: Pixels, second: Pixels) -> Floats:
    """Return `max_c |first - second|`, blurred: (H, W), levels."""
    red, green, blue = cv2.split(cv2.absdiff(first, second))
    largest = cv2.max(cv2.max(red, green), blue)
    return blur(largest.astype(np.float32), ERROR_WIDTH)


def _judge(residual: Floats, flow: Floats, forth: Floats, fast: bool) -> tuple[Floats, Halves]:
    """Return how unreliable the flow is at each pixel, 0..1, and its error: (H, W) each."""
    half = ERROR_HALF_FAST if fast else ERROR_HALF
    lost = inconsistent(flow, forth)
    error = residual + ERROR_LOST * blur(lost.astype(np.float32), ERROR_WIDTH)
    outside = leads_outside(flow, BORDER_PX)
    steep = _unreliability(error, half)
    steep[outside] = 1
    error /= np.float32(half)
    error[outside] = ERROR_OUTSIDE
    return steep, error.astype(np.float16)


def _unreliability(error: Floats, half: float) -> Floats:
    wrong = error * error
    wrong /= wrong + np.float32(half**2)
    steep = ((wrong - UNRELIABLE_FROM) / (UNRELIABLE_TO - UNRELIABLE_FROM)).clip(0, 1)
    steep *= steep * (3 - 2 * steep)
    return np.asarray(steep, np.float32)


def _enlarge_flow(flow: Floats, shape: tuple[int, ...]) -> Floats:
    """Return a flow at another size, its vectors scaled with it."""
    height, width = flow.shape[:2]
    if (height, width) == shape[:2]:
        return flow
    enlarged = enlarge(flow, shape)
    enlarged[..., 0] *= np.float32(shape[1] / width)
    enlarged[..., 1] *= np.float32(shape[0] / height)
    return enlarged
