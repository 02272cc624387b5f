"""Read and write input.json: the frames, scenes and keys that each slide was made from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, counted
from stable_restyle.core.records import Keys, Step, StepKind
from stable_restyle.media import sequence, window_folder
from stable_restyle.media.naming import OWN, Naming
from stable_restyle.plan import answers, keyframes, scenes
from stable_restyle.workdir import settings_file
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.settings_file import SCENES, in_words

SceneChanges: TypeAlias = Mapping[int, Sequence[str]]
NAMES_SHOWN = 8


@dataclass(frozen=True)
class InputSnapshot:
    """The inputs that each slide depends on, besides the run's settings."""

    # Of the frames, as media.frames.Frames has them; with --only, "+" and those of masks.
    marks: Sequence[str]
    bounds: Sequence[int]  # of the scenes, as scenes.json has them
    changes: SceneChanges  # what is set in scenes
    keys: Keys | None = None  # None: every slide is one
    values: SceneChanges = field(default_factory=dict)  # what is set for single slides, by slide
    given: Mapping[int, str] = field(default_factory=dict)  # marks of given slides, by slide
    film_middle: int | None = None  # the slide that all others depend on, if they do
    has_answers: bool = False  # whether slides are composed from answers that the model draws
    is_composed: bool = False  # whether they are, or from pictures of --drawn
    middle_first: bool = False  # whether answers depend on that of the scene's middle
    middle_differs: bool = False  # whether another workflow draws the middles
    fill: str = ""  # the hash of the workflow of --fill; empty without
    fill_name: str = field(default="", compare=False)  # its name
    frame_names: Naming = field(default=OWN, compare=False)  # for messages

    def steps(self, frames_per_slide: int) -> list[Step]:
        """Return every slide, each after those that it is made from."""
        found = scenes.find_scenes(self.bounds, frames_per_slide, self.given)
        return scenes.all_steps(found, self.keys)

    def answers(self, frames_per_slide: int) -> list[Step]:
        """Return the step of every answer; none if the model draws none."""
        if not self.has_answers:
            return []
        steps = answers.split(self.steps(frames_per_slide), middle_first=self.middle_first)
        return [step for step in steps if step.kind is StepKind.ANSWER]


def read(paths: RunPaths, now: InputSnapshot, *, fresh: bool) -> InputSnapshot:
    """Return the input of the earlier run; what it did not note is assumed to be as now.

    Raises UnusableInput if input.json cannot be read, unless `fresh`.
    """
    settings = settings_file.read(paths, fresh=fresh)
    changes = _by_number(settings[SCENES]) if SCENES in settings else now.changes
    path = paths.input_file
    if not path.exists():
        return replace(now, changes=changes)

    def parse(noted: Any) -> InputSnapshot:
        marks, bounds = noted["frames"], scenes.checked_boundaries(noted["scenes"])
        if not all(isinstance(mark, str) for mark in marks) or len(marks) != bounds[-1]:
            raise ValueError("its scenes are not those of its frames")
        keys = keyframes.checked(noted, len(marks)) if "keys" in noted else None
        return replace(
            now,
            marks=marks,
            bounds=bounds,
            changes=changes,
            keys=keys,
            values=_by_number(noted.get("set")),
            given=_given(noted.get("given")),
            fill=str(noted.get("fill", "")),
        )

    try:
        return files.read_json(
            path,
            parse,
            "It says which frames and scenes the slides were made of. Remove it if you know that "
            "they were the same as now, or add --fresh to start over.",
        )
    except UnusableInput:
        if fresh:
            return replace(now, changes=changes)
        raise


def write(paths: RunPaths, now: InputSnapshot) -> None:
    """Write input.json. Raises UnusableInput."""
    note: dict[str, object] = {"frames": list(now.marks), "scenes": list(now.bounds)}
    if now.keys is not None:
        note |= keyframes.noted(now.keys)
    if now.values:
        note["set"] = {str(slide): list(its) for slide, its in now.values.items()}
    if now.given:
        note["given"] = {str(slide): mark for slide, mark in now.given.items()}
    if now.fill:
        note["fill"] = now.fill
    files.write_json(paths.input_file, note)


def frame_marks(paths: RunPaths) -> list[str]:
    """Return the marks of the frames that the last run noted; none if it noted nothing."""
    return [mark.partition("+")[0] for mark in _noted_marks(paths)]


def bounds(paths: RunPaths) -> list[int]:
    """Return the boundaries of scenes that the last run noted; none if it noted nothing."""
    try:
        noted = files.read_json(paths.input_file, settings_file.as_object, "")
        return scenes.checked_boundaries(noted.get("scenes"))
    except (UnusableInput, ValueError):
        return []


def replace_frame_marks(paths: RunPaths, marks: Sequence[str]) -> None:
    """Note other marks for the same frames. Raises UnusableInput."""
    noted = files.read_json(paths.input_file, settings_file.as_object, "")
    masks = ("".join(each.partition("+")[1:]) for each in _noted_marks(paths))
    noted["frames"] = [mark + mask for mark, mask in zip(marks, masks, strict=True)]
    files.write_json(paths.input_file, noted)


