"""The library moves an image like the frames, and changes nothing else.

Clips are made here, of textures whose movement is known; golden pictures come from the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from motion_transfer import Motion, MotionError, apply, measure
from PIL import Image
from support import paths

GOLDEN = paths.DATA / "golden"
# 2049 pixels are one too many for h263p: the last size uses MPEG-4.
SIZES = [(320, 240), (317, 239), (2049, 128)]

Picture = npt.NDArray[np.uint8]


def read(path: Path) -> Picture:
    return np.asarray(Image.open(path).convert("RGB"))


def texture(width: int, height: int, seed: int = 0) -> Picture:
    """Return soft blobs about ten pixels wide, in shades of one colour."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 6 + 2, width // 6 + 2))
    grey = np.asarray(Image.fromarray(noise.astype(np.uint8)).resize((width, height)))
    return np.stack([grey, grey // 2 + 90, grey // 2 + 40], axis=2)


def pan(scenery: Picture, steps: int, right: int, down: int) -> list[Picture]:
    """Return views of a scenery after 0 to `steps` movements; views are smaller by all of these."""
    height = scenery.shape[0] - steps * down
    width = scenery.shape[1] - steps * right
    lefts_and_tops = [(step * right, step * down) for step in range(steps + 1)]
    return [scenery[top : top + height, left : left + width] for left, top in lefts_and_tops]


def distance(one: Picture, other: Picture) -> float:
    """Return the mean absolute difference, in levels."""
    return float(np.abs(one.astype(float) - other).mean())


def colour_chart() -> Picture:
    """Return all combinations of six levels of red, green and blue, in squares of 16 pixels."""
    colours = list(product(range(0, 256, 51), repeat=3))
    squares = np.array(colours, np.uint8).reshape(12, 18, 3)
    return squares.repeat(16, axis=0).repeat(16, axis=1)


def warp(frames: Sequence[Picture], image: Picture) -> Picture:
    return apply(measure(frames), image)


@pytest.mark.parametrize("folder", sorted(GOLDEN.iterdir()), ids=lambda folder: folder.name)
def test_it_warps_as_the_original_does(folder: Path) -> None:
    frames = [read(folder / "in" / f"00000{number}.png") for number in (3, 2, 1)]
    warped = warp(frames, read(folder / "out" / "000002.png"))
    expected = read(folder / "interp" / "000001-b.png")
    apart = np.abs(warped.astype(int) - expected).max(axis=2)
    assert np.mean(apart <= 8) >= 0.98


@pytest.mark.parametrize("width, height", SIZES)
def test_an_image_moves_as_the_frames_did(width: int, height: int) -> None:
    steps, right, down = 3, 4, 2
    scenery = texture(width + steps * right, height + steps * down)
    frames = pan(scenery, steps, right, down)
    images = pan(scenery // 2 + 60, steps, right, down)  # paler and darker than the frames
    warped = warp(frames, images[0])
    seen = np.s_[: -steps * down, : -steps * right]  # the rest was not in the image
    moved, unmoved = distance(warped[seen], images[-1][seen]), distance(warped, images[0])
    assert moved < unmoved / 4


@pytest.mark.parametrize("width, height", SIZES)
def test_an_image_stays_where_the_frames_did(width: int, height: int) -> None:
    frame, image = texture(width, height, seed=1), texture(width, height, seed=2)
    motion = measure([frame] * 4)
    assert distance(apply(motion, image), image) < 4
    assert sum(map(len, motion.packets)) < frame.size / 20


def test_the_motion_of_one_frame_is_none() -> None:
    image = texture(91, 62, seed=2)
    motion = measure([texture(91, 62, seed=1)])
    assert motion == Motion((), 91, 62)
    assert distance(apply(motion, image), image) < 4


def test_colours_are_kept_however_often_an_image_is_warped() -> None:
    chart = colour_chart()
    motion = measure([np.full_like(chart, 128)] * 2)
    warped = apply(motion, chart)
    for _ in range(19):
        warped = apply(motion, warped)
    shift = (warped.astype(float) - chart).mean(axis=(0, 1))
    assert np.abs(shift).max() < 0.1
    assert distance(warped, chart) < 1


@pytest.mark.parametrize("frames", [599, 601])
def test_no_frame_shows_through_in_a_long_motion(frames: int) -> None:
    image = texture(16, 16)
    assert distance(warp([255 - image] * frames, image), image) < 4


@pytest.mark.parametrize(
    "width, height",
    [
        *product((1, 2, 3, 4, 5, 15, 16, 17), repeat=2),
        (2048, 1152),
        (2049, 3),
        (5, 1153),
        (1080, 1920),
        (8188, 1),
        (1, 8188),
    ],
)
def test_every_size_works_up_to_its_borders(width: int, height: int) -> None:
    rows, columns = np.mgrid[:height, :width]
    shades = (40 + columns * 120 // width + rows * 60 // height).astype(np.uint8)
    image = np.stack([shades] * 3, axis=2)
    warped = warp([image, image], image)
    assert warped.shape == image.shape
    assert np.abs(warped.astype(int) - image).max() <= 12


def test_arrays_of_any_layout_are_taken_and_left_alone() -> None:
    scenery = texture(100, 70)
    scenery.flags.writeable = False
    frames, image = pan(scenery, 2, 3, 1), np.asfortranarray(scenery[68::-1, 95::-1])
    image = image[:68, :94]
    expected = warp([frame.copy() for frame in frames], image.copy())
    warped = warp(frames, image)
    assert np.array_equal(warped, expected)
    assert warped.flags.c_contiguous and warped.flags.writeable


def test_frames_are_taken_one_by_one() -> None:
    frames = pan(texture(100, 70), 3, 2, 2)
    assert measure(iter(frames)) == measure(frames)


def test_many_threads_measure_and_apply_at_once() -> None:
    clips = [pan(texture(200, 150, seed), 2, 5, 3) for seed in range(12)]
    with ThreadPoolExecutor(8) as threads:
        at_once = list(threads.map(lambda clip: warp(clip, clip[0]), clips))
    for clip, warped in zip(clips, at_once, strict=True):
        assert np.array_equal(warped, warp(clip, clip[0]))


def test_a_motion_can_be_applied_again() -> None:
    clip = pan(texture(100, 70), 2, 3, 1)
    motion = measure(clip)
    assert np.array_equal(apply(motion, clip[0]), apply(motion, clip[0]))


def test_no_frames() -> None:
    with pytest.raises(MotionError, match="there is no frame"):
        measure([])


def test_frames_of_two_sizes() -> None:
    frames = [texture(20, 16), texture(20, 16), texture(16, 20)]
    with pytest.raises(MotionError, match="frame 3 of the motion is 16x20, but the first is 20x16"):
        measure(frames)


def test_an_image_of_another_size() -> None:
    motion = measure([texture(20, 16)])
    with pytest.raises(MotionError, match=r"image is 19x16, .* motion are 20x16"):
        apply(motion, texture(19, 16))


@pytest.mark.parametrize(
    "shape, dtype",
    [((8, 8), np.uint8), ((8, 8, 4), np.uint8), ((8, 8, 3), np.float32), ((1, 8, 8, 3), np.uint8)],
)
def test_arrays_that_are_no_pictures(shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(MotionError, match="a picture is an"):
        measure([np.zeros(shape, dtype)])


@pytest.mark.parametrize("width, height", [(8189, 1), (1, 8189), (0, 1), (1, 0)])
def test_sizes_that_no_codec_takes(width: int, height: int) -> None:
    with pytest.raises(MotionError, match=f"1x1 to 8188x8188, not {width}x{height}"):
        measure([np.zeros((height, width, 3), np.uint8)])
