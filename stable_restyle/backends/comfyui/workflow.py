"""What the slides are drawn with: a workflow that ComfyUI saved in its API format.

Checks a file, finds the three nodes in it that the client owns (input, mask and output), and makes
the prompt to post. Whether a server has these nodes and their models is for the server to say.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeAlias

from stable_restyle.core.errors import UnusableInput, WrongUsage, cannot_read

# {"class_type": str, "inputs": {name: value}, ...}; a value that is a list is a link, [ID, output].
Node: TypeAlias = Mapping[str, Any]

ELEMENT = "stable-restyle"  # beside the nodes of a file: which of them are input, mask and output
OWNED = ("input", "mask", "output")
DENOISE_UNKNOWN = 0.6

_SIZE_MAX = 16 * 2**20  # bytes; a workflow with pictures inside has some
_DEPTH_MAX = 32  # levels of objects and lists; a plain workflow has 4
_SEED_STOP = 2**64
_SEEDS = ("seed", "noise_seed")
_IMAGE_INPUTS = ("images", "image")  # what the nodes that save or show pictures call theirs


@dataclass(frozen=True)
class Workflow:
    """A workflow that has been checked: its links lead to its own nodes and never in a circle."""

    name: str  # as the user gave it; of one that is shipped, with its ending
    nodes: Mapping[str, Node]  # by ID
    input: str  # ID of the node that loads the guide
    mask: str  # ID of the node that loads the mask
    output: str  # ID of the node that the slide is taken from
    preview: str | None  # the preview engine's look that resembles it

    @property
    def seed(self) -> int | None:
        """The first seed in the file, 0..2**64-1; None if no node has one of its own."""
        seeds = (
            value
            for node in self.nodes.values()
            for name, value in node["inputs"].items()
            if name in _SEEDS and type(value) is int and 0 <= value < _SEED_STOP
        )
        return next(seeds, None)

    @property
    def denoise(self) -> float:
        """How far the guide is drawn anew, 0..1, by the first sampler that says so."""
        shares = (_denoise(node["inputs"]) for node in self.nodes.values())
        return next((share for share in shares if share is not None), DENOISE_UNKNOWN)

    @property
    def sha256(self) -> str:
        """A hash of all that a slide depends on; titles and the order in the file do not count."""
        prompt = fill(self, "input", "mask")
        content = {
            node_id: [node["class_type"], node["inputs"]] for node_id, node in prompt.items()
        }
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Fault(Exception):
    """What is wrong with a file, and where in it; `load` adds the file's name."""


def load(name: str) -> Workflow:
    """The workflow in the file `name`, or else the shipped one, with or without its ".json".

    Raises UnusableInput naming the file and the place in it.
    """
    try:
        content = _parse(_content(name))
        return _workflow(name if os.path.isfile(name) else _source(name).name, content)
    except _Fault as fault:
        raise UnusableInput(f"The workflow {name} cannot be used: {fault}") from fault


def fill(workflow: Workflow, image: str, mask: str, *, keep: str | None = None) -> dict[str, Any]:
    """The prompt to post for a slide; the workflow stays as it is.

    image, mask: how the server calls the uploaded guide and mask ("restyle/guide.png [temp]").
    keep: the start of the file name under which the server keeps the slide for good; without it the
    slide is among the server's temporary files.
    """
    prompt: dict[str, Any] = {node_id: deepcopy(node) for node_id, node in workflow.nodes.items()}
    prompt[workflow.input] = _stock("LoadImage", image=image)
    if _gives_mask(workflow.mask, workflow.nodes):
        prompt[workflow.mask] = _stock("LoadImageMask", image=mask, channel="red")
    else:
        prompt[workflow.mask] = _stock("LoadImage", image=mask)
        _load_taken_mask(prompt, workflow.mask, mask)
    inputs = prompt[workflow.output]["inputs"]
    if keep is None:
        prompt[workflow.output] = _stock("PreviewImage", images=_image_link(inputs))
    elif "filename_prefix" in inputs:
        inputs["filename_prefix"] = keep
    else:
        link = _image_link(inputs)
        prompt[workflow.output] = _stock("SaveImage", images=link, filename_prefix=keep)
    return prompt


