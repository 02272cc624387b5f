"""Change a workflow by --seed and --set, for the run, for some scenes or over time.

Whether a server accepts the new values is checked in `validate`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from math import ceil, floor
from typing import Literal

from stable_restyle.backends.comfyui.texts import NO_PROMPTS, Prompts, with_prompts
from stable_restyle.backends.comfyui.workflow import Workflow, with_seed, with_value
from stable_restyle.core.errors import WrongUsage, counted
from stable_restyle.core.ranges import parse_ranges
from stable_restyle.core.records import Job, Scene, UserPicture

_TIME = r"(?:\d+:)+\d{2}(?:\.\d+)?"
_TARGET = re.compile(
    rf"(?:(?P<times>{_TIME}-{_TIME}(?:,{_TIME}-{_TIME})*):|f(?P<frames>[\d\s,-]+):"
    r"|(?P<scenes>[\d\s,-]+):)?(?P<node>[^.]+)\.(?P<name>.+)"
)
_RAMP = re.compile(r"(?P<first>-?\d+(?:\.\d+)?)\.\.(?P<last>-?\d+(?:\.\d+)?)")
_USAGE = (
    "write [WHERE:]ID.INPUT=VALUE, such as 6.text=clay, 3,5-7:6.text=fox (scenes), "
    "f240-480:3.denoise=0.4..0.6 (frames), 00:10-00:20:6.text=rain (time)."
)


@dataclass(frozen=True)
class TimedChange:
    """A change of some slides: of certain frames, times or scenes, or with a value that moves."""

    option: str  # as typed
    node: str
    name: str
    values: tuple[str, str]  # at the first and at the last slide of each stretch
    whole: bool  # whether values are whole numbers
    # Each stretch of the film, and what it is counted in; "film" has one that needs no numbers.
    unit: Literal["film", "scene", "frame", "second"]
    stretches: Sequence[tuple[Fraction, Fraction]] = ()  # from 1; seconds from 0; both included

    def of_slides(
        self, scenes: Sequence[Scene], frames_per_slide: int, frames: int, rate: Fraction
    ) -> dict[int, str]:
        """Return the change of each slide, `ID.INPUT=VALUE`. Raises WrongUsage.

        frames: of the film. rate: frames per second.
        """
        found: dict[int, str] = {}
        for stretch in self._frame_ranges(scenes, frames, rate):
            slides = range(
                -(-stretch.start // frames_per_slide), -(-stretch.stop // frames_per_slide)
            )
            if not slides or stretch.stop > frames:
                raise WrongUsage(
                    f"{self.option}: no slide shows {'any' if stretch.stop <= frames else 'all'} "
                    f"of this; the film has {counted(frames, 'frame')} in "
                    f"{counted(len(scenes), 'scene')}, {float(frames / rate):.1f} s."
                )
            for slide in slides:
                share = Fraction(slide - slides.start, max(len(slides) - 1, 1))
                found[slide] = f"{self.node}.{self.name}={self._value(share)}"
        return found

    def check_begins_within(self, frames: int, rate: Fraction) -> None:
        """Raise WrongUsage if frames or times begin past the end of a film, before it is split."""
        if self.unit not in ("frame", "second"):
            return
        for stretch in self._frame_ranges((), frames, rate):
            if stretch.start >= frames:
                raise WrongUsage(
                    f"{self.option}: this is past the end of the film, which has "
                    f"{counted(frames, 'frame')}, {float(frames / rate):.1f} s."
                )

    def _frame_ranges(
        self, scenes: Sequence[Scene], frames: int, rate: Fraction
    ) -> Iterator[range]:
        """Yield the frames of each stretch, counted from 0."""
        if self.unit == "film":
            yield range(frames)
        for first, last in self.stretches:
            if self.unit == "scene":
                number = int(first)
                past_the_end = range(frames, frames + 1)
                scene = scenes[number - 1] if number <= len(scenes) else None
                yield range(scene.start, scene.stop) if scene else past_the_end
            elif self.unit == "frame":
                yield range(int(first) - 1, int(last))
            else:
                yield range(ceil(first * rate), min(floor(last * rate) + 1, frames))

    def _value(self, share: Fraction) -> str:
        """Return the value at a share of a stretch, 0..1."""
        first, last = self.values
        if first == last:
            return first
        value = Fraction(first) + (Fraction(last) - Fraction(first)) * share
        if self.whole:  # exact: a seed has more digits than a float
            return str(round(value))
        return first if share == 0 else last if share == 1 else f"{float(value):.6g}"


@dataclass(frozen=True)
class WorkflowVariants:
    """The workflows of a run: of most slides, of scenes that have their own, and of middles."""

    original: Workflow
    base: Workflow  # with the changes for the whole run
    scenes: Mapping[int, Workflow]  # with those for a scene as well
    changes: Sequence[str]  # for the whole run, as typed
    scene_changes: Mapping[int, Sequence[str]]  # and the pictures for scenes
    middle: Workflow | None = None  # of --middle-model
    pictures: Sequence[UserPicture] = ()
    timed: Sequence[TimedChange] = ()
    windows: Mapping[str, Workflow] = field(default_factory=dict)  # those that make windows
    draws: bool = True  # False: all slides are there, and servers only make windows

    def slide_changes(
        self, scenes: Sequence[Scene], frames_per_slide: int, frames: int, rate: Fraction
    ) -> dict[int, list[str]]:
        """Return the changes of single slides, `ID.INPUT=VALUE` each. Raises WrongUsage."""
        found: defaultdict[int, list[str]] = defaultdict(list)
        for change in self.timed:
            for slide, line in change.of_slides(scenes, frames_per_slide, frames, rate).items():
                found[slide].append(line)
        return dict(found)

    def of(self, job: Job) -> Workflow:
        """Return the workflow that draws a slide."""
        return self.of_scene(job.scene, middle=job.middle)

    def of_scene(self, scene: int, *, middle: bool) -> Workflow:
        """Return the workflow that draws the slides of a scene, or its middle."""
        if middle and self.middle:
            return self.middle
        return self.scenes.get(scene, self.base)

    def extremes(self) -> Iterator[tuple[str, Workflow]]:
        """Yield each input that changes over time, and the workflow with either end of it."""
        for each in self.timed if self.draws else ():
            for value in each.values:
                yield each.name, changed(self.base, [f"{each.node}.{each.name}={value}"])

    def __iter__(self) -> Iterator[Workflow]:
        """Yield the workflows that draw slides."""
        if not self.draws:
            return
        yield self.base
        yield from self.scenes.values()
        if self.middle:
            yield self.middle

    @property
    def every(self) -> list[Workflow]:
        """Return all workflows in use, those that make windows as well."""
        return [*self, *self.windows.values()]

    def for_windows(self, keys: Collection[str]) -> WorkflowVariants:
        """Return what servers are asked for that only make the windows of some workflows."""
        windows = {key: each for key, each in self.windows.items() if key in keys}
        return replace(self, windows=windows, draws=False)

    def map(self, change: Callable[[Workflow], Workflow]) -> WorkflowVariants:
        """Return these with each workflow changed."""
        windows = {key: change(each) for key, each in self.windows.items()}
        if not self.draws:
            return replace(self, windows=windows)
        return replace(
            self,
            base=change(self.base),
            scenes={scene: change(each) for scene, each in self.scenes.items()},
            middle=change(self.middle) if self.middle else None,
            windows=windows,
        )


def apply_overrides(
    workflow: Workflow, seed: int | None, changes: Sequence[str], prompts: Prompts = NO_PROMPTS
) -> WorkflowVariants:
    """Return the workflow with --seed, --prompt and every --set, `[WHERE:]ID.INPUT=VALUE`.

    Changes are made in order: prompts, for the whole run, for scenes, then over time. Raises
    WrongUsage.
    """
    base = with_prompts(workflow, prompts)
    base = base if seed is None else with_seed(base, seed)
    for_run: list[str] = []
    for_scene: dict[int, list[str]] = defaultdict(list)
    timed: list[TimedChange] = []
    for change in changes:
        scenes, assignment, over_time = _split(change, workflow)
        if over_time is not None:
            timed.append(over_time)
        elif not scenes:
            for_run.append(assignment)
        for scene in scenes:
            for_scene[scene].append(assignment)
    base = changed(base, for_run)
    varied = {scene: changed(base, its) for scene, its in sorted(for_scene.items())}
    return WorkflowVariants(workflow, base, varied, for_run, dict(for_scene), timed=timed)


def changed(workflow: Workflow, assignments: Sequence[str]) -> Workflow:
    """Return the workflow with changes, `ID.INPUT=VALUE` each. Raises WrongUsage."""
    for assignment in assignments:
        target, _, value = assignment.partition("=")
        node, _, name = target.partition(".")
        workflow = with_value(workflow, node, name, value)
    return workflow


def _split(change: str, workflow: Workflow) -> tuple[Sequence[int], str, TimedChange | None]:
    """Return the scenes of a change, none for the whole run, and its assignment; or a timed one."""
    target, equals, value = change.partition("=")
    match = _TARGET.fullmatch(target)
    if not equals or match is None:
        raise WrongUsage(f"--set {change}: {_USAGE}")
    node, name = match["node"], match["name"]
    if (whole := target.partition(".")[0]) in workflow.nodes:  # a node of a group has a colon
        node, match = whole, None
    where = match or {"scenes": None, "frames": None, "times": None}
    assignment = f"{node}.{name}={value}"
    option = f"--set {change}"
    scenes = parse_ranges(where["scenes"], option, "scene") if where["scenes"] else ()
    present = workflow.nodes.get(node, {"inputs": {}})["inputs"].get(name)
    ramp = None if isinstance(present, str | bool) else _RAMP.fullmatch(value)
    if not (ramp or where["frames"] or where["times"]):
        return scenes, assignment, None
    values = (ramp["first"], ramp["last"]) if ramp else (value, value)
    for each in values:
        changed(workflow, [f"{node}.{name}={each}"])  # that it can be made
    timed = partial(TimedChange, option, node, name, values, isinstance(present, int))
    if where["frames"]:
        return (), "", timed("frame", _frame_stretches(where["frames"], option))
    if where["times"]:
        return (), "", timed("second", _time_stretches(where["times"], option))
    if scenes:
        return (), "", timed("scene", [(Fraction(each), Fraction(each)) for each in scenes])
    return (), "", timed("film")


def _frame_stretches(listed: str, option: str) -> list[tuple[Fraction, Fraction]]:
    parts = [parse_ranges(part, option, "frame") for part in listed.split(",")]
    return [(Fraction(part[0]), Fraction(part[-1])) for part in parts]


def _time_stretches(listed: str, option: str) -> list[tuple[Fraction, Fraction]]:
    found = []
    for part in listed.split(","):
        first, last = map(_seconds, part.split("-"))
        if first >= last:
            raise WrongUsage(f"{option}: {part} does not end after its beginning.")
        found.append((first, last))
    return found


def _seconds(time: str) -> Fraction:
    """Parse MM:SS or HH:MM:SS, perhaps with decimals."""
    seconds = Fraction(0)
    for part in time.split(":"):
        seconds = 60 * seconds + Fraction(part)
    return seconds
