"""Measure whether a chain of 200 slides keeps its palette and follows changes of light.

Two scenes of 201 frames, made from one frame of `examples/`, 320x180: the camera pans back and
forth a little; in one of them the light also falls to half and turns blue within 150 frames. Look
clay, denoise 0.6, seed 1, from the first slide forward, with each value of `--anchor`. The chain's
last slide is compared with the same frame drawn without a guide: how far its palette is from that,
and how much lighter it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from benchmarks.chain import FRAME_METHOD, METHODS, Method, drawn, free
from benchmarks.clips import read
from benchmarks.engines import Preview
from benchmarks.footage import EXAMPLE
from benchmarks.report import Figure, Report, command
from stable_restyle.core.records import Pixels
from stable_restyle.imaging import colour, metrics
from stable_restyle.motion.flow import FlowMotion

WAYS = {
    "codec": METHODS["codec"],
    "flow:fast, guide warped": METHODS["flow:fast"],
    "flow:fast, guide frame": replace(FRAME_METHOD, motion=FlowMotion(fast=True, by_answers=True)),
}
SHARES = (0.0, 0.1, 0.3, 1.0)
WIDTH, HEIGHT, MARGIN = 320, 180, 16
ENGINE = Preview("clay")
DUSK = (0.65, 0.5, 0.4)  # share of blue, green and red that remains
DUSK_FRAMES = 150


def measure(out: Path, small: bool) -> Report:
    """Draw both scenes with codec and flow, with each value of --anchor."""
    slides, shares = (4, (0.0, 0.3)) if small else (200, SHARES)
    figures = []
    for scene, light in (("steady light", False), ("light that falls", True)):
        frames = _frames(slides + 1, light)
        truth = free(ENGINE, frames, len(frames) - 1)
        for name, method in WAYS.items():
            for share in shares:
                last = _last(frames, replace(method, anchor=share))
                which = f"{scene}, {name}, --anchor {share:g}"
                lighter = metrics.lightness(last) - metrics.lightness(truth)
                figures += [
                    Figure(f"palette, {which}", metrics.style_distance(last, truth), "levels"),
                    Figure(f"lighter, {which}", lighter, "L*"),
                ]
    return Report(
        "anchor", f"The last of {slides} slides of a chain against a free drawing", figures
    )


def _frames(count: int, light: bool) -> list[Pixels]:
    """Return frames of (HEIGHT, WIDTH, 3)."""
    size = WIDTH + 2 * MARGIN, HEIGHT + MARGIN
    picture = cv2.resize(read(EXAMPLE, 100, 1, 1)[0], size, interpolation=cv2.INTER_AREA)
    return [_frame(np.asarray(picture, np.uint8), index, light) for index in range(count)]


def _frame(picture: Pixels, index: int, light: bool) -> Pixels:
    x, y = MARGIN * (1 + 0.75 * np.sin(index / 17)), MARGIN / 2 * (1 + 0.75 * np.sin(index / 23))
    shift = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
    panned = cv2.warpAffine(picture, shift, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    gone = min(index / DUSK_FRAMES, 1) if light else 0
    left = 1 - gone * (1 - np.array(DUSK[::-1]))
    return np.asarray(np.rint(panned * left), np.uint8)


def _last(frames: Sequence[Pixels], method: Method) -> Pixels:
    """Return the last slide of a chain drawn forward."""
    slide = free(ENGINE, frames, 0)
    colours = colour.colour_stats(slide), colour.colour_stats(frames[0])
    for index, (before, frame) in enumerate(pairwise(frames), start=1):
        how = method.estimate([before], frame)
        slide = drawn(how, how.warp([slide]), frame, colours, method, ENGINE, index)
    return slide


def main() -> None:
    command({"anchor": measure}, __doc__)


if __name__ == "__main__":
    main()
