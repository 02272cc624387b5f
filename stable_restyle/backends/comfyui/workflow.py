"""A workflow in ComfyUI's API format, and the prompts made of it.

The client replaces the nodes that load pictures for a slide, and the output; `roles` finds them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias

from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.records import WindowRule

# {"class_type": str, "inputs": {name: value}, ...}; a value that is a list is a link, [ID, output].
Node: TypeAlias = Mapping[str, Any]

DENOISE_UNKNOWN = 0.6
SIDES = ("width", "height")  # among the numbers of a window
MASK, KNOWN_MASK = "mask", "known-mask"  # roles

_SEED_STOP = 2**64
_SEEDS = ("seed", "noise_seed")
_HASHED: Mapping[tuple[str, ...], str] = {
    ("guide",): "input"
}  # as hashes of earlier versions have it
_SIZES = ("width", "height", "megapixels", "resolution", "resolution_steps")
_IMAGE_INPUTS = ("images", "image")  # of nodes that save or show pictures


class FileFault(Exception):
    """What is wrong with a file, and where; `workflow_file.load` adds the file's name."""


@dataclass(frozen=True)
class Workflow:
    """A checked workflow: its links lead to its own nodes, without cycles."""

    name: str  # as the user gave it; of one that is shipped, with its ending
    nodes: Mapping[str, Node]  # by ID
    # By the ID of the node that loads a picture: its roles. The first that a slide has counts.
    pictures: Mapping[str, tuple[str, ...]]
    alpha: str | None  # ID of the loader whose second output, its alpha, is the mask
    output: str  # ID of the node that the slide is taken from
    preview: str | None  # the preview engine's look that resembles it
    register: bool = True  # whether answers that were drawn without a mask are aligned
    notes: tuple[str, ...] = ()  # what was changed in it, for the user
    # By the key of the element, "prompt" or "negative_prompt": the IDs of the nodes that it names.
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    window: WindowRule | None = None  # None: it draws single slides
    # By node ID and input: what of a window fills it, "length", "width", "height" or "rate".
    numbers: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @cached_property
    def roles(self) -> frozenset[str]:
        """Return the roles of all pictures that it may load."""
        alpha = (MASK,) if self.alpha else ()
        return frozenset(alpha).union(*self.pictures.values())

    def loader(self, role: str) -> str | None:
        """Return the ID of the first node that loads the picture of a role; None without one."""
        found = (each for each, roles in self.pictures.items() if role in roles)
        return next(found, self.alpha if role == MASK else None)

    def roles_for(self, available: Container[str]) -> set[str]:
        """Return the roles of the pictures that it loads for a slide that has those available."""
        chosen = {next(r for r in roles if r in available) for roles in self.pictures.values()}
        return chosen | {MASK} if self.alpha else chosen

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
        names = {each: _HASHED.get(roles, "+".join(roles)) for each, roles in self.pictures.items()}
        prompt = _filled(self, names, MASK, keep=None)
        content: dict[str, object] = {
            node_id: [node["class_type"], node["inputs"]] for node_id, node in prompt.items()
        }
        if not self.register:
            content["register"] = False
        if self.window is not None:
            content["window"] = asdict(self.window)
            content["numbers"] = {".".join(place): what for place, what in self.numbers.items()}
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def fill(
    workflow: Workflow, names: Mapping[str, Any], *, keep: str | None = None
) -> dict[str, Any]:
    """Return the prompt to post for a slide: the nodes that its output needs, no others.

    names: by role, the server's names of the uploaded pictures ("restyle/guide.png [temp]"), or
    other values by which LoadImage finds them. keep: the start of the file name under which the
    server keeps the slide for good; without it the slide is among the server's temporary files.
    """
    chosen = {
        each: names[next(role for role in roles if role in names)]
        for each, roles in workflow.pictures.items()
    }
    prompt = _filled(workflow, chosen, names.get(MASK, ""), keep)
    needed = upstream(workflow.output, prompt)
    return {node_id: node for node_id, node in prompt.items() if node_id in needed}


def _filled(
    workflow: Workflow, names: Mapping[str, Any], mask: Any, keep: str | None
) -> dict[str, Any]:
    """Return all nodes with the pictures' names in place. names: by node. mask: for the alpha."""
    prompt: dict[str, Any] = {node_id: deepcopy(node) for node_id, node in workflow.nodes.items()}
    for each, name in names.items():
        is_batch = workflow.pictures[each] == (KNOWN_MASK,)
        if workflow.pictures[each] != (MASK,) and not is_batch:
            prompt[each] = stock_node("LoadImage", image=name)
        elif gives_mask(each, workflow.nodes):
            prompt[each] = _mask_loader(each, 0, name, prompt, is_batch)
        else:
            prompt[each] = stock_node("LoadImage", image=name)
            _replace_mask_output(prompt, each, name, is_batch)
    if workflow.alpha is not None:
        _replace_mask_output(prompt, workflow.alpha, mask, False)
    inputs = prompt[workflow.output]["inputs"]
    if keep is None:
        prompt[workflow.output] = stock_node("PreviewImage", images=image_link(inputs))
    elif "filename_prefix" in inputs and workflow.window is None:  # others save films, too
        inputs["filename_prefix"] = keep
    else:
        link = image_link(inputs)
        prompt[workflow.output] = stock_node("SaveImage", images=link, filename_prefix=keep)
    return prompt


