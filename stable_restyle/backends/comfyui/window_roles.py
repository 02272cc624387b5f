"""Find out which node of a workflow loads which pictures of a window, and which one makes these."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from stable_restyle.backends.comfyui.roles import (
    ELEMENT,
    INPUT,
    Roles,
    check,
    find_named,
    loaders,
    undecided,
)
from stable_restyle.backends.comfyui.workflow import MASK, FileFault, Node, upstream
from stable_restyle.core.records import WINDOW_ROLES

OF_THE_FILM = ("frames", "known", "first", "last")  # one of these must reach the output


def find(
    element: Mapping[str, object], nodes: Mapping[str, Node], names: AbstractSet[str], alone: str
) -> Roles:
    """Return the pictures of a window's workflow.

    names: of the pictures that --picture gives. alone: what a node loads that is the only one to
    load pictures. Raises FileFault.
    """
    for key in (INPUT, MASK):
        if element.get(key) is not None:
            raise FileFault(
                f'"{ELEMENT}" > "{key}" is for workflows that draw slides. Of one that makes '
                f'windows, "pictures" names the nodes: {{"{element[key]}": "frames"}}, one of '
                f"{', '.join(WINDOW_ROLES)}."
            )
    found = Roles(nodes, wants_mask=False, known=WINDOW_ROLES)
    find_named(found, {key: its for key, its in element.items() if key != MASK}, names)
    if found.roles.isdisjoint(OF_THE_FILM):
        left = loaders(found, upstream(found.output, nodes))
        if len(left) != 1:
            raise undecided("it does not say which nodes load the window's pictures", found)
        found.pictures[left[0]] = (alone,)
    check(found)
    return found
