"""Whatever a server does, a draw ends in the right slide or in a fault that says what to do."""

from __future__ import annotations

import copy
import gc
import json
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stable_restyle import images, verdict, wire
from stable_restyle.comfyui import ComfyUI
from stable_restyle.errors import OutOfMemory, RestyleError, ServerFault, WorkflowFault, WrongUsage
from stable_restyle.model import Job, Pixels
from stable_restyle.verdict import Submission
from stable_restyle.wire import Pace
from tests.comfy_server import (
    CERTIFICATE,
    CUT,
    RECORDINGS,
    ComfyServer,
    Day,
    Handler,
    Message,
    Run,
    answer,
    answer_lost,
    broken_off,
    deaf,
    dropped,
    endless,
    halved,
    mangled,
    paint,
    recorded,
    redirected,
    settings_of,
    silent,
    slow,
    trickled,
    usual,
)

QUICK = Pace(
    connect_s=0.5,
    socket_s=1.0,
    ping_s=0.1,
    retry_s=(0.01, 0.1),
    look_s=(0.01, 0.05),
    quiet_s=0.2,
    farewell_s=0.5,
)

# Stock nodes that need no model: the guide, inverted where the mask frees it.
NODES: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "3": {"class_type": "ImageToMask", "inputs": {"image": ["2", 0], "channel": "red"}},
    "4": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "Invert"}},
    "5": {
        "class_type": "ImageCompositeMasked",
        "inputs": {
            "destination": ["1", 0],
            "source": ["4", 0],
            "mask": ["3", 0],
            "x": 0,
            "y": 0,
            "resize_source": False,
        },
    },
    "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
}
OUTPUT = "6"
CHECKPOINT = {"class_type": "CheckpointLoaderSimple", "_meta": {"title": "Load Checkpoint"}}


def fill(_: Job, guide: str, mask: str) -> dict[str, Any]:
    nodes = copy.deepcopy(NODES)
    nodes["1"]["inputs"]["image"], nodes["2"]["inputs"]["image"] = guide, mask
    return nodes


def changed(node: str, **inputs: Any) -> Callable[[Job, str, str], dict[str, Any]]:
    """The workflow with other inputs of a node, with fewer where they are None."""

    def make(job: Job, guide: str, mask: str) -> dict[str, Any]:
        nodes = fill(job, guide, mask)
        merged = {**nodes[node]["inputs"], **inputs}
        nodes[node]["inputs"] = {k: v for k, v in merged.items() if v is not None}
        return nodes

    return make


def with_node(node: str, content: dict[str, Any]) -> Callable[[Job, str, str], dict[str, Any]]:
    return lambda job, guide, mask: {**fill(job, guide, mask), node: content}


def a_job(slide: int = 0, height: int = 50, width: int = 66) -> Job:
    random_state = np.random.default_rng(slide)
    guide = random_state.integers(0, 256, (height, width, 3), np.uint8)
    return Job(slide, 1, guide, random_state.integers(0, 256, (height, width), np.uint8))


def slide_of(job: Job) -> Pixels:
    return paint(job.guide, job.mask, settings_of(NODES))


def assert_draws(client: ComfyUI, job: Job | None = None) -> None:
    job = job or a_job()
    assert np.array_equal(client.draw(job), slide_of(job))


@contextmanager
def client_of(server: ComfyServer | str, pace: Pace = QUICK, **options: Any) -> Iterator[ComfyUI]:
    url = server if isinstance(server, str) else server.url
    make = options.pop("make_prompt", fill)
    client = ComfyUI(url, make, options.pop("output", OUTPUT), pace=pace, **options)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


