"""Whole films over ComfyUI servers that really draw, where COMFYUI_URL names one.

COMFYUI_URL: the server, or two with a comma between. COMFYUI_CHECKPOINT: a checkpoint that each of
them has; an SDXL model serves every test, others all but claymation's. Size and quality do not
matter: what is tested is that the right pictures travel, not that they are good ones.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests
from support import clips
from support.noting_server import FilmFiles
from support.programs import COMMAND, LONGEST_S, Program, until
from support.runs import files, run

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.backend import ComfyBackend
from stable_restyle.backends.comfyui.cleanup import EMPTY
from stable_restyle.backends.comfyui.client import ComfyUI
from stable_restyle.backends.comfyui.roles import ELEMENT
from stable_restyle.backends.comfyui.slides import KEPT
from stable_restyle.cli import tables
from stable_restyle.core.errors import WorkflowFault
from stable_restyle.core.records import Job, Pixels, Slide, Step
from stable_restyle.core.settings import Settings
from stable_restyle.imaging import compose
from stable_restyle.media import png, sequence
from stable_restyle.run import status

URLS = [url.strip().rstrip("/") for url in os.environ.get("COMFYUI_URL", "").split(",") if url]
CHECKPOINT = os.environ.get("COMFYUI_CHECKPOINT", "")
STEPS, FIRST_STEP = 20, 17
FAR_PX = 24  # from what the mask frees: beyond what a model's grid of 8 and its blur reach
BLUR_PX = 9  # over detail, which encoding and decoding lose
KEPT_OFF, KEPT_OFF_AT_MOST = 10, 40  # levels by which they may change the rest: on average, at all
DRAWN_OFF = 3  # levels, on average, by which a picture that is wholly freed changes at least
INPUTS_OF_SWARM = {
    "var_seed": 0,
    "var_seed_strength": 0,
    "sigma_max": -1,
    "sigma_min": -1,
    "rho": 7,
    "previews": "default",
}

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(not URLS, reason="COMFYUI_URL names no ComfyUI server to try"),
    pytest.mark.skipif(
        not CHECKPOINT, reason="COMFYUI_CHECKPOINT names no checkpoint of COMFYUI_URL's server"
    ),
]

Nodes = dict[str, Any]


def ask(url: str, path: str, **query: str) -> requests.Response:
    return requests.get(url + path, params=query, timeout=60)


def tell(url: str, path: str, **content: object) -> None:
    requests.post(url + path, json=content, timeout=60).raise_for_status()


def queued(url: str) -> set[str]:
    """The prompts that run or wait there."""
    queue = ask(url, "/queue").json()
    return {entry[1] for entries in queue.values() for entry in entries}


def running(url: str) -> set[str]:
    return {entry[1] for entry in ask(url, "/queue").json()["queue_running"]}


def choices(url: str, class_type: str, name: str) -> list[str]:
    """What a node's input may be; nothing if the server lacks the class."""
    info = ask(url, f"/object_info/{class_type}").json().get(class_type)
    if info is None:
        return []
    kind, *options = info["input"]["required"][name]
    listed = kind if isinstance(kind, list) else options[0]["options"]
    return [str(each) for each in listed]


@dataclass(frozen=True)
class Remains:
    """What a server keeps, as far as it shows it."""

    queue: set[str]
    history: set[str]  # less what was interrupted: that it notes when it has stopped
    output: list[str] | None  # its top folder; None from versions that do not tell
    saved: list[int]  # whether there are pictures of ours: statuses of /view

    @classmethod
    def on(cls, url: str) -> Remains:
        files = ask(url, "/internal/files/output")
        places = [
            ("video-restyle", "anime_00001_.png"),
            ("video-restyle", "claymation_00001_.png"),
            (KEPT, "000001_00001_.png"),
        ]
        return cls(
            queued(url),
            {
                prompt
                for prompt, entry in ask(url, "/history").json().items()
                if "execution_interrupted" not in json.dumps(entry["status"])
            },
            sorted(files.json()) if files.ok else None,
            [
                ask(url, "/view", filename=name, subfolder=folder, type="output").status_code
                for folder, name in places
            ],
        )


