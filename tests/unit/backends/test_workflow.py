"""A workflow is checked when it is loaded, and every fault is named with the file and the place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from stable_restyle.backends.comfyui import workflow, workflow_file
from stable_restyle.core.errors import UnusableInput, WrongUsage

Tree = dict[str, Any]
Store = Callable[..., str]


NAMES = {"guide": "g", "mask": "m"}


def owned(loaded: workflow.Workflow) -> tuple[str | None, str | None, str]:
    """Return the IDs of the nodes that load guide and mask, and of the output."""
    return loaded.loader("guide"), loaded.loader("mask"), loaded.output


def node(class_type: str, title: str = "", **inputs: object) -> Tree:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def small() -> Tree:
    """A workflow whose owned nodes are found by their titles."""
    return {
        "15": node("LoadImage", "Input", image="a.png"),
        "100": node("LoadImage", " MASK ", image="b.png"),
        "101": node("ImageToMask", image=["100", 0], channel="red"),
        "5": node("VAEEncode", pixels=["15", 0]),
        "102": node("SetLatentNoiseMask", samples=["5", 0], mask=["101", 0]),
        "10": node("KSampler", latent_image=["102", 0], seed=7, steps=20, denoise=0.25),
        "8": node("VAEDecode", samples=["10", 0]),
        "1501": node("SaveImage", "output", images=["8", 0], filename_prefix="x"),
    }


def swarm() -> Tree:
    """As the original's workflows are: loaders of their own, and the element that names them."""
    tree = small()
    tree["15"] = node("SwarmLoadImageB64", image_base64="I")
    tree["100"] = node("SwarmLoadImageB64", image_base64="M")
    tree["10"] = node("SwarmKSampler", noise_seed=9, steps=20, start_at_step=14, end_at_step=10000)
    tree["10"]["inputs"]["latent_image"] = ["102", 0]
    return {"stable-restyle": {"input": "15", "mask": "100", "output": "1501"}, **tree}


