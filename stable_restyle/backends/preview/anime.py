"""The anime look: tones, shadows, ink and glow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from stable_restyle.backends.preview.common import (
    Brush,
    MadeUp,
    enrich,
    resize,
    sketch,
    slopes,
    split_planes,
    stack,
    to_rgb,
)
from stable_restyle.imaging import arrays
from stable_restyle.imaging.arrays import Floats, blur

if TYPE_CHECKING:
    from stable_restyle.core.records import Pixels

ANIME_BRUSH = Brush(
    wash=5,
    wash_variance=120.0,
    width=3,
    hardness=4,
    grain_variance=30.0,
    detail_from=14.0,
    detail_range=20.0,
    detail_most=1.0,
)
ANIME_MADE_UP = MadeUp(shift=2.5, light=5.0, colour=3.0)
ANIME_RICHER = 6.0  # chroma levels
TONES = 6
TONE_LOWEST, TONE_HIGHEST = 12.0, 248.0  # L
TONE_STEP_AT = 0.45  # of the way from one tone to the next: under 0.5 the picture lightens
TONE_SMOOTHING = 0.8  # units
TONE_BORDER = 0.04  # of a step: how gradually one tone turns into the next
TONE_HOLD = 0.85  # the share of the way that L is moved onto its tone
SHADOW_BELOW = 115.0  # L
SHADOW_BLUE, SHADOW_BLUEST = 14.0, -8.0  # levels of b: the move, and where it ends
SHADOW_RED, SHADOW_REDDEST = 3.0, 4.0  # levels of a
INK = (26.0, 5.0, -12.0)  # L, a, b: a violet near-black
INK_WIDTHS = (0.9, 1.7)  # units: the two Gaussians whose difference finds a line
INK_FROM = 0.010  # how much darker than its surroundings, as a root of 0..1
INK_GAIN = 110.0
INK_MOST = 0.95
INK_REACH = 4  # units that a line is smoothed along itself, either way
GLOW_ABOVE = 190.0  # L
GLOW_WIDTH = 8.0  # units
GLOW_GAIN = 1.2
GLOW_SHRINK = 4  # the glow is blurred at a quarter of the size


def paint_anime(guide: Pixels, seed: int, denoise: float) -> Pixels:
    """Draw the guide as an animation cel. guide and the answer: (H, W, 3) uint8 RGB."""
    its = sketch(guide, seed, denoise, ANIME_BRUSH, ANIME_MADE_UP)
    light, a, b = its.planes
    ink = _ink(light, its.simple, its.unit, its.small_unit)

    light = _tone(light, its.unit)
    a, b = enrich(a, b, ANIME_RICHER)
    a, b = _cool(light, a, b)
    light += _glow(light, its.unit)
    for plane, colour in zip((light, a, b), INK, strict=True):
        plane += (colour - plane) * ink
    return to_rgb(light, a, b)


def _tone(light: Floats, unit: float) -> Floats:
    """Move L towards a few flat tones, (H, W) float32; a tone itself stays where it is."""
    step = np.float32((TONE_HIGHEST - TONE_LOWEST) / (TONES - 1))
    smooth = blur(light, TONE_SMOOTHING * unit)  # whole levels of L would show as combed borders
    place = np.clip((smooth - np.float32(TONE_LOWEST)) / step, 0, TONES - 1)
    below = np.floor(place)
    x, y = slopes(smooth)
    per_pixel = np.sqrt(x * x + y * y) / step
    border = np.maximum(per_pixel, np.float32(TONE_BORDER))  # never thinner than a pixel: no jags
    up = np.tanh((place - below - np.float32(TONE_STEP_AT)) / border)
    tone = np.float32(TONE_LOWEST) + step * (below + np.float32(0.5) + np.float32(0.5) * up)
    toned: Floats = light + np.float32(TONE_HOLD) * (tone - light)
    return toned


def _cool(light: Floats, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Turn shadows towards blue, up to a fixed point. All (H, W) float32; returns a and b."""
    shadow = np.clip(1 - light * np.float32(1 / SHADOW_BELOW), 0, 1)
    bluer = np.clip((b - SHADOW_BLUEST) * np.float32(1 / 25), 0, 1) * np.float32(SHADOW_BLUE)
    redder = np.clip((SHADOW_REDDEST - a) * np.float32(1 / 12), 0, 1) * np.float32(SHADOW_RED)
    return a + shadow * redder, b - shadow * bluer


def _glow(light: Floats, unit: float) -> Floats:
    """Spread the light of bright areas over their surroundings: (H, W) float32, levels to add."""
    height, width = light.shape
    bright = np.maximum(light - np.float32(GLOW_ABOVE), 0)
    shrunk = arrays.shrink(bright, max(1, width // GLOW_SHRINK), max(1, height // GLOW_SHRINK))
    spread = arrays.enlarge(blur(shrunk, GLOW_WIDTH * unit / GLOW_SHRINK), light.shape)
    room = np.maximum(1 - light * np.float32(1 / 255), 0)
    return np.asarray(spread * room * np.float32(GLOW_GAIN), np.float32)


def _ink(light: Floats, simple: Pixels, unit: float, simple_unit: float) -> Floats:
    """Find the lines to draw, on the dark side of edges: (H, W) float32, 0..1.

    light: (H, W) float32 L. simple: uint8 Lab at the working size, which gives where lines run.
    """
    root = np.sqrt(light.clip(0, 255) * np.float32(1 / 255))  # so that dark scenes get lines too
    inner, outer = (blur(root, width * unit) for width in INK_WIDTHS)
    darker = _along_lines(inner - outer, simple, unit, simple_unit)
    excess = np.minimum(darker + np.float32(INK_FROM), 0)
    ink: Floats = np.tanh(excess * np.float32(-INK_GAIN)) * np.float32(INK_MOST)
    return ink


def _along_lines(response: Floats, simple: Pixels, unit: float, simple_unit: float) -> Floats:
    """Smooth (H, W) float32 along the edges of the simple picture, which joins broken lines."""
    step_x, step_y = split_planes(
        resize(stack(*_edge_directions(simple, simple_unit)), response.shape)
    )
    height, width = response.shape
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    total, weights = response.copy(), 1.0
    for distance in range(1, INK_REACH + 1):
        weight = float(np.exp(-((distance / (0.6 * INK_REACH)) ** 2)))
        for steps in (distance * max(1.0, unit), -distance * max(1.0, unit)):
            there = arrays.fetch(
                response,
                x + step_x * np.float32(steps),
                y + step_y * np.float32(steps),
                cv2.INTER_LINEAR,
            )
            total += np.float32(weight) * there
            weights += weight
    return total / np.float32(weights)


def _edge_directions(simple: Pixels, unit: float) -> tuple[Floats, Floats]:
    """Return unit vectors along the edges, x and y: (H, W) float32; x is never negative."""
    x, y = slopes(blur(simple[..., 0].astype(np.float32), unit))
    difference = blur(x * x - y * y, 2 * unit)
    twice = blur(2 * x * y, 2 * unit)  # the gradient's doubled angle: opposite gradients agree
    cos = difference / np.sqrt(difference * difference + twice * twice + np.float32(1e-6))
    along_x: Floats = np.sqrt(np.maximum(1 - cos, 0) * np.float32(0.5))
    along_y: Floats = np.copysign(np.sqrt(np.maximum(1 + cos, 0) * np.float32(0.5)), -twice)
    return along_x, along_y
