"""Warp an image along the motion of frames, with the P packets of a video codec."""

from motion_transfer.transfer import Motion, MotionError, apply, measure

__all__ = ["Motion", "MotionError", "apply", "measure"]
