"""Whole films over ComfyUI servers, on good days and bad ones: the slides are always the same."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import clips, paths
from support.comfy_server import SDXL, ComfyServer, Run, answer, dropped, halved, slow
from support.cutting_proxy import cutting_proxy
from support.programs import COMMAND, LONGEST_S, Program, until
from support.runs import files, run

from stable_restyle.backends import connect, pool
from stable_restyle.backends.comfyui import client, timeouts, workflow_file
from stable_restyle.cli import tables
from stable_restyle.core.errors import NoBackendLeft, UnusableInput, WorkflowFault, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import Settings
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence
from stable_restyle.run import status

Servers = Callable[[int], list[ComfyServer]]


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Starts servers."""
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(ComfyServer()) for _ in range(count)]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_S", 0.2)


@pytest.fixture
def asked(make_frames: Callable[..., Path], tmp_path: Path) -> Settings:
    """Twenty-one frames in three scenes, eleven slides."""
    return Settings(make_frames(8, 7, 6), tmp_path / "out")


@pytest.fixture
def expected(asked: Settings, tmp_path: Path) -> dict[str, bytes]:
    """The slides of an undisturbed run on one server."""
    with ComfyServer() as server:
        calm = replace(asked, target=tmp_path / "calm" / "out", backends=(server.url,))
        assert run(calm).drawn == 11
        assert server.prompts_run == 11
        assert server.history == {}
    return files(calm.target)


def on(asked: Settings, servers: list[ComfyServer], **changes: Any) -> Settings:
    return replace(asked, backends=tuple(server.url for server in servers), **changes)


def node_with(name: str) -> str:
    """The first node of the shipped claymation workflow that has such an input."""
    nodes = workflow_file.load("claymation.json").nodes
    return next(each for each, node in nodes.items() if name in node["inputs"])


@contextmanager
def killed_after(server: ComfyServer, prompts: int) -> Iterator[None]:
    """Kill a server once it has begun so many prompts."""

    def kill() -> None:
        server.wait_for(lambda: server.prompts_run >= prompts)
        server.stop()

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


def test_slides_have_their_frames_size_and_the_mask_keeps(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    work = servers(1)
    run(on(asked, work))
    assert files(asked.target) == expected
    assert {png.read_header(path).size for path in asked.target.glob("*.png")} == {(66, 50)}
    assert all(kind == "temp" for kind, _, _ in work[0].files)


@pytest.mark.parametrize("size", [(36, 28), (108, 84)])
def test_slides_of_a_workflow_that_scales_are_found_again(
    asked: Settings, servers: Servers, size: tuple[int, int]
) -> None:
    """Frames of 66x50 are sent as 72x56."""

    def scaled(picture: Pixels) -> bytes:
        return png.encode(arrays.fit(picture, *size))

    (server,) = servers(1)
    server.runs.extend([Run(picture=scaled)] * 11)
    settings = on(asked, [server])
    assert run(settings).drawn == 11
    assert run(settings).drawn == 0


@pytest.mark.skipif(os.name != "posix", reason="a process cannot send itself Ctrl-C on Windows")
@pytest.mark.parametrize("ask", [status.check_backends, run])
def test_ctrl_c_waits_for_no_answer(
    asked: Settings,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[Settings], object],
) -> None:
    """A server that says nothing for an hour."""
    monkeypatch.setattr(client, "Timeouts", partial(timeouts.Timeouts, answer_s=3600))
    (server,) = servers(1)
    server.always("GET /system_stats", slow(3600))

    def interrupt() -> None:
        server.wait_for(lambda: server.requests["GET /system_stats"])
        signal.raise_signal(signal.SIGINT)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            ask(on(asked, [server], timeout_s=3600))
    signal.signal(signal.SIGINT, before)


