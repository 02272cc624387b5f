"""Which node loads which picture: by the element, by titles, by the graph; or why it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import paths

from stable_restyle.backends.comfyui import slide_roles, workflow_file
from stable_restyle.backends.comfyui.roles import ELEMENT
from stable_restyle.backends.comfyui.slide_roles import OF_THE_FRAME
from stable_restyle.backends.comfyui.workflow import (
    FileFault,
    Workflow,
    describe_pictures,
    fill,
    links,
    upstream,
)
from stable_restyle.core.errors import UnusableInput

CASES = paths.DATA / "cases"
Tree = dict[str, Any]
Load = Callable[..., Workflow]


def node(class_type: str, title: str = "", **inputs: object) -> Tree:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def edit(first: str = "", second: str = "") -> Tree:
    """An image-edit model: two pictures of equal rank, no mask; loaders have these titles."""
    return {
        "1": node("LoadImage", first, image="a.png"),
        "2": node("LoadImage", second, image="b.png"),
        "3": node("ImageStitch", image1=["1", 0], image2=["2", 0]),
        "4": node("VAEEncode", pixels=["3", 0]),
        "5": node("KSampler", latent_image=["4", 0], seed=7, denoise=1.0),
        "6": node("VAEDecode", samples=["5", 0]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="x"),
    }


def inpaint() -> Tree:
    """One loader, whose latent goes to the sampler."""
    tree = edit()
    del tree["2"], tree["3"]
    tree["4"] = node("VAEEncode", pixels=["1", 0])
    return tree


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(tree: Tree, *names: str) -> Workflow:
        path = tmp_path / "flow.json"
        path.write_text(json.dumps(tree), "utf-8")
        return workflow_file.load(str(path), frozenset(names))

    return loaded


def case(name: str, *names: str) -> Workflow:
    return workflow_file.load(str(CASES / f"{name}.json"), frozenset(names))


def prompt_of(workflow: Workflow) -> Tree:
    return fill(workflow, {role: f"{role}.png" for role in workflow.roles})


def uploaded(prompt: Tree) -> dict[str, str]:
    """Return which picture each loader of a prompt loads."""
    return {
        each: content["inputs"].get("image", "").removesuffix(".png")
        for each, content in prompt.items()
        if content["class_type"] in ("LoadImage", "LoadImageMask")
    }


def refusal(load: Load, tree: Tree, *names: str) -> str:
    with pytest.raises(UnusableInput) as error:
        load(tree, *names)
    assert "flow.json cannot be used: " in str(error.value)
    return str(error.value)


# By the element.


def test_the_element_gives_roles_to_nodes(load: Load) -> None:
    pictures = {"1": "frame", "2": ["middle", "style"]}
    found = load({ELEMENT: {"pictures": pictures, "mask": None}, **edit()}, "style")
    assert found.pictures == {"1": ("frame",), "2": ("middle", "style")}
    assert found.output == "7"
    assert found.roles == {"frame", "middle", "style"}
    assert list(describe_pictures(found)) == [
        "node 1 (LoadImage) loads frame",
        "node 2 (LoadImage) loads middle or style",
    ]


def test_the_first_role_that_a_slide_has_counts(load: Load) -> None:
    tree = {ELEMENT: {"pictures": {"1": "frame", "2": ["previous", "middle", "frame"]}}, **edit()}
    found = load({**tree, ELEMENT: {**tree[ELEMENT], "mask": None}})
    for available, chosen in (
        ({"frame", "previous", "middle"}, {"1": "frame", "2": "previous"}),
        ({"frame", "middle"}, {"1": "frame", "2": "middle"}),
        ({"frame"}, {"1": "frame", "2": "frame"}),
    ):
        assert found.roles_for(available) == set(chosen.values())
        assert uploaded(fill(found, {each: f"{each}.png" for each in available})) == chosen


def test_input_and_pictures_stand_side_by_side(load: Load) -> None:
    found = load({ELEMENT: {"input": "1", "pictures": {"2": "film"}, "mask": None}, **edit()})
    assert found.pictures == {"1": ("guide",), "2": ("film",)}


def test_the_element_may_name_any_node_and_makes_it_a_loader(load: Load) -> None:
    tree = edit() | {"2": node("SomePackReference", strength=0.5)}
    found = load({ELEMENT: {"pictures": {"1": "frame", "2": "middle"}, "mask": None}, **tree})
    assert uploaded(prompt_of(found)) == {"1": "frame", "2": "middle"}


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (["1"], '"pictures" is not an object of node IDs and roles'),
        ({"9": "frame"}, "\"pictures\" is '9'; there is no node with such an ID"),
        ({"1": []}, '"pictures" > "1" is neither a role nor a list of roles'),
        ({"1": ["frame", 3]}, '"pictures" > "1" is neither a role nor a list of roles'),
        ({"1": ""}, '"pictures" > "1" is neither a role nor a list of roles'),
        ({"1": "farme"}, "\"1\" is 'farme'; a picture is one of guide, mask, frame, warped"),
        ({"1": "style"}, "or one of yours: add --picture style=FILE."),
        ({"7": "frame"}, "node 7 (SaveImage)"),
    ],
)
def test_roles_that_are_wrong_are_refused(load: Load, pictures: object, message: str) -> None:
    tree = {ELEMENT: {"output": "7", "pictures": pictures}, **edit()}
    if "SaveImage" in message:
        message = "names one node for two purposes"
    assert message in refusal(load, tree)


def test_a_node_with_two_purposes_is_refused(load: Load) -> None:
    tree = {ELEMENT: {"input": "1", "pictures": {"1": "frame"}}, **edit()}
    assert "names one node for two purposes" in refusal(load, tree)


# By titles.


@pytest.mark.parametrize("title", ["middle", "Middle", " MIDDLE "])
def test_titles_give_roles_in_any_case(load: Load, title: str) -> None:
    found = load(edit("Frame", title))
    assert found.pictures == {"1": ("frame",), "2": ("middle",)}


def test_titles_of_the_users_pictures(load: Load) -> None:
    found = load(edit("input", "Style"), "style")
    assert found.pictures == {"1": ("guide",), "2": ("style",)}


def test_a_title_may_list_roles(load: Load) -> None:
    found = load(edit("frame", "Middle, FRAME"))
    assert found.pictures == {"1": ("frame",), "2": ("middle", "frame")}
    found = load(edit("style,input", "previous, style, input"), "style")
    assert found.pictures == {"1": ("style", "guide"), "2": ("previous", "style", "guide")}


def test_a_list_with_other_words_is_a_title_like_any_other(load: Load) -> None:
    found = load(edit("frame", "middle, later style"))
    assert found.pictures == {"1": ("frame",)}


def test_an_element_that_lists_a_role_leaves_it_to_titles_too(load: Load) -> None:
    tree = {ELEMENT: {"pictures": {"2": ["middle", "frame"]}}, **edit("frame", "")}
    assert load(tree).pictures == {"1": ("frame",), "2": ("middle", "frame")}


def test_a_title_like_a_role_counts_for_loaders_only(load: Load) -> None:
    tree = edit("input", "middle")
    tree["5"]["_meta"]["title"] = "frame"  # a sampler
    assert load(tree).pictures == {"1": ("guide",), "2": ("middle",)}


@pytest.mark.parametrize("title", ["frame", "middle", "style", "input"])
def test_a_title_used_twice_is_refused_with_both_nodes(load: Load, title: str) -> None:
    message = refusal(load, edit(title, title), "style")
    assert f"the title '{title}' is used twice" in message
    assert f'node 1 "{title}" (LoadImage) and node 2 "{title}" (LoadImage)' in message
    assert f'"{ELEMENT}": {{"input": ' in message


def test_the_element_decides_where_a_title_is_used_twice(load: Load) -> None:
    found = load({ELEMENT: {"pictures": {"1": "frame"}}, **edit("frame", "middle")})
    assert found.pictures == {"1": ("frame",), "2": ("middle",)}


# By the graph.


def test_the_one_loader_is_the_input_and_gets_a_mask(load: Load) -> None:
    found = case("wf-img2img-no-mask")
    assert found.loader("guide") == "10" and found.output == "9"
    prompt = prompt_of(found)
    (masked,) = (each for each in prompt if prompt[each]["class_type"] == "SetLatentNoiseMask")
    assert prompt["3"]["inputs"]["latent_image"] == [masked, 0]
    assert prompt[masked]["inputs"]["samples"] == ["11", 0]
    assert prompt[prompt[masked]["inputs"]["mask"][0]] == {
        "class_type": "LoadImageMask",
        "inputs": {"image": "mask.png", "channel": "red"},
    }
    (note,) = found.notes
    assert "a Set Latent Noise Mask is put before node 3 (KSampler)" in note
    assert '"mask": null' in note


def test_mask_null_prevents_that(load: Load) -> None:
    plain = load({ELEMENT: {"mask": None}, **inpaint()})
    assert plain.roles == {"guide"} and not plain.notes
    assert prompt_of(plain)["5"]["inputs"]["latent_image"] == ["4", 0]


def test_nothing_is_put_in_where_the_latent_is_not_the_encoded_input(load: Load) -> None:
    tree = inpaint()
    tree["8"] = node("LatentUpscale", samples=["4", 0])
    tree["5"]["inputs"]["latent_image"] = ["8", 0]
    found = load(tree)
    assert found.roles == {"guide"} and not found.notes


def test_nothing_is_put_in_before_a_sampler_that_does_not_make_the_slide(load: Load) -> None:
    tree = inpaint()
    tree["8"] = node("ImageUpscaleWithModel", image=["1", 0])
    tree["9"] = node("SaveImage", "output", images=["8", 0], filename_prefix="large")
    assert load(tree).roles == {"guide"}


def test_two_samplers_of_one_latent_share_a_mask(load: Load) -> None:
    tree = inpaint()
    tree["8"] = node("KSampler", latent_image=["4", 0], seed=7)
    tree["9"] = node("LatentBlend", samples1=["5", 0], samples2=["8", 0])
    tree["6"]["inputs"]["samples"] = ["9", 0]
    prompt = prompt_of(load(tree))
    masked = [each for each in prompt if prompt[each]["class_type"] == "SetLatentNoiseMask"]
    assert len(masked) == 1
    assert all(prompt[each]["inputs"]["latent_image"] == [masked[0], 0] for each in ("5", "8"))


def test_what_becomes_a_mask_on_every_way_is_the_mask(load: Load) -> None:
    for made in (
        {"8": node("ImageToMask", image=["2", 0], channel="red")},
        {"8": node("MaskFromColor+", image=["2", 0], red=255)},
        {
            "9": node("ImageScale", image=["2", 0]),
            "8": node("GrowMask", mask=["10", 0]),
            "10": node("Image To Mask", image=["9", 0]) | {"class_type": "ImageToMask"},
        },
    ):
        tree = {**edit(), **made}
        del tree["3"]
        tree["4"] = node("VAEEncode", pixels=["1", 0])
        tree["11"] = node("SetLatentNoiseMask", samples=["4", 0], mask=["8", 0])
        tree["5"]["inputs"]["latent_image"] = ["11", 0]
        found = load(tree)
        assert found.pictures == {"1": ("guide",), "2": ("mask",)}


def test_what_is_a_picture_on_one_way_is_no_mask(load: Load) -> None:
    tree = edit()
    tree["8"] = node("ImageToMask", image=["2", 0], channel="red")
    tree["4"] = node("VAEEncodeForInpaint", pixels=["3", 0], mask=["8", 0])
    assert "does not say which node is the input" in refusal(load, tree)


def test_a_mask_of_a_region_of_a_style_is_not_where_the_picture_may_change(load: Load) -> None:
    tree = inpaint()
    tree["2"] = node("LoadImageMask", image="region.png", channel="red")
    tree["8"] = node("IPAdapterAdvanced", model=["9", 0], image=["1", 0], attn_mask=["2", 0])
    tree["9"] = node("CheckpointLoaderSimple", ckpt_name="x")
    tree["5"]["inputs"]["model"] = ["8", 0]
    found = load(tree)
    assert "2" not in found.pictures
    assert found.notes  # the mask is put in


def test_ways_that_do_not_lead_to_the_output_do_not_count(load: Load) -> None:
    tree = edit()
    del tree["3"]
    tree["4"] = node("VAEEncode", pixels=["1", 0])
    tree["8"] = node("ImageToMask", image=["2", 0], channel="red")
    tree["9"] = node("SetLatentNoiseMask", samples=["4", 0], mask=["8", 0])
    tree["5"]["inputs"]["latent_image"] = ["9", 0]
    tree["10"] = node("PreviewImage", images=["2", 0])  # the mask, to look at
    assert load(tree).loader("mask") == "2"


def test_the_alpha_of_the_picture_is_the_mask() -> None:
    found = case("wf-inpaint-alpha-of-the-picture")
    assert (found.alpha, found.loader("mask")) == ("10", "10")
    assert found.roles == {"guide", "mask"}
    prompt = prompt_of(found)
    assert prompt["10"]["inputs"]["image"] == "guide.png"
    assert prompt["11"]["inputs"]["pixels"] == ["10", 0]
    source, output = prompt["12"]["inputs"]["mask"]
    assert (prompt[source]["class_type"], output) == ("LoadImageMask", 0)
    assert prompt[source]["inputs"] == {"image": "mask.png", "channel": "red"}
    assert "node 10 (LoadImage): its alpha is the mask" in list(describe_pictures(found))


def test_an_alpha_that_is_only_looked_at_is_no_mask(load: Load) -> None:
    tree = inpaint()
    tree["4"]["class_type"] = "VAEEncodeTiled"  # before which no mask is put in
    tree["8"] = node("MaskPreview", mask=["1", 1])
    assert load(tree).roles == {"guide"}


def test_an_alpha_alone_is_no_picture_of_the_frame(load: Load) -> None:
    tree = inpaint()
    tree["4"] = node("EmptyLatentImage", width=512, height=512)
    tree["8"] = node("SetLatentNoiseMask", samples=["4", 0], mask=["1", 1])
    tree["5"]["inputs"]["latent_image"] = ["8", 0]
    tree["1"]["_meta"]["title"] = "input"
    assert 'node 1 "input" (LoadImage), the input, does not reach' in refusal(load, tree)


def test_an_alpha_that_is_inverted_keeps_its_meaning(load: Load) -> None:
    tree = inpaint()
    tree["8"] = node("InvertMask", mask=["1", 1])
    tree["9"] = node("SetLatentNoiseMask", samples=["4", 0], mask=["8", 0])
    tree["5"]["inputs"]["latent_image"] = ["9", 0]
    prompt = prompt_of(load(tree))
    inverted, _ = prompt["8"]["inputs"]["mask"]
    assert prompt[inverted]["class_type"] == "InvertMask"
    assert prompt[prompt[inverted]["inputs"]["mask"][0]]["class_type"] == "LoadImageMask"


def test_a_mask_by_alpha_that_is_inverted_keeps_its_meaning() -> None:
    prompt = prompt_of(case("wf-mask-inverted"))
    assert prompt["13"]["inputs"]["mask"] == ["12", 0]
    assert prompt["12"]["class_type"] == "InvertMask"
    source, _ = prompt["12"]["inputs"]["mask"]
    assert prompt[source]["inputs"] == {"image": "mask.png", "channel": "red"}


def test_of_several_savers_the_one_behind_the_sampler() -> None:
    for name, loads in (
        ("wf-one-saver-one-preview", {"10": "guide", "12": "mask"}),
        ("wf-two-savers", {"10": "guide", "12": "mask"}),
        ("several-outputs", {"2": "guide", "3": "mask"}),
    ):
        found = case(name)
        prompt = prompt_of(found)
        assert uploaded(prompt) == loads
        outputs = [each for each, node in prompt.items() if "Image" in node["class_type"]]
        assert [each for each in outputs if each not in loads and each != "7"] == [found.output]


def test_of_savers_in_a_row_the_last(load: Load) -> None:
    tree = inpaint()
    tree["8"] = node("ImageUpscaleWithModel", image=["6", 0])
    tree["9"] = node("SaveImage", images=["8", 0], filename_prefix="large")
    assert load(tree).output == "9"


def test_a_saver_of_a_pack_is_a_saver(load: Load) -> None:
    tree = inpaint()
    tree["7"] = node("ETN_SendImageWebSocket", images=["6", 0])
    assert load(tree).output == "7"


def test_of_several_loaders_the_one_that_the_sampler_starts_from(load: Load) -> None:
    tree = inpaint()
    tree["2"] = node("LoadImage", image="style.png")
    tree["8"] = node("IPAdapter", model=["10", 0], image=["2", 0])
    tree["10"] = node("CheckpointLoaderSimple", ckpt_name="x")
    tree["5"]["inputs"]["model"] = ["8", 0]
    assert load(tree).pictures["1"] == ("guide",)
    assert "2" not in load(tree).pictures


def test_of_several_loaders_the_one_that_a_controlnet_follows(load: Load) -> None:
    tree = edit()
    tree["4"] = node("EmptyLatentImage", width=512, height=512)
    tree["3"] = node("ControlNetApplyAdvanced", image=["1", 0], positive=["8", 0])
    tree["8"] = node("StyleModelApply", clip_vision_output=["9", 0])
    tree["9"] = node("CLIPVisionEncode", image=["2", 0])
    tree["5"]["inputs"]["positive"] = ["3", 0]
    assert load(tree).pictures == {"1": ("guide",)}


def test_of_pictures_with_numbers_the_first(load: Load) -> None:
    tree = edit()
    tree["3"] = node("TextEncodeQwenImageEditPlus", image1=["2", 0], image2=["1", 0], prompt="x")
    tree["4"] = node("EmptyLatentImage", width=512, height=512)
    tree["5"]["inputs"]["positive"] = ["3", 0]
    assert load(tree).pictures == {"2": ("guide",)}


# What files look like besides.


def test_a_body_as_it_is_posted_to_a_server(load: Load) -> None:
    found = case("wf-post-body-only-prompt")
    assert found.pictures == {"10": ("guide",), "12": ("mask",)}
    posted = {"client_id": "x", "workflow": {"nodes": [1]}, "prompt": inpaint()}
    assert load(posted).loader("guide") == "1"
    assert load({**posted, ELEMENT: {"mask": None}}).roles == {"guide"}


def test_a_node_may_be_called_prompt(load: Load) -> None:
    tree = inpaint()
    tree["prompt"] = node("CLIPTextEncode", text="clay")
    tree["5"]["inputs"]["positive"] = ["prompt", 0]
    assert "prompt" in load(tree).nodes


def test_keys_that_begin_with_an_underscore_are_comments(load: Load) -> None:
    tree = {"_comment": "made by hand", "_info": {"author": "somebody"}, **inpaint()}
    assert load(tree).sha256 == load(inpaint()).sha256


def test_unused_nodes_with_links_that_dangle_are_left_out() -> None:
    found = case("wf-dangling-unused-node")
    assert "30" not in found.nodes
    assert found.pictures == {"10": ("guide",), "12": ("mask",)}


def test_a_picture_that_is_named_by_the_file_stays_where_it_is() -> None:
    prompt = prompt_of(case("reference-pasted"))
    assert uploaded(prompt) == {"2": "guide", "3": "mask", "12": "pasted/ref"}


# Refusals.


def test_text_to_image_says_what_to_add() -> None:
    with pytest.raises(UnusableInput) as error:
        case("wf-txt2img")
    assert "it loads no picture" in str(error.value)
    assert "add Load Image and VAE Encode" in str(error.value)


def test_a_mask_that_reaches_nothing_is_refused() -> None:
    with pytest.raises(UnusableInput) as error:
        case("wf-mask-loader-feeds-nothing")
    assert "node 12 (LoadImageMask) loads a mask that does not reach the output" in str(error.value)
    assert f'"{ELEMENT}": {{"mask": null}}' in str(error.value)


@pytest.mark.parametrize("role", ["input", "frame", "middle"])
def test_a_picture_that_reaches_nothing_is_refused_with_the_line_to_add(
    load: Load, role: str
) -> None:
    tree = inpaint() | {"8": node("LoadImage", role, image="x.png")}
    message = refusal(load, tree)
    assert f'node 8 "{role}" (LoadImage), the {role}, does not reach node 7 (SaveImage)' in message
    assert f'"{ELEMENT}": {{"input": "' in message and '"output": "7"' in message


def test_a_saver_that_is_called_input_is_not_the_output_too(load: Load) -> None:
    tree = inpaint()
    tree["7"]["_meta"]["title"] = "input"
    assert "no node that saves a picture is reached by one that loads one" in refusal(load, tree)


def test_a_picture_that_is_replaced_on_its_way_is_refused(load: Load) -> None:
    tree = inpaint()
    tree["8"] = node("ImageScale", "frame", image=["1", 0])
    tree["4"]["inputs"]["pixels"] = ["8", 0]
    tree["1"]["_meta"]["title"] = "input"
    assert load(tree).pictures == {"1": ("guide",)}  # only loaders are called frame
    message = refusal(load, {ELEMENT: {"pictures": {"8": "frame"}}, **tree})
    assert 'node 1 "input" (LoadImage), the input, does not reach node 7 (SaveImage)' in message


def test_a_style_alone_is_not_enough(load: Load) -> None:
    tree = edit("middle", "style")
    message = refusal(load, tree, "style")
    assert "does not say which node is the input" in message


@pytest.mark.parametrize("key", ["input", "mask", "output"])
def test_the_line_that_is_offered_holds_what_is_known(load: Load, key: str) -> None:
    tree = edit("", "")
    known = {"input": "1", "mask": "2", "output": "7"}[key]
    message = refusal(load, {ELEMENT: {key: known, "pictures": {"3": "nothing"}}, **tree})
    assert "nothing" in message
    if key != "input":
        message = refusal(load, {ELEMENT: {"output": "7"}, **tree})
        assert '"output": "7"}' in message


# Any graph.

# Class: its inputs, and the kind that they take; the kind that it gives.
CLASSES: dict[str, tuple[dict[str, str], str]] = {
    "LoadImage": ({}, "IMAGE"),
    "LoadImageMask": ({}, "MASK"),
    "EmptyLatentImage": ({}, "LATENT"),
    "ImageScale": ({"image": "IMAGE"}, "IMAGE"),
    "ImageToMask": ({"image": "IMAGE"}, "MASK"),
    "VAEEncode": ({"pixels": "IMAGE"}, "LATENT"),
    "SetLatentNoiseMask": ({"samples": "LATENT", "mask": "MASK"}, "LATENT"),
    "ImageBlend": ({"image1": "IMAGE", "image2": "IMAGE"}, "IMAGE"),
    "ControlNetApply": ({"image": "IMAGE"}, "CONDITIONING"),
    "KSampler": ({"latent_image": "LATENT", "positive": "CONDITIONING"}, "LATENT"),
    "VAEDecode": ({"samples": "LATENT"}, "IMAGE"),
    "SaveImage": ({"images": "IMAGE"}, ""),
    "PreviewImage": ({"images": "IMAGE"}, ""),
}
TITLES = ("input", "mask", "output", "frame", "middle", "warped", "style")


@st.composite
def graphs(draw: st.DrawFn) -> Tree:
    """Nodes that are linked to earlier ones of the right kind, if there are any."""
    chosen = st.lists(st.sampled_from(list(CLASSES)), min_size=1, max_size=10)
    tree: Tree = {}
    for class_type in ["LoadImage", *draw(chosen), "SaveImage"]:
        inputs: dict[str, Any] = {}
        for name, kind in CLASSES[class_type][0].items():
            outputs = [[each, 0] for each in tree if CLASSES[tree[each]["class_type"]][1] == kind]
            if kind == "MASK":  # the alpha of a picture
                outputs += [[each, 1] for each in tree if tree[each]["class_type"] == "LoadImage"]
            if outputs:
                inputs[name] = draw(st.sampled_from(outputs))
        tree[str(len(tree))] = node(class_type, **inputs)
    for title in draw(st.lists(st.sampled_from(TITLES), max_size=2)):
        tree[draw(st.sampled_from(list(tree)))]["_meta"]["title"] = title
    return tree


IDS = st.sampled_from(["0", "1", "2"])
ELEMENTS: st.SearchStrategy[Tree] = st.just({}) | st.fixed_dictionaries(
    {},
    optional={
        "input": IDS,
        "mask": st.none() | IDS,
        "pictures": st.dictionaries(
            IDS, st.lists(st.sampled_from(["frame", "middle", "style"]), min_size=1), max_size=2
        ),
    },
)


@given(graphs(), ELEMENTS)
def test_whatever_is_accepted_draws_from_the_frame(tree: Tree, element: Tree) -> None:
    try:
        found = slide_roles.find(element, tree, frozenset({"style"}))
    except FileFault as fault:
        assert str(fault)
        return
    loaders: Tree = dict.fromkeys(found.pictures, node("LoadImage"))  # in place of these
    needed = upstream(found.output, {**tree, **loaders})
    assert any(
        each in needed and not set(its).isdisjoint(OF_THE_FRAME)
        for each, its in found.pictures.items()
    )
    assert found.pictures.keys() <= needed
    if found.alpha is not None:
        assert found.alpha in needed


@given(graphs(), st.booleans())
def test_a_prompt_is_whole_and_loads_every_picture(tree: Tree, keep: bool) -> None:
    try:
        found = workflow_file._workflow("flow.json", tree, frozenset({"style"}))
    except FileFault:
        return
    names = {role: f"{role} [temp]" for role in found.roles}
    prompt = fill(found, names, keep="out/1" if keep else None)
    for content in prompt.values():
        assert all(source in prompt for _, source, _ in links(content))
    assert prompt.keys() == upstream(found.output, prompt)
    assert set(uploaded(prompt).values()) >= set(names.values())
