"""--prompt and --negative-prompt: which nodes hold them, and what a run with others does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import clips
from support.comfy_server import ComfyServer
from support.runs import files, run

from stable_restyle.backends.comfyui import texts, workflow_file
from stable_restyle.backends.comfyui.overrides import apply_overrides
from stable_restyle.backends.comfyui.roles import ELEMENT
from stable_restyle.backends.comfyui.texts import NEGATIVE_PROMPT, PROMPT
from stable_restyle.backends.comfyui.workflow import Workflow
from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import Settings
from stable_restyle.run import status
from stable_restyle.run.inputs import load_workflow

Tree = dict[str, Any]
Load = Callable[[Tree], Workflow]
SHIPPED = ["anime", "claymation", "claymation-controlnet", "flux2-klein-edit", "qwen-image-edit"]


def node(class_type: str, **inputs: object) -> Tree:
    return {"class_type": class_type, "inputs": inputs}


def encode(text: object) -> Tree:
    return node("CLIPTextEncode", clip=["c", 0], text=text)


def graph(positive: str, negative: str, **more: Tree) -> Tree:
    """A picture that is redrawn, with the sampler's conditioning from these nodes."""
    return {
        "1": node("LoadImage", image="a.png"),
        "2": node("VAEEncode", pixels=["1", 0]),
        "c": node("CLIPLoader"),
        "9": node(
            "KSampler", latent_image=["2", 0], positive=[positive, 0], negative=[negative, 0]
        ),
        "10": node("VAEDecode", samples=["9", 0]),
        "11": node("SaveImage", images=["10", 0], filename_prefix="x"),
        **more,
    }


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(tree: Tree) -> Workflow:
        path = tmp_path / "flow.json"
        path.write_text(json.dumps(tree), "utf-8")
        return workflow_file.load(str(path))

    return loaded


def found(workflow: Workflow) -> tuple[list[str], list[str]]:
    """Return where the prompt and the negative prompt are: ID.INPUT."""
    its = (texts.find(workflow, key) for key in (PROMPT, NEGATIVE_PROMPT))
    positive, negative = ([f"{each.node}.{each.name}" for each in one] for one in its)
    return positive, negative


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_workflows_name_what_their_samplers_lead_to(name: str) -> None:
    named = workflow_file.load(name)
    assert found(named) == found(replace(named, prompts={}))
    assert found(named)[0]
    assert bool(found(named)[1]) == (name != "flux2-klein-edit")


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (graph("4", "5", **{"4": encode("a"), "5": encode("")}), (["4.text"], ["5.text"])),
        (  # through a ControlNet that has both, and through one that has the one
            graph(
                "7",
                "7",
                **{
                    "4": encode("a"),
                    "5": encode("b"),
                    "6": node("ControlNetApply", conditioning=["4", 0], strength=1),
                    "7": node("ControlNetApplyAdvanced", positive=["6", 0], negative=["5", 0]),
                },
            ),
            (["4.text"], ["5.text"]),
        ),
        (  # a text in a node of its own
            graph(
                "4",
                "5",
                **{
                    "4": encode(["s", 0]),
                    "5": encode(["n", 0]),
                    "s": node("PrimitiveStringMultiline", value="a"),
                    "n": node("Reroute", value=["m", 0]),
                    "m": node("StringLiteral", string="ugly"),
                },
            ),
            (["s.value"], ["m.string"]),
        ),
        (  # several encoders of one node, and no negative prompt
            graph(
                "8",
                "6",
                **{
                    "4": node("CLIPTextEncodeFlux", clip_l="a", t5xxl="b", guidance=3.5),
                    "8": node("FluxGuidance", conditioning=["4", 0], guidance=3.5),
                    "6": node("ConditioningZeroOut", conditioning=["4", 0]),
                },
            ),
            (["4.clip_l", "4.t5xxl"], []),
        ),
        (graph("4", "4", **{"4": encode("a")}), (["4.text"], [])),
        (  # typed in the loader
            graph("4", "4", **{"4": node("Efficient Loader", positive="a", negative="b")}),
            (["4.positive"], ["4.negative"]),
        ),
        (graph("4", "4", **{"4": encode(["t", 0]), "t": node("WD14Tagger", model="x")}), ([], [])),
    ],
)
def test_prompts_are_found_from_the_sampler(
    load: Load, tree: Tree, expected: tuple[list[str], list[str]]
) -> None:
    assert found(load(tree)) == expected


def test_a_guider_leads_to_the_prompt(load: Load) -> None:
    tree = graph("4", "4", **{"4": encode("a"), "5": node("BasicGuider", conditioning=["4", 0])})
    tree["9"] = node("SamplerCustomAdvanced", guider=["5", 0], latent_image=["2", 0])
    assert found(load(tree)) == (["4.text"], [])


