"""Measure how steady a restyled film is, and at what cost: blur, a frozen or a faded picture.

The motion is that of the input frames, applied to the slides: the motion of the slides themselves
would hide their flicker. No pair of pictures spans a cut. Pictures are (H, W, 3) RGB uint8. A flow
is (H, W, 2) float32: for each pixel, how far to the right and downwards it is found in the other
picture, in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from stable_restyle.imaging import optical_flow
from stable_restyle.imaging.arrays import grey, lab, squared_length, warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.core.records import Pixels
    from stable_restyle.imaging.arrays import Flags, Floats


class Shown(NamedTuple):
    """A frame and the slide that shows it, of one size."""

    frame: Pixels
    slide: Pixels
    inside: Flags | None = None  # (H, W): the pixels to measure; None: all


# Ruder, Dosovitskiy, Brox 2016, "Artistic style transfer for videos", as used by Lai et al. 2018.
MOTION_EDGE_SHARE, MOTION_EDGE_PX2 = 0.01, 0.002

# IEC 61966-2-1 (sRGB): the light of each 8-bit level, and the weights of red, green and blue.
_LEVELS = np.arange(256) / 255
_BENT = ((_LEVELS + 0.055) / 1.055) ** 2.4
LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, _BENT).astype(np.float32)
LUMINANCE = np.array([[0.2126, 0.7152, 0.0722]], np.float32)

# Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True, slots=True)
class SlideMetrics:
    """The metrics of one slide; nan where there is nothing to compare it with."""

    e_warp: float  # against the previous slide; RGB 0..1, squared
    e_warp_input: float  # the same of their frames
    e_warp_long: float  # against the middle
    e_warp_long_input: float
    flicker: float  # against the previous slide; L*, 0..100
    sharpness: float  # relative to the middle's
    style: float  # distance from the middle, 8-bit Lab levels
    structure: float  # 1 if the slide has the edges of its frame


@dataclass(frozen=True)
class Stability:
    """The mean metrics of one or more scenes; nan where nothing could be compared."""

    slides: int
    pairs: int  # of neighbouring slides
    scenes: int
    e_warp: float
    e_warp_input: float
    e_warp_long: float
    e_warp_long_input: float
    flicker: float
    sharpness: float
    style: float
    style_ends: float  # of the last slides of the chains only
    structure: float

    @property
    def e_warp_ratio(self) -> float:
        """Return E_warp relative to that of the input; nan if that is 0."""
        return self.e_warp / self.e_warp_input if self.e_warp_input else math.nan

    @property
    def e_warp_long_ratio(self) -> float:
        return self.e_warp_long / self.e_warp_long_input if self.e_warp_long_input else math.nan


def occlusion(forward: Floats, backward: Floats) -> Flags:
    """Find the pixels of the first picture without a reliable match in the second: (H, W).

    forward: from the first picture to the second, backward: the way back. A pixel is occluded if
    `|F + B~|^2 > 0.01 (|F|^2 + |B~|^2) + 0.5`, B~ being the way back from where F leads; on an edge
    of the motion, `|grad u|^2 + |grad v|^2 > 0.01 |F|^2 + 0.002`; or if it leaves the picture.
    (Lai et al. 2018, "Learning Blind Video Temporal Consistency", after Ruder et al. 2016.)
    """
    lost = optical_flow.inconsistent(forward, backward)
    edge = _slope(forward) > MOTION_EDGE_SHARE * squared_length(forward) + MOTION_EDGE_PX2
    hidden: Flags = lost | edge | optical_flow.leads_outside(forward)
    return hidden


def warping_error(first: Pixels, second: Pixels, forward: Floats, occluded: Flags) -> float:
    """Return the mean squared difference of two pictures after motion compensation, RGB in 0..1.

    `sum(M (V^ - V)^2) / sum(M)`, V^ the second picture warped to the first, bilinear, M = not
    occluded. forward: from first to second. nan if all pixels are occluded.
    """
    counted = ~occluded
    if not counted.any():
        return math.nan
    warped = warp(second.astype(np.float32), forward)
    difference = (warped - first)[counted] / np.float32(255)
    return float(np.mean(difference * difference, dtype=np.float64))


def lightness(picture: Pixels, inside: Flags | None = None) -> float:
    """Return the mean L* of a picture, 0..100 (CIE 1976). inside: of these pixels alone.

    OpenCV's Lab would need 0.1 s for its tables, which no other part of a usual run uses.
    """
    linear = np.asarray(cv2.LUT(picture, LINEAR), np.float32)
    luminance = np.asarray(cv2.transform(linear, LUMINANCE), np.float32)
    root, line = np.cbrt(luminance), luminance * (841 / 108) + 4 / 29
    light = np.where(luminance > (6 / 29) ** 3, root, line)
    return 116 * float(_within(light, inside).mean(dtype=np.float64)) - 16


def sharpness(picture: Pixels, inside: Flags | None = None) -> float:
    """Return the variance of the Laplacian of L, in 8-bit levels squared. Blur lowers it.

    inside: of these pixels alone.
    """
    light = lab(picture)[..., 0].astype(np.float32)
    detail = np.asarray(cv2.Laplacian(light, cv2.CV_32F), np.float32)
    return float(np.var(_within(detail, inside), dtype=np.float64))


def style_distance(
    picture: Pixels,
    other: Pixels,
    inside: Flags | None = None,
    other_inside: Flags | None = None,
) -> float:
    """Return the distance of two palettes in 8-bit Lab levels, the mean over L, a and b.

    It is the earth mover's distance of each channel's histograms, which is the area between the
    cumulative histograms. The pictures may differ in size. inside, other_inside: of these pixels
    alone.
    """
    colours = _cumulative_histograms(_within(lab(picture), inside))
    gap = np.abs(colours - _cumulative_histograms(_within(lab(other), other_inside)))
    return float(gap.sum(axis=1).mean())


def structure(slide: Pixels, frame: Pixels, inside: Flags | None = None) -> float:
    """Return the SSIM of the edge maps of a slide and its frame (Wang et al. 2004): 1 if equal.

    An edge map is the length of the luma's gradient, in 8-bit levels a pixel. inside: the mean is
    that of these pixels.
    """
    x, y = _edges(slide), _edges(frame)
    mean_x, mean_y = _window(x), _window(y)
    var_x = _window(x * x) - mean_x * mean_x
    var_y = _window(y * y) - mean_y * mean_y
    both = _window(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + SSIM_C1) * (2 * both + SSIM_C2)
    likeness /= (mean_x * mean_x + mean_y * mean_y + SSIM_C1) * (var_x + var_y + SSIM_C2)
    return float(_within(likeness, inside).mean(dtype=np.float64))


def measure_slide(shown: Shown, before: Shown | None, middle: Shown | None) -> SlideMetrics:
    """Measure one slide.

    All are of one size. before: the previous slide of the scene, if it exists and has pixels
    inside. middle: the scene's middle, if it does as well and is another slide. Without a pixel
    inside, all metrics are nan.
    """
    if shown.inside is not None and not shown.inside.any():
        return SlideMetrics(*[math.nan] * len(fields(SlideMetrics)))
    near = _errors(before, shown)
    far = near if middle is before else _errors(middle, shown)
    return SlideMetrics(
        *near,
        *far,
        flicker=math.nan if before is None else _flicker(before, shown),
        sharpness=math.nan if middle is None else _relative_sharpness(shown, middle),
        style=math.nan
        if middle is None
        else style_distance(shown.slide, middle.slide, shown.inside, middle.inside),
        structure=structure(shown.slide, shown.frame, shown.inside),
    )


def combine_slides(slides: Sequence[SlideMetrics | None], middle: int) -> Stability:
    """Return the mean metrics of a scene.

    slides: in the film's order, None for those that are missing. middle: the index of the middle.
    """
    existing = [slide for slide in slides if slide is not None]
    ends = [slides[index] for index in {0, len(slides) - 1} - {middle}]
    means = {
        each.name: _mean([getattr(slide, each.name) for slide in existing])
        for each in fields(SlideMetrics)
    }
    return Stability(
        slides=len(existing),
        pairs=sum(not math.isnan(slide.flicker) for slide in existing),
        scenes=1,
        style_ends=_mean([slide.style for slide in ends if slide is not None]),
        **means,
    )


def measure_scene(pictures: Sequence[Shown], middle: int) -> Stability:
    """Measure a scene in memory. pictures: each frame with its slide. middle: its index."""
    slides = [
        measure_slide(
            shown,
            pictures[index - 1] if index else None,
            None if index == middle else pictures[middle],
        )
        for index, shown in enumerate(pictures)
    ]
    return combine_slides(slides, middle)


def combine_scenes(scenes: Sequence[Stability]) -> Stability:
    """Return the mean metrics of several scenes, weighted by their numbers of comparisons."""
    pairs = [scene.pairs for scene in scenes]
    slides = [scene.slides for scene in scenes]
    others = [scene.slides - scene.scenes for scene in scenes]  # slides that are no middles
    counts = [scene.scenes for scene in scenes]
    weights = {
        **dict.fromkeys(("e_warp", "e_warp_input", "flicker"), pairs),
        **dict.fromkeys(("e_warp_long", "e_warp_long_input", "sharpness", "style"), others),
        "style_ends": counts,
        "structure": slides,
    }
    means = {
        name: _mean([getattr(scene, name) for scene in scenes], each)
        for name, each in weights.items()
    }
    return Stability(slides=sum(slides), pairs=sum(pairs), scenes=sum(counts), **means)


def _errors(first: Shown | None, second: Shown) -> tuple[float, float]:
    """Return E_warp of two slides, and of their frames."""
    if first is None:
        return math.nan, math.nan
    forward, backward = optical_flow.fine_flows(first.frame, second.frame)
    occluded = occlusion(forward, backward)
    if first.inside is not None:
        occluded |= ~first.inside
    frames = warping_error(first.frame, second.frame, forward, occluded)
    return warping_error(first.slide, second.slide, forward, occluded), frames


def _within(values: NDArray[Any], inside: Flags | None) -> NDArray[Any]:
    """Return the values of the pixels inside: (N,) or (N, 3); all as they are without `inside`."""
    return values if inside is None else values[inside]


def _relative_sharpness(shown: Shown, middle: Shown) -> float:
    """Return the sharpness relative to the middle's; nan if that is 0."""
    full = sharpness(middle.slide, middle.inside)
    return sharpness(shown.slide, shown.inside) / full if full else math.nan


