"""The subject's mask: its levels, its surroundings, its edge, and what it newly covers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import subject

MASKS = st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 128, 255, 255]))
)


def square() -> Pixels:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:45] = 255
    return mask


@given(MASKS)
def test_where_the_mask_is_black_the_frame_stays_to_the_bit(mask: Pixels) -> None:
    rng = np.random.default_rng(mask.size)
    slide, frame = rng.integers(0, 256, (2, *mask.shape, 3), dtype=np.uint8)
    composed = subject.compose(slide, frame, subject.share(mask))
    assert np.array_equal(composed[mask == 0], frame[mask == 0])


@given(MASKS)
def test_a_slide_that_is_all_white_stays_as_it_is(mask: Pixels) -> None:
    slide = np.random.default_rng(mask.size).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    white = np.full_like(mask, 255)
    assert np.array_equal(subject.compose(slide, 255 - slide, subject.share(white)), slide)


def test_the_edge_is_soft_and_lies_inside() -> None:
    share = subject.share(square())
    across = share[20, 13:22]
    assert across[2] > 0 == across[1] and across[6:].min() == 1
    assert (np.diff(across) >= 0).all()


@given(MASKS, MASKS)
def test_masks_lie_within_the_surroundings(mask: Pixels, other: Pixels) -> None:
    around = subject.surrounded(mask)
    before = np.resize(other, mask.shape).astype(np.uint8)
    restricted = subject.restrict(mask, around, before)
    assert (restricted <= around).all() and (restricted >= np.minimum(mask, around)).all()


def test_what_is_newly_covered_is_freed() -> None:
    kept, around = np.zeros((40, 60), np.uint8), square()
    before = np.roll(around, -3, axis=1)
    freed = subject.restrict(kept, around, before)
    assert (freed[10:30, 42:45] == 255).all() and not freed[:, :42].any()
    assert not subject.restrict(kept, around, around).any()


def test_levels_that_lossy_films_leave_are_black_and_white() -> None:
    levels = np.array([[0, 9, 16, 128, 239, 250, 255]], np.uint8)
    grey = np.stack([levels] * 3, axis=2)
    assert subject.levels(grey, inverted=False).tolist() == [[0, 0, 0, 128, 255, 255, 255]]
    assert subject.levels(grey, inverted=True).tolist() == [[255, 255, 255, 127, 0, 0, 0]]
    green = np.zeros((1, 1, 3), np.uint8)
    green[..., 1] = 255
    assert 130 < int(subject.levels(green, inverted=False)[0, 0]) < 160  # by luma
