"""Draw one slide: send guide and mask to a backend, and finish what it returns.

Or, by `--guide frame`, have an answer drawn from the frame alone, and compose the slide from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Semaphore

import numpy as np

from stable_restyle.core.cache import LRUCache
from stable_restyle.core.records import Job, Pixels, Slide, Step, StepKind
from stable_restyle.drawing.store import SlideStore
from stable_restyle.imaging import arrays, colour, compose, masks, subject
from stable_restyle.imaging.answers import compose_answer
from stable_restyle.imaging.colour import ColourStats
from stable_restyle.imaging.optical_flow import FlowPair
from stable_restyle.media import png, sequence
from stable_restyle.media.frames import Frames
from stable_restyle.motion.base import FramePath, Motion, MotionEstimate
from stable_restyle.plan.scenes import frames_crossed


@dataclass
class Prepared:
    """The part of a slide that depends on the input frames alone."""

    frame: Pixels  # (H, W, 3) RGB
    mask: Pixels  # (H, W)
    # None for a middle, and once the guide is made: an estimate of flow takes more memory than the
    # rest of a slide, so it is not held while the slide is drawn.
    estimate: MotionEstimate | None
    subject: Pixels | None  # (H, W), the part to restyle; None: all of it


class DriftCorrection:
    """Pulls the colours of chains back to those of the slide that they start from. Thread-safe."""

    def __init__(
        self, share: float, read: Callable[[int], tuple[Pixels, Pixels, Pixels | None]]
    ) -> None:
        """Set the share of the drift to correct, 0..1.

        read: returns a slide's frame, itself, and its subject; None if all is restyled.
        """
        self._share = share
        self._read = read
        self._stats: dict[int, list[ColourStats]] = {}

    def correct(self, warped: Pixels, frame: Pixels, start: int, part: Pixels | None) -> Pixels:
        """Return the warped picture with its colours nearer to those of the slide `start`.

        part: the subject's mask, where colours count. Without a subject there, or in `start`, the
        warped picture itself is returned.
        """
        if start not in self._stats:
            *pictures, inside = self._read(start)
            seen = inside is None or inside.any()
            self._stats[start] = [colour.colour_stats(each, inside) for each in pictures if seen]
        if not self._stats[start] or (part is not None and not part.any()):
            return warped
        start_frame, start_slide = self._stats[start]
        return colour.correct_drift(
            warped, frame, start_slide, start_frame, self._share, inside=part
        )


def pairs_between(onward: Callable[[int], FlowPair], slide: int, source: int) -> Sequence[FlowPair]:
    """Return the flow from each slide to the next, from `slide` to `source`.

    onward: returns the flow from a slide to the next one in the film.
    """
    if source > slide:
        return [*map(onward, range(slide, source))]
    return [onward(between).reversed for between in range(slide - 1, source - 1, -1)]


@dataclass(frozen=True)
class SlideDrawer:
    """Draws and composes slides. Thread-safe."""

    frames: Frames
    frames_per_slide: int
    motion: Motion
    mask_strength: float
    mask_size: int  # pixels
    anchor: float  # 0..1
    drift: DriftCorrection | None  # None: colours are learnt from answers, or not corrected
    ask: Callable[[Job, int], Slide]  # has the backend of this number draw
    references: Callable[[Step], dict[str, Callable[[], Pixels]]]  # pictures by role: middle, ...
    store: SlideStore
    answers: Callable[[int], Pixels]  # returns a slide's answer, at its own size
    slide_frames: LRUCache[Pixels]  # the frames that slides show, by slide
    subjects: LRUCache[Pixels] | None  # the parts of these to restyle, by slide; None: all
    flow_pairs: LRUCache[FlowPair]  # from each slide's frame to that of the next one in the film
    # Held while a guide is made. If more guides are made at once than there are cores, all are
    # late; in turn, the first reaches its backend while the next is made.
    warp_slots: Semaphore
    steps_folder: Path | None  # for warped pictures, masks and guides; None: do not write them

    def prepare(self, step: Step) -> Prepared:
        """Read the frames of a step and make all that depends on them alone."""
        if step.previous is None or step.kind is StepKind.ANSWER:
            frame, estimate = self.slide_frames.get(step.slide), None
            mask = masks.free_all(frame)
        else:
            frame, estimate = self._estimate(step)
            mask = estimate.mask(self.mask_strength, self.mask_size)
        if self.subjects is None:
            return Prepared(frame, mask, estimate, None)
        part = self.subjects.get(step.slide)
        around = subject.surrounded(part)
        before = around
        if estimate is not None:
            parts = map(self.subjects.get, step.sources)
            before = estimate.warp_mask([*map(subject.surrounded, parts)])
        return Prepared(frame, subject.restrict(mask, around, before), estimate, part)

    def draw(self, step: Step, prepared: Prepared, backend: int) -> Slide:
        """Have the slide of a step drawn by the backend of this number.

        With --only, the slide is the frame beyond the subject's surroundings. Chains continue from
        it; the surroundings are cut off, with a soft edge, from the slides in TARGET.
        """
        slide = self._drawn(step, prepared, backend)
        within = _within_subject(slide.pixels, prepared)
        return slide if within is slide.pixels else replace(slide, pixels=within, png=None)

    def answer(self, step: Step, prepared: Prepared, backend: int) -> Slide:
        """Have the answer of a step drawn by the backend of this number, from the frame alone."""
        frame, mask = prepared.frame, prepared.mask
        pictures, middle = self._pictures(step, prepared), step.slide == step.start
        job = Job(step.slide, step.scene, frame, mask, middle=middle, pictures=pictures)
        return self.ask(job, backend)

    def compose(self, step: Step) -> tuple[Pixels, Pixels]:
        """Return the frame of a step, and its slide, composed from its answer and its sources.

        The slide has the answer's size.
        """
        prepared = self.prepare(step)
        answer = _within_subject(self.answers(step.slide), prepared)
        if (estimate := prepared.estimate) is None:
            return prepared.frame, answer
        warped = estimate.warp(_fitted(self._sources(step), answer))
        if self.steps_folder is not None:
            _write_steps(self.steps_folder, step, {"warped": warped, "mask": prepared.mask})
        mask = arrays.enlarge(prepared.mask, answer.shape)
        slide = compose_answer(answer, warped, mask, self.anchor)
        return prepared.frame, _within_subject(slide, prepared)

    def _drawn(self, step: Step, prepared: Prepared, backend: int) -> Slide:
        """Return the finished answer of a backend."""
        frame, mask, previous = prepared.frame, prepared.mask, step.previous
        pictures = self._pictures(step, prepared)
        if previous is None:
            job = Job(step.slide, step.scene, frame, mask, middle=True, pictures=pictures)
            return self.ask(job, backend)
        warped, guide = self._warp(step, prepared)
        if self.steps_folder is not None:
            _write_steps(self.steps_folder, step, {"warped": warped, "mask": mask, "guide": guide})
        pictures |= {"warped": lambda: warped, "previous": lambda: self.store.get(previous)}
        job = Job(step.slide, step.scene, guide, mask, pictures=pictures)
        slide = self.ask(job, backend)
        finished = self.motion.finish(slide.pixels, warped, mask)
        if slide.unmasked and finished is slide.pixels:
            height, width = finished.shape[:2]
            kept = arrays.fit(warped, width, height), arrays.enlarge(mask, finished.shape)
            finished = compose.compose(finished, *kept)
        return slide if finished is slide.pixels else replace(slide, pixels=finished, png=None)

    def fill(self, step: Step) -> tuple[Pixels, Pixels]:
        """Return the frame of a step, and its slide made from keyframes without a backend."""
        frame, estimate = self._estimate(step)
        sources = self._sources(step)
        largest = max(sources, key=np.size)
        return frame, estimate.warp(_fitted(sources, largest))

    def within_subject(self, step: Step, picture: Pixels) -> tuple[Pixels, Pixels]:
        """Return the frame of a step, and its picture with the frame beyond the subject."""
        frame = self.slide_frames.get(step.slide)
        if self.subjects is None:
            return frame, picture
        prepared = Prepared(frame, masks.free_all(frame), None, self.subjects.get(step.slide))
        return frame, _within_subject(picture, prepared)

    def _pictures(self, step: Step, prepared: Prepared) -> dict[str, Callable[[], Pixels]]:
        """Return the pictures of a slide by role, besides guide, mask and its neighbours."""
        pictures = {"frame": lambda: prepared.frame, **self.references(step)}
        if (part := prepared.subject) is not None:
            pictures["only"] = lambda: part
        return pictures

    def _warp(self, step: Step, prepared: Prepared) -> tuple[Pixels, Pixels]:
        """Return the warped picture and the guide, both (H, W, 3), of a slide with sources."""
        estimate, prepared.estimate = prepared.estimate, None
        assert estimate is not None
        sources = self._sources(step)
        with self.warp_slots:
            warped = estimate.warp(sources)
            if self.drift is not None:
                warped = self.drift.correct(warped, prepared.frame, step.start, prepared.subject)
            return warped, masks.blend(warped, prepared.frame, prepared.mask)

    def _estimate(self, step: Step) -> tuple[Pixels, MotionEstimate]:
        """Return the frame of a step, and the motion from its sources to it."""
        sources = [*map(self.slide_frames.get, step.sources)]  # before others push them out
        frame = self.slide_frames.get(step.slide)

        def crossed() -> Sequence[Pixels]:
            between = frames_crossed(step, self.frames_per_slide)[1:-1]
            return [*sources, *map(self.frames.read, between), frame]

        def pairs() -> Sequence[Sequence[FlowPair]]:
            return [pairs_between(self.flow_pairs.get, step.slide, each) for each in step.sources]

        along = step.kind is StepKind.FILL
        return frame, self.motion.estimate(FramePath(frame, sources, crossed, pairs, along))

    def _sources(self, step: Step) -> list[Pixels]:
        return [*map(self.store.get, step.sources)]


def _fitted(pictures: Sequence[Pixels], like: Pixels) -> list[Pixels]:
    """Return the pictures at the size of another one."""
    height, width = like.shape[:2]
    return [arrays.fit(each, width, height) for each in pictures]


def _within_subject(slide: Pixels, prepared: Prepared) -> Pixels:
    """Return the slide with its frame beyond the subject's surroundings, if there is a subject."""
    if (part := prepared.subject) is None:
        return slide
    around = np.divide(subject.surrounded(part), 255, dtype=np.float32)
    return subject.compose(slide, prepared.frame, around)


def _write_steps(folder: Path, step: Step, pictures: Mapping[str, Pixels]) -> None:
    """Write the pictures between frame and slide, under the names of the original program."""
    stem = Path(sequence.name(step.slide)).stem
    direction = "b" if step.sources[0] > step.slide else "f"
    ending = {"warped": f"-{direction}", "mask": "-m", "guide": ""}
    for what, picture in pictures.items():
        png.write(folder / f"{stem}{ending[what]}.png", picture)
