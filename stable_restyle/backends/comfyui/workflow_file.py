"""Load a workflow file: check it, and find the nodes that the client owns.

Whether a server has these nodes and their models is for `validate` and the server to say.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from stable_restyle.backends.comfyui.workflow import (
    Node,
    Workflow,
    consumers,
    gives_mask,
    has_word,
    image_link,
    links,
)
from stable_restyle.core.errors import UnusableInput, cannot_read

ELEMENT = "stable-restyle"  # key of the object that names input, mask and output
OWNED = ("input", "mask", "output")
_SIZE_MAX = 16 * 2**20  # bytes; a workflow with pictures inside has some
_DEPTH_MAX = 32  # levels of objects and lists; a plain workflow has 4


class _Fault(Exception):
    """What is wrong with a file, and where; `load` adds the file's name."""


def load(name: str) -> Workflow:
    """Return the workflow in the file `name`, or the shipped one, with or without ".json".

    Raises UnusableInput naming the file and the place in it.
    """
    try:
        content = _parse(_content(name))
        return _workflow(name if os.path.isfile(name) else _source(name).name, content)
    except _Fault as fault:
        raise UnusableInput(f"The workflow {name} cannot be used: {fault}") from fault


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
    """Parse JSON; reject duplicate keys, numbers that are not finite, and deep nesting."""
    if len(data) > _SIZE_MAX:
        raise _Fault(f"it is larger than {_SIZE_MAX >> 20} MiB.")
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
        raise _Fault(f"the key {twice!r} appears twice in one object.")
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
    sources = {node_id: {source for _, source, _ in links(nodes[node_id])} for node_id in nodes}
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as error:
        circle = " -> ".join(repr(node_id) for node_id in error.args[1])
        raise _Fault(f"its links form a cycle: {circle}.") from None


def _owned(element: Mapping[str, object], nodes: Mapping[str, Node]) -> dict[str, str]:
    """Return the IDs of input, mask and output: by the element, by title, or by class."""
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
    """Return the nodes whose class suits a role; for a mask, preferably mask loaders.

    Packs have their own names: SwarmLoadImageB64, ETN_LoadMaskBase64, SaveImageWebsocket.
    """
    if role == "output":
        return [each for each, node in nodes.items() if has_word(node, "SaveImage", "PreviewImage")]
    loaders = [each for each, node in nodes.items() if has_word(node, "LoadImage", "LoadMask")]
    masks = [each for each in loaders if gives_mask(each, nodes)]
    if role == "mask" and masks:
        return masks
    return [each for each in loaders if each not in masks]


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
    """Check that links fit the node that replaces a loader: IMAGE and MASK, or MASK alone."""
    outputs = 1 if role == "mask" and gives_mask(loader, nodes) else 2
    for user, name, output in consumers(loader, nodes):
        if output >= outputs:
            raise _Fault(
                f"{_place(user, name)} takes output {output} of node {loader!r}, the {role}; "
                f"what loads a picture there has {outputs}, counted from 0."
            )


def _check_output(output: str, nodes: Mapping[str, Node]) -> None:
    if image_link(nodes[output]["inputs"]) is None:
        raise _Fault(
            f"node {output!r}, the output, has no picture linked to its input 'images'.\n"
            "The output must be a node that saves or shows the slide, such as SaveImage."
        )
    for user, name, _ in consumers(output, nodes):
        raise _Fault(
            f"{_place(user, name)} comes from node {output!r}, the output, which must be the last."
        )


def _place(node_id: str, name: str) -> str:
    return f"node {node_id!r}, input {name!r}"