def _flicker(first: Shown, second: Shown) -> float:
    """Return the change of lightness of two slides that their frames do not show: L*, 0..100."""
    frames = lightness(second.frame, second.inside) - lightness(first.frame, first.inside)
    slides = lightness(second.slide, second.inside) - lightness(first.slide, first.inside)
    return abs(slides - frames)


def _mean(values: Sequence[float], weights: Sequence[int] | None = None) -> float:
    """Return the weighted mean, without values that are nan; nan if no value is left."""
    weighted = [
        (value, weight)
        for value, weight in zip(values, weights or [1] * len(values), strict=True)
        if weight and not math.isnan(value)
    ]
    total = sum(weight for _, weight in weighted)
    return sum(value * weight for value, weight in weighted) / total if total else math.nan


def _cumulative_histograms(picture: Pixels) -> NDArray[np.float64]:
    """Return each channel's share of pixels at or below each level: (3, 256)."""
    counts = [np.bincount(picture[..., channel].ravel(), minlength=256) for channel in range(3)]
    shares: NDArray[np.float64] = np.cumsum(counts, axis=1) / picture[..., 0].size
    return shares


def _edges(picture: Pixels) -> Floats:
    luma = grey(picture)
    x, y = (cv2.Sobel(luma, cv2.CV_32F, dx, 1 - dx, scale=1 / 4) for dx in (1, 0))
    # cv2.magnitude rounds differently depending on the alignment of its arrays.
    return np.asarray(np.sqrt(x * x + y * y), np.float32)


def _window(plane: Floats) -> Floats:
    blurred = cv2.GaussianBlur(plane, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    return np.asarray(blurred, np.float32)


def _slope(vectors: Floats) -> Floats:
    """Return |grad u|^2 + |grad v|^2 by one-sided differences, 0 past the last row and column."""
    total = np.zeros(vectors.shape[:2], np.float32)
    total[:, :-1] += squared_length(np.diff(vectors, axis=1))
    total[:-1] += squared_length(np.diff(vectors, axis=0))
    return total
