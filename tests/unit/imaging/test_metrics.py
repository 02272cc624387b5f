"""The metrics, on footage whose motion is known."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from support import footage
from support.footage import Camera

from stable_restyle.core.records import Pixels
from stable_restyle.imaging import metrics
from stable_restyle.imaging.arrays import Flags

STILL = Camera()


def flickering(picture: Pixels, sigma: float, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return (picture + noise).round().clip(0, 255).astype(np.uint8)


def blurred(picture: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 1.5), np.uint8)


def interior(flags: Flags, margin: int = 12) -> Flags:
    return flags[margin:-margin, margin:-margin]


@pytest.mark.parametrize("camera", footage.MOVES.values(), ids=footage.MOVES)
def test_known_motion_is_taken_out(camera: Camera) -> None:
    forward, backward = footage.true_flow(STILL, camera), footage.true_flow(camera, STILL)
    hidden = metrics.occlusion(forward, backward)
    assert not interior(hidden).any()
    error = metrics.warping_error(footage.film(STILL), footage.film(camera), forward, hidden)
    unmoved = metrics.warping_error(
        footage.film(STILL), footage.film(camera), np.zeros_like(forward), hidden
    )
    assert error < 1e-4 < unmoved / 50


def test_what_leaves_the_picture_does_not_count() -> None:
    camera = Camera(x=10)
    hidden = metrics.occlusion(footage.true_flow(STILL, camera), footage.true_flow(camera, STILL))
    assert hidden[:, -10:].all() and not hidden[:, :-10].any()


def test_what_an_object_covers_does_not_count() -> None:
    forward, backward = footage.square_flow(40, 52), footage.square_flow(52, 40)
    hidden = metrics.occlusion(forward, backward)
    covered = footage.square_at(52) & ~footage.square_at(40)
    assert hidden[covered].all()
    outline = cv2.dilate(footage.square_at(40).astype(np.uint8), np.ones((3, 3)))
    assert not hidden[(outline == 0) & ~covered].any()


def test_what_an_object_uncovers_does_not_count() -> None:
    backward, forward = footage.square_flow(40, 52), footage.square_flow(52, 40)
    hidden = metrics.occlusion(forward, backward)
    uncovered = footage.square_at(40) & ~footage.square_at(52)
    assert hidden[uncovered].all()
    error = metrics.warping_error(
        footage.moving_square(52), footage.moving_square(40), forward, hidden
    )
    assert error < 1e-6


def test_a_motion_edge_does_not_count() -> None:
    forward = footage.square_flow(40, 52)
    hidden = metrics.occlusion(forward, -forward)
    assert hidden[40 : 40 + footage.SQUARE - 1, 39].all()


def test_flicker_costs_its_variance_in_both_pictures() -> None:
    picture, still = footage.film(STILL), np.zeros((footage.HEIGHT, footage.WIDTH, 2), np.float32)
    error = metrics.warping_error(
        flickering(picture, 6, seed=1), flickering(picture, 6, seed=2), still, still[..., 0] > 0
    )
    assert error == pytest.approx(2 * (6 / 255) ** 2, rel=0.05)


def test_nothing_to_compare_is_no_number() -> None:
    picture, still = footage.film(STILL), np.zeros((footage.HEIGHT, footage.WIDTH, 2), np.float32)
    assert math.isnan(metrics.warping_error(picture, picture, still, still[..., 0] == 0))


def test_lightness_is_the_mean_of_l() -> None:
    levels = [np.full((4, 4, 3), level, np.uint8) for level in (0, 119, 255)]
    assert [metrics.lightness(each) for each in levels] == pytest.approx([0, 50, 100], abs=0.3)


def test_blur_is_not_sharp() -> None:
    picture = footage.film(STILL)
    assert metrics.sharpness(blurred(picture)) < 0.7 * metrics.sharpness(picture)


def test_style_distance_is_how_far_colours_moved() -> None:
    grey = np.full((6, 8, 3), 119, np.uint8)
    lighter = np.asarray(cv2.cvtColor(_shifted_lab(grey, 12), cv2.COLOR_LAB2RGB), np.uint8)
    assert metrics.style_distance(grey, grey[:3]) == 0
    assert metrics.style_distance(grey, lighter) == pytest.approx(12 / 3, abs=0.4)
    assert metrics.style_distance(lighter, grey) == metrics.style_distance(grey, lighter)


def test_style_distance_does_not_mind_motion() -> None:
    moved = footage.film(Camera(x=4))
    assert metrics.style_distance(footage.film(STILL), moved) < 1.5


def test_structure_is_the_edges_of_the_frame() -> None:
    frame = footage.film(STILL)
    assert metrics.structure(frame, frame) == pytest.approx(1)
    repainted = (frame * 0.8 + 30).astype(np.uint8)
    elsewhere = footage.film(Camera(x=60))
    assert metrics.structure(repainted, frame) > 0.9 > 0.4 > metrics.structure(elsewhere, frame)


def scene(slides: int, sigma: float, light: float = 0) -> Iterator[metrics.Shown]:
    """A pan; its slides are its frames in other colours, with flicker and a light that jumps."""
    for index in range(slides):
        frame = footage.film(Camera(x=2.4 * index))
        restyled = (255 - frame * 0.6 - light * (index % 2)).astype(np.uint8)
        yield metrics.Shown(frame, flickering(restyled, sigma, index))


def measured(slides: int, sigma: float, light: float = 0) -> metrics.Stability:
    return metrics.measure_scene(list(scene(slides, sigma, light)), slides // 2)


def test_a_steady_scene_has_the_error_of_its_frames() -> None:
    steady = measured(5, sigma=0)
    assert (steady.slides, steady.pairs, steady.scenes) == (5, 4, 1)
    assert steady.e_warp < 3e-4 and steady.e_warp_ratio < 1
    assert steady.sharpness == pytest.approx(1, abs=0.1)
    assert steady.flicker < 0.3 and steady.structure > 0.8


def test_a_flickering_scene_has_its_error_in_near_and_far_pairs() -> None:
    steady, flicker = measured(5, sigma=0), measured(5, sigma=8)
    # bilinear interpolation averages the noise of the second picture
    for figure in ("e_warp", "e_warp_long"):
        added = getattr(flicker, figure) - getattr(steady, figure)
        assert (8 / 255) ** 2 < added < 2.1 * (8 / 255) ** 2


def test_flicker_is_the_light_that_the_frames_do_not_have() -> None:
    assert measured(4, sigma=0, light=10).flicker == pytest.approx(10 / 2.55, rel=0.15)


def test_a_scene_of_one_slide_has_nothing_to_compare() -> None:
    alone = measured(1, sigma=0)
    assert (alone.slides, alone.pairs) == (1, 0)
    assert math.isnan(alone.e_warp) and math.isnan(alone.sharpness) and alone.structure > 0.5


def test_scenes_together_weigh_as_much_as_they_are_long() -> None:
    short, long, alone = measured(2, sigma=8), measured(5, sigma=0), measured(1, sigma=0)
    both = metrics.combine_scenes([short, long, alone])
    assert (both.slides, both.pairs, both.scenes) == (8, 5, 3)
    assert both.e_warp == pytest.approx((short.e_warp + 4 * long.e_warp) / 5)
    assert both.style_ends == pytest.approx((short.style_ends + long.style_ends) / 2)
    assert metrics.combine_scenes([long]) == long


def test_what_is_not_there_is_left_out_of_the_means() -> None:
    first, second, third = scene(3, sigma=0)
    alone = metrics.measure_slide(third, None, None)
    assert math.isnan(alone.e_warp) and math.isnan(alone.style) and alone.structure > 0.5
    near = metrics.measure_slide(second, first, first)
    assert (near.e_warp, near.e_warp_input) == (near.e_warp_long, near.e_warp_long_input)
    found = metrics.combine_slides([None, near, alone], middle=0)
    assert (found.slides, found.pairs, found.e_warp) == (2, 1, near.e_warp)
    assert math.isnan(found.style_ends) and found.style == near.style


def test_the_middle_is_not_compared_with_itself() -> None:
    pictures = list(scene(3, sigma=0))
    pictures[1] = metrics.Shown(pictures[1].frame, blurred(pictures[1].slide))
    assert metrics.measure_scene(pictures, 1).sharpness > 1.3


def _shifted_lab(picture: Pixels, levels: int) -> Pixels:
    lab = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), np.uint8)
    lab[..., 0] += levels
    return lab
