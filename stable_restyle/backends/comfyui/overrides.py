"""Change a workflow by --seed and --set, for the run or for some scenes.

Whether a server accepts the new values is checked in `validate`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from stable_restyle.backends.comfyui.workflow import Workflow, with_seed, with_value
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.ranges import parse_ranges
from stable_restyle.core.records import Job, UserPicture

_SCENES = re.compile(r"(?P<scenes>[\d\s,-]+):(?P<node>.+)")


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

    def of(self, job: Job) -> Workflow:
        """Return the workflow that draws a slide."""
        if job.middle and self.middle:
            return self.middle
        return self.scenes.get(job.scene, self.base)

    def __iter__(self) -> Iterator[Workflow]:
        yield self.base
        yield from self.scenes.values()
        if self.middle:
            yield self.middle

    def map(self, change: Callable[[Workflow], Workflow]) -> WorkflowVariants:
        """Return these with each workflow changed."""
        return replace(
            self,
            base=change(self.base),
            scenes={scene: change(each) for scene, each in self.scenes.items()},
            middle=change(self.middle) if self.middle else None,
        )


def apply_overrides(
    workflow: Workflow, seed: int | None, changes: Sequence[str]
) -> WorkflowVariants:
    """Return the workflow with --seed and every --set, `[SCENES:]ID.INPUT=VALUE`.

    Changes are made in order, those for the whole run first. Raises WrongUsage.
    """
    base = workflow if seed is None else with_seed(workflow, seed)
    for_run: list[str] = []
    for_scene: dict[int, list[str]] = defaultdict(list)
    for change in changes:
        scenes, assignment = _split(change, workflow)
        if not scenes:
            for_run.append(assignment)
        for scene in scenes:
            for_scene[scene].append(assignment)
    base = _changed(base, for_run)
    varied = {scene: _changed(base, its) for scene, its in sorted(for_scene.items())}
    return WorkflowVariants(workflow, base, varied, for_run, dict(for_scene))


def _changed(workflow: Workflow, assignments: Sequence[str]) -> Workflow:
    for assignment in assignments:
        target, _, value = assignment.partition("=")
        node, _, name = target.partition(".")
        workflow = with_value(workflow, node, name, value)
    return workflow


def _split(change: str, workflow: Workflow) -> tuple[Sequence[int], str]:
    """Return the scenes of a change, none for the whole run, and its assignment."""
    target, equals, value = change.partition("=")
    place, dot, name = target.partition(".")
    if not (equals and dot and place and name):
        raise WrongUsage(
            f"--set {change}: write [SCENES:]ID.INPUT=VALUE, "
            "such as 6.text=clay or 3,5-7:6.text=fox."
        )
    found = _SCENES.fullmatch(place)
    if place in workflow.nodes or found is None:  # a node of a group has a colon in its ID
        return (), change
    scenes = parse_ranges(found["scenes"], f"--set {change}", "scene")
    return scenes, f"{found['node']}.{name}={value}"
