"""Whatever a server does, a draw ends in the right slide or in a fault that says what to do."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import math
import os
import random
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from soak.fuzzing import spoiled
from support.comfy_server import (
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
from support.programs import LONGEST_S, until

from stable_restyle.backends.comfyui import events, http, pictures, responses
from stable_restyle.backends.comfyui.client import ComfyUI
from stable_restyle.backends.comfyui.pictures import GRID, OtherShape
from stable_restyle.backends.comfyui.responses import Submission
from stable_restyle.backends.comfyui.slides import Request, picture_limit
from stable_restyle.backends.comfyui.timeouts import Timeouts
from stable_restyle.core.errors import (
    OutOfMemory,
    RestyleError,
    ServerFault,
    WorkflowFault,
    WrongUsage,
)
from stable_restyle.core.records import Job, Pixels, Slide
from stable_restyle.media import png, sequence

# Short pauses between attempts, and limits that only a server that hangs can reach.
QUICK = Timeouts(
    connect_s=LONGEST_S,
    answer_s=LONGEST_S,
    socket_s=LONGEST_S,
    ping_s=LONGEST_S,
    retry_s=(0.01, 0.1),
    poll_s=(0.01, 0.05),
    quiet_s=LONGEST_S,
    queue_s=math.inf,
    cleanup_s=LONGEST_S,
    stop_s=LONGEST_S,
)
WARY = replace(QUICK, socket_s=0.5, ping_s=0.1, quiet_s=0.2)  # of a websocket that says nothing

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


def request_of(
    make: Callable[[Job, str, str], dict[str, Any]], output: str = OUTPUT
) -> Callable[[Job], Request]:
    """Return what makes the requests. make: returns the nodes, given the names of the pictures."""

    def request(job: Job) -> Request:
        uploads = {"guide": pictures.pad(job.guide), "mask": pictures.pad(job.mask)}
        limit = picture_limit(*uploads["mask"].shape)
        return Request(
            uploads, lambda names: make(job, names["guide"], names["mask"]), output, limit
        )

    return request


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
    assert np.array_equal(client.draw(job).pixels, slide_of(job))


@contextmanager
def client_of(
    server: ComfyServer | str, timeouts: Timeouts = QUICK, **options: Any
) -> Iterator[ComfyUI]:
    url = server if isinstance(server, str) else server.url
    make = request_of(options.pop("make_prompt", fill), options.pop("output", OUTPUT))
    client = ComfyUI(url, make, timeouts=timeouts, **options)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


def _open_sockets() -> int:
    """Return the number of open sockets on Linux, 0 on other systems."""
    count = 0
    for each in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
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
    until(lambda: set(threading.enumerate()) <= threads)
    until(lambda: _open_sockets() <= sockets)


def test_a_slide_has_the_size_of_its_guide(server: ComfyServer) -> None:
    with client_of(server) as client:
        for height, width in ((50, 66), (64, 64), (1, 3), (7, 200)):
            assert_draws(client, a_job(1, height, width))


def test_what_is_uploaded_is_a_multiple_of_8_with_its_border_repeated(server: ComfyServer) -> None:
    job = a_job()
    with client_of(server) as client:
        client.draw(job)
    sent = [data for (_, folder, _), data in server.files.items() if folder]
    opened = sorted((Image.open(BytesIO(data)) for data in sent), key=lambda image: image.mode)
    with opened[0] as m, opened[1] as guide:  # L comes before RGB
        assert guide.size == m.size == (72, 56)
        assert np.array_equal(np.array(guide)[:50, :66], job.guide)
        assert (np.array(guide)[50:, :66] == job.guide[-1]).all()
        assert (np.array(m)[:50, 66:] == job.mask[:, -1:]).all()


def test_nothing_accumulates_on_the_server(server: ComfyServer) -> None:
    with client_of(server) as client:
        for slide in range(3):
            assert_draws(client, a_job(slide))
            assert len(server.history) == 1  # the others' were freed while it was drawn
    assert not server.history
    assert {(kind, folder) for kind, folder, _ in server.files} == {
        ("temp", "stable-restyle"),
        ("temp", ""),  # what PreviewImage makes
    }


def test_slides_drawn_at_once_share_one_socket_and_no_name(server: ComfyServer) -> None:
    jobs = [a_job(slide) for slide in range(8)]
    server.draw_s = 0.1
    all_of_them = asyncio.Barrier(len(jobs))

    async def together(request: Any, handler: Handler) -> Any:
        await all_of_them.wait()
        return await handler(request)

    server.always("POST /prompt", together)
    with client_of(server) as client, ThreadPoolExecutor(8) as threads:
        for job, slide in zip(jobs, threads.map(client.draw, jobs), strict=True):
            assert np.array_equal(slide.pixels, slide_of(job))
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
            assert client.websocket_works()
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
            ours = (each for each in caplog.records if not each.name.startswith("aiohttp"))
            shown += "".join(record.getMessage() for record in ours)
            shown += repr(client) + repr(client._address) + repr(vars(client))
    assert not [secret for secret in SECRETS if secret in shown]


def test_without_the_password_the_message_says_where_to_write_it() -> None:
    with (
        guarded_server() as (server, _, headers),
        client_of(f"http://127.0.0.1:{server.port}", headers=headers) as client,
        pytest.raises(ServerFault, match=r"HTTP 401.*USER:PASSWORD@HOST"),
    ):
        client.draw(a_job())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "me:secret@host:8188",
        "ftp://me:secret@host",
        "http://me:secret@",
        "http://me:secret@host:eighty",
        "http://me:secret@[::1",
        "http://me:secret@*",
    ],
)
def test_what_is_no_url_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(WrongUsage, match="not the address of a server") as refusal:
        ComfyUI(url, request_of(fill))
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("headers", [{"": "secret"}, {"a b": "secret"}, {"X": "secret\r\nY: 1"}])
def test_what_is_no_header_is_refused_without_being_shown(headers: dict[str, str]) -> None:
    with pytest.raises(WrongUsage, match="--header") as refusal:
        ComfyUI("http://localhost", request_of(fill), headers=headers)
    assert "secret" not in str(refusal.value)


def test_a_certificate_that_is_not_trusted_is_refused() -> None:
    with ComfyServer(tls=True) as server, client_of(server) as client:
        with pytest.raises(ServerFault, match="certificate cannot be trusted"):
            client.draw(a_job())
        assert not client.websocket_works()
        assert not server.requests


def test_a_certificate_that_the_environment_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    with ComfyServer(tls=True) as server, client_of(server) as client:
        assert_draws(client)
        assert server.connections == 1
        server.cut_sockets()
        server.wait_for(lambda: server.connections == 2)


def test_a_plain_server_that_is_asked_over_https(server: ComfyServer) -> None:
    with (
        client_of(server.url.replace("http:", "https:")) as client,
        pytest.raises(ServerFault, match="write http:// if it is a plain server"),
    ):
        client.draw(a_job())


def test_a_certificate_for_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    with ComfyServer(tls=True) as server:
        with (
            client_of(server.url.replace("localhost", "127.1")) as client,
            pytest.raises(ServerFault, match="certificate cannot be trusted"),
        ):
            client.draw(a_job())
        assert not server.requests


@pytest.mark.parametrize(
    "route", ["POST /upload/image", "POST /prompt", "GET /history/{id}", "GET /view", "GET /ws"]
)
def test_nobody_is_sent_on_to_another_address(server: ComfyServer, route: str) -> None:
    with ComfyServer() as elsewhere:
        target = f"{elsewhere.url}/new/place?and=more"
        if route == "GET /ws":
            target = target.replace("http", "ws", 1)  # websocket-client follows no other scheme
        server.always(route, redirected(target))
        with client_of(server) as client:
            if route == "GET /ws":
                assert_draws(client)
                assert not client.websocket_works()
            else:
                there = f"redirects to {elsewhere.url}/new/place: give the address"
                with pytest.raises(ServerFault, match=there):
                    client.draw(a_job())
        assert not elsewhere.requests


def wrong_size(_: Pixels) -> bytes:
    return png.encode(np.zeros((64, 64, 3), np.uint8))


HTML = "<html><body>Bad Gateway</body></html>"
BAD_ANSWERS: list[tuple[str, Day, str]] = [
    (
        "POST /upload/image",
        answer(500, "No space left\n\x1b[31m"),
        r"HTTP 500: No space left \[31m$",
    ),
    ("POST /upload/image", answer(404), "not ComfyUI"),
    ("POST /upload/image", answer(200, "Hello"), "not in JSON"),
    ("POST /upload/image", answer(200, '["Hello"]'), "makes no sense"),
    ("POST /upload/image", answer(200, '{"name": 1}'), "makes no sense"),
    ("POST /upload/image", answer(403), "--header"),
    ("POST /prompt", answer(500, "500 Internal Server Error"), "HTTP 500"),
    ("POST /prompt", answer(502, HTML), "HTTP 502$"),
    ("POST /prompt", answer(400, HTML), "HTTP 400$"),
    ("POST /prompt", answer(200, HTML), "not in JSON"),
    ("POST /prompt", answer(200, "{}"), "makes no sense"),
    ("POST /prompt", answer(200, "[" * 100_000), "not in JSON"),
    ("GET /history/{id}", answer(503, "busy"), "HTTP 503: busy"),
    ("GET /history/{id}", answer(200, "[]"), "makes no sense"),
    ("GET /history/{id}", mangled(lambda body: body.replace(b'"outputs"', b'"no"')), "no sense"),
    ("GET /view", answer(500, "Traceback"), "HTTP 500"),
    ("GET /view", answer(200, ""), "not a complete picture"),
    ("GET /view", answer(200, HTML), "not a complete picture"),
    ("GET /view", halved, "not a complete picture"),
    ("GET /view", mangled(lambda body: body[:-8]), "not a complete picture"),
    (
        "GET /view",
        mangled(lambda body: body[:300] + bytes([body[300] ^ 1]) + body[301:]),
        "not a complete picture",
    ),
    ("GET /view", endless, "larger than 1.3 MB"),
    ("GET /view", answer(403), "HTTP 403"),
]


@pytest.mark.parametrize(("route", "day", "reason"), BAD_ANSWERS)
def test_a_bad_answer_is_the_servers_fault(
    server: ComfyServer, route: str, day: Day, reason: str
) -> None:
    server.on(route, day)
    with client_of(server) as client:
        with pytest.raises(ServerFault, match=reason):
            client.draw(a_job())
        assert_draws(client)  # and the next slide is none the worse for it


def test_answers_take_no_more_time_than_they_may(
    server: ComfyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET /system_stats", slow(math.inf), trickled)
    with (
        client_of(server, timeout_s=0.3) as client,
        pytest.raises(ServerFault, match=r"no answer within 0\.3 s"),
    ):
        client.inspect()
    with client_of(server, timeout_s=60) as client, monkeypatch.context() as patch:
        minutes = SimpleNamespace(monotonic=count(step=61).__next__)
        patch.setattr("stable_restyle.backends.comfyui.http.time", minutes)
        with pytest.raises(ServerFault, match="not ended after 60 s"):
            client.inspect()


@pytest.mark.parametrize(
    "route", ["POST /upload/image", "POST /prompt", "GET /history/{id}", "GET /view"]
)
@pytest.mark.parametrize("day", [dropped, broken_off, answer_lost])
def test_a_connection_that_breaks_once_costs_nothing(
    server: ComfyServer, route: str, day: Day
) -> None:
    server.on(route, day)
    with client_of(server) as client:
        assert_draws(client)
    assert server.prompts_run == 1  # a slide is never drawn twice


@pytest.mark.parametrize("route", ["POST /upload/image", "GET /history/{id}", "GET /view"])
def test_a_connection_that_always_breaks_is_a_fault(server: ComfyServer, route: str) -> None:
    server.always(route, dropped)
    with client_of(server) as client:
        with pytest.raises(ServerFault, match=r"connection broke off|reset"):
            client.draw(a_job())
        server.wait_for(lambda: not server.running and not server.pending)


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with client_of(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(ServerFault, match="Connection refused"):
            client.draw(a_job())
        assert not client.answers()


def test_a_server_that_takes_no_connections() -> None:
    timeouts = Timeouts(connect_s=0.3, socket_s=0.2, cleanup_s=0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy, ExitStack() as others:
        for _ in range(4):  # Linux drops what comes when the backlog is full
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(busy.getsockname())
        with (
            client_of(f"http://127.0.0.1:{busy.getsockname()[1]}", timeouts) as client,
            pytest.raises(ServerFault, match="nothing answers at that address"),
        ):
            client.draw(a_job())


@contextmanager
def blurting(words: bytes) -> Iterator[str]:
    """The URL of something that says the same to everybody, and hangs up."""

    class Blurt(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(2**16)
                self.request.sendall(words)

    with (
        socketserver.TCPServer(("127.0.0.1", 0), Blurt) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        threads.submit(server.serve_forever, poll_interval=0.01)
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n{}",
        b"\0" * 1000,
        OK + b"x" * 100_000,
        OK + b"A: b\r\n" * 1000 + b"\r\n",
        OK + b"\xff\xfe: \xff\r\nno colon\r\n\r\n{}",
        OK + b"Content-Length: many\r\n\r\n{}",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n{}",
        OK + b"Content-Length: -1\r\n\r\n{}",
        OK + b"Content-Length: 9999\r\n\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}",
        OK + b"Content-Encoding: gzip\r\n\r\nplain",
        OK + b"Content-Encoding: deflate, br, zstd\r\n\r\n\0\0",
        OK + b"Set-Cookie: =; Expires=never; Domain=\r\n\r\n{}",
        OK + b"Content-Type: \xe4;;=;charset=no-such\r\n\r\n{}",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\xff\xff",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    ],
)
def test_what_does_not_even_speak_http_as_it_should(words: bytes) -> None:
    with blurting(words) as url, client_of(url) as client:
        with pytest.raises(ServerFault):
            client.draw(a_job())
        assert not client.answers()
        assert not client.websocket_works()


def test_a_proxy_that_lets_no_websocket_through(
    server: ComfyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)  # it answers as a proxy would
    with client_of("http://comfy.invalid:8188") as client:
        assert_draws(client)
    assert server.connections == 0
    assert {each["Host"] for each in server.received} == {"comfy.invalid:8188"}


def test_a_server_that_vanishes(server: ComfyServer) -> None:
    server.runs.append(Run(seconds=math.inf))
    with client_of(server) as client, in_the_background(client, a_job()) as slide:
        server.wait_for(lambda: server.running)
        server.stop()
        with pytest.raises(ServerFault, match="Connection refused"):
            slide.result(LONGEST_S)


@contextmanager
def in_the_background(client: ComfyUI, *jobs: Job) -> Iterator[Any]:
    """Futures of slides being drawn, or the one of the only slide."""
    with ThreadPoolExecutor(len(jobs)) as threads:
        slides: list[Future[Slide]] = [threads.submit(client.draw, job) for job in jobs]
        yield slides if len(slides) > 1 else slides[0]


class Clock:
    """The time as the client sees it, which a test puts forward or stops."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.stopped_at: float | None = None
        self.sleep = time.sleep

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s if self.stopped_at is None else self.stopped_at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in ("client", "prompt"):
        monkeypatch.setattr(f"stable_restyle.backends.comfyui.{module}.time", made)
    return made