def _noted_marks(paths: RunPaths) -> list[str]:
    try:
        noted = files.read_json(paths.input_file, settings_file.as_object, "")
    except UnusableInput:
        return []
    marks = noted.get("frames")
    return [mark for mark in marks if isinstance(mark, str)] if isinstance(marks, list) else []


def _by_number(noted: object) -> SceneChanges:
    """Return lists by number, as JSON has them by text."""
    known = noted.items() if isinstance(noted, dict) else ()
    return {
        int(scene): its
        for scene, its in known
        if re.fullmatch(r"\d{1,9}", scene) and isinstance(its, list)
    }


def _given(noted: object) -> Mapping[int, str]:
    known = noted.items() if isinstance(noted, dict) else ()
    return {int(slide): str(mark) for slide, mark in known if re.fullmatch(r"\d{1,9}", slide)}


def given_slides(paths: RunPaths) -> set[int]:
    """Return the slides that are given, as the last run noted; none if it noted nothing."""
    try:
        noted = files.read_json(paths.input_file, settings_file.as_object, "")
    except UnusableInput:
        return set()
    return set(_given(noted.get("given")))


def outdated_slides(
    paths: RunPaths, was: InputSnapshot, now: InputSnapshot, frames_per_slide: int
) -> list[str]:
    """Return the slides that depend on what has changed, and those past the end of the film."""
    steps = was.steps(frames_per_slide), now.steps(frames_per_slide)
    return _outdated(paths.slides, was, now, steps, frames_per_slide)


def outdated_answers(
    paths: RunPaths, was: InputSnapshot, now: InputSnapshot, frames_per_slide: int
) -> list[str]:
    """Return the answers that depend on what has changed, and those past the end of the film.

    Answers that these keys do not need stay as well, for a run with others.
    """
    was, now = replace(was, keys=None), replace(now, keys=None)
    steps = was.answers(frames_per_slide), now.answers(frames_per_slide)
    return _outdated(paths.answers, was, now, steps, frames_per_slide)


def outdated_windows(
    paths: RunPaths, was: InputSnapshot, now: InputSnapshot, frames_per_slide: int
) -> list[range]:
    """Return the windows there that show other keys or frames, or were made in another way."""
    steps = was.steps(frames_per_slide), now.steps(frames_per_slide)
    changed = _changed_slides(was, now, steps, frames_per_slide)
    from_window = (step for step in steps[1] if step.kind is StepKind.FROM_WINDOW)
    stay = {step.between for step in from_window if step.slide not in changed}
    return sorted(window_folder.find(paths.windows) - stay, key=min)


def unanswered(paths: RunPaths, was: InputSnapshot, frames_per_slide: int) -> set[int]:
    """Return the slides there whose answers are gone: once discarded, a model draws them again."""
    answered = {step.slide for step in was.answers(frames_per_slide)}
    return (sequence.indices(paths.slides) & answered) - sequence.indices(paths.answers)


def noted_unanswered(paths: RunPaths, frames_per_slide: int) -> set[int]:
    """Return what `unanswered` does, by input.json alone; without it, any slide may be drawn.

    Raises UnusableInput.
    """
    if not paths.input_file.exists():
        return sequence.indices(paths.slides) - sequence.indices(paths.answers)
    nothing = InputSnapshot((), (), {}, has_answers=True, is_composed=True)
    return unanswered(paths, read(paths, nothing, fresh=False), frames_per_slide)


def _outdated(
    folder: Path,
    was: InputSnapshot,
    now: InputSnapshot,
    steps: tuple[Sequence[Step], Sequence[Step]],
    frames_per_slide: int,
) -> list[str]:
    """Return the slides or answers of a folder that are outdated. steps: then and now."""
    slides = _changed_slides(was, now, steps, frames_per_slide)
    beyond = beyond_end(folder, now, frames_per_slide)
    outdated = sequence.indices(folder) & slides
    return sorted({*beyond, *map(sequence.name, outdated)})


def _changed_slides(
    was: InputSnapshot,
    now: InputSnapshot,
    steps: tuple[Sequence[Step], Sequence[Step]],
    frames_per_slide: int,
) -> set[int]:
    """Return the slides of these steps that depend on what has changed. steps: then and now."""
    slides = (
        set[int]()
        if was == now
        else scenes.outdated(
            *steps,
            partial(_is_changed, was, now),
            _changed_frames(was, now),
            frames_per_slide,
        )
    )
    if now.film_middle is not None and (
        now.film_middle in slides or now.film_middle != _film_middle(was, frames_per_slide)
    ):
        slides = set(range(scenes.slide_count(len(now.marks), frames_per_slide)))
    return slides


