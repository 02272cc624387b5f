"""Measure the slides of a run, and keep the figures where a report finds them.

What is missing is left out, and told. The metrics are those of `stability`; which slides there
should be, and when they are measured, is left to others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.parallel import cores, map_in_order
from stable_restyle.core.records import Pixels, Scene
from stable_restyle.drawing.store import SlideStore
from stable_restyle.imaging import metrics
from stable_restyle.imaging.metrics import Figures, Shown, Stability
from stable_restyle.media.sequence import Frames


@dataclass(frozen=True)
class Measurement:
    """The figures of a run: in all, of each scene, and of each slide that is there."""

    whole: Stability
    scenes: Sequence[tuple[Scene, Stability]]
    slides: Mapping[int, Figures]
    missing: Sequence[int]


def measure(
    found: Sequence[Scene],
    finished: Collection[int],
    frames: Frames,
    frames_per_slide: int,
    folder: Path,
    tick: Callable[[int], None],
) -> Measurement:
    """Measure the slides of a folder, on all cores.

    finished: those that are there. fps: frames per slide. tick: called in this thread with the
    number of slides just measured, twice a second at least.
    """
    at_hand = cores() + 2  # neighbours are used twice, a middle by all its scene
    album = _Album(
        LRUCache(lambda slide: frames.read(slide * frames_per_slide), at_hand),
        SlideStore(folder, frames.width, frames.height, at_hand),
        finished,
    )
    paths = [(scene, slide) for scene in found for slide in scene.slides]
    there = [(scene, slide) for scene, slide in paths if slide in finished]
    results = map_in_order(album.measure, there, tick)
    slides = {slide: its for (_, slide), its in zip(there, results, strict=True)}
    scenes = [(scene, _of_scene(scene, slides)) for scene in found]
    missing = [slide for _, slide in paths if slide not in finished]
    return Measurement(metrics.together([its for _, its in scenes]), scenes, slides, missing)


def write(survey: Measurement, path: Path) -> None:
    """Keep the figures as JSON. Slides are numbered as their files are; null is not a number."""
    tree = {
        "all": _values(survey.whole),
        "missing": [slide + 1 for slide in survey.missing],
        "scenes": [
            {
                "scene": scene.number,
                "first": scene.slides.start + 1,
                "last": scene.slides.stop,
                "middle": scene.middle + 1,
                **_values(its),
            }
            for scene, its in survey.scenes
        ],
        "slides": [{"slide": slide + 1, **_values(its)} for slide, its in survey.slides.items()],
    }
    files.write_whole(path, json.dumps(tree, indent=1, allow_nan=False).encode())


@dataclass(frozen=True)
class _Album:
    """The frames and the slides that show them, read when they are needed. Thread-safe."""

    frames: LRUCache[Pixels]  # by the number of the slide
    store: SlideStore
    finished: Collection[int]

    def measure(self, place: tuple[Scene, int]) -> Figures:
        """place: a scene, and a slide of it that is there."""
        scene, slide = place
        before, middle = slide - 1, scene.middle
        shown_before = self._open(before) if before in scene.slides else None
        if middle == slide:
            shown_middle = None
        else:
            shown_middle = shown_before if middle == before else self._open(middle)
        shown = self.frames.get(slide), self.store.get(slide)
        return metrics.measure_slide(shown, shown_before, shown_middle)

    def _open(self, slide: int) -> Shown | None:
        if slide not in self.finished:
            return None
        return self.frames.get(slide), self.store.get(slide)


def _of_scene(scene: Scene, slides: Mapping[int, Figures]) -> Stability:
    figures = [slides.get(slide) for slide in scene.slides]
    return metrics.of_scene(figures, scene.middle - scene.slides.start)


def _values(figures: Stability | Figures) -> dict[str, float | None]:
    """The figures under their names, the ratios of a Stability among them."""
    values = asdict(figures)
    if isinstance(figures, Stability):
        values["e_warp_ratio"] = figures.e_warp_ratio
        values["e_warp_long_ratio"] = figures.e_warp_long_ratio
    return {name: None if math.isnan(value) else value for name, value in values.items()}