def test_a_slide_that_takes_too_long_is_given_up_and_stopped(
    server: ComfyServer, clock: Clock
) -> None:
    server.runs.append(Run(seconds=math.inf))
    with client_of(server, WARY, timeout_s=60) as client:
        with in_the_background(client, a_job()) as slide:
            server.wait_for(lambda: server.running)

            def is_given_up() -> bool:
                clock.ahead_s += 61
                return bool(slide.done())

            until(is_given_up)
            with pytest.raises(ServerFault, match=r"longer than 60 s.*--timeout"):
                slide.result()
        server.wait_for(lambda: not server.running)
        assert_draws(client)


def test_the_timeout_leaves_out_the_time_in_the_queue(server: ComfyServer, clock: Clock) -> None:
    def told(messages: list[Message]) -> list[Message]:
        clock.ahead_s += 40  # for each slide
        return messages

    jobs = [a_job(slide) for slide in range(4)]
    for always in (None, answer(404)):  # with and without websocket
        server.always("GET /ws", always)
        server.runs += [Run(seconds=0.25, told=told)] * 4
        with (
            client_of(server, WARY, timeout_s=60) as client,
            in_the_background(client, *jobs) as slides,
        ):
            assert [slide.result(LONGEST_S).pixels.shape for slide in slides] == [(50, 66, 3)] * 4


