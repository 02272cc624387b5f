"""Fit a workflow to a server: what its version of each node asks for, and what it cannot do.

Pure functions of a workflow and of what the server's /object_info says about the node classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, TypeAlias

from stable_restyle.workflow import Workflow, fill

# Node classes as /object_info describes them; None for one that the server lacks. Nothing in them
# can be relied on: node packs write them.
Classes: TypeAlias = Mapping[str, Mapping[str, Any] | None]

_NEAREST = 3  # names to offer in place of one that is not there
_NUMBERS = ("INT", "FLOAT")


@dataclass(frozen=True)
class Misfit:
    """Why a server cannot draw with a workflow."""

    node: str  # ID and class
    reason: str
    lacks_class: bool = False

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


def classes_of(workflow: Workflow) -> set[str]:
    """The node classes that a server must have, those that the client puts in among them."""
    prompt = fill(workflow, "guide.png", "mask.png")
    return {node["class_type"] for node in prompt.values()}


def complete(workflow: Workflow, classes: Classes) -> tuple[Workflow, list[str]]:
    """Give nodes the defaults of what this server's version requires and the file lacks.

    Returns the workflow, and a line about each input that was added.
    """
    nodes = deepcopy(dict(workflow.nodes))
    added = []
    for node_id in _others(workflow):
        node = nodes[node_id]
        for name, (_, options) in _inputs(classes.get(node["class_type"]), "required"):
            if name not in node["inputs"] and "default" in options:
                node["inputs"][name] = options["default"]
                added.append(
                    f"Node {node_id} ({node['class_type']}) also asks for {name}, which "
                    f"{workflow.name} does not have: {options['default']!r}, its default, is used."
                )
    return replace(workflow, nodes=nodes), added


def misfits(workflow: Workflow, classes: Classes) -> list[Misfit]:
    """What keeps a server with these node classes from drawing with a workflow."""
    found = [
        Misfit(class_type, "the server has no such node class", lacks_class=True)
        for class_type in sorted(classes_of(workflow))
        if classes.get(class_type) is None
    ]
    for node_id in _others(workflow):
        node = workflow.nodes[node_id]
        place = f"node {node_id} ({node['class_type']})"
        info = classes.get(node["class_type"])
        for kind in ("required", "optional"):
            for name, (type_, options) in _inputs(info, kind):
                if name not in node["inputs"]:
                    reason = "is required, and the file lacks it" if kind == "required" else None
                else:
                    reason = _objection(node["inputs"][name], type_, options)
                if reason:
                    found.append(Misfit(place, f"{name} {reason}"))
    return found


def _others(workflow: Workflow) -> Iterator[str]:
    """The nodes that the client does not fill in itself."""
    owned = (workflow.input, workflow.mask, workflow.output)
    return (node_id for node_id in workflow.nodes if node_id not in owned)


def _inputs(
    info: Mapping[str, Any] | None, kind: str
) -> Iterator[tuple[str, tuple[object, Mapping[str, Any]]]]:
    """The inputs of a node class: name, (type or choices, options)."""
    inputs = info.get("input") if info is not None else None
    listed = inputs.get(kind) if isinstance(inputs, Mapping) else None
    for name, said in listed.items() if isinstance(listed, Mapping) else ():
        if isinstance(said, list) and said:
            options = said[1] if len(said) > 1 and isinstance(said[1], Mapping) else {}
            yield name, (said[0], options)


def _objection(value: object, type_: object, options: Mapping[str, Any]) -> str | None:
    """Why a server would refuse a value; None if it would not."""
    if isinstance(value, list):  # a link
        return None
    choices = type_ if isinstance(type_, list) else options.get("options")
    if isinstance(choices, list) and (isinstance(type_, list) or type_ == "COMBO"):
        return None if value in choices else _not_there(value, choices)
    if type_ in _NUMBERS:
        return _out_of_range(value, options)
    return None


def _not_there(value: object, choices: Sequence[object]) -> str:
    names = [str(choice) for choice in choices]
    if not names:
        return f"is {value!r}, but the server has nothing to choose from"
    near = get_close_matches(str(value), names, _NEAREST, 0.3) or names[:_NEAREST]
    return f"is {value!r}, which the server does not have; the nearest it has: {', '.join(near)}"


def _out_of_range(value: object, options: Mapping[str, Any]) -> str | None:
    try:
        number = float(value)  # type: ignore[arg-type]
        least, most = float(options.get("min", number)), float(options.get("max", number))
    except (TypeError, ValueError, OverflowError):
        return f"is {value!r}, which is no number"
    if least <= number <= most:
        return None
    return f"is {value!r}, but must lie between {options.get('min')} and {options.get('max')}"
