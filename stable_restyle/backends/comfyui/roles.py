"""Find out which node of a workflow loads which picture, and which one makes the slide.

By the element in the file, by the titles of nodes, and by the graph; the first that applies. Pure
functions of the file's content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from stable_restyle.backends.comfyui.workflow import (
    MASK,
    FileFault,
    Node,
    consumers,
    gives_mask,
    has_word,
    image_link,
    label,
    links,
    title,
    upstream,
)
from stable_restyle.core.records import ROLES

ELEMENT = "stable-restyle"  # key of the object that says which pictures nodes load
INPUT, OUTPUT = "input", "output"  # how the element and titles call the guide and the slide
OF_THE_FRAME = ("guide", "frame", "warped", "previous")  # one of these must reach the output
_LATENTS = ("latent_image", "latent", "samples")  # inputs of samplers
_LOADERS = re.compile(r"load.*(image|mask)|image[_ ]?load", re.IGNORECASE)
_SAVERS = re.compile(r"save|preview|send|combine|output|show|export|display", re.IGNORECASE)
_TO_MASK = re.compile(r"to_?mask|mask_?from", re.IGNORECASE)
# Nodes whose mask says where a style or a prompt counts, and not where the picture may change.
_REGIONAL = ("IPAdapter", "ConditioningSetMask")


@dataclass
class Roles:
    """The pictures of a workflow."""

    nodes: Mapping[str, Node]
    # By the ID of the node that loads a picture: its roles. The first that a slide has counts.
    pictures: dict[str, tuple[str, ...]] = field(default_factory=dict)
    output: str = ""  # ID of the node that the slide is taken from
    alpha: str | None = None  # ID of the loader whose second output, its alpha, is the mask
    wants_mask: bool = True  # False: the element has `"mask": null`

    @property
    def roles(self) -> set[str]:
        return {role for its in self.pictures.values() for role in its}

    @property
    def has_mask(self) -> bool:
        return self.alpha is not None or MASK in self.roles


def find(
    element: Mapping[str, object], nodes: Mapping[str, Node], names: AbstractSet[str]
) -> Roles:
    """Return the pictures of a workflow. names: of the pictures that --picture gives.

    Raises FileFault.
    """
    found = Roles(nodes)
    _by_element(found, element, names)
    _by_title(found, names)
    if not found.output:
        found.output = _saver(found)
    needed = upstream(found.output, nodes)
    if not found.has_mask and found.wants_mask:
        _find_mask(found, needed)
    if found.roles.isdisjoint(OF_THE_FRAME):
        _find_input(found, needed)
    if not found.has_mask and found.wants_mask:
        found.alpha = next(
            (each for each in found.pictures if _gives_alpha(each, found, needed)), None
        )
    _check(found, upstream(found.output, _as_replaced(found)))
    return found


def _as_replaced(found: Roles) -> dict[str, Node]:
    """Return the nodes with the links that remain once pictures are loaded by others."""
    return {
        each: {
            "inputs": {
                name: value
                for name, value in node["inputs"].items()
                if each not in found.pictures and value != [found.alpha, 1]
            }
        }
        for each, node in found.nodes.items()
    }


def _by_element(found: Roles, element: Mapping[str, object], names: AbstractSet[str]) -> None:
    named: list[str] = []
    for role, key in (("guide", INPUT), (MASK, MASK)):
        if key == MASK and MASK in element and element[MASK] is None:
            found.wants_mask = False
        elif key in element:
            named.append(named_node(element[key], key, found.nodes))
            found.pictures[named[-1]] = (role,)
    if OUTPUT in element:
        found.output = named_node(element[OUTPUT], OUTPUT, found.nodes)
        named.append(found.output)
    pictures = element.get("pictures", {})
    if not isinstance(pictures, dict):
        raise FileFault(f'"{ELEMENT}" > "pictures" is not an object of node IDs and roles.')
    for node_id, roles in pictures.items():
        named.append(named_node(node_id, "pictures", found.nodes))
        found.pictures[node_id] = _known_roles(node_id, roles, names)
    if len(set(named)) < len(named):
        raise FileFault(f'"{ELEMENT}" names one node for two purposes.')


def named_node(node_id: object, key: str, nodes: Mapping[str, Node]) -> str:
    if not isinstance(node_id, str) or node_id not in nodes:
        raise FileFault(f'"{ELEMENT}" > "{key}" is {node_id!r}; there is no node with such an ID.')
    return node_id


def _known_roles(node_id: str, roles: object, names: AbstractSet[str]) -> tuple[str, ...]:
    """Return the roles of a node, as a tuple. Raises FileFault if no slide can have one of them."""
    listed = roles if isinstance(roles, list) else [roles]
    place = f'"{ELEMENT}" > "pictures" > "{node_id}"'
    if not listed or not all(isinstance(role, str) and role for role in listed):
        raise FileFault(f"{place} is neither a role nor a list of roles.")
    known = {*ROLES, *names}
    if known.isdisjoint(listed):
        raise FileFault(
            f"{place} is {', '.join(map(repr, listed))}; a picture is one of {', '.join(ROLES)}, "
            f"or one of yours: add --picture {listed[0]}=FILE."
        )
    return tuple(listed)


def _by_title(found: Roles, names: AbstractSet[str]) -> None:
    """Take the roles that no node has yet from titles: input, mask, output, frame, middle, ...

    A title may list roles, as in "middle, frame".
    """
    in_element = {its[0] for its in found.pictures.values()}
    listed = {each: _roles_of_title(node, names) for each, node in found.nodes.items()}
    for role in (OUTPUT, *ROLES, *sorted(names)):
        taken = {
            OUTPUT: bool(found.output),
            MASK: found.has_mask or not found.wants_mask,
        }.get(role, role in in_element)
        titled = [each for each, its in listed.items() if its[:1] == (role,)]
        if role not in ("guide", MASK, OUTPUT):
            titled = [each for each in titled if _is_loader(found.nodes[each])]
        titled = [each for each in titled if each not in (*found.pictures, found.output)]
        if taken or not titled:
            continue
        if len(titled) > 1:
            shown = " and ".join(label(each, found.nodes) for each in titled)
            called = INPUT if role == "guide" else role
            raise _undecided(f"the title {called!r} is used twice, by {shown}", found)
        if role == OUTPUT:
            found.output = titled[0]
        else:
            found.pictures[titled[0]] = listed[titled[0]]


def _roles_of_title(node: Node, names: AbstractSet[str]) -> tuple[str, ...]:
    """Return the roles that the title of a node lists; none if it is another title."""
    listed = [each.strip().lower() for each in title(node).split(",")]
    if not {INPUT, OUTPUT, *ROLES, *names}.issuperset(listed):
        return ()
    return tuple("guide" if each == INPUT else each for each in listed)


def _is_loader(node: Node) -> bool:
    """Return whether a node loads a picture. Packs have names of their own: ETN_LoadImageBase64."""
    return _LOADERS.search(node["class_type"]) is not None


def _loaders(found: Roles, needed: AbstractSet[str]) -> list[str]:
    """Return the nodes that load pictures for the slide and have no role yet."""
    return [
        each
        for each, node in found.nodes.items()
        if each in needed and each not in found.pictures and _is_loader(node)
    ]


def _saver(found: Roles) -> str:
    """Return the node that saves or shows the slide.

    Of several, one that saves; of these, the one behind all samplers, with most nodes before it.
    """
    starts = {
        each
        for each, node in found.nodes.items()
        if each in found.pictures or (_is_loader(node) and not gives_mask(each, found.nodes))
    }
    if not starts:
        raise FileFault(
            "it loads no picture, so its slides would not resemble the frames.\nIn ComfyUI, add "
            "Load Image and VAE Encode, and link the latent to the sampler."
        )
    savers = [each for each in all_savers(found.nodes) if each not in found.pictures]
    behind = {each: upstream(each, found.nodes) for each in savers}
    savers = [each for each in savers if not starts.isdisjoint(behind[each])]
    if not savers:
        raise _undecided("no node that saves a picture is reached by one that loads one", found)
    kept = [each for each in savers if not has_word(found.nodes[each], "Preview")] or savers
    samplers = {
        each: {one for one in behind[each] if has_word(found.nodes[one], "Sampler")}
        for each in kept
    }
    last = [each for each in kept if samplers[each].issuperset(set().union(*samplers.values()))]
    if not last:
        raise _undecided("it does not say which node is the output", found)
    return max(last, key=lambda each: len(behind[each]))


def all_savers(nodes: Mapping[str, Node]) -> list[str]:
    """Return the nodes that save or show pictures, and no more."""
    return [
        each
        for each, node in nodes.items()
        if _SAVERS.search(node["class_type"])
        and image_link(node["inputs"]) is not None
        and not any(consumers(each, nodes))
    ]


def _find_mask(found: Roles, needed: AbstractSet[str]) -> None:
    """Give the mask to the loader whose picture becomes a mask on every way."""
    masks = [
        each
        for each in _loaders(found, needed)
        if _becomes_mask(each, found, needed) and _frees(each, found)
    ]
    if len(masks) > 1:
        raise _undecided("it does not say which node is the mask", found)
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
    left = _loaders(found, needed)
    for decides in (_latents, _control_pictures, _first_pictures):
        if len(left) > 1:
            starts = decides(found.nodes, needed)
            sources = {each for start in starts for each in upstream(start, found.nodes)}
            left = [each for each in left if each in sources] or left
    if len(left) != 1:
        raise _undecided("it does not say which node is the input", found)
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


def _check(found: Roles, needed: AbstractSet[str]) -> None:
    """Raise FileFault if a node cannot be replaced by a loader of pictures, or has no effect."""
    nodes = found.nodes
    link = image_link(nodes[found.output]["inputs"])
    if link is None:
        raise FileFault(
            f"{label(found.output, nodes)}, the output, has no picture linked to its input "
            "'images'.\nThe output must be a node that saves or shows the slide, such as SaveImage."
        )
    for user, name, _ in consumers(found.output, nodes):
        raise FileFault(
            f"{label(user, nodes)}, input {name!r}, comes from {label(found.output, nodes)}, the "
            "output, which must be the last."
        )
    for each, roles in found.pictures.items():
        what = INPUT if roles == ("guide",) else roles[0]
        outputs = 1 if roles == (MASK,) and gives_mask(each, nodes) else 2
        for user, name, output in consumers(each, nodes):
            if output >= outputs:
                raise FileFault(
                    f"{label(user, nodes)}, input {name!r}, takes output {output} of "
                    f"{label(each, nodes)}, the {what}; what loads a picture there has {outputs}, "
                    "counted from 0."
                )
        if each not in needed:
            raise FileFault(
                f"{label(each, nodes)}, the {what}, does not reach {label(found.output, nodes)}, "
                "the output.\nLink it in ComfyUI, or add this line at the beginning, after the {, "
                'with the IDs of other nodes (for no mask, "mask": null):\n'
                f'  "{ELEMENT}": {_line(found)},'
            )


def _line(found: Roles) -> str:
    """Return the line to add to a file, with what is known of it."""
    by_role = {its[0]: each for each, its in reversed(found.pictures.items())}
    line: dict[str, object] = {
        INPUT: by_role.pop("guide", f"ID of the {INPUT}"),
        MASK: by_role.pop(MASK, f"ID of the {MASK}") if found.wants_mask else None,
        OUTPUT: found.output or f"ID of the {OUTPUT}",
    }
    if by_role:
        line["pictures"] = {each: role for role, each in by_role.items()}
    return json.dumps(line)


def _undecided(what: str, found: Roles) -> FileFault:
    listed = "".join(
        f"\n  {each!r}  {node['class_type']!r}  {title(node)!r}"
        for each, node in found.nodes.items()
        if _is_loader(node) or each in all_savers(found.nodes)
    )
    return FileFault(
        f"{what}. In ComfyUI, give these nodes the titles input, mask and output; or add this line "
        f'at the beginning, after the {{, with the IDs of your nodes:\n  "{ELEMENT}": '
        f"{_line(found)},\nNodes that load or save pictures:"
        f"{listed or ' none; add them in ComfyUI first.'}"
    )