def foreign_prompt(server: ComfyServer) -> str:
    """Somebody else's prompt, submitted; returns its ID."""
    with client_of(server) as stranger:
        prompt_id = "foreign"
        with stranger._uploads.hold({"guide": a_job().guide, "mask": a_job(1).guide}) as names:
            nodes = fill(a_job(), *names.values())
            stranger._http.post("/prompt", {"prompt": nodes, "prompt_id": prompt_id})
    return prompt_id


def test_a_queue_that_does_not_move_is_left_with_our_prompt_only(server: ComfyServer) -> None:
    server.runs.append(Run(seconds=math.inf))
    foreign_prompt(server)
    with client_of(server, replace(QUICK, quiet_s=0.1, queue_s=0.3)) as client:
        with pytest.raises(ServerFault, match="not started"):
            client.draw(a_job())
        assert not server.pending
        assert server.running and server.running.id == "foreign"


def shuffled(messages: list[Message]) -> list[Message]:
    return random.Random(1).sample(messages, len(messages))


def with_others(messages: list[Message]) -> list[Message]:
    """Among the messages those of another prompt, and binary previews."""
    foreign = [each for each in recorded("interrupted") if isinstance(each, str)]
    previews = [each for each in recorded("websocket_image") if isinstance(each, bytes)]
    return [*foreign, *previews, *messages[:-1], *previews, *foreign, messages[-1]]


