"""Slides composed from warped slides and answers that were drawn of frames alone."""

from __future__ import annotations

import numpy as np
import pytest
from support import footage
from support.flows import PAN, STILL, block

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import masks, metrics
from stable_restyle.imaging.answers import compose_answer
from stable_restyle.imaging.arrays import blur

GREY = np.rint(255 * block()).astype(np.uint8)
NOTHING_FREE = np.zeros_like(GREY)


def error(picture: Pixels, other: Pixels) -> float:
    return float(np.abs(picture.astype(float) - other).mean())


def textured(picture: Pixels, seed: int = 1) -> Pixels:
    """Add a texture of 2 pixels."""
    noise = np.random.default_rng(seed).normal(0, 60, picture.shape).astype(np.float32)
    return np.asarray(np.rint(picture + blur(noise, 0.8)).clip(0, 255), np.uint8)


def test_an_answer_that_looks_alike_changes_nothing() -> None:
    warped = footage.film(STILL)
    answer = warped.copy()
    answer[GREY > 0] = 255 - answer[GREY > 0]
    slide = compose_answer(answer, warped, GREY, 0.3)
    assert error(slide[GREY == 0], warped[GREY == 0]) < 0.1


def test_free_pixels_are_those_of_the_answer() -> None:
    warped, answer = footage.film(STILL), footage.film(PAN)
    slide = compose_answer(answer, warped, GREY, 0.3)
    assert np.array_equal(slide[GREY == 255], answer[GREY == 255])
    assert np.array_equal(compose_answer(answer, warped, masks.free_all(answer), 0.3), answer)


@pytest.mark.parametrize("share", [0.3, 1])
def test_kept_colours_are_pulled_to_those_of_the_answer(share: float) -> None:
    warped = footage.film(STILL) // 2
    answer = warped + 40
    slide = compose_answer(answer, warped, NOTHING_FREE, share)
    assert error(slide, warped) == pytest.approx(40 * share, abs=1)


def test_colours_never_pass_those_of_the_answer() -> None:
    warped = footage.film(STILL) // 2
    answer = warped + 40
    slide = warped
    for _ in range(30):
        slide = compose_answer(answer, slide, NOTHING_FREE, 0.3)
    assert error(slide, answer) < 2 and np.all(slide <= answer + 1)


def test_a_shadow_falls_where_the_answer_has_it() -> None:
    warped = footage.film(STILL)
    answer = warped.copy()
    answer[:, :64] //= 2
    slide = compose_answer(answer, warped, NOTHING_FREE, 1)
    assert error(slide[:, :48], answer[:, :48]) < error(warped[:, :48], answer[:, :48]) / 4
    assert error(slide[:, 96:], warped[:, 96:]) < 1


def test_without_a_share_colours_are_those_of_the_warped_slide() -> None:
    warped = footage.film(STILL) // 2
    assert error(compose_answer(warped + 40, warped, NOTHING_FREE, 0), warped) < 0.1


def test_contrast_follows_the_answer_and_does_not_pass_it() -> None:
    warped = footage.film(STILL)
    answer = np.asarray(64 + warped // 2, np.uint8)
    slide, spreads = warped, []
    for _ in range(20):
        slide = compose_answer(answer, slide, NOTHING_FREE, 0.3)
        spreads.append(float(slide.std()))
    assert spreads == sorted(spreads, reverse=True)
    assert error(slide, answer) < 2 < 10 < error(warped, answer)


@pytest.mark.parametrize("softer", [0.6, -0.6])
def test_detail_becomes_as_strong_as_the_answer_s(softer: float) -> None:
    answer = textured(footage.film(STILL))
    soft = blur(answer.astype(np.float32), 0.6)
    warped = np.asarray(np.rint(answer + softer * (soft - answer)).clip(0, 255), np.uint8)
    slide = warped
    for _ in range(10):
        slide = compose_answer(answer, slide, NOTHING_FREE, 0.3)
    before, after = (
        metrics.sharpness(each) / metrics.sharpness(answer) for each in (warped, slide)
    )
    assert abs(after - 1) < abs(before - 1) / 3 < 0.2


def test_kept_detail_stays_that_of_the_warped_slide() -> None:
    warped = textured(footage.film(STILL), seed=1)
    answer = textured(footage.film(STILL), seed=2)
    slide = compose_answer(answer, warped, NOTHING_FREE, 0.3)
    assert error(slide, warped) < error(slide, answer) / 5