def test_several_servers_share_the_slides(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    three = servers(3)
    for server in three:
        server.draw_s = 0.03
    run(on(asked, three))
    assert files(asked.target) == expected
    assert sum(server.prompts_run for server in three) == 11
    assert min(server.prompts_run for server in three) >= 2
    assert max(server.most_in_queue for server in three) <= 2


def test_a_server_that_is_not_there_is_left_out(
    asked: Settings,
    expected: dict[str, bytes],
    servers: Servers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone, there = servers(2)
    gone.stop()
    run(on(asked, [gone, there]))
    assert files(asked.target) == expected
    assert f"{gone.url} is left out for now" in caplog.text


def test_a_proxy_that_ends_every_request_and_websocket(
    make_frames: Callable[..., Path], tmp_path: Path
) -> None:
    """As those before rented pods do after 100 s; here, each slide takes longer than that."""
    asked = Settings(make_frames(4), tmp_path / "out")
    with ComfyServer(draw_s=2.2) as server, cutting_proxy(server.url, after_s=2.0) as proxy:
        assert run(replace(asked, backends=(proxy.url,))).drawn == 2
        assert proxy.cut >= 2  # the websocket, again and again
        assert server.prompts_run == 2
        calm = replace(asked, target=tmp_path / "calm" / "out", backends=(server.url,))
        server.draw_s = 0.0
        run(calm)
    assert files(asked.target) == files(calm.target)


def test_a_server_that_dies_in_mid_run(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    dying, there = servers(2)
    dying.runs.extend([Run(), Run(seconds=math.inf)])
    with killed_after(dying, 2):
        run(on(asked, [dying, there]))
    assert files(asked.target) == expected


@pytest.mark.parametrize(
    ("route", "day"),
    [
        ("POST /prompt", answer(500, "Internal Server Error")),
        ("POST /prompt", answer(200, "<html>a proxy</html>", "text/html")),
        ("POST /upload/image", answer(503)),
        ("POST /upload/image", dropped),
        ("GET /view", halved),
        ("GET /view", answer(200, "junk", "image/png")),
        ("GET /history/{id}", answer(502)),
    ],
)
def test_a_bad_answer_costs_no_slide_and_draws_none_twice(
    asked: Settings, expected: dict[str, bytes], servers: Servers, route: str, day: Any
) -> None:
    bad, good = servers(2)
    bad.on(route, *[day] * 3)
    run(on(asked, [bad, good]))
    assert files(asked.target) == expected


def test_a_server_that_forgets_all_in_a_restart(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    only = servers(1)
    only[0].runs += [Run(), Run(restart=True), Run(), Run(restart=True)]
    run(on(asked, only))
    assert files(asked.target) == expected


def test_a_server_that_takes_too_long(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    slow, quick = servers(2)
    slow.draw_s = math.inf
    run(on(asked, [slow, quick], timeout_s=0.3))
    assert files(asked.target) == expected
    assert slow.pending == []


def test_a_retired_server_is_used_again(
    asked: Settings,
    expected: dict[str, bytes],
    servers: Servers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    only = servers(1)
    only[0].on("POST /prompt", answer(500))
    with caplog.at_level(logging.INFO):
        run(on(asked, only))
    assert files(asked.target) == expected
    assert "No backend is left; waiting" in caplog.text
    assert f"{only[0].url} answers again" in caplog.text


def test_all_servers_gone_ends_the_run_when_patience_does(
    asked: Settings, servers: Servers
) -> None:
    dying = servers(1)
    dying[0].runs.extend([Run()] * 3 + [Run(seconds=math.inf)])
    with (
        killed_after(dying[0], 4),
        pytest.raises(NoBackendLeft, match="run the command again") as end,
    ):
        run(on(asked, dying, patience_min=0.005))
    assert dying[0].url in str(end.value)
    for path in asked.target.glob("*.png"):
        png.read(path)


def test_no_server_at_all_is_told_at_once(asked: Settings, servers: Servers) -> None:
    gone = servers(2)
    for server in gone:
        server.stop()
    with pytest.raises(NoBackendLeft, match="No backend can draw"):
        run(on(asked, gone))


def test_a_missing_checkpoint_is_told_before_any_work(asked: Settings, servers: Servers) -> None:
    lacking = servers(2)
    for server in lacking:
        server.classes["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"] = [
            ["OfficialStableDiffusion/sd_xl_base_0.9.safetensors", "other.ckpt"]
        ]
    with pytest.raises(WorkflowFault) as refusal:
        run(on(asked, lacking))
    message = str(refusal.value)
    assert "CheckpointLoaderSimple" in message and SDXL in message
    assert "the nearest it has: OfficialStableDiffusion/sd_xl_base_0.9.safetensors" in message
    assert not asked.target.exists()


def test_a_server_that_lacks_a_node_class_is_left_out(
    asked: Settings, expected: dict[str, bytes], servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    lacking, good = servers(2)
    del lacking.classes["LoraLoader"]
    run(on(asked, [lacking, good]))
    assert files(asked.target) == expected
    assert lacking.prompts_run == 0
    assert "(LoraLoader): the server has no such node class" in caplog.text


def test_a_failing_node_ends_the_run(asked: Settings, servers: Servers) -> None:
    failing = servers(2)
    for server in failing:
        server.runs += [Run(error={"exception_message": "mat1 and mat2"})] * 9
    with pytest.raises(WorkflowFault, match="mat1 and mat2"):
        run(on(asked, failing))


def test_a_node_that_fails_on_one_server_only(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    failing, good = servers(2)
    failing.runs += [Run(error={"exception_message": "no kernel image"})] * 99
    run(on(asked, [failing, good]))
    assert files(asked.target) == expected


def test_out_of_memory_is_tried_again_with_memory_freed(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    only = servers(1)
    only[0].runs += [Run(), Run(error={"exception_type": "torch.cuda.OutOfMemoryError"})]
    run(on(asked, only))
    assert files(asked.target) == expected
    assert only[0].freed == 1


def test_a_password_a_path_and_a_header_and_no_word_of_them(
    asked: Settings, expected: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with ComfyServer(
        base="/ComfyBackendDirect", password="hush", headers={"X-Key": "s3cret"}
    ) as it:
        settings = on(asked, [it], headers=("X-Key: s3cret",))
        it.on("POST /prompt", answer(500))
        with caplog.at_level(logging.DEBUG):
            run(settings)
    assert files(asked.target) == expected
    written = [path.read_text() for path in asked.target.parent.glob("interp/*.json")]
    for text in (caplog.text, repr(settings), *written):
        assert "hush" not in text and "s3cret" not in text


def test_what_a_server_made_is_kept_byte_for_byte(tmp_path: Path, servers: Servers) -> None:
    """Where nothing had to be cropped or composed: 64x48 are multiples of 8."""
    frames = clips.write_folder(tmp_path / "in", clips.scenes(5))
    only = servers(1)
    run(on(Settings(frames, tmp_path / "out", motion="codec"), only))
    assert set(files(tmp_path / "out").values()) <= set(only[0].made)


def test_an_enlarging_workflow_keeps_large_slides(asked: Settings, servers: Servers) -> None:
    def doubled(picture: Pixels) -> bytes:
        return png.encode(np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1))

    only = servers(1)
    only[0].runs += [Run(picture=doubled)] * 11
    run(on(asked, only))
    assert {png.read_header(path).size for path in asked.target.glob("*.png")} == {(132, 100)}
    (asked.target / "000001.png").unlink()
    only[0].runs += [Run(picture=doubled)]
    assert run(on(asked, only)).drawn == 1


def test_seed_and_set_change_the_slides(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    only = servers(1)
    settings = on(asked, only)
    text = node_with("text_g")
    run(settings)
    changed = replace(settings, changes=(f"{text}.text_g=clay rabbit",))
    with pytest.raises(UnusableInput, match=r"set: .* then, .*clay rabbit.* now"):
        run(changed)
    with pytest.raises(UnusableInput, match="seed: none then, 7 now"):
        run(replace(settings, seed=7))
    assert run(replace(changed, fresh=True)).drawn == 11
    assert not set(files(asked.target).values()) & set(expected.values())


def test_changes_of_a_scene_draw_that_scene_anew(
    asked: Settings, expected: dict[str, bytes], servers: Servers
) -> None:
    only = servers(1)
    settings = on(asked, only)
    text = node_with("text_g")
    run(settings)
    changed = replace(settings, changes=(f"2-3:{text}.text_g=a clay fox",))
    with pytest.raises(UnusableInput, match=r"in scene 2: .*fox"):
        run(changed)
    assert files(asked.target) == expected
    assert run(replace(changed, fresh=True)).drawn == 7
    now = files(asked.target)
    assert [name for name in now if now[name] == expected[name]] == [
        sequence.name(slide) for slide in range(4)
    ]
    assert run(changed).drawn == 0
    with pytest.raises(WrongUsage, match="there is no scene 4"):
        run(replace(settings, changes=(f"4:{text}.text_g=a clay fox",), fresh=True))
    assert run(changed).drawn == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("99.text=clay", "no such node"),
        ("0:6.text=clay", "not a scene"),
        ("5-3:6.text=clay", "not a scene"),
        ("6", "write"),
        ("text=clay", "write"),
    ],
)
def test_changes_that_make_no_sense(
    asked: Settings, servers: Servers, change: str, reason: str
) -> None:
    with pytest.raises(WrongUsage, match=reason):
        run(on(asked, servers(1), changes=(change,)))


def test_a_value_that_a_server_would_refuse_is_told_before(
    asked: Settings, servers: Servers
) -> None:
    sampler = node_with("cfg")
    with pytest.raises(WorkflowFault, match=r"cfg is 1000, but must be 0\.0 to 100\.0"):
        run(on(asked, servers(1), changes=(f"{sampler}.cfg=1000",)))


def test_keep_on_server(asked: Settings, servers: Servers) -> None:
    only = servers(1)
    run(on(asked, only, keep_on_server=True))
    assert sum(kind == "output" for kind, _, _ in only[0].files) == 11


def test_swarm_nodes_get_the_defaults_that_they_ask_for(
    asked: Settings, servers: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The shape of the original's workflows, which lack what later versions of the pack require."""
    nodes = json.loads((paths.WORKFLOWS / "anime.json").read_text())
    owned = nodes["stable-restyle"]
    for role in ("input", "mask"):
        nodes[owned[role]] = {"class_type": "SwarmLoadImageB64", "inputs": {"image_base64": ""}}
    sampler = next(each for each, node in nodes.items() if "cfg" in node.get("inputs", {}))
    nodes[sampler]["class_type"] = "SwarmKSampler"
    extra = {"var_seed": 0, "var_seed_strength": 0, "sigma_max": -1, "sigma_min": -1, "rho": 7}
    nodes[sampler]["inputs"] |= {**extra, "previews": "default"}
    (tmp_path / "swarm.json").write_text(json.dumps(nodes))
    two = servers(2)
    run(on(asked, two, model=str(tmp_path / "swarm.json")))
    assert caplog.text.count("also requires tile_sample") == 1
    assert caplog.text.count("also requires tile_size") == 1
    assert len(files(asked.target)) == 11


def test_servers_of_this_machine_are_found(
    asked: Settings,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone, there = servers(2)
    gone.stop()
    monkeypatch.setattr(connect, "USUAL_SERVERS", (gone.url, there.url))
    with caplog.at_level(logging.INFO):
        run(asked)
    assert there.prompts_run == 11
    assert f"Drawing on {there.url}." in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO), pytest.raises(UnusableInput, match="other settings"):
        run(replace(asked, seed=7))
    assert "Drawing on" not in caplog.text


def test_without_a_backend_the_error_says_what_to_do(
    asked: Settings, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = servers(1)
    gone[0].stop()
    monkeypatch.setattr(connect, "USUAL_SERVERS", (gone[0].url,))
    with pytest.raises(NoBackendLeft) as error:
        run(asked)
    for remedy in ("start ComfyUI", "--backend http://HOST:8188", "--backend preview"):
        assert remedy in str(error.value)


def test_check_describes_each_server(asked: Settings, servers: Servers) -> None:
    good, lacking, gone = servers(3)
    lacking.classes["LoraLoader"]["input"]["required"]["lora_name"] = [["CLAYMATE_V1.safetensors"]]
    gone.stop()
    checks = status.check_backends(on(asked, [good, lacking, gone]))
    texts = [tables.describe_backend(check) for check in checks]
    assert [bool(check.fault) for check in checks] == [False, True, True]
    assert "can draw this run  yes" in texts[0]
    assert "websocket          works" in texts[0] and "slide of " in texts[0]
    assert "0.3.64" in texts[0]
    assert "the nearest it has: CLAYMATE_V1.safetensors" in texts[1]
    assert "can draw this run  no: " in texts[2]
    assert (good.prompts_run, lacking.prompts_run) == (1, 0)
    assert good.pending == [] and good.history == {}


def check(*urls: str, folder: Path) -> subprocess.CompletedProcess[str]:
    backend = [word for url in urls for word in ("--backend", url)]
    command = [*COMMAND, *backend, "--check"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_check_ends_well_only_if_a_run_would_work(tmp_path: Path, servers: Servers) -> None:
    good, gone = servers(2)
    gone.stop()
    assert check(good.url, gone.url, folder=tmp_path).returncode == 0
    assert check(gone.url, folder=tmp_path).returncode == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_leaves_no_prompt_behind(
    make_frames: Callable[..., Path], tmp_path: Path, servers: Servers
) -> None:
    make_frames(20)
    two = servers(2)
    for server in two:
        server.draw_s = math.inf
    backend = [word for server in two for word in ("--backend", server.url)]
    with Program([*COMMAND, *backend], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        until(lambda: two[0].running or two[1].running, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    assert "Traceback" not in said
    for server in two:
        server.wait_for(partial(idle, server))
        assert server.history == {}


def idle(server: ComfyServer) -> bool:
    return server.running is None and not server.pending
