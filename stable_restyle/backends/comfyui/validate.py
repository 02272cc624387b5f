"""Fit a workflow to a server: add inputs that its nodes require, and find what it lacks.

Pure functions of a workflow and the node classes in the server's /object_info.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from stable_restyle.backends.comfyui.responses import choices, get, items, nearest, sequence
from stable_restyle.backends.comfyui.workflow import Workflow, fill, label, upstream

# Node classes as in /object_info; None for one that the server lacks. Node packs write them: they
# may hold anything.
Classes: TypeAlias = Mapping[str, Mapping[str, Any] | None]

_SHOWN = 3  # names to list where none resembles the missing one
STEP_MAX = 256  # of an input; a larger one is no step of a size
_NUMBERS = ("INT", "FLOAT")
# Options of an input whose list is not the whole truth: files in subfolders, values of a route.
_OPEN = ("image_upload", "video_upload", "audio_upload", "file_upload", "image_folder", "remote")


@dataclass(frozen=True)
class Incompatibility:
    """Why a server cannot draw with a workflow."""

    workflow: str  # its name
    node: str  # ID, title and class
    reason: str

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


def classes_of(workflow: Workflow) -> set[str]:
    """Return the node classes that a server must have, including those that the client adds."""
    return {node["class_type"] for node in _prompt(workflow).values()}


def _prompt(workflow: Workflow) -> dict[str, Any]:
    """Return a prompt as it is posted, with any pictures."""
    return fill(workflow, dict.fromkeys(workflow.roles, "picture.png"))


def complete(workflow: Workflow, classes: Classes) -> tuple[Workflow, list[str]]:
    """Add the defaults of inputs that this server requires and the file lacks.

    Returns the workflow, and a line about each input that was added.
    """
    nodes = deepcopy(dict(workflow.nodes))
    added = []
    for node_id in _others(workflow):
        node = nodes[node_id]
        for name, config in _inputs(classes.get(node["class_type"]), "required"):
            default = _option(config, "default")
            if name not in node["inputs"] and default is not None:
                node["inputs"][name] = default
                added.append(
                    f"Node {node_id} ({node['class_type']}) also requires {name}, which "
                    f"{workflow.name} lacks: its default, {default!r}, is used."
                )
    return replace(workflow, nodes=nodes), added


def incompatibilities(workflow: Workflow, classes: Classes) -> list[Incompatibility]:
    """Return why a server with these node classes cannot draw with a workflow."""
    misfit = partial(Incompatibility, workflow.name)
    prompt = _prompt(workflow)
    first_of = {node["class_type"]: node_id for node_id, node in reversed(prompt.items())}
    found = [
        misfit(label(node_id, prompt), "the server has no such node class")
        for class_type, node_id in sorted(first_of.items())
        if classes.get(class_type) is None
    ]
    for node_id in _others(workflow):
        node = workflow.nodes[node_id]
        place = label(node_id, workflow.nodes)
        info = classes.get(node["class_type"])
        for kind in ("required", "optional"):
            for name, config in _inputs(info, kind):
                if name not in node["inputs"]:
                    reason = "is required, and the file lacks it" if kind == "required" else None
                else:
                    reason = _objection(node["inputs"][name], config)
                if reason:
                    found.append(misfit(place, f"{name} {reason}"))
        if reason := _idle(node["inputs"]):
            found.append(misfit(place, reason))
    return found


def step_of(info: Mapping[str, Any] | None, name: str) -> int:
    """Return the step of an input that is a whole number; 1 if its node class has none."""
    for kind in ("required", "optional"):
        for each, config in _inputs(info, kind):
            step = _option(config, "step")
            if each == name and type(step) is int and 0 < step <= STEP_MAX:
                return step
    return 1


def _others(workflow: Workflow) -> Iterator[str]:
    """Return the nodes that the client does not replace."""
    needed = upstream(workflow.output, workflow.nodes) - {workflow.output, *workflow.pictures}
    return (node_id for node_id in workflow.nodes if node_id in needed)


def _idle(inputs: Mapping[str, Any]) -> str | None:
    """Return why a sampler skips all its steps, which the server would accept; None if not."""
    start, steps = inputs.get("start_at_step"), inputs.get("steps")
    if type(start) is int and type(steps) is int and start >= steps:
        return f"start_at_step {start} leaves none of {steps} steps: nothing would be drawn"
    return None


def _inputs(info: Mapping[str, Any] | None, kind: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield the inputs of a node class, each with its [type or choices, options]."""
    for name, config in items(get(get(info, "input"), kind)):
        if sequence(config):
            yield name, config


def _option(config: list[Any], name: str) -> Any:
    return get(config[1], name) if len(config) > 1 else None


def _objection(value: object, config: list[Any]) -> str | None:
    """Return why a server would refuse a value; None if it would not, or if it alone can tell."""
    if isinstance(value, list):  # a link
        return None
    if any(_option(config, name) for name in _OPEN):
        return None
    if isinstance(config[0], list) or config[0] == "COMBO":
        offered = choices(config)
        return None if str(value) in offered else _not_there(value, offered)
    return _out_of_range(value, config) if config[0] in _NUMBERS else None


def _not_there(value: object, offered: Sequence[str]) -> str:
    if not offered:
        return f"is {value!r}, but the server has none at all"
    near = nearest(str(value), offered)
    what = "the nearest it has: " + ", ".join(near) if near else f"it has {_listed(offered)}"
    return f"is {value!r}, which the server does not have; {what}"


def _listed(offered: Sequence[str]) -> str:
    more = len(offered) - _SHOWN
    return ", ".join(offered[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _out_of_range(value: object, config: list[Any]) -> str | None:
    least, most = _option(config, "min"), _option(config, "max")
    try:
        number = float(value)  # type: ignore[arg-type]
        low = number if least is None else float(least)
        high = number if most is None else float(most)
    except (TypeError, ValueError, OverflowError):
        return f"is {value!r}, which is not a number"
    return None if low <= number <= high else f"is {value!r}, but must be {least} to {most}"
