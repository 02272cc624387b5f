"""Colours of the model's answers, and their drift along a chain."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support import footage
from support.flows import PAN, STILL, block, psnr, restyled

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import colour, masks, metrics


def test_a_colour_cast_of_the_model_is_removed() -> None:
    warped = restyled(footage.film(STILL))
    grey = np.rint(255 * block()).astype(np.uint8)
    cast = np.asarray((warped * 0.95 + [12, 4, -2]).clip(0, 255), np.uint8)
    corrected = colour.match_kept_colours(cast, warped, grey)
    assert psnr(corrected, warped) > 36 > 3 + psnr(cast, warped)


def test_with_nothing_kept_the_answer_is_unchanged() -> None:
    answer = footage.film(PAN)
    assert colour.match_kept_colours(answer, footage.film(STILL), masks.free_all(answer)) is answer


def pulled(slide: Pixels, frame: Pixels, middle: Pixels, its_frame: Pixels, share: float) -> Pixels:
    return colour.correct_drift(
        slide, frame, colour.colour_stats(middle), colour.colour_stats(its_frame), share
    )


def test_colours_that_drift_are_pulled_back() -> None:
    frame = footage.film(STILL)
    middle = restyled(frame)
    slide = np.asarray((middle.astype(int) + 16).clip(0, 255), np.uint8)
    drifts = [
        metrics.lightness(each) - metrics.lightness(middle)
        for each in (slide, pulled(slide, frame, middle, frame, 0.25))
    ]
    assert drifts[1] == pytest.approx(0.75 * drifts[0], rel=0.1)


def test_contrast_that_drifts_is_pulled_back() -> None:
    frame = footage.film(STILL)
    flat = np.asarray(frame * 0.9 + 12.8, np.uint8)
    contrasts = [float(colour.colour_stats(each).deviation[0]) for each in (frame, flat)]
    back = float(colour.colour_stats(pulled(flat, frame, frame, frame, 0.5)).deviation[0])
    assert back == pytest.approx(math.sqrt(contrasts[0] * contrasts[1]), rel=0.01)


def test_light_that_changes_in_the_frames_is_no_drift() -> None:
    frame, darker = footage.film(STILL), footage.film(STILL) // 2
    assert pulled(darker, darker, frame, frame, 0.5) is darker


def test_light_that_changes_in_the_frames_reaches_a_warped_slide() -> None:
    frame, darker = footage.film(STILL), footage.film(STILL) // 2
    slide = frame
    for _ in range(20):
        slide = pulled(slide, darker, frame, frame, 0.2)
    assert psnr(slide, darker) > 30 > 15 > psnr(frame, darker)


def test_without_drift_nothing_changes() -> None:
    middle = restyled(footage.film(STILL))
    slide = middle
    for _ in range(50):
        slide = pulled(slide, footage.film(STILL), middle, footage.film(STILL), 1)
    assert np.array_equal(slide, middle)
