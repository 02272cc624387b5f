"""What flow:fast and flow have in common, and where the fast one takes its time."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest
from support import footage
from support.flows import PAN, STILL

from stable_restyle.core.records import Pixels
from stable_restyle.motion.base import FramePath
from stable_restyle.motion.flow import FlowMotion


def windows(moved_px: float) -> Pixels:
    """Return the windows of a house, 4 pixels apart, in a light that is uneven: (180, 320, 3)."""
    height, width, period = 180, 320, 4
    x, y = np.arange(width) + moved_px, np.arange(height)
    house = ((x / period) % 1 < 0.5)[None] & ((y / period) % 1 < 0.6)[:, None]
    light = np.random.default_rng(1).normal(0, 1, (height, 2 * width)).astype(np.float32)
    light = np.asarray(cv2.GaussianBlur(light, (0, 0), 25), np.float32)
    rows = np.repeat(y[:, None], width, axis=1).astype(np.float32)
    columns = np.repeat(x[None], height, axis=0).astype(np.float32)
    shown = cv2.remap(light * 50 / np.abs(light).max(), columns, rows, cv2.INTER_LINEAR)
    picture = cv2.GaussianBlur(house.astype(np.float32) * 120 + 60, (0, 0), 0.6) + shown
    return np.repeat(picture.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def mask(motion: FlowMotion, before: Pixels, frame: Pixels) -> Pixels:
    path = FramePath(frame, [before], partial(pytest.fail, "codec's"), lambda: [])
    return motion.estimate(path).mask(8, 4)


def test_fine_repeats_are_estimated_at_full_size() -> None:
    frames = windows(0), windows(2.7)
    fast, full = (mask(FlowMotion(fast=each), *frames) for each in (True, False))
    assert np.array_equal(fast, full)


def test_other_footage_is_estimated_at_half_the_size() -> None:
    frames = footage.film(STILL), footage.film(PAN)
    fast, full = (mask(FlowMotion(fast=each), *frames) for each in (True, False))
    assert not np.array_equal(fast, full)


def test_only_without_answers_what_a_slide_lacks_comes_from_the_frame() -> None:
    before, frame = np.zeros((64, 96, 3), np.uint8), np.full((64, 96, 3), 255, np.uint8)
    path = FramePath(frame, [before], partial(pytest.fail, "codec's"), lambda: [])
    for by_answers, shown in ((False, frame), (True, before)):
        how = FlowMotion(fast=False, by_answers=by_answers).estimate(path)
        assert np.array_equal(how.warp([before]), shown)
