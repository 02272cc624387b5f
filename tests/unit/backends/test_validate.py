"""What a server's nodes ask for and refuse, and what --seed and --set make of a workflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stable_restyle.backends.comfyui import workflow, workflow_file
from stable_restyle.backends.comfyui.overrides import apply_overrides
from stable_restyle.backends.comfyui.validate import classes_of, complete, incompatibilities
from stable_restyle.backends.comfyui.workflow import Workflow
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.records import Job

CLAY = workflow_file.load("claymation.json")
SAMPLER = "10"
SAMPLED = f'node {SAMPLER} "sampler" (KSamplerAdvanced)'
CHECKPOINT = "1"


def server(**inputs: Any) -> dict[str, Any]:
    """Classes that take anything, and a sampler that requires these inputs."""
    classes: dict[str, Any] = {name: {"input": {"required": {}}} for name in classes_of(CLAY)}
    classes["KSamplerAdvanced"] = {"input": {"required": inputs}}
    return classes


def problems(classes: dict[str, Any], drawn_with: Workflow = CLAY) -> list[str]:
    return [str(misfit) for misfit in incompatibilities(drawn_with, classes)]


def test_a_server_that_takes_anything() -> None:
    assert problems(server()) == []


def test_a_missing_class_is_named_once() -> None:
    classes = server()
    classes["LoraLoader"] = None
    del classes["PreviewImage"]
    assert problems(classes) == [
        'node 2 "LoRA" (LoraLoader): the server has no such node class',
        "node 12 (PreviewImage): the server has no such node class",
    ]


@pytest.mark.parametrize(
    "listed", [[["karras", "simple"]], ["COMBO", {"options": ["karras", "simple"]}]]
)
def test_a_choice_that_is_not_there_gets_the_nearest(listed: list[Any]) -> None:
    changed = workflow.with_value(CLAY, SAMPLER, "scheduler", "karas")
    assert problems(server(scheduler=listed), changed) == [
        f"{SAMPLED}: scheduler is 'karas', which the server does not have; "
        "the nearest it has: karras"
    ]


def test_a_choice_unlike_any_is_told_what_there_is() -> None:
    assert problems(server(scheduler=[["a", "b", "c", "d", "e"]]))[0].endswith(
        "it has a, b, c and 2 more"
    )


def test_a_sampler_that_skips_all_its_steps_would_draw_nothing() -> None:
    few = workflow.with_value(CLAY, SAMPLER, "steps", "14")
    assert problems(server(), few) == [
        'node 10 "sampler" (KSamplerAdvanced): start_at_step 14 leaves none of 14 steps: '
        "nothing would be drawn"
    ]


def test_nothing_to_choose_from() -> None:
    assert problems(server(scheduler=[[]])) == [
        f"{SAMPLED}: scheduler is 'normal', but the server has none at all"
    ]


def sampler_with(**inputs: Any) -> Workflow:
    sampler = CLAY.nodes[SAMPLER]
    changed = {**sampler, "inputs": {**sampler["inputs"], **inputs}}
    return replace(CLAY, nodes={**CLAY.nodes, SAMPLER: changed})


@pytest.mark.parametrize("kind", ["FLOAT", "INT"])
@pytest.mark.parametrize(
    ("value", "good"), [(0, True), (100, True), (100.5, False), (-1, False), (10**400, False)]
)
def test_numbers_have_their_bounds(kind: str, value: float, good: bool) -> None:
    found = problems(server(cfg=[kind, {"min": 0.0, "max": 100.0}]), sampler_with(cfg=value))
    assert (found == []) == good


def test_what_comes_from_another_node_is_for_the_server_to_check() -> None:
    linked = sampler_with(scheduler=["7", 0], steps=["7", 1], cfg=["7", 2])
    classes = server(scheduler=[["karras"]], steps=["INT", {"max": 9}], cfg=["FLOAT", {"max": 9}])
    assert problems(classes, linked) == []


def test_an_optional_input_may_be_missing_but_not_be_wrong() -> None:
    classes = server()
    classes["KSamplerAdvanced"]["input"]["optional"] = {
        "scheduler": [["normale", "normal_2", "b"]],
        "tile_size": ["INT", {"default": 1024}],
    }
    assert problems(classes) == [
        f"{SAMPLED}: scheduler is 'normal', which the server does not have; "
        "the nearest it has: normale, normal_2"
    ]


def test_what_is_required_and_has_a_default_is_added() -> None:
    classes = server(tile_size=["INT", {"default": 1024}], tile_sample=["BOOLEAN"])
    completed, added = complete(CLAY, classes)
    assert completed.nodes[SAMPLER]["inputs"]["tile_size"] == 1024
    assert "tile_size" not in CLAY.nodes[SAMPLER]["inputs"]
    assert len(added) == 1 and "requires tile_size" in added[0]
    assert problems(classes, completed) == [
        'node 10 "sampler" (KSamplerAdvanced): tile_sample is required, and the file lacks it'
    ]


def test_what_the_client_fills_in_is_not_checked() -> None:
    classes = server()
    classes["LoadImage"] = {"input": {"required": {"image": [["a.png"]], "more": ["INT"]}}}
    assert problems(classes) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(st.fixed_dictionaries({"input": st.fixed_dictionaries({"required": json_values})}))
def test_no_description_of_a_class_upsets(info: dict[str, Any]) -> None:
    classes = {**server(), "KSamplerAdvanced": info}
    incompatibilities(complete(CLAY, classes)[0], classes)


@given(st.dictionaries(st.sampled_from(["steps", "cfg", "scheduler", "tile"]), json_values))
def test_no_description_of_an_input_upsets(inputs: dict[str, Any]) -> None:
    classes = server(**inputs)
    incompatibilities(complete(CLAY, classes)[0], classes)


def a_slide(scene: int) -> Job:
    return Job(0, scene, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))


def test_seed_and_changes_for_the_run_and_for_scenes() -> None:
    variants = apply_overrides(
        CLAY, 7, ["5.text_g=clay rabbit", "3,5-7:5.text_g=clay fox", "7:10.cfg=5"]
    )
    assert variants.base.seed == 7
    assert variants.original is CLAY
    texts = {
        scene: variants.of(a_slide(scene)).nodes["5"]["inputs"]["text_g"]
        for scene in (1, 3, 5, 7, 8)
    }
    assert texts == {
        1: "clay rabbit",
        3: "clay fox",
        5: "clay fox",
        7: "clay fox",
        8: "clay rabbit",
    }
    assert variants.of(a_slide(7)).nodes[SAMPLER]["inputs"]["cfg"] == 5
    assert variants.of(a_slide(6)).nodes[SAMPLER]["inputs"]["cfg"] == 7.0
    assert variants.of(a_slide(3)).seed == 7
    assert list(variants.changes) == ["5.text_g=clay rabbit"]
    assert variants.scene_changes[7] == ["5.text_g=clay fox", "10.cfg=5"]


def test_a_value_may_hold_anything() -> None:
    variants = apply_overrides(CLAY, None, ["5.text_g=a=b, 3:4.5 fox"])
    assert variants.base.nodes["5"]["inputs"]["text_g"] == "a=b, 3:4.5 fox"
    assert variants.of(a_slide(1)) is variants.base


def test_an_id_with_a_colon_is_no_scene() -> None:
    nodes = {**CLAY.nodes, "57:8": {"class_type": "Text", "inputs": {"text": "fox"}}}
    variants = apply_overrides(replace(CLAY, nodes=nodes), None, ["57:8.text=clay"])
    assert variants.base.nodes["57:8"]["inputs"]["text"] == "clay"


@pytest.mark.parametrize(
    "change",
    [
        "",
        "=",
        "5",
        "5.text_g",
        ".text_g=x",
        "5.=x",
        "0:5.text_g=x",
        "4-2:5.text_g=x",
        "1,,2:5.text_g=x",
        "1-9999999:5.text_g=x",
        "5.nothing=x",
        "77.text=x",
        "10.cfg=much",
    ],
)
def test_changes_that_make_no_sense(change: str) -> None:
    with pytest.raises(WrongUsage, match="--set"):
        apply_overrides(CLAY, None, [change])
