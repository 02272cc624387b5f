"""Move slides by the motion vectors of a video codec, as the original program did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import motion_transfer
import numpy as np

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.imaging import arrays, masks
from stable_restyle.motion.base import FramePath, Motion, MotionEstimate


class CodecMotion(Motion):
    """The motion-transfer library in this process."""

    def estimate(self, path: FramePath) -> MotionEstimate:
        """Estimate the motion along all frames crossed. Raises UnusableInput."""
        frames = path.crossed()
        try:
            motion = motion_transfer.measure(frames)
        except motion_transfer.MotionError as error:
            raise UnusableInput(
                f"The motion of these frames cannot be estimated: {error}"
            ) from error
        return BlockEstimate(masks.change(frames), partial(motion_transfer.apply, motion))


@dataclass(frozen=True)
class BlockEstimate:
    """A `MotionEstimate` that moves blocks; what changes from frame to frame may be redrawn."""

    change: Pixels  # (H, W) uint8, as masks.change makes it
    move: Callable[[Pixels], Pixels]

    def mask(self, strength: float, grow_px: int) -> Pixels:
        return masks.from_change(self.change, strength, grow_px)

    def warp(self, sources: Sequence[Pixels]) -> Pixels:
        (previous,) = sources
        height, width = self.change.shape
        moved = self.move(arrays.fit(previous, width, height))
        return arrays.fit(moved, previous.shape[1], previous.shape[0])

    def warp_mask(self, masks: Sequence[Pixels]) -> Pixels:
        (previous,) = masks
        return self.move(np.stack([previous] * 3, axis=2))[..., 0]
