"""What a model shifted and scaled is put back; what it did not is left alone, to the bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import arrays, registration

HEIGHT, WIDTH = 270, 480


def textured(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """A ground of soft blotches with edges: discs and boxes in colours of their own."""
    chance = np.random.default_rng(seed)
    noise = chance.integers(0, 256, (height // 12 + 1, width // 12 + 1, 3), np.uint8)
    ground = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.asarray(ground, np.uint8)
    for _ in range(20):
        x, y = int(chance.integers(0, width)), int(chance.integers(0, height))
        colour = tuple(int(each) for each in chance.integers(0, 256, 3))
        if chance.random() < 0.5:
            cv2.circle(picture, (x, y), int(chance.integers(8, 40)), colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(picture, (x, y), (x + 50, y + 30), colour, -1)
    return picture


def restyled(picture: Pixels) -> Pixels:
    """Other colours and fewer of them, as a model paints: the edges stay where they are."""
    swapped = 255 - picture[:, :, ::-1].astype(np.uint16) * 3 // 4
    return np.asarray(cv2.medianBlur((swapped // 24 * 24).astype(np.uint8), 5), np.uint8)


def moved(picture: Pixels, x: float, y: float, scale: float = 1.0) -> Pixels:
    """Shifted by pixels, and scaled about the centre."""
    height, width = picture.shape[:2]
    here = (1 - scale) / 2
    transform = np.array([[scale, 0, here * width + x], [0, scale, here * height + y]])
    return np.asarray(
        cv2.warpAffine(
            picture, transform, (width, height), None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
        ),
        np.uint8,
    )


def off(one: Pixels, other: Pixels) -> float:
    """Mean difference in levels, borders aside: they have no content of their own."""
    inner = np.s_[24:-24, 24:-24]
    return float(np.abs(one[inner].astype(float) - other[inner]).mean())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("x", "y", "scale"),
    [(5, -3, 1.0), (-2.5, 1.5, 1.0), (0, 0, 1.03), (0, 0, 0.97), (6, 4, 1.02), (-8, 8, 0.98)],
)
def test_shift_and_scale_are_taken_back(seed: int, x: float, y: float, scale: float) -> None:
    frame = textured(seed)
    wanted = restyled(frame)
    given = moved(wanted, x, y, scale)
    aligned = registration.align(given, frame)
    assert off(aligned, wanted) < 0.4 * off(given, wanted)


@pytest.mark.parametrize("seed", range(3))
def test_what_lies_in_place_is_left_alone(seed: int) -> None:
    frame = textured(seed)
    answer = restyled(frame)
    assert registration.align(answer, frame) is answer


@pytest.mark.parametrize("seed", range(12))
def test_what_shows_something_else_is_left_alone(seed: int) -> None:
    answer = textured(seed + 100)
    assert registration.align(answer, textured(seed)) is answer


@pytest.mark.parametrize("picture", [np.zeros, np.ones])
def test_plain_pictures_are_left_alone(picture: type) -> None:
    answer = picture((90, 160, 3), np.uint8)
    assert registration.align(answer, textured()) is answer
    frame = picture((90, 160, 3), np.uint8)
    other = textured()
    assert registration.align(other, frame) is other


@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (2, 300)])
def test_small_pictures_do_no_harm(shape: tuple[int, int]) -> None:
    answer = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert registration.align(answer, 255 - answer).shape == answer.shape


def test_a_shift_beyond_what_models_do_is_left_alone() -> None:
    frame = textured()
    answer = moved(restyled(frame), 90, 0)
    assert registration.align(answer, frame) is answer


@pytest.mark.parametrize("scale", [2.0, 1.5, 0.5])
def test_answers_of_another_scale_are_aligned_at_theirs(scale: float) -> None:
    frame = textured()
    wanted = arrays.fit(restyled(frame), round(WIDTH * scale), round(HEIGHT * scale))
    given = moved(wanted, 5 * scale, -3 * scale)
    aligned = registration.align(given, frame)
    assert aligned.shape == given.shape
    assert off(aligned, wanted) < 0.4 * off(given, wanted)


def test_arguments_are_not_changed() -> None:
    frame = textured()
    answer = moved(restyled(frame), 4, 4)
    copies = frame.copy(), answer.copy()
    registration.align(answer, frame)
    assert np.array_equal(frame, copies[0]) and np.array_equal(answer, copies[1])
