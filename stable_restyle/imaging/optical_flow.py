"""Optical flow: how the picture moved between two slides, and what follows for the later one.

Pure functions of arrays. Nothing is kept between two calls, so that any number of threads may call,
and a run that goes on from the slides on disk draws what an undisturbed one would have drawn.

Pictures are (H, W, 3) RGB uint8, masks (H, W) uint8. A flow is (H, W, 2) float32: for each pixel,
how far to the right and downwards it is found in the other picture, in pixels. A doubt is (H, W)
float32, 0..1: 0 where the previous slide shows what this one has to, 1 where it does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.core.records import Pixels

    Floats: TypeAlias = NDArray[np.float32]
    Halves: TypeAlias = NDArray[np.float16]
    Flags: TypeAlias = NDArray[np.bool_]

Kind = TypeVar("Kind", np.uint8, np.float32)

# Swept, with tables in benchmarks/: PATCH_STRIDE, REFINEMENTS, ERROR_*, DOUBT_*, MASK_GAIN,
# FILL_REACH, TAPS*, SOFT_SHARE, COLOUR_*, KEY_*. The others are published, or first
# guesses that held.

# DIS (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search"), preset "medium".
PATCH_STRIDE = 4  # pixels from one patch to the next
REFINEMENTS = 1  # passes of the variational smoothing
MEASURED_MOST_PX = 1920 * 1088  # larger frames are measured at reduced size

# Ruder, Dosovitskiy, Brox 2016, "Artistic style transfer for videos".
INCONSISTENT_SHARE, INCONSISTENT_PX2 = 0.01, 0.5

# doubt = smooth step of e^2 / (e^2 + HALF^2), e = blurred residual + LOST where inconsistent.
ERROR_WIDTH = 1.5  # pixels: sigma of the blur
ERROR_HALF = 20.0  # levels: what is as bad as a pixel drawn anew
ERROR_HALF_FAST = 15.0  # at half the size the same misfit leaves less
ERROR_LOST = 12.0  # levels
DOUBT_FROM, DOUBT_TO = 0.3, 0.35  # below the first a pixel is kept, above the second it is free

BORDER_PX = 1.0  # flow that leads no further past the border is taken for its own noise

MASK_GAIN = 3.0  # a wide soft edge is a mean of two pictures that differ, and looks blurred
FILL_REACH = 1  # pixels: the soft edge between what is carried and what the frame fills in
TAPS = 12
TAPS_BETA = 5.0  # of the Kaiser window
# OpenCV's bicubic kernel (A = -0.75) adds 2.5 % to middling detail each time, which piles up along
# a chain; some bilinear takes it away again. How much is found for each slide, within these bounds;
# the first is for a slide without any detail.
SOFT_SHARE, SOFT_LEAST, SOFT_MOST = 0.17, -0.15, 0.5
LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)  # BT.601
# What rounding to 8 bits adds to the mean square of the luma's Laplacian, whose taps are -4 and 1
# four times: rounding has a variance of 1/12 in each channel.
ROUNDING_ENERGY = (4**2 + 4) / 12 * float(np.sum(LUMA**2))
STRIP_PX = 128  # of a picture that is made strip by strip
DOUBLED_MOST_PX = 2560 * 1440  # larger pictures have less to lose, and would take gigabytes

COLOUR_SHRINK = 8  # colours are compared at an eighth of the size
COLOUR_WIDTH = 4.0  # shrunken pixels: how far a local difference in colour reaches
COLOUR_TRUST = 0.2  # how much trusted surface it takes to believe in one
GAIN_LEAST, GAIN_MOST = 0.8, 1.25  # matching fully would kill the palette
TRUSTED_LEAST = 0.05  # of the picture: with less, colours are left as they are

TONED_LEAST = 0.5  # of 255: rounding undoes a smaller change
DEVIATION_LEAST = 1.0  # levels: below that there is no contrast to compare
SCALED_LEAST_PX = 64  # with shorter sides there may be no coarser scale to begin with
FLOW_SIDE_LEAST = 32  # pixels: DIS crashes on flat pictures that are less than 29 high

KEY_ERROR_WIDTH, KEY_ERROR_LEAST = 2.0, 3.0  # pixels; levels
KEY_CHOICE = 3  # times errors are squared: how decidedly the better key is taken


@dataclass(frozen=True)
class Moved:
    """What two frames say about the slides that show them. Needs input frames only.

    flow, doubt and error have the size that the frames were measured at, `frame` has its own.
    """

    frame: Pixels  # this slide's
    flow: Floats  # from this frame to the previous slide's
    doubt: Floats
    # (H, W): the residual, what of the frames' difference carrying leaves, in levels; measured
    # along ways only, for slides between keys.
    error: Floats | None = None

    def flow_at(self, shape: tuple[int, ...]) -> Floats:
        """The flow at the size of a picture of this shape."""
        return _enlarged_flow(self.flow, shape[1], shape[0])


@dataclass(frozen=True)
class Way:
    """The flow from one slide's frame to another's, and back, at the size of measuring.

    (H, W, 2) float16 each, which keeps 1/32 of a pixel up to 64 pixels, and half of the memory.
    """

    there: Halves
    back: Halves

    @property
    def reversed(self) -> Way:
        return Way(self.back, self.there)


@dataclass(frozen=True)
class Tones:
    """The colours of a picture: mean and standard deviation of L, a and b, 8-bit levels, (3,)."""

    mean: Floats
    deviation: Floats


def measure(before: Pixels, frame: Pixels, *, fast: bool = False) -> Moved:
    """Find out how the picture moved from the previous slide's frame to this slide's.

    before, frame: of one size. fast: at half the resolution, in a quarter of the time. The way
    there and back is needed only to see where it does not close, so the way there may be rough.
    """
    small_before, small = (_measurable(picture, fast) for picture in (before, frame))
    there, here = _grey(small_before), _grey(small)
    flow = _flow(here, there)
    forth = _rough_flow(there, here)
    error = _residual(small_before, small, flow)
    return Moved(frame, flow, _doubt(error, flow, forth, fast))


def way(first: Pixels, second: Pixels, *, fast: bool = False) -> Way:
    """The flow from the first frame to the second, and back. fast: as for `measure`."""
    a, b = (_grey(_measurable(picture, fast)) for picture in (first, second))
    return Way(*(flow.astype(np.float16) for flow in (_flow(a, b), _flow(b, a))))


def measure_along(before: Pixels, frame: Pixels, ways: Sequence[Way], *, fast: bool) -> Moved:
    """`measure` for slides that are several apart: `ways` lead from `frame` to `before`.

    Short ways are found far more surely than one long one, and two slides in a row that go nearly
    the same way get nearly the same picture. What hides a pixel in between cuts it off, though.
    """
    small_before, small = (_measurable(picture, fast) for picture in (before, frame))
    flow, forth = ways[0].there.astype(np.float32), ways[0].back.astype(np.float32)
    for onward in ways[1:]:
        there, back = onward.there.astype(np.float32), onward.back.astype(np.float32)
        flow, forth = flow + warp(there, flow), back + warp(forth, back)
    error = _residual(small_before, small, flow)
    return Moved(frame, flow, _doubt(error, flow, forth, fast), error)


def rough_both_ways(first: Pixels, second: Pixels) -> tuple[Floats, Floats]:
    """The flow from the first picture to the second, and back, in a fifth of the time."""
    a, b = _grey(first), _grey(second)
    return _rough_flow(a, b), _rough_flow(b, a)


def both_ways(first: Pixels, second: Pixels) -> tuple[Floats, Floats]:
    """The flow from the first picture to the second, and back, both at its best."""
    a, b = (_grey(_measurable(picture, False)) for picture in (first, second))
    height, width = first.shape[:2]
    return _enlarged_flow(_flow(a, b), width, height), _enlarged_flow(_flow(b, a), width, height)


def warp(picture: NDArray[Kind], flow: Floats) -> NDArray[Kind]:
    """Fetch each pixel from where the flow leads, bilinear; past the border, the border's."""
    x, y = _places(flow)
    fetched = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fetched, picture.dtype)