def untitled() -> Tree:
    tree = small()
    for each in tree.values():
        del each["_meta"]
    return tree


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Writes a tree, a text or bytes to a file, and returns its name."""

    def write(content: object, name: str = "flow.json") -> str:
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def links(prompt: Tree) -> list[tuple[str, str, str, int]]:
    return [
        (node_id, name, *value)
        for node_id, each in prompt.items()
        for name, value in each["inputs"].items()
        if isinstance(value, list)
    ]


def test_a_file_comes_before_a_shipped_workflow(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(small(), "anime")
    monkeypatch.chdir(tmp_path)
    assert workflow_file.load("anime").seed == 7


def test_titles_stand_in_for_the_element(store: Store) -> None:
    loaded = workflow_file.load(store(small()))
    assert owned(loaded) == ("15", "100", "1501")
    assert loaded.preview is None


def test_the_element_comes_before_titles(store: Store) -> None:
    loaded = workflow_file.load(
        store({"stable-restyle": {"input": "100", "mask": "15"}, **small()})
    )
    assert owned(loaded) == ("100", "15", "1501")


def test_classes_stand_in_for_titles_where_one_choice_is_possible(store: Store) -> None:
    tree = untitled()
    tree["100"] = node("LoadImageMask", image="b.png", channel="alpha")
    tree["102"]["inputs"]["mask"] = ["100", 0]
    loaded = workflow_file.load(store(tree))
    assert owned(loaded) == ("15", "100", "1501")


def test_the_loader_that_is_left_is_the_mask(store: Store) -> None:
    tree = untitled() | {"15": node("ETN_LoadImageBase64", "input", image="")}
    loaded = workflow_file.load(store(tree))
    assert owned(loaded) == ("15", "100", "1501")


def test_where_the_choice_is_open_the_lines_to_add_are_shown(store: Store) -> None:
    tree = untitled() | {"16": node("LoadImage", image="other.png")}
    tree["17"] = node("ImageBlend", image1=["15", 0], image2=["16", 0])
    tree["5"]["inputs"]["pixels"] = ["17", 0]
    with pytest.raises(UnusableInput) as error:
        workflow_file.load(name := store(tree))
    assert name in str(error.value)
    assert "does not say which node is the input" in str(error.value)
    line = '"stable-restyle": {"input": "ID of the input", "mask": "100", "output": "1501"},'
    assert line in str(error.value)
    for candidate in ("'15'  'LoadImage'", "'16'  'LoadImage'", "'1501'  'SaveImage'"):
        assert candidate in str(error.value)


def test_the_line_to_add_works(store: Store) -> None:
    line = '"stable-restyle": {"input": "15", "mask": "100", "output": "1501"},'
    text = json.dumps(untitled(), indent=2)
    assert workflow_file.load(store(text.replace("{", "{\n  " + line, 1))).loader("mask") == "100"


@pytest.mark.parametrize("tree", [small(), swarm()], ids=["titles", "swarm"])
def test_the_client_owns_three_nodes(store: Store, tree: Tree) -> None:
    loaded = workflow_file.load(store(tree))
    before = deepcopy(loaded)
    prompt = workflow.fill(loaded, {"guide": "r/guide.png [temp]", "mask": "r/mask.png [temp]"})
    assert prompt.pop("15") == {
        "class_type": "LoadImage",
        "inputs": {"image": "r/guide.png [temp]"},
    }
    assert prompt.pop("100") == {
        "class_type": "LoadImage",
        "inputs": {"image": "r/mask.png [temp]"},
    }
    assert prompt.pop("1501") == {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    assert prompt == {each: tree[each] for each in ("101", "5", "102", "10", "8")}
    prompt["8"]["inputs"]["samples"][0] = "elsewhere"
    assert loaded == before


def test_a_loader_of_masks_stays_one_and_reads_what_is_uploaded(store: Store) -> None:
    tree = small()
    tree["100"] = node("LoadImageMask", "mask", image="b.png", channel="alpha")
    tree["102"]["inputs"]["mask"] = ["100", 0]
    prompt = workflow.fill(workflow_file.load(store(tree)), NAMES)
    assert prompt["100"] == {
        "class_type": "LoadImageMask",
        "inputs": {"image": "m", "channel": "red"},
    }


def test_a_loader_is_one_of_masks_by_its_class_whatever_takes_them(store: Store) -> None:
    tree = small()
    tree["100"] = node("ETN_LoadMaskBase64", "mask", mask="")
    tree["101"] = node("JoinImageWithAlpha", image=["15", 0], alpha=["100", 0])
    tree["5"]["inputs"]["pixels"] = ["101", 0]
    del tree["102"]["inputs"]["mask"]
    prompt = workflow.fill(workflow_file.load(store(tree)), NAMES)
    assert prompt["100"]["class_type"] == "LoadImageMask"


def test_a_node_whose_output_is_taken_as_a_mask_becomes_a_loader_of_masks(store: Store) -> None:
    tree = small()
    tree["101"]["_meta"]["title"] = "mask"  # an ImageToMask
    tree["100"]["_meta"]["title"] = "Load Image"
    prompt = workflow.fill(workflow_file.load(store(tree)), NAMES)
    assert prompt["101"]["class_type"] == "LoadImageMask"
    assert prompt["102"]["inputs"]["mask"] == ["101", 0]


def test_the_mask_that_a_loader_of_images_gives_is_the_uploaded_one(store: Store) -> None:
    tree = small()
    tree["102"]["inputs"]["mask"] = ["100", 1]
    tree["100-mask"] = node("PreviewAny", source=["8", 0])
    prompt = workflow.fill(workflow_file.load(store(tree)), NAMES)
    new_id, output = prompt["102"]["inputs"]["mask"]
    assert new_id not in tree and output == 0
    assert prompt[new_id]["class_type"] == "LoadImageMask"
    assert prompt[new_id]["inputs"] == {"image": "m", "channel": "red"}


def test_a_node_taken_as_a_mask_and_as_something_else_loads_a_mask(store: Store) -> None:
    tree = small()
    tree["100"] = node("SwarmLoadImageB64", "mask", image_base64="M")
    tree["101"] = node("PreviewAny", source=["100", 0])
    tree["102"]["inputs"]["mask"] = ["100", 0]
    prompt = workflow.fill(workflow_file.load(store(tree)), NAMES)
    assert prompt["100"]["class_type"] == "LoadImageMask"
    assert prompt["102"]["inputs"]["mask"] == ["100", 0]


def test_a_loader_from_which_nothing_is_taken_is_not_the_mask(store: Store) -> None:
    tree = small() | {"9": node("LoadImage", image="unused.png")}
    tree["100"] = node("LoadImageMask", image="b.png", channel="alpha")
    tree["102"]["inputs"]["mask"] = ["100", 0]
    assert workflow_file.load(store(tree)).loader("mask") == "100"


def test_a_loader_of_masks_has_no_second_output(store: Store) -> None:
    tree = small()
    tree["100"] = node("LoadImageMask", "mask", image="b.png", channel="alpha")
    tree["102"]["inputs"]["mask"] = ["100", 1]
    with pytest.raises(UnusableInput, match=r"takes output 1 of node 100 .*, the mask; .* has 1,"):
        workflow_file.load(store(tree))


def test_what_is_kept_on_the_server(store: Store) -> None:
    tree = small()
    prompt = workflow.fill(workflow_file.load(store(tree)), NAMES, keep="out/000001")
    assert prompt["1501"]["class_type"] == "SaveImage"
    assert prompt["1501"]["inputs"] == {"images": ["8", 0], "filename_prefix": "out/000001"}
    tree["1501"] = node("SaveImageWebsocket", "output", images=["8", 0])
    prompt = workflow.fill(workflow_file.load(store(tree)), NAMES, keep="out/000001")
    assert prompt["1501"]["class_type"] == "SaveImage"
    assert prompt["1501"]["inputs"] == {"images": ["8", 0], "filename_prefix": "out/000001"}


@pytest.mark.parametrize(
    "inputs, share",
    [
        ({"steps": 20, "start_at_step": 14, "end_at_step": 10000}, 0.3),
        ({"steps": 20, "start_at_step": 5, "end_at_step": 10}, 0.25),
        ({"steps": 20, "start_at_step": 30, "end_at_step": 40}, 0),
        ({"steps": 0, "start_at_step": 0, "end_at_step": 10}, workflow.DENOISE_UNKNOWN),
        ({"steps": 20, "start_at_step": ["5", 0], "end_at_step": 10}, workflow.DENOISE_UNKNOWN),
        ({"steps": 20, "denoise": 0.45}, 0.45),
        ({"denoise": 10**400}, 1),
        ({"denoise": "much"}, workflow.DENOISE_UNKNOWN),
    ],
)
def test_how_far_the_guide_is_drawn_anew(store: Store, inputs: Tree, share: float) -> None:
    loaded = workflow_file.load(
        store(small() | {"10": node("Sampler", latent_image=["102", 0], **inputs)})
    )
    assert loaded.denoise == pytest.approx(share)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "7", ["5", 0]])
def test_what_is_no_seed(store: Store, seed: object) -> None:
    assert (
        workflow_file.load(
            store(small() | {"10": node("KSampler", latent_image=["102", 0], seed=seed)})
        ).seed
        is None
    )


def test_the_hash_depends_on_what_is_drawn_alone(store: Store) -> None:
    first = workflow_file.load(store(small(), "1.json"))
    shuffled = dict(reversed(small().items()))
    shuffled["8"]["_meta"]["title"] = "decode"
    shuffled["15"]["inputs"]["image"] = "other.png"
    assert workflow_file.load(store(shuffled, "2.json")).sha256 == first.sha256
    assert workflow.with_seed(first, 8).sha256 != first.sha256
    assert workflow.with_value(first, "10", "steps", "21").sha256 != first.sha256


def test_a_seed_is_set_wherever_there_is_one(store: Store) -> None:
    tree = small() | {"11": node("Noise", noise_seed=1), "12": node("KSampler", seed=["11", 0])}
    loaded = workflow_file.load(store(tree))
    changed = workflow.with_seed(loaded, 42)
    assert changed.nodes["10"]["inputs"]["seed"] == 42
    assert changed.nodes["11"]["inputs"]["noise_seed"] == 42
    assert changed.nodes["12"]["inputs"]["seed"] == ["11", 0]
    assert (changed.seed, loaded.seed) == (42, 7)


@pytest.mark.parametrize(
    "present, text, value",
    [
        (20, "25", 25),
        (7, "7.5", 7.5),
        (0.5, "1", 1),
        ("euler", "dpmpp_2m", "dpmpp_2m"),
        ("claymation", "7", "7"),
        (True, "False", False),
        (False, "true", True),
    ],
)
def test_a_value_is_set_as_the_kind_that_is_there(
    store: Store, present: object, text: str, value: object
) -> None:
    tree = small()
    tree["10"]["inputs"]["what"] = present
    loaded = workflow_file.load(store(tree))
    changed = workflow.with_value(loaded, "10", "what", text)
    assert changed.nodes["10"]["inputs"]["what"] == value
    assert type(changed.nodes["10"]["inputs"]["what"]) is type(value)
    assert loaded.nodes["10"]["inputs"]["what"] == present


@pytest.mark.parametrize(
    "node_id, name, text, message",
    [
        ("11", "steps", "2", r"--set 11\.steps=2: .* has no such node\. It has .* 10 \(KSampler\)"),
        ("10", "stepz", "2", r"no value of that name\. It has seed, steps, denoise, flag\."),
        ("10", "latent_image", "2", r"no value of that name"),
        ("15", "image", "a.png", r"filled for every slide"),
        ("10", "steps", "many", r"--set 10\.steps=many: it takes a number, such as 20"),
        ("10", "steps", "nan", r"it takes a number"),
        ("10", "flag", "2", r"it takes true or false, such as true"),
    ],
)
def test_a_value_that_cannot_be_set(
    store: Store, node_id: str, name: str, text: str, message: str
) -> None:
    tree = small()
    tree["10"]["inputs"]["flag"] = True
    with pytest.raises(WrongUsage, match=message):
        workflow.with_value(workflow_file.load(store(tree)), node_id, name, text)


def test_a_workflow_that_is_not_there() -> None:
    with pytest.raises(
        UnusableInput, match=r"no workflow nowhere: .*nowhere is no file\.\n.*anime"
    ):
        workflow_file.load("nowhere")


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 5000, "../workflows/anime", "__init__.py"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UnusableInput, match=r"claymation\.json"):
        workflow_file.load(name)


def test_a_folder_is_no_workflow(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match="is a folder"):
        workflow_file.load(str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file is unreadable for all")
def test_a_workflow_that_cannot_be_read_says_why() -> None:
    with pytest.raises(
        UnusableInput, match=r"workflow /proc/self/mem cannot be read: Input/output"
    ):
        workflow_file.load("/proc/self/mem")


def test_the_interface_format_is_refused_with_the_way_out(store: Store) -> None:
    with pytest.raises(UnusableInput, match=r"export it with Save \(API Format\)"):
        workflow_file.load(store({"last_node_id": 9, "nodes": [], "links": [], "version": 0.4}))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1, column 1"),
        ('{\n "5": {,}}', r"line 2, column 8"),
        (b'{"5": "\xff"}', "byte 8 is not UTF-8"),
        ("[]", "not an object of nodes"),
        ("[" * 100_000, "nested too deeply"),
        ('{"5": ' + "[" * 60 + "]" * 60 + "}", "nested too deeply"),
        ('{"5": {"inputs": {"cfg": NaN}}}', r"used: '5' > 'inputs' > 'cfg' is nan"),
        ('{"5": {"inputs": {"cfg": 1e999}}}', r"'5' > 'inputs' > 'cfg' is inf"),
        ('{"5": ' + "9" * 5000 + "}", "a number in it is too long"),
        ('{"5": 1, "5": 2}', "the key '5' appears twice"),
        (b" " * (2**24 + 1), "larger than 16 MiB"),
    ],
)
def test_what_is_no_json(store: Store, text: str | bytes, message: str) -> None:
    with pytest.raises(UnusableInput, match=message) as error:
        workflow_file.load(name := store(text))
    assert name in str(error.value)


def test_a_byte_order_mark_does_no_harm(store: Store) -> None:
    assert workflow_file.load(store(b"\xef\xbb\xbf" + json.dumps(small()).encode())).seed == 7


@pytest.mark.parametrize(
    "change, message",
    [
        ({"5": 1}, "node '5' is not an object"),
        ({"5": {"inputs": {}}}, "node '5' has no class_type"),
        ({"5": {"class_type": 3, "inputs": {}}}, "node '5' has no class_type"),
        ({"5": {"class_type": "VAEEncode"}}, "node '5' has no inputs"),
        ({"5": node("VAEEncode", pixels=["16", 0])}, "input 'pixels' comes from node '16', which"),
        (
            {"5": node("VAEEncode", pixels=[15, 0])},
            "node '5', input 'pixels': a list must be a link",
        ),
        (
            {"5": node("VAEEncode", pixels=["15"])},
            "node '5', input 'pixels': a list must be a link",
        ),
        ({"5": node("VAEEncode", pixels=["15", -1])}, "a list must be a link"),
        ({"5": node("VAEEncode", pixels=["15", True])}, "a list must be a link"),
        ({"5": node("VAEEncode", pixels=["15", 2])}, "takes output 2 of node 15"),
        ({"101": node("ImageToMask", image=["100", 2])}, "takes output 2 of node 100"),
        ({"5": node("VAEEncode", pixels=["8", 0])}, "links form a cycle: .*'8' -> '5'"),
        ({"5": node("VAEEncode", pixels=["5", 0])}, "links form a cycle: '5' -> '5'"),
        (
            {"9": node("Upscale", image=["1501", 0])},
            r"node 9 \(Upscale\), input 'image', comes from node 1501",
        ),
        (
            {"1501": node("SaveImage", "output", images="x")},
            r"node 1501 .*, the output, has no picture",
        ),
        ({"9": node("LoadImage", "input")}, "the title 'input' is used twice"),
        ({"stable-restyle": []}, '"stable-restyle" is not an object'),
        ({"stable-restyle": {"input": 15}}, '"input" is 15; there is no node with such an ID'),
        ({"stable-restyle": {"mask": "16"}}, "\"mask\" is '16'; there is no node with such an ID"),
        ({"stable-restyle": {"mask": "15", "input": "15"}}, "names one node for two purposes"),
        ({"stable-restyle": {"preview": 1}}, '"preview" is not the name of a look'),
    ],
)
def test_faults_are_named_with_their_place(store: Store, change: Tree, message: str) -> None:
    with pytest.raises(UnusableInput, match=message) as error:
        workflow_file.load(name := store(small() | change))
    assert name in str(error.value)
