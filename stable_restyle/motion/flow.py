"""Move slides by optical flow: what can be warped stays as it is, and only the rest is redrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import arrays, colour, compose, masks, optical_flow
from stable_restyle.imaging.optical_flow import FlowEstimate
from stable_restyle.imaging.resample import resample
from stable_restyle.motion.base import FramePath, Motion, MotionEstimate

# Share of a frame that flow:fast may lose before motion is estimated at full size: what repeats
# finely, such as the windows of a house, vanishes at half the size.
FAST_LOST_MOST = 0.4


@dataclass(frozen=True)
class FlowMotion(Motion):
    """Optical flow from the frame of a slide to those of the slides that it is made from."""

    fast: bool
    # Whether slides are composed from answers. What a warped slide lacks is the answer's then, and
    # surfaces that hardly move are held still.
    by_answers: bool = False

    def estimate(self, path: FramePath) -> MotionEstimate:
        """Estimate straight from the previous slide's frame; between keyframes, slide by slide."""
        if len(path.sources) == 1 and not path.along:
            (source,) = path.sources
            estimate = self._straight(source, path.frame, self.fast)
            if self.fast and estimate.unreliability.mean() > FAST_LOST_MOST:
                estimate = self._straight(source, path.frame, False)
            return FlowMotionEstimate([estimate], fills=not self.by_answers)
        return FlowMotionEstimate(
            [
                optical_flow.estimate_along(source, path.frame, pairs, fast=self.fast)
                for source, pairs in zip(path.sources, path.pairs(), strict=True)
            ]
        )

    def _straight(self, source: Pixels, frame: Pixels, fast: bool) -> FlowEstimate:
        return optical_flow.estimate(source, frame, fast=fast, hold_still=self.by_answers)

    def finish(self, answer: Pixels, warped: Pixels, mask: Pixels) -> Pixels:
        """Keep what was warped, to the pixel, where the mask is 0."""
        if answer.shape != warped.shape:  # enlarged by the workflow: there is nothing as sharp
            return answer
        matched = colour.match_kept_colours(answer, warped, mask)
        return compose.compose(matched, warped, mask)


@dataclass(frozen=True)
class FlowMotionEstimate:
    """A `MotionEstimate` from optical flow."""

    estimates: Sequence[FlowEstimate]  # from the previous slide, or from the keyframes around
    fills: bool = True  # whether what the previous slide lacks comes from the frame

    def mask(self, strength: float, grow_px: int) -> Pixels:
        return masks.from_flow(self.estimates, strength, grow_px)

    def warp(self, sources: Sequence[Pixels]) -> Pixels:
        if len(self.estimates) == 1:
            warp = compose.warp_slide if self.fills else resample
            return warp(sources[0], self.estimates[0])
        return compose.fill(sources, self.estimates)

    def warp_mask(self, masks: Sequence[Pixels]) -> Pixels:
        moved = [
            arrays.warp(mask, estimate.flow_at(mask.shape))
            for mask, estimate in zip(masks, self.estimates, strict=True)
        ]
        return reduce(np.maximum, moved)
