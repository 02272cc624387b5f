"""Find out which node of a workflow loads which picture, and which one makes the slide.

By the element in the file, by the titles of nodes, and by the graph; the first that applies. Pure
functions of the file's content, used by `slide_roles` and `window_roles`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from stable_restyle.backends.comfyui.workflow import (
    KNOWN_MASK,
    MASK,
    FileFault,
    Node,
    consumers,
    gives_mask,
    has_word,
    image_link,
    label,
    title,
    upstream,
)
from stable_restyle.core.records import ROLES, WINDOW_ROLES

ELEMENT = "stable-restyle"  # key of the object that says which pictures nodes load
WINDOW = "window"  # key of what says that it makes windows
INPUT, OUTPUT = "input", "output"  # how the element and titles call the guide and the slide
_LOADERS = re.compile(r"load.*(image|mask)|image[_ ]?load", re.IGNORECASE)
_VIDEO_LOADERS = re.compile(r".LoadVideo|LoadVideo.|GetVideoComponents")
_VIDEO = "CreateVideo"  # takes pictures, and is saved as a film by another node
_TITLES = ("input, mask and output", "frames, known, known-mask and output")
_SAVERS = re.compile(r"save|preview|send|combine|output|show|export|display", re.IGNORECASE)


@dataclass
class Roles:
    """The pictures of a workflow."""

    nodes: Mapping[str, Node]
    # By the ID of the node that loads a picture: its roles. The first that a slide has counts.
    pictures: dict[str, tuple[str, ...]] = field(default_factory=dict)
    output: str = ""  # ID of the node that the slide is taken from
    alpha: str | None = None  # ID of the loader whose second output, its alpha, is the mask
    wants_mask: bool = True  # False: the element has `"mask": null`
    known: tuple[str, ...] = ROLES  # the roles that there are; of a window others

    @property
    def is_window(self) -> bool:
        return self.known is WINDOW_ROLES

    @property
    def roles(self) -> set[str]:
        return {role for its in self.pictures.values() for role in its}

    @property
    def has_mask(self) -> bool:
        return self.alpha is not None or MASK in self.roles


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


def find_named(found: Roles, element: Mapping[str, object], names: AbstractSet[str]) -> None:
    """Take the roles that the element and titles give, and the output, if need be by the graph.

    names: of the pictures that --picture gives. Raises FileFault.
    """
    _by_element(found, element, names)
    _by_title(found, names)
    if not found.output:
        found.output = _saver(found)


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
        found.pictures[node_id] = _known_roles(node_id, roles, found, names)
    if len(set(named)) < len(named):
        raise FileFault(f'"{ELEMENT}" names one node for two purposes.')


def named_node(node_id: object, key: str, nodes: Mapping[str, Node]) -> str:
    if not isinstance(node_id, str) or node_id not in nodes:
        raise FileFault(f'"{ELEMENT}" > "{key}" is {node_id!r}; there is no node with such an ID.')
    return node_id


def _known_roles(
    node_id: str, roles: object, found: Roles, names: AbstractSet[str]
) -> tuple[str, ...]:
    """Return the roles of a node, as a tuple. Raises FileFault if no slide can have one of them."""
    listed = roles if isinstance(roles, list) else [roles]
    place = f'"{ELEMENT}" > "pictures" > "{node_id}"'
    if not listed or not all(isinstance(role, str) and role for role in listed):
        raise FileFault(f"{place} is neither a role nor a list of roles.")
    if {*found.known, *names}.isdisjoint(listed):
        kind, others = ("a slide", ROLES) if found.is_window else ("a window", WINDOW_ROLES)
        hint = f" {listed[0]!r} is one of {kind}." if listed[0] in others else ""
        raise FileFault(
            f"{place} is {', '.join(map(repr, listed))}; a picture is one of "
            f"{', '.join(found.known)}, or one of yours: add --picture {listed[0]}=FILE.{hint}"
        )
    return tuple(listed)


def _by_title(found: Roles, names: AbstractSet[str]) -> None:
    """Take the roles that no node has yet from titles: input, mask, output, frame, middle, ...

    A title may list roles, as in "middle, frame".
    """
    in_element = {its[0] for its in found.pictures.values()}
    listed = {
        each: _roles_of_title(node, {*found.known, *names}) for each, node in found.nodes.items()
    }
    for role in (OUTPUT, *found.known, *sorted(names)):
        taken = {
            OUTPUT: bool(found.output),
            MASK: found.has_mask or not found.wants_mask,
        }.get(role, role in in_element)
        titled = [each for each, its in listed.items() if its[:1] == (role,)]
        if role not in ("guide", MASK, OUTPUT):
            titled = [each for each in titled if _is_loader(found.nodes[each], found)]
        titled = [each for each in titled if each not in (*found.pictures, found.output)]
        if taken or not titled:
            continue
        if len(titled) > 1:
            shown = " and ".join(label(each, found.nodes) for each in titled)
            called = INPUT if role == "guide" else role
            raise undecided(f"the title {called!r} is used twice, by {shown}", found)
        if role == OUTPUT:
            found.output = titled[0]
        else:
            found.pictures[titled[0]] = listed[titled[0]]


def _roles_of_title(node: Node, known: AbstractSet[str]) -> tuple[str, ...]:
    """Return the roles that the title of a node lists; none if it is another title."""
    listed = [each.strip().lower() for each in title(node).split(",")]
    if not {INPUT, OUTPUT, *known}.issuperset(listed):
        return ()
    return tuple("guide" if each == INPUT else each for each in listed)


def _is_loader(node: Node, found: Roles) -> bool:
    """Return whether a node loads a picture. Packs have names of their own: ETN_LoadImageBase64."""
    kind = node["class_type"]
    return bool(_LOADERS.search(kind) or (found.is_window and _VIDEO_LOADERS.search(kind)))


def loaders(found: Roles, needed: AbstractSet[str]) -> list[str]:
    """Return the nodes that load pictures for the slide and have no role yet."""
    return [
        each
        for each, node in found.nodes.items()
        if each in needed and each not in found.pictures and _is_loader(node, found)
    ]


def _saver(found: Roles) -> str:
    """Return the node that saves or shows the slide.

    Of several, one that saves; of these, the one behind all samplers, with most nodes before it.
    """
    starts = {
        each
        for each, node in found.nodes.items()
        if each in found.pictures or (_is_loader(node, found) and not gives_mask(each, found.nodes))
    }
    if not starts:
        raise FileFault(
            "it loads no picture, so its slides would not resemble the frames.\nIn ComfyUI, add "
            "Load Image and VAE Encode, and link the latent to the sampler."
        )
    savers = [each for each in all_savers(found.nodes) if each not in found.pictures]
    if found.is_window:
        savers += [each for each, node in found.nodes.items() if has_word(node, _VIDEO)]
    behind = {each: upstream(each, found.nodes) for each in savers}
    savers = [each for each in savers if not starts.isdisjoint(behind[each])]
    if not savers:
        raise undecided("no node that saves a picture is reached by one that loads one", found)
    kept = [each for each in savers if not has_word(found.nodes[each], "Preview")] or savers
    samplers = {
        each: {one for one in behind[each] if has_word(found.nodes[one], "Sampler")}
        for each in kept
    }
    last = [each for each in kept if samplers[each].issuperset(set().union(*samplers.values()))]
    if not last:
        raise undecided("it does not say which node is the output", found)
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


def check(found: Roles) -> None:
    """Raise FileFault if a node cannot be replaced by a loader of pictures, or has no effect."""
    nodes, needed = found.nodes, upstream(found.output, _as_replaced(found))
    link = image_link(nodes[found.output]["inputs"])
    if link is None:
        raise FileFault(
            f"{label(found.output, nodes)}, the output, has no picture linked to its input "
            "'images'.\nThe output must be a node that saves or shows the slide, such as SaveImage."
        )
    no_mask = "" if found.is_window else ' (for no mask, "mask": null)'
    is_film = nodes[found.output]["class_type"] == _VIDEO
    for user, name, _ in () if is_film else consumers(found.output, nodes):
        raise FileFault(
            f"{label(user, nodes)}, input {name!r}, comes from {label(found.output, nodes)}, the "
            "output, which must be the last."
        )
    for each, roles in found.pictures.items():
        what = INPUT if roles == ("guide",) else roles[0]
        masks = roles in ((MASK,), (KNOWN_MASK,)) and gives_mask(each, nodes)
        outputs = 1 if masks or _VIDEO_LOADERS.search(nodes[each]["class_type"]) else 2
        for user, name, output in consumers(each, nodes):
            if output >= outputs and not (user == found.output and is_film):
                raise FileFault(
                    f"{label(user, nodes)}, input {name!r}, takes output {output} of "
                    f"{label(each, nodes)}, the {what}; what loads a picture there has {outputs}, "
                    "counted from 0."
                )
        if each not in needed:
            raise FileFault(
                f"{label(each, nodes)}, the {what}, does not reach {label(found.output, nodes)}, "
                "the output.\nLink it in ComfyUI, or add this line at the beginning, after the {, "
                f"with the IDs of other nodes{no_mask}:\n"
                f'  "{ELEMENT}": {_line(found)},'
            )


def _line(found: Roles) -> str:
    """Return the line to add to a file, with what is known of it."""
    by_role = {its[0]: each for each, its in reversed(found.pictures.items())}
    line: dict[str, object] = {OUTPUT: found.output or f"ID of the {OUTPUT}"}
    if found.is_window:
        line = {WINDOW: {"step": 4, "plus": 1, "most": 81}, **line}
        by_role = by_role or {"frames": "ID of the frames"}
    else:
        mask = by_role.pop(MASK, f"ID of the {MASK}") if found.wants_mask else None
        line = {INPUT: by_role.pop("guide", f"ID of the {INPUT}"), MASK: mask, **line}
    if by_role:
        line["pictures"] = {each: role for role, each in by_role.items()}
    return json.dumps(line)


def undecided(what: str, found: Roles) -> FileFault:
    listed = "".join(
        f"\n  {each!r}  {node['class_type']!r}  {title(node)!r}"
        for each, node in found.nodes.items()
        if _is_loader(node, found) or each in all_savers(found.nodes)
    )
    return FileFault(
        f"{what}. In ComfyUI, give these nodes the titles {_TITLES[found.is_window]}; or add this "
        f'line at the beginning, after the {{, with the IDs of your nodes:\n  "{ELEMENT}": '
        f"{_line(found)},\nNodes that load or save pictures:"
        f"{listed or ' none; add them in ComfyUI first.'}"
    )