@pytest.fixture(autouse=True)
def nothing_is_left(one_at_a_real_server: None) -> Iterator[None]:
    """Whatever a test does, its servers keep nothing of it."""
    before = [Remains.on(url) for url in URLS]
    yield
    for url, was in zip(URLS, before, strict=True):
        remains = Remains.on(url)
        assert remains.queue <= was.queue
        assert remains.history <= was.history
        assert (remains.output, remains.saved) == (was.output, was.saved)


def wait_until_stopped(url: str, prompts: set[str]) -> None:
    until(lambda: not prompts & queued(url))


def shipped(name: str) -> Nodes:
    """A shipped workflow, quick, and without what only its own model has: a LoRA."""
    loaded = workflow_file.load(name)
    nodes: Nodes = deepcopy(dict(loaded.nodes))
    lacking = [
        each
        for each, node in nodes.items()
        if node["class_type"] == "LoraLoader"
        and not all(
            node["inputs"]["lora_name"] in choices(url, "LoraLoader", "lora_name") for url in URLS
        )
    ]
    for lora in lacking:
        past = [nodes[lora]["inputs"]["model"], nodes[lora]["inputs"]["clip"]]
        del nodes[lora]
        for node in nodes.values():
            for key, value in node["inputs"].items():
                if isinstance(value, list) and value[0] == lora:
                    node["inputs"][key] = past[value[1]]
    owned = {"input": loaded.loader("guide"), "mask": loaded.loader("mask")}
    return nodes | {ELEMENT: {**owned, "output": loaded.output}}


def the(nodes: Nodes, class_type: str) -> str:
    """The ID of the one node of a class."""
    (found,) = [each for each, node in nodes.items() if node.get("class_type") == class_type]
    return found


def asked(
    nodes: Nodes,
    frames: Path,
    *,
    sampler: str = "KSamplerAdvanced",
    steps: int = STEPS,
    **changes: Any,
) -> Settings:
    """The settings of a run on the first server, or on `backends`."""
    model = frames.with_name("model.json")
    model.write_text(json.dumps(nodes))
    quick = (
        f"{the(nodes, 'CheckpointLoaderSimple')}.ckpt_name={CHECKPOINT}",
        f"{the(nodes, sampler)}.steps={steps}",
        f"{the(nodes, sampler)}.start_at_step={FIRST_STEP}",
    )
    plain: dict[str, Any] = {"model": str(model), "backends": (URLS[0],), "changes": quick}
    plain |= {"mask_strength": 8.0, "save_interp": True}
    return Settings(frames, frames.with_name("out"), **(plain | changes))


def off(one: Pixels, other: Pixels) -> Pixels:
    """(H, W) levels by which two pictures differ, detail aside."""
    smooth = [cv2.blur(each, (BLUR_PX, BLUR_PX)).astype(float) for each in (one, other)]
    return np.asarray(np.abs(smooth[0] - smooth[1]).mean(axis=2))


