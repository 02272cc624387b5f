"""Compare ways of working by several engines, on clips that no constant was chosen by.

Engines are in `benchmarks/engines.py`, clips in `benchmarks/clips.py`. Every second frame, 640
wide, from the middle outward, each way with its own mask and anchor as in the program. Figures are
means over clips and engines: of the engines that draw a frame alike each time, and of those that
invent. Targets are those of the default, `flow, guide frame`.

The worst pairs of slides are saved as pictures, to look at: frames, what the engine draws of them
alone, and slides of each way, in `OUT/steadiness/`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from benchmarks import defects
from benchmarks.chain import (
    CODEC_METHOD,
    FLOW_METHOD,
    FRAME_METHOD,
    Drawn,
    Method,
    Motions,
    Neighbours,
    deflickered,
    free,
    motions,
    neighbours,
    restyled,
)
from benchmarks.clips import EXAMPLE_CLIP, Clip, held_out_clips
from benchmarks.engines import Engine, engines
from benchmarks.report import Figure, Report, command
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import Pixels
from stable_restyle.imaging import metrics, optical_flow
from stable_restyle.imaging.arrays import Flags, Floats
from stable_restyle.media import png
from stable_restyle.motion.base import Motion
from stable_restyle.motion.flow import FlowMotion

ALONE = "alone"
DEFAULT = "flow, guide frame"
STRENGTHS = (6, 4, 2, 1)  # at 8, the default, and at 0 it is each frame alone
HALF_OF_CODEC = f"{DEFAULT}, strength 2"  # codec's own strength
WAYS: Mapping[str, Method] = {
    "codec": CODEC_METHOD,
    "flow, guide warped": FLOW_METHOD,
    DEFAULT: FRAME_METHOD,
    "flow:fast, guide frame": replace(FRAME_METHOD, motion=FlowMotion(fast=True, by_answers=True)),
    f"{DEFAULT}, keys 6": replace(FRAME_METHOD, keys=6),
    f"{DEFAULT}, deflicker 2": replace(FRAME_METHOD, deflicker=2),
    **{
        f"{DEFAULT}, strength {each}": replace(FRAME_METHOD, mask_strength=each)
        for each in STRENGTHS
    },
}
SECOND_DRAWING = 1_000_000  # added to a slide's number: another drawing, where the engine invents
SMALL_WIDTH, SMALL_SLIDES = 160, 4
WORST = 10  # pairs that are saved of each clip and engine
SHOWN = ("flow, guide warped", DEFAULT)  # ways that are saved

E_OVER_ALONE = {"alike": 0.7, "invents": 0.3}
E_OVER_CODEC = 0.5
COLOUR_MORE = 1.0  # levels more than two drawings of one frame
SHARPNESS_LEAST = 0.95


@dataclass(frozen=True)
class Findings:
    """What was measured of one scene; nan where there is nothing to measure."""

    e_ratio: float  # E_warp over that of the frames
    e_over_alone: float  # E_warp over that of slides that are each drawn from their frame alone
    colour: float  # error against a free drawing, 8-bit Lab levels
    scars: float  # 8-bit Lab levels
    sharpness: float  # at the ends of chains, relative to a free drawing
    wandering: float  # of still surfaces, levels


# By clip, engine and way.
Found: TypeAlias = dict[tuple[str, str, str], Findings]
COLUMNS = ("E ratio", "/ alone", "colour", "scars", "sharp", "wander")


@dataclass(frozen=True)
class Scene:
    """The frames of a clip, with what all engines and ways share."""

    frames: Sequence[Pixels]
    flows: Sequence[tuple[Floats, Flags]]  # from each frame to the next, and what is occluded
    still: Flags
    # By what of a method it depends on: its motion and keys.
    motions: Mapping[tuple[Motion, int], Motions]
    around: Neighbours  # for --deflicker

    @property
    def middle(self) -> int:
        return len(self.frames) // 2


def analyse(frames: Sequence[Pixels]) -> Scene:
    """Estimate all motion of a scene once, for every way and for E_warp."""
    flows = []
    for before, after in pairwise(frames):
        forward, backward = optical_flow.fine_flows(before, after)
        flows.append((forward, metrics.occlusion(forward, backward)))
    kinds = {(method.motion, method.keys): method for method in WAYS.values()}
    along = {kind: motions(frames, method) for kind, method in kinds.items()}
    still = defects.still_pixels(frames, len(frames) // 2)
    around = neighbours(frames, max(method.deflicker for method in WAYS.values()))
    return Scene(frames, flows, still, along, around)


def compare(scene: Scene, engine: Engine) -> Iterator[tuple[str, Sequence[Pixels], Findings]]:
    """Yield the slides of every way, with what was measured of them."""
    count = len(scene.frames)
    alone = [free(engine, scene.frames, slide) for slide in range(count)]
    again = alone
    if engine.invents:
        again = [
            free(engine, scene.frames, slide, SECOND_DRAWING + slide) for slide in range(count)
        ]
    base = _e_warp(scene, alone)
    yield ALONE, alone, _findings(scene, alone, again, base)
    for way, method in WAYS.items():
        draws = Drawn(alone, engine.invents) if method.guide_frame else engine
        along = scene.motions[method.motion, method.keys]
        slides = restyled(scene.frames, along, method, draws)
        if method.deflicker:
            slides = deflickered(slides, scene.around, method.deflicker)
        yield way, slides, _findings(scene, slides, again, base)


def _findings(
    scene: Scene, slides: Sequence[Pixels], again: Sequence[Pixels], e_alone: Sequence[float]
) -> Findings:
    e_warp = np.mean(_e_warp(scene, slides))
    return Findings(
        float(e_warp / np.mean(_e_warp(scene, scene.frames))),
        float(e_warp / np.mean(e_alone)),
        _mean(map(defects.colour_error, slides, again)),
        _mean(map(defects.scars, slides, again)),
        defects.sharpness_at_ends(slides, again),
        defects.wandering(slides, scene.frames, scene.still, scene.middle),
    )


def _e_warp(scene: Scene, pictures: Sequence[Pixels]) -> list[float]:
    return [
        metrics.warping_error(before, after, *flow)
        for (before, after), flow in zip(pairwise(pictures), scene.flows, strict=True)
    ]


def measure(out: Path, small: bool) -> Report:
    """Measure every way with every clip and engine."""
    clips = {"ten seconds": EXAMPLE_CLIP} if small else dict(held_out_clips())
    clips = clips or {"ten seconds": EXAMPLE_CLIP}
    found = _all_of([*clips.items()], out / "steadiness", small)
    drawn_by = list(engines())
    head = f"Steadiness of {len(clips)} clips by {len(drawn_by)} engines: {', '.join(drawn_by)}"
    lines = [f"{'':62}{'  '.join(name.rjust(7) for name in COLUMNS)}"]
    lines += [_line(" ".join(key), each) for key, each in found.items()]
    return Report(
        "steadiness",
        "\n".join([head, *lines]),
        _figures(found),
        {"scenes": {" | ".join(key): asdict(each) for key, each in found.items()}},
    )


def _all_of(jobs: Sequence[tuple[str, Clip]], out: Path, small: bool) -> Found:
    """Measure one clip per process, as many at once as there are cores."""
    out.mkdir(parents=True, exist_ok=True)
    job = partial(measure_clip, out=out, small=small)
    if len(jobs) == 1:
        return job(jobs[0])
    found: Found = {}
    with ProcessPoolExecutor(min(cores(), len(jobs)), mp_context=get_context("spawn")) as pool:
        for each in pool.map(job, jobs):
            found |= each
    return found


def measure_clip(named: tuple[str, Clip], out: Path, small: bool) -> Found:
    """Measure one clip by every engine and way, and save the worst pairs."""
    name, clip = named
    cv2.setNumThreads(1)
    frames = clip.frames()
    if small:
        height = round(frames[0].shape[0] * SMALL_WIDTH / frames[0].shape[1])
        frames = [
            np.asarray(cv2.resize(frame, (SMALL_WIDTH, height)), np.uint8)
            for frame in frames[:SMALL_SLIDES]
        ]
    scene = analyse(frames)
    found: Found = {}
    for drawn_by, engine in engines().items():
        slides = {}
        for way, slides[way], findings in compare(scene, engine):
            found[name, drawn_by, way] = findings
        for way in SHOWN:
            _save_worst(out / f"{name}, {drawn_by}, {way}.png", scene, slides, way)
    return found


def _save_worst(path: Path, scene: Scene, slides: Mapping[str, Sequence[Pixels]], way: str) -> None:
    """Save the pairs of highest E_warp: rows of frame, drawing alone, slide, and the next slide."""
    errors = _e_warp(scene, slides[way])
    worst = sorted(range(len(errors)), key=errors.__getitem__, reverse=True)[:WORST]
    rows = [
        np.hstack(
            [scene.frames[pair], slides[ALONE][pair], slides[way][pair], slides[way][pair + 1]]
        )
        for pair in sorted(worst)
    ]
    png.write(path, np.vstack(rows))


def _line(name: str, found: Findings) -> str:
    return f"{name:62}{'  '.join(f'{value:7.2f}' for value in astuple(found))}"


def _figures(found: Found) -> list[Figure]:
    kinds = {name: "invents" if engine.invents else "alike" for name, engine in engines().items()}
    figures = []
    for kind in ("alike", "invents"):
        means = {
            way: _means(
                [each for (_, by, its), each in found.items() if its == way and kinds[by] == kind]
            )
            for way in (ALONE, *WAYS)
        }
        for way, mean in means.items():
            figures += _of_way(f"{way}, engines that {WORDS[kind]}", kind, way, mean, means)
    return figures


WORDS = {"alike": "draw alike", "invents": "invent"}


def _of_way(
    what: str, kind: str, way: str, mean: Findings, means: Mapping[str, Findings]
) -> list[Figure]:
    """Return the figures of one way; those of the default have targets."""
    judged = way == DEFAULT
    half = round(E_OVER_CODEC * means["codec"].e_over_alone, 3)
    most = {DEFAULT: min(E_OVER_ALONE[kind], half), HALF_OF_CODEC: half}.get(way)
    return [
        Figure(f"E ratio to the input, {what}", mean.e_ratio),
        Figure(f"E over each frame alone, {what}", mean.e_over_alone, at_most=most),
        Figure(
            f"colour error, {what}",
            mean.colour,
            "levels",
            at_most=round(means[ALONE].colour + COLOUR_MORE, 3) if judged else None,
        ),
        Figure(f"scars, {what}", mean.scars, "levels"),
        Figure(
            f"sharpness at the ends, {what}",
            mean.sharpness,
            at_least=SHARPNESS_LEAST if way.startswith("flow") and "warped" not in way else None,
        ),
        Figure(f"wandering of still surfaces, {what}", mean.wandering, "levels"),
    ]


def _means(found: Sequence[Findings]) -> Findings:
    return Findings(
        *(_mean(getattr(each, field.name) for each in found) for field in fields(Findings))
    )


def _mean(values: Iterator[float] | map[float]) -> float:
    """Return the mean of the values that are not nan; nan if all are."""
    counted = [value for value in values if not math.isnan(value)]
    return float(np.mean(counted)) if counted else math.nan


def main() -> None:
    command({"steadiness": measure}, __doc__)


if __name__ == "__main__":
    main()
