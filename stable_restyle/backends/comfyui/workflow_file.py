"""Load a workflow file and check it; which nodes load pictures is found out by `roles`.

Whether a server has these nodes and their models is for `validate` and the server to say.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from copy import deepcopy
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from stable_restyle.backends.comfyui import roles, slide_roles, texts, window_roles, window_rule
from stable_restyle.backends.comfyui.roles import ELEMENT, WINDOW
from stable_restyle.backends.comfyui.workflow import (
    MASK,
    FileFault,
    Node,
    Workflow,
    add_node,
    consumers,
    label,
    links,
    stock_node,
    upstream,
)
from stable_restyle.core.errors import UnusableInput, cannot_read
from stable_restyle.core.records import BATCHES

FRAMES = BATCHES[0]
_SIZE_MAX = 16 * 2**20  # bytes; a workflow with pictures inside has some
_CHECKPOINTS = (".safetensors", ".ckpt", ".gguf", ".pth", ".pt")
_DEPTH_MAX = 32  # levels of objects and lists; a plain workflow has 4


def load(name: str, names: AbstractSet[str] = frozenset()) -> Workflow:
    """Return the workflow in the file `name`, or the shipped one, with or without ".json".

    names: of the pictures that --picture gives.

    Raises UnusableInput naming the file and the place in it, also for one that makes windows.
    """
    found = _load(name, names, windows=False)
    if found.window is not None:
        raise UnusableInput(
            f"The workflow {name} makes windows of slides, not single ones.\n"
            "Use it with --fill or --finish, and choose one that draws slides with --model."
        )
    return found


def load_window(name: str, names: AbstractSet[str] = frozenset(), alone: str = FRAMES) -> Workflow:
    """Return a workflow that makes windows, as `load` returns one that draws slides.

    alone: what a node loads that is the only one to load pictures.
    """
    found = _load(name, names, alone, windows=True)
    if found.window is None:
        raise UnusableInput(
            f"The workflow {name} does not say how many pictures it makes at once, as one for "
            "--fill or --finish does.\nAdd this line at the beginning, after the {, with the "
            f'lengths that your model takes (here 5, 9, ... 81): "{ELEMENT}": {{"{WINDOW}": '
            '{"step": 4, "plus": 1, "most": 81}},'
        )
    return found


def shipped(*, windows: bool) -> list[str]:
    """Return the names of the shipped workflows that make windows, or of those for slides."""
    found = (
        name
        for name, file in _shipped().items()
        if (WINDOW in json.loads(file.read_text("utf-8")).get(ELEMENT, {})) == windows
    )
    return sorted(found)


def _load(name: str, names: AbstractSet[str], alone: str = FRAMES, *, windows: bool) -> Workflow:
    try:
        source = _source(name, windows=windows)
        content = _parse(_content(name, source))
        shown = name if os.path.isfile(name) else source.name
        return _workflow(shown, content, names, alone)
    except FileFault as fault:
        raise UnusableInput(f"The workflow {name} cannot be used: {fault}") from fault


def _content(name: str, source: Traversable) -> bytes:
    try:
        with source.open("rb") as file:
            return file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise cannot_read(f"The workflow {name}", error) from error


def _shipped() -> dict[str, Traversable]:
    every = files("stable_restyle.workflows").iterdir()
    return {file.name: file for file in every if file.name.endswith(".json")}


def _source(name: str, *, windows: bool) -> Traversable:
    if os.path.isfile(name):  # unlike Path's, it takes any string
        return Path(name)
    for found in (name, f"{name}.json"):
        if found in _shipped():
            return _shipped()[found]
    if not windows and name.lower().endswith(_CHECKPOINTS):
        raise UnusableInput(
            f"{name} is a checkpoint, and --model takes a workflow (.json).\n"
            f"Choose the checkpoint in it: --set 1.ckpt_name={name}"
        )
    what = "a folder" if os.path.isdir(name) else "no file"
    raise UnusableInput(
        f"There is no workflow {name}: {os.path.abspath(name)} is {what}.\n"
        f"Give a file that ComfyUI saved with Save (API Format), or one that is shipped: "
        f"{', '.join(shipped(windows=windows))}."
    )


def _parse(data: bytes) -> object:
    """Parse JSON; reject duplicate keys, numbers that are not finite, and deep nesting."""
    if len(data) > _SIZE_MAX:
        raise FileFault(f"it is larger than {_SIZE_MAX >> 20} MiB.")
    try:
        tree = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise FileFault(f"byte {error.start + 1} is not UTF-8. Is it a JSON file?") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise FileFault(f"it is not JSON. {where}: {error.msg}.") from error
    except RecursionError:
        raise FileFault("its objects are nested too deeply.") from None
    except ValueError as error:
        raise FileFault(f"a number in it is too long: {error}.") from error
    _check_values(tree, "it")
    return tree


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise FileFault(f"the key {twice!r} appears twice in one object.")
    return made


def _check_values(value: object, place: str, depth: int = 0) -> None:
    if depth > _DEPTH_MAX:
        raise FileFault(f"{place} is nested too deeply.")
    if isinstance(value, float) and not math.isfinite(value):
        raise FileFault(f"{place} is {value}, which is not a number of JSON.")
    for key, child in _children(value):
        _check_values(child, f"{key!r}" if depth == 0 else f"{place} > {key!r}", depth + 1)


def _children(value: object) -> Iterable[tuple[object, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value, 1) if isinstance(value, list) else ()


def _workflow(name: str, tree: object, names: AbstractSet[str], alone: str = FRAMES) -> Workflow:
    if not isinstance(tree, dict):
        raise FileFault("it is not an object of nodes. Export it with Save (API Format).")
    if "nodes" in tree and "links" in tree:
        raise FileFault(
            "it is in the interface's own format. In ComfyUI, export it with Save (API Format), "
            "which newer versions call Export (API)."
        )
    if isinstance(posted := tree.get("prompt"), dict) and "class_type" not in posted:
        tree = {ELEMENT: tree.get(ELEMENT, {}), **posted}  # as it is posted to a server
    element = tree.get(ELEMENT, {})
    if not isinstance(element, dict):
        raise FileFault(f'"{ELEMENT}" is not an object.')
    preview, register = element.get("preview"), element.get("register", True)
    if not isinstance(preview, str | None):
        raise FileFault(f'"{ELEMENT}" > "preview" is not the name of a look.')
    if not isinstance(register, bool):
        raise FileFault(f'"{ELEMENT}" > "register" is neither true nor false.')
    nodes = {key: node for key, node in tree.items() if key != ELEMENT and key[:1] != "_"}
    for node_id, node in nodes.items():
        _check_node(node_id, node)
    nodes, dangling = _without_dangling(nodes)
    _check_order(nodes)
    rule = window_rule.rule(element)
    try:
        found = (
            slide_roles.find(element, nodes, names)
            if rule is None
            else window_roles.find(element, nodes, names, alone)
        )
    except FileFault as fault:
        raise FileFault(dangling) if dangling else fault from None
    workflow = Workflow(
        name,
        nodes,
        found.pictures,
        found.alpha,
        found.output,
        preview,
        register,
        prompts=texts.named_in(element, nodes),
        window=rule,
        numbers=window_rule.numbers(element, nodes) if rule else {},
    )
    return workflow if found.has_mask or not found.wants_mask else _with_noise_mask(workflow)


def _with_noise_mask(workflow: Workflow) -> Workflow:
    """Put a SetLatentNoiseMask before the samplers that start from the encoded guide itself."""
    guide, needed = workflow.loader("guide"), upstream(workflow.output, workflow.nodes)
    encoders = {
        user
        for user, name, output in consumers(guide or "", workflow.nodes)
        if (name, output) == ("pixels", 0) and workflow.nodes[user]["class_type"] == "VAEEncode"
    }
    samplers = [
        (user, encoder)
        for encoder in sorted(encoders)
        for user, name, _ in consumers(encoder, workflow.nodes)
        if name == "latent_image" and user in needed
    ]
    if not samplers:
        return workflow
    nodes = deepcopy(dict(workflow.nodes))
    loader = add_node(nodes, "mask", stock_node("LoadImageMask", image="", channel="red"))
    for encoder in dict.fromkeys(encoder for _, encoder in samplers):
        noise_mask = stock_node("SetLatentNoiseMask", samples=[encoder, 0], mask=[loader, 0])
        masked = add_node(nodes, "noise-mask", noise_mask)
        for user in (user for user, each in samplers if each == encoder):
            nodes[user]["inputs"]["latent_image"] = [masked, 0]
    shown = ", ".join(label(user, nodes) for user, _ in samplers)
    note = (
        f"{workflow.name} has no mask: a Set Latent Noise Mask is put before {shown}. To do "
        f'without it, add "mask": null to the element "{ELEMENT}".'
    )
    pictures = {**workflow.pictures, loader: (MASK,)}
    return replace(workflow, nodes=nodes, pictures=pictures, notes=(note,))


def _check_node(node_id: str, node: object) -> None:
    if not isinstance(node, dict):
        raise FileFault(f"node {node_id!r} is not an object.")
    if not isinstance(node.get("class_type"), str):
        raise FileFault(f"node {node_id!r} has no class_type.")
    if not isinstance(node.get("inputs"), dict):
        raise FileFault(f"node {node_id!r} has no inputs.")
    for name, value in node["inputs"].items():
        if isinstance(value, list):
            well_formed = len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int
            if not well_formed or value[1] < 0:
                raise FileFault(
                    f'{_place(node_id, name)}: a list must be a link, ["ID", output], with outputs '
                    "from 0."
                )


def _without_dangling(nodes: dict[str, Node]) -> tuple[dict[str, Node], str]:
    """Return the nodes without those whose links lead nowhere, and what is wrong with these.

    Raises FileFault if a picture would be saved from them.
    """
    kept, faults = dict(nodes), list[str]()
    while broken := {
        node_id: (name, source)
        for node_id, node in kept.items()
        for name, source, _ in links(node)
        if source not in kept
    }:
        faults += [
            f"{_place(node_id, name)} comes from node {source!r}, which does not exist."
            for node_id, (name, source) in broken.items()
            if source not in nodes
        ]
        if not broken.keys().isdisjoint(roles.all_savers(nodes)):
            raise FileFault(faults[0])
        kept = {node_id: node for node_id, node in kept.items() if node_id not in broken}
    return kept, faults[0] if faults else ""


def _check_order(nodes: Mapping[str, Node]) -> None:
    sources = {node_id: {source for _, source, _ in links(nodes[node_id])} for node_id in nodes}
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as error:
        circle = " -> ".join(repr(node_id) for node_id in error.args[1])
        raise FileFault(f"its links form a cycle: {circle}.") from None


def _place(node_id: str, name: str) -> str:
    return f"node {node_id!r}, input {name!r}"