def leaves(flow: Floats, margin_px: float = 0) -> Flags:
    """Where the flow leads out of the picture by more than the margin: (H, W)."""
    x, y = _places(flow)
    height, width = x.shape
    outside: Flags = (
        (x < -margin_px)
        | (x > width - 1 + margin_px)
        | (y < -margin_px)
        | (y > height - 1 + margin_px)
    )
    return outside


def carry(previous: Pixels, moved: Moved) -> Pixels:
    """Move the previous slide to this frame; what it cannot show comes from the frame, recoloured.

    `W (1 - m) + frame m`, W the warped slide and m the doubt with a soft edge.
    """
    warped = _resample(previous, moved)
    doubt = _spread(_enlarged(moved.doubt, warped.shape), FILL_REACH)
    if not doubt.any():
        return warped
    return _mix(recolour(moved.frame, warped, _rest(doubt)), warped, doubt)


def mask(moved: Sequence[Moved], strength: float, grow_px: int) -> Pixels:
    """What the model may change: (H, W), 0 keeps, 255 frees.

    moved: from each slide that this one is made from; what one of them shows is kept. strength: 0
    frees every pixel, 8 frees only what moved in a way that carrying cannot follow, or was
    uncovered. grow_px: how far around such pixels the mask reaches, in pixels of the frame.
    """
    lost = moved[0].doubt
    for each in moved[1:]:
        lost = np.minimum(lost, each.doubt)
    wide = _spread(_enlarged(lost, moved[0].frame.shape), grow_px)
    doubt = np.minimum(wide * np.float32(MASK_GAIN), 1)
    still = min(256 - 32 * strength, 255)  # as masks.freedom gives a pixel that did not change
    grey = still + (255 - still) * doubt
    return np.asarray(np.rint(grey), np.uint8)


