"""Slides warped, filled and averaged along known motion."""

from __future__ import annotations

import numpy as np
import pytest
from support import footage
from support.flows import PAN, STILL, block, inside, moved, psnr, restyled, shift
from support.footage import HEIGHT, WIDTH, Camera

from stable_restyle.imaging import arrays, compose, masks, metrics, optical_flow
from stable_restyle.imaging.optical_flow import FlowEstimate


@pytest.mark.parametrize("camera", footage.MOVES.values(), ids=footage.MOVES)
def test_a_slide_moves_with_the_frames(camera: Camera) -> None:
    before, frame = footage.film(STILL), footage.film(camera)
    warped = compose.warp_slide(restyled(before), optical_flow.estimate(before, frame))
    assert psnr(inside(warped), inside(restyled(frame))) > 38
    assert psnr(warped, restyled(frame)) > 30


def test_whole_pixels_are_moved_as_they_are() -> None:
    slide = footage.film(STILL)
    warped = compose.warp_slide(slide, moved(slide, by=shift(3, -2)))
    assert np.array_equal(warped[2:, :-3], slide[:-2, 3:])


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


def test_what_the_slide_cannot_show_comes_from_the_recoloured_frame() -> None:
    frame = footage.film(STILL)
    slide = restyled(frame)
    slide[40:80, 60:100] = 0
    warped = compose.warp_slide(slide, moved(frame, unreliability=block()))
    assert psnr(warped[44:76, 64:96], restyled(frame)[44:76, 64:96]) > 28
    assert psnr(warped[44:76, 64:96], restyled(frame)[44:76, 64:96]) > 6 + psnr(
        frame[44:76, 64:96], restyled(frame)[44:76, 64:96]
    )
    assert np.array_equal(warped[:30], slide[:30])


def test_without_known_colours_the_frame_is_unchanged() -> None:
    frame = footage.film(STILL)
    nothing_known = np.ones((HEIGHT, WIDTH), np.float32)
    assert np.array_equal(
        compose.warp_slide(frame // 3, moved(frame, unreliability=nothing_known)), frame
    )


def test_kept_pixels_are_those_of_the_warped_slide() -> None:
    warped, answer = footage.film(STILL), footage.film(PAN)
    grey = masks.from_flow([moved(warped, unreliability=block())], 8, 6)
    slide = compose.compose(answer, warped, grey)
    assert np.array_equal(slide[grey == 0], warped[grey == 0])
    assert np.array_equal(slide[grey == 255], answer[grey == 255])


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
    none = np.zeros_like(error)
    worse = FlowEstimate(frame, shift(0), none, none.astype(np.float16), error)
    between = compose.fill([black, white], [worse, moved(frame)])
    assert np.all(between == round(255 * 6**8 / (6**8 + 3**8)))


def test_neighbours_reduce_flicker() -> None:
    frame, rng = footage.film(STILL), np.random.default_rng(3)
    slides = [
        np.asarray((frame + rng.normal(0, 8, frame.shape)).clip(0, 255), np.uint8) for _ in range(5)
    ]
    around = [
        (slide, moved(frame), away) for slide, away in zip(slides[1:], [1, 1, 2, 2], strict=True)
    ]
    calm = compose.deflicker(slides[0], around, 2)
    assert psnr(calm, frame) > psnr(slides[0], frame) + 4.5
    assert np.array_equal(compose.deflicker(slides[0], [], 2), slides[0])


def test_a_mean_of_neighbours_is_as_sharp_as_the_slide() -> None:
    frame = footage.film(STILL)
    noise = np.random.default_rng(3).normal(0, 40, frame.shape).astype(np.float32)
    slide = np.asarray(np.rint(frame + arrays.blur(noise, 0.6)).clip(0, 255), np.uint8)
    beside = arrays.warp(slide, shift(0.5))
    calm = compose.deflicker(slide, [(beside, moved(frame), 1)] * 2, 2)
    mean = np.asarray((slide.astype(int) + beside) // 2, np.uint8)
    lost = 1 - metrics.sharpness(mean) / metrics.sharpness(slide)
    assert abs(1 - metrics.sharpness(calm) / metrics.sharpness(slide)) < 0.7 * lost


def test_a_neighbour_does_not_count_where_it_is_unreliable() -> None:
    frame = footage.film(STILL)
    nowhere = moved(frame, unreliability=np.ones((HEIGHT, WIDTH), np.float32))
    assert np.array_equal(compose.deflicker(frame, [(frame // 3, nowhere, 1)], 2), frame)


@pytest.mark.parametrize("others", range(1, 24))
def test_equal_pictures_are_blended_to_the_same(others: int) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    for part in range(1, others + 1):
        share = part / (others + 1)
        assert np.array_equal(arrays.blend([levels, levels], [share, 1 - share]), levels)
