"""Read what a workflow file says of windows: their legal lengths, and what fills which number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from stable_restyle.backends.comfyui.roles import ELEMENT, WINDOW
from stable_restyle.backends.comfyui.workflow import SIDES, FileFault, Node, label
from stable_restyle.core.records import WindowRule

NUMBERS = "numbers"
KINDS = ("length", *SIDES, "rate")
LEAST = {"step": 1, "plus": 0, "most": 2, "overlap": 0, "pixels": 2**12}


def rule(element: Mapping[str, object]) -> WindowRule | None:
    """Return the "window" of the element; None without: the workflow draws single slides.

    Raises FileFault.
    """
    place = f'"{ELEMENT}" > "{WINDOW}"'
    if WINDOW not in element:
        if NUMBERS in element:
            raise FileFault(f'"{ELEMENT}" > "{NUMBERS}" is for workflows with a "{WINDOW}".')
        return None
    given = element[WINDOW]
    if not isinstance(given, dict):
        raise FileFault(f'{place} is not an object, such as {{"step": 4, "plus": 1, "most": 81}}.')
    known = [each.name for each in fields(WindowRule)]
    for key, value in given.items():
        if key not in known:
            raise FileFault(f"{place} has no {key!r}; it has {', '.join(known)}.")
        if type(value) is not int or value < LEAST[key]:
            raise FileFault(f'{place} > "{key}" is not a whole number from {LEAST[key]} on.')
    found = WindowRule(**given)
    longest = found.lengths[-1] if found.lengths else 0
    if longest < 2:
        raise FileFault(
            f"{place} allows no length: none of {found.plus}, {found.step + found.plus}, "
            f'{2 * found.step + found.plus}, ... is from 2 to {found.most}, its "most".'
        )
    if found.overlap >= longest:
        raise FileFault(
            f'{place} > "overlap" is {found.overlap}, and the longest window is {longest}: none '
            "would have slides of its own."
        )
    return found


def numbers(element: Mapping[str, object], nodes: Mapping[str, Node]) -> dict[tuple[str, str], str]:
    """Return what of a window fills which input, by node and input. Raises FileFault."""
    place = f'"{ELEMENT}" > "{NUMBERS}"'
    given = element.get(NUMBERS, {})
    if not isinstance(given, dict):
        raise FileFault(f'{place} is not an object, such as {{"30.length": "length"}}.')
    found = {_place(key, nodes): _kind(key, what) for key, what in given.items()}
    if len(sides := set(found.values()).intersection(SIDES)) == 1:
        raise FileFault(f"{place} fills {sides.pop()}: name the inputs of {' and '.join(SIDES)}.")
    return found


def _place(key: str, nodes: Mapping[str, Node]) -> tuple[str, str]:
    """Return the node and the input that "ID.INPUT" names."""
    place = f'"{ELEMENT}" > "{NUMBERS}" > "{key}"'
    node, _, name = key.partition(".")
    if node not in nodes:
        raise FileFault(f"{place}: there is no node with the ID {node!r}.")
    inputs = nodes[node]["inputs"]
    if type(inputs.get(name)) not in (int, float):
        literals = [each for each, its in inputs.items() if type(its) in (int, float)]
        raise FileFault(
            f"{place}: {label(node, nodes)} has no number of that name. "
            f"It has {', '.join(literals) or 'none'}."
        )
    return node, name


def _kind(key: str, what: object) -> str:
    if what not in KINDS:
        raise FileFault(
            f'"{ELEMENT}" > "{NUMBERS}" > "{key}" is {what!r}; a number is one of '
            f"{', '.join(KINDS)}."
        )
    return str(what)