def with_seed(workflow: Workflow, seed: int) -> Workflow:
    """The workflow with this seed wherever a node has one of its own."""
    nodes = deepcopy(workflow.nodes)
    for node in nodes.values():
        for name, value in node["inputs"].items():
            if name in _SEEDS and type(value) is int:
                node["inputs"][name] = seed
    return replace(workflow, nodes=nodes)


def with_value(workflow: Workflow, node_id: str, name: str, text: str) -> Workflow:
    """The workflow with another value for one input of a node.

    text: the value as typed; it is taken as what the file has there: text, number, true or false.
    Raises WrongUsage: no such node or input, the client or another node fills it, not such a value.
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
    """The text as a value of the kind that stands there now. Raises ValueError."""
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
    """A node of ComfyUI's own."""
    return {"class_type": class_type, "inputs": inputs}


def _load_taken_mask(prompt: dict[str, Any], mask_id: str, mask: str) -> None:
    """Give those that take the MASK (output 1) of the mask's LoadImage a LoadImageMask instead.

    LoadImage makes its MASK from an alpha channel, which our mask has not: nothing would be freed.
    """
    takers = [(taker, name) for taker, name, output in _taken_from(mask_id, prompt) if output == 1]
    if not takers:
        return
    new_id = f"{mask_id}-mask"
    while new_id in prompt:
        new_id += "-mask"
    prompt[new_id] = _stock("LoadImageMask", image=mask, channel="red")
    for taker, name in takers:
        prompt[taker]["inputs"][name] = [new_id, 0]


def _denoise(inputs: Mapping[str, Any]) -> float | None:
    """The share of a sampler's steps that run, or its `denoise`, 0..1; None if neither is there."""
    steps, start, stop = (inputs.get(each) for each in ("steps", "start_at_step", "end_at_step"))
    if type(steps) is int and type(start) is int and type(stop) is int and steps > 0:
        return max(min(stop, steps) - min(max(start, 0), steps), 0) / steps
    denoise = inputs.get("denoise")
    return float(min(max(denoise, 0), 1)) if isinstance(denoise, int | float) else None


def _content(name: str) -> bytes:
    try:
        with _source(name).open("rb") as file:
            return file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise cannot_read(f"The workflow {name}", error) from error


def _source(name: str) -> Traversable:
    if os.path.isfile(name):  # unlike Path's, it takes any string
        return Path(name)
    shipped = {
        file.name: file
        for file in files("stable_restyle.workflows").iterdir()
        if file.name.endswith(".json")
    }
    for found in (name, f"{name}.json"):
        if found in shipped:
            return shipped[found]
    what = "a folder" if os.path.isdir(name) else "no file"
    raise UnusableInput(
        f"There is no workflow {name}: {os.path.abspath(name)} is {what}.\n"
        f"Give a file that ComfyUI saved with Save (API Format), or one that is shipped: "
        f"{', '.join(sorted(shipped))}."
    )


def _parse(data: bytes) -> object:
    """The JSON in a file; its objects have no key twice, its numbers are finite, it is not deep."""
    if len(data) > _SIZE_MAX:
        raise _Fault(f"it has more than {_SIZE_MAX >> 20} MiB.")
    try:
        tree = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise _Fault(f"byte {error.start + 1} is not UTF-8. Is it a JSON file?") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _Fault(f"it is not JSON. {where}: {error.msg}.") from error
    except RecursionError:
        raise _Fault("its objects are nested too deeply.") from None
    except ValueError as error:
        raise _Fault(f"a number in it is too long: {error}.") from error
    _check_values(tree, "it")
    return tree


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _Fault(f"the key {twice!r} is there twice in one object.")
    return made


