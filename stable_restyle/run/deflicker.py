"""Deflicker the slides of a run: where both kinds of slides lie, and which are to be made.

Chains go on from slides as they were drawn. So with `--deflicker` the drawn slides lie in the
working folder and TARGET has the deflickered ones, without it TARGET has the drawn ones. Which of
the two it has, says `deflicker.json`: while that file is there, TARGET's are deflickered. Every
step can be stopped at any moment and done again. How slides are averaged is left to `flow`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.parallel import cores, map_in_order
from stable_restyle.core.records import Pixels, Scene
from stable_restyle.drawing.slide import pairs_between
from stable_restyle.imaging import arrays, compose, optical_flow
from stable_restyle.media import png, sequence
from stable_restyle.media.sequence import Frames
from stable_restyle.workdir.layout import RunPaths

WIDTH = 2 / 3  # of the reach: sigma of the weights


def as_left(paths: RunPaths) -> RunPaths:
    """Return the paths with `slides` where the last run left those that it drew."""
    return replace(paths, slides=paths.drawn if paths.deflicker_file.exists() else paths.shown)


def finish_move(paths: RunPaths) -> None:
    """Finish a move of drawn slides that was stopped, by moving all of them into TARGET."""
    if not paths.deflicker_file.exists():
        sequence.move(paths.drawn, paths.shown)


def settle(paths: RunPaths, reach: int, bounds: Sequence[int]) -> None:
    """Move the drawn slides to where this run keeps them; discard outdated deflickered ones.

    reach: --deflicker. bounds: of the scenes.
    """
    path = paths.deflicker_file
    wanted = json.dumps({"slides": reach, "scenes": list(bounds)}).encode()
    if path.exists() and (not reach or _read(path) != wanted):
        files.remove_all(paths.shown, sequence.numbered(paths.shown))
    if reach and not path.exists():
        sequence.move(paths.shown, paths.drawn)
    if reach:
        files.write_whole(path, wanted)
    else:
        files.remove_all(paths.interp, [path.name])
        sequence.move(paths.drawn, paths.shown)
        with suppress(OSError):  # not there, or someone else's files are in it
            files.remove_empty(paths.drawn)


def _read(path: Path) -> bytes:
    """Return the bytes of a file; none if it cannot be read, since it can be written again."""
    with suppress(OSError):
        return path.read_bytes()
    return b""


def discard(paths: RunPaths, found: Sequence[Scene], missing: Collection[int], reach: int) -> None:
    """Remove the deflickered slides that depend on slides about to be drawn.

    missing: the slides that are not drawn.
    """
    outdated = [
        sequence.name(slide)
        for scene in found
        for slide in scene.slides
        if any(near in missing for near in _window(scene, slide, reach))
    ]
    files.remove_all(paths.shown, outdated)


def smooth(
    paths: RunPaths,
    found: Sequence[Scene],
    finished: Collection[int],
    frames: Frames,
    frames_per_slide: int,
    reach: int,
    tick: Callable[[int], None],
) -> None:
    """Write the deflickered slides that are missing, on all cores. All slides are drawn.

    finished: those that are there. tick: called in this thread with the number of slides just
    made, twice a second at least.
    """
    at_hand = 2 * reach + cores()
    frame_of = LRUCache(lambda slide: frames.read(slide * frames_per_slide), at_hand)
    album = _Album(
        frame_of,
        LRUCache(lambda slide: png.read(paths.drawn / sequence.name(slide)), at_hand),
        LRUCache(
            lambda slide: optical_flow.estimate_pair(
                frame_of.get(slide), frame_of.get(slide + 1), fast=True
            ),
            at_hand,
        ),
        reach,
    )

    def make(place: tuple[Scene, int]) -> None:
        _, slide = place
        png.write(paths.shown / sequence.name(slide), album.deflickered(*place))

    todo = ((scene, slide) for scene in found for slide in scene.slides if slide not in finished)
    for _ in map_in_order(make, todo, tick):
        pass


@dataclass(frozen=True)
class _Album:
    """The drawn slides and their frames, read when they are needed. Thread-safe."""

    frames: LRUCache[Pixels]  # by the number of the slide
    slides: LRUCache[Pixels]
    ways: LRUCache[optical_flow.FlowPair]  # to the next slide
    reach: int

    def deflickered(self, scene: Scene, slide: int) -> Pixels:
        drawn = self.slides.get(slide)
        height, width = drawn.shape[:2]
        neighbours = [
            (
                arrays.fit(self.slides.get(near), width, height),
                self._moved(slide, near),
                abs(near - slide),
            )
            for near in _window(scene, slide, self.reach)
            if near != slide
        ]
        return compose.deflicker(drawn, neighbours, WIDTH * self.reach)

    def _moved(self, slide: int, near: int) -> optical_flow.FlowEstimate:
        """Return the flow from a slide's frame to a neighbour's, by way of the slides between."""
        ways = pairs_between(self.ways.get, slide, near)
        return optical_flow.estimate_along(
            self.frames.get(near), self.frames.get(slide), ways, fast=True
        )


def _window(scene: Scene, slide: int, reach: int) -> range:
    return range(max(slide - reach, scene.slides.start), min(slide + reach + 1, scene.slides.stop))