def compose(answer: Pixels, carried: Pixels, mask: Pixels) -> Pixels:
    """The slide: the model's answer where it was free, the carried pixels, untouched, elsewhere.

    Pixels that do not pass through the model keep their colours and their grain: a VAE changes both
    a little each time. `answer m + carried (1 - m)`, m = mask / 255.
    """
    return _mix(answer, carried, np.divide(mask, 255, dtype=np.float32))


def anchor(answer: Pixels, carried: Pixels, mask: Pixels) -> Pixels:
    """Take out of the model's answer the change of colour that kept pixels show.

    They should not have changed, so what did change them, changed the free ones too. Per channel of
    Lab `a x + b`, a = sd(carried) / sd(answer) held in 0.8..1.25, b = mean(carried) -
    a mean(answer), over the kept pixels; the answer as it is where these are too few.
    """
    kept = (_shrunken(mask) == 0).astype(np.float32)
    if kept.mean() < TRUSTED_LEAST:
        return answer
    mean, deviation = _moments(_small_lab(answer), kept)
    wanted, wanted_deviation = _moments(_small_lab(carried), kept)
    gain = _held(wanted_deviation / deviation)
    return _toned(answer, gain, wanted - gain * mean)


def tones(picture: Pixels) -> Tones:
    """The colours of a picture, as `pull` compares them."""
    lab = _small_lab(picture)
    return Tones(*_moments(lab, np.ones(lab.shape[:2], np.uint8)))


