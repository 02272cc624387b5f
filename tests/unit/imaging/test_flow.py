"""Carrying by optical flow: on footage whose motion is known, and what the numbers mean."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from support import footage
from support.footage import HEIGHT, WIDTH, Camera

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import arrays, colour, compose, masks, metrics, optical_flow
from stable_restyle.imaging.optical_flow import FlowEstimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.imaging.arrays import Floats

STILL = Camera()
PAN = Camera(x=5.3, y=-2.6)


def restyled(frame: Pixels) -> Pixels:
    """A look: other colours, the same everywhere."""
    return np.asarray((frame * np.array([0.9, 0.8, 1.0]) + [20, 45, -15]).clip(0, 255), np.uint8)


def inside(picture: NDArray[Any], margin: int = 12) -> NDArray[Any]:
    return picture[margin:-margin, margin:-margin]


def psnr(picture: Pixels, truth: Pixels) -> float:
    return float(cv2.PSNR(np.ascontiguousarray(picture), np.ascontiguousarray(truth)))


def moved(
    frame: Pixels, by: Floats | None = None, unreliability: Floats | None = None
) -> FlowEstimate:
    """A measurement that is known: nothing moved, nothing is doubtful, unless told otherwise."""
    height, width = frame.shape[:2]
    none = np.zeros((height, width), np.float32)
    still = np.zeros((height, width, 2), np.float32)
    return FlowEstimate(
        frame, still if by is None else by, none if unreliability is None else unreliability, none
    )


def shift(x: float, y: float = 0) -> Floats:
    return np.full((HEIGHT, WIDTH, 2), (x, y), np.float32)


def block(value: float = 1) -> Floats:
    unreliability = np.zeros((HEIGHT, WIDTH), np.float32)
    unreliability[40:80, 60:100] = value
    return unreliability


# Measuring.


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
def test_short_ways_lead_as_far_as_a_long_one(fast: bool, px: float) -> None:
    cameras = [
        Camera(x=4.3 * index, turn=0.01 * index, zoom=1 - 0.01 * index) for index in range(6)
    ]
    frames = [*map(footage.film, cameras)]
    ways = [
        optical_flow.estimate_pair(first, second, fast=fast) for first, second in pairwise(frames)
    ]
    back = [way.reversed for way in reversed(ways)]
    for first, last, its_ways in ((0, 5, ways), (5, 0, back)):
        found = optical_flow.estimate_along(frames[last], frames[first], its_ways, fast=fast)
        scale = 2 if fast else 1
        truth = footage.true_flow(cameras[first], cameras[last])[::scale, ::scale]
        margin = 30 // scale  # past it, what is seen leaves the picture
        assert np.median(inside(np.abs(found.flow * scale - truth), margin)) < px
        assert np.mean(inside(found.unreliability, margin)) < 0.02


def test_both_ways_lead_there_and_back() -> None:
    there, back = optical_flow.fine_flows(footage.film(STILL), footage.film(PAN))
    assert np.median(np.abs(there - footage.true_flow(STILL, PAN))) < 0.1
    assert np.median(np.abs(back - footage.true_flow(PAN, STILL))) < 0.1


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(("width", "height"), [(160, 12), (160, 24), (640, 16), (9, 200), (1, 1)])
def test_flat_and_tiny_frames_can_be_carried(width: int, height: int, fast: bool) -> None:
    """OpenCV's DIS ends the whole process on some of these sizes."""
    rng = np.random.default_rng(1)
    before = rng.integers(0, 256, (height, width, 3), np.uint8)
    found = optical_flow.estimate(before, np.roll(before, 2, 1), fast=fast)
    assert compose.warp_slide(before, found).shape == before.shape


def test_what_was_outside_is_doubtful() -> None:
    found = optical_flow.estimate(footage.film(STILL), footage.film(Camera(x=9)))
    assert found.unreliability[20:-20, :8].min() == 1
    assert found.unreliability[20:-20, 16:-16].max() < 0.1


def test_what_was_uncovered_is_doubtful() -> None:
    found = optical_flow.estimate(footage.moving_square(40), footage.moving_square(46))
    uncovered = footage.square_at(40) & ~footage.square_at(46)
    assert found.unreliability[uncovered].mean() > 0.7
    around = cv2.dilate((footage.square_at(40) | footage.square_at(46)).astype(np.uint8), ball(8))
    assert found.unreliability[around == 0].max() < 0.1
    core = cv2.erode(footage.square_at(46).astype(np.uint8), ball(8)) == 1
    assert found.unreliability[core].mean() < 0.1


def ball(px: int) -> Pixels:
    return np.ones((2 * px + 1, 2 * px + 1), np.uint8)


