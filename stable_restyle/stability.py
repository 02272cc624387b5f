"""Measure how steady a restyled film is, and what that cost: blur, a frozen or a faded picture.

Motion is always that of the input frames, applied to the slides: what a model makes up does not
move, so its own motion would hide the boil that is looked for. No pair of pictures spans a cut.
Pictures are (H, W, 3) RGB uint8; flow is (H, W, 2) float32: for each pixel, how far to the right
and downwards it is found in the other picture, in pixels. Choosing what to do about a figure, and
showing it, is left to others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from stable_restyle import flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.model import Pixels

    Floats: TypeAlias = NDArray[np.float32]
    Flags: TypeAlias = NDArray[np.bool_]

# Ruder, Dosovitskiy, Brox 2016, "Artistic style transfer for videos", as used by Lai et al. 2018.
INCONSISTENT_SHARE, INCONSISTENT_PX2 = 0.01, 0.5
MOTION_EDGE_SHARE, MOTION_EDGE_PX2 = 0.01, 0.002

# Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True)
class Stability:
    """The figures of a scene, or of scenes put together; nan where nothing could be compared."""

    slides: int
    pairs: int  # of neighbouring slides
    scenes: int
    e_warp: float  # of neighbouring slides; RGB 0..1, squared
    e_warp_input: float  # the same of their frames
    e_warp_long: float  # between each slide and the middle
    e_warp_long_input: float
    flicker: float  # L*, 0..100
    sharpness: float  # 1 is the middle's
    style: float  # distance to the middle, 8-bit Lab levels
    style_ends: float  # the same of the last slides of the chains alone
    structure: float  # 1 where a slide has the edges of its frame

    @property
    def e_warp_ratio(self) -> float:
        """E_warp relative to the input's own; nan if the input has none."""
        return self.e_warp / self.e_warp_input if self.e_warp_input else math.nan

    @property
    def e_warp_long_ratio(self) -> float:
        return self.e_warp_long / self.e_warp_long_input if self.e_warp_long_input else math.nan


def occlusion(forward: Floats, backward: Floats) -> Flags:
    """Which pixels of the first picture do not count, (H, W): they have no sure match in the other.

    forward: from the first picture to the second, backward: the way back. A pixel does not count if
    `|F + B~|^2 > 0.01 (|F|^2 + |B~|^2) + 0.5`, B~ being the way back from where F leads; on an edge
    of the motion, `|grad u|^2 + |grad v|^2 > 0.01 |F|^2 + 0.002`; or if it leaves the picture.
    (Lai et al. 2018, "Learning Blind Video Temporal Consistency", after Ruder et al. 2016.)
    """
    back = flow.warp(backward, forward)
    lengths = _squared(forward) + _squared(back)
    lost = _squared(forward + back) > INCONSISTENT_SHARE * lengths + INCONSISTENT_PX2
    edge = _slope(forward) > MOTION_EDGE_SHARE * _squared(forward) + MOTION_EDGE_PX2
    hidden: Flags = lost | edge | flow.leaves(forward)
    return hidden


def warping_error(first: Pixels, second: Pixels, forward: Floats, occluded: Flags) -> float:
    """How much two pictures differ once motion is taken out: the mean square, RGB in 0..1.

    `sum(M (V^ - V)^2) / sum(M)`, V^ the second picture warped onto the first, bilinear, M = not
    occluded. forward: from first to second. nan if no pixel counts.
    """
    counted = ~occluded
    if not counted.any():
        return math.nan
    warped = flow.warp(second.astype(np.float32), forward)
    difference = (warped - first)[counted] / np.float32(255)
    return float(np.mean(difference * difference, dtype=np.float64))


def lightness(picture: Pixels) -> float:
    """The mean L* of a picture, 0..100 (CIE 1976)."""
    return float(_lab(picture)[..., 0].mean(dtype=np.float64)) * 100 / 255


def sharpness(picture: Pixels) -> float:
    """The variance of the Laplacian of L, 8-bit levels squared: falls when a picture is blurred."""
    light = _lab(picture)[..., 0].astype(np.float32)
    return float(np.var(cv2.Laplacian(light, cv2.CV_32F), dtype=np.float64))


def style_distance(picture: Pixels, other: Pixels) -> float:
    """How far apart two palettes are: 8-bit Lab levels, the mean over L, a and b.

    The earth mover's distance of each channel's histograms: how far, on average, a pixel's value
    has to be moved to turn one histogram into the other. It is the area between their cumulated
    forms, and the pictures may differ in size.
    """
    gap = np.abs(_cumulated(_lab(picture)) - _cumulated(_lab(other)))
    return float(gap.sum(axis=1).mean())


def structure(slide: Pixels, frame: Pixels) -> float:
    """The SSIM of the edge maps of a slide and of its frame (Wang et al. 2004): 1 for equal ones.

    An edge map is the length of the luma's gradient, in 8-bit levels a pixel.
    """
    x, y = _edges(slide), _edges(frame)
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x * mean_x
    var_y = _window(y * y) - mean_y * mean_y
    both = _window(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + SSIM_C1) * (2 * both + SSIM_C2)
    likeness /= (mean_x * mean_x + mean_y * mean_y + SSIM_C1) * (var_x + var_y + SSIM_C2)
    return float(likeness.mean(dtype=np.float64))


def measure_scene(
    pictures: Iterable[tuple[Pixels, Pixels]],
    middle: int,
    middle_picture: tuple[Pixels, Pixels],
) -> Stability:
    """Measure a scene, holding a handful of its pictures at a time.

    pictures: the frame and the slide of each slide of the scene, in the order of the film, all of
    one size. middle: which of them, from 0, is the middle; middle_picture: its frame and slide.
    """
    tally = _Tally(middle, middle_picture)
    for frame, slide in pictures:
        tally.add(frame, slide)
    return tally.result()


