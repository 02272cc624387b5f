"""Find out which node of a workflow loads which picture of a slide, and which one makes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from stable_restyle.backends.comfyui.roles import (
    ELEMENT,
    Roles,
    check,
    find_named,
    loaders,
    undecided,
)
from stable_restyle.backends.comfyui.workflow import (
    MASK,
    FileFault,
    Node,
    consumers,
    gives_mask,
    has_word,
    label,
    links,
    upstream,
)

OF_THE_FRAME = ("guide", "frame", "warped", "previous")  # one of these must reach the output
_LATENTS = ("latent_image", "latent", "samples")  # inputs of samplers
_TO_MASK = re.compile(r"to_?mask|mask_?from", re.IGNORECASE)
# Nodes whose mask says where a style or a prompt counts, and not where the picture may change.
_REGIONAL = ("IPAdapter", "ConditioningSetMask")


def find(
    element: Mapping[str, object], nodes: Mapping[str, Node], names: AbstractSet[str]
) -> Roles:
    """Return the pictures of a workflow. names: of the pictures that --picture gives.

    Raises FileFault.
    """
    found = Roles(nodes)
    find_named(found, element, names)
    needed = upstream(found.output, nodes)
    if not found.has_mask and found.wants_mask:
        _find_mask(found, needed)
    if found.roles.isdisjoint(OF_THE_FRAME):
        _find_input(found, needed)
    if not found.has_mask and found.wants_mask:
        found.alpha = next(
            (each for each in found.pictures if _gives_alpha(each, found, needed)), None
        )
    check(found)
    return found


def _find_mask(found: Roles, needed: AbstractSet[str]) -> None:
    """Give the mask to the loader whose picture becomes a mask on every way."""
    masks = [
        each
        for each in loaders(found, needed)
        if _becomes_mask(each, found, needed) and _frees(each, found)
    ]
    if len(masks) > 1:
        raise undecided("it does not say which node is the mask", found)
    idle = [
        each
        for each, node in found.nodes.items()
        if has_word(node, "LoadImageMask", "LoadMask") and each not in {*needed, *found.pictures}
    ]
    if idle and not masks:
        raise FileFault(
            f"{label(idle[0], found.nodes)} loads a mask that does not reach the output.\nLink it "
            f'in ComfyUI, remove it, or add "{ELEMENT}": {{"mask": null}} to do without a mask.'
        )
    found.pictures.update((each, (MASK,)) for each in masks)


def _becomes_mask(node_id: str, found: Roles, needed: AbstractSet[str]) -> bool:
    """Return whether a picture is used as a mask wherever it leads to the output."""
    seen: dict[str, bool] = {}

    def leads_to_masks(each: str) -> bool:
        if each not in seen:
            ways = [way for way in consumers(each, found.nodes) if way[0] in needed]
            seen[each] = bool(ways) and all(
                (output == 1 and each == node_id)
                or name.lower().endswith("mask")
                or _TO_MASK.search(found.nodes[user]["class_type"])
                or (user != found.output and leads_to_masks(user))
                for user, name, output in ways
            )
        return seen[each]

    return gives_mask(node_id, found.nodes) or leads_to_masks(node_id)


def _frees(node_id: str, found: Roles) -> bool:
    """Return whether a mask reaches the output on a way that is not through a regional mask."""
    seen, left = set[str](), [node_id]
    while left:
        if (each := left.pop()) not in seen:
            seen.add(each)
            left += [
                user
                for user, name, _ in consumers(each, found.nodes)
                if name != "attn_mask" and not has_word(found.nodes[user], *_REGIONAL)
            ]
    return found.output in seen


def _find_input(found: Roles, needed: AbstractSet[str]) -> None:
    """Make the loader that is left the input; of several, the one that decides the composition."""
    left = loaders(found, needed)
    for decides in (_latents, _control_pictures, _first_pictures):
        if len(left) > 1:
            starts = decides(found.nodes, needed)
            sources = {each for start in starts for each in upstream(start, found.nodes)}
            left = [each for each in left if each in sources] or left
    if len(left) != 1:
        raise undecided("it does not say which node is the input", found)
    found.pictures[left[0]] = ("guide",)


def _latents(nodes: Mapping[str, Node], needed: AbstractSet[str]) -> Iterator[str]:
    """Yield what samplers start from: an encoded picture, or an empty latent of its size."""
    for each in needed:
        if has_word(nodes[each], "Sampler"):
            yield from (source for name, source, _ in links(nodes[each]) if name in _LATENTS)


def _control_pictures(nodes: Mapping[str, Node], needed: AbstractSet[str]) -> Iterator[str]:
    """Yield what ControlNets follow."""
    for each in needed:
        if has_word(nodes[each], "ControlNet"):
            yield from (source for name, source, _ in links(nodes[each]) if name == "image")


def _first_pictures(nodes: Mapping[str, Node], needed: AbstractSet[str]) -> Iterator[str]:
    """Yield the first pictures of nodes that number them: the one that is edited."""
    for each in needed:
        if has_word(nodes[each], "Edit", "Encode"):
            yield from (s for name, s, _ in links(nodes[each]) if name in ("image1", "image_1"))


def _gives_alpha(node_id: str, found: Roles, needed: AbstractSet[str]) -> bool:
    """Return whether a picture's alpha is taken as a mask on a way to the output."""
    users = consumers(node_id, found.nodes)
    return any(output == 1 and user in needed for user, _, output in users)