def _check_values(value: object, place: str, depth: int = 0) -> None:
    if depth > _DEPTH_MAX:
        raise _Fault(f"{place} is nested too deeply.")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Fault(f"{place} is {value}, which is not a number of JSON.")
    for key, child in _children(value):
        _check_values(child, f"{key!r}" if depth == 0 else f"{place} > {key!r}", depth + 1)


def _children(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value, 1) if isinstance(value, list) else ()


def _workflow(name: str, tree: object) -> Workflow:
    if not isinstance(tree, dict):
        raise _Fault("it is not an object of nodes. Export it with Save (API Format).")
    if "nodes" in tree and "links" in tree:
        raise _Fault(
            "it is in the interface's own format. In ComfyUI, export it with Save (API Format), "
            "which newer versions call Export (API)."
        )
    nodes = {node_id: node for node_id, node in tree.items() if node_id != ELEMENT}
    for node_id, node in nodes.items():
        _check_node(node_id, node, nodes)
    _check_order(nodes)
    element = tree.get(ELEMENT, {})
    if not isinstance(element, dict):
        raise _Fault(f'"{ELEMENT}" is not an object.')
    preview = element.get("preview")
    if not isinstance(preview, str | None):
        raise _Fault(f'"{ELEMENT}" > "preview" is not the name of a look.')
    workflow = Workflow(name, nodes, **_owned(element, nodes), preview=preview)
    _check_loader("input", workflow.input, nodes)
    _check_loader("mask", workflow.mask, nodes)
    _check_output(workflow.output, nodes)
    return workflow


def _check_node(node_id: str, node: object, nodes: Mapping[str, object]) -> None:
    if not isinstance(node, dict):
        raise _Fault(f"node {node_id!r} is not an object.")
    if not isinstance(node.get("class_type"), str):
        raise _Fault(f"node {node_id!r} has no class_type.")
    if not isinstance(node.get("inputs"), dict):
        raise _Fault(f"node {node_id!r} has no inputs.")
    for name, value in node["inputs"].items():
        if isinstance(value, list):
            _check_link(_place(node_id, name), value, nodes)


def _check_link(place: str, link: list[Any], nodes: Mapping[str, object]) -> None:
    well_formed = len(link) == 2 and isinstance(link[0], str) and type(link[1]) is int
    if not well_formed or link[1] < 0:
        raise _Fault(f'{place}: a list must be a link, ["ID", output], with outputs from 0.')
    if link[0] not in nodes:
        raise _Fault(f"{place} comes from node {link[0]!r}, which does not exist.")


def _check_order(nodes: Mapping[str, Node]) -> None:
    sources = {node_id: {source for _, source, _ in _links(nodes[node_id])} for node_id in nodes}
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as error:
        circle = " -> ".join(repr(node_id) for node_id in error.args[1])
        raise _Fault(f"its nodes wait for one another: {circle}.") from None


def _links(node: Node) -> Iterator[tuple[str, str, int]]:
    """What a node takes from others: the input's name, the other's ID, the number of its output."""
    for name, value in node["inputs"].items():
        if isinstance(value, list):
            yield name, value[0], value[1]


def _owned(element: Mapping[str, object], nodes: Mapping[str, Node]) -> dict[str, str]:
    """IDs of the input, the mask and the output: by element, else by title, else by class."""
    owned = {role: _named(element[role], role, nodes) for role in OWNED if role in element}
    if len(set(owned.values())) < len(owned):
        raise _Fault(f'"{ELEMENT}" names one node for two purposes.')
    for fitting in (_titled, _of_class):
        for role in OWNED:
            found = [each for each in fitting(role, nodes) if each not in owned.values()]
            if role in owned or not found:
                continue
            if len(found) > 1:
                raise _undecided(role, owned, nodes)
            owned[role] = found[0]
    for role in OWNED:
        if role not in owned:
            raise _undecided(role, owned, nodes)
    return owned