def _open_sockets() -> int:
    gc.collect()
    count = 0
    for each in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{each}").startswith("socket:")
        except OSError:  # that of listdir itself
            continue
    return count


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No thread and no socket outlives the client and the server of a test."""
    threads, sockets = set(threading.enumerate()), _open_sockets()
    yield
    assert set(threading.enumerate()) <= threads
    assert _open_sockets() <= sockets


def test_a_slide_has_the_size_of_its_guide(server: ComfyServer) -> None:
    with client_of(server) as client:
        for height, width in ((50, 66), (64, 64), (1, 3), (7, 200)):
            assert_draws(client, a_job(1, height, width))


def test_what_is_uploaded_is_a_multiple_of_8_with_its_border_repeated(server: ComfyServer) -> None:
    job = a_job()
    with client_of(server) as client:
        client.draw(job)
    sent = {name.rpartition("-")[2]: data for (_, _, name), data in server.files.items()}
    with (
        Image.open(BytesIO(sent["guide.png"])) as guide,
        Image.open(BytesIO(sent["mask.png"])) as m,
    ):
        assert guide.size == m.size == (72, 56)
        assert np.array_equal(np.array(guide)[:50, :66], job.guide)
        assert (np.array(guide)[50:, :66] == job.guide[-1]).all()
        assert (np.array(m)[:50, 66:] == job.mask[:, -1:]).all()


def test_nothing_accumulates_on_the_server(server: ComfyServer) -> None:
    with client_of(server) as client:
        for slide in range(3):
            assert_draws(client, a_job(slide))
    assert not server.history
    assert {(kind, folder) for kind, folder, _ in server.files} == {
        ("temp", "stable-restyle"),
        ("temp", ""),  # what PreviewImage makes
    }


def test_slides_drawn_at_once_share_one_socket_and_no_name(server: ComfyServer) -> None:
    jobs = [a_job(slide) for slide in range(8)]
    server.draw_s = 0.01
    with client_of(server) as client, ThreadPoolExecutor(8) as threads:
        for job, slide in zip(jobs, threads.map(client.draw, jobs), strict=True):
            assert np.array_equal(slide, slide_of(job))
    assert server.connections == 1
    assert server.most_in_queue > 2
    assert server.requests["GET /queue"] == 0  # the messages were enough


def test_a_base_url_may_carry_a_path() -> None:
    with ComfyServer(base="/ComfyBackendDirect") as server:
        for slash in ("", "/"):
            with client_of(server.url + slash) as client:
                assert_draws(client)
                assert client.name == server.url
        assert server.connections == 2


SECRETS = ("open sesame", "open%20sesame", "bWU6b3BlbiBzZXNhbWU=", "hush-token", "hidden-query")


@contextmanager
def guarded_server() -> Iterator[tuple[ComfyServer, str, dict[str, str]]]:
    headers = {"X-Token": "hush-token", "Cookie": "a=hush-token"}
    with ComfyServer(password="open sesame", headers=headers) as server:
        url = server.url.replace("open sesame", "open%20sesame") + "/?key=hidden-query"
        yield server, url, headers


def test_user_password_headers_and_query_go_with_every_request() -> None:
    with guarded_server() as (server, url, headers):
        with client_of(url, headers=headers) as client:
            assert_draws(client)
            assert client.hears()
            assert client.name == f"http://127.0.0.1:{server.port}"
        assert server.connections == 2
        assert all(each["X-Token"] == "hush-token" for each in server.received)


async def echo(request: Any, handler: Handler) -> Any:
    """A server, or something before it, that shows what it was sent."""
    await request.read()
    text = json.dumps({"error": f"{dict(request.headers)} {request.url}"}).replace("\\", "")
    return await answer(400 if request.path == "/prompt" else 500, text)(request, handler)


ECHOED = [
    *((route, echo) for route in ("POST /upload/image", "POST /prompt", "GET /history/{id}")),
    ("GET /ws", echo),
    ("GET /view", redirected("http://me:open%20sesame@127.0.0.1:1/?key=hidden-query")),
    ("GET /view", dropped),
    ("GET /view", broken_off),
    ("POST /prompt", answer(400, '{"error": "no hush-token, open sesame"}')),
]


@pytest.mark.parametrize(("route", "day"), ECHOED)
def test_secrets_are_never_shown(route: str, day: Day, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with guarded_server() as (server, url, headers):
        server.always(route, day)
        with client_of(url, headers=headers) as client:
            try:
                client.draw(a_job())
            except RestyleError as error:
                shown = f"{error!r} {error} {error.__cause__}"
                assert error.__suppress_context__ or error.__context__ is None
            else:
                shown = ""
            ours = (r for r in caplog.records if not r.name.startswith(("aiohttp", "asyncio")))
            shown += "".join(r.getMessage() for r in ours if "?key=" not in r.getMessage())
            shown += repr(client) + repr(client._address) + repr(vars(client))
    assert not [secret for secret in SECRETS if secret in shown]
