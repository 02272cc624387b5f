"""Carry an image: move it the way that frames moved, with the P packets of a video codec."""

from motion_transfer.transfer import Motion, MotionError, apply, measure

__all__ = ["Motion", "MotionError", "apply", "measure"]
