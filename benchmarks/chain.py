"""Draw the slides of a scene by an engine, as `drawing.slide` does, by each way of working."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from benchmarks.engines import Engine
from stable_restyle.core.records import Pixels, Step
from stable_restyle.core.settings import (
    ANCHOR,
    FLOW_ANCHOR,
    FLOW_MASK_SIZE,
    FLOW_MASK_STRENGTH,
    MASK_SIZE,
    MASK_STRENGTH,
)
from stable_restyle.drawing.slide import pairs_between
from stable_restyle.imaging import colour, compose, masks, optical_flow
from stable_restyle.imaging.answers import compose_answer
from stable_restyle.motion.base import FramePath, Motion, MotionEstimate
from stable_restyle.motion.codec import CodecMotion
from stable_restyle.motion.flow import FlowMotion
from stable_restyle.plan import keyframes, scenes
from stable_restyle.run.deflicker import WIDTH

# Of the middle's slide and of its frame.
Colours: TypeAlias = tuple[colour.ColourStats, colour.ColourStats]
# The steps of a scene after the middle, with the motion of each.
Motions: TypeAlias = Sequence[tuple[Step, MotionEstimate]]
# The motion from each slide to those around it.
Neighbours: TypeAlias = Sequence[Mapping[int, optical_flow.FlowEstimate]]


@dataclass(frozen=True)
class Method:
    """A motion method with its own mask and anchor."""

    motion: Motion
    mask_strength: float
    mask_size: int  # pixels
    anchor: float
    keys: int = 1
    # Whether the engine draws from the frame with a white mask, and its answer is composed into the
    # warped slide (--guide frame); otherwise from frame and warped slide, with the mask.
    guide_frame: bool = False
    deflicker: int = 0  # slides

    @property
    def fast(self) -> bool:
        return isinstance(self.motion, FlowMotion) and self.motion.fast

    def estimate(
        self,
        sources: Sequence[Pixels],
        frame: Pixels,
        pairs: Sequence[Sequence[optical_flow.FlowPair]] = (),
    ) -> MotionEstimate:
        """Estimate the motion to a frame from the frames of its source slides.

        pairs: between keyframes, the flow to each of these, from slide to slide.
        """
        return self.motion.estimate(
            FramePath(frame, sources, lambda: [*sources, frame], lambda: pairs)
        )

    def flow_pair(self, first: Pixels, second: Pixels) -> optical_flow.FlowPair:
        """Estimate the flow from a frame to the next slide's, for `estimate`."""
        return optical_flow.estimate_pair(first, second, fast=self.fast)

    def steps(self, frames: Sequence[Pixels]) -> list[Step]:
        """Return the steps of a scene with one frame per slide."""
        (scene,) = scenes.find_scenes([0, len(frames)], 1)
        if self.keys == 1:
            return scenes.steps(scene)
        kind = keyframes.Kind(self.keys, fill_only=False)
        chosen = keyframes.choose(frames.__getitem__, [scene], 1, kind, lambda count: None)
        return scenes.steps(scene, chosen)


CODEC_METHOD = Method(CodecMotion(), MASK_STRENGTH, MASK_SIZE, ANCHOR)
FLOW_METHOD = Method(FlowMotion(fast=False), FLOW_MASK_STRENGTH, FLOW_MASK_SIZE, FLOW_ANCHOR)
METHODS: Mapping[str, Method] = {
    "codec": CODEC_METHOD,
    "flow": FLOW_METHOD,
    "flow:fast": replace(FLOW_METHOD, motion=FlowMotion(fast=True)),
    "flow, keys 6": replace(FLOW_METHOD, keys=6),
}
FRAME_METHOD = replace(
    FLOW_METHOD, motion=FlowMotion(fast=False, by_answers=True), guide_frame=True
)


@dataclass(frozen=True)
class Drawn:
    """An engine of which all answers to frames alone are known, by slide."""

    answers: Sequence[Pixels]
    invents: bool

    def draw(self, guide: Pixels, mask: Pixels, slide: int) -> Pixels:
        return self.answers[slide]


def motions(frames: Sequence[Pixels], method: Method) -> Motions:
    """Estimate the motion of every slide but the middle, from the frames alone."""
    onward = lru_cache(lambda slide: method.flow_pair(frames[slide], frames[slide + 1]))
    found = []
    for step in method.steps(frames)[1:]:
        sources = step.sources if step.other_key is not None else ()
        pairs = [pairs_between(onward, step.slide, source) for source in sources]
        its_frames = [frames[source] for source in step.sources]
        found.append((step, method.estimate(its_frames, frames[step.slide], pairs)))
    return found


def restyled(
    frames: Sequence[Pixels], along: Motions, method: Method, engine: Engine
) -> list[Pixels]:
    """Return the slides of a scene. along: its motions by this method."""
    middle = len(frames) // 2
    slides = {middle: free(engine, frames, middle)}
    colours = colour.colour_stats(slides[middle]), colour.colour_stats(frames[middle])
    for step, how in along:
        warped = how.warp([slides[source] for source in step.sources])
        slides[step.slide] = (
            drawn(how, warped, frames[step.slide], colours, method, engine, step.slide)
            if step.uses_backend
            else warped
        )
    return [slides[index] for index in range(len(frames))]


def free(engine: Engine, frames: Sequence[Pixels], slide: int, number: int | None = None) -> Pixels:
    """Return what the engine draws of a frame alone. number: the slide's own, unless given."""
    frame = frames[slide]
    return engine.draw(frame, masks.free_all(frame), slide if number is None else number)


def drawn(
    how: MotionEstimate,
    warped: Pixels,
    frame: Pixels,
    colours: Colours,
    method: Method,
    engine: Engine,
    slide: int,
) -> Pixels:
    """Return the slide of a frame, drawn with the warped picture."""
    mask = how.mask(method.mask_strength, method.mask_size)
    if method.guide_frame:
        answer = engine.draw(frame, masks.free_all(frame), slide)
        return compose_answer(answer, warped, mask, method.anchor)
    if method.anchor:
        warped = colour.correct_drift(warped, frame, *colours, method.anchor)
    answer = engine.draw(masks.blend(warped, frame, mask), mask, slide)
    return method.motion.finish(answer, warped, mask)


def neighbours(frames: Sequence[Pixels], reach: int) -> Neighbours:
    """Return the motion to the slides up to `reach` away, as --deflicker estimates it."""
    onward = lru_cache(
        lambda slide: optical_flow.estimate_pair(frames[slide], frames[slide + 1], fast=True)
    )
    return [
        {
            near: optical_flow.estimate_along(
                frames[near], frame, pairs_between(onward, slide, near), fast=True
            )
            for near in range(max(slide - reach, 0), min(slide + reach + 1, len(frames)))
            if near != slide
        }
        for slide, frame in enumerate(frames)
    ]


def deflickered(slides: Sequence[Pixels], around: Neighbours, reach: int) -> list[Pixels]:
    """Return the means of slides and their neighbours. around: from `neighbours`."""
    return [
        compose.deflicker(
            drawn,
            [(slides[near], how, abs(near - slide)) for near, how in around[slide].items()],
            WIDTH * reach,
        )
        for slide, drawn in enumerate(slides)
    ]
