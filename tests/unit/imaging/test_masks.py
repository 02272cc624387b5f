"""Masks and guides, compared with the original program's, and what their settings mean."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support import footage, paths
from support.flows import PAN, STILL, block, moved

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import masks, optical_flow
from stable_restyle.media import png, sequence

GOLDEN = sorted((paths.DATA / "golden").iterdir())


def settings(folder: Path) -> tuple[float, int]:
    found = re.search(r"strength(\d+)-size(\d+)", folder.name)
    assert found
    return float(found[1]), int(found[2])


def share_within(ours: Pixels, theirs: Pixels, levels: int) -> float:
    return float((np.abs(ours.astype(int) - theirs) <= levels).mean())


def still(height: int = 40, width: int = 60) -> Pixels:
    return np.full((height, width, 3), 90, np.uint8)


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_mask_is_the_original_programs(folder: Path) -> None:
    crossed = [png.read(folder / "in" / sequence.name(index)) for index in (2, 1, 0)]
    theirs = png.read(folder / "interp" / "000001-m.png")[:, :, 0]
    assert (
        share_within(masks.from_change(masks.change(crossed), *settings(folder)), theirs, 2) >= 0.98
    )


@pytest.mark.parametrize("folder", GOLDEN, ids=lambda folder: folder.name)
def test_guide_is_the_original_programs(folder: Path) -> None:
    interp = folder / "interp"
    guide = masks.blend(
        png.read(interp / "000001-b.png"),
        png.read(folder / "in" / "000001.png"),
        png.read(interp / "000001-m.png")[:, :, 0],
    )
    assert share_within(guide, png.read(interp / "000001.png"), 8) >= 0.99


@pytest.mark.parametrize(("strength", "level"), [(0, 255), (2, 192), (4, 128), (7.5, 16), (8, 0)])
def test_strength_decides_what_a_still_pixel_is_given(strength: float, level: int) -> None:
    assert np.all(masks.from_change(masks.change([still(), still()]), strength, 16) == level)


def test_every_pair_of_frames_counts() -> None:
    moved = still()
    moved[20, 30] = 250
    for crossed in ([moved, still()], [still(), still(), moved], [still(), moved, still()]):
        assert masks.change(crossed)[20, 30] >= 160


def test_change_saturates_instead_of_wrapping() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert np.all(masks.change([black, white, black]) == 255)


def test_a_single_frame_changes_nothing() -> None:
    assert not masks.change([still()]).any()


def test_a_middle_slide_may_change_everywhere() -> None:
    mask = masks.free_all(still(4, 6))
    assert mask.dtype == np.uint8 and mask.tolist() == [[255] * 6] * 4


def test_size_is_how_far_the_mask_reaches() -> None:
    moved = still()
    moved[20, 30] = 255
    change = masks.change([still(), moved])
    grown = masks.grow(change, 5)
    rows, columns = np.nonzero(grown)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (15, 25, 25, 35)
    assert np.array_equal(masks.grow(change, 0), change)
    assert np.all(masks.grow(change, 10**6) == change.max())


@pytest.mark.parametrize("shape", [(2, 60), (60, 2)], ids=str)
def test_a_mask_reaches_along_the_longer_side_of_its_frame(shape: tuple[int, int]) -> None:
    change = np.zeros(shape, np.uint8)
    change[0, 0] = 255
    assert (
        masks.grow(change, 40).any(axis=int(np.argmin(shape))).tolist()
        == [True] * 41 + [False] * 19
    )


def test_softening_goes_on_past_the_border_with_what_is_there() -> None:
    mask = np.random.default_rng(1).integers(0, 256, (9, 14), np.uint8)
    beyond = masks.soften(np.pad(mask, 4, "edge"))
    assert np.array_equal(masks.soften(mask), beyond[4:-4, 4:-4])


def test_softening_keeps_flat_parts_and_smooths_edges() -> None:
    edge = np.zeros((20, 40), np.uint8)
    edge[:, 20:] = 200
    soft = masks.soften(edge)
    assert np.all(soft[:, :15] == 0) and np.all(soft[:, 25:] == 200)
    assert np.array_equal(soft[10], soft[3])
    assert np.abs(np.diff(soft[10].astype(int))).max() < 100


def test_guide_takes_half_of_the_frame_where_all_is_free() -> None:
    warped, frame = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 200, np.uint8)
    mask = np.array([[0, 255], [51, 204]], np.uint8)
    assert masks.blend(warped, frame, mask)[:, :, 0].tolist() == [[100, 150], [110, 140]]


def test_guide_is_rounded_to_the_nearest_level() -> None:
    level, mask = np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2)
    frame = np.stack([level] * 3, axis=2)
    guide = masks.blend(np.zeros_like(frame), frame, mask)[:, :, 0]
    assert np.abs(guide - level * (mask / 510)).max() < 0.501


@pytest.mark.parametrize("strength", [0.5, 1, 2, 4, 7.5, 8])
def test_what_stands_still_is_kept_at_every_strength(strength: float) -> None:
    mask = masks.from_flow([moved(footage.film(STILL), unreliability=block())], strength, 4)
    assert np.all(mask[:30] == 0)
    assert np.all(mask[40:80, 60:100] == 255)


def test_a_lower_strength_frees_more_and_decides_for_one_picture() -> None:
    """A mean of two pictures that differ would be a blur."""
    frame = footage.film(STILL)
    error = np.linspace(0, 2, frame.shape[1], dtype=np.float16)[None].repeat(len(frame), axis=0)
    estimate = replace(moved(frame), error=error)
    found = [masks.from_flow([estimate], each, 0).astype(int) for each in (0, 1, 2, 4, 6, 8)]
    for more, less in pairwise(found):
        assert np.all(more >= less) and more.sum() > less.sum()
        assert ((less > 0) & (less < 255)).mean() < 0.05
    assert found[0].min() == 255


def test_strength_8_is_the_unreliability() -> None:
    estimate = optical_flow.estimate(footage.film(STILL), footage.film(PAN))
    assert np.array_equal(estimate.unreliability_at(8), estimate.unreliability)
    assert np.allclose(estimate.unreliability_at(7.9999), estimate.unreliability, atol=0.03)


def test_size_is_how_far_the_mask_reaches_with_a_soft_edge() -> None:
    frame = footage.film(STILL)
    row = masks.from_flow([moved(frame, unreliability=block())], 8, 6)[60].astype(int)
    assert np.flatnonzero(row)[[0, -1]].tolist() == [60 - 12, 99 + 12]
    assert np.abs(np.diff(row)).max() < 60
    assert np.array_equal(
        masks.from_flow([moved(frame, unreliability=block())], 8, 0), 255 * block()
    )
