"""Find and replace the prompts of a workflow: --prompt and --negative-prompt.

Which nodes hold them is said by the element in the file, or found from the samplers, along the
links of their conditioning. Pure functions of the workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from stable_restyle.backends.comfyui.roles import ELEMENT, named_node
from stable_restyle.backends.comfyui.workflow import (
    FileFault,
    Node,
    Workflow,
    has_word,
    label,
    upstream,
    with_value,
)
from stable_restyle.core.errors import WrongUsage

PROMPT, NEGATIVE_PROMPT = "prompt", "negative_prompt"  # keys of the element
_OPTIONS = {PROMPT: "--prompt", NEGATIVE_PROMPT: "--negative-prompt"}
_SAMPLER_INPUTS = {PROMPT: "positive", NEGATIVE_PROMPT: "negative"}
# Inputs of nodes that encode a text. One with several, for several encoders, is given it in each.
_TEXTS = (
    "text",
    "prompt",
    "user_prompt",
    "text_g",
    "text_l",
    "clip_l",
    "clip_g",
    "t5xxl",
    "llama",
    "bert",
    "mt5xl",
)
_STRINGS = ("value", "text", "string", "prompt")  # inputs of nodes that hold a text, no more
Prompts: TypeAlias = Mapping[str, str]  # by PROMPT or NEGATIVE_PROMPT: those to replace
NO_PROMPTS: Prompts = {}
_SHOWN = 60  # characters of a prompt in --check


@dataclass(frozen=True)
class Text:
    """An input that holds a text."""

    node: str
    name: str
    value: str


def named_in(
    element: Mapping[str, object], nodes: Mapping[str, Node]
) -> dict[str, tuple[str, ...]]:
    """Return the nodes that the element names as those of the prompts. Raises FileFault."""
    found = {}
    for key in _OPTIONS:
        listed = element.get(key, [])
        ids = listed if isinstance(listed, list) else [listed]
        found[key] = tuple(named_node(each, key, nodes) for each in ids)
        for each in found[key]:
            if not _texts(each, nodes):
                raise FileFault(f'"{ELEMENT}" > "{key}": {label(each, nodes)} has no text.')
    return found


def with_prompts(workflow: Workflow, prompts: Prompts) -> Workflow:
    """Return the workflow with other prompts. Raises WrongUsage."""
    for key, text in prompts.items():
        for each in _to_replace(workflow, key):
            workflow = with_value(workflow, each.node, each.name, text)
    return workflow


def describe_prompts(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """Yield the name of each prompt that is found, and a line with its nodes and its text."""
    for key in _OPTIONS:
        if found := find(workflow, key):
            text = " ".join(found[0].value.split())
            short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
            nodes = dict.fromkeys(label(each.node, workflow.nodes) for each in found)
            yield key.replace("_", " "), f'"{short}", {", ".join(nodes)}'


def find(workflow: Workflow, key: str) -> list[Text]:
    """Return the inputs that hold a prompt; none if there are none. key: PROMPT, ..."""
    nodes = workflow.nodes
    if named := workflow.prompts.get(key):
        return [text for each in named for text in _texts(each, nodes)]
    found = _from_samplers(workflow, key)
    if key == PROMPT:
        return found
    positive = find(workflow, PROMPT)  # some workflows link one node to both
    return [each for each in found if each not in positive]


def _to_replace(workflow: Workflow, key: str) -> list[Text]:
    """Return the inputs to replace. Raises WrongUsage if it is open which."""
    found = find(workflow, key)
    named = bool(workflow.prompts.get(key))
    # A second pass or a refiner may have a node of its own for the same text.
    if found and (named or len({each.value for each in _first_of_each(found)}) == 1):
        return found
    what = "several texts" if found else "no text"
    listed = ", ".join(f"{each.node}.{each.name}" for each in found or _all_texts(workflow))
    raise WrongUsage(
        f"{_OPTIONS[key]}: {what} in {workflow.name} can be its {key.replace('_', ' ')}.\n"
        f"Change one with --set ID.INPUT=TEXT (texts in it: {listed or 'none'}), or name its node "
        f'in the file: "stable-restyle": {{"{key}": "ID", ...}}.'
    )


def _first_of_each(found: list[Text]) -> list[Text]:
    return [*{each.node: each for each in reversed(found)}.values()]


def _all_texts(workflow: Workflow) -> list[Text]:
    needed = sorted(upstream(workflow.output, workflow.nodes))
    return [text for each in needed for text in _texts(each, workflow.nodes)]


def _from_samplers(workflow: Workflow, key: str) -> list[Text]:
    """Return the texts that reach an input of a sampler or guider as conditioning."""
    name, nodes = _SAMPLER_INPUTS[key], workflow.nodes
    found: dict[Text, None] = {}
    for each in sorted(upstream(workflow.output, nodes)):
        node = nodes[each]
        if name in node["inputs"]:
            found.update(dict.fromkeys(_behind(each, name, name, nodes)))
        elif key == PROMPT and has_word(node, "Guider") and "conditioning" in node["inputs"]:
            found.update(dict.fromkeys(_behind(each, "conditioning", name, nodes)))
    return list(found)


def _behind(node_id: str, input_name: str, name: str, nodes: Mapping[str, Node]) -> Iterator[Text]:
    """Yield the texts behind an input. name: "positive" or "negative", of nodes with both."""
    value = nodes[node_id]["inputs"][input_name]
    if isinstance(value, str):  # of a node that encodes what is typed there
        yield Text(node_id, input_name, value)
    if not isinstance(value, list) or has_word(nodes[value[0]], "ZeroOut"):
        return
    source, inputs = value[0], nodes[value[0]]["inputs"]
    if texts := _texts(source, nodes):
        yield from texts
    elif name in inputs:
        yield from _behind(source, name, name, nodes)
    else:
        for each in inputs:
            if each.startswith("conditioning") and isinstance(inputs[each], list):
                yield from _behind(source, each, name, nodes)


def _texts(node_id: str, nodes: Mapping[str, Node]) -> list[Text]:
    """Return the texts that a node encodes: its own, or those of nodes linked to it."""
    inputs = nodes[node_id]["inputs"]
    found = (_string(node_id, name, nodes) for name in _TEXTS if name in inputs)
    return [each for each in found if each]


def _string(node_id: str, name: str, nodes: Mapping[str, Node]) -> Text | None:
    """Return the text of an input, perhaps that of a linked node; None if it is computed."""
    value = nodes[node_id]["inputs"][name]
    if isinstance(value, str):
        return Text(node_id, name, value)
    if not isinstance(value, list):
        return None
    source = value[0]
    names = [each for each in nodes[source]["inputs"] if each.lower() in _STRINGS]
    return _string(source, names[0], nodes) if len(names) == 1 else None