def test_nothing_to_do_with_each_other_is_doubtful() -> None:
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
def test_small_frames_can_be_carried(size: tuple[int, int], fast: bool) -> None:
    frame = footage.film(STILL)[: size[0], : size[1]].copy()
    found = optical_flow.estimate(frame, frame, fast=fast)
    assert np.abs(compose.warp_slide(frame, found).astype(int) - frame).max() <= 1
    assert np.all(masks.from_flow([found], 8, 16) == 0)


def test_threads_do_not_disturb_each_other() -> None:
    pairs = [(footage.film(STILL), footage.film(camera)) for camera in footage.MOVES.values()] * 3

    def carried(pair: tuple[Pixels, Pixels]) -> bytes:
        return compose.warp_slide(pair[0], optical_flow.estimate(*pair)).tobytes()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(carried, pairs)) == [carried(pair) for pair in pairs]


# Carrying.


@pytest.mark.parametrize("camera", footage.MOVES.values(), ids=footage.MOVES)
def test_a_slide_moves_with_the_frames(camera: Camera) -> None:
    before, frame = footage.film(STILL), footage.film(camera)
    carried = compose.warp_slide(restyled(before), optical_flow.estimate(before, frame))
    assert psnr(inside(carried), inside(restyled(frame))) > 38
    assert psnr(carried, restyled(frame)) > 30


def test_whole_pixels_are_moved_as_they_are() -> None:
    slide = footage.film(STILL)
    carried = compose.warp_slide(slide, moved(slide, by=shift(3, -2)))
    assert np.array_equal(carried[2:, :-3], slide[:-2, 3:])


def test_a_long_chain_stays_sharp() -> None:
    slide = softened = footage.film(STILL)
    for step in range(10):
        there = shift(0.5 - (step % 2), 0.4 - 0.8 * (step % 2))
        slide = compose.warp_slide(slide, moved(slide, by=there))
        softened = arrays.warp(softened, there)
    kept = metrics.sharpness(inside(slide)) / metrics.sharpness(inside(footage.film(STILL)))
    lost = metrics.sharpness(inside(softened)) / metrics.sharpness(inside(footage.film(STILL)))
    assert 0.85 < kept < 1.15 and lost < 0.6
    assert psnr(inside(slide), inside(footage.film(STILL))) > 38


def test_what_the_slide_cannot_show_comes_from_the_frame_in_its_colours() -> None:
    frame = footage.film(STILL)
    slide = restyled(frame)
    slide[40:80, 60:100] = 0
    carried = compose.warp_slide(slide, moved(frame, unreliability=block()))
    assert psnr(carried[44:76, 64:96], restyled(frame)[44:76, 64:96]) > 28
    assert psnr(carried[44:76, 64:96], restyled(frame)[44:76, 64:96]) > 6 + psnr(
        frame[44:76, 64:96], restyled(frame)[44:76, 64:96]
    )
    assert np.array_equal(carried[:30], slide[:30])