def together(scenes: Sequence[Stability]) -> Stability:
    """Several scenes as one: each figure weighted by how many comparisons it is the mean of."""
    pairs = [scene.pairs for scene in scenes]
    slides = [scene.slides for scene in scenes]
    others = [scene.slides - scene.scenes for scene in scenes]  # than the middles
    counts = [scene.scenes for scene in scenes]

    def mean(figure: str, weights: Sequence[int]) -> float:
        values = [getattr(scene, figure) for scene in scenes]
        return _mean(values, weights)

    return Stability(
        slides=sum(slides),
        pairs=sum(pairs),
        scenes=sum(counts),
        e_warp=mean("e_warp", pairs),
        e_warp_input=mean("e_warp_input", pairs),
        e_warp_long=mean("e_warp_long", others),
        e_warp_long_input=mean("e_warp_long_input", others),
        flicker=mean("flicker", pairs),
        sharpness=mean("sharpness", others),
        style=mean("style", others),
        style_ends=mean("style_ends", counts),
        structure=mean("structure", slides),
    )


class _Tally:
    """The figures of a scene while its slides go by, one after the other."""

    def __init__(self, middle: int, middle_picture: tuple[Pixels, Pixels]) -> None:
        self._middle = middle
        self._frame, self._slide = middle_picture
        self._sharpness = sharpness(self._slide)
        self._before: tuple[Pixels, Pixels] | None = None
        self._index = 0
        self._near: list[tuple[float, float]] = []  # E_warp of slides and of frames
        self._far: list[tuple[float, float]] = []
        self._flicker: list[float] = []
        self._sharp: list[float] = []
        self._style: list[float] = []
        self._structure: list[float] = []

    def add(self, frame: Pixels, slide: Pixels) -> None:
        if self._before is not None:
            self._near.append(_errors(self._before, (frame, slide)))
            self._flicker.append(_flicker(self._before, (frame, slide)))
        self._structure.append(structure(slide, frame))
        if self._index != self._middle:
            self._far.append(_errors((self._frame, self._slide), (frame, slide)))
            self._sharp.append(sharpness(slide))
            self._style.append(style_distance(slide, self._slide))
        self._before = frame, slide
        self._index += 1

    def result(self) -> Stability:
        ends = self._style[:1] * (self._middle > 0)
        ends += self._style[-1:] * (self._middle < self._index - 1)
        blank = self._sharpness == 0
        return Stability(
            slides=self._index,
            pairs=len(self._near),
            scenes=1,
            e_warp=_mean([error for error, _ in self._near]),
            e_warp_input=_mean([error for _, error in self._near]),
            e_warp_long=_mean([error for error, _ in self._far]),
            e_warp_long_input=_mean([error for _, error in self._far]),
            flicker=_mean(self._flicker),
            sharpness=math.nan if blank else _mean(self._sharp) / self._sharpness,
            style=_mean(self._style),
            style_ends=_mean(ends),
            structure=_mean(self._structure),
        )


def _errors(first: tuple[Pixels, Pixels], second: tuple[Pixels, Pixels]) -> tuple[float, float]:
    """E_warp of two slides and of their frames, each given as (frame, slide)."""
    forward, backward = flow.both_ways(first[0], second[0])
    occluded = occlusion(forward, backward)
    frames, slides = (
        warping_error(before, after, forward, occluded)
        for before, after in zip(first, second, strict=True)
    )
    return slides, frames


def _flicker(first: tuple[Pixels, Pixels], second: tuple[Pixels, Pixels]) -> float:
    """How much the lightness of two slides changes that of their frames does not: L*, 0..100."""
    frames, slides = (
        lightness(after) - lightness(before) for before, after in zip(first, second, strict=True)
    )
    return abs(slides - frames)


def _mean(values: Sequence[float], weights: Sequence[int] | None = None) -> float:
    """The weighted mean of the values that are numbers; nan if there are none."""
    weighted = [
        (value, weight)
        for value, weight in zip(values, weights or [1] * len(values), strict=True)
        if weight and not math.isnan(value)
    ]
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total else math.nan


def _lab(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), np.uint8)


def _cumulated(lab: Pixels) -> NDArray[np.float64]:
    """For each channel, the share of the pixels at or below each of 256 levels: (3, 256)."""
    counts = [np.bincount(lab[..., channel].ravel(), minlength=256) for channel in range(3)]
    shares: NDArray[np.float64] = np.cumsum(counts, axis=1) / lab[..., 0].size
    return shares


def _edges(picture: Pixels) -> Floats:
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    x, y = (cv2.Sobel(luma, cv2.CV_32F, dx, 1 - dx, scale=1 / 4) for dx in (1, 0))
    return np.asarray(cv2.magnitude(x, y), np.float32)


def _window(plane: Floats) -> Floats:
    blurred = cv2.GaussianBlur(plane, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    return np.asarray(blurred, np.float32)


def _squared(vectors: Floats) -> Floats:
    length: Floats = vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1]
    return length


def _slope(vectors: Floats) -> Floats:
    """|grad u|^2 + |grad v|^2 by one-sided differences, 0 past the last row and column."""
    total = np.zeros(vectors.shape[:2], np.float32)
    total[:, :-1] += _squared(np.diff(vectors, axis=1))
    total[:-1] += _squared(np.diff(vectors, axis=0))
    return total
