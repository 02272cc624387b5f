"""The defects that benchmarks look for, painted into a picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from support import footage
from support.footage import Camera

from benchmarks import defects
from stable_restyle.core.records import Pixels

FREE = footage.film(Camera())
HEIGHT, WIDTH = FREE.shape[:2]


def changed(picture: Pixels, by: object) -> Pixels:
    return np.asarray((picture + np.asarray(by)).round().clip(0, 255), np.uint8)


def textured(picture: Pixels, seed: int, levels: float = 18.0) -> Pixels:
    """Return the picture with a fine grain of its own."""
    grain = np.random.default_rng(seed).normal(0, 1, picture.shape[:2]).astype(np.float32)
    grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), 1.0), np.float32)
    return changed(picture, levels * (grain / grain.std())[..., None])


def haloed(picture: Pixels, levels: float = 30.0) -> Pixels:
    """Return the picture with a dark ring, as the edge of an old mask leaves it."""
    ring = np.zeros(picture.shape[:2], np.float32)
    cv2.circle(ring, (WIDTH // 2, HEIGHT // 2), HEIGHT // 4, 1.0, 8)
    return changed(picture, -levels * cv2.GaussianBlur(ring, (0, 0), 1.5)[..., None])


def test_a_halo_is_a_scar_and_texture_is_none() -> None:
    halo = defects.scars(haloed(FREE), FREE)
    texture = defects.scars(textured(FREE, 1), textured(FREE, 2))
    assert halo > 5 > 1.5 > texture
    assert defects.scars(FREE, FREE) == 0


def test_a_halo_is_seen_in_texture() -> None:
    with_halo = defects.scars(textured(haloed(FREE), 1), textured(FREE, 2))
    assert with_halo > defects.scars(textured(FREE, 1), textured(FREE, 2)) + 1


def test_a_wrong_colour_everywhere_is_no_scar_but_a_colour_error() -> None:
    grey = np.full_like(FREE, 120)
    darker = changed(grey, -10)
    assert defects.scars(darker, grey) < 0.1
    assert 2 < defects.colour_error(darker, grey) < 6


def test_colour_errors_that_cancel_out_over_the_picture_count() -> None:
    grey = np.full_like(FREE, 120)
    halves = grey.copy()
    halves[:, : WIDTH // 2] += 10
    halves[:, WIDTH // 2 :] -= 10
    texture = defects.colour_error(textured(grey, 1, 8), textured(grey, 2, 8))
    assert defects.colour_error(halves, grey) > 2 * texture


def test_sharpness_is_that_of_the_ends() -> None:
    soft = np.asarray(cv2.GaussianBlur(FREE, (0, 0), 1.5), np.uint8)
    assert defects.sharpness_at_ends([FREE, soft, FREE], [FREE] * 3) == pytest.approx(1)
    assert defects.sharpness_at_ends([soft, FREE, soft], [FREE] * 3) < 0.8


def test_only_still_surfaces_wander() -> None:
    frames = [FREE.copy() for _ in range(3)]
    for index, frame in enumerate(frames):
        frame[:, : WIDTH // 2] = 20 + 60 * index  # changes by itself
    still = defects.still_pixels(frames, 1)
    assert still[:, WIDTH // 2 + 12 :].all() and not still[:, : WIDTH // 2 - 12].any()
    steady = [changed(frame, 0) for frame in frames]
    assert defects.wandering(steady, frames, still, 1) == 0
    crept = [changed(frame, move) for frame, move in zip(frames, (-6, 0, 6), strict=True)]
    assert 4 < defects.wandering(crept, frames, still, 1) <= 6


def test_without_a_still_surface_nothing_wanders() -> None:
    frames = [np.full_like(FREE, 40 * index) for index in range(3)]
    still = defects.still_pixels(frames, 1)
    assert math.isnan(defects.wandering(frames, frames, still, 1))
