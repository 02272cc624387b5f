"""--picture: what is read, and what is refused before a run, with the next step."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.overrides import WorkflowVariants, apply_overrides
from stable_restyle.core.errors import RestyleError, UnusableInput, WrongUsage
from stable_restyle.core.records import ROLES, Scene
from stable_restyle.media import png
from stable_restyle.run import pictures

Variants = Callable[..., WorkflowVariants]


@pytest.fixture
def clay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture in the current folder."""
    monkeypatch.chdir(tmp_path)
    png.write(tmp_path / "clay.png", np.full((4, 6, 3), 90, np.uint8))
    return tmp_path / "clay.png"


@pytest.fixture
def variants(tmp_path: Path) -> Variants:
    """Makes the workflow of a run whose nodes load these pictures, and perhaps one of middles."""

    def make(
        roles: dict[str, Any], middle: dict[str, Any] | None = None, given: tuple[str, ...] = ()
    ) -> WorkflowVariants:
        found = [
            workflow_file.load(str(flow(tmp_path / name, its)), frozenset({"style", "night"}))
            for name, its in (("slides.json", roles), ("middles.json", middle))
            if its is not None
        ]
        made = apply_overrides(found[0], None, ())
        return replace(
            made, middle=found[1] if middle is not None else None, pictures=pictures.read(given)
        )

    return make


def flow(path: Path, roles: dict[str, Any]) -> Path:
    """Write a workflow of which each picture reaches the output, and that takes no mask."""
    tree: dict[str, Any] = {
        "stable-restyle": {"mask": None, "pictures": roles, "output": "out"},
        "sum": {
            "class_type": "ImageStitch",
            "inputs": {f"image{number}": [each, 0] for number, each in enumerate(roles, 1)},
        },
        "out": {"class_type": "SaveImage", "inputs": {"images": ["sum", 0]}},
    }
    for each in roles:
        title = {"_meta": {"title": f"Load {each}"}}
        tree[each] = {"class_type": "LoadImage", "inputs": {"image": "a.png"}, **title}
    path.write_text(json.dumps(tree), "utf-8")
    return path


