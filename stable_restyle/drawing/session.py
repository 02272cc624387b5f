"""The drawing part of a run: from plain records and a pool of backends to slides in their folder.

It is the same on this machine and on a worker of a cluster, so a Brief holds nothing but what can
be sent there. Which slides, and what becomes of what is told of them, is left to the caller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Semaphore
from typing import TypeAlias

from stable_restyle.backends.pool import Pool
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import FAST_FLOW, Drawn, Job, Pixels, Scene, Slide, Step
from stable_restyle.drawing.executor import Failure, Keep, Work, carry_out
from stable_restyle.drawing.slide import Anchor, Artist, Gallery, Prepared
from stable_restyle.imaging import optical_flow
from stable_restyle.media.images import Frames
from stable_restyle.motion import base
from stable_restyle.plan.schedule import Schedule
from stable_restyle.report.thumbnails import Thumbnails

# One core is left to what lies between an answer and the next request.
HELPERS = max(cores() - 1, 1)

Note: TypeAlias = Callable[[int, Drawn], None]  # a slide is kept, and who drew it


@dataclass(frozen=True)
class Brief:
    """What slides of a run are made of, and how."""

    frames: Frames
    fps: int  # frames per slide
    motion: str  # as --motion has it
    mask_strength: float
    mask_size: int  # pixels
    anchor: float  # 0..1
    keys: int  # as --keys has it
    scenes: Sequence[Scene]
    seeds: Mapping[int, int]  # of the slides that have one to themselves
    slides: Path  # where they go
    report: Path  # where their small pictures go
    in_between: Path | None  # where carried, mask and guide go, if they are wanted


class Studio:
    """Draws slides on a pool of backends. Thread-safe."""

    def __init__(self, brief: Brief, pool: Pool, note: Note, *, writer: str = "") -> None:
        """note: called from several threads. writer: names this process where others draw too."""
        frames = brief.frames
        seams = LRUCache(frames.read, size=3 * pool.slots)
        self._brief, self._pool, self._note = brief, pool, note
        self._drawn: dict[int, Drawn] = {}  # those that are not kept yet
        self._thumbnails = Thumbnails(
            brief.report, frames.folder, brief.slides, brief.fps, brief.scenes
        )
        gallery = Gallery(
            brief.slides, frames.width, frames.height, at_hand=pool.slots, writer=writer
        )
        self._artist = Artist(
            frames=frames,
            fps=brief.fps,
            motion=base.choose(brief.motion),
            mask_strength=brief.mask_strength,
            mask_size=brief.mask_size,
            anchor=_anchor(brief, gallery),
            ask=self._ask,
            gallery=gallery,
            seams=seams,
            ways=LRUCache(partial(_way, brief, seams), size=brief.keys + HELPERS),
            hands=Semaphore(HELPERS),
            in_between=brief.in_between,
        )

    def draw(
        self, steps: Sequence[Step], kept: Collection[int], tick: Callable[[int], None]
    ) -> list[Failure]:
        """Draw what is not kept of these slides, each after those that it is made from.

        tick: called in this thread with the number of slides just kept, twice a second at least.
        Returns what failed; raises what ends a run.
        """
        lone = _lone_middles(steps, kept) if self._brief.anchor else []
        failed = self._carry_out(Schedule(lone), tick) if lone else []
        there = {*kept, *(step.slide for step in lone)} - {each.step.slide for each in failed}
        return self._carry_out(Schedule(steps, there), tick)

    def _carry_out(self, schedule: Schedule, tick: Callable[[int], None]) -> list[Failure]:
        return carry_out(
            schedule,
            Work(self._artist.prepare, self._draw, self._fill),
            backends=self._pool.outlooks,
            slots=self._pool.slots,
            helpers=HELPERS,
            stop=self._pool.close,
            tick=tick,
        )

    def _ask(self, job: Job, backend: int) -> Slide:
        """Have the pool draw a slide."""
        slide = self._pool.draw(replace(job, seed=self._brief.seeds.get(job.slide)), backend)
        if slide.drawn is not None:
            self._drawn[job.slide] = slide.drawn
        return slide

    def _draw(self, step: Step, prepared: Prepared, backend: int) -> Keep:
        """Have the artist draw a slide; what is told of it waits until it is kept."""
        keep = self._artist.draw(step, prepared, backend)
        picture = self._artist.gallery.get(step.slide)
        return partial(self._keep, keep, step.slide, prepared.frame, picture)

    def _fill(self, step: Step) -> Keep:
        """Have the artist fill a slide from its keys."""
        began = time.perf_counter()
        frame, picture = self._artist.fill(step)
        self._drawn[step.slide] = Drawn("", began, time.perf_counter() - began)
        keep = self._artist.gallery.put_away(step.slide, picture)
        return partial(self._keep, keep, step.slide, frame, picture)

    def _keep(self, keep: Keep, slide: int, frame: Pixels, picture: Pixels) -> None:
        keep()
        self._note(slide, self._drawn.pop(slide))
        self._thumbnails.add(slide, frame, picture)


def _way(brief: Brief, seams: LRUCache[Pixels], slide: int) -> optical_flow.FlowPair:
    """How the film moves from a slide to the next one."""
    first, second = (seams.get(each * brief.fps) for each in (slide, slide + 1))
    return optical_flow.estimate_pair(first, second, fast=brief.motion == FAST_FLOW)


def _anchor(brief: Brief, gallery: Gallery) -> Anchor | None:
    middles = {scene.number: scene.middle for scene in brief.scenes}

    def open_middle(scene: int) -> tuple[Pixels, Pixels]:
        middle = middles[scene]
        return brief.frames.read(middle * brief.fps), gallery.get(middle)

    return Anchor(brief.anchor, open_middle) if brief.anchor else None


def _lone_middles(steps: Sequence[Step], kept: Collection[int]) -> list[Step]:
    """Middles that are missing though slides of their chains are there.

    They are drawn before all else where colours are held to them: the schedule would let the rest
    of such a chain begin without its middle.
    """
    begun = {step.scene for step in steps if step.slide in kept}
    return [
        step
        for step in steps
        if step.previous is None and step.slide not in kept and step.scene in begun
    ]