def _named(node_id: object, role: str, nodes: Mapping[str, Node]) -> str:
    if not isinstance(node_id, str) or node_id not in nodes:
        raise _Fault(f'"{ELEMENT}" > "{role}" is {node_id!r}; there is no node with such an ID.')
    return node_id


def _titled(role: str, nodes: Mapping[str, Node]) -> list[str]:
    return [node_id for node_id, node in nodes.items() if _title(node).strip().lower() == role]


def _title(node: Node) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else ""


def _of_class(role: str, nodes: Mapping[str, Node]) -> list[str]:
    """Nodes that can have this role by the name of their class; for a mask, best those that say so.

    Packs have their own names: SwarmLoadImageB64, ETN_LoadMaskBase64, SaveImageWebsocket.
    """
    if role == "output":
        return [each for each, node in nodes.items() if _has(node, "SaveImage", "PreviewImage")]
    loaders = [each for each, node in nodes.items() if _has(node, "LoadImage", "LoadMask")]
    masks = [each for each in loaders if _gives_mask(each, nodes)]
    if role == "mask" and masks:
        return masks
    return [each for each in loaders if each not in masks]


def _gives_mask(node_id: str, nodes: Mapping[str, Node]) -> bool:
    """Whether a node's first output is a MASK: its class says so, or the input that takes it."""
    taken_as_mask = (
        output == 0 and name.lower().endswith("mask")
        for _, name, output in _taken_from(node_id, nodes)
    )
    return _has(nodes[node_id], "LoadImageMask", "LoadMask") or any(taken_as_mask)


def _has(node: Node, *words: str) -> bool:
    return any(word in node["class_type"] for word in words)


def _undecided(role: str, owned: Mapping[str, str], nodes: Mapping[str, Node]) -> _Fault:
    lines = json.dumps({each: owned.get(each, f"ID of the {each}") for each in OWNED})
    able = [each for kind in ("input", "mask", "output") for each in _of_class(kind, nodes)]
    listed = "".join(
        f"\n  {each!r}  {nodes[each]['class_type']!r}  {_title(nodes[each])!r}"
        for each in dict.fromkeys(able)
    )
    return _Fault(
        f"it does not say which node is the {role}. Add this line at the beginning, after the {{, "
        f'with the IDs of your nodes:\n  "{ELEMENT}": {lines},\n'
        f"Nodes that load or save pictures:{listed or ' none; add them in ComfyUI first.'}"
    )


def _check_loader(role: str, loader: str, nodes: Mapping[str, Node]) -> None:
    """What stands in for a loader has two outputs, IMAGE and MASK, or the MASK alone."""
    outputs = 1 if role == "mask" and _gives_mask(loader, nodes) else 2
    for taker, name, output in _taken_from(loader, nodes):
        if output >= outputs:
            raise _Fault(
                f"{_place(taker, name)} takes output {output} of node {loader!r}, the {role}; "
                f"what loads a picture there has {outputs}, counted from 0."
            )


def _check_output(output: str, nodes: Mapping[str, Node]) -> None:
    if _image_link(nodes[output]["inputs"]) is None:
        raise _Fault(
            f"node {output!r}, the output, has no picture linked to its input 'images'.\n"
            "The output must be a node that saves or shows the slide, such as SaveImage."
        )
    for taker, name, _ in _taken_from(output, nodes):
        raise _Fault(
            f"{_place(taker, name)} comes from node {output!r}, the output, which must be the last."
        )


def _taken_from(node_id: str, nodes: Mapping[str, Node]) -> Iterator[tuple[str, str, int]]:
    """Where a node's outputs go: the ID of the other, its input's name, the output's number."""
    for taker, node in nodes.items():
        for name, source, output in _links(node):
            if source == node_id:
                yield taker, name, output


def _place(node_id: str, name: str) -> str:
    return f"node {node_id!r}, input {name!r}"


def _image_link(inputs: Mapping[str, Any]) -> list[Any] | None:
    links = (inputs.get(name) for name in _IMAGE_INPUTS)
    return next((link for link in links if isinstance(link, list)), None)
