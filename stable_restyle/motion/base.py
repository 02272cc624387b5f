"""The protocol of --motion: estimate motion between frames, and warp slides along it.

Pictures are (H, W, 3) RGB uint8, masks (H, W) uint8, 0 keeps a pixel and 255 frees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.optical_flow import FlowPair


@dataclass(frozen=True)
class FramePath:
    """The input frames that lead to a slide from those that it is made from."""

    frame: Pixels  # the one that the slide shows
    sources: Sequence[Pixels]  # those of the previous slide, or of the keyframes on both sides
    # Reads all frames from the previous slide's to this slide's, both included, in walking order.
    crossed: Callable[[], Sequence[Pixels]]
    # Returns the flow from slide to slide towards each source.
    pairs: Callable[[], Sequence[Sequence[FlowPair]]]
    along: bool = False  # whether to follow the slides between, even towards a single source


class MotionEstimate(Protocol):
    """How the frames moved towards a slide. Small; thread-safe."""

    def mask(self, strength: float, grow_px: int) -> Pixels:
        """Return what the model may change. strength: 0 frees all, 8 only what moved."""
        ...

    def warp(self, sources: Sequence[Pixels]) -> Pixels:
        """Move the previous slide, or the keyframes on both sides, to this slide's frame."""
        ...

    def warp_mask(self, masks: Sequence[Pixels]) -> Pixels:
        """Move a mask of each source, (H, W), to this frame; return the largest values."""
        ...


class Motion(Protocol):
    """A method of moving slides along with the frames. Thread-safe."""

    def estimate(self, path: FramePath) -> MotionEstimate:
        """Estimate the motion from input frames alone, so that it can be done ahead."""
        ...

    def finish(self, answer: Pixels, warped: Pixels, mask: Pixels) -> Pixels:
        """Return the slide that the model's answer becomes."""
        return answer
