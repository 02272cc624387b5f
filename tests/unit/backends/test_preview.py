"""The preview engine: what a backend owes to the chain, and that each look looks like itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stable_restyle.backends.preview import clay
from stable_restyle.backends.preview.engine import LOOKS, Preview, restyle
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import Job, Window, WindowJob

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels

SEED = 7
WIDTH, HEIGHT = 320, 180

both_looks = pytest.mark.parametrize("look", LOOKS)


def landscape(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Draw a sky, a meadow with blades of grass, a dark tree, a red ball with a highlight: RGB."""
    down = np.linspace(0, 1, 540)[:, None, None]
    sky = np.array([110, 170, 235]) + down * np.array([90, 50, -10])
    picture = np.tile(sky.astype(np.uint8), (1, 960, 1))
    cv2.rectangle(picture, (0, 330), (960, 540), (90, 150, 50), -1)
    for blade in range(0, 960, 21):
        cv2.line(picture, (blade, 525), (blade + 9, 354 + 39 * blade % 123), (60, 115, 30), 6)
    cv2.rectangle(picture, (690, 60), (786, 390), (60, 45, 35), -1)
    cv2.circle(picture, (330, 285), 135, (200, 45, 40), -1)
    cv2.circle(picture, (285, 234), 33, (245, 190, 185), -1)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def whole(picture: Pixels, free: int = 255) -> Pixels:
    return np.full(picture.shape[:2], free, np.uint8)


def drawn(picture: Pixels, look: str, *, seed: int = SEED, denoise: float = 0.6) -> Pixels:
    return restyle(picture, whole(picture), look=look, seed=seed, denoise=denoise)


def difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def grainy(picture: Pixels, deviation: float, seed: int = 0) -> Pixels:
    grain = np.random.default_rng(seed).normal(0, deviation, picture.shape)
    return np.rint(picture + grain).clip(0, 255).astype(np.uint8)


def light_and_chroma(picture: Pixels) -> tuple[float, float]:
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(float)
    return float(lab[..., 0].mean()), float(np.hypot(lab[..., 1] - 128, lab[..., 2] - 128).mean())


