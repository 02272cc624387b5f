"""Windows on a server: what it is given, what comes back, and what is said where that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence
from support.comfy_server import ComfyServer, Run, answer, answer_lost, window_workflow
from support.comfy_server.windows import NOISE, OFF
from support.programs import LONGEST_S

from stable_restyle.backends.comfyui import client, workflow_file
from stable_restyle.backends.comfyui.backend import Access, ComfyBackend
from stable_restyle.backends.comfyui.cleanup import EMPTY
from stable_restyle.backends.comfyui.overrides import apply_overrides
from stable_restyle.backends.comfyui.timeouts import Allowance, Timeouts
from stable_restyle.backends.comfyui.uploads import BATCHES_KEPT
from stable_restyle.core.errors import ServerFault, WorkflowFault
from stable_restyle.core.records import Pixels, Window, WindowJob
from stable_restyle.imaging import arrays
from stable_restyle.media import sequence

HEIGHT, WIDTH = 50, 66
Tree = dict[str, Any]
Connect = Callable[..., ComfyBackend]


def slide(number: int, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """A ramp whose level is the number of the slide."""
    ramp = np.linspace(0, 100, width)[np.newaxis, :, np.newaxis] + 10 * number
    return np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)


def job(slides: int = 6, length: int = 9, first: int = 2, **changes: Any) -> WindowJob:
    """A window between two keys."""
    shown = range(first, first + slides)
    ends = frozenset({shown[0], shown[-1]})
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    found = WindowJob(
        Window(shown, length),
        1,
        (WIDTH, HEIGHT),
        Fraction(24000, 1001),
        ends,
        {
            "frames": slide,
            "known": lambda number: slide(number) if number in ends else grey,
            "known-mask": lambda number: np.full((HEIGHT, WIDTH), 255 * (number not in ends), "u1"),
        },
        {"first": lambda: slide(shown[0]), "last": lambda: slide(shown[-1])},
    )
    return replace(found, **changes)


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


@pytest.fixture
def connect(server: ComfyServer, tmp_path: Path) -> Iterator[Connect]:
    """Return what connects to the server with a workflow that makes windows."""
    made: list[ComfyBackend] = []

    def connect(tree: Tree, **access: Any) -> ComfyBackend:
        path = tmp_path / f"window{len(made)}.json"
        path.write_text(json.dumps(tree), "utf-8")
        variants = apply_overrides(workflow_file.load("claymation"), None, [])
        windows = {"fill": workflow_file.load_window(str(path))}
        made.append(ComfyBackend(server.url, replace(variants, windows=windows), Access(**access)))
        made[-1].fit()
        return made[-1]

    yield connect
    for each in made:
        each.close()


def shown(server: ComfyServer, loader: str) -> list[Pixels]:
    """Return the pictures that a node of the last prompt loads, as Pillow reads them."""
    name = server.prompts[-1][loader]["inputs"]["image"].removesuffix(" [temp]")
    folder, _, file = name.rpartition("/")
    with Image.open(BytesIO(server.files["temp", folder, file])) as image:
        return [np.array(each.convert("RGB")) for each in ImageSequence.Iterator(image)]


def pixels(backend: ComfyBackend, its: WindowJob) -> list[Pixels]:
    with backend.draw_window(its) as pictures:
        assert pictures.count == len(its.window.slides)
        return [each.pixels for each in pictures]


def test_each_slide_comes_back_where_it_was(connect: Connect) -> None:
    its = job()
    made = pixels(connect(window_workflow("identity")), its)
    assert len(made) == len(its.window.slides)
    for number, picture in zip(its.window.slides, made, strict=True):
        assert np.array_equal(picture, slide(number))


def test_a_window_is_mixed_from_its_ends(connect: Connect) -> None:
    its = job()
    made = pixels(connect(window_workflow()), its)
    for number, picture in zip(its.window.slides, made, strict=True):
        off = np.abs(picture.astype(int) - slide(number))
        assert off.max() <= OFF + NOISE + 1  # the model adds as much, and rounds
    again = pixels(connect(window_workflow()), its)
    assert all(map(np.array_equal, made, again))


def test_batches_are_as_long_as_the_window_and_repeat_its_last_slide(
    server: ComfyServer, connect: Connect
) -> None:
    its = job(slides=6, length=9)
    pixels(connect(window_workflow("identity")), its)
    frames, known, masks = (shown(server, loader) for loader in "123")
    padded = [*its.window.slides, *[its.window.slides[-1]] * 3]
    for place, number in enumerate(padded):
        assert np.array_equal(frames[place][:HEIGHT, :WIDTH], slide(number))
        is_known = number in its.known
        assert np.all(masks[place] == (0 if is_known else 255))
        expected = slide(number) if is_known else np.full((HEIGHT, WIDTH, 3), 128)
        assert np.array_equal(known[place][:HEIGHT, :WIDTH], expected)


def test_the_model_is_told_length_rate_and_a_size_that_it_takes(
    server: ComfyServer, connect: Connect
) -> None:
    server.classes["WindowModel"]["input"]["optional"]["width"][1]["step"] = 32
    pixels(connect(window_workflow("identity")), job())
    inputs = server.prompts[-1]["5"]["inputs"]
    assert (inputs["length"], inputs["width"], inputs["height"]) == (9, 96, 64)
    assert inputs["fps"] == pytest.approx(23.976, abs=1e-3)
    assert shown(server, "1")[0].shape == (64, 96, 3)


def test_a_workflow_with_a_size_of_its_own_gets_slides_of_that_size(
    server: ComfyServer, connect: Connect
) -> None:
    tree = window_workflow("identity")
    tree["stable-restyle"]["numbers"] = {"5.length": "length"}
    tree["5"]["inputs"] |= {"width": 128, "height": 96}
    made = pixels(connect(tree), job())
    assert shown(server, "1")[0].shape == (96, 128, 3)
    for number, picture in zip(job().window.slides, made, strict=True):
        height, width = picture.shape[:2]
        assert sequence.is_scale((width, height), (WIDTH, HEIGHT))
        assert abs(height * width - 96 * 128) < height + width
        assert np.abs(arrays.fit(picture, WIDTH, HEIGHT).astype(int) - slide(number)).max() <= 3


def test_slides_larger_than_a_workflow_draws_are_scaled_down(
    server: ComfyServer, connect: Connect
) -> None:
    tree = window_workflow("identity", step=4, plus=1, most=17, pixels=4096)
    big = job(
        size=(4 * WIDTH, 4 * HEIGHT),
        batches=dict.fromkeys(
            ("frames", "known", "known-mask"), lambda number: slide(number, 4 * HEIGHT, 4 * WIDTH)
        ),
    )
    made = pixels(connect(tree), big)
    inputs = server.prompts[-1]["5"]["inputs"]
    assert (inputs["width"], inputs["height"]) == (80, 48)
    assert {each.shape for each in made} == {(4 * HEIGHT, 4 * WIDTH, 3)}


def test_another_aspect_is_refused_before_anything_is_sent(
    server: ComfyServer, connect: Connect
) -> None:
    tree = window_workflow("identity")
    tree["stable-restyle"]["numbers"] = {"5.length": "length"}
    tree["5"]["inputs"] |= {"width": 512, "height": 512}
    backend = connect(tree)
    with pytest.raises(WorkflowFault, match=r"another aspect(?s:.*)node 5.*width 512, height 512"):
        pixels(backend, job())
    assert not server.files


def test_an_enlarged_window_keeps_its_scale(connect: Connect) -> None:
    made = pixels(connect(window_workflow("twice as large", sized=False)), job())
    assert {each.shape for each in made} == {(2 * HEIGHT, 2 * WIDTH, 3)}
    assert np.array_equal(made[0][::2, ::2], slide(2))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("one too few", "made 8 pictures for a window of 9"),
        ("one too many", "made 10 pictures for a window of 9"),
        ("mixed sizes", "pictures of 80x64 and of 160x128 in one window"),
    ],
)
def test_what_is_no_window_is_the_workflows_fault(
    connect: Connect, mode: str, message: str
) -> None:
    backend = connect(window_workflow(mode))
    with pytest.raises(WorkflowFault, match=message):
        pixels(backend, job(slides=9, length=9))


def test_pictures_are_fetched_when_they_are_wanted_and_freed_afterwards(
    server: ComfyServer, connect: Connect
) -> None:
    backend = connect(window_workflow("identity"))
    with backend.draw_window(job()) as pictures:
        fetched = server.requests["GET /view"]
        pictures.read(3)
        assert server.requests["GET /view"] == fetched + 1
    backend.close()
    left = [data for place, data in server.files.items() if place[1] == ""]
    assert left == [EMPTY] * 9
    assert not server.history


def test_equal_batches_are_uploaded_once_and_files_are_used_again(
    server: ComfyServer, connect: Connect
) -> None:
    backend = connect(window_workflow("identity"))
    for first in (2, 2, 5, 9, 12):
        pixels(backend, job(first=first))
    assert server.requests["POST /upload/image"] - uploads_of_tidying(server) == 4 * 2 + 1
    ours = [place for place in server.files if place[1] == "stable-restyle"]
    assert len(ours) <= BATCHES_KEPT + 2  # of the three that a window loads, one is needed again


def uploads_of_tidying(server: ComfyServer) -> int:
    return sum(data == EMPTY for data in server.files.values())


def test_a_window_that_was_made_before_is_made_again(connect: Connect, server: ComfyServer) -> None:
    """The server answers from its cache, and the pictures there are gone."""
    backend = connect(window_workflow("identity"))
    server.runs.append(Run(cached=True))
    assert len(pixels(backend, job())) == 6
    assert len(pixels(backend, job())) == 6
    assert server.prompts_run == 3


def test_a_server_that_restarts_makes_the_window_again(
    server: ComfyServer, connect: Connect
) -> None:
    server.runs.append(Run(restart=True))
    made = pixels(connect(window_workflow("identity")), job())
    assert np.array_equal(made[5], slide(7))


def test_pictures_that_are_gone_while_they_are_fetched_are_the_servers_fault(
    server: ComfyServer, connect: Connect
) -> None:
    backend = connect(window_workflow("identity"))
    with backend.draw_window(job()) as pictures:
        pictures.read(0)
        server.restart()
        with pytest.raises(ServerFault, match="is gone"):
            pictures.read(1)


def test_an_upload_whose_answer_is_lost_is_sent_again(
    server: ComfyServer, connect: Connect
) -> None:
    server.on("POST /upload/image", answer_lost)
    assert np.array_equal(pixels(connect(window_workflow("identity")), job())[1], slide(3))


def test_a_batch_larger_than_the_server_takes_is_not_sent(
    server: ComfyServer, connect: Connect
) -> None:
    server.features = {"max_upload_size": 2**10}
    backend = connect(window_workflow("identity"))
    with pytest.raises(WorkflowFault, match=r"kB is too large .*, which takes 1\.02 kB") as fault:
        pixels(backend, job())
    assert "--max-upload-size" in str(fault.value) and '"most"' in str(fault.value)
    assert not server.files


@pytest.mark.parametrize("features", [answer(404), answer(200, "no JSON"), answer(200, "[]")])
def test_a_server_that_does_not_say_what_it_takes_may_refuse_a_batch(
    server: ComfyServer, connect: Connect, features: Any
) -> None:
    server.always("GET /features", features)
    server.always("POST /upload/image", answer(413, "Maximum request body size exceeded"))
    with pytest.raises(WorkflowFault, match=r"too large for http:(?s:.*)--max-upload-size"):
        pixels(connect(window_workflow("identity")), job())


def test_a_window_may_take_as_long_as_its_slides_in_fours() -> None:
    allowed = Allowance.of(10, 9)
    assert allowed.seconds == 30
    assert allowed.overdue.startswith("it took longer than 30 s for a window of 9 pictures (--time")


def test_a_window_may_wait_for_another_one_as_well() -> None:
    allowed = Allowance.of(10, 9)
    allowed.check_queue(3629, 3600)
    with pytest.raises(ServerFault, match=r"not started on the window in 60\.5 min"):
        allowed.check_queue(3631, 3600)
    with pytest.raises(ServerFault, match="not started on the slide in 60 min"):
        Allowance.of(10, None).check_queue(3601, 3600)


def test_a_window_that_takes_too_long_is_the_servers_fault(
    server: ComfyServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "Timeouts", lambda: Timeouts(quiet_s=0.05))
    soon = replace(Allowance.of(300.0, 9), seconds=0.1)
    monkeypatch.setattr(Allowance, "of", lambda *asked: {(300.0, 9): soon}[asked])
    server.runs.append(Run(seconds=LONGEST_S))
    with pytest.raises(ServerFault, match="for a window of 9 pictures"):
        pixels(connect(window_workflow("identity")), job())


def test_saved_windows_are_kept_by_the_slides_that_they_show(
    server: ComfyServer, connect: Connect
) -> None:
    backend = connect(window_workflow("identity"), keep_on_server=True)
    pixels(backend, job())
    assert server.prompts[-1]["6"]["class_type"] == "SaveImage"
    prefix = server.prompts[-1]["6"]["inputs"]["filename_prefix"]
    assert prefix == "stable-restyle-out/fill-000003-000008"


def test_seed_and_changes_of_a_window(server: ComfyServer, connect: Connect) -> None:
    pixels(connect(window_workflow("identity")), job(seed=7, changes=["5.mode=mix"]))
    inputs = server.prompts[-1]["5"]["inputs"]
    assert (inputs["seed"], inputs["mode"]) == (7, "mix")


def test_the_check_makes_the_shortest_window(server: ComfyServer, connect: Connect) -> None:
    check = connect(window_workflow("identity")).check((256, 144))
    assert check.fault is None
    about = dict(check.about)
    assert about["window"].startswith("5 pictures of 256x144 in ")
    assert server.prompts[-1]["5"]["inputs"]["length"] == 5
    assert ("workflow", "window0.json (--fill)") in [
        (label, Path(text).name) for label, text in check.about
    ]


def test_what_a_server_lacks_for_windows_is_found_before_the_run(
    server: ComfyServer, connect: Connect
) -> None:
    del server.classes["WindowModel"]
    with pytest.raises(WorkflowFault, match=r"window0\.json:\n  node 5 \(WindowModel\)"):
        connect(window_workflow())
    server.classes["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"] = [["other"]]
    both = (
        r"claymation\.json and .*window1\.json:\n  claymation\.json: (?s:.*)window1\.json: node 5"
    )
    with pytest.raises(WorkflowFault, match=both):
        connect(window_workflow())
