"""The steps that both looks of the preview engine share: make up, simplify, repaint.

Like a model the engine changes the guide only as far as the mask frees it, makes up detail that
jumps when the guide changes a little, and is fed its own slides again: a chain gives each slide
back as the next guide. So every change of tone has a fixed point, and relief is drawn only where
the guide does not show it yet; plain gains would pile up from slide to slide.

Lengths are pixels of a 640x360 picture and are scaled to the picture's area, so that a film looks
the same at every resolution: 1 unit is that scaled pixel. Between the first step and the last,
colours are 8-bit Lab (L, a, b each 0..255, grey at a = b = 128); float planes centre a and b on 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from stable_restyle.imaging import arrays
from stable_restyle.imaging.arrays import Floats, Kind, blur

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from stable_restyle.core.records import Pixels

Planes: TypeAlias = tuple[Floats, Floats, Floats]

UNIT_SIDE_PX = 480.0  # sqrt(640 * 360)
SMALLEST_UNIT = 0.25  # below about 160x90 the looks stop shrinking, or nothing of them would show
NEUTRAL = 128.0  # 8-bit Lab: the a and b of a grey

NOISE_CELL = 24.0  # units
NOISE_LEVELS = 32  # of luma: the made-up detail of a cell has changed wholly after 8 grey levels

RICHER_FROM, RICHER_TO = 14.0, 46.0  # chroma: greys stay grey, strong colours stay as they are


@dataclass(frozen=True)
class Brush:
    """How far a look simplifies the picture, and which details outlive that."""

    wash: int  # units: radius of the smoothing that faint shading does not survive
    wash_variance: float  # squared Lab levels: what counts as faint
    width: int  # units: radius of one dab
    hardness: int  # how strongly a dab prefers the calmest side of an edge
    grain_variance: float  # squared Lab levels: texture that a dab treats as flat
    detail_from: float  # Lab levels: a detail that stands out this far begins to be kept
    detail_range: float  # Lab levels from there to a detail kept as it is
    detail_most: float  # 0..1: how much of it is kept at most


@dataclass(frozen=True)
class MadeUp:
    """How much a look invents at denoise 1."""

    shift: float  # units; along a chain it adds up, so that more would melt a face
    light: float  # levels of L
    colour: float  # levels of a and of b


@dataclass(frozen=True)
class Sketch:
    """What both looks start from: the guide, simplified and painted over."""

    unit: float  # pixels
    made_up: Floats  # (rows, columns, 5)
    small: Pixels  # the guide's (H, W, 3) Lab at the working size
    small_unit: float  # pixels
    simple: Pixels  # `small` in a few broad dabs
    planes: Planes  # L, a and b, (H, W) float32


def sketch(guide: Pixels, seed: int, denoise: float, brush: Brush, amount: MadeUp) -> Sketch:
    """Simplify the guide and paint it over. guide: (H, W, 3) uint8 RGB."""
    unit = unit_of(guide)
    made_up = make_up(guide, seed, denoise, unit)
    lab = displace(guide, made_up, amount, unit)
    small, small_unit = working_size(lab, unit)
    simple = simplify(small, brush, small_unit)
    planes = repaint(simple, lab, made_up, brush, amount, unit)
    return Sketch(unit, made_up, small, small_unit, simple, planes)


def _hash(seed: int, *keys: ArrayLike) -> NDArray[np.uint32]:
    """Mix integers, none negative, into 32 bits each; the keys broadcast against each other."""
    bits = np.array([(seed ^ (seed >> 32)) & 0xFFFFFFFF], np.uint32)
    for key in keys:
        # arrays of at least one dimension wrap around silently, scalars would warn
        bits = bits ^ (np.atleast_1d(np.asarray(key, np.uint32)) * np.uint32(0x9E3779B1))
        bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D)
        bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x846CA68B)
        bits = (bits ^ (bits >> np.uint32(16))) + np.uint32(0x7F4A7C15)
    return bits


def uniform(seed: int, *keys: ArrayLike) -> Floats:
    """Hash integers into [0, 1)."""
    return (_hash(seed, *keys) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def make_up(guide: Pixels, seed: int, denoise: float, unit: float) -> Floats:
    """Invent five values per cell: (rows, columns, 5) float32 in [-denoise, denoise].

    They slide from one random value to the next as the luma in the middle of the cell changes:
    the same picture gives the same values, a slightly different one slightly different values.
    """
    height, width = guide.shape[:2]
    rows = max(1, round(height / (NOISE_CELL * unit)))
    columns = max(1, round(width / (NOISE_CELL * unit)))
    luma = cv2.cvtColor(guide, cv2.COLOR_RGB2GRAY)
    thirds = cv2.resize(luma, (3 * columns, 3 * rows), interpolation=cv2.INTER_AREA)
    level = thirds[1::3, 1::3, None].astype(np.float32) * np.float32(NOISE_LEVELS / 256)
    below = np.floor(level)
    share = level - below
    share = share * share * (3 - 2 * share)
    row, column, channel = np.ogrid[:rows, :columns, :5]
    low = uniform(seed, channel, row, column, below)
    high = uniform(seed, channel, row, column, below + 1)
    values: Floats = (2 * (low + (high - low) * share) - 1) * np.float32(denoise)
    return values


def displace(guide: Pixels, made_up: Floats, amount: MadeUp, unit: float) -> Pixels:
    """Move the pixels of the guide by made-up distances, and turn them into 8-bit Lab."""
    lab = arrays.lab(guide)
    if not made_up.any():
        return lab
    move = resize(made_up[..., :2] * np.float32(amount.shift * unit), guide.shape)
    height, width = guide.shape[:2]
    x = move[..., 0] + np.arange(width, dtype=np.float32)
    y = move[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(lab, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8)


def working_size(lab: Pixels, unit: float) -> tuple[Pixels, float]:
    """Shrink a picture larger than 640x360; return it and the length of its unit in pixels."""
    if unit <= 1:
        return lab, unit
    height, width = lab.shape[:2]
    size = (max(1, round(width / unit)), max(1, round(height / unit)))
    return arrays.shrink(lab, *size), 1.0


def simplify(lab: Pixels, brush: Brush, unit: float) -> Pixels:
    """Paint the picture over with a few broad dabs: (H, W, 3) uint8 Lab."""
    dabs = _dab(_wash(lab, brush, unit), brush, unit)
    size = 5 if unit > 0.6 else 3
    return np.asarray(cv2.medianBlur(cv2.medianBlur(dabs, size), size), np.uint8)


def _wash(lab: Pixels, brush: Brush, unit: float) -> Floats:
    """Smooth what is faint and keep edges (a guided filter): (H, W, 3) float32 Lab.

    It takes the relief of the slide before out of the guide again, which would pile up otherwise.
    """
    picture = lab.astype(np.float32)
    side = 2 * _pixels(brush.wash, unit) + 1
    mean = _box(picture, side)
    variance = channel_sum(np.maximum(_box(picture * picture, side) - mean * mean, 0))
    kept = variance * variance
    kept /= kept + np.float32(brush.wash_variance**2)
    offset = _box(mean * (1 - kept[..., None]), side)
    return _box(kept, side)[..., None] * picture + offset


def _dab(picture: Floats, brush: Brush, unit: float) -> Pixels:
    """Give each pixel the mean of the calmest squares around it (a soft Kuwahara filter).

    picture: (H, W, 3) float32 Lab. The answer is uint8.
    """
    radius = _pixels(brush.width, unit)
    side = 2 * max(1, round(radius / 2)) + 1  # odd: an even one moves the picture by half a pixel
    mean = _box(picture, side)
    spread = channel_sum(np.maximum(_box(picture * picture, side) - mean * mean, 0))
    weight = (1 / (spread + np.float32(brush.grain_variance))) ** brush.hardness
    weighted = np.dstack([mean * weight[..., None], weight])

    straight = max(1, round(radius * 0.55))
    slant = max(1, round(straight * 0.75))
    steps = [(0, straight), (straight, 0), (slant, slant), (slant, -slant)]
    height, width = weight.shape
    around = cv2.copyMakeBorder(
        weighted, straight, straight, straight, straight, cv2.BORDER_REFLECT
    )
    total = np.zeros_like(weighted)
    for dy, dx in steps + [(-dy, -dx) for dy, dx in steps]:
        top, left = straight + dy, straight + dx
        total += around[top : top + height, left : left + width]
    return np.asarray(np.rint(total[..., :3] / total[..., 3:]).clip(0, 255), np.uint8)


def repaint(
    simple: Pixels, lab: Pixels, made_up: Floats, brush: Brush, amount: MadeUp, unit: float
) -> Planes:
    """Enlarge the simple picture, give it back what stood out, and add the made-up colours.

    simple: uint8 Lab at the working size. lab: (H, W, 3) uint8 Lab. Returns (H, W) float32 planes.
    """
    painted = _with_details(resize(simple, lab.shape), lab, brush, unit)
    added = made_up[..., 2:] * np.array([amount.light, amount.colour, amount.colour], np.float32)
    light, a, b = split_planes(resize(added, lab.shape) + painted)
    return light, a - np.float32(NEUTRAL), b - np.float32(NEUTRAL)


def _with_details(painted: Pixels, lab: Pixels, brush: Brush, unit: float) -> Pixels:
    """Take from `lab` the pixels that differ clearly from the painted ones: eyes, sharp borders."""
    calm = cv2.medianBlur(lab, 5 if unit > 1.5 else 3)
    fine = cv2.GaussianBlur(calm, (0, 0), 0.45 * unit)  # a median leaves slanting edges jagged
    difference = reduce(cv2.max, cv2.split(cv2.absdiff(fine, painted)))
    share = (np.arange(256) - brush.detail_from) / brush.detail_range
    table = (share.clip(0, 1) * brush.detail_most).astype(np.float32)
    weight = blur(np.asarray(cv2.LUT(difference, table), np.float32), 0.6 * unit)
    return np.asarray(cv2.blendLinear(fine, painted, weight, 1 - weight), np.uint8)


def enrich(a: Floats, b: Floats, gain: float) -> tuple[Floats, Floats]:
    """Strengthen middling colours by up to `gain` levels of chroma. a, b: (H, W) float32."""
    low, high = np.float32(RICHER_FROM), np.float32(RICHER_TO)
    chroma = np.sqrt(a * a + b * b).clip(low, high)
    added = (chroma - low) * (high - chroma) * np.float32(4 * gain) / (high - low) ** 2
    factor: Floats = 1 + added / chroma
    return a * factor, b * factor


def unit_of(picture: Pixels) -> float:
    """Return the length in pixels of this picture that is 1 pixel in one of 640x360."""
    height, width = picture.shape[:2]
    return max(SMALLEST_UNIT, float(np.sqrt(height * width)) / UNIT_SIDE_PX)


def _pixels(length: float, unit: float) -> int:
    return max(1, round(length * unit))


def to_rgb(light: Floats, a: Floats, b: Floats) -> Pixels:
    """Turn (H, W) float32 planes of Lab, a and b centred on 0, into (H, W, 3) uint8 RGB."""
    neutral = np.float32(NEUTRAL)
    lab = np.rint(cv2.merge([light, a + neutral, b + neutral]))  # cutting off would drift to green
    return np.asarray(cv2.cvtColor(lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)


def stack(*planes: Floats) -> Floats:
    return np.dstack(planes)


def split_planes(picture: Floats) -> tuple[Floats, ...]:
    return tuple(np.asarray(plane, np.float32) for plane in cv2.split(picture))


def channel_sum(picture: Floats) -> Floats:
    """Sum (H, W, 3) over its channels, much faster than NumPy does over an axis of three."""
    return np.asarray(cv2.transform(picture, np.ones((1, 3), np.float32)), np.float32)


def slopes(height: Floats) -> tuple[Floats, Floats]:
    """Return the rise per pixel to the right and downwards, of each channel by itself."""
    x, y = (cv2.Sobel(height, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _box(picture: Floats, side: int) -> Floats:
    return np.asarray(cv2.blur(picture, (side, side)), np.float32)


def resize(picture: NDArray[Kind], shape: tuple[int, ...]) -> NDArray[Kind]:
    """Enlarge a picture smoothly to the height and width that `shape` begins with."""
    return arrays.resize(picture, shape[1], shape[0], cv2.INTER_CUBIC)