def check_slides(settings: Settings) -> None:
    """Of the frames' size; middles are drawn, and the others keep the guide where they have to."""
    frames = sequence.find_frames(settings.source)
    slides = sequence.numbered(settings.target)
    assert len(slides) == -(-frames.count // settings.frames_per_slide)
    middles = kept = 0
    for slide, name in enumerate(slides):
        picture = png.read(settings.target / name)
        assert picture.shape == (frames.height, frames.width, 3)
        guide = settings.target.with_name("interp") / name
        if not guide.exists():
            middles += 1
            assert off(picture, frames.read(slide * settings.frames_per_slide)).mean() > DRAWN_OFF
            continue
        mask = png.read(guide.with_stem(guide.stem + "-m"))[:, :, 0]
        far = cv2.dilate(mask, np.ones((2 * FAR_PX + 1,) * 2, np.uint8)) == 0
        if far.any():
            kept += 1
            assert off(picture, png.read(guide))[far].mean() < KEPT_OFF
    assert middles and kept


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Ten frames, five slides: a square that moves over a ground that rests; a cut after six.

    122x94 are no multiples of 8.
    """
    rows, columns = np.mgrid[:94, :122]
    ground = np.stack([60 + columns, 200 - rows, 120 + 30 * np.sin(columns / 20)], axis=2)
    pictures = []
    for index in range(10):
        picture = (ground if index < 6 else 255 - ground).astype(np.uint8)
        left = 8 + 2 * index
        picture[40:60, left : left + 20] = 230, 40, 40
        pictures.append(picture)
    return clips.write_folder(tmp_path / "in", pictures)


def test_anime(frames: Path) -> None:
    settings = asked(shipped("anime.json"), frames)
    assert run(settings).drawn == 5
    check_slides(settings)
    assert run(settings).drawn == 0


def test_grey_masks_act_at_every_step(frames: Path) -> None:
    settings = asked(shipped("anime-differential.json"), frames)
    assert run(settings).drawn == 5
    check_slides(settings)


def test_claymation(frames: Path) -> None:
    settings = asked(shipped("claymation.json"), frames)
    try:
        run(settings)
    except WorkflowFault as fault:
        if "CLIPTextEncodeSDXL" in str(fault) and "'g'" in str(fault):
            pytest.skip(f"claymation.json needs an SDXL model, which {CHECKPOINT} is not")
        raise
    check_slides(settings)


@pytest.mark.parametrize(("width", "height"), [(64, 64), (65, 71), (128, 66), (71, 128)])
def test_sizes(tmp_path: Path, width: int, height: int) -> None:
    """Nothing is shifted, scaled or cropped: what rests is kept whole, edges and corners too."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[:, :16] = 40
    picture[:16] = 160
    edges = clips.write_folder(tmp_path / "in", [picture] * 5)
    settings = asked(shipped("anime.json"), edges)
    run(settings)
    slides = [settings.target / name for name in sequence.numbered(settings.target)]
    assert [png.read_header(slide).size for slide in slides] == [(width, height)] * 3
    guides = [tmp_path / "interp" / slide.name for slide in slides]
    assert [guide.exists() for guide in guides] == [True, False, True]
    for slide, guide in zip(slides[::2], guides[::2], strict=True):
        assert off(png.read(slide), png.read(guide)).max() < KEPT_OFF_AT_MOST


def test_an_enlarging_workflow(frames: Path) -> None:
    nodes = shipped("anime.json")
    decoded = the(nodes, "VAEDecode")
    nodes["enlarge"] = {
        "class_type": "ImageScaleBy",
        "inputs": {"image": [decoded, 0], "upscale_method": "bicubic", "scale_by": 2.0},
    }
    nodes[the(nodes, "SaveImage")]["inputs"]["images"] = ["enlarge", 0]
    settings = asked(nodes, frames)
    run(settings)
    assert {png.read_header(path).size for path in settings.target.glob("*.png")} == {(244, 188)}


def test_the_shape_of_the_original_with_swarm_nodes(frames: Path) -> None:
    if not choices(URLS[0], "SwarmKSampler", "sampler_name"):
        pytest.skip(f"{URLS[0]} lacks SwarmUI's node pack")
    nodes = shipped("anime.json")
    for role in ("input", "mask"):
        owned = nodes[ELEMENT][role]
        nodes[owned] = {"class_type": "SwarmLoadImageB64", "inputs": {"image_base64": ""}}
    sampler = nodes[the(nodes, "KSamplerAdvanced")]
    sampler["class_type"] = "SwarmKSampler"
    sampler["inputs"] |= INPUTS_OF_SWARM
    settings = asked(nodes, frames, sampler="SwarmKSampler")
    run(settings)
    check_slides(settings)


@pytest.mark.skipif(len(URLS) < 2, reason="COMFYUI_URL names one server, not two")
def test_two_servers_share_a_film(frames: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Counter[str] = Counter()
    draw = ComfyBackend.draw

    def noted(server: ComfyBackend, job: Job) -> Slide:
        slide = draw(server, job)
        drawn[server.name] += 1
        return slide

    monkeypatch.setattr(ComfyBackend, "draw", noted)
    settings = asked(shipped("anime.json"), frames, backends=tuple(URLS[:2]))
    run(settings)
    check_slides(settings)
    assert sum(drawn.values()) == 5
    assert len(drawn) == 2


def pixels(pictures: Nodes, **nodes: Any) -> Nodes:
    """A workflow without a model: the negative of the first picture."""
    load = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
    return {
        ELEMENT: {"pictures": pictures, "mask": None, "output": "out", "register": False},
        **dict.fromkeys(pictures, load),
        "negative": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "out": {"class_type": "SaveImage", "inputs": {"images": ["negative", 0]}},
        **nodes,
    }


def asked_plain(nodes: Nodes, frames: Path, **changes: Any) -> Settings:
    model = frames.with_name("model.json")
    model.write_text(json.dumps(nodes))
    plain: dict[str, Any] = {"model": str(model), "backends": (URLS[0],), "motion": "codec"}
    return Settings(frames, frames.with_name("out"), save_interp=True, **(plain | changes))


ROLES: dict[str, Callable[[FilmFiles, Step, int], Pixels]] = {
    "frame": lambda made, step, source: made.frame(step.slide),
    "guide": lambda made, step, source: made.guide(step),
    "warped": lambda made, step, source: made.warped(step),
    "previous": lambda made, step, source: made.slide(source),
    "middle": lambda made, step, source: made.slide(made.scenes[step.scene - 1].middle),
    "film": lambda made, step, source: made.slide(made.scenes[0].middle),
    "style": lambda made, step, source: np.full((94, 122, 3), 60, np.uint8),
}


@pytest.mark.parametrize("role", ROLES)
def test_the_picture_of_a_role_is_what_is_painted_where_the_mask_frees(
    frames: Path, role: str
) -> None:
    style = frames.with_name("style.png")
    png.write(style, np.full((94, 122, 3), 60, np.uint8))
    given = (f"style={style}",) if role == "style" else ()
    settings = asked_plain(pixels({"1": [role, "frame"]}), frames, pictures=given)
    assert run(settings).drawn == 5
    made = FilmFiles(settings)
    for step in made.steps.values():
        if step.previous is not None:
            answer = 255 - ROLES[role](made, step, step.previous)
            wanted = compose.compose(answer, made.warped(step), made.mask(step))
            assert np.abs(made.slide(step.slide).astype(int) - wanted).max() <= 1
    assert run(settings).drawn == 0


def test_only_the_slide_is_made(frames: Path) -> None:
    """What another output would save is looked for afterwards."""
    other = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "other"}}
    failing = {"class_type": "NoSuchNode", "inputs": {"image": ["1", 0]}}
    run(asked_plain(pixels({"1": "frame"}, other=other, failing=failing), frames))
    names = [f"other_{number:05}_.png" for number in range(1, 10)]
    found = [ask(URLS[0], "/view", filename=each, type="output").status_code for each in names]
    assert set(found) == {404}


