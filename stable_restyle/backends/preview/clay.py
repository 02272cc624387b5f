"""The clay look: relief, light and shade."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from stable_restyle.backends.preview.common import (
    SMALLEST_UNIT,
    UNIT_SIDE_PX,
    Brush,
    MadeUp,
    channel_sum,
    enrich,
    resize,
    sketch,
    slopes,
    split_planes,
    stack,
    to_rgb,
    uniform,
)
from stable_restyle.imaging.arrays import Floats, blur

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels

CLAY_BRUSH = Brush(
    wash=7,
    wash_variance=90.0,
    width=4,
    hardness=3,
    grain_variance=60.0,
    detail_from=26.0,
    detail_range=30.0,
    detail_most=0.85,
)
CLAY_MADE_UP = MadeUp(shift=2.5, light=10.0, colour=4.0)
CLAY_BLACK = 34.0  # the L that black is lifted to
CLAY_RICHER = 6.5  # chroma levels
CREASE_CONTRAST = 11.0  # Lab levels per unit at which an edge is pressed in
CREASE_WIDTHS = (1.6, 5.0)  # units: the line itself, and how far the clay rounds off towards it
CREASE_DEPTH = 6.0  # units
CREASE_SHADOW = 0.18  # the share of its light that a crease loses
SWELL = 0.05  # units of height per level of L: what is light stands out
MADE_UP_SWELL = 1.3  # units, at denoise 1: the clay is pressed again for every slide
RELIEF = 0.95  # how much of the slope the lamp shows
LIGHT = np.array([-0.42, -0.62, 0.66], np.float32)  # towards the lamp; x right, y down, z to us
SHADING = 0.5
SHADE_LEAST, SHADE_MOST = 0.5, 1.4
GLOSS = 70.0  # levels of L
GLOSS_SQUARINGS = 4  # the shininess is 2 ** 4
GLOSS_FROM = 1.1  # times the gloss of flat clay, so that flat clay is matt
SEEN_WIDTH = 12.0  # units: relief up to this width is not drawn again where the guide shows it

SURFACE_MOST_UNIT = 2.0  # the surface is made at 1280x720 at most, and enlarged
DENT_CELL = 58.0  # units; one thumb dent each
DENT_RADII = (13.0, 25.0)  # units
DENT_DEPTH = 0.075  # times its radius
LUMP_WIDTH, LUMP_HEIGHT = 10.0, 0.65  # units
GRAIN_WIDTH, GRAIN_HEIGHT = 0.9, 0.025  # units
PRINT_PERIOD, PRINT_HEIGHT = 3.6, 0.09  # units: the ridges of a finger
PRINT_SHARE = 0.4  # of the dents that show a fingerprint


def paint_clay(guide: Pixels, seed: int, denoise: float) -> Pixels:
    """Model the guide in clay. guide and the answer: (H, W, 3) uint8 RGB."""
    its = sketch(guide, seed, denoise, CLAY_BRUSH, CLAY_MADE_UP)
    light, a, b = its.planes
    light += CLAY_BLACK * np.exp(-np.square(light / CLAY_BLACK))
    a, b = enrich(a, b, CLAY_RICHER)

    crease = _creases(its.simple, its.small_unit)
    rise = slopes(_height(its.simple, crease, its.made_up, its.small_unit))
    seen = _detail(its.small[..., 0].astype(np.float32), its.small_unit)
    stacked = stack(*rise, crease, seen)
    slope_x, slope_y, crease, seen = split_planes(resize(stacked, light.shape))
    surface_x, surface_y = _surface(*light.shape, seed)
    light += _relief(light, slope_x + surface_x, slope_y + surface_y, crease, seen)
    return to_rgb(light, a, b)


def _creases(simple: Pixels, unit: float) -> Floats:
    """Find where two pieces of clay meet: (H, W) float32, 0..1, falling off towards both sides."""
    x, y = slopes(blur(simple.astype(np.float32), unit))
    contrast = channel_sum(x * x + y * y) * np.float32(unit * unit)
    edge = 1 - np.exp(contrast * np.float32(-1 / CREASE_CONTRAST**2))
    line, fold = (blur(edge, width * unit) for width in CREASE_WIDTHS)
    return np.float32(0.45) * line + np.float32(0.55) * fold


def _height(simple: Pixels, crease: Floats, made_up: Floats, unit: float) -> Floats:
    """Raise the clay between the creases, and where it is light: (H, W) float32, pixels."""
    swell = blur(simple[..., 0].astype(np.float32), 3 * unit) * np.float32(SWELL)
    pressed = resize(made_up[..., 2] * np.float32(MADE_UP_SWELL), crease.shape)
    return (swell + pressed - np.float32(CREASE_DEPTH) * crease) * np.float32(unit)


def _detail(light: Floats, unit: float) -> Floats:
    """Return how much lighter a pixel is than its surroundings: (H, W) float32, levels of L."""
    return blur(light, unit) - blur(light, SEEN_WIDTH * unit)


def _relief(
    light: Floats, slope_x: Floats, slope_y: Floats, crease: Floats, seen: Floats
) -> Floats:
    """Light the relief: (H, W) float32, levels of L to add to `light`.

    slope_x, slope_y: how steeply the clay rises. crease: 0..1. seen: what `_detail` found.
    """
    lamp = LIGHT / np.linalg.norm(LIGHT)
    halfway = lamp + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    x, y = slope_x * np.float32(RELIEF), slope_y * np.float32(RELIEF)
    shorten = 1 / np.sqrt(1 + x * x + y * y)
    lit = (lamp[2] - x * lamp[0] - y * lamp[1]) * shorten * (1 / lamp[2])
    shade = (1 + SHADING * (lit - 1)).clip(SHADE_LEAST, SHADE_MOST) * (1 - CREASE_SHADOW * crease)

    gloss = np.maximum((halfway[2] - x * halfway[0] - y * halfway[1]) * shorten, 0)
    for _ in range(GLOSS_SQUARINGS):
        gloss *= gloss
    matt = np.float32(halfway[2] ** (2**GLOSS_SQUARINGS) * GLOSS_FROM)
    wanted = light * (shade - 1) + np.maximum(gloss - matt, 0) * np.float32(GLOSS)
    relief: Floats = wanted - np.clip(seen, np.minimum(wanted, 0), np.maximum(wanted, 0))
    return relief


@lru_cache(maxsize=2)
def _surface(height: int, width: int, seed: int) -> tuple[Floats, Floats]:
    """Return the slopes of bare clay, x and y, (H, W) float32: dents, lumps, grain, fingerprints.

    They depend on the seed alone, and so stay in place while the film moves below them.
    """
    unit = max(SMALLEST_UNIT, np.sqrt(height * width) / UNIT_SIDE_PX)
    shrink = max(1.0, unit / SURFACE_MOST_UNIT)
    unit /= shrink
    rows, columns = max(1, round(height / shrink)), max(1, round(width / shrink))
    clay = _press_dents(rows, columns, seed, unit)
    clay += LUMP_HEIGHT * _rough(rows, columns, seed, 1, LUMP_WIDTH * unit)
    clay += GRAIN_HEIGHT * _rough(rows, columns, seed, 2, GRAIN_WIDTH * unit)
    x, y = (resize(slope, (height, width)) for slope in slopes(clay * np.float32(unit)))
    x.setflags(write=False)  # every thread is given these very arrays
    y.setflags(write=False)
    return x, y


def _rough(rows: int, columns: int, seed: int, channel: int, width: float) -> Floats:
    """Return smooth noise of standard deviation 1: (rows, columns) float32. width: pixels."""
    row, column = np.ogrid[:rows, :columns]
    noise = uniform(seed, channel, row, column) - np.float32(0.5)
    deviation = np.sqrt(1 / 12) / (2 * np.sqrt(np.pi) * max(width, 0.5))
    return blur(noise, width) / np.float32(deviation)


def _press_dents(rows: int, columns: int, seed: int, unit: float) -> Floats:
    """Press a thumb into every cell, with a print into some: (rows, columns) float32, units."""
    clay = np.zeros((rows, columns), np.float32)
    cell = DENT_CELL * unit
    down, across = int(rows / cell) + 3, int(columns / cell) + 3
    chances = uniform(seed, 0, *np.ogrid[:down, :across, :9])
    for j in range(down):
        for i in range(across):
            _press(clay, (j - 1) * cell, (i - 1) * cell, unit, chances[j, i].tolist())
    return clay


def _press(clay: Floats, top: float, left: float, unit: float, chances: list[float]) -> None:
    """Press one oval dent into `clay`, in place. top, left: pixels. chances: nine in [0, 1)."""
    down, across, size, slimness, turn, depth, printed, bend, strength = chances
    cell = DENT_CELL * unit
    y, x = top + down * cell, left + across * cell
    long = (DENT_RADII[0] + (DENT_RADII[1] - DENT_RADII[0]) * size) * unit
    short = long * (0.55 + 0.35 * slimness)
    reach = int(long * 1.6) + 1
    rows = slice(max(0, int(y) - reach), max(0, int(y) + reach + 1))
    columns = slice(max(0, int(x) - reach), max(0, int(x) + reach + 1))
    patch = clay[rows, columns]
    if not patch.size:
        return
    dy, dx = np.ogrid[: patch.shape[0], : patch.shape[1]]
    dy, dx = dy + (rows.start - y), dx + (columns.start - x)
    cos, sin = np.cos(np.pi * turn), np.sin(np.pi * turn)
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    distance = np.square(along / long) + np.square(across / short)  # 1 on the oval
    rim = np.exp(-3.0 * np.square(distance - 1.3))
    hollow = 0.25 * rim - np.exp(-1.4 * np.square(distance))
    patch += (hollow * ((depth - 0.25) * DENT_DEPTH * long / unit)).astype(np.float32)
    if printed < PRINT_SHARE:
        from_tip = np.hypot(along + 1.5 * long, across + (bend - 0.5) * 2.4 * long)
        ridges = np.sin(from_tip * (2 * np.pi / (PRINT_PERIOD * unit)))
        fade = np.exp(-3.2 * np.maximum(distance - 0.25, 0))
        patch += (ridges * fade * PRINT_HEIGHT * (0.4 + 0.6 * strength)).astype(np.float32)