def test_nothing_to_learn_colours_from_leaves_the_frame() -> None:
    frame = footage.film(STILL)
    nothing_known = np.ones((HEIGHT, WIDTH), np.float32)
    assert np.array_equal(
        compose.warp_slide(frame // 3, moved(frame, unreliability=nothing_known)), frame
    )


# The mask, and the slide made of the model's answer.


@pytest.mark.parametrize("strength", [0, 1, 2, 4, 7.5, 8])
def test_strength_has_the_scale_of_the_other_masks(strength: float) -> None:
    frame = footage.film(STILL)
    grey = masks.from_flow([moved(frame, unreliability=block())], strength, 4)
    assert np.all(grey[:30] == masks.from_change(masks.change([frame, frame]), strength, 4)[:30])
    assert np.all(grey[40:80, 60:100] == 255)


def test_size_is_how_far_the_mask_reaches_with_a_soft_edge() -> None:
    frame = footage.film(STILL)
    row = masks.from_flow([moved(frame, unreliability=block())], 8, 6)[60].astype(int)
    assert np.flatnonzero(row)[[0, -1]].tolist() == [60 - 12, 99 + 12]
    assert np.abs(np.diff(row)).max() < 60
    assert np.array_equal(
        masks.from_flow([moved(frame, unreliability=block())], 8, 0), 255 * block()
    )


def test_kept_pixels_do_not_pass_the_model() -> None:
    carried, answer = footage.film(STILL), footage.film(PAN)
    grey = masks.from_flow([moved(carried, unreliability=block())], 8, 6)
    slide = compose.compose(answer, carried, grey)
    assert np.array_equal(slide[grey == 0], carried[grey == 0])
    assert np.array_equal(slide[grey == 255], answer[grey == 255])


def test_a_cast_of_the_model_is_taken_out_of_its_answer() -> None:
    carried = restyled(footage.film(STILL))
    grey = np.rint(255 * block()).astype(np.uint8)
    cast = np.asarray((carried * 0.95 + [12, 4, -2]).clip(0, 255), np.uint8)
    corrected = colour.match_kept_colours(cast, carried, grey)
    assert psnr(corrected, carried) > 36 > 3 + psnr(cast, carried)


def test_with_nothing_kept_the_answer_stands() -> None:
    answer = footage.film(PAN)
    assert colour.match_kept_colours(answer, footage.film(STILL), masks.free_all(answer)) is answer


def pulled(slide: Pixels, frame: Pixels, middle: Pixels, its_frame: Pixels, share: float) -> Pixels:
    return colour.correct_drift(
        slide, frame, colour.colour_stats(middle), colour.colour_stats(its_frame), share
    )


def test_colours_that_drift_are_drawn_back() -> None:
    frame = footage.film(STILL)
    middle = restyled(frame)
    slide = np.asarray((middle.astype(int) + 16).clip(0, 255), np.uint8)
    drifts = [
        metrics.lightness(each) - metrics.lightness(middle)
        for each in (slide, pulled(slide, frame, middle, frame, 0.25))
    ]
    assert drifts[1] == pytest.approx(0.75 * drifts[0], rel=0.1)


def test_contrast_that_drifts_is_drawn_back() -> None:
    frame = footage.film(STILL)
    flat = np.asarray(frame * 0.9 + 12.8, np.uint8)
    contrasts = [float(colour.colour_stats(each).deviation[0]) for each in (frame, flat)]
    back = float(colour.colour_stats(pulled(flat, frame, frame, frame, 0.5)).deviation[0])
    assert back == pytest.approx(math.sqrt(contrasts[0] * contrasts[1]), rel=0.01)


def test_light_that_changes_in_the_frames_is_no_drift() -> None:
    frame, darker = footage.film(STILL), footage.film(STILL) // 2
    assert pulled(darker, darker, frame, frame, 0.5) is darker


def test_light_that_changes_in_the_frames_reaches_a_carried_slide() -> None:
    frame, darker = footage.film(STILL), footage.film(STILL) // 2
    slide = frame
    for _ in range(20):
        slide = pulled(slide, darker, frame, frame, 0.2)
    assert psnr(slide, darker) > 30 > 15 > psnr(frame, darker)


def test_pulling_at_what_does_not_drift_changes_nothing() -> None:
    middle = restyled(footage.film(STILL))
    slide = middle
    for _ in range(50):
        slide = pulled(slide, footage.film(STILL), middle, footage.film(STILL), 1)
    assert np.array_equal(slide, middle)


# Between keys, and between neighbours.


def test_a_slide_between_keys_takes_each_pixel_from_the_better_one() -> None:
    truth = restyled(footage.film(STILL))
    wrong = truth.copy()
    wrong[40:80, 60:100] = 0
    good, bad = moved(footage.film(STILL)), moved(footage.film(STILL), unreliability=block())
    for keys, found in (((wrong, truth), (bad, good)), ((truth, wrong), (good, bad))):
        assert psnr(compose.fill(keys, found), truth) > 40
        assert not masks.from_flow(found, 8, 4).any()
    assert np.array_equal(masks.from_flow([bad, bad], 8, 0), 255 * block())


def test_keys_are_weighted_by_their_error() -> None:
    frame = footage.film(STILL)
    black, white = np.zeros_like(frame), np.full_like(frame, 255)
    error = np.full((HEIGHT, WIDTH), 3, np.float32)  # and 3 more: twice that of no error
    worse = FlowEstimate(frame, shift(0), np.zeros_like(error), error)
    between = compose.fill([black, white], [worse, moved(frame)])
    assert np.all(between == round(255 * 6**8 / (6**8 + 3**8)))


def test_neighbours_calm_the_boil() -> None:
    frame, rng = footage.film(STILL), np.random.default_rng(3)
    slides = [
        np.asarray((frame + rng.normal(0, 8, frame.shape)).clip(0, 255), np.uint8) for _ in range(5)
    ]
    around = [
        (slide, moved(frame), away) for slide, away in zip(slides[1:], [1, 1, 2, 2], strict=True)
    ]
    calm = compose.deflicker(slides[0], around, 2)
    assert psnr(calm, frame) > psnr(slides[0], frame) + 5
    assert np.array_equal(compose.deflicker(slides[0], [], 2), slides[0])


def test_a_neighbour_has_no_say_where_it_is_doubtful() -> None:
    frame = footage.film(STILL)
    nowhere = moved(frame, unreliability=np.ones((HEIGHT, WIDTH), np.float32))
    assert np.array_equal(compose.deflicker(frame, [(frame // 3, nowhere, 1)], 2), frame)
