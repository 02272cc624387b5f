"""Slides composed from warped slides and answers that were drawn of frames alone."""

from __future__ import annotations

import numpy as np
import pytest
from support import footage
from support.flows import PAN, STILL, block

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import masks
from stable_restyle.imaging.answers import compose_answer

GREY = np.rint(255 * block()).astype(np.uint8)
NOTHING_FREE = np.zeros_like(GREY)


def error(picture: Pixels, other: Pixels) -> float:
    return float(np.abs(picture.astype(float) - other).mean())


def test_without_a_share_kept_pixels_are_those_of_the_warped_slide() -> None:
    warped, answer = footage.film(STILL), footage.film(PAN)
    slide = compose_answer(answer, warped, GREY, 0)
    assert np.array_equal(slide[GREY == 0], warped[GREY == 0])


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
    assert error(slide, answer) < 2 and np.all(slide <= answer)


def test_a_shadow_falls_where_the_answer_has_it() -> None:
    warped = footage.film(STILL)
    answer = warped.copy()
    answer[:, :64] //= 2
    slide = compose_answer(answer, warped, NOTHING_FREE, 1)
    assert error(slide[:, :48], answer[:, :48]) < error(warped[:, :48], answer[:, :48]) / 4
    assert error(slide[:, 96:], warped[:, 96:]) < 1


def test_kept_detail_stays_that_of_the_warped_slide() -> None:
    warped = footage.film(STILL)
    rng = np.random.default_rng(1)
    answer = np.asarray((warped + rng.normal(0, 8, warped.shape)).clip(0, 255), np.uint8)
    slide = compose_answer(answer, warped, NOTHING_FREE, 0.3)
    assert error(slide, warped) < error(slide, answer) / 5