def told_early(messages: list[Message]) -> list[Message]:
    return [messages[-1], *messages]


NONSENSE: list[Message] = [
    "",
    "null",
    "[]",
    "{",
    '"executing"',
    "[" * 100_000,
    '{"type": "executing"}',
    '{"type": "executing", "data": null}',
    '{"type": "executing", "data": {"node": null, "prompt_id": ["x"]}}',
    '{"type": ["executing"], "data": {"node": null}}',
    b"",
    b"\0\0\0\1\0\0\0\2",
    b"\xff" * 1000,
]
TELLINGS: dict[str, Callable[[list[Message]], list[Message]]] = {
    "nothing": lambda messages: [],
    "cut at once": lambda messages: [CUT],
    "cut in the midst": lambda messages: [*messages[:9], CUT, *messages[9:]],
    "cut at the end": lambda messages: [*messages[:-1], CUT],
    "the end is missing": lambda messages: messages[:-3],
    "only the end": lambda messages: messages[-1:],
    "shuffled": shuffled,
    "backwards": lambda messages: messages[::-1],
    "twice": lambda messages: messages * 2,
    "the end comes first": told_early,
    "with others": with_others,
    "with nonsense": lambda messages: [*NONSENSE, *messages, *NONSENSE],
}


@pytest.mark.parametrize("told", TELLINGS.values(), ids=TELLINGS)
def test_whatever_the_websocket_says_the_slide_comes(
    server: ComfyServer, told: Callable[[list[Message]], list[Message]]
) -> None:
    server.draw_s = 0.02
    server.runs.append(Run(told=told))
    with client_of(server, WARY) as client:
        for slide in range(3):
            assert_draws(client, a_job(slide))
    assert server.prompts_run == 3


@pytest.mark.parametrize("day", [answer(404), answer(200, HTML), silent, deaf, dropped])
def test_without_a_websocket_that_works_slides_come_too(server: ComfyServer, day: Day) -> None:
    server.draw_s = 0.05
    server.always("GET /ws", day)
    with client_of(server, WARY) as client:
        assert_draws(client)
        assert client.websocket_works() is False
        assert_draws(client)
    assert server.prompts_run == 2


def test_without_a_websocket_the_server_is_asked_less_and_less(server: ComfyServer) -> None:
    server.always("GET /ws", answer(404))
    server.draw_s = 0.5
    began = time.monotonic()
    with client_of(server, replace(QUICK, retry_s=(0.05, 0.2), poll_s=(0.05, 0.2))) as client:
        assert_draws(client)
    took_s = time.monotonic() - began
    for route, growth in (("GET /history/{id}", 1.5), ("GET /ws", 2)):
        pauses = [min(0.05 * growth**number, 0.2) for number in range(server.requests[route])]
        assert len(pauses) > 2 and sum(pauses[:-1]) <= took_s


def test_a_websocket_that_was_cut_off_is_replaced(server: ComfyServer) -> None:
    with client_of(server) as client:
        assert_draws(client)
        server.cut_sockets()
        server.wait_for(lambda: server.connections == 2)
        assert_draws(client)
        assert server.requests["GET /queue"] == 0
        assert len(set(server.client_ids)) == 2


@pytest.mark.parametrize("day", [silent, deaf])
def test_a_websocket_that_falls_silent_is_replaced(
    server: ComfyServer, day: Day, clock: Clock
) -> None:
    server.on("GET /ws", day)
    with client_of(server, WARY) as client:
        assert_draws(client)
        until(lambda: client._listener.client_id in server.client_ids)
        clock.stopped_at = clock.monotonic()  # the client does not look after its slide by itself
        assert_draws(client)


