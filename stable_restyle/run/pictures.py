"""The pictures that --picture gives to the nodes of a workflow."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.backends.comfyui.workflow import Workflow, label
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.ranges import parse_ranges
from stable_restyle.core.records import ROLES, WINDOW_ROLES, Scene, UserPicture
from stable_restyle.media import png

ONLY = "only"  # the role that slides have with --only or --only-not alone
TITLES = ("input", "output")  # besides roles: what titles of nodes mean

_PICTURE = re.compile(r"(?:(?P<scenes>[\d\s,-]+):)?(?P<name>[^=:]*)=(?P<file>.+)", re.DOTALL)
_NAME = re.compile(r"[a-z][\w-]*")


def read(given: Sequence[str]) -> list[UserPicture]:
    """Return the pictures of --picture, `[SCENES:]NAME=FILE` each; those for scenes come last.

    Raises WrongUsage, UnusableInput.
    """
    found = [_read(each) for each in given]
    named: defaultdict[str, list[UserPicture]] = defaultdict(list)
    for each in found:
        for other in named[each.name]:
            if set(other.scenes) & set(each.scenes) or other.scenes == each.scenes:
                raise WrongUsage(
                    f"--picture gives {each.name} twice, {other.path} and {each.path}.\n"
                    "Give one of them, or each for other scenes: 3,5-7:NAME=FILE."
                )
        named[each.name].append(each)
    return sorted(found, key=lambda each: bool(each.scenes))


def _read(given: str) -> UserPicture:
    option = f"--picture {given}"
    match = _PICTURE.fullmatch(given)
    name = match["name"].strip().lower() if match else ""
    if match is None or not _NAME.fullmatch(name):
        raise WrongUsage(
            f"{option}: write [SCENES:]NAME=FILE, such as style=clay.png or 3,5-7:style=night.png."
        )
    if name in (*ROLES, *TITLES):
        raise WrongUsage(
            f"{option}: {name} is a picture that each slide has of its own; choose another name."
        )
    scenes = parse_ranges(match["scenes"], option, "scene") if match["scenes"] else ()
    path = Path(match["file"]).absolute()
    if not path.exists():
        raise WrongUsage(f"{option}: there is no file {path}.")
    png.read_any(path)  # that it can be used
    return UserPicture(name, tuple(scenes), path, sha256(path.read_bytes()).hexdigest()[:16])


def in_words(picture: UserPicture) -> str:
    """Return a picture as settings.json has it: name, file and the hash of its content."""
    return f"{picture.name}={picture.path.name} ({picture.digest})"


def scene_lines(pictures: Sequence[UserPicture]) -> Mapping[int, list[str]]:
    """Return what is given for single scenes, by the scene's number."""
    lines: defaultdict[int, list[str]] = defaultdict(list)
    for each in pictures:
        for scene in each.scenes:
            lines[scene].append(f"--picture {in_words(each)}")
    return lines


def check_names(workflows: Sequence[Workflow], pictures: Sequence[UserPicture]) -> None:
    """Raise WrongUsage if a picture is given that no workflow takes."""
    taken = {role for each in workflows for role in each.roles}
    for each in pictures:
        if each.name not in taken:
            names = " and ".join(dict.fromkeys(workflow.name for workflow in workflows))
            raise WrongUsage(
                f"--picture {each.name}={each.path}: no node of {names} loads a picture of that "
                f"name.\nIn ComfyUI, give a Load Image node the title {each.name}; or add it to "
                f'the file\'s element: "stable-restyle": {{"pictures": {{"ID": "{each.name}"}}}}.'
            )


def check_roles(
    variants: WorkflowVariants, scenes: Sequence[Scene], *, only: bool, draws: bool = True
) -> None:
    """Raise WrongUsage if a node's picture does not exist for some slide of these scenes.

    only: whether a part of the picture is restyled. draws: whether a model draws slides.
    """
    pictures, always = variants.pictures, {"guide", "mask", "frame", *({ONLY} if only else ())}
    every = always | set(ROLES).difference({ONLY})
    for scene in scenes:
        given = {each.name for each in pictures if each.is_of(scene.number)}
        where = f" (scene {scene.number})" if any(each.scenes for each in pictures) else ""
        film = {"film"} if scene is not scenes[0] else set()
        which = "a scene's middle slide" if film else "the film's first middle slide"
        if draws and not scene.given:
            _check(variants.middle or variants.base, always | given | film, f"{which}{where}")
        if draws and len(scene.slides) > len(scene.given or (scene.middle,)):
            _check(variants.base, every | given, f"a slide{where}")
        for workflow in variants.windows.values():
            _check(workflow, {*WINDOW_ROLES, *given}, f"a window{where}", instead="first")


def _check(workflow: Workflow, available: set[str], slide: str, instead: str = "frame") -> None:
    for node_id, roles in workflow.pictures.items():
        if available.isdisjoint(roles):
            listed = ", ".join(f'"{each}"' for each in (*roles, instead))
            what, titled = " and ".join(roles), ", ".join((*roles, instead))
            hint = "Add --only DIR, the masks of the part to restyle.\n" if ONLY in roles else ""
            raise WrongUsage(
                f"{workflow.name}: {label(node_id, workflow.nodes)} loads {what}, which {slide} "
                f"does not have.\n{hint}Name a picture to use in its place: by the title "
                f'{titled!r} of the node, or in the element "stable-restyle" of the file: '
                f'"pictures": {{"{node_id}": [{listed}]}}.'
            )