def test_fetched_slides_are_emptied_in_the_temp_folder(
    frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Mapping[str, str]] = []
    view = ComfyUI._view

    def noted(client: ComfyUI, picture: Mapping[str, str], limit: int) -> bytes:
        fetched.append(picture)
        return view(client, picture, limit)

    monkeypatch.setattr(ComfyUI, "_view", noted)
    run(asked_plain(pixels({"1": "frame"}), frames))
    assert len(fetched) == 5
    left = [requests.get(f"{URLS[0]}/view", params=dict(each), timeout=60) for each in fetched]
    assert {len(each.content) for each in left} == {len(EMPTY)}


def test_an_equal_slide_that_was_drawn_before_is_drawn_again(frames: Path) -> None:
    """The server answers an equal prompt from its cache, whose picture is emptied."""
    settings = asked_plain(pixels({"1": "frame"}), frames)
    run(settings)
    whole = files(settings.target)
    for _ in range(2):
        assert run(replace(settings, fresh=True)).drawn == 5
        assert files(settings.target) == whole


def test_another_aspect(frames: Path) -> None:
    scale = {"upscale_method": "area", "width": 512, "height": 512, "crop": "disabled"}
    square = {"class_type": "ImageScale", "inputs": {"image": ["1", 0], **scale}}
    nodes = pixels({"1": "frame"}, square=square)
    nodes["negative"]["inputs"]["image"] = ["square", 0]
    with pytest.raises(WorkflowFault, match=r"node square \(ImageScale\): width 512, height 512"):
        run(asked_plain(nodes, frames))


