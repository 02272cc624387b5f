"""Measure how steady the slides of a run are, and save the figures in measure.json.

Missing slides are left out and named. The metrics are those of `imaging.metrics`.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.parallel import cores, map_in_order
from stable_restyle.core.progress import Progress, task
from stable_restyle.core.records import Scene
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.imaging import arrays, metrics, subject
from stable_restyle.imaging.metrics import Shown, SlideMetrics, Stability
from stable_restyle.media import png, sequence
from stable_restyle.media.frames import Frames, reading
from stable_restyle.plan import scenes
from stable_restyle.run import prepare, stages
from stable_restyle.run.failures import slide_numbers
from stable_restyle.run.inputs import run_paths
from stable_restyle.workdir import input_file, layout, manifest

HALF = 0.5  # of a pixel, from which on it counts as restyled

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measurement:
    """The figures of a run: in all, of each scene, and of each slide that exists."""

    whole: Stability
    scenes: Sequence[tuple[Scene, Stability]]
    slides: Mapping[int, SlideMetrics]
    missing: Sequence[int]


def measure_run(settings: Settings, progress: Progress) -> Measurement:
    """Measure the slides of a run, with its frames per slide and its scenes."""
    paths = run_paths(settings)
    frames_per_slide = manifest.earlier_frames_per_slide(paths)
    with layout.locked(paths):
        frames = prepare.existing_frames(paths)
        bounds = scenes.read_boundaries(paths.scenes_file, frames.count)
        found = scenes.find_scenes(bounds, frames_per_slide, input_file.given_slides(paths))
        count = scenes.slide_count(frames.count, frames_per_slide)
        finished, unfit = sequence.find_slides(paths.shown, count, (frames.width, frames.height))
        for line in unfit:
            log.warning("%s It is not measured.", line)
        if not finished:
            raise UnusableInput(
                f"There are no slides in {paths.shown}.\nRepeat the run, then measure it."
            )
        with reading(frames), task(progress, "Measuring", len(finished), "slide"):
            done = measure(
                found,
                finished,
                frames,
                frames_per_slide,
                paths.shown,
                stages.masks_of(paths),
                progress.advance,
            )
        write(done, paths.measure_file)
    if done.missing:
        log.warning("Missing, and so not measured: %s of %d.", slide_numbers(done.missing), count)
    return done


def measure(
    found: Sequence[Scene],
    finished: Collection[int],
    frames: Frames,
    frames_per_slide: int,
    folder: Path,
    masks: SubjectMasks | None,
    tick: Callable[[int], None],
) -> Measurement:
    """Measure the slides of a folder, on all cores.

    finished: those that exist. masks: of --only; only that part is measured then. tick: called in
    this thread with the number of slides just measured, twice a second at least.
    """

    def read(slide: int) -> Shown:
        picture = png.read(folder / sequence.name(slide))
        fitted = arrays.fit(picture, frames.width, frames.height)
        frame = slide * frames_per_slide
        inside = None if masks is None else subject.share(masks.read(frame)) >= HALF
        return Shown(frames.read(frame), fitted, inside)

    shown = LRUCache(read, cores() + 2)  # neighbours are used twice, a middle by its whole scene

    def measure_slide(place: tuple[Scene, int]) -> SlideMetrics:
        scene, slide = place

        def other(which: int) -> Shown | None:
            if which == slide or which not in scene.slides or which not in finished:
                return None
            found = shown.get(which)
            return found if found.inside is None or found.inside.any() else None

        return metrics.measure_slide(shown.get(slide), other(slide - 1), other(scene.middle))

    every = [(scene, slide) for scene in found for slide in scene.slides]
    existing = [(scene, slide) for scene, slide in every if slide in finished]
    results = map_in_order(measure_slide, existing, tick)
    slides = {slide: its for (_, slide), its in zip(existing, results, strict=True)}
    by_scene = [(scene, _of_scene(scene, slides)) for scene in found]
    missing = [slide for _, slide in every if slide not in finished]
    whole = metrics.combine_scenes([its for _, its in by_scene])
    return Measurement(whole, by_scene, slides, missing)


def write(done: Measurement, path: Path) -> None:
    """Write the figures as JSON. Slides are numbered as their files; null stands for nan."""
    tree = {
        "all": _values(done.whole),
        "missing": [slide + 1 for slide in done.missing],
        "scenes": [
            {
                "scene": scene.number,
                "first": scene.slides.start + 1,
                "last": scene.slides.stop,
                "middle": scene.middle + 1,
                **_values(its),
            }
            for scene, its in done.scenes
        ],
        "slides": [{"slide": slide + 1, **_values(its)} for slide, its in done.slides.items()],
    }
    files.write_whole(path, json.dumps(tree, indent=1, allow_nan=False).encode())


def _of_scene(scene: Scene, slides: Mapping[int, SlideMetrics]) -> Stability:
    figures = [slides.get(slide) for slide in scene.slides]
    return metrics.combine_slides(figures, scene.middle - scene.slides.start)


def _values(figures: Stability | SlideMetrics) -> dict[str, float | None]:
    """Return the figures by name, the ratios of a Stability among them."""
    values = asdict(figures)
    if isinstance(figures, Stability):
        values["e_warp_ratio"] = figures.e_warp_ratio
        values["e_warp_long_ratio"] = figures.e_warp_long_ratio
    return {name: None if math.isnan(value) else value for name, value in values.items()}