def with_seed(workflow: Workflow, seed: int) -> Workflow:
    """Return the workflow with this seed wherever a node has a literal one."""
    nodes = deepcopy(workflow.nodes)
    for node in nodes.values():
        for name, value in node["inputs"].items():
            if name in _SEEDS and type(value) is int:
                node["inputs"][name] = seed
    return replace(workflow, nodes=nodes)


def with_numbers(workflow: Workflow, values: Mapping[str, float]) -> Workflow:
    """Return the workflow with the numbers of a window in place: length, width, height, rate."""
    nodes = deepcopy(workflow.nodes)
    for (node, name), what in workflow.numbers.items():
        whole = type(nodes[node]["inputs"][name]) is int
        nodes[node]["inputs"][name] = max(round(values[what]), 1) if whole else values[what]
    return replace(workflow, nodes=nodes)


def with_value(workflow: Workflow, node_id: str, name: str, text: str) -> Workflow:
    """Return the workflow with another value for one input of a node.

    A number of the window then does not fill it any more; of a width, nor the height.

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
    if node_id in (*workflow.pictures, workflow.output):
        raise WrongUsage(
            f"{option}: the inputs of this node are filled for every slide.\n"
            "To change what is drawn, use --prompt TEXT, or --set for another node."
        )
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
    filled = workflow.numbers.get((node_id, name))
    freed = SIDES if filled in SIDES else (filled,)
    numbers = {place: what for place, what in workflow.numbers.items() if what not in freed}
    return replace(workflow, nodes=nodes, numbers=numbers)


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


def stock_node(class_type: str, **inputs: object) -> dict[str, Any]:
    """Return a node of a class that every ComfyUI has."""
    return {"class_type": class_type, "inputs": inputs}


def _replace_mask_output(prompt: dict[str, Any], mask_id: str, mask: Any, is_batch: bool) -> None:
    """Link inputs that take the MASK (output 1) of the mask's LoadImage to one that loads ours.

    LoadImage makes its MASK from an alpha channel, which ours lacks: nothing would be freed.
    """
    users = [(user, name) for user, name, output in consumers(mask_id, prompt) if output == 1]
    if not users:
        return
    loader = _mask_loader(mask_id, 1, mask, prompt, is_batch)
    new_id = add_node(prompt, f"{mask_id}-mask", loader)
    for user, name in users:
        prompt[user]["inputs"][name] = [new_id, 0]


def _mask_loader(
    node_id: str, output: int, mask: Any, prompt: dict[str, Any], is_batch: bool
) -> dict[str, Any]:
    """Return the node that loads the mask, or a batch of them, in place of an output of a node.

    Where the file loads its mask from an alpha channel, which ComfyUI inverts, and inverts it
    again, the same is done here: white frees in the end.
    """
    loader = stock_node("LoadImageMask", image=mask, channel="red")
    if is_batch:  # of which old versions load the first alone as a mask
        images = add_node(prompt, f"{node_id}-images", stock_node("LoadImage", image=mask))
        loader = stock_node("ImageToMask", image=[images, 0], channel="red")
    by_alpha = output == 1 or prompt[node_id]["inputs"].get("channel") == "alpha"
    users = [user for user, _, taken in consumers(node_id, prompt) if taken == output]
    if not by_alpha or not all(has_word(prompt[user], "InvertMask") for user in users):
        return loader
    return stock_node("InvertMask", mask=[add_node(prompt, f"{node_id}-loaded", loader), 0])


def add_node(nodes: dict[str, Any], wanted_id: str, node: Node) -> str:
    """Add a node; return its ID."""
    while wanted_id in nodes:
        wanted_id += "-mask"
    nodes[wanted_id] = node
    return wanted_id


def describe_pictures(workflow: Workflow) -> Iterator[str]:
    """Yield a line for each node that loads a picture."""
    for each, roles in workflow.pictures.items():
        yield f"{label(each, workflow.nodes)} loads {' or '.join(roles)}"
    if workflow.alpha:
        yield f"{label(workflow.alpha, workflow.nodes)}: its alpha is the mask"


def drawn_size(workflow: Workflow) -> tuple[int, int] | None:
    """Return the width and height that the nodes of a workflow set; None unless it is one size."""
    found = {
        (width, height)
        for _, values in size_inputs(workflow)
        if type(width := values.get("width")) is int and type(height := values.get("height")) is int
    }
    return found.pop() if len(found) == 1 else None


def size_inputs(workflow: Workflow) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the nodes that set the size of the slide, with the values that do."""
    for each in sorted(upstream(workflow.output, workflow.nodes)):
        node = workflow.nodes[each]
        values = {
            name: value
            for name, value in node["inputs"].items()
            if name in _SIZES and not isinstance(value, list)
        }
        if values and not has_word(node, "CLIPTextEncode"):
            yield each, values


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


def upstream(node_id: str, nodes: Mapping[str, Node]) -> set[str]:
    """Return a node and all nodes that it depends on."""
    found, left = set[str](), [node_id]
    while left:
        if (each := left.pop()) not in found:
            found.add(each)
            left += [source for _, source, _ in links(nodes[each])]
    return found


def title(node: Node) -> str:
    """Return the title that a node has in ComfyUI; empty if the file does not say."""
    meta = node.get("_meta")
    found = meta.get("title") if isinstance(meta, dict) else None
    return found if isinstance(found, str) else ""


def label(node_id: str, nodes: Mapping[str, Node]) -> str:
    """Return a node as users know it: node 4 "Load Checkpoint" (CheckpointLoaderSimple)."""
    quoted = f' "{title(nodes[node_id])}"' if title(nodes[node_id]) else ""
    return f"node {node_id}{quoted} ({nodes[node_id]['class_type']})"


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
