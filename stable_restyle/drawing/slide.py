"""One slide: carried, mask, guide -> backend -> slide, kept in the TARGET folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Semaphore
from typing import TypeVar

from stable_restyle.core.cache import LRUCache
from stable_restyle.core.records import Job, Pixels, Slide, Step
from stable_restyle.drawing.executor import Keep
from stable_restyle.imaging import colour, masks, optical_flow
from stable_restyle.media import images
from stable_restyle.media.images import Frames
from stable_restyle.motion.base import Flow, Measured, Motion
from stable_restyle.plan.scenes import frames_crossed

Kind = TypeVar("Kind")

log = logging.getLogger(__name__)


@dataclass
class Prepared:
    """What a slide needs from the input frames alone."""

    frame: Pixels  # (H, W, 3) RGB
    mask: Pixels  # (H, W)
    # None for a middle slide, and once the guide is made: by flow it takes more memory than all
    # else of a slide, and is not to be held while the slide is drawn.
    measured: Measured | None


class Gallery:
    """The slides: on disk all of them, in memory the few that were drawn last. Thread-safe."""

    def __init__(
        self, folder: Path, width: int, height: int, at_hand: int, writer: str = ""
    ) -> None:
        """width, height: of the frames. at_hand: how many slides stay in memory. writer: names this
        process where others write into the folder too.
        """
        self._folder = folder
        self._writer = writer
        self._width, self._height = width, height
        self._written = LRUCache(self._read, at_hand)
        self._unwritten: dict[int, Pixels] = {}
        self._slide_size = width, height  # others where the workflow scales

    def get(self, slide: int) -> Pixels:
        """A slide that has been added, at the size of the frames: (H, W, 3) RGB."""
        picture = self._unwritten.get(slide)
        return self._written.get(slide) if picture is None else picture

    def add(self, index: int, slide: Slide) -> Keep:
        """Take in a slide. It is finished once the function that is returned has written it."""
        self._unwritten[index] = self._fit(slide.pixels)
        return partial(self._write, index, slide)

    def put_away(self, index: int, picture: Pixels) -> Keep:
        """Take in a slide from which no other is made; it gets the size of the others."""
        return partial(self._save, index, Slide(images.fit(picture, *self._slide_size)))

    def _save(self, index: int, slide: Slide) -> None:
        png = slide.png or images.encode(slide.pixels)
        images.write_whole(self._folder / images.name(index), png, self._writer)

    def _write(self, index: int, slide: Slide) -> None:
        self._save(index, slide)
        self._written.put(index, self._unwritten[index])
        del self._unwritten[index]

    def _read(self, slide: int) -> Pixels:
        return self._fit(images.read(self._folder / images.name(slide)))

    def _fit(self, picture: Pixels) -> Pixels:
        height, width = picture.shape[:2]
        self._slide_size = width, height
        return images.fit(picture, self._width, self._height)


class Anchor:
    """Holds the colours of chains to those of the middles of their scenes. Thread-safe."""

    def __init__(self, share: float, middle: Callable[[int], tuple[Pixels, Pixels]]) -> None:
        """share: 0..1. middle: the frame and the slide of the middle of a scene, by its number."""
        self._share = share
        self._middle = middle
        self._tones: dict[int, list[colour.ColourStats]] = {}

    def hold(self, carried: Pixels, frame: Pixels, scene: int) -> Pixels:
        """The carried picture with its colours nearer to those of the scene's middle."""
        if scene not in self._tones:
            self._tones[scene] = [colour.colour_stats(picture) for picture in self._middle(scene)]
        middle_frame, middle_slide = self._tones[scene]
        return colour.correct_drift(carried, frame, middle_slide, middle_frame, self._share)


def ways_between(
    onward: Callable[[int], optical_flow.FlowPair], slide: int, source: int
) -> Sequence[optical_flow.FlowPair]:
    """From each slide to the next, on the way from one slide to another.

    onward: leads from a slide of the film to the one after it.
    """
    if source > slide:
        return [*map(onward, range(slide, source))]
    return [onward(between).reversed for between in range(slide - 1, source - 1, -1)]


