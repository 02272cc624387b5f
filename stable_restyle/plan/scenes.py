"""Divide a film into scenes, and the slides of each into the chains in which they are drawn.

Pure functions of numbers, and the file `scenes.json`, which keeps the boundaries between runs so
that users can edit them: a list `[0, cut, ..., frame count]` of 0-based frame indices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from itertools import pairwise
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Keys, Scene, Step


def boundaries(cuts: Iterable[int], frames: int) -> list[int]:
    """Return cuts as scenes.json holds them. A cut is the first frame of a new scene."""
    return sorted({0, frames, *(cut for cut in cuts if 0 < cut < frames)})


def slide_count(frames: int, frames_per_slide: int) -> int:
    """Return the number of slides, one for the remaining frames at the end included."""
    return -(-frames // frames_per_slide)


def find_scenes(bounds: Sequence[int], frames_per_slide: int) -> list[Scene]:
    """Return the scenes between boundaries, without those that have no slide.

    Slide k shows frame k * frames_per_slide. The middle slide is the last one up to the middle
    frame of the scene, but never one before the scene.
    """
    scenes: list[Scene] = []
    for start, stop in pairwise(bounds):
        slides = range(slide_count(start, frames_per_slide), slide_count(stop, frames_per_slide))
        if slides:
            middle = max((start + stop) // 2 // frames_per_slide, slides.start)
            scenes.append(Scene(len(scenes) + 1, start, stop, slides, middle))
    return scenes


def chains(scene: Scene) -> tuple[range, range]:
    """Return the slides before the middle, in descending order, and those after it."""
    return (
        range(scene.middle - 1, scene.slides.start - 1, -1),
        range(scene.middle + 1, scene.slides.stop),
    )


def steps(scene: Scene, keys: Keys | None = None) -> list[Step]:
    """Return a step for each slide of a scene, after those of the slides that it is made from.

    keys: if given, slides between two keys are filled from these. The middle and both ends of a
    scene are always keys.
    """
    found = [Step(scene.middle, scene.number, None)]
    for chain in chains(scene):
        previous, between = scene.middle, list[int]()
        for slide in chain:
            if keys is not None and slide not in keys.keys and slide != chain[-1]:
                between.append(slide)
                continue
            found.append(Step(slide, scene.number, previous))
            for each in between:
                uses_backend = keys is not None and each in keys.assisted
                found.append(Step(each, scene.number, previous, slide, uses_backend))
            previous, between = slide, []
    return found


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
            or (old.sources, old.uses_backend) != (step.sources, step.uses_backend)
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