def test_a_silent_websocket_is_replaced_where_its_end_wakes_no_reader(
    server: ComfyServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where a thread that waits for a message goes on waiting."""
    monkeypatch.setattr(events, "abort_socket", lambda sock: None)
    server.on("GET /ws", silent)
    with client_of(server, replace(WARY, ping_s=LONGEST_S)) as client:
        assert_draws(client)
        until(lambda: client._listener.client_id in server.client_ids)
        clock.stopped_at = clock.monotonic()
        assert_draws(client)


def test_a_message_without_end_is_cut_off(
    server: ComfyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "JSON_MAX", 2**20)
    server.runs.append(Run(told=lambda messages: [bytes(2**21), *messages]))
    with client_of(server) as client:
        assert_draws(client)
        server.wait_for(lambda: server.connections == 2)


def test_a_restart_in_the_midst_of_a_slide(server: ComfyServer) -> None:
    server.runs.append(Run(seconds=0.05, restart=True))
    with client_of(server) as client:
        assert_draws(client)
    assert server.prompts_run == 2
    assert server.requests["POST /upload/image"] == 5  # both twice, and the slide emptied


def test_a_restart_between_upload_and_prompt(server: ComfyServer) -> None:
    async def restarted(request: Any, handler: Handler) -> Any:
        await server._restart()
        return await handler(request)

    server.on("POST /prompt", restarted)
    with client_of(server) as client:
        assert_draws(client)
    assert server.prompts_run == 1


def test_a_server_that_restarts_again_and_again(server: ComfyServer) -> None:
    server.runs.extend([Run(restart=True)] * 9)
    with (
        client_of(server) as client,
        pytest.raises(ServerFault, match="lost the slide 3 times: it does not know"),
    ):
        client.draw(a_job())
    assert server.prompts_run == 3


def test_a_queue_that_somebody_empties(server: ComfyServer) -> None:
    server.runs.append(Run(seconds=math.inf))
    foreign_prompt(server)
    with client_of(server, WARY) as client, in_the_background(client, a_job()) as slide:
        server.wait_for(lambda: server.pending)
        server.pending.clear()
        server.wait_for(lambda: server.pending)
        client._http.post("/interrupt", {"prompt_id": "foreign"})
        assert np.array_equal(slide.result(LONGEST_S).pixels, slide_of(a_job()))
    assert server.prompts_run == 2


def test_a_picture_that_is_gone_is_made_again(server: ComfyServer) -> None:
    server.runs.append(Run(cached=True))
    with client_of(server) as client:
        assert_draws(client)
        server.runs.extend([Run(cached=True)] * 3)
        with pytest.raises(ServerFault, match=r"lost the slide 3 times: the picture .* is gone"):
            client.draw(a_job())


@pytest.mark.parametrize("day", [usual, slow(0.1)])  # slow: it is done before we know its ID
def test_old_servers_give_prompts_an_id_of_their_own(day: Day) -> None:
    async def late(request: Any, handler: Handler) -> Any:
        response = await handler(request)
        return await day(request, lambda _: _ready(response))

    with ComfyServer(own_ids=True) as server, client_of(server) as client:
        server.always("POST /prompt", late)
        assert_draws(client)
        assert_draws(client)
        client.close()
        assert not server.history
        assert server.requests["GET /queue"] <= 2


async def _ready(response: Any) -> Any:
    return response


REFUSED: list[tuple[Callable[[Job, str, str], dict[str, Any]], str]] = [
    (changed("3", channel="purple"), "node 3 (ImageToMask): channel: it has no 'purple'"),
    (changed("3", channel=None), "node 3 (ImageToMask): Required input is missing: channel"),
    (changed("5", x="left"), "node 5 (ImageCompositeMasked): Failed to convert"),
    (changed("5", x=-1), "node 5 (ImageCompositeMasked): Value -1 smaller than min of 0"),
    (changed("5", x=99_999), "Value 99999 bigger than max of 16384"),
    (changed("4", image=["99", 0]), 'node 4 "Invert" (ImageInvert): Bad linked input'),
    (changed("4", image=["3", 0]), "Return type mismatch between linked nodes: image, received"),
    (changed("4", image=[]), "Bad linked input"),
    (
        with_node("4", {"class_type": "ImageInverter", "inputs": {}}),
        "node 4 (ImageInverter): it has no such node; the nearest that it has: ImageInvert",
    ),
    (
        with_node("stable-restyle", {"input": "1"}),
        "Cannot execute because a node is missing the class_type property.: Node ID",
    ),
    (with_node("6", CHECKPOINT), "Prompt has no outputs"),
]


@pytest.mark.parametrize(("make_prompt", "reason"), REFUSED)
def test_a_refused_workflow_is_told_node_by_node(
    server: ComfyServer, make_prompt: Callable[[Job, str, str], dict[str, Any]], reason: str
) -> None:
    with client_of(server, make_prompt=make_prompt) as client:
        with pytest.raises(WorkflowFault) as fault:
            client.draw(a_job())
        assert reason in str(fault.value)
        assert str(fault.value).startswith(f"{server.url} cannot run the workflow:\n  ")
        assert "--set NODE.INPUT=VALUE" in str(fault.value)
    assert server.prompts_run == 0
    assert server.requests["POST /queue"] == 0  # nothing to withdraw


def test_the_recorded_refusal_of_a_missing_checkpoint(server: ComfyServer) -> None:
    body = json.loads((RECORDINGS / "validation_error.post.json").read_text("utf-8"))["body"]
    server.on("POST /prompt", answer(400, json.dumps(body), "application/json"))
    make_prompt = with_node("4", CHECKPOINT)
    with (
        client_of(server, make_prompt=make_prompt) as client,
        pytest.raises(WorkflowFault) as fault,
    ):
        client.draw(a_job())
    assert str(fault.value) == (
        f"{server.url} cannot run the workflow:\n"
        '  node 4 "Load Checkpoint" (CheckpointLoaderSimple): ckpt_name: it has no '
        "'nope.safetensors'; "
        "the nearest that it has: tiny_sd15.safetensors, tiny_sdxl.safetensors\n"
        "Install on the server what it lacks, or change the workflow: --set NODE.INPUT=VALUE."
    )


def test_a_workflow_whose_output_alone_is_refused(server: ComfyServer) -> None:
    def make_prompt(job: Job, guide: str, mask: str) -> dict[str, Any]:
        nodes = changed("5", x=-1)(job, guide, mask)
        return {**nodes, "7": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}

    server.runs.append(Run(seconds=math.inf))
    with client_of(server, make_prompt=make_prompt) as client:
        with pytest.raises(WorkflowFault, match="smaller than min"):
            client.draw(a_job())
        server.wait_for(lambda: not server.running)
    with client_of(server, make_prompt=make_prompt, output="7") as client:
        assert client.draw(a_job()).pixels.shape == (50, 66, 3)


def test_a_node_for_sdxl_that_is_given_another_model() -> None:
    nodes = {"5": {"class_type": "CLIPTextEncodeSDXL", "inputs": {"clip": ["1", 1]}}}
    failure = {"node_id": "5", "exception_type": "KeyError", "exception_message": "'g'"}
    entry = {"status": {"messages": [["execution_error", failure]]}}
    with pytest.raises(WorkflowFault, match=r"node 5 .*: KeyError: 'g'\nThat node is for SDXL"):
        Submission("http://host", nodes, "6", [], str).pictures(entry)


def test_a_node_that_fails(server: ComfyServer) -> None:
    error = {
        "node_id": "4",
        "node_type": "ImageInvert",
        "exception_type": "RuntimeError",
        "exception_message": "The size of tensor a (4) must match\nthe size of tensor b (9)\x07\n",
    }
    server.runs.append(Run(error=error))
    with client_of(server) as client:
        with pytest.raises(WorkflowFault) as fault:
            client.draw(a_job())
        assert (
            '\n  node 4 "Invert" (ImageInvert): RuntimeError: The size of tensor a (4) must match '
            "the size of tensor b (9)\n" in str(fault.value)
        )
        assert_draws(client)
    assert not server.history


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.OutOfMemoryError", "Allocation on device"),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("RuntimeError", "HIP out of memory"),
    ],
)
def test_memory_that_ran_out_is_a_fault_of_its_own(
    server: ComfyServer, kind: str, message: str
) -> None:
    error = {"node_id": "4", "exception_type": kind, "exception_message": message}
    server.runs.append(Run(error=error))
    with client_of(server) as client:
        with pytest.raises(OutOfMemory, match=r"node 4 .* ran out of memory: .*(memory|device)"):
            client.draw(a_job())
        client.free_memory()
        assert server.freed == 1
        assert_draws(client)


def test_pictures_that_the_server_cannot_read_are_sent_again(server: ComfyServer) -> None:
    server.runs.append(Run(error={"node_id": "1"}))  # as recorded: "cannot identify image file"
    with client_of(server) as client:
        assert_draws(client)
    assert server.requests["POST /upload/image"] == 5


def test_a_slide_that_somebody_interrupts(server: ComfyServer) -> None:
    server.runs += [Run(interrupted=True)] * 4
    with client_of(server) as client:
        with pytest.raises(ServerFault, match="interrupted"):
            client.draw(a_job())
        assert_draws(client)


def test_an_output_that_makes_no_picture(server: ComfyServer) -> None:
    with (
        client_of(server, output="4") as client,
        pytest.raises(WorkflowFault, match=r'node 4 "Invert" \(ImageInvert\) made no picture'),
    ):
        client.draw(a_job())


def saved_as(kind: str, mode: str = "RGB", **options: Any) -> Callable[[Pixels], bytes]:
    def save(picture: Pixels) -> bytes:
        file = BytesIO()
        Image.fromarray(picture).convert(mode).save(file, kind, **options)
        return file.getvalue()

    return save


def scaled(width: int, height: int) -> Callable[[Pixels], bytes]:
    def scale(picture: Pixels) -> bytes:
        resized = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST)
        return png.encode(np.array(resized))

    return scale


@pytest.mark.parametrize(
    ("save", "off_by"),
    [
        (saved_as("PNG", "RGBA"), 0),
        (saved_as("PNG", "P"), 255),
        (saved_as("WEBP", lossless=True), 0),
        (saved_as("JPEG", quality=100, subsampling=0), 8),
    ],
)
def test_other_kinds_of_picture(
    server: ComfyServer, save: Callable[[Pixels], bytes], off_by: int
) -> None:
    server.runs.append(Run(picture=save))
    with client_of(server) as client:
        slide = client.draw(a_job()).pixels.astype(int)
    assert np.abs(slide - slide_of(a_job())).max() <= off_by


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_half_a_picture_of_any_kind(server: ComfyServer, kind: str) -> None:
    save = saved_as(kind)
    server.runs.append(Run(picture=lambda picture: save(picture)[:-1500]))
    with client_of(server) as client, pytest.raises(ServerFault, match="not a complete picture"):
        client.draw(a_job())


def test_a_workflow_that_enlarges_makes_large_slides(server: ComfyServer) -> None:
    job = a_job()  # 66x50, padded to 72x56
    server.runs.append(Run(picture=scaled(144, 112)))
    with client_of(server) as client:
        assert np.array_equal(
            client.draw(job).pixels, slide_of(job).repeat(2, axis=0).repeat(2, axis=1)
        )
        for width, height, slide in ((108, 84, (75, 99)), (36, 28, (25, 33)), (100, 78, (70, 92))):
            server.runs.append(Run(picture=scaled(width, height)))
            assert client.draw(job).pixels.shape == (*slide, 3)


SIDES = st.integers(1, 300)
OFF_BY = st.integers(-2, 2)


@given(SIDES, SIDES, st.floats(0.02, 4), OFF_BY, OFF_BY)
@settings(deadline=None)
def test_a_slide_that_is_accepted_is_a_scale_of_its_frame(
    width: int, height: int, scale: float, wider: int, higher: int
) -> None:
    """What is accepted when it is drawn is accepted when it is found."""
    padded = -(-height // GRID) * GRID, -(-width // GRID) * GRID
    answered = max(round(padded[0] * scale) + higher, 1), max(round(padded[1] * scale) + wider, 1)
    frame, scaled = (height, width), list[str]()
    with suppress(OtherShape):
        slide = pictures.fitted(np.zeros((*answered, 3), np.uint8), frame, scaled.append)
        assert sequence.is_scale(slide.shape[:2], frame)
        assert not scaled or slide.shape[:2] == frame
    twice = np.zeros((2 * padded[0], 2 * padded[1], 3), np.uint8)
    assert pictures.fitted(twice, frame, pytest.fail).shape == (2 * height, 2 * width, 3)


@pytest.mark.parametrize("size", [(72, 48), (56, 72), (144, 56), (192, 64)])
def test_a_picture_of_another_shape(server: ComfyServer, size: tuple[int, int]) -> None:
    server.runs.append(Run(picture=scaled(*size)))
    shapes = f"a picture of {size[0]}x{size[1]} for one of 72x56"
    with client_of(server) as client, pytest.raises(OtherShape, match=shapes):
        client.draw(a_job())


@pytest.mark.parametrize("size", [(66, 50), (74, 56), (64, 64), (1024, 768), (64, 48)])
def test_a_picture_that_a_model_has_rounded_is_scaled(
    server: ComfyServer, size: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    """Multiples of 16, 32 or 64, and aspects that are off by some per cent; said once."""
    server.runs += [Run(picture=scaled(*size))] * 2
    with client_of(server) as client:
        assert [client.draw(a_job(slide)).pixels.shape for slide in range(2)] == [(50, 66, 3)] * 2
    assert caplog.text.count(f"makes a picture of {size[0]}x{size[1]} for one of 72x56") == 1


@pytest.mark.parametrize("day", [usual, answer(404), answer(405), answer(200, "<html>")])
def test_closing_gives_up_what_is_in_flight_and_stops_the_server(
    server: ComfyServer, day: Day
) -> None:
    """By a prompt's own cancellation, which old servers lack."""
    server.always("POST /api/jobs/{id}/cancel", day)
    server.runs.append(Run(seconds=math.inf))
    jobs = [a_job(slide) for slide in range(3)]
    with client_of(server) as client, in_the_background(client, *jobs) as slides:
        server.wait_for(lambda: server.running and len(server.pending) == 2)
        foreign_prompt(server)
        client.close()
        for slide in slides:
            with pytest.raises(ServerFault, match="run has ended"):
                slide.result(LONGEST_S)
        server.wait_for(lambda: not server.running and not server.pending)
        assert list(server.history) == ["foreign"]  # it alone was finished
        assert server.requests["POST /interrupt"] == (0 if day is usual else 1)
        with pytest.raises(ServerFault, match="run has ended"):
            client.draw(a_job())
        assert not client.answers()


@pytest.mark.parametrize(
    "route", ["POST /upload/image", "POST /prompt", "GET /history/{id}", "GET /view", "GET /ws"]
)
def test_closing_does_not_wait_for_a_server_that_hangs(server: ComfyServer, route: str) -> None:
    server.always(route, slow(math.inf))
    timeouts = replace(QUICK, answer_s=1e6, socket_s=1e6, cleanup_s=0.5)
    with (
        client_of(server, timeouts, timeout_s=1e6) as client,
        in_the_background(client, a_job()) as slide,
    ):
        server.wait_for(lambda: server.requests[route])
        for each in ("POST /api/jobs/{id}/cancel", "POST /history"):
            server.always(each, slow(math.inf))
        client.close()
        with pytest.raises(ServerFault):
            slide.result(LONGEST_S)


def test_a_client_that_never_drew_is_closed_too() -> None:
    with client_of("http://127.0.0.1:9") as client:
        client.close()


def test_what_a_server_says_about_itself(server: ComfyServer) -> None:
    with client_of(server) as client:
        described = client.inspect()
        assert (described.version, described.device) == (
            "0.3.64",
            "cuda:0 Test GPU : cudaMallocAsync",
        )
        assert (described.memory_free, described.memory_total) == (20 * 2**30, 24 * 2**30)
        assert client.answers() and client.websocket_works()
        assert set(client.node_classes()) == set(server.classes)
        steps = {"default": 20, "min": 1, "max": 10000}
        sampler = client.node_class("KSamplerAdvanced")
        assert sampler and sampler["input"]["required"]["steps"] == ["INT", steps]
        assert client.node_class("A/B: ü?") is None


@pytest.mark.parametrize("body", ["{}", "[]", "1", HTML, '{"system": [], "devices": {}}'])
def test_what_is_no_comfyui(server: ComfyServer, body: str) -> None:
    server.always("GET /system_stats", answer(200, body))
    with client_of(server) as client:
        with pytest.raises(ServerFault, match="something answers there"):
            client.inspect()
        assert not client.answers()


@pytest.mark.parametrize(
    "body", ['{"system": {}}', '{"system": {}, "devices": [{"vram_free": []}]}']
)
def test_a_server_that_says_little_about_itself(server: ComfyServer, body: str) -> None:
    server.on("GET /system_stats", answer(200, body))
    with client_of(server) as client:
        assert client.inspect().memory_free is None


def test_the_nearest_names_come_first() -> None:
    offered = ["v1-5.safetensors", "SDXL\\SD_XL_BASE_1.0.safetensors", "sd_xl_base_0.9.safetensors"]
    found = responses.nearest("OfficialStableDiffusion/sd_xl_base_1.0.safetensors", offered)
    assert found == [offered[1], offered[2], offered[0]]
    assert responses.nearest("sd_xl_base_1.0.safetensors", ["README", "x"]) == []


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ([["a", "b"], {"tooltip": "..."}], ["a", "b"]),
        (["COMBO", {"options": ["a", 2]}], ["a", "2"]),
        (["INT", {"min": 1}], []),
        ([], []),
        (None, []),
    ],
)
def test_the_choices_of_an_input(config: object, expected: list[str]) -> None:
    assert responses.choices(config) == expected


