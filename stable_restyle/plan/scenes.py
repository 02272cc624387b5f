"""Divide a film into scenes, and the slides of each into the chains in which they are drawn.

Pure functions of numbers, and the file `scenes.json`, which keeps the boundaries between runs so
that users can edit them: a list `[0, cut, ..., frame count]` of 0-based frame indices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Keys, Scene, Step, StepKind


def boundaries(cuts: Iterable[int], frames: int) -> list[int]:
    """Return cuts as scenes.json holds them. A cut is the first frame of a new scene."""
    return sorted({0, frames, *(cut for cut in cuts if 0 < cut < frames)})


def slide_count(frames: int, frames_per_slide: int) -> int:
    """Return the number of slides, one for the remaining frames at the end included."""
    return -(-frames // frames_per_slide)


def find_scenes(
    bounds: Sequence[int], frames_per_slide: int, given: Collection[int] = ()
) -> list[Scene]:
    """Return the scenes between boundaries, without those that have no slide.

    Slide k shows frame k * frames_per_slide. The middle slide is the last one up to the middle
    frame of the scene, but never one before the scene; or the nearest to it of the given slides.
    """
    scenes: list[Scene] = []
    for start, stop in pairwise(bounds):
        slides = range(slide_count(start, frames_per_slide), slide_count(stop, frames_per_slide))
        if slides:
            middle = max((start + stop) // 2 // frames_per_slide, slides.start)
            own = tuple(sorted(slide for slide in given if slide in slides))
            nearest = min(own, key=lambda slide: (abs(slide - middle), slide), default=middle)
            scenes.append(Scene(len(scenes) + 1, start, stop, slides, nearest, own))
    return scenes


@dataclass(frozen=True)
class Chain:
    """Slides that follow from one another."""

    start: int  # the middle or a given slide, which the first one follows from
    slides: range  # in walking order
    end: int | None = None  # a given slide that follows the last one

    @property
    def with_end(self) -> Sequence[int]:
        """Return the slides, and the given one that follows."""
        return self.slides if self.end is None else [*self.slides, self.end]


def chains(scene: Scene, *, keyed: bool = False) -> list[Chain]:
    """Return the chains of a scene: outwards from its middle, or from each given slide.

    keyed: whether slides between two given ones are one chain, since they are filled from both;
    otherwise two chains meet half-way.
    """
    starts = scene.given or (scene.middle,)
    found = [
        Chain(starts[0], range(starts[0] - 1, scene.slides.start - 1, -1)),
        Chain(starts[-1], range(starts[-1] + 1, scene.slides.stop)),
    ]
    for first, second in pairwise(starts):
        half = second if keyed else (first + second) // 2 + 1
        found.append(Chain(first, range(first + 1, half), second if keyed else None))
        found.append(Chain(second, range(second - 1, half - 1, -1)))  # none if keyed
    return [chain for chain in found if chain.slides]


def steps(scene: Scene, keys: Keys | None = None) -> list[Step]:
    """Return a step for each slide of a scene, after those of the slides that it is made from.

    keys: if given, slides between two keys are filled from these, or from their window. The middle
    and both ends of a scene are always keys, unless ends are open; so are given slides.
    """
    starts = scene.given or (scene.middle,)
    kind = StepKind.FILL if scene.given else StepKind.DRAW
    found = [Step(slide, scene.number, None, None, kind, start=slide) for slide in starts]
    for chain in chains(scene, keyed=keys is not None):
        previous, between = chain.start, list[int]()
        for slide in chain.with_end:
            if not _is_key(slide, chain, keys):
                between.append(slide)
                continue
            if slide != chain.end:
                found.append(Step(slide, scene.number, previous, start=chain.start))
            found += _fills(
                between, Step(slide, scene.number, previous, slide, start=chain.start), keys
            )
            previous, between = slide, []
        found += _fills(between, Step(previous, scene.number, previous, start=chain.start), keys)
    return found


def _is_key(slide: int, chain: Chain, keys: Keys | None) -> bool:
    if keys is None or slide in keys.keys or slide == chain.end:
        return True
    return chain.end is None and slide == chain.slides[-1] and not keys.open_ends


def _fills(between: Sequence[int], like: Step, keys: Keys | None) -> list[Step]:
    """Return the steps of the slides between two keys, or beyond the last. like: has their keys."""
    if keys and keys.windows:
        return [replace(like, slide=each, kind=StepKind.FROM_WINDOW) for each in between]
    assisted = keys.assisted if keys else frozenset[int]()
    return [
        replace(like, slide=each, kind=StepKind.DRAW if each in assisted else StepKind.FILL)
        for each in between
    ]


def all_steps(found: Iterable[Scene], keys: Keys | None = None) -> list[Step]:
    """Return the steps of all scenes, as `steps` does."""
    return [step for scene in found for step in steps(scene, keys)]


def frames_crossed(step: Step, frames_per_slide: int) -> range:
    """Return the frames from the previous slide's to this slide's, in that order, both included."""
    here = step.slide * frames_per_slide
    if step.previous is None:
        return range(here, here + 1)
    there = step.previous * frames_per_slide
    return range(there, here + 1) if there < here else range(there, here - 1, -1)


def frames_spanned(step: Step, frames_per_slide: int) -> range:
    """Return the frames from a slide to its sources, on which it depends directly."""
    shown = [slide * frames_per_slide for slide in (step.slide, *step.sources)]
    return range(min(shown), max(shown) + 1)


def outdated(
    before: Iterable[Step],
    now: Iterable[Step],
    changed_scenes: Callable[[Step, Step], bool],
    changed_frames: Set[int],
    frames_per_slide: int,
) -> set[int]:
    """Return the slides that this run would draw differently than the earlier one did.

    before, now: the steps of the earlier run and of this one, each after the slides that it is made
    from. changed_scenes: whether the settings for the scenes of two steps differ. A slide that
    depends on an outdated one is outdated too.
    """
    was = {step.slide: step for step in before}
    found: set[int] = set()
    for step in now:
        old = was.get(step.slide)
        if (
            old is None
            or (old.sources, old.kind) != (step.sources, step.kind)
            or not found.isdisjoint(step.sources)
            or changed_scenes(old, step)
            or not changed_frames.isdisjoint(frames_spanned(step, frames_per_slide))
        ):
            found.add(step.slide)
    return found


def read_boundaries(path: Path, frames: int) -> list[int]:
    """Read scenes.json and check it against the number of frames. Raises UnusableInput."""
    next_step = "Correct the file, or remove it to have the scenes detected again."
    checked = files.read_json(path, checked_boundaries, next_step)
    if checked[-1] != frames:
        raise UnusableInput(
            f"{path} does not fit these frames: it must end with their number, {frames}.\n"
            f"{next_step}"
        )
    return checked


def checked_boundaries(bounds: object) -> list[int]:
    """Return the boundaries of scenes that a file holds. Raises ValueError."""
    if not isinstance(bounds, list) or not all(type(bound) is int for bound in bounds):
        raise ValueError("it is not a list of whole numbers, such as [0, 240]")
    for before, after in pairwise(bounds):
        if after <= before:
            raise ValueError(f"it must increase, but {after} follows {before}")
    if len(bounds) < 2 or bounds[0] != 0:
        raise ValueError("it must begin with 0 and end with the number of frames")
    return bounds


def write_boundaries(path: Path, bounds: Sequence[int]) -> None:
    """Write scenes.json, one line, as the original program did."""
    files.write_json(path, list(bounds))
