"""A workflow in ComfyUI's API format, and the prompts made of it.

Of its nodes the client owns three: input, mask and output.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeAlias

from stable_restyle.core.errors import WrongUsage

# {"class_type": str, "inputs": {name: value}, ...}; a value that is a list is a link, [ID, output].
Node: TypeAlias = Mapping[str, Any]

DENOISE_UNKNOWN = 0.6

_SEED_STOP = 2**64
_SEEDS = ("seed", "noise_seed")
_IMAGE_INPUTS = ("images", "image")  # of nodes that save or show pictures


@dataclass(frozen=True)
class Workflow:
    """A checked workflow: its links lead to its own nodes, without cycles."""

    name: str  # as the user gave it; of one that is shipped, with its ending
    nodes: Mapping[str, Node]  # by ID
    input: str  # ID of the node that loads the guide
    mask: str  # ID of the node that loads the mask
    output: str  # ID of the node that the slide is taken from
    preview: str | None  # the preview engine's look that resembles it

    @property
    def seed(self) -> int | None:
        """Return the first seed in the file, 0..2**64-1; None if no node has a literal one."""
        seeds = (
            value
            for node in self.nodes.values()
            for name, value in node["inputs"].items()
            if name in _SEEDS and type(value) is int and 0 <= value < _SEED_STOP
        )
        return next(seeds, None)

    @property
    def denoise(self) -> float:
        """Return how far the guide is redrawn, 0..1, by the first sampler with such a value."""
        shares = (_denoise(node["inputs"]) for node in self.nodes.values())
        return next((share for share in shares if share is not None), DENOISE_UNKNOWN)

    @property
    def sha256(self) -> str:
        """Return a hash of all that slides depend on, without titles and the order in the file."""
        prompt = fill(self, "input", "mask")
        content = {
            node_id: [node["class_type"], node["inputs"]] for node_id, node in prompt.items()
        }
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def fill(workflow: Workflow, image: str, mask: str, *, keep: str | None = None) -> dict[str, Any]:
    """Return the prompt to post for a slide.

    image, mask: the server's names of the uploaded guide and mask ("restyle/guide.png [temp]").
    keep: the start of the file name under which the server keeps the slide for good; without it the
    slide is among the server's temporary files.
    """
    prompt: dict[str, Any] = {node_id: deepcopy(node) for node_id, node in workflow.nodes.items()}
    prompt[workflow.input] = _stock("LoadImage", image=image)
    if gives_mask(workflow.mask, workflow.nodes):
        prompt[workflow.mask] = _stock("LoadImageMask", image=mask, channel="red")
    else:
        prompt[workflow.mask] = _stock("LoadImage", image=mask)
        _replace_mask_output(prompt, workflow.mask, mask)
    inputs = prompt[workflow.output]["inputs"]
    if keep is None:
        prompt[workflow.output] = _stock("PreviewImage", images=image_link(inputs))
    elif "filename_prefix" in inputs:
        inputs["filename_prefix"] = keep
    else:
        link = image_link(inputs)
        prompt[workflow.output] = _stock("SaveImage", images=link, filename_prefix=keep)
    return prompt


def with_seed(workflow: Workflow, seed: int) -> Workflow:
    """Return the workflow with this seed wherever a node has a literal one."""
    nodes = deepcopy(workflow.nodes)
    for node in nodes.values():
        for name, value in node["inputs"].items():
            if name in _SEEDS and type(value) is int:
                node["inputs"][name] = seed
    return replace(workflow, nodes=nodes)


def with_value(workflow: Workflow, node_id: str, name: str, text: str) -> Workflow:
    """Return the workflow with another value for one input of a node.

    text: the value as typed; it is parsed as the type in the file: text, number, true or false.
    Raises WrongUsage for an unknown node or input, one that is not a literal, or another type.
    """
    option = f"--set {node_id}.{name}={text}"
    node = workflow.nodes.get(node_id)
    if node is None:
        known = ", ".join(
            f"{each} ({workflow.nodes[each]['class_type']})" for each in workflow.nodes
        )
        raise WrongUsage(f"{option}: {workflow.name} has no such node. It has {known}.")
    if node_id in (workflow.input, workflow.mask, workflow.output):
        raise WrongUsage(f"{option}: the inputs of this node are filled for every slide.")
    present = node["inputs"].get(name)
    if name not in node["inputs"] or isinstance(present, list):
        literals = [each for each, value in node["inputs"].items() if not isinstance(value, list)]
        raise WrongUsage(
            f"{option}: node {node_id} ({node['class_type']}) has no value of that name. "
            f"It has {', '.join(literals) or 'none'}."
        )
    try:
        value = _typed(text, present)
    except ValueError:
        kind = "true or false" if isinstance(present, bool) else "a number"
        raise WrongUsage(f"{option}: it takes {kind}, such as {json.dumps(present)}.") from None
    nodes = deepcopy(workflow.nodes)
    nodes[node_id]["inputs"][name] = value
    return replace(workflow, nodes=nodes)


def _typed(text: str, present: object) -> object:
    """Parse text as the type of the present value. Raises ValueError."""
    if isinstance(present, str):
        return text
    if isinstance(present, bool):
        return ("false", "true").index(text.lower()) == 1
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _stock(class_type: str, **inputs: object) -> dict[str, Any]:
    """Return a node of a class that every ComfyUI has."""
    return {"class_type": class_type, "inputs": inputs}


def _replace_mask_output(prompt: dict[str, Any], mask_id: str, mask: str) -> None:
    """Link inputs that take the MASK (output 1) of the mask's LoadImage to a LoadImageMask.

    LoadImage makes its MASK from an alpha channel, which ours lacks: nothing would be freed.
    """
    users = [(user, name) for user, name, output in consumers(mask_id, prompt) if output == 1]
    if not users:
        return
    new_id = f"{mask_id}-mask"
    while new_id in prompt:
        new_id += "-mask"
    prompt[new_id] = _stock("LoadImageMask", image=mask, channel="red")
    for user, name in users:
        prompt[user]["inputs"][name] = [new_id, 0]


def _denoise(inputs: Mapping[str, Any]) -> float | None:
    """Return the share of a sampler's steps that run, or its `denoise`, 0..1; None without."""
    steps, start, stop = (inputs.get(each) for each in ("steps", "start_at_step", "end_at_step"))
    if type(steps) is int and type(start) is int and type(stop) is int and steps > 0:
        return max(min(stop, steps) - min(max(start, 0), steps), 0) / steps
    denoise = inputs.get("denoise")
    return float(min(max(denoise, 0), 1)) if isinstance(denoise, int | float) else None


def links(node: Node) -> Iterator[tuple[str, str, int]]:
    """Yield the links of a node: input name, ID of the source, number of the source's output."""
    for name, value in node["inputs"].items():
        if isinstance(value, list):
            yield name, value[0], value[1]


def gives_mask(node_id: str, nodes: Mapping[str, Node]) -> bool:
    """Return whether a node's first output is a MASK, by its class or the input that takes it."""
    taken_as_mask = (
        output == 0 and name.lower().endswith("mask")
        for _, name, output in consumers(node_id, nodes)
    )
    return has_word(nodes[node_id], "LoadImageMask", "LoadMask") or any(taken_as_mask)


def has_word(node: Node, *words: str) -> bool:
    return any(word in node["class_type"] for word in words)


def consumers(node_id: str, nodes: Mapping[str, Node]) -> Iterator[tuple[str, str, int]]:
    """Yield the links to a node's outputs: ID of the consumer, input name, output number."""
    for user, node in nodes.items():
        for name, source, output in links(node):
            if source == node_id:
                yield user, name, output


def image_link(inputs: Mapping[str, Any]) -> list[Any] | None:
    links = (inputs.get(name) for name in _IMAGE_INPUTS)
    return next((link for link in links if isinstance(link, list)), None)
