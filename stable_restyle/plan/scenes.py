"""Cuts -> scenes -> chains: which slides there are, and which one each is drawn from.

Pure functions of numbers, and the file `scenes.json` that keeps the boundaries between runs so that
people can edit them: a list `[0, cut, ..., frame count]` of 0-based frame indices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from itertools import pairwise
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Keys, Scene, Step


def boundaries(cuts: Iterable[int], frames: int) -> list[int]:
    """Cuts as scenes.json holds them. A cut is the first frame of a new scene."""
    return sorted({0, frames, *(cut for cut in cuts if 0 < cut < frames)})


def slide_count(frames: int, frames_per_slide: int) -> int:
    """Every frame counts: a last group of fewer than `fps` frames has its slide too."""
    return -(-frames // frames_per_slide)


def find_scenes(bounds: Sequence[int], frames_per_slide: int) -> list[Scene]:
    """Scenes from boundaries; slide k shows frame k * fps. Scenes without a slide are none.

    The middle slide shows the frame at half of the scene, rounded down to a whole slide, but never
    one before its scene.
    """
    scenes: list[Scene] = []
    for start, stop in pairwise(bounds):
        slides = range(slide_count(start, frames_per_slide), slide_count(stop, frames_per_slide))
        if slides:
            middle = max((start + stop) // 2 // frames_per_slide, slides.start)
            scenes.append(Scene(len(scenes) + 1, start, stop, slides, middle))
    return scenes


def chains(scene: Scene) -> tuple[range, range]:
    """The slides from the middle, itself left out, down to the first and up to the last."""
    return (
        range(scene.middle - 1, scene.slides.start - 1, -1),
        range(scene.middle + 1, scene.slides.stop),
    )


def steps(scene: Scene, keys: Keys | None = None) -> list[Step]:
    """Every slide of a scene once, each after those that it is made from.

    keys: where given, slides between two keys are filled from these. The middle and both ends of a
    scene are keys in any case.
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
    """Every slide of these scenes, as `steps` has them."""
    return [step for scene in found for step in steps(scene, keys)]


def frames_crossed(step: Step, frames_per_slide: int) -> range:
    """The frames in walking order from the previous slide's to this slide's, both included."""
    here = step.slide * frames_per_slide
    if step.previous is None:
        return range(here, here + 1)
    there = step.previous * frames_per_slide
    return range(there, here + 1) if there < here else range(there, here - 1, -1)


def frames_spanned(step: Step, frames_per_slide: int) -> range:
    """All frames that a slide depends on, besides what it is made from does."""
    shown = [slide * frames_per_slide for slide in (step.slide, *step.sources)]
    return range(min(shown), max(shown) + 1)


def outdated(
    before: Iterable[Step],
    now: Iterable[Step],
    changed_scenes: Callable[[Step, Step], bool],
    changed_frames: Set[int],
    frames_per_slide: int,
) -> set[int]:
    """The slides that would be drawn otherwise now than they were.

    before, now: the steps of the earlier run and of this one, each after the one that it is drawn
    from. changed_scenes: whether what is set for the scene of the one step differs from the
    other's. A slide that depends on another one is outdated with it.
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
    """Read scenes.json and hold it against the number of frames. Raises UnusableInput."""
    next_step = "Correct the file, or remove it to have the scenes detected again."
    checked = files.read_json(path, checked_boundaries, next_step)
    if checked[-1] != frames:
        raise UnusableInput(
            f"{path} does not fit these frames: it must end with their number, {frames}.\n"
            f"{next_step}"
        )
    return checked


def checked_boundaries(bounds: object) -> list[int]:
    """What was read from a file, if it is the boundaries of scenes. Raises ValueError."""
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
