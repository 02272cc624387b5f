"""What a workflow file says of windows: roles, legal lengths and numbers; or why it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.comfy_server import window_workflow

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.overrides import changed
from stable_restyle.backends.comfyui.roles import ELEMENT
from stable_restyle.backends.comfyui.workflow import Workflow, fill, with_numbers
from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.records import WINDOW_ROLES, WindowRule

Tree = dict[str, Any]
Load = Callable[..., Workflow]
TOLD = {"length": 9, "width": 640, "height": 368, "rate": 23.976}


def node(class_type: str, title: str = "", **inputs: object) -> Tree:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def restorer(loader: Tree | None = None, output: Tree | None = None) -> Tree:
    """One node that loads, one that makes, one that saves."""
    return {
        ELEMENT: {"window": {"step": 4, "plus": 1}},
        "1": loader or node("LoadImage", image="example.png"),
        "2": node("Restore", images=["1", 0]),
        "3": output or node("SaveImage", images=["2", 0], filename_prefix="x"),
    }


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(tree: Tree, *names: str) -> Workflow:
        path = tmp_path / "flow.json"
        path.write_text(json.dumps(tree), "utf-8")
        return workflow_file.load_window(str(path), frozenset(names))

    return loaded


def refusal(load: Load, tree: Tree, *names: str) -> str:
    with pytest.raises(UnusableInput) as error:
        load(tree, *names)
    return str(error.value)


def test_the_only_node_that_loads_pictures_loads_the_frames(load: Load) -> None:
    found = load(restorer())
    assert (found.pictures, found.output) == ({"1": ("frames",)}, "3")
    assert found.window == WindowRule(step=4, plus=1, most=81)


def test_titles_name_the_pictures_of_a_window(load: Load) -> None:
    tree = window_workflow()
    tree[ELEMENT] = {"window": {}}
    titles = {"1": "Frames", "2": "known, style", "3": "known-mask", "6": "output"}
    for each, title in titles.items():
        tree[each]["_meta"] = {"title": title}
    found = load(tree, "style")
    assert found.pictures == {"1": ("frames",), "2": ("known", "style"), "3": ("known-mask",)}


@pytest.mark.parametrize("loader", ["VHS_LoadVideo", "GetVideoComponents"])
def test_a_film_that_is_loaded_and_made_is_the_window(load: Load, loader: str) -> None:
    """As in the templates of ComfyUI: a film is loaded, and a film is saved."""
    tree = restorer(node(loader, video=["0", 0]), node("CreateVideo", images=["2", 0], fps=24.0))
    tree["0"] = node("LoadVideo", file="film.mp4")
    tree["3"]["inputs"] |= {"audio": ["1", 1], "fps": ["1", 2]}
    tree["4"] = node("SaveVideo", video=["3", 0], filename_prefix="video/x", format="auto")
    found = load(tree)
    assert (found.pictures, found.output) == ({"1": ("frames",)}, "3")
    prompt = fill(found, {"frames": "batch.png"})
    assert {each: its["class_type"] for each, its in prompt.items()} == {
        "1": "LoadImage",
        "2": "Restore",
        "3": "PreviewImage",
    }


@pytest.mark.parametrize("kind", ["LoadImageMask", "LoadImage"])
def test_a_batch_of_masks_is_loaded_as_pictures(load: Load, kind: str) -> None:
    """A LoadImageMask of old versions loads the first of a batch alone."""
    tree = window_workflow()
    tree["3"] = node(kind, image="example.png", channel="red")
    del tree["4"]
    tree["5"]["inputs"]["mask"] = ["3", 0 if kind == "LoadImageMask" else 1]
    prompt = fill(load(tree), {"frames": "f", "known": "k", "known-mask": "m"})
    to_mask, output = prompt["5"]["inputs"]["mask"]
    assert (prompt[to_mask]["class_type"], output) == ("ImageToMask", 0)
    loader, _ = prompt[to_mask]["inputs"]["image"]
    assert (prompt[loader]["class_type"], prompt[loader]["inputs"]["image"]) == ("LoadImage", "m")


def test_numbers_of_the_window_are_put_into_their_inputs(load: Load) -> None:
    tree = window_workflow()
    tree[ELEMENT]["numbers"]["5.seed"] = "rate"  # a whole number
    inputs = with_numbers(load(tree), TOLD).nodes["5"]["inputs"]
    assert [inputs[each] for each in ("length", "width", "height")] == [9, 640, 368]
    assert (inputs["fps"], inputs["seed"]) == (23.976, 24)


def test_a_value_that_is_set_is_not_filled(load: Load) -> None:
    found = changed(load(window_workflow()), ["5.width=320", "5.fps=8"])
    inputs = with_numbers(found, TOLD).nodes["5"]["inputs"]
    assert (inputs["width"], inputs["height"], inputs["fps"]) == (320, 64, 8)
    assert inputs["length"] == 9
    with pytest.raises(WrongUsage):
        changed(found, ["1.image=x.png"])


def test_what_decides_a_window_is_in_the_hash(load: Load) -> None:
    longer, other = window_workflow(step=4, plus=1, most=21), window_workflow()
    other[ELEMENT]["numbers"] = {"5.length": "length"}
    trees = [window_workflow(), longer, other]
    assert len({load(tree).sha256 for tree in trees}) == len(trees)


@given(st.integers(1, 9), st.integers(0, 20), st.integers(2, 99))
def test_legal_lengths(step: int, plus: int, most: int) -> None:
    lengths = WindowRule(step, plus, most).lengths
    expected = {step * n + plus for n in range(most + 1)}
    assert set(lengths) == {each for each in expected if 0 < each <= most}
    assert list(lengths) == sorted(lengths)


def test_a_rule_without_bounds_takes_no_time(load: Load) -> None:
    tree = restorer()
    tree[ELEMENT]["window"] = {"most": 10**18}
    found = load(tree).window
    assert found is not None and found.lengths[-1] == 10**18


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (3, r"is not an object, such as \{"),
        ({"step": 0}, '"step" is not a whole number from 1 on'),
        ({"step": 4.0}, '"step" is not a whole number'),
        ({"plus": -1}, '"plus" is not a whole number from 0 on'),
        ({"overlap": True}, '"overlap" is not a whole number'),
        ({"length": 81}, "has no 'length'; it has step, plus, most, overlap, pixels"),
        ({"step": 100}, 'allows no length: none of 0, 100, 200, ... is from 2 to 81, its "most"'),
        ({"step": 90, "plus": 1, "most": 81}, "allows no length"),
        ({"most": 8, "overlap": 8}, "none would have slides of its own"),
        ({"pixels": 100}, '"pixels" is not a whole number from 4096 on'),
    ],
)
def test_a_rule_without_sense_is_refused(load: Load, window: object, message: str) -> None:
    tree = restorer()
    tree[ELEMENT]["window"] = window
    with pytest.raises(UnusableInput, match=message):
        load(tree)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([], "is not an object, such as"),
        ({"9.length": "length"}, "there is no node with the ID '9'"),
        ({"5": "length"}, "has no number of that name. It has length, fps, seed, width, height"),
        ({"5.size": "length"}, r"node 5 \(WindowModel\) has no number of that name"),
        ({"5.mode": "length"}, "has no number of that name"),
        ({"5.frames": "length"}, "has no number of that name"),
        ({"5.length": "frames"}, "'frames'; a number is one of length, width, height, rate"),
        ({"5.length": ["length"]}, "a number is one of"),
        ({"5.width": "width"}, "fills width: name the inputs of width and height"),
    ],
)
def test_numbers_without_sense_are_refused(load: Load, numbers: object, message: str) -> None:
    tree = window_workflow()
    tree[ELEMENT]["numbers"] = numbers
    with pytest.raises(UnusableInput, match=message):
        load(tree)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ({"1": "frame"}, "a picture is one of frames, known.* 'frame' is one of a slide"),
        ({"1": "guide"}, "'guide' is one of a slide"),
        ({"1": "style"}, "add --picture style=FILE"),
        ({"1": 3}, "is neither a role nor a list of roles"),
        ({"9": "frames"}, "there is no node with such an ID"),
    ],
)
def test_pictures_that_a_window_does_not_have_are_refused(
    load: Load, pictures: Tree, message: str
) -> None:
    tree = window_workflow()
    tree[ELEMENT]["pictures"] = pictures
    with pytest.raises(UnusableInput, match=message):
        load(tree)


def test_slides_do_not_have_the_pictures_of_windows(tmp_path: Path) -> None:
    tree = restorer()
    tree[ELEMENT] = {"pictures": {"1": "frames"}}
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(tree), "utf-8")
    with pytest.raises(UnusableInput, match="'frames' is one of a window"):
        workflow_file.load(str(path))
    tree[ELEMENT] = {"numbers": {}}
    path.write_text(json.dumps(tree), "utf-8")
    with pytest.raises(UnusableInput, match='"numbers" is for workflows with a "window"'):
        workflow_file.load(str(path))


@pytest.mark.parametrize("key", ["input", "mask"])
def test_input_and_mask_are_of_slides(load: Load, key: str) -> None:
    tree = restorer()
    tree[ELEMENT][key] = "1"
    said = refusal(load, tree)
    assert f'"{key}" is for workflows that draw slides' in said
    assert all(role in said for role in WINDOW_ROLES)


def test_a_window_must_see_something_of_the_film(load: Load) -> None:
    tree = window_workflow()
    tree[ELEMENT] = {"window": {"step": 4, "plus": 1}, "pictures": {"1": "middle"}}
    said = refusal(load, tree)
    assert "it does not say which nodes load the window's pictures" in said
    assert "give these nodes the titles frames, known, known-mask and output" in said
    line = said.partition(f'"{ELEMENT}": ')[2].partition(",\n")[0]
    assert json.loads(line)["window"] == {"step": 4, "plus": 1, "most": 81}


def test_a_node_that_does_not_reach_the_output_is_refused(load: Load) -> None:
    tree = window_workflow()
    del tree["5"]["inputs"]["known"]
    assert "node 2 (LoadImage), the known, does not reach" in refusal(load, tree)


def test_a_workflow_that_only_saves_what_it_loads(load: Load) -> None:
    assert load(restorer(output=node("VHS_VideoCombine", images=["1", 0]))).output == "3"