def pull(
    picture: Pixels, frame: Pixels, middle_slide: Tones, middle_frame: Tones, share: float
) -> Pixels:
    """Draw the colours of a picture of a chain back towards those of the scene's middle, a little.

    What the frames themselves changed in between is no drift: per channel of Lab, the mean that is
    wanted is `mean(middle slide) + g (mean(frame) - mean(middle frame))`, g = sd(middle slide) /
    sd(middle frame) held in 0.8..1.25, and the contrast sd(middle slide) sd(frame) /
    sd(middle frame). share: of the way there, 0..1. The change is the same all over the picture.
    """
    now, here = tones(picture), tones(frame)
    gain = _held(middle_slide.deviation / middle_frame.deviation)
    wanted = middle_slide.mean + gain * (here.mean - middle_frame.mean)
    wanted_deviation = middle_slide.deviation * here.deviation / middle_frame.deviation
    stretch = _held(wanted_deviation / now.deviation) ** np.float32(share)
    mean = now.mean + np.float32(share) * (wanted - now.mean)
    return _toned(picture, stretch, mean - stretch * now.mean)


def fill(keys: Sequence[Pixels], moved: Sequence[Moved]) -> Pixels:
    """A slide between two keys, without the model.

    keys: two slides. moved: from each of them to this slide, along ways. The weights are
    `w_a = e_b^8 / (e_a^8 + e_b^8)`, e the blurred residual of a key's frame carried here, plus 3
    levels: the better key nearly alone, since a mean of both is soft. A key that does not show a
    pixel has no say in it. What neither shows comes from the frame, recoloured.
    """
    first, second = keys
    weight_b, weight_a = map(_key_error, moved)
    for error in (weight_a, weight_b):
        for _ in range(KEY_CHOICE):
            error *= error
    share = _enlarged(np.divide(weight_a, weight_a + weight_b, dtype=np.float32), first.shape)
    return _mix(carry(first, moved[0]), carry(second, moved[1]), share)


def deflicker(
    slide: Pixels, neighbours: Sequence[tuple[Pixels, Moved, int]], width: float
) -> Pixels:
    """The mean of a slide and its neighbours, moved to where the slide has them.

    neighbours: slides of the scene, what leads from this slide's frame to theirs, and how many
    slides they are away. width: sigma of the weights, in slides. A neighbour has no say where it is
    doubtful. Neighbours as they were drawn, not deflickered, so that the order does not matter.
    """
    total = slide.astype(np.float32)
    weights = np.ones(slide.shape[:2], np.float32)
    for neighbour, moved, distance in neighbours:
        trust = _rest(_spread(_enlarged(moved.doubt, slide.shape), FILL_REACH))
        trust *= np.float32(np.exp(-0.5 * (distance / width) ** 2))
        total += _resample(neighbour, moved) * trust[..., None]
        weights += trust
    return np.asarray(np.rint(total / weights[..., None]), np.uint8)


def recolour(frame: Pixels, carried: Pixels, trust: Floats) -> Pixels:
    """Give a frame the colours of the carried slide, learnt where that can be trusted.

    trust: (H, W), 0..1. Per channel of RGB `a x + b`: a = sd(carried) / sd(frame) of the whole,
    held in 0.8..1.25, b of the neighbourhood; the frame as it is if too little can be trusted.
    """
    if trust.mean() < TRUSTED_LEAST:
        return frame
    weight = _shrunken(trust)
    source, wanted = (_shrunken(picture) for picture in (frame, carried))
    mean, deviation = _moments(source, weight)
    wanted_mean, wanted_deviation = _moments(wanted, weight)
    gain = _held(wanted_deviation / deviation)
    offset = wanted_mean - gain * mean
    gap = (wanted - gain * source - offset) * weight[..., None]
    local = _blur(gap, COLOUR_WIDTH) / (_blur(weight, COLOUR_WIDTH) + COLOUR_TRUST)[..., None]
    recoloured = _enlarged(local + offset, frame.shape)
    recoloured += frame * gain
    np.rint(recoloured, out=recoloured)
    return np.asarray(recoloured.clip(0, 255, out=recoloured), np.uint8)


# Measuring.


