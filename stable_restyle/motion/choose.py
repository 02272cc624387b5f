"""Choose the motion that --motion names."""

from __future__ import annotations

from stable_restyle.core.settings import FAST_FLOW, FLOWS
from stable_restyle.motion.base import Motion
from stable_restyle.motion.codec import CodecMotion
from stable_restyle.motion.flow import FlowMotion
from stable_restyle.motion.program import ProgramMotion


def choose(motion: str, *, by_answers: bool = False) -> Motion:
    """Return the motion that --motion names. Raises WrongUsage for a program not found.

    by_answers: whether slides are composed from answers.
    """
    if motion in FLOWS:
        return FlowMotion(fast=motion == FAST_FLOW, by_answers=by_answers)
    return CodecMotion() if motion == "codec" else ProgramMotion(motion)