SEEDS = st.integers(0, 2**32).map(random.Random)
PROMPT_ID = re.compile("bdc56259-471c-4643-a408-fd6288d2ea88|e4a85a2b-ffd0-499a-bc67-dc4152026fd3")
MESSAGES = [
    PROMPT_ID.sub("PROMPT", message)
    for story in ("success", "error")
    for message in recorded(story)
    if isinstance(message, str)
]
ROUTES = ["POST /upload/image", "POST /prompt", "GET /history/{id}", "GET /queue", "GET /view"]


def bad_message(chance: random.Random) -> Message:
    """What a websocket might say: something wrong with a message of ours, or anything at all."""
    message = chance.choice(MESSAGES)
    how = chance.randrange(4)
    if how == 0:
        return chance.randbytes(40)
    if how == 1:
        return message[: chance.randrange(len(message))]
    return json.dumps(spoiled(json.loads(message), chance))


def bad_body(chance: random.Random) -> Callable[[bytes], bytes]:
    """Bytes changed, cut off or put in, or another value somewhere in the JSON."""

    def change(body: bytes) -> bytes:
        if chance.random() < 0.5 and (value := http.parse(body)) is not None:
            return json.dumps(spoiled(value, chance)).encode()
        place = chance.randrange(len(body) + 1)
        junk = chance.choice([b"", b"null", b"[]", b"{}", b'"', b"1e999", chance.randbytes(9)])
        return body[:place] + junk + body[place + chance.choice([0, 1, 9, 10**6]) :]

    return change