@dataclass(frozen=True)
class Artist:
    """Draws slides. Thread-safe."""

    frames: Frames
    fps: int  # frames per slide
    motion: Motion | Flow  # between keys only Flow can make slides
    mask_strength: float
    mask_size: int  # pixels
    anchor: Anchor | None
    ask: Callable[[Job, int], Slide]  # the backend of a number for a slide
    gallery: Gallery
    seams: LRUCache[Pixels]  # frames at which one step ends and the next begins
    ways: LRUCache[
        optical_flow.FlowPair
    ]  # from each slide's frame to that of the next one in the film
    # Held while a guide is made. Where more are made at once than there are cores, each is late;
    # one after the other, the first reaches its backend while the next is made.
    hands: Semaphore
    in_between: Path | None  # where carried, mask and guide go, if they are wanted

    def prepare(self, step: Step) -> Prepared:
        """Read the frames of a step and make all that depends on them alone."""
        if step.previous is None:
            frame = self._frame_of(step.slide)
            return Prepared(frame, masks.free_all(frame), None)
        frame, measured = self._measure(step)
        return Prepared(frame, measured.mask(self.mask_strength, self.mask_size), measured)

    def draw(self, step: Step, prepared: Prepared, backend: int) -> Keep:
        """Have the slide of a step drawn by the backend of a number; what is returned keeps it."""
        began = time.perf_counter()
        if prepared.measured is None:
            slide = self._ask(step, prepared.frame, prepared.mask, backend)
        else:
            slide = self._draw_carried(step, prepared, backend)
        by = f" on {slide.drawn.backend}" if slide.drawn else ""
        log.debug("%s: %.2f s%s", images.name(step.slide), time.perf_counter() - began, by)
        return self.gallery.add(step.slide, slide)

    def fill(self, step: Step) -> tuple[Pixels, Pixels]:
        """The frame of a step, and its slide, made from its keys alone."""
        frame, measured = self._measure(step)
        return frame, measured.carry(self._sources(step))

    def _draw_carried(self, step: Step, prepared: Prepared, backend: int) -> Slide:
        carried, guide = self._carry(step, prepared)
        if self.in_between is not None:
            stem = Path(images.name(step.slide)).stem
            walked = "b" if step.sources[0] > step.slide else "f"
            images.write(self.in_between / f"{stem}-{walked}.png", carried)
            images.write(self.in_between / f"{stem}-m.png", prepared.mask)
            images.write(self.in_between / f"{stem}.png", guide)
        slide = self._ask(step, guide, prepared.mask, backend)
        finished = self.motion.finish(slide.pixels, carried, prepared.mask)
        return slide if finished is slide.pixels else replace(slide, pixels=finished, png=None)

    def _carry(self, step: Step, prepared: Prepared) -> tuple[Pixels, Pixels]:
        """The carried picture and the guide of a slide that is not a middle."""
        measured, prepared.measured = prepared.measured, None
        assert measured is not None
        sources = self._sources(step)
        with self.hands:
            carried = measured.carry(sources)
            if self.anchor is not None:
                carried = self.anchor.hold(carried, prepared.frame, step.scene)
            return carried, masks.blend(carried, prepared.frame, prepared.mask)

    def _measure(self, step: Step) -> tuple[Pixels, Measured]:
        """The frame of a step, and how the frames moved towards it."""
        there = [*map(self._frame_of, step.sources)]  # before those read now push them out
        frame = self._frame_of(step.slide)
        if isinstance(self.motion, Flow):
            if step.beyond is None:
                return frame, self.motion.measure(frame, there)
            ways = [ways_between(self.ways.get, step.slide, source) for source in step.sources]
            return frame, self.motion.measure_along(frame, there, ways)
        between = map(self.frames.read, frames_crossed(step, self.fps)[1:-1])
        return frame, self.motion.measure([*there, *between, frame])

    def _frame_of(self, slide: int) -> Pixels:
        return self.seams.get(slide * self.fps)

    def _sources(self, step: Step) -> list[Pixels]:
        return [*map(self.gallery.get, step.sources)]

    def _ask(self, step: Step, guide: Pixels, mask: Pixels, backend: int) -> Slide:
        return self.ask(Job(step.slide, step.scene, guide, mask), backend)
