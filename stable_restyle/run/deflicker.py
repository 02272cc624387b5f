"""Make slides calmer, or put them into their frames: --deflicker and --only.

Where drawn and finished slides are is for `stages` to say. How slides are averaged and composed is
left to `imaging.compose` and `imaging.subject`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from pathlib import Path

from stable_restyle.core.cache import LRUCache
from stable_restyle.core.parallel import cores, map_in_order
from stable_restyle.core.records import Pixels, Scene
from stable_restyle.drawing.slide import pairs_between
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.imaging import arrays, compose, optical_flow, subject
from stable_restyle.imaging.optical_flow import FlowEstimate
from stable_restyle.media import png, sequence
from stable_restyle.media.frames import Frames

WIDTH = 2 / 3  # of the reach: sigma of the weights


def depending(found: Sequence[Scene], reach: int, slides: Container[int]) -> set[int]:
    """Return the slides that are made from some others. slides: these, as they are drawn."""
    return {
        slide
        for scene in found
        for slide in scene.slides
        if any(near in slides for near in _window(scene, slide, reach))
    }


def smooth(
    folder: Path,
    to: Path,
    found: Sequence[Scene],
    finished: Collection[int],
    frames: Frames,
    frames_per_slide: int,
    reach: int,
    masks: SubjectMasks | None,
    tick: Callable[[int], None],
) -> None:
    """Write the slides that are missing, on all cores. All slides are drawn.

    folder, to: those of drawn slides, and of the ones that are written. finished: those that exist
    there. reach: --deflicker; 0 averages nothing. masks: of --only; outside of the subject, slides
    are their frames. tick: called in this thread with the number of slides just made, twice a
    second at least.
    """
    cached = 2 * reach + cores()
    frame_of = LRUCache(lambda slide: frames.read(slide * frames_per_slide), cached)
    slide_of = LRUCache(lambda slide: png.read(folder / sequence.name(slide)), cached)
    pair_from = LRUCache(  # to the next slide
        lambda slide: optical_flow.estimate_pair(
            frame_of.get(slide), frame_of.get(slide + 1), fast=True
        ),
        cached,
    )

    def neighbour(drawn: Pixels, slide: int, near: int) -> tuple[Pixels, FlowEstimate, int]:
        pairs = pairs_between(pair_from.get, slide, near)
        estimate = optical_flow.estimate_along(
            frame_of.get(near), frame_of.get(slide), pairs, fast=True
        )
        height, width = drawn.shape[:2]
        return arrays.fit(slide_of.get(near), width, height), estimate, abs(near - slide)

    def make(place: tuple[Scene, int]) -> None:
        scene, slide = place
        drawn = picture = slide_of.get(slide)
        if reach and slide not in scene.given:
            window = _window(scene, slide, reach)
            neighbours = [neighbour(drawn, slide, near) for near in window if near != slide]
            picture = compose.deflicker(drawn, neighbours, WIDTH * reach)
        if masks:
            share = subject.share(masks.read(slide * frames_per_slide))
            picture = subject.compose(picture, frame_of.get(slide), share)
        png.write(to / sequence.name(slide), picture)

    todo = ((scene, slide) for scene in found for slide in scene.slides if slide not in finished)
    for _ in map_in_order(make, todo, tick):
        pass


def _window(scene: Scene, slide: int, reach: int) -> range:
    return range(max(slide - reach, scene.slides.start), min(slide + reach + 1, scene.slides.stop))