def roughness(picture: Pixels) -> float:
    """Return how much neighbouring pixels differ: the deviation from a small blur."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float((grey - cv2.GaussianBlur(grey, (0, 0), 1.5)).std())


@both_looks
def test_every_thread_draws_the_same_bytes(look: str) -> None:
    guide = landscape()
    alone = drawn(guide, look)
    clay._surface.cache_clear()
    backend = Preview(look, SEED, 0.6)
    jobs = [Job(slide, 1, guide, whole(guide)) for slide in range(12)]
    with ThreadPoolExecutor(6) as threads:
        together = [slide.pixels for slide in threads.map(backend.draw, jobs)]
    assert all(np.array_equal(slide, alone) for slide in together)


@both_looks
def test_a_job_leaves_its_guide_and_mask_alone(look: str) -> None:
    guide = landscape()
    mask = whole(guide, 90)
    before = guide.copy(), mask.copy()
    restyle(guide, mask, look=look, seed=SEED, denoise=1.0)
    assert np.array_equal(guide, before[0])
    assert np.array_equal(mask, before[1])


@both_looks
def test_the_mask_keeps_frees_and_mixes(look: str) -> None:
    guide = landscape()
    styled = drawn(guide, look)
    mask = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    mask[:, :40], mask[:, -40:] = 0, 255

    slide = restyle(guide, mask, look=look, seed=SEED, denoise=0.6)

    free = mask[..., None] / 255
    assert np.array_equal(slide[:, :40], guide[:, :40])
    assert np.array_equal(slide[:, -40:], styled[:, -40:])
    assert np.abs(slide - (free * styled + (1 - free) * guide)).max() <= 0.5 + 1e-9


@both_looks
def test_a_black_mask_gives_back_a_copy_of_the_guide(look: str) -> None:
    guide = landscape()
    slide = restyle(guide, whole(guide, 0), look=look, seed=SEED, denoise=1.0)
    assert np.array_equal(slide, guide)
    assert not np.shares_memory(slide, guide)


@both_looks
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 3), (7, 7), (25, 19), (1, 400), (400, 1), (131, 77)]
)
@pytest.mark.parametrize("content", ["black", "white", "noise"])
def test_every_size_is_drawn(look: str, shape: tuple[int, int], content: str) -> None:
    flat = {"black": 0, "white": 255, "noise": 128}[content]
    guide = np.full((*shape, 3), flat, np.uint8)
    if content == "noise":
        guide = grainy(guide, 80)
    slide = drawn(guide, look, denoise=1.0)
    assert slide.shape == guide.shape
    assert slide.dtype == np.uint8


@settings(max_examples=25)
@given(
    look=st.sampled_from(LOOKS),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    seed=st.integers(-(2**40), 2**70),
    denoise=st.floats(0, 1),
)
def test_any_settings_are_drawn_twice_alike(
    look: str, height: int, width: int, seed: int, denoise: float
) -> None:
    guide = grainy(np.full((height, width, 3), 120, np.uint8), 60)
    mask = grainy(guide, 90)[..., 0]
    once, again = (restyle(guide, mask, look=look, seed=seed, denoise=denoise) for _ in range(2))
    assert np.array_equal(once, again)
    assert np.array_equal(once[mask == 0], guide[mask == 0])


@both_looks
def test_a_large_picture_keeps_its_look(look: str) -> None:
    small = drawn(landscape(), look)
    large = drawn(landscape(3 * WIDTH, 3 * HEIGHT), look)
    shrunk = cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    assert difference(np.asarray(shrunk, np.uint8), small) < 8


@both_looks
def test_another_seed_makes_up_another_picture(look: str) -> None:
    guide = landscape()
    assert difference(drawn(guide, look, seed=1), drawn(guide, look, seed=2)) > 2


def test_high_bits_of_a_seed_count() -> None:
    guide = landscape()
    assert not np.array_equal(drawn(guide, "anime", seed=1), drawn(guide, "anime", seed=1 + 2**40))


@both_looks
def test_a_little_grain_flickers_but_less_than_a_new_seed(look: str) -> None:
    guide = landscape()
    slide = drawn(guide, look)
    flicker = difference(drawn(grainy(guide, 1.0), look), slide)
    assert 0.3 < flicker < 0.5 * difference(drawn(guide, look, seed=8), slide)


@both_looks
def test_a_small_change_of_content_stays_local(look: str) -> None:
    guide = landscape()
    changed = guide.copy()
    changed[20:36, 20:36] = (250, 250, 120)
    here, there = drawn(guide, look, denoise=1.0), drawn(changed, look, denoise=1.0)
    assert difference(here[15:40, 15:40], there[15:40, 15:40]) > 5
    assert np.array_equal(here[:, 160:], there[:, 160:])
    assert np.array_equal(here[140:], there[140:])


@both_looks
def test_denoise_scales_what_is_made_up(look: str) -> None:
    guide = landscape()
    plain, little, much = (drawn(guide, look, denoise=denoise) for denoise in (0.0, 0.3, 1.0))
    assert 0.2 < difference(little, plain) < difference(much, plain)


def test_denoise_0_makes_nothing_up() -> None:
    flat = np.full((HEIGHT, WIDTH, 3), (120, 150, 90), np.uint8)
    assert np.ptp(drawn(flat, "anime", denoise=1.0), axis=(0, 1)).min() > 4
    assert np.ptp(drawn(flat, "anime", denoise=0.0), axis=(0, 1)).max() == 0


def test_the_looks_differ() -> None:
    guide = landscape()
    clay, anime = drawn(guide, "clay"), drawn(guide, "anime")
    assert min(difference(clay, anime), difference(clay, guide), difference(anime, guide)) > 4


@pytest.mark.parametrize("dark, light", [(20, 90), (90, 170), (140, 235)])
def test_anime_draws_ink_along_an_edge(dark: int, light: int) -> None:
    guide = np.full((HEIGHT, WIDTH, 3), light, np.uint8)
    guide[:, : WIDTH // 2] = dark
    grey = cv2.cvtColor(drawn(guide, "anime", denoise=0.0), cv2.COLOR_RGB2GRAY)
    line = grey[:, WIDTH // 2 - 6 : WIDTH // 2 + 6].min(axis=1)
    area = grey[:, 40].astype(int)
    assert (line < 50).all()
    assert (line <= area - 0.5 * (area - 30)).all()


def test_anime_draws_no_ink_on_a_gentle_slope() -> None:
    slope = np.tile(np.linspace(60, 200, WIDTH).astype(np.uint8)[:, None], (HEIGHT, 1, 3))
    grey = cv2.cvtColor(drawn(slope, "anime", denoise=0.0), cv2.COLOR_RGB2GRAY)
    assert grey.min() > 45


def test_anime_turns_a_slope_into_few_flat_tones() -> None:
    slope = np.tile(np.linspace(10, 245, WIDTH).astype(np.uint8)[:, None], (HEIGHT, 1, 3))
    slide = cv2.cvtColor(drawn(slope, "anime", denoise=0.0), cv2.COLOR_RGB2GRAY)
    steps = np.abs(np.diff(slide[HEIGHT // 2].astype(int)))
    assert (steps <= 1).mean() > 0.8  # most of it is flat
    assert 3 <= (steps[1:-1] > 3).sum() <= 40  # and a few borders lie between


def test_clay_smooths_fine_texture_away() -> None:
    texture = grainy(np.full((HEIGHT, WIDTH, 3), (150, 110, 80), np.uint8), 14)
    assert roughness(drawn(texture, "clay", denoise=0.0)) < 0.5 * roughness(texture)


def test_clay_is_not_flat_where_the_guide_is() -> None:
    flat = np.full((360, 640, 3), (150, 110, 80), np.uint8)
    slide = cv2.cvtColor(drawn(flat, "clay", denoise=0.0), cv2.COLOR_RGB2GRAY)
    assert slide.std() > 1.5  # dents and lumps
    assert np.abs(slide.mean() - cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY).mean()) < 6


@both_looks
@pytest.mark.parametrize("denoise", [0.0, 0.6])
def test_tone_does_not_drift_when_slides_are_fed_back(look: str, denoise: float) -> None:
    slide = drawn(landscape(), look, denoise=denoise)
    light, chroma = light_and_chroma(slide)
    for _ in range(8):
        slide = drawn(slide, look, denoise=denoise)
    light_after, chroma_after = light_and_chroma(slide)
    assert abs(light_after - light) < 10
    assert abs(chroma_after - chroma) < 10


@both_looks
@pytest.mark.parametrize("free", [64, 128, 192])
def test_a_chain_over_a_still_scene_settles(look: str, free: int) -> None:
    frame = landscape()
    slide = drawn(frame, look)
    light, chroma = light_and_chroma(slide)
    share = 0.5 * free / 255
    for _ in range(8):
        guide = np.rint(slide * (1 - share) + frame * share).astype(np.uint8)
        before, slide = slide, restyle(guide, whole(guide, free), look=look, seed=SEED, denoise=0.6)
    light_after, chroma_after = light_and_chroma(slide)
    assert abs(light_after - light) < 4
    assert abs(chroma_after - chroma) < 4
    assert difference(slide, before) < 1.5
    assert roughness(slide) > 0.5 * roughness(drawn(frame, look))  # not blurred into mush


def test_greys_stay_grey() -> None:
    ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8)[:, None], (HEIGHT, 1, 3))
    for _ in range(4):
        ramp = drawn(ramp, "clay", denoise=0.0)
    assert light_and_chroma(ramp)[1] < 3


@both_looks
def test_a_preview_is_a_backend(look: str) -> None:
    guide = landscape(64, 36)
    backend = Preview(look, SEED, 0.4)
    assert backend.name == f"preview:{look}"
    assert backend.slots == cores()
    slide = backend.draw(Job(0, 1, guide, whole(guide, 200))).pixels
    expected = restyle(guide, whole(guide, 200), look=look, seed=SEED, denoise=0.4)
    assert np.array_equal(slide, expected)
    backend.close()


def test_an_unknown_look_names_the_known_ones() -> None:
    with pytest.raises(WrongUsage, match=r'no look "oil".*clay or anime'):
        Preview("oil", SEED, 0.6)


def test_a_window_keeps_what_is_known_and_draws_the_rest_picture_by_picture() -> None:
    frames = [np.roll(landscape(), shift, axis=1) for shift in range(4)]
    key = np.full_like(frames[0], 90)
    asked: list[int] = []

    def frame(slide: int) -> Pixels:
        asked.append(slide)
        return frames[slide]

    job = WindowJob(
        Window(range(4), 5),
        1,
        (WIDTH, HEIGHT),
        Fraction(24),
        frozenset({0, 3}),
        {"frames": frame, "known": lambda _: key},
        seed=SEED,
    )
    with Preview("clay", SEED, 0.6).draw_window(job) as pictures:
        assert not asked
        made = [each.pixels for each in pictures]
    assert asked == [1, 2]
    assert pictures.count == len(made) == 4
    assert np.array_equal(made[0], key) and np.array_equal(made[3], key)
    for slide in (1, 2):
        assert np.array_equal(made[slide], drawn(frames[slide], "clay", denoise=0.6))