def _measurable(picture: Pixels, fast: bool) -> Pixels:
    """The picture at the size that it is measured at."""
    height, width = picture.shape[:2]
    scale = min(1.0, (MEASURED_MOST_PX / (width * height)) ** 0.5) / (2 if fast else 1)
    size = max(FLOW_SIDE_LEAST, round(width * scale)), max(FLOW_SIDE_LEAST, round(height * scale))
    if size == (width, height):
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _flow(first: Pixels, second: Pixels) -> Floats:
    """The flow between (H, W) luma pictures.

    The full size comes last, in an object of its own: one for all scales would hold the buffers of
    all of them, a third more than of the largest.
    """
    flow, dis = np.zeros((*first.shape, 2), np.float32), _dis(finest=0)
    if min(first.shape) >= SCALED_LEAST_PX:
        flow = _calculated(_dis(finest=1), first, second, flow)
        dis.setCoarsestScale(0)
    return _calculated(dis, first, second, flow)


def _dis(finest: int) -> cv2.DISOpticalFlow:
    """finest: the scale to stop at, as a power of 1/2. DIS keeps its buffers: one object a call."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(finest)
    dis.setPatchStride(PATCH_STRIDE)
    dis.setVariationalRefinementIterations(REFINEMENTS)
    return dis


def _rough_flow(first: Pixels, second: Pixels) -> Floats:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return _calculated(dis, first, second, np.zeros((*first.shape, 2), np.float32))


def _calculated(
    dis: cv2.DISOpticalFlow, first: Pixels, second: Pixels, begun_with: Floats
) -> Floats:
    """begun_with: a first guess; may be overwritten."""
    return np.asarray(dis.calc(first, second, begun_with), np.float32)


def _residual(before: Pixels, frame: Pixels, flow: Floats) -> Floats:
    """`max_c |warp(before) - frame|`, blurred: (H, W), levels."""
    red, green, blue = cv2.split(cv2.absdiff(warp(before, flow), frame))
    largest = cv2.max(cv2.max(red, green), blue)
    return _blur(largest.astype(np.float32), ERROR_WIDTH)


def _doubt(error: Floats, flow: Floats, forth: Floats, fast: bool) -> Floats:
    """How little the previous slide says about each pixel: (H, W), 0..1."""
    returned = warp(forth, flow)
    lengths = _squared(flow) + _squared(returned)
    lost = _squared(flow + returned) > INCONSISTENT_SHARE * lengths + INCONSISTENT_PX2
    error = error + ERROR_LOST * _blur(lost.astype(np.float32), ERROR_WIDTH)
    wrong = error * error
    wrong /= wrong + np.float32((ERROR_HALF_FAST if fast else ERROR_HALF) ** 2)
    steep = ((wrong - DOUBT_FROM) / (DOUBT_TO - DOUBT_FROM)).clip(0, 1)
    steep *= steep * (3 - 2 * steep)
    steep[leaves(flow, BORDER_PX)] = 1
    return steep.astype(np.float32)


# Resampling. A chain resamples the same pixels at every slide, and each time bilinear or bicubic
# interpolation takes some of their detail: at half size after eight slides, or none at all. At
# double size, made with a long filter, what bicubic takes lies past the detail that there is.


def _resample(picture: Pixels, moved: Moved) -> Pixels:
    """Fetch each pixel of the previous slide from where the flow leads, without softening it."""
    height, width = picture.shape[:2]
    flow = moved.flow_at(picture.shape)
    if height * width > DOUBLED_MOST_PX:
        return _fetched(picture, *_places(flow), cv2.INTER_LANCZOS4)
    crisp, soft = _fetched_finely(picture, flow)
    share = _soft_share(picture, crisp, soft, flow, moved.doubt)
    mixed = cv2.addWeighted(crisp, 1 - share, soft, share, 0, dtype=cv2.CV_8U)
    return np.asarray(mixed, np.uint8)


def _fetched_finely(picture: Pixels, flow: Floats) -> tuple[Floats, Floats]:
    """Each pixel from its place in the picture at double size, crisp and soft: (H, W, 3) each."""
    doubled = _doubled(picture)
    x, y = _places(flow)
    x *= 2
    y *= 2
    crisp, soft = (_fetched(doubled, x, y, how) for how in (cv2.INTER_CUBIC, cv2.INTER_LINEAR))
    return crisp, soft


def _soft_share(
    previous: Pixels, crisp: Floats, soft: Floats, flow: Floats, doubt: Floats
) -> float:
    """How much of the soft picture leaves the carried one as sharp as the previous slide was.

    Sharp means the mean square of the luma's Laplacian, over the pixels that are not doubtful; it
    is a quadratic function of the share.
    """
    detail = _laplacian(previous.astype(np.float32))
    wanted = warp(detail * detail, flow) - np.float32(ROUNDING_ENERGY)
    trust = _rest(_enlarged(doubt, previous.shape))
    crisp_detail, soft_detail = _laplacian(crisp), _laplacian(soft)
    lost = crisp_detail - soft_detail
    c, b, a = (
        float(np.vdot(trust, plane))
        for plane in (crisp_detail * crisp_detail - wanted, crisp_detail * lost, lost * lost)
    )
    if a <= 0:
        return SOFT_SHARE
    share = (b - math.sqrt(max(b * b - a * c, 0))) / a
    return min(max(share, SOFT_LEAST), SOFT_MOST)


def _laplacian(picture: Floats) -> Floats:
    grey = cv2.transform(picture, LUMA)
    return np.asarray(cv2.Laplacian(grey, cv2.CV_32F), np.float32)


def _fetched(picture: NDArray[Kind], x: Floats, y: Floats, how: int) -> NDArray[Kind]:
    fetched = cv2.remap(picture, x, y, how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fetched, picture.dtype)


def _doubled(picture: Pixels) -> Floats:
    """The picture at (2 H, 2 W, 3): its own pixels at even places, values in between at odd ones.

    That keeps what is on a pixel's place exactly as it is; cv2.resize moves everything by a quarter
    of a pixel, and softens it. Rounding to whole levels here would pile up to a visible grain.
    """
    height, width = picture.shape[:2]
    taps, alone = _half_sample_taps(), np.ones(1, np.float32)
    left = TAPS // 2 - 1  # of the taps that reach past the pixel to the left of the new one
    doubled = np.empty((2 * height, 2 * width, 3), np.float32)
    wide = doubled[::2]
    for rows in _strips(height):
        strip = picture[rows]
        between = cv2.sepFilter2D(
            strip, cv2.CV_32F, taps, alone, anchor=(left, 0), borderType=cv2.BORDER_REPLICATE
        )
        pairs = cv2.merge([strip.astype(np.float32), between])  # six channels: two pixels
        wide[rows] = pairs.reshape(len(strip), 2 * width, 3)
    for columns in _strips(2 * width):
        doubled[1::2, columns] = cv2.sepFilter2D(
            np.ascontiguousarray(wide[:, columns]),
            cv2.CV_32F,
            alone,
            taps,
            anchor=(0, left),
            borderType=cv2.BORDER_REPLICATE,
        )
    return doubled


@lru_cache(1)
def _half_sample_taps() -> Floats:
    """The filter for a value half way between two pixels: a sinc in a Kaiser window, (TAPS,)."""
    distances = np.arange(TAPS) - (TAPS - 1) / 2
    window = np.kaiser(2 * TAPS + 1, TAPS_BETA)[1::2]
    taps = np.sinc(distances) * window
    return np.asarray(taps / taps.sum(), np.float32)


def _places(flow: Floats) -> tuple[Floats, Floats]:
    """Where each pixel is fetched from: x and y, (H, W) float32 each."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def _enlarged_flow(flow: Floats, width: int, height: int) -> Floats:
    """A flow at another size; its lengths grow with it."""
    measured_height, measured_width = flow.shape[:2]
    if (measured_height, measured_width) == (height, width):
        return flow
    enlarged = _enlarged(flow, (height, width))
    enlarged[..., 0] *= np.float32(width / measured_width)
    enlarged[..., 1] *= np.float32(height / measured_height)
    return enlarged


