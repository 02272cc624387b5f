"""The shipped workflows: what they load, and that a stock ComfyUI takes them.

tests/data/comfyui/object_info_stock.json: the classes that they use, as ComfyUI 0.33.0 without
custom nodes and without models described them in its /object_info.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import paths
from support.comfy_server import RECORDINGS

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.validate import incompatibilities
from stable_restyle.backends.comfyui.workflow import Workflow, fill, links, with_numbers
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import WindowRule

MASKED = [
    "anime",
    "anime-differential",
    "claymation",
    "claymation-differential",
    "claymation-controlnet",
]
EDIT_MODELS = ["flux2-klein-edit", "qwen-image-edit"]
WINDOWS = ["wan-vace-fill", "seedvr2-finish"]
SHIPPED = [*MASKED, *EDIT_MODELS, *WINDOWS]
# Of earlier versions: slides that were drawn then are kept.
HASHES = {
    "anime": "34460d02",
    "anime-differential": "c7e6709f",
    "claymation": "59e59b1e",
    "claymation-differential": "f6062645",
}


@pytest.fixture(scope="module")
def classes() -> dict[str, Any]:
    text = (RECORDINGS / "object_info_stock.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def load(name: str) -> Workflow:
    stem = name.removesuffix(".json")
    return (workflow_file.load_window if stem in WINDOWS else workflow_file.load)(name)


def filled(loaded: Workflow) -> dict[str, Any]:
    return fill(loaded, {role: f"{role}.png" for role in loaded.roles})


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("ending", ["", ".json"])
def test_a_shipped_workflow_is_found_by_its_name(name: str, ending: str) -> None:
    loaded = load(name + ending)
    assert loaded.name == f"{name}.json"
    assert loaded.seed == 1431655765
    assert not loaded.notes
    assert "stable-restyle" not in loaded.nodes


def test_all_shipped_workflows_are_tested() -> None:
    assert {path.stem for path in paths.WORKFLOWS.glob("*.json")} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_titles_say_what_the_element_says(name: str) -> None:
    loaded = load(name)
    titles = {node["_meta"]["title"]: node_id for node_id, node in loaded.nodes.items()}
    assert len(titles) == len(loaded.nodes)
    assert titles["output"] == loaded.output
    for node_id, roles in loaded.pictures.items():
        assert titles["input" if roles[0] == "guide" else roles[0]] == node_id


@pytest.mark.parametrize(("name", "beginning"), HASHES.items())
def test_the_hash_is_that_of_earlier_versions(name: str, beginning: str) -> None:
    assert workflow_file.load(name).sha256.startswith(beginning)


@pytest.mark.parametrize("name", ["anime", "claymation"])
def test_a_differential_variant_differs_by_one_node(name: str) -> None:
    plain, variant = workflow_file.load(name), workflow_file.load(f"{name}-differential")
    (added,) = variant.nodes.keys() - plain.nodes.keys()
    (sampler,) = (
        key for key, each in plain.nodes.items() if each["class_type"] == "KSamplerAdvanced"
    )
    inputs = plain.nodes[sampler]["inputs"]
    assert variant.nodes[added]["class_type"] == "DifferentialDiffusion"
    assert variant.nodes[added]["inputs"] == {"model": inputs["model"]}
    assert variant.nodes[sampler]["inputs"] == {**inputs, "model": [added, 0]}
    for key in plain.nodes.keys() - {sampler, plain.output}:
        assert variant.nodes[key] == plain.nodes[key]
    assert (variant.seed, variant.denoise, variant.preview) == (
        plain.seed,
        plain.denoise,
        plain.preview,
    )


def test_the_controlnet_variant_adds_the_frame_and_acts_at_every_step() -> None:
    plain, variant = workflow_file.load("claymation"), workflow_file.load("claymation-controlnet")
    added = {variant.nodes[each]["class_type"]: each for each in variant.nodes.keys() - plain.nodes}
    assert added.keys() == {"LoadImage", "Canny", "ControlNetLoader", "ControlNetApplyAdvanced"}
    assert variant.pictures == {**plain.pictures, added["LoadImage"]: ("frame",)}
    # The sampler begins at 0.7 of its steps: a ControlNet that ends before would do nothing.
    assert variant.nodes[added["ControlNetApplyAdvanced"]]["inputs"]["end_percent"] == 1.0


@pytest.mark.parametrize("name", EDIT_MODELS)
def test_edit_models_take_the_frame_and_the_style_of_the_middle_and_no_mask(name: str) -> None:
    loaded = workflow_file.load(name)
    assert list(loaded.pictures.values()) == [("frame",), ("middle", "frame")]
    assert loaded.roles == {"frame", "middle"}
    assert not any("Mask" in node["class_type"] for node in filled(loaded).values())


def test_what_the_shipped_workflows_hold() -> None:
    claymation, anime = workflow_file.load("claymation"), workflow_file.load("anime")
    assert (claymation.preview, anime.preview) == ("clay", "anime")
    assert claymation.denoise == pytest.approx(0.3)
    assert anime.denoise == 0.5


def test_windows_that_the_shipped_workflows_make() -> None:
    fill_gaps, finish = load("wan-vace-fill"), load("seedvr2-finish")
    assert fill_gaps.roles == {"frames", "known", "known-mask"}
    assert finish.roles == {"known"}
    assert fill_gaps.window == WindowRule(step=4, plus=1, most=81, pixels=1280 * 720)
    assert finish.window == WindowRule(step=4, plus=1, most=21, overlap=5, pixels=1280 * 720)
    told = with_numbers(fill_gaps, {"length": 9, "width": 640, "height": 368, "rate": 24.0})
    (node,) = (n for n in told.nodes.values() if n["class_type"] == "WanVaceToVideo")
    assert [node["inputs"][each] for each in ("length", "width", "height")] == [9, 640, 368]


@pytest.mark.parametrize("name", WINDOWS)
def test_a_workflow_of_windows_is_not_for_slides_nor_the_other_way_round(name: str) -> None:
    with pytest.raises(UnusableInput, match=r"(?s)makes windows.*--fill or --finish.*--model"):
        workflow_file.load(name)
    with pytest.raises(UnusableInput, match=r'(?s)does not say how many.*"window": \{"step": 4'):
        workflow_file.load_window("anime")


def test_a_name_that_is_none_shows_those_of_its_kind() -> None:
    with pytest.raises(UnusableInput, match=r"shipped: anime-differential\.json, anime") as slides:
        workflow_file.load("vace")
    with pytest.raises(
        UnusableInput, match=r"shipped: seedvr2-finish\.json, wan-vace-fill\.json\.$"
    ):
        workflow_file.load_window("clay")
    assert not any(name in str(slides.value) for name in WINDOWS)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_stock_comfyui_lacks_nothing_but_the_models(name: str, classes: dict[str, Any]) -> None:
    loaded = load(name)
    modules = {classes[each["class_type"]]["python_module"] for each in loaded.nodes.values()}
    assert {each.partition(".")[0] for each in modules} <= {"nodes", "comfy_extras"}
    for found in incompatibilities(loaded, classes):
        assert "Loader" in found.node and "_name is " in found.reason


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("keep", [None, "out/000001"])
def test_each_input_is_one_of_its_node_and_each_link_of_its_type(
    name: str, keep: str | None, classes: dict[str, Any]
) -> None:
    loaded = load(name)
    prompt = fill(loaded, {role: f"{role}.png" for role in loaded.roles}, keep=keep)
    for node in prompt.values():
        inputs = classes[node["class_type"]]["input"]
        known = {**inputs["required"], **inputs.get("optional", {})}
        assert inputs["required"].keys() <= node["inputs"].keys() <= known.keys()
        for key, source, output in links(node):
            given = classes[prompt[source]["class_type"]]["output"][output]
            assert given in known[key][0].split(",")
