"""Optical flow on footage whose motion is known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import pytest
from support import footage
from support.flows import PAN, STILL, inside, psnr
from support.footage import HEIGHT, WIDTH, Camera

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import compose, masks, optical_flow


@pytest.mark.parametrize("camera", footage.MOVES.values(), ids=footage.MOVES)
@pytest.mark.parametrize(("fast", "px"), [(False, 0.15), (True, 0.3)])
def test_motion_is_found(camera: Camera, fast: bool, px: float) -> None:
    found = optical_flow.estimate(footage.film(STILL), footage.film(camera), fast=fast)
    scale = 2 if fast else 1
    truth = footage.true_flow(camera, STILL)[::scale, ::scale]
    away = np.abs(found.flow * scale - truth).max(axis=2)
    assert np.median(away) < px
    assert np.mean(inside(found.unreliability, 12 // scale)) < 0.01


@pytest.mark.parametrize(("fast", "px"), [(False, 0.2), (True, 0.5)])
def test_short_steps_lead_as_far_as_a_long_one(fast: bool, px: float) -> None:
    cameras = [
        Camera(x=4.3 * index, turn=0.01 * index, zoom=1 - 0.01 * index) for index in range(6)
    ]
    frames = [*map(footage.film, cameras)]
    pairs = [
        optical_flow.estimate_pair(first, second, fast=fast) for first, second in pairwise(frames)
    ]
    back = [pair.reversed for pair in reversed(pairs)]
    for first, last, its_pairs in ((0, 5, pairs), (5, 0, back)):
        found = optical_flow.estimate_along(frames[last], frames[first], its_pairs, fast=fast)
        scale = 2 if fast else 1
        truth = footage.true_flow(cameras[first], cameras[last])[::scale, ::scale]
        margin = 30 // scale  # past it, what is seen leaves the picture
        assert np.median(inside(np.abs(found.flow * scale - truth), margin)) < px
        assert np.mean(inside(found.unreliability, margin)) < 0.02


def test_a_still_surface_is_held_still_in_noise() -> None:
    rng = np.random.default_rng(5)
    before, frame = (
        np.asarray((footage.film(STILL) + rng.normal(0, 3, (HEIGHT, WIDTH, 3))).clip(0, 255), "B")
        for _ in range(2)
    )
    loose, held = (
        optical_flow.estimate(before, frame, hold_still=hold_still).flow
        for hold_still in (False, True)
    )
    assert np.mean(held == 0) > 0.85 > 0.1 > np.mean(loose == 0)


def test_what_moves_a_little_is_not_held_still() -> None:
    camera = Camera(x=0.6)
    found = optical_flow.estimate(footage.film(STILL), footage.film(camera), hold_still=True)
    assert np.median(np.abs(found.flow - footage.true_flow(camera, STILL))) < 0.1


def test_flow_is_estimated_in_both_directions() -> None:
    there, back = optical_flow.fine_flows(footage.film(STILL), footage.film(PAN))
    assert np.median(np.abs(there - footage.true_flow(STILL, PAN))) < 0.1
    assert np.median(np.abs(back - footage.true_flow(PAN, STILL))) < 0.1


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(("width", "height"), [(160, 12), (160, 24), (640, 16), (9, 200), (1, 1)])
def test_flat_and_tiny_frames_can_be_warped(width: int, height: int, fast: bool) -> None:
    """OpenCV's DIS ends the whole process on some of these sizes."""
    rng = np.random.default_rng(1)
    before = rng.integers(0, 256, (height, width, 3), np.uint8)
    found = optical_flow.estimate(before, np.roll(before, 2, 1), fast=fast)
    assert compose.warp_slide(before, found).shape == before.shape


def test_what_was_outside_is_unreliable() -> None:
    found = optical_flow.estimate(footage.film(STILL), footage.film(Camera(x=9)))
    assert found.unreliability[20:-20, :8].min() == 1
    assert found.unreliability[20:-20, 16:-16].max() < 0.1


def test_what_was_uncovered_is_unreliable() -> None:
    found = optical_flow.estimate(footage.moving_square(40), footage.moving_square(46))
    uncovered = footage.square_at(40) & ~footage.square_at(46)
    assert found.unreliability[uncovered].mean() > 0.7
    around = cv2.dilate((footage.square_at(40) | footage.square_at(46)).astype(np.uint8), ball(8))
    assert found.unreliability[around == 0].max() < 0.1
    core = cv2.erode(footage.square_at(46).astype(np.uint8), ball(8)) == 1
    assert found.unreliability[core].mean() < 0.1


def ball(px: int) -> Pixels:
    return np.ones((2 * px + 1, 2 * px + 1), np.uint8)


def test_the_flow_between_unrelated_frames_is_unreliable() -> None:
    found = optical_flow.estimate(footage.film(STILL), footage.film(Camera(x=900)))
    assert found.unreliability.mean() > 0.6


def test_large_frames_are_measured_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optical_flow, "ESTIMATED_MOST_PX", WIDTH * HEIGHT // 4)
    before, frame = footage.film(STILL), footage.film(PAN)
    found = optical_flow.estimate(before, frame)
    assert found.flow.shape == (HEIGHT // 2, WIDTH // 2, 2)
    assert psnr(inside(compose.warp_slide(before, found)), inside(frame)) > 32
    assert masks.from_flow([found], 8, 4).shape == (HEIGHT, WIDTH)
    there, _ = optical_flow.fine_flows(before, frame)
    assert np.median(np.abs(there - footage.true_flow(STILL, PAN))) < 0.3


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (17, 9)])
@pytest.mark.parametrize("fast", [False, True])
def test_small_frames_can_be_warped(size: tuple[int, int], fast: bool) -> None:
    frame = footage.film(STILL)[: size[0], : size[1]].copy()
    found = optical_flow.estimate(frame, frame, fast=fast)
    assert np.abs(compose.warp_slide(frame, found).astype(int) - frame).max() <= 1
    assert np.all(masks.from_flow([found], 8, 16) == 0)


def test_threads_do_not_disturb_each_other() -> None:
    pairs = [(footage.film(STILL), footage.film(camera)) for camera in footage.MOVES.values()] * 3

    def warped(pair: tuple[Pixels, Pixels]) -> bytes:
        return compose.warp_slide(pair[0], optical_flow.estimate(*pair)).tobytes()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(warped, pairs)) == [warped(pair) for pair in pairs]