# Planes and colours.


def _strips(length: int) -> Iterator[slice]:
    """Parts of a side. What is done to a picture part by part needs no second one in memory."""
    yield from (slice(start, start + STRIP_PX) for start in range(0, length, STRIP_PX))


def _spread(doubt: Floats, reach: int) -> Floats:
    """Doubt that reaches further, with a soft edge as wide as that: (H, W)."""
    side = 2 * min(reach, max(doubt.shape)) + 1
    grown = cv2.dilate(doubt, np.ones((side, side), np.uint8))
    return np.asarray(cv2.blur(grown, (side, side)), np.float32)


def _enlarged(plane: Floats, shape: tuple[int, ...]) -> Floats:
    height, width = shape[:2]
    if plane.shape[:2] == (height, width):
        return plane
    enlarged = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, np.float32)


def _shrunken(picture: NDArray[Kind]) -> Floats:
    height, width = picture.shape[:2]
    size = max(1, width // COLOUR_SHRINK), max(1, height // COLOUR_SHRINK)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _mix(over: Pixels, under: Pixels, share: Floats) -> Pixels:
    """`over share + under (1 - share)`, rounded; exact where the share is 0 or 1."""
    mixed = cv2.blendLinear(over, under, share, _rest(share))
    return np.asarray(mixed, np.uint8)


def _rest(share: Floats) -> Floats:
    return np.asarray(1 - share, np.float32)


def _moments(picture: NDArray[Kind], weight: NDArray[Kind]) -> tuple[Floats, Floats]:
    """The weighted mean and standard deviation of each channel: (3,) each."""
    shares = (weight.astype(np.float64) / weight.sum(dtype=np.float64)).ravel()
    values = picture.reshape(-1, 3).astype(np.float64)
    mean = shares @ values
    deviation = np.sqrt(np.maximum(shares @ (values * values) - mean * mean, DEVIATION_LEAST**2))
    return mean.astype(np.float32), deviation.astype(np.float32)


def _held(gain: Floats) -> Floats:
    return gain.clip(GAIN_LEAST, GAIN_MOST)


def _small_lab(picture: Pixels) -> Pixels:
    return _lab(np.rint(_shrunken(picture)).astype(np.uint8))


def _lab(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2LAB), np.uint8)