TIMEOUTS_OF_FUZZ = replace(QUICK, retry_s=(0.001, 0.01), poll_s=(0.005, 0.02), quiet_s=0.03)


def test_mangled_messages_and_bodies_end_in_a_slide_or_a_fault(server: ComfyServer) -> None:
    job, expected = a_job(0, 8, 8), slide_of(a_job(0, 8, 8))

    @settings(max_examples=150)
    @given(st.integers(0, 20), st.lists(st.sampled_from(ROUTES), max_size=2), SEEDS)
    def try_it(messages: int, routes: list[str], chance: random.Random) -> None:
        def told(usual: list[Message]) -> list[Message]:
            assert server.running
            for _ in range(messages):
                message = bad_message(chance)
                if isinstance(message, str):
                    message = message.replace("PROMPT", server.running.id)
                usual.insert(chance.randrange(len(usual) + 1), message)
            return usual

        server.runs.append(Run(told=told))
        for route in routes:
            server.on(route, mangled(bad_body(chance)))
        try:
            slide = client.draw(job)
        except (ServerFault, WorkflowFault):
            assert routes
        else:
            assert np.array_equal(slide.pixels, expected)
        server.forget_days()

    with client_of(server, TIMEOUTS_OF_FUZZ) as client:
        try_it()
        assert_draws(client, job)


