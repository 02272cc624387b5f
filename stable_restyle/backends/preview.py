"""Draw slides without a server: the embedded engine, in two looks, clay and anime.

It stands in for a model, with OpenCV and NumPy alone: for trying a film, its scenes, masks and
settings in minutes, and for tests. It paints over what it is shown; it understands nothing of it.

Like a model it changes the guide only as far as the mask frees it, makes up detail that jumps when
the guide changes a little, and is fed its own slides again: a chain gives each slide back as the
next guide. So every change of tone here has a fixed point, and relief is drawn only where the
guide does not show it yet; plain gains would pile up from slide to slide.

Lengths are pixels of a 640x360 picture and are scaled to the picture's area, so that a film looks
the same at every resolution: 1 unit is that scaled pixel. Between the first step and the last,
colours are 8-bit Lab (L, a, b each 0..255, grey at a = b = 128); float planes centre a and b on 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args

import cv2
import numpy as np

from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import Slide

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from stable_restyle.core.records import Job, Pixels

    Floats: TypeAlias = NDArray[np.float32]
    Hashes: TypeAlias = NDArray[np.uint32]
    Planes: TypeAlias = tuple[Floats, Floats, Floats]

Kind = TypeVar("Kind", np.uint8, np.float32)
Look = Literal["clay", "anime"]
LOOKS: tuple[str, ...] = get_args(Look)

UNIT_SIDE_PX = 480.0  # sqrt(640 * 360)
SMALLEST_UNIT = 0.25  # below about 160x90 the looks stop shrinking, or nothing of them would show
NEUTRAL = 128.0  # 8-bit Lab: the a and b of a grey

NOISE_CELL = 24.0  # units
NOISE_LEVELS = 32  # of luma: the made-up detail of a cell has changed wholly after 8 grey levels


@dataclass(frozen=True)
class Brush:
    """How far a look simplifies the picture, and which details outlive that."""

    wash: int  # units: radius of the smoothing that faint shading does not survive
    wash_variance: float  # squared Lab levels: what counts as faint
    width: int  # units: radius of one dab
    hardness: int  # how strongly a dab prefers the calmest side of an edge
    grain_variance: float  # squared Lab levels: texture that a dab does not tell from flat
    detail_from: float  # Lab levels: a detail that stands out this far begins to be kept
    detail_range: float  # Lab levels from there to a detail kept as it is
    detail_most: float  # 0..1: how much of it is kept at most


@dataclass(frozen=True)
class MadeUp:
    """How much a look invents at denoise 1."""

    shift: float  # units; along a chain it adds up, so that more would melt a face
    light: float  # levels of L
    colour: float  # levels of a and of b


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
MADE_UP_SWELL = 1.3  # units, at denoise 1: the clay is pressed anew for every slide
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

RICHER_FROM, RICHER_TO = 14.0, 46.0  # chroma: greys stay grey, strong colours stay as they are


class Preview:
    """A backend inside this process; a slide depends on its settings and the job alone."""

    def __init__(self, look: str, seed: int, denoise: float) -> None:
        """denoise: 0..1, the share of a sampler's steps that would run: how much is made up."""
        _painter(look)
        self.name = self.engine = f"preview:{look}"
        self.at_once = self.slots = cores()
        self._look = look
        self._seed = seed
        self._denoise = denoise

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size. Any number of threads may draw at once."""
        seed = self._seed if job.seed is None else job.seed
        look, denoise = self._look, self._denoise
        return Slide(restyle(job.guide, job.mask, look=look, seed=seed, denoise=denoise))

    def free_memory(self) -> None:
        """It holds none between two slides."""

    def answers(self) -> bool:
        """It is always there."""
        return True

    def close(self) -> None:
        """Nothing is held open."""


def restyle(guide: Pixels, mask: Pixels, *, look: str, seed: int, denoise: float) -> Pixels:
    """Repaint the guide where the mask frees it.

    guide: (H, W, 3) uint8 RGB, H and W at least 1. mask: (H, W) uint8, 0 keeps, 255 frees.
    The same arguments give the same bytes, whichever thread asks.
    """
    paint = _painter(look)
    if not mask.any():
        return guide.copy()
    return _mix(paint(guide, seed, denoise), guide, mask)


def _painter(look: str) -> Callable[[Pixels, int, float], Pixels]:
    painters = {"clay": _clay, "anime": _anime}
    if look not in painters:
        raise WrongUsage(f'The preview has no look "{look}". Choose {" or ".join(LOOKS)}.')
    return painters[look]


def _mix(styled: Pixels, guide: Pixels, mask: Pixels) -> Pixels:
    """Return mask * styled + (1 - mask) * guide, rounded; exact at both ends of the mask."""
    free = mask.astype(np.uint16)[..., None]
    blended = styled * free + guide * (255 - free)  # at most 255 * 255, fits
    return ((blended + 127) // 255).astype(np.uint8)


def _clay(guide: Pixels, seed: int, denoise: float) -> Pixels:
    """Model the guide in clay. guide and the answer: (H, W, 3) uint8 RGB."""
    unit = _unit(guide)
    made_up = _made_up(guide, seed, denoise, unit)
    lab = _displaced(guide, made_up, CLAY_MADE_UP, unit)
    small, small_unit = _working_size(lab, unit)
    simple = _simplified(small, CLAY_BRUSH, small_unit)
    light, a, b = _repainted(simple, lab, made_up, CLAY_BRUSH, CLAY_MADE_UP, unit)
    light += CLAY_BLACK * np.exp(-np.square(light / CLAY_BLACK))
    a, b = _richer(a, b, CLAY_RICHER)

    crease = _creases(simple, small_unit)
    slopes = _slopes(_height(simple, crease, made_up, small_unit))
    seen = _detail(small[..., 0].astype(np.float32), small_unit)
    slope_x, slope_y, crease, seen = _planes(_resized(_stacked(*slopes, crease, seen), light.shape))
    surface_x, surface_y = _surface(*light.shape, seed)
    light += _relief(light, slope_x + surface_x, slope_y + surface_y, crease, seen)
    return _rgb(light, a, b)


def _anime(guide: Pixels, seed: int, denoise: float) -> Pixels:
    """Draw the guide as an animation cel. guide and the answer: (H, W, 3) uint8 RGB."""
    unit = _unit(guide)
    made_up = _made_up(guide, seed, denoise, unit)
    lab = _displaced(guide, made_up, ANIME_MADE_UP, unit)
    small, small_unit = _working_size(lab, unit)
    simple = _simplified(small, ANIME_BRUSH, small_unit)
    light, a, b = _repainted(simple, lab, made_up, ANIME_BRUSH, ANIME_MADE_UP, unit)
    ink = _ink(light, simple, unit, small_unit)

    light = _toned(light, unit)
    a, b = _richer(a, b, ANIME_RICHER)
    a, b = _cooled(light, a, b)
    light += _glow(light, unit)
    for plane, colour in zip((light, a, b), INK, strict=True):
        plane += (colour - plane) * ink
    return _rgb(light, a, b)


# The made-up detail: noise that depends on the content of the picture and on the seed.


def _hash(seed: int, *keys: ArrayLike) -> Hashes:
    """Mix integers, none negative, into 32 bits each; the keys broadcast against each other."""
    bits = np.array([(seed ^ (seed >> 32)) & 0xFFFFFFFF], np.uint32)
    for key in keys:
        # arrays of at least one dimension wrap around silently, scalars would warn
        bits = bits ^ (np.atleast_1d(np.asarray(key, np.uint32)) * np.uint32(0x9E3779B1))
        bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D)
        bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x846CA68B)
        bits = (bits ^ (bits >> np.uint32(16))) + np.uint32(0x7F4A7C15)
    return bits


def _uniform(seed: int, *keys: ArrayLike) -> Floats:
    """Hash integers into [0, 1)."""
    return (_hash(seed, *keys) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def _made_up(guide: Pixels, seed: int, denoise: float, unit: float) -> Floats:
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
    low = _uniform(seed, channel, row, column, below)
    high = _uniform(seed, channel, row, column, below + 1)
    values: Floats = (2 * (low + (high - low) * share) - 1) * np.float32(denoise)
    return values


def _displaced(guide: Pixels, made_up: Floats, amount: MadeUp, unit: float) -> Pixels:
    """Move the pixels of the guide by made-up distances, and turn them into 8-bit Lab."""
    lab = cv2.cvtColor(guide, cv2.COLOR_RGB2LAB)
    if not made_up.any():
        return np.asarray(lab, np.uint8)
    move = _resized(made_up[..., :2] * np.float32(amount.shift * unit), guide.shape)
    height, width = guide.shape[:2]
    x = move[..., 0] + np.arange(width, dtype=np.float32)
    y = move[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(lab, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved, np.uint8)


# Simplifying, at 640x360 at most: larger pictures take no longer, and get their edges back after.


def _working_size(lab: Pixels, unit: float) -> tuple[Pixels, float]:
    """Shrink a picture larger than 640x360; return it and the length of its unit in pixels."""
    if unit <= 1:
        return lab, unit
    height, width = lab.shape[:2]
    size = (max(1, round(width / unit)), max(1, round(height / unit)))
    return np.asarray(cv2.resize(lab, size, interpolation=cv2.INTER_AREA), np.uint8), 1.0


def _simplified(lab: Pixels, brush: Brush, unit: float) -> Pixels:
    """Paint the picture over with a few broad dabs: (H, W, 3) uint8 Lab."""
    dabs = _dabbed(_washed(lab, brush, unit), brush, unit)
    size = 5 if unit > 0.6 else 3
    return np.asarray(cv2.medianBlur(cv2.medianBlur(dabs, size), size), np.uint8)


def _washed(lab: Pixels, brush: Brush, unit: float) -> Floats:
    """Smooth what is faint and keep edges (a guided filter): (H, W, 3) float32 Lab.

    It takes the relief of the slide before out of the guide again, which would pile up otherwise.
    """
    picture = lab.astype(np.float32)
    side = 2 * _pixels(brush.wash, unit) + 1
    mean = _box(picture, side)
    variance = _channel_sum(np.maximum(_box(picture * picture, side) - mean * mean, 0))
    kept = variance * variance
    kept /= kept + np.float32(brush.wash_variance**2)
    offset = _box(mean * (1 - kept[..., None]), side)
    return _box(kept, side)[..., None] * picture + offset


def _dabbed(picture: Floats, brush: Brush, unit: float) -> Pixels:
    """Give each pixel the mean of the calmest squares around it (a soft Kuwahara filter).

    picture: (H, W, 3) float32 Lab. The answer is uint8.
    """
    radius = _pixels(brush.width, unit)
    side = 2 * max(1, round(radius / 2)) + 1  # odd: an even one moves the picture by half a pixel
    mean = _box(picture, side)
    spread = _channel_sum(np.maximum(_box(picture * picture, side) - mean * mean, 0))
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


def _repainted(
    simple: Pixels, lab: Pixels, made_up: Floats, brush: Brush, amount: MadeUp, unit: float
) -> Planes:
    """Enlarge the simple picture, give it back what stood out, and add the made-up colours.

    simple: uint8 Lab at the working size. lab: (H, W, 3) uint8 Lab. Returns (H, W) float32 planes.
    """
    painted = _with_details(_resized(simple, lab.shape), lab, brush, unit)
    added = made_up[..., 2:] * np.array([amount.light, amount.colour, amount.colour], np.float32)
    light, a, b = _planes(_resized(added, lab.shape) + painted)
    return light, a - np.float32(NEUTRAL), b - np.float32(NEUTRAL)


def _with_details(painted: Pixels, lab: Pixels, brush: Brush, unit: float) -> Pixels:
    """Take from `lab` the pixels that differ clearly from the painted ones: eyes, sharp borders."""
    calm = cv2.medianBlur(lab, 5 if unit > 1.5 else 3)
    fine = cv2.GaussianBlur(calm, (0, 0), 0.45 * unit)  # a median leaves slanting edges jagged
    difference = reduce(cv2.max, cv2.split(cv2.absdiff(fine, painted)))
    share = (np.arange(256) - brush.detail_from) / brush.detail_range
    table = (share.clip(0, 1) * brush.detail_most).astype(np.float32)
    weight = _blur(np.asarray(cv2.LUT(difference, table), np.float32), 0.6 * unit)
    return np.asarray(cv2.blendLinear(fine, painted, weight, 1 - weight), np.uint8)


# Clay: relief, light and shade.


def _creases(simple: Pixels, unit: float) -> Floats:
    """Find where two pieces of clay meet: (H, W) float32, 0..1, falling off towards both sides."""
    x, y = _slopes(_blur(simple.astype(np.float32), unit))
    contrast = _channel_sum(x * x + y * y) * np.float32(unit * unit)
    edge = 1 - np.exp(contrast * np.float32(-1 / CREASE_CONTRAST**2))
    line, fold = (_blur(edge, width * unit) for width in CREASE_WIDTHS)
    return np.float32(0.45) * line + np.float32(0.55) * fold


def _height(simple: Pixels, crease: Floats, made_up: Floats, unit: float) -> Floats:
    """Raise the clay between the creases, and where it is light: (H, W) float32, pixels."""
    swell = _blur(simple[..., 0].astype(np.float32), 3 * unit) * np.float32(SWELL)
    pressed = _resized(made_up[..., 2] * np.float32(MADE_UP_SWELL), crease.shape)
    return (swell + pressed - np.float32(CREASE_DEPTH) * crease) * np.float32(unit)


def _detail(light: Floats, unit: float) -> Floats:
    """Return how much lighter a pixel is than its surroundings: (H, W) float32, levels of L."""
    return _blur(light, unit) - _blur(light, SEEN_WIDTH * unit)


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
    clay = _pressed(rows, columns, seed, unit)
    clay += LUMP_HEIGHT * _rough(rows, columns, seed, 1, LUMP_WIDTH * unit)
    clay += GRAIN_HEIGHT * _rough(rows, columns, seed, 2, GRAIN_WIDTH * unit)
    x, y = (_resized(slope, (height, width)) for slope in _slopes(clay * np.float32(unit)))
    x.setflags(write=False)  # every thread is given these very arrays
    y.setflags(write=False)
    return x, y


def _rough(rows: int, columns: int, seed: int, channel: int, width: float) -> Floats:
    """Return smooth noise of standard deviation 1: (rows, columns) float32. width: pixels."""
    row, column = np.ogrid[:rows, :columns]
    noise = _uniform(seed, channel, row, column) - np.float32(0.5)
    deviation = np.sqrt(1 / 12) / (2 * np.sqrt(np.pi) * max(width, 0.5))
    return _blur(noise, width) / np.float32(deviation)


def _pressed(rows: int, columns: int, seed: int, unit: float) -> Floats:
    """Press a thumb into every cell, with a print into some: (rows, columns) float32, units."""
    clay = np.zeros((rows, columns), np.float32)
    cell = DENT_CELL * unit
    down, across = int(rows / cell) + 3, int(columns / cell) + 3
    chances = _uniform(seed, 0, *np.ogrid[:down, :across, :9])
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
    along, beside = dx * cos + dy * sin, dy * cos - dx * sin
    distance = np.square(along / long) + np.square(beside / short)  # 1 on the oval
    rim = np.exp(-3.0 * np.square(distance - 1.3))
    hollow = 0.25 * rim - np.exp(-1.4 * np.square(distance))
    patch += (hollow * ((depth - 0.25) * DENT_DEPTH * long / unit)).astype(np.float32)
    if printed < PRINT_SHARE:
        from_tip = np.hypot(along + 1.5 * long, beside + (bend - 0.5) * 2.4 * long)
        ridges = np.sin(from_tip * (2 * np.pi / (PRINT_PERIOD * unit)))
        fade = np.exp(-3.2 * np.maximum(distance - 0.25, 0))
        patch += (ridges * fade * PRINT_HEIGHT * (0.4 + 0.6 * strength)).astype(np.float32)


# Anime: tones, shadows, ink, glow.


def _toned(light: Floats, unit: float) -> Floats:
    """Move L towards a few flat tones, (H, W) float32; a tone itself stays where it is."""
    step = np.float32((TONE_HIGHEST - TONE_LOWEST) / (TONES - 1))
    smooth = _blur(light, TONE_SMOOTHING * unit)  # whole levels of L would show as combed borders
    place = np.clip((smooth - np.float32(TONE_LOWEST)) / step, 0, TONES - 1)
    below = np.floor(place)
    x, y = _slopes(smooth)
    per_pixel = np.sqrt(x * x + y * y) / step
    border = np.maximum(per_pixel, np.float32(TONE_BORDER))  # never thinner than a pixel: no jags
    up = np.tanh((place - below - np.float32(TONE_STEP_AT)) / border)
    tone = np.float32(TONE_LOWEST) + step * (below + np.float32(0.5) + np.float32(0.5) * up)
    toned: Floats = light + np.float32(TONE_HOLD) * (tone - light)
    return toned


def _cooled(light: Floats, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Turn shadows towards blue, up to a fixed point. All (H, W) float32; returns a and b."""
    shadow = np.clip(1 - light * np.float32(1 / SHADOW_BELOW), 0, 1)
    bluer = np.clip((b - SHADOW_BLUEST) * np.float32(1 / 25), 0, 1) * np.float32(SHADOW_BLUE)
    redder = np.clip((SHADOW_REDDEST - a) * np.float32(1 / 12), 0, 1) * np.float32(SHADOW_RED)
    return a + shadow * redder, b - shadow * bluer