def _toned(picture: Pixels, gain: Floats, offset: Floats) -> Pixels:
    """`gain x + offset` for each channel of Lab, (3,) each, 8-bit levels; rounded once.

    The picture itself if that changes nothing. Going through 8-bit Lab would cost a level here and
    there each time, which piles up along a chain to a visible grain.
    """
    levels = np.arange(256, dtype=np.float32)[:, None]
    if np.abs(gain * levels + offset - levels).max() < TONED_LEAST:
        return picture
    # OpenCV's float L goes to 100, and its a and b have no 128 added.
    zero = np.array([0, 128, 128], np.float32)
    shift = (offset + (gain - 1) * zero) / np.array([2.55, 1, 1], np.float32)
    change = np.column_stack([np.diag(gain), shift])
    toned = np.empty_like(picture)
    for rows in _strips(len(picture)):
        lab = cv2.cvtColor(picture[rows].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        rgb = cv2.cvtColor(cv2.transform(lab, change), cv2.COLOR_LAB2RGB) * 255
        toned[rows] = np.rint(rgb).clip(0, 255)
    return toned


def _grey(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _blur(plane: Floats, width: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), width), np.float32)


def _squared(vectors: Floats) -> Floats:
    length: Floats = vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1]
    return length


def _key_error(moved: Moved) -> Floats:
    """How wrong a key is at each pixel: levels, and far more than that where it has no say."""
    assert moved.error is not None
    error = _blur(moved.error, KEY_ERROR_WIDTH) + np.float32(KEY_ERROR_LEAST)
    return error + np.float32(255) * moved.doubt