def scenes(*lengths: int) -> list[Scene]:
    found, start = [], 0
    for number, length in enumerate(lengths, 1):
        slides = range(start, start + length)
        found.append(Scene(number, start, start + length, slides, start + length // 2))
        start += length
    return found


# What is read.


def test_a_picture_has_a_name_and_the_hash_of_its_content(clay: Path) -> None:
    (found,) = pictures.read(["style=clay.png"])
    assert (found.name, found.scenes, found.path) == ("style", (), clay)
    assert re.fullmatch(r"style=clay\.png \([0-9a-f]{16}\)", pictures.in_words(found))
    clay.write_bytes(clay.read_bytes() + b"\0")
    assert pictures.read(["style=clay.png"])[0].digest != found.digest


def test_scenes_come_last_and_override_what_is_for_all(clay: Path) -> None:
    found = pictures.read(["3-4,7:style=clay.png", "style=clay.png", "2:night=clay.png"])
    assert [(each.name, each.scenes) for each in found] == [
        ("style", ()),
        ("style", (3, 4, 7)),
        ("night", (2,)),
    ]
    lines = pictures.scene_lines(found)
    assert lines.keys() == {2, 3, 4, 7}
    assert lines[3] == [f"--picture {pictures.in_words(found[1])}"]


@pytest.mark.parametrize("given", ["Style=clay.png", " style =clay.png", "style=./clay.png"])
def test_names_in_any_case_and_paths_of_any_kind(clay: Path, given: str) -> None:
    (found,) = pictures.read([given])
    assert found.name == "style"
    assert png.read_any(found.path).shape == (4, 6, 3)


def test_a_path_may_hold_colons_and_equals_signs(tmp_path: Path, clay: Path) -> None:
    if os.name != "posix":
        pytest.skip("Windows allows no colon in a name")
    odd = tmp_path / "3:a=b.png"
    odd.write_bytes(clay.read_bytes())
    (found,) = pictures.read([f"style={odd}"])
    assert (found.scenes, found.path) == ((), odd)


@pytest.mark.parametrize("ending", [".jpg", ".webp", ".png"])
def test_a_picture_may_be_a_jpeg_or_a_webp(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"style{ending}"
    cv2.imwrite(str(path), np.full((8, 8, 3), 90, np.uint8))
    assert pictures.read([f"style={path}"])


# What is refused.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("clay.png", "write [SCENES:]NAME=FILE"),
        ("style=", "write [SCENES:]NAME=FILE"),
        ("=clay.png", "write [SCENES:]NAME=FILE"),
        ("3:=clay.png", "write [SCENES:]NAME=FILE"),
        ("two words=clay.png", "write [SCENES:]NAME=FILE"),
        ("2style=clay.png", "write [SCENES:]NAME=FILE"),
        ("a:style=clay.png", "write [SCENES:]NAME=FILE"),
        ("f3:style=clay.png", "write [SCENES:]NAME=FILE"),
        ("0:style=clay.png", "'0' is not a scene"),
        ("3-:style=clay.png", "'3-' is not a scene"),
        ("4-2:style=clay.png", "'4-2' is not a scene"),
        *((f"{role}=clay.png", "a picture that each slide has of its own") for role in ROLES),
        ("input=clay.png", "choose another name"),
        ("OUTPUT=clay.png", "choose another name"),
    ],
)
def test_what_is_no_picture_by_name(clay: Path, given: str, message: str) -> None:
    with pytest.raises(WrongUsage) as error:
        pictures.read([given])
    assert f"--picture {given}" in str(error.value) and message in str(error.value)


@pytest.mark.parametrize(
    "given",
    [
        ["style=clay.png", "style=clay.png"],
        ["style=clay.png", "Style=other.png"],
        ["3:style=clay.png", "1-4:style=other.png"],
        ["3:style=clay.png", "style=clay.png", "3:style=clay.png"],
    ],
)
def test_a_name_given_twice(clay: Path, given: list[str]) -> None:
    (clay.parent / "other.png").write_bytes(clay.read_bytes())
    with pytest.raises(WrongUsage, match=r"gives style twice, .*clay\.png and .*\.png.\nGive one"):
        pictures.read(given)


@pytest.mark.parametrize("content", [None, b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"not a picture"])
def test_a_file_that_is_missing_or_no_picture(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "style.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RestyleError, match=re.escape(str(path))):
        pictures.read([f"style={path}"])


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(RestyleError, match=re.escape(str(tmp_path))):
        pictures.read([f"style={tmp_path}"])


def test_half_a_picture(clay: Path) -> None:
    clay.write_bytes(clay.read_bytes()[:-20])
    with pytest.raises(UnusableInput, match="is not a picture that can be used"):
        pictures.read(["style=clay.png"])


def test_a_name_that_no_node_takes(variants: Variants, clay: Path) -> None:
    made = variants({"1": "frame", "2": "style"}, given=("night=clay.png",))
    with pytest.raises(WrongUsage) as error:
        pictures.check_names(list(made), made.pictures)
    assert "no node of slides.json loads a picture of that name" in error.value.args[0].replace(
        str(clay.parent) + os.sep, ""
    )
    assert "give a Load Image node the title night" in str(error.value)
    assert '"stable-restyle": {"pictures": {"ID": "night"}}' in str(error.value)


def test_a_name_that_only_the_workflow_of_middles_takes(variants: Variants, clay: Path) -> None:
    made = variants({"1": "frame"}, {"1": "frame", "2": "style"}, ("style=clay.png",))
    pictures.check_names(list(made), made.pictures)


@pytest.mark.parametrize(
    ("roles", "given", "message"),
    [
        ({"1": "frame", "2": "middle"}, (), "loads middle, which the film's first middle slide"),
        ({"1": "frame", "2": "previous"}, (), "loads previous, which the film's first middle"),
        ({"1": "warped"}, (), "loads warped, which the film's first middle slide does not have"),
        ({"1": "frame", "2": "film"}, (), "loads film, which the film's first middle slide"),
        ({"1": "frame", "2": ["film", "middle"]}, (), "loads film and middle, which the film's"),
        ({"1": "frame", "2": ["film", "frame"]}, (), ""),
        ({"1": "frame", "2": ["previous", "middle", "frame"]}, (), ""),
        ({"1": "frame", "2": "style"}, ("style=clay.png",), ""),
        ({"1": "frame", "2": "style"}, ("1:style=clay.png",), "does not have"),
        ({"1": "frame", "2": "style"}, ("1-3:style=clay.png",), ""),
        ({"1": "frame", "2": ["style", "middle"]}, ("2-3:style=clay.png",), "(scene 1)"),
        ({"1": "frame", "2": ["style", "frame"]}, ("2:style=clay.png",), ""),
    ],
)
def test_each_slide_has_a_picture_for_each_node(
    variants: Variants, clay: Path, roles: dict[str, Any], given: tuple[str, ...], message: str
) -> None:
    made = variants(roles, given=given)
    if not message:
        pictures.check_roles(made, scenes(5, 1, 4), only=False)
        return
    with pytest.raises(WrongUsage) as error:
        pictures.check_roles(made, scenes(5, 1, 4), only=False)
    assert message in str(error.value)
    node = list(roles)[-1]
    assert f'node {node} "Load {node}" (LoadImage)' in str(error.value)
    assert f'"pictures": {{"{node}": [' in str(error.value)


def test_film_exists_from_the_second_scene_on(variants: Variants) -> None:
    made = variants({"1": "frame", "2": "film"}, {"1": "frame"})
    pictures.check_roles(made, scenes(5, 4), only=False)


def test_a_workflow_of_middles_is_asked_for_middles_alone(variants: Variants) -> None:
    made = variants({"1": "frame", "2": "previous"}, {"1": "frame"})
    pictures.check_roles(made, scenes(5, 4), only=False)
    with pytest.raises(WrongUsage, match=r"middles\.json: node 2 .* loads middle"):
        pictures.check_roles(
            variants({"1": "frame"}, {"1": "frame", "2": "middle"}), scenes(5, 4), only=False
        )


def test_a_scene_of_one_slide_has_only_a_middle(variants: Variants) -> None:
    with pytest.raises(WrongUsage, match="film's first middle slide"):
        pictures.check_roles(variants({"1": "previous"}), scenes(1), only=False)