def _glow(light: Floats, unit: float) -> Floats:
    """Spread the light of bright areas over their surroundings: (H, W) float32, levels to add."""
    height, width = light.shape
    small = (max(1, width // GLOW_SHRINK), max(1, height // GLOW_SHRINK))
    bright = np.maximum(light - np.float32(GLOW_ABOVE), 0)
    shrunk = np.asarray(cv2.resize(bright, small, interpolation=cv2.INTER_AREA), np.float32)
    spread = cv2.resize(
        _blur(shrunk, GLOW_WIDTH * unit / GLOW_SHRINK),
        (width, height),
        interpolation=cv2.INTER_LINEAR,
    )
    room = np.maximum(1 - light * np.float32(1 / 255), 0)
    return np.asarray(spread * room * np.float32(GLOW_GAIN), np.float32)


def _ink(light: Floats, simple: Pixels, unit: float, simple_unit: float) -> Floats:
    """Find the lines to draw, on the dark side of edges: (H, W) float32, 0..1.

    light: (H, W) float32 L. simple: uint8 Lab at the working size, which tells where lines run.
    """
    root = np.sqrt(light.clip(0, 255) * np.float32(1 / 255))  # so that dark scenes get lines too
    inner, outer = (_blur(root, width * unit) for width in INK_WIDTHS)
    darker = _along_lines(inner - outer, simple, unit, simple_unit)
    excess = np.minimum(darker + np.float32(INK_FROM), 0)
    ink: Floats = np.tanh(excess * np.float32(-INK_GAIN)) * np.float32(INK_MOST)
    return ink


def _along_lines(response: Floats, simple: Pixels, unit: float, simple_unit: float) -> Floats:
    """Smooth (H, W) float32 along the edges of the simple picture, which joins broken lines."""
    step_x, step_y = _planes(
        _resized(_stacked(*_edge_directions(simple, simple_unit)), response.shape)
    )
    height, width = response.shape
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    total, weights = response.copy(), 1.0
    for distance in range(1, INK_REACH + 1):
        weight = float(np.exp(-((distance / (0.6 * INK_REACH)) ** 2)))
        for steps in (distance * max(1.0, unit), -distance * max(1.0, unit)):
            there = cv2.remap(
                response,
                x + step_x * np.float32(steps),
                y + step_y * np.float32(steps),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            total += np.float32(weight) * there
            weights += weight
    return total / np.float32(weights)


def _edge_directions(simple: Pixels, unit: float) -> tuple[Floats, Floats]:
    """Return unit vectors along the edges, x and y: (H, W) float32; x is never negative."""
    x, y = _slopes(_blur(simple[..., 0].astype(np.float32), unit))
    difference = _blur(x * x - y * y, 2 * unit)
    twice = _blur(2 * x * y, 2 * unit)  # the gradient's doubled angle: opposite gradients agree
    cos = difference / np.sqrt(difference * difference + twice * twice + np.float32(1e-6))
    along_x: Floats = np.sqrt(np.maximum(1 - cos, 0) * np.float32(0.5))
    along_y: Floats = np.copysign(np.sqrt(np.maximum(1 + cos, 0) * np.float32(0.5)), -twice)
    return along_x, along_y


# What both looks use.


def _richer(a: Floats, b: Floats, gain: float) -> tuple[Floats, Floats]:
    """Strengthen middling colours by up to `gain` levels of chroma. a, b: (H, W) float32."""
    low, high = np.float32(RICHER_FROM), np.float32(RICHER_TO)
    chroma = np.sqrt(a * a + b * b).clip(low, high)
    added = (chroma - low) * (high - chroma) * np.float32(4 * gain) / (high - low) ** 2
    factor: Floats = 1 + added / chroma
    return a * factor, b * factor


def _unit(picture: Pixels) -> float:
    """Return the length in pixels of this picture that is 1 pixel in one of 640x360."""
    height, width = picture.shape[:2]
    return max(SMALLEST_UNIT, float(np.sqrt(height * width)) / UNIT_SIDE_PX)


def _pixels(length: float, unit: float) -> int:
    return max(1, round(length * unit))


def _rgb(light: Floats, a: Floats, b: Floats) -> Pixels:
    """Turn (H, W) float32 planes of Lab, a and b centred on 0, into (H, W, 3) uint8 RGB."""
    neutral = np.float32(NEUTRAL)
    lab = np.rint(cv2.merge([light, a + neutral, b + neutral]))  # cutting off would drift to green
    return np.asarray(cv2.cvtColor(lab.clip(0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB), np.uint8)


def _resized(picture: NDArray[Kind], shape: tuple[int, ...]) -> NDArray[Kind]:
    """Enlarge a picture smoothly to the height and width that `shape` begins with."""
    height, width = shape[:2]
    if picture.shape[:2] == (height, width):
        return picture
    enlarged = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, picture.dtype)


def _stacked(*planes: Floats) -> Floats:
    return np.dstack(planes)


def _planes(picture: Floats) -> tuple[Floats, ...]:
    return tuple(np.asarray(plane, np.float32) for plane in cv2.split(picture))


def _channel_sum(picture: Floats) -> Floats:
    """Sum (H, W, 3) over its channels, much faster than NumPy does over an axis of three."""
    return np.asarray(cv2.transform(picture, np.ones((1, 3), np.float32)), np.float32)


def _slopes(height: Floats) -> tuple[Floats, Floats]:
    """Return the rise per pixel to the right and downwards, of each channel by itself."""
    x, y = (cv2.Sobel(height, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _box(picture: Floats, side: int) -> Floats:
    return np.asarray(cv2.blur(picture, (side, side)), np.float32)


def _blur(picture: Floats, width: float) -> Floats:
    """Blur with a Gaussian. width: its standard deviation in pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), width), np.float32)