def test_a_refiner_is_given_the_same_text(load: Load) -> None:
    refiner = {
        "4": encode("clay"),
        "5": encode(""),
        "14": node("CLIPTextEncodeSDXLRefiner", text="clay", ascore=6),
        "19": node("KSampler", latent_image=["9", 0], positive=["14", 0], negative=["5", 0]),
    }
    tree = graph("4", "5", **refiner)
    tree["10"]["inputs"]["samples"] = ["19", 0]
    changed = texts.with_prompts(load(tree), {PROMPT: "fox"})
    assert [changed.nodes[each]["inputs"]["text"] for each in ("4", "14", "5")] == [
        "fox",
        "fox",
        "",
    ]
    tree["14"]["inputs"]["text"] = "fine detail"
    with pytest.raises(WrongUsage, match=r"several texts .*\n.*texts in it: 14.text, 4.text"):
        texts.with_prompts(load(tree), {PROMPT: "fox"})
    tree[ELEMENT] = {PROMPT: ["4", "14"]}
    assert texts.with_prompts(load(tree), {PROMPT: "fox"}).nodes["14"]["inputs"]["text"] == "fox"


def test_what_has_no_such_prompt_is_refused_with_the_next_step(load: Load) -> None:
    with pytest.raises(WrongUsage, match=r"no text in flux2-klein-edit\.json can be its negative"):
        texts.with_prompts(workflow_file.load("flux2-klein-edit"), {NEGATIVE_PROMPT: "x"})
    tree = graph("4", "4", **{"4": node("OwnConditioning", words="a")})
    with pytest.raises(WrongUsage, match=r"--set ID.INPUT=TEXT \(texts in it: none\)"):
        texts.with_prompts(load(tree), {PROMPT: "x"})


@pytest.mark.parametrize("named", ["99", 4, ["4", "99"], {"4": "text"}, "9"])
def test_an_element_that_names_what_holds_no_text_is_refused(load: Load, named: object) -> None:
    tree = {ELEMENT: {PROMPT: named}, **graph("4", "4", **{"4": encode("a")})}
    with pytest.raises(UnusableInput, match='"stable-restyle" > "prompt"'):
        load(tree)


def test_set_is_applied_after_the_prompt() -> None:
    clay = workflow_file.load("claymation")
    prompts = {PROMPT: "fox, 5.text_g=a", NEGATIVE_PROMPT: ""}
    made = apply_overrides(clay, None, ["5.text_l=cat", "2:5.text_l=dog"], prompts)
    held = [each.nodes["5"]["inputs"] for each in (made.base, made.scenes[2])]
    assert [each["text_g"] for each in held] == [prompts[PROMPT]] * 2
    assert [each["text_l"] for each in held] == ["cat", "dog"]
    assert made.original is clay


def test_middles_get_the_prompt_too() -> None:
    settings = Settings(middle_model="qwen-image-edit", prompt="fox")
    variants, _ = load_workflow(settings)
    assert variants.middle is not None
    assert variants.middle.nodes["8"]["inputs"]["prompt"] == "fox"
    assert variants.base.nodes["5"]["inputs"]["text_g"] == "fox"
    with pytest.raises(WrongUsage, match=r"flux2-klein-edit\.json"):
        load_workflow(replace(settings, middle_model="flux2-klein-edit", negative_prompt="x"))


def test_the_server_is_sent_the_prompts_and_slides_of_others_are_kept(tmp_path: Path) -> None:
    frames = clips.write_folder(tmp_path / "in", clips.scenes(4))
    with ComfyServer() as server:
        settings = Settings(
            frames, tmp_path / "out", backends=(server.url,), prompt="fox", negative_prompt="blur"
        )
        run(settings)
        for entry in server.prompts:
            held = [entry[each]["inputs"] for each in ("5", "6")]
            assert [each["text_g"] for each in held] == ["fox", "blur"]
            assert [each["text_l"] for each in held] == ["fox", "blur"]
        assert status.is_finished(settings)
        before = files(tmp_path / "out")
        other = replace(settings, prompt="cat", negative_prompt=None)
        assert not status.is_finished(other)
        with pytest.raises(UnusableInput, match="prompt: fox then, cat now") as refused:
            run(other)
        assert "negative prompt: blur then, none now" in str(refused.value)
        assert files(tmp_path / "out") == before
        assert run(replace(other, fresh=True)).drawn == 2


def test_a_run_of_an_earlier_version_had_the_workflows_prompt(tmp_path: Path) -> None:
    frames = clips.write_folder(tmp_path / "in", clips.scenes(4))
    settings = Settings(frames, tmp_path / "out", backends=("preview",))
    run(settings)
    path = tmp_path / "interp" / "settings.json"
    noted = json.loads(path.read_text())
    del noted["prompt"], noted["negative_prompt"]
    path.write_text(json.dumps(noted))
    assert run(settings).drawn == 0
    with pytest.raises(UnusableInput, match="prompt: none then, fox now"):
        run(replace(settings, prompt="fox"))


def test_a_check_shows_the_prompts() -> None:
    with ComfyServer() as server:
        settings = Settings(backends=(server.url,), prompt="fox " * 30, negative_prompt="")
        rows = dict(status.check_backends(settings)[0].about)
    assert rows["prompt"].startswith('"fox fox') and rows["prompt"].count("fox") == 15
    assert rows["negative prompt"] == '"", node 6 "negative prompt" (CLIPTextEncodeSDXL)'