def test_a_workflow_without_a_mask_gets_one(frames: Path) -> None:
    nodes = shipped("anime.json")
    for each in ("SetLatentNoiseMask", "ImageToMask"):
        del nodes[the(nodes, each)]
    del nodes[nodes[ELEMENT].pop("mask")]
    nodes[the(nodes, "KSamplerAdvanced")]["inputs"]["latent_image"] = [the(nodes, "VAEEncode"), 0]
    settings = asked(nodes, frames)
    assert run(settings).drawn == 5
    check_slides(settings)


def test_check(frames: Path) -> None:
    (check,) = status.check_backends(asked(shipped("anime.json"), frames))
    assert check.fault is None and not check.problems
    about = dict(check.about)
    assert about["ComfyUI"] and about["device"] and about["websocket"] == "works"
    assert check.trial_s is not None
    assert "can draw this run  yes" in tables.describe_backend(check)


def test_what_a_server_lacks_is_shown(frames: Path) -> None:
    nodes = shipped("anime.json")
    nodes["odd"] = {"class_type": "NoSuchNode", "inputs": {"image": [the(nodes, "VAEDecode"), 0]}}
    nodes[the(nodes, "SaveImage")]["inputs"]["images"] = ["odd", 0]
    settings = asked(nodes, frames)
    missing = settings.changes[0] + "x"  # the checkpoint's name, mistyped
    settings = asked(nodes, frames, changes=(missing, *settings.changes[1:]))
    with pytest.raises(WorkflowFault) as refusal:
        run(settings)
    assert "node odd (NoSuchNode): the server has no such node class" in str(refusal.value)
    assert f"the nearest it has: {CHECKPOINT}" in str(refusal.value)
    assert not settings.target.exists()


@contextmanager
def forgotten(url: str, times: int) -> Iterator[list[str]]:
    """Drop what runs there, so many times, as if the server had been started anew; what it dropped.

    A restart itself takes more than a URL.
    """
    before, dropped = queued(url), list[str]()
    ended = threading.Event()

    def forget() -> None:
        while len(dropped) < times and not ended.wait(0.02):
            for prompt in sorted(running(url) - before - set(dropped)):
                dropped.append(prompt)
                tell(url, "/interrupt", prompt_id=prompt)
                tell(url, "/queue", delete=sorted(queued(url) - before))
                wait_until_stopped(url, {prompt})
                tell(url, "/history", delete=[prompt])

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        yield dropped
    finally:
        ended.set()
        thread.join()


def test_a_server_that_forgets_in_mid_run(frames: Path) -> None:
    settings = asked(shipped("anime.json"), frames, steps=30)
    with forgotten(URLS[0], 2) as dropped:
        run(settings)
    assert len(dropped) == 2
    check_slides(settings)


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_leaves_no_prompt_behind(frames: Path) -> None:
    settings = asked(shipped("anime.json"), frames, steps=1000)
    options = ["--model", settings.model]
    for url in URLS:
        options += ["--backend", url]
    for change in settings.changes:
        options += ["--set", change]
    before = {url: queued(url) for url in URLS}
    with Program([*COMMAND, *options], cwd=frames.parent, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: any(running(url) - before[url] for url in URLS), process)
        finally:
            ours = {url: queued(url) - before[url] for url in URLS}
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    assert "Traceback" not in said and "Interrupted" in said
    for url in URLS:  # what runs ends with its step
        wait_until_stopped(url, ours[url])
