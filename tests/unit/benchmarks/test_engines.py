"""The engines that benchmarks draw by: what each does to a guide."""

from __future__ import annotations

import numpy as np
import pytest
from support import footage, paths
from support.footage import Camera

from benchmarks import clips
from benchmarks.engines import Engine, Vae, Weak, engines, network_file
from stable_restyle.core.records import Pixels

FRAME = footage.film(Camera())
ALL = np.full(FRAME.shape[:2], 255, np.uint8)
NONE = np.zeros_like(ALL)


def gap(first: Pixels, second: Pixels) -> float:
    return float(np.abs(first.astype(int) - second).mean())


@pytest.mark.parametrize("engine", engines().values(), ids=engines())
def test_an_engine_gives_the_same_answer_to_the_same_question(engine: Engine) -> None:
    first, second = (engine.draw(FRAME, ALL, 5) for _ in range(2))
    assert first.shape == FRAME.shape and first.dtype == np.uint8
    assert np.array_equal(first, second) and gap(first, FRAME) > 2


@pytest.mark.parametrize("engine", engines().values(), ids=engines())
def test_only_engines_that_invent_draw_a_slide_differently(engine: Engine) -> None:
    alike = np.array_equal(engine.draw(FRAME, ALL, 1), engine.draw(FRAME, ALL, 2))
    assert alike != engine.invents


def test_vae_invents_a_texture_at_each_call_and_loses_a_little_where_nothing_is_free() -> None:
    assert gap(Vae().draw(FRAME, ALL, 1), Vae().draw(FRAME, ALL, 2)) > 5
    once = Vae().draw(FRAME, NONE, 1)
    assert 0 < gap(once, FRAME) < gap(Vae().draw(once, NONE, 1), FRAME) < 5


def test_the_mask_of_vae_acts_by_whole_cells() -> None:
    mask = NONE.copy()
    mask[8, 8] = 255
    drawn = Vae().draw(FRAME, mask, 1).astype(int) - Vae().draw(FRAME, NONE, 1)
    rows, columns = np.nonzero(np.abs(drawn).max(axis=2) > 1)
    assert rows.size == 0 or (rows.min() >= 6 and columns.min() >= 6 and rows.max() <= 17)


def test_weak_goes_half_way_and_further_when_it_is_fed_its_answer() -> None:
    once = Weak().draw(FRAME, ALL, 1)
    chain = once
    for _ in range(6):
        chain = Weak().draw(chain, ALL, 1)
    assert gap(once, FRAME) == pytest.approx(gap(chain, FRAME) / 2, rel=0.15)


def test_the_network_is_used_only_if_it_is_installed() -> None:
    names = [name for name in engines() if name.startswith("network")]
    assert len(names) == (4 if network_file() else 0)


def test_frames_are_found_by_number_wherever_a_clip_begins() -> None:
    whole = clips.read(paths.EXAMPLE, 0, 90, 1)
    assert len(whole) == 90
    for first, step in ((0, 2), (37, 1), (61, 3)):
        part = clips.read(paths.EXAMPLE, first, 5, step)
        expected = whole[first : first + 5 * step : step]
        assert all(np.array_equal(a, b) for a, b in zip(part, expected, strict=True))


def test_the_light_of_a_clip_follows_its_curve() -> None:
    dark, between, bright = clips.Clip(paths.EXAMPLE, 0, 3, "a clip", ((0, 0.5), (2, 1.5))).frames()
    first, second, third = clips.read(paths.EXAMPLE, 0, 3, clips.STEP)
    assert np.array_equal(dark, np.rint(first / 2)) and np.array_equal(between, second)
    assert np.array_equal(bright, np.rint(third * 1.5).clip(0, 255))
