"""The colours of a window, corrected by what its ends show."""

from __future__ import annotations

import numpy as np
import pytest
from support import footage
from support.footage import Camera

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import joins
from stable_restyle.imaging.joins import Ramp

KEY = footage.film(Camera())
ELSEWHERE = footage.film(Camera(x=300, y=80))


def shifted(picture: Pixels, gain: float, offset: tuple[float, float, float]) -> Pixels:
    made = picture * gain + np.array(offset)
    return np.asarray(np.rint(made).clip(0, 255), np.uint8)


def joined(picture: Pixels, key: Pixels) -> Pixels:
    levels = joins.correction(picture, key)
    return Ramp(levels, levels).apply(picture, 0.0)


@pytest.mark.parametrize(
    ("gain", "offset"), [(1.0, (6, -9, 14)), (0.9, (20, 4, -3)), (1.1, (0, 0, 0))]
)
def test_an_offset_and_another_contrast_are_taken_back(
    gain: float, offset: tuple[float, float, float]
) -> None:
    made = shifted(KEY, gain, offset)
    assert joins.step(made, KEY) > 4
    assert joins.step(joined(made, KEY), KEY) < 1


@pytest.mark.parametrize(
    "made", [KEY, ELSEWHERE, 255 - KEY, np.zeros_like(KEY), KEY[:, ::-1].copy()]
)
def test_it_is_never_worse_than_no_correction(made: Pixels) -> None:
    assert joins.step(joined(made, KEY), KEY) <= joins.step(made, KEY)


def test_a_picture_that_is_the_key_stays_as_it_is() -> None:
    assert np.array_equal(joined(KEY, KEY), KEY)


def test_between_the_ends_the_correction_is_linear() -> None:
    first, last = (joins.correction(shifted(KEY, 1, (each,) * 3), KEY) for each in (-20, 10))
    grey = np.full((4, 4, 3), 128, np.uint8)
    shown = [int(Ramp(first, last).apply(grey, share)[0, 0, 1]) for share in (0, 0.25, 0.5, 1)]
    assert shown == pytest.approx([148, 140, 133, 118], abs=1)


def test_only_what_is_restyled_counts() -> None:
    inside = np.zeros(KEY.shape[:2], np.uint8)
    assert joins.step(ELSEWHERE, KEY, inside) == 0
    assert np.array_equal(joins.correction(ELSEWHERE, KEY, inside)[:, 0], np.arange(256))
    inside[:40] = 255
    made = ELSEWHERE.copy()
    made[:40] = shifted(KEY, 1, (8, 8, 8))[:40]
    levels = joins.correction(made, KEY, inside)
    corrected = Ramp(levels, levels).apply(made, 1.0)
    assert joins.step(corrected, KEY, inside) < 1 < joins.step(corrected, KEY)
