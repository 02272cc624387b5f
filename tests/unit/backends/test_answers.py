"""What becomes of the pictures that a server returns, what is left there, and what a check says."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support import clips
from support.comfy_server import ComfyServer, halved
from support.comfy_server import Run as Ending
from support.noting_server import (
    HEIGHT,
    WIDTH,
    FilmFiles,
    NotingServer,
    Tree,
    case,
    edit_model,
    negative,
    on,
)
from support.programs import COMMAND, LONGEST_S, Program, until
from support.runs import files, run

from stable_restyle.backends.comfyui.cleanup import EMPTY
from stable_restyle.backends.comfyui.uploads import KEPT
from stable_restyle.cli import tables
from stable_restyle.core.errors import NoBackendLeft, WorkflowFault
from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import Settings
from stable_restyle.imaging import arrays
from stable_restyle.media import png
from stable_restyle.run import status

pytestmark = pytest.mark.usefixtures("short_pauses")

SLIDES = 11  # of `asked`


# Sizes and places of the answers.


def textured(count: int) -> list[Pixels]:
    """Frames of 192x128: discs and boxes over soft blotches, at rest."""
    chance = np.random.default_rng(5)
    noise = chance.integers(0, 256, (12, 17, 3), np.uint8)
    ground = cv2.resize(noise, (192, 128), interpolation=cv2.INTER_CUBIC)
    for _ in range(16):
        x, y = int(chance.integers(0, 192)), int(chance.integers(0, 128))
        colour = tuple(int(each) for each in chance.integers(0, 256, 3))
        cv2.circle(ground, (x, y), int(chance.integers(5, 16)), colour, -1, cv2.LINE_AA)
    return [np.asarray(ground, np.uint8)] * count


def shifted(picture: Pixels) -> Pixels:
    return np.roll(negative(picture), (2, -4), (0, 1))


def off(one: Pixels, other: Pixels) -> float:
    inner = np.s_[12:-12, 12:-12]
    return float(np.abs(one[inner].astype(float) - other[inner]).mean())


@pytest.mark.parametrize("register", [True, False])
def test_what_an_edit_model_moves_is_moved_back(
    server: NotingServer, tmp_path: Path, register: bool
) -> None:
    source = clips.write_folder(tmp_path / "in", textured(6))
    server.paint = shifted
    tree = edit_model({"1": "frame"}, **({} if register else {"register": False}))
    settings = on(Settings(source, tmp_path / "out"), server, tree)
    run(settings)
    made = FilmFiles(settings)
    for scene in made.scenes:
        frame, slide = made.frame(scene.middle), made.slide(scene.middle)
        if register:
            assert off(slide, negative(frame)) < 0.3 * off(shifted(frame), negative(frame))
        else:
            assert np.array_equal(slide, shifted(frame))


def test_what_a_model_with_a_mask_moves_stays(server: NotingServer, tmp_path: Path) -> None:
    source = clips.write_folder(tmp_path / "in", textured(2))
    server.paint = shifted
    settings = on(
        Settings(source, tmp_path / "out"), server, edit_model({"1": "frame", "2": "mask"})
    )
    run(settings)
    made = FilmFiles(settings)
    assert np.array_equal(made.slide(0), shifted(made.frame(0)))


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("size", [(80, 64), (64, 48), (1024, 768)])
def test_near_sizes_are_scaled_with_one_warning(
    asked: Settings,
    server: NotingServer,
    caplog: pytest.LogCaptureFixture,
    size: tuple[int, int],
    mask: bool,
) -> None:
    server.paint = lambda picture: arrays.fit(negative(picture), *size)
    pictures = {"1": "frame", "2": "mask"} if mask else {"1": "frame"}
    settings = on(asked, server, edit_model(pictures))
    assert run(settings).drawn == SLIDES
    assert {png.read_header(each).size for each in settings.target.glob("*.png")} == {
        (WIDTH, HEIGHT)
    }
    made = f"makes a picture of {size[0]}x{size[1]} for one of 72x56; its slides are scaled to fit"
    assert caplog.text.count(made) == caplog.text.count("scaled") == 1
    assert run(settings).drawn == 0


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        (case("fixed-512"), 'node 12 "Upscale Image" (ImageScale): width 512, height 512'),
        (edit_model({"1": "frame"}), "Let it keep the size of its input"),
    ],
)
def test_another_aspect_is_the_workflows_fault_at_once(
    asked: Settings, server: NotingServer, caplog: pytest.LogCaptureFixture, tree: Tree, named: str
) -> None:
    server.first = "2" if "2" in tree else "1"
    server.paint = lambda picture: arrays.fit(negative(picture), 512, 512)
    with pytest.raises(WorkflowFault) as fault:
        run(on(asked, server, tree))
    assert "makes a picture of 512x512 for one of 72x56" in str(fault.value)
    assert named in str(fault.value) and "--set ID.width=W" in str(fault.value)
    assert "left out" not in caplog.text
    assert server.prompts_run <= 2 * 3  # a slide of each scene, and what was queued


# What is left on the server.


def assert_little_is_left(server: ComfyServer, prompts: int) -> None:
    """Check that nothing is kept for good, and that what is left in temp/ is little."""
    assert not server.history and not server.pending and server.running is None
    assert {kind for kind, _, _ in server.files} == {"temp"}
    uploads = [name for kind, folder, name in server.files if folder]
    slides = [data for (kind, folder, _), data in server.files.items() if not folder]
    assert len(uploads) <= KEPT + 3 * 4  # what was idle, and what prompts in flight needed
    assert slides == [EMPTY] * prompts


def test_little_is_left_on_the_server(server: NotingServer, tmp_path: Path) -> None:
    """Sixty slides of three pictures each."""
    source = clips.write_folder(tmp_path / "in", clips.scenes(30, 30))
    server.first = "2"
    settings = Settings(source, tmp_path / "out", frames_per_slide=1)
    run(on(settings, server, case("several-outputs")))
    assert server.prompts_run == 60
    assert_little_is_left(server, 60)


def test_only_the_slide_is_made(asked: Settings, server: NotingServer) -> None:
    """Of two savers and two previews."""
    server.first = "2"
    run(on(asked, server, case("several-outputs")))
    for prompt in server.prompts:
        outputs = [each for each, its in prompt.items() if "images" in its["inputs"]]
        assert outputs == ["11"] and prompt["11"]["class_type"] == "PreviewImage"


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_little_is_left_after_ctrl_c(asked: Settings, server: NotingServer) -> None:
    server.draw_s = 0.1
    settings = on(asked, server, edit_model({"1": "frame"}))
    command = [*COMMAND, "--model", settings.model, "--backend", server.url]
    with Program(command, cwd=asked.source.parent, stderr=subprocess.PIPE) as process:
        until(lambda: server.prompts_run >= 4, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    server.wait_for(lambda: server.running is None)
    slides = [data for (_, folder, _), data in server.files.items() if not folder]
    assert not server.history and not server.pending
    assert {kind for kind, _, _ in server.files} == {"temp"}
    assert len([data for data in slides if data != EMPTY]) <= 2  # those in flight, not fetched


def test_slides_carry_pixels_and_not_the_prompt(asked: Settings, server: NotingServer) -> None:
    def with_prompt(picture: Pixels) -> bytes:
        ok, data = cv2.imencode(".png", picture[:, :, ::-1])
        assert ok
        plain = data.tobytes()
        chunk = b"tEXtprompt\0secret words"
        crc = zlib.crc32(chunk).to_bytes(4, "big")
        return plain[:33] + (len(chunk) - 4).to_bytes(4, "big") + chunk + crc + plain[33:]

    server.runs.extend([Ending(picture=with_prompt)] * SLIDES)
    run(on(asked, server, edit_model({"1": "frame", "2": "mask"}), motion="codec"))
    for content in files(asked.target).values():
        assert b"secret" not in content and b"tEXt" not in content


# --check.


def check_of(settings: Settings) -> Any:
    (check,) = status.check_backends(settings)
    return check


def masked(turned: bool = False) -> Callable[[Mapping[str, Any], Mapping[str, Pixels]], Pixels]:
    def paint(_: Mapping[str, Any], loaded: Mapping[str, Pixels]) -> Pixels:
        frees = loaded["2"] if not turned else 255 - loaded["2"]
        return np.asarray(np.where(frees > 127, 255 - loaded["1"], loaded["1"]), np.uint8)

    return paint


def test_a_check_draws_the_films_aspect_and_says_what_is_loaded(
    asked: Settings, server: NotingServer
) -> None:
    server.painter = masked()
    check = check_of(on(asked, server, edit_model({"1": "frame", "2": "mask"})))
    assert check.fault is None and check.size == (WIDTH, HEIGHT)
    about = tables.describe_backend(check)
    assert "node 1 (LoadImage) loads frame" in about and "node 2 (LoadImage) loads mask" in about
    assert dict(check.about)["mask"].startswith("it acts: the kept half changed by 0 levels")


def test_a_check_finds_a_mask_that_is_turned(asked: Settings, server: NotingServer) -> None:
    server.painter = masked(turned=True)
    check = check_of(on(asked, server, edit_model({"1": "frame", "2": "mask"})))
    assert "it acts the wrong way round" in check.fault and "Invert Mask" in check.fault
    assert "can draw this run  no" in tables.describe_backend(check)


def test_a_check_finds_a_mask_without_effect(asked: Settings, server: NotingServer) -> None:
    check = check_of(on(asked, server, edit_model({"1": "frame", "2": "mask"})))
    assert dict(check.about)["mask"].startswith("it seems to have no effect")


def test_a_check_of_a_workflow_without_a_mask(asked: Settings, server: NotingServer) -> None:
    check = check_of(on(asked, server, edit_model({"1": "frame"})))
    assert check.fault is None
    assert dict(check.about)["mask"] == "the workflow takes none: it acts when slides are composed"


def test_a_check_finds_another_aspect(asked: Settings, server: NotingServer) -> None:
    server.paint = lambda picture: arrays.fit(negative(picture), 512, 512)
    check = check_of(on(asked, server, edit_model({"1": "frame"})))
    assert "another aspect than the film's" in check.fault


# Servers that fail alike.


def test_patience_ends_although_a_server_answers_and_fails_again_and_again(
    asked: Settings, server: NotingServer
) -> None:
    server.always("GET /view", halved)
    with pytest.raises(NoBackendLeft, match="is not a complete picture"):
        run(on(asked, server, edit_model({"1": "frame"}), patience_min=0.02))
    assert server.prompts_run > 2 * 3  # it was used again


def test_patience_begins_again_with_each_slide_that_is_drawn(
    asked: Settings, server: NotingServer
) -> None:
    """It fails for longer than patience altogether, but never at a stretch."""
    ended = threading.Event()

    def fail_now_and_then() -> None:
        while not ended.is_set():
            server.always("GET /view", halved)
            ended.wait(0.1)
            server.always("GET /view", None)
            drawn = len(list(asked.target.glob("*.png"))) if asked.target.exists() else 0
            while not ended.is_set() and len(list(asked.target.glob("*.png"))) == drawn:
                ended.wait(0.01)

    thread = threading.Thread(target=fail_now_and_then)
    thread.start()
    try:
        settings = on(asked, server, edit_model({"1": "frame"}), patience_min=1)
        assert run(settings).drawn == SLIDES
    finally:
        ended.set()
        thread.join()