def _is_changed(was: InputSnapshot, now: InputSnapshot, before: Step, after: Step) -> bool:
    """Return whether a slide is another picture of the user's, or drawn with other settings."""
    if was.given.get(before.slide) != now.given.get(after.slide):
        return True
    if after.kind is StepKind.ANSWER and now.middle_differs:
        middles = [step.slide == step.start for step in (before, after)]
        if middles[0] != middles[1]:
            return True
    from_window = after.kind is StepKind.FROM_WINDOW
    if from_window and was.fill != now.fill:
        return True
    return (after.uses_backend or from_window) and (
        was.changes.get(before.scene, []) != list(now.changes.get(after.scene, []))
        or _values(was, before.slide) != _values(now, after.slide)
    )


def _film_middle(snapshot: InputSnapshot, frames_per_slide: int) -> int:
    """Return the middle slide of the first scene."""
    return scenes.find_scenes(snapshot.bounds, frames_per_slide, snapshot.given)[0].middle


def _values(snapshot: InputSnapshot, slide: int) -> list[str]:
    return list(snapshot.values.get(slide, []))


def beyond_end(folder: Path, now: InputSnapshot, frames_per_slide: int) -> list[str]:
    """Return the slides or answers of a folder past the end of the film."""
    count = scenes.slide_count(len(now.marks), frames_per_slide)
    return [sequence.name(slide) for slide in sequence.indices(folder) if slide >= count]


def _changed_frames(was: InputSnapshot, now: InputSnapshot) -> set[int]:
    """Return the frames that differ from the earlier run's, or are new."""
    shared = zip(was.marks, now.marks, strict=False)
    changed = {index for index, (then, here) in enumerate(shared) if then != here}
    return changed.union(range(len(was.marks), len(now.marks)))


def _frame_mark(snapshot: InputSnapshot, frame: int) -> str:
    """Return the mark of a frame without that of its mask, which `run.only` adds."""
    return snapshot.marks[frame].partition("+")[0]


def _listed(what: str, frames: Sequence[int], frame_names: Naming) -> list[str]:
    """Return a line that names frames; none if there are none."""
    names = ", ".join(frame_names.name(frame) for frame in frames[:NAMES_SHOWN])
    more = f" and {len(frames) - NAMES_SHOWN} more" if len(frames) > NAMES_SHOWN else ""
    return [f"{what}: {names}{more}"] if frames else []


def refusal(
    paths: RunPaths,
    was: InputSnapshot,
    now: InputSnapshot,
    outdated: int,
    frames_per_slide: int,
    *,
    what: str,
) -> str:
    """Return the message for a run over other frames or scenes than the earlier one's.

    outdated: the number of what is outdated. what: "slide", "answer" or "window".
    """
    folder = {"slide": paths.slides, "answer": paths.answers, "window": paths.windows}[what]
    beyond = len(beyond_end(folder, now, frames_per_slide))
    lines = []
    if len(was.marks) != len(now.marks):
        lines.append(f"frames: {len(was.marks)} then, {len(now.marks)} now")
    changed = [frame for frame in sorted(_changed_frames(was, now)) if frame < len(was.marks)]
    masks = {frame for frame in changed if _frame_mark(was, frame) == _frame_mark(now, frame)}
    names = now.frame_names
    lines += _listed("other frames", [frame for frame in changed if frame not in masks], names)
    lines += _listed("other masks", sorted(masks), names)
    if list(was.bounds) != list(now.bounds):
        lines.append(f"other scenes in {paths.scenes_file}")
    if was.fill != now.fill:
        lines.append(f"--fill: {now.fill_name or 'none'} now, another workflow then")
    if was.keys != now.keys:
        lines.append(f"other keys in {paths.keys_file}")
    for scene in sorted({*was.changes, *now.changes}):
        then, here = list(was.changes.get(scene, [])), list(now.changes.get(scene, []))
        if then != here:
            lines.append(f"set in scene {scene}: {in_words(then)} then, {in_words(here)} now")
    other = sorted(
        slide for slide in {*was.values, *now.values} if _values(was, slide) != _values(now, slide)
    )
    repainted = sorted(
        slide for slide in {*was.given, *now.given} if was.given.get(slide) != now.given.get(slide)
    )
    if repainted:
        shown = ", ".join(sequence.name(slide) for slide in repainted[:NAMES_SHOWN])
        lines.append(f"other pictures of --given: {shown}")
    if other:
        lines.append(
            f"--set over time, first at {sequence.name(other[0])}: "
            f"{in_words(_values(was, other[0]))} then, {in_words(_values(now, other[0]))} now"
        )
    if beyond:
        lines.append(f"past the end of the film: {counted(beyond, what)}")
    there = window_folder.find(folder) if what == "window" else sequence.numbered(folder)
    found = counted(len(there), what)
    return (
        f"{outdated} of the {found} in {folder} were made of something else:\n"
        + "".join(f"  {line}\n" for line in lines)
        + "Put it back as it was, or add --fresh: it discards "
        + (f"this {what}" if outdated == 1 else f"these {outdated}")
        + " and no others."
    )