REAL = os.environ.get("COMFYUI_URL", "").split(",")[0]


@pytest.mark.comfyui
@pytest.mark.skipif(not REAL, reason="COMFYUI_URL names no ComfyUI server to try")
class TestRealServer:
    """Needs no model: the guide comes back inverted where the mask frees it."""

    @staticmethod
    def expected(job: Job) -> Pixels:
        share = job.mask[:, :, np.newaxis].astype(float) / 255
        return (job.guide * (1 - share) + (255 - job.guide) * share).astype(np.uint8)

    def test_slides(self) -> None:
        jobs = [a_job(slide, 50 + slide, 66) for slide in range(6)]
        with client_of(REAL, Timeouts()) as client, ThreadPoolExecutor(2) as threads:
            for job, slide in zip(jobs, threads.map(client.draw, jobs), strict=True):
                assert np.abs(slide.pixels.astype(int) - self.expected(job)).max() <= 1

    def test_what_it_says_about_itself(self) -> None:
        with client_of(REAL, Timeouts()) as client:
            assert client.inspect().version
            assert client.answers() and client.websocket_works()
            assert client.node_class("LoadImage")
            assert client.node_class("NoSuchNode") is None
            client.free_memory()

    def test_refusals(self) -> None:
        for make_prompt, reason in REFUSED:
            with client_of(REAL, Timeouts(), make_prompt=make_prompt) as client:
                with pytest.raises(WorkflowFault) as fault:
                    client.draw(a_job())
                assert reason.split(":")[0] in str(fault.value)

    def test_closing(self) -> None:
        jobs = [a_job(slide, 2000, 2000) for slide in range(4)]
        with client_of(REAL, Timeouts()) as client, in_the_background(client, *jobs) as slides:
            time.sleep(0.5)
            client.close()
            ended = [slide.exception(2) for slide in slides]
        assert all(each is None or isinstance(each, ServerFault) for each in ended)
        with client_of(REAL, Timeouts()) as client:
            queue = client._ask("GET", "/queue")
            assert not queue["queue_pending"]
