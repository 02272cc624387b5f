"""Simulate a ComfyUI server for tests and benchmarks; it fails on command.

HTTP and WebSocket on port 0 of 127.0.0.1, in a thread of its own, one prompt at a time. It answers
as real servers were seen to, with their recorded messages and histories (tests/data/comfyui/).
Prompts are checked against the classes in `classes` as ComfyUI checks them, and drawn by `paint`,
so that the same guides, masks and settings always give the same slides.

    with ComfyServer() as server:
        server.on("GET /view", halved)            # how the next such request is answered
        server.runs.append(Run(error={...}))      # what the next prompt does
        ... ComfyUI(server.url, ...) ...
        assert server.prompts_run == 3
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import re
import ssl
import threading
import time
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from types import TracebackType
from typing import Any
from uuid import uuid4

import numpy as np
from aiohttp import WSMsgType, web
from PIL import Image
from support import paths
from support.programs import LONGEST_S

from stable_restyle.core.records import Pixels
from stable_restyle.media import png

RECORDINGS = paths.DATA / "comfyui"
CERTIFICATE = RECORDINGS / "localhost.pem"
SDXL = "OfficialStableDiffusion/sd_xl_base_1.0.safetensors"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Day = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]  # handler: the usual answer
Message = str | bytes  # of the websocket; CUT ends the connection

CUT: Message = "cut the connection here"


@dataclass(frozen=True)
class Run:
    """How one prompt ends, and which messages are sent about it."""

    seconds: float | None = None  # None: as long as the server usually takes
    error: Mapping[str, Any] | None = None  # fields of an execution_error, over the recorded ones
    interrupted: bool = False  # by somebody at the server
    cached: bool = False  # the server thinks that it has the picture, but the file is gone
    restart: bool = False  # the server restarts in the midst of it
    picture: Callable[[Pixels], bytes] = png.encode
    told: Callable[[list[Message]], list[Message]] = list  # the messages -> what is sent


@dataclass
class _Item:
    number: int
    id: str
    nodes: dict[str, Any]
    extra: dict[str, Any]
    outputs: list[str]
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def as_json(self) -> list[Any]:
        return [self.number, self.id, self.nodes, self.extra, self.outputs]


@dataclass(frozen=True)
class _Socket:
    ws: web.WebSocketResponse
    transport: asyncio.Transport


class ComfyServer:
    """Use as a context manager. Attributes may be read and set from any thread."""

    def __init__(
        self,
        *,
        draw_s: float = 0.0,
        base: str = "",
        password: str = "",
        headers: Mapping[str, str] | None = None,
        tls: bool = False,
        own_ids: bool = False,
    ) -> None:
        """draw_s: how long it takes for a picture. base: path in front of every route. password:
        asked of the user "me". headers: asked of every request. own_ids: it gives prompts IDs of
        its own, as old versions do.
        """
        self.draw_s = draw_s
        self.base = base
        self.password = password
        self.required = dict(headers or {})
        self.own_ids = own_ids
        self.classes = copy.deepcopy(_classes())
        self.runs: deque[Run] = deque()
        self.files: dict[tuple[str, str, str], bytes] = {}  # (type, subfolder, filename)
        self.history: dict[str, Any] = {}
        self.pending: list[_Item] = []
        self.running: _Item | None = None
        self.requests: Counter[str] = Counter()  # "GET /queue" -> how many
        self.received: list[Mapping[str, str]] = []  # the headers of each request
        self.prompts_run = 0  # executed, for better or worse
        self.most_in_queue = 0  # the running one included
        self.busy_s = 0.0
        self.freed = 0  # POST /free
        self.client_ids: list[str] = []  # of every websocket so far
        self._days: defaultdict[str, deque[Day]] = defaultdict(deque)
        self._always: dict[str, Day] = {}
        self._sockets: dict[str, _Socket] = {}
        self._number = 0
        self._made = 0
        self._first = self._last = 0.0  # time.monotonic() of the first start and the last end
        self._work = asyncio.Event()
        self._changed = threading.Condition()
        self._tls = tls
        self._loop = asyncio.SelectorEventLoop()  # that of Windows has no remove_reader
        self._up = threading.Event()
        self._down = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="ComfyServer", daemon=True)
        self.port = 0

    def __enter__(self) -> ComfyServer:
        self._thread.start()
        assert self._up.wait(LONGEST_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address, with user and password if the server requires them."""
        user = f"me:{self.password}@" if self.password else ""
        scheme, host = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{user}{host}:{self.port}{self.base}"

    @property
    def connections(self) -> int:
        """Number of websockets so far."""
        return len(self.client_ids)

    @property
    def idle_s(self) -> float:
        """Time without a prompt to draw, between the first prompt and the end of the last."""
        return max(self._last - self._first - self.busy_s, 0.0)

    def stop(self) -> None:
        """End the server as if its process were killed; connections to it are then refused."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._down.set)
            self._thread.join(LONGEST_S)
            assert not self._thread.is_alive()

    def on(self, route: str, *days: Day) -> None:
        """Answer the next requests to a route ("GET /history/{id}") by these, one each."""
        self._days[route] += days

    def always(self, route: str, day: Day | None) -> None:
        """Answer all requests to a route by this; None: as usual again."""
        if day is None:
            self._always.pop(route, None)
        else:
            self._always[route] = day

    def forget_days(self) -> None:
        """Answer all requests as usual and run all prompts as usual again."""
        self._days.clear()
        self._always.clear()
        self.runs.clear()

    def restart(self) -> None:
        """Forget queue, history and temporary files, and cut every websocket off."""
        asyncio.run_coroutine_threadsafe(self._restart(), self._loop).result(LONGEST_S)

    def cut_sockets(self) -> None:
        """Cut every websocket off without a closing handshake."""
        asyncio.run_coroutine_threadsafe(self._cut_sockets(), self._loop).result(LONGEST_S)

    def wait_for(self, happens: Callable[[], object]) -> None:
        """Wait until a condition holds. Raises AssertionError after LONGEST_S."""
        with self._changed:
            assert self._changed.wait_for(happens, LONGEST_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.run_until_complete(self._give_up())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _give_up(self) -> None:
        """Cancel tasks that still hang; asyncio would warn of them later."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _main(self) -> None:
        app = web.Application(client_max_size=100 * 2**20, middlewares=[self._doorman])
        for method, path, handler in self._routes():
            app.router.add_route(method, self.base + path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        context = None
        if self._tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(CERTIFICATE)
        assert runner.server is not None
        server = await self._loop.create_server(runner.server, "127.0.0.1", 0, ssl=context)
        (listening,) = server.sockets
        self.port = listening.getsockname()[1]
        worker = asyncio.create_task(self._run_prompts())
        self._up.set()
        await self._down.wait()
        worker.cancel()
        # Python 3.11 drops who is at the door when it closes, without closing his socket: nobody
        # more may knock, and those who have need some turns of the loop to be in.
        self._loop.remove_reader(listening)
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        await self._cut_sockets()
        await runner.cleanup()

    def _routes(self) -> Iterator[tuple[str, str, Handler]]:
        yield "GET", "/ws", self._ws
        yield "POST", "/upload/image", self._upload
        yield "POST", "/prompt", self._prompt
        yield "GET", "/queue", self._queue
        yield "POST", "/queue", self._change_queue
        yield "GET", "/history/{id}", self._history
        yield "POST", "/history", self._change_history
        yield "POST", "/interrupt", self._interrupt
        yield "POST", "/free", self._free
        yield "GET", "/view", self._view
        yield "GET", "/system_stats", self._system_stats
        yield "GET", "/object_info", self._object_info
        yield "GET", "/object_info/{name:.+}", self._object_info

    @web.middleware
    async def _doorman(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = f"{request.method} {resource.canonical if resource else request.path}"
        route = route.replace(f" {self.base}/", " /", 1)
        with self._changed:
            self.requests[route] += 1
            self.received.append(dict(request.headers))
            self._changed.notify_all()
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{request.host}":
            return web.Response(status=403)
        if self.password:
            token = base64.b64encode(f"me:{self.password}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {token}":
                return web.Response(status=401, text="Unauthorized")
        if any(request.headers.get(name) != value for name, value in self.required.items()):
            return web.Response(status=403, text="Forbidden")
        if self._days[route]:
            return await self._days[route].popleft()(request, handler)
        if route in self._always:
            return await self._always[route](request, handler)
        return await handler(request)

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        client_id = request.query.get("clientId") or uuid4().hex
        assert request.transport is not None
        self._sockets[client_id] = socket = _Socket(ws, request.transport)
        with self._changed:
            self.client_ids.append(client_id)
            self._changed.notify_all()
        await ws.send_json({"type": "status", "data": {"status": self._status(), "sid": client_id}})
        async for message in ws:
            if message.type is WSMsgType.ERROR:
                break
        if self._sockets.get(client_id) is socket:
            del self._sockets[client_id]
        return ws

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        upload = form["image"]
        assert isinstance(upload, web.FileField)
        kind, folder = str(form.get("type", "input")), str(form.get("subfolder", ""))
        data, name = upload.file.read(), upload.filename
        stem, dot, ending = name.rpartition(".")
        copy_number = 1
        while form.get("overwrite") not in ("true", "1"):
            if self.files.get((kind, folder, name), data) == data:
                break
            name = f"{stem} ({copy_number}){dot}{ending}"
            copy_number += 1
        self.files[kind, folder, name] = data
        return web.json_response({"name": name, "subfolder": folder, "type": kind})

    async def _prompt(self, request: web.Request) -> web.Response:
        try:
            asked = json.loads(await request.read())
        except ValueError:
            return web.Response(
                status=500, text="500 Internal Server Error\n\nServer got itself..."
            )
        nodes = asked.get("prompt")
        if not isinstance(nodes, dict):
            return _refusal("no_prompt", "No prompt provided")
        outputs, error, node_errors = self._validate(nodes)
        if error is not None:
            return web.json_response({"error": error, "node_errors": node_errors}, status=400)
        prompt_id = str(uuid4()) if self.own_ids else str(asked.get("prompt_id", uuid4()))
        extra = {"client_id": asked["client_id"]} if "client_id" in asked else {}
        with self._changed:
            item = _Item(self._number, prompt_id, nodes, extra, outputs)
            self._number += 1
            self.pending.append(item)
            waiting = len(self.pending) + (self.running is not None)
            self.most_in_queue = max(self.most_in_queue, waiting)
            self._changed.notify_all()
        self._work.set()
        answer = {"prompt_id": prompt_id, "number": item.number, "node_errors": node_errors}
        return web.json_response(answer)

    async def _queue(self, request: web.Request) -> web.Response:
        running = [self.running.as_json()] if self.running else []
        pending = [item.as_json() for item in self.pending]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def _change_queue(self, request: web.Request) -> web.Response:
        gone = (await request.json()).get("delete", [])
        with self._changed:
            self.pending = [item for item in self.pending if item.id not in gone]
            self._changed.notify_all()
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        return web.json_response({wanted: self.history[wanted]} if wanted in self.history else {})

    async def _change_history(self, request: web.Request) -> web.Response:
        with self._changed:
            for each in (await request.json()).get("delete", []):
                self.history.pop(each, None)
            self._changed.notify_all()
        return web.Response()

    async def _interrupt(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if self.running and asked.get("prompt_id") in (None, self.running.id):
            self.running.stop.set()
        return web.Response()

    async def _free(self, request: web.Request) -> web.Response:
        self.freed += 1
        return web.Response()

    async def _view(self, request: web.Request) -> web.Response:
        wanted = request.query
        if ".." in wanted["filename"] or wanted.get("type") not in ("input", "temp", "output"):
            return web.Response(status=400)
        place = wanted["type"], wanted.get("subfolder", ""), wanted["filename"]
        if place not in self.files:
            return web.Response(status=404)
        return web.Response(body=self.files[place], content_type="image/png")

    async def _system_stats(self, request: web.Request) -> web.Response:
        system = {"os": "posix", "ram_total": 2**35, "ram_free": 2**34, "comfyui_version": "0.3.64"}
        device = {
            "name": "cuda:0 Test GPU : cudaMallocAsync",
            "type": "cuda",
            "index": 0,
            "vram_total": 24 * 2**30,
            "vram_free": 20 * 2**30,
        }
        return web.json_response({"system": system, "devices": [device]})

    async def _object_info(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name")
        found = self.classes if name is None else {name: self.classes.get(name)}
        return web.json_response({key: value for key, value in found.items() if value})

    def _status(self) -> dict[str, Any]:
        waiting = len(self.pending) + (self.running is not None)
        return {"exec_info": {"queue_remaining": waiting}}

    async def _run_prompts(self) -> None:
        while True:
            while not self.pending:
                self._work.clear()
                await self._work.wait()
            run = self.runs.popleft() if self.runs else Run()
            with self._changed:
                item = self.running = self.pending.pop(0)
                self.prompts_run += 1
                started = time.monotonic()
                self._first = self._first or started
                self._changed.notify_all()
            try:
                await self._run(item, run)
            finally:
                with self._changed:
                    if self.running is item:
                        self.running = None
                    self._last = time.monotonic()
                    self.busy_s += self._last - started
                    self._changed.notify_all()

    async def _run(self, item: _Item, run: Run) -> None:
        """Play a prompt: messages, picture, history, and `executing {node: null}` at last."""
        took = self.draw_s if run.seconds is None else run.seconds
        over_by = time.monotonic() + took
        guide, mask = self._loaded(item)
        output = next(iter(item.outputs))
        pictures: list[dict[str, str]] = []
        if guide is not None and mask is not None and run.error is None:
            pictures = [self._keep(item, run.picture(paint(guide, mask, settings_of(item.nodes))))]
        story = "error" if run.error is not None else "cached" if run.cached else "success"
        if run.cached:
            pictures = [{"filename": "long_gone.png", "subfolder": "", "type": "temp"}]
        if run.interrupted:
            story = "interrupted"
        messages = run.told(_retold(story, item.id, output, pictures, run.error))
        begun = next((n for n, each in enumerate(messages) if '"progress"' in str(each)), 3)
        await self._tell(item, messages[:begun])
        with suppress(TimeoutError):
            await asyncio.wait_for(item.stop.wait(), max(over_by - time.monotonic(), 0))
            story = "interrupted"
            messages = _retold(story, item.id, output, [], None)
        if run.restart:
            await self._restart()
        if self.running is not item:  # forgotten by a restart
            return
        await self._tell(item, messages[begun:-2])
        with self._changed:
            outputs = {output: {"images": pictures}} if story in ("success", "cached") else {}
            self.history[item.id] = _entry(story, item, outputs, run.error)
            self.running = None
        await self._tell(item, messages[max(begun, len(messages) - 2) :])

    async def _tell(self, item: _Item, messages: Sequence[Message]) -> None:
        client_id = item.extra.get("client_id", "")
        for message in messages:
            if (socket := self._sockets.get(client_id)) is None:
                return
            if message is CUT:
                self._sockets.pop(client_id).transport.abort()
                return
            with suppress(ConnectionError):
                if isinstance(message, str):
                    await socket.ws.send_str(message)
                else:
                    await socket.ws.send_bytes(message)

    def _loaded(self, item: _Item) -> tuple[Pixels | None, Pixels | None]:
        """Return the guide (H, W, 3) and the mask (H, W) that a prompt loads, or None."""
        loaders = {
            node: content["inputs"]
            for node, content in item.nodes.items()
            if content["class_type"] in ("LoadImage", "LoadImageMask")
        }
        masks = [node for node in loaders if _feeds_a_mask(item.nodes, node)]
        guides = [node for node in loaders if node not in masks]
        guide = self._load(loaders[guides[0]]["image"]) if guides else None
        mask = self._load(loaders[masks[0]]["image"]) if masks else None
        return guide, None if mask is None else mask[:, :, 0]

    def _load(self, name: str) -> Pixels:
        with Image.open(BytesIO(self.files[_annotated(name)])) as image:
            return np.array(image.convert("RGB"))

    def _keep(self, item: _Item, data: bytes) -> dict[str, str]:
        self._made += 1
        saved = any(item.nodes[each]["class_type"] == "SaveImage" for each in item.outputs)
        place = ("output" if saved else "temp", "", f"ComfyUI_temp_{self._made:05d}_.png")
        self.files[place] = data
        return {"filename": place[2], "subfolder": place[1], "type": place[0]}

    async def _restart(self) -> None:
        with self._changed:
            self.pending.clear()
            self.history.clear()
            if self.running:
                self.running.stop.set()
                self.running = None
            for place in [each for each in self.files if each[0] == "temp"]:
                del self.files[place]
            self._changed.notify_all()
        await self._cut_sockets()

    async def _cut_sockets(self) -> None:
        for socket in self._sockets.values():
            socket.transport.abort()
        self._sockets.clear()

    def _validate(
        self, nodes: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any] | None, dict[str, Any]]:
        """Return valid outputs, the error if there are none, and the errors by node."""
        for node, content in nodes.items():
            if not isinstance(content, dict) or "class_type" not in content:
                reason = "Cannot execute because a node is missing the class_type property."
                return [], _error("invalid_prompt", reason, f"Node ID '#{node}'"), {}
            kind = content["class_type"]
            if kind not in self.classes:
                reason = f"Cannot execute because node {kind} does not exist."
                return [], _error("invalid_prompt", reason, f"Node ID '#{node}'"), {}
        outputs = [n for n in nodes if self.classes[nodes[n]["class_type"]]["output_node"]]
        if not outputs:
            return [], _error("prompt_no_outputs", "Prompt has no outputs"), {}
        wrong: dict[str, Any] = {}
        good = []
        for output in outputs:
            faulty = [n for n in _upstream(nodes, output) if self._faults(nodes, n)]
            for node in faulty:
                found = {
                    "errors": self._faults(nodes, node),
                    "dependent_outputs": [],
                    "class_type": nodes[node]["class_type"],
                }
                wrong.setdefault(node, found)["dependent_outputs"].append(output)
            if not faulty:
                good.append(output)
        if good:
            return good, None, wrong
        reason = "Prompt outputs failed validation"
        return [], _error("prompt_outputs_failed_validation", reason), wrong

    def _faults(self, nodes: dict[str, Any], node: str) -> list[dict[str, Any]]:
        found = []
        inputs = nodes[node].get("inputs", {})
        for name, config in self.classes[nodes[node]["class_type"]]["input"]["required"].items():
            if name not in inputs:
                found.append(_error("required_input_missing", "Required input is missing", name))
            elif isinstance(inputs[name], list):
                found += self._link_faults(nodes, name, inputs[name], config)
            else:
                found += self._value_faults(name, inputs[name], config)
        return found

    def _link_faults(
        self, nodes: dict[str, Any], name: str, link: list[Any], config: list[Any]
    ) -> list[dict[str, Any]]:
        if len(link) != 2 or link[0] not in nodes:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return [_error("bad_linked_input", message, name, name, config, link)]
        given = self.classes[nodes[link[0]]["class_type"]]["output"][link[1]]
        if given != config[0]:
            details = f"{name}, received_type({given}) mismatch input_type({config[0]})"
            message = "Return type mismatch between linked nodes"
            return [_error("return_type_mismatch", message, details, name, config)]
        return []

    def _value_faults(self, name: str, value: Any, config: list[Any]) -> list[dict[str, Any]]:
        kind, limits = config[0], config[1] if len(config) > 1 else {}
        if limits.get("image_upload"):
            if _annotated(str(value)) not in self.files:
                details = f"{name} - Invalid image file: {value}"
                message = "Custom validation failed for node"
                return [_error("custom_validation_failed", message, details, name, config, value)]
        elif isinstance(kind, list):
            if value not in kind:
                listed = str(kind) if len(kind) <= 20 else f"(list of length {len(kind)})"
                details = f"{name}: '{value}' not in {listed}"
                return [
                    _error("value_not_in_list", "Value not in list", details, name, config, value)
                ]
        elif kind in ("INT", "FLOAT"):
            return _number_faults(name, value, config)
        return []


def _number_faults(name: str, value: Any, config: list[Any]) -> list[dict[str, Any]]:
    kind, limits = config[0], config[1] if len(config) > 1 else {}
    try:
        number = int(value) if kind == "INT" else float(value)
    except (TypeError, ValueError) as error:
        message = f"Failed to convert an input value to a {kind} value"
        details = f"{name}, {value}, {error}"
        return [_error("invalid_input_type", message, details, name, config, value)]
    if "min" in limits and number < limits["min"]:
        message = f"Value {value} smaller than min of {limits['min']}"
        return [_error("value_smaller_than_min", message, name, name, config, value)]
    if "max" in limits and number > limits["max"]:
        message = f"Value {value} bigger than max of {limits['max']}"
        return [_error("value_bigger_than_max", message, name, name, config, value)]
    return []


def _error(
    kind: str,
    message: str,
    details: str = "",
    name: str | None = None,
    config: Any = None,
    value: Any = None,
) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if name is not None:
        extra = {"input_name": name, "input_config": config, "received_value": value}
    elif kind == "required_input_missing":
        extra = {"input_name": details}
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _refusal(kind: str, message: str) -> web.Response:
    return web.json_response({"error": _error(kind, message), "node_errors": {}}, status=400)


def paint(guide: Pixels, mask: Pixels, settings: bytes) -> Pixels:
    """Return what this server draws: where the mask is set, the guide inverted, dark and tinted.

    guide: (H, W, 3). mask: (H, W). settings: the rest of the prompt; decides the tint.
    """
    seed = zlib.crc32(settings)
    tint = np.array([seed & 63, seed >> 6 & 63, seed >> 12 & 63], np.uint16)
    freed = (255 - guide.astype(np.uint16)) * 3 // 4 + tint
    share = mask[:, :, np.newaxis].astype(np.uint16)
    return ((guide * (255 - share) + freed * share + 127) // 255).astype(np.uint8)


def settings_of(nodes: Mapping[str, Any]) -> bytes:
    """Return the content of a prompt except its pictures and the IDs of its nodes."""
    said = {
        node: [content["class_type"], content.get("inputs", {})]
        for node, content in nodes.items()
        if content["class_type"] not in ("LoadImage", "LoadImageMask")
    }
    return json.dumps(said, sort_keys=True).encode()


def _upstream(nodes: Mapping[str, Any], node: str) -> list[str]:
    """Return a node and all nodes that it depends on."""
    found: list[str] = []
    todo = [node]
    while todo:
        each = todo.pop()
        if each in nodes and each not in found:
            found.append(each)
            inputs = nodes[each].get("inputs", {}).values()
            todo += [str(value[0]) for value in inputs if isinstance(value, list) and value]
    return found


def _feeds_a_mask(nodes: Mapping[str, Any], loader: str) -> bool:
    """Return whether a node is the mask of another, directly or through nodes without a picture."""
    if nodes[loader]["class_type"] == "LoadImageMask":
        return True
    return any(
        isinstance(value, list)
        and value[:1] == [loader]
        and (name == "mask" or content["class_type"] == "ImageToMask")
        for content in nodes.values()
        for name, value in content.get("inputs", {}).items()
    )


def _annotated(name: str) -> tuple[str, str, str]:
    """Return the (type, subfolder, filename) that LoadImage reads from "folder/name [temp]"."""
    match = re.fullmatch(r"(?:(.*)/)?([^/]*?)(?: \[(input|output|temp)\])?", name)
    assert match
    return match[3] or "input", match[1] or "", match[2]


def recorded(story: str) -> list[Message]:
    """Return the websocket messages of a recording, in order."""
    messages: list[Message] = []
    for line in (RECORDINGS / f"{story}.ws.jsonl").read_text("utf-8").splitlines():
        message = json.loads(line)
        binary = message.get("BINARY_base64")
        messages.append(base64.b64decode(binary) if binary else json.dumps(message))
    return messages


@cache
def _history_of(story: str) -> tuple[str, str]:
    """Return the recorded ID, and the history's entry as JSON."""
    whole = json.loads((RECORDINGS / f"{story}.history.json").read_text("utf-8"))
    [(prompt_id, entry)] = whole.items()
    return prompt_id, json.dumps(entry)


_recorded = cache(recorded)


def _retold(
    story: str,
    prompt_id: str,
    output: str,
    pictures: Sequence[Mapping[str, str]],
    error: Mapping[str, Any] | None,
) -> list[Message]:
    """Return recorded messages, changed to those of another prompt."""
    old_id, _ = _history_of(story)
    messages: list[Message] = []
    for message in _recorded(story)[1:]:  # the first one greets a new connection
        if isinstance(message, str):
            message = message.replace(old_id, prompt_id)
            if '"executed"' in message or '"execution_error"' in message:
                message = _edited(message, output, pictures, error)
        messages.append(message)
    return messages


def _edited(
    message: str,
    output: str,
    pictures: Sequence[Mapping[str, str]],
    error: Mapping[str, Any] | None,
) -> str:
    content = json.loads(message)
    if content["type"] == "executed":
        content["data"] |= {"node": output, "output": {"images": list(pictures)}}
    else:
        content["data"] |= error or {}
    return json.dumps(content)


def _entry(
    story: str, item: _Item, outputs: Mapping[str, Any], error: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a recorded entry of the history, changed to that of another prompt."""
    old_id, text = _history_of(story)
    entry: dict[str, Any] = json.loads(text.replace(old_id, item.id))
    for kind, data in entry["status"]["messages"]:
        if kind == "execution_error":
            data |= error or {}
    return entry | {"prompt": item.as_json(), "outputs": outputs}


def answer(status: int, text: str = "", kind: str = "text/plain") -> Day:
    """Answer every request by this instead."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, text=text, content_type=kind)

    return day


def mangled(change: Callable[[bytes], bytes]) -> Day:
    """Answer as usual, but with a changed body."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        usual = await handler(request)
        body = usual.body if isinstance(usual, web.Response) else b""
        assert isinstance(body, bytes) or body is None
        return web.Response(
            status=usual.status, body=change(body or b""), content_type=usual.content_type
        )

    return day


def slow(seconds: float) -> Day:
    """Answer as usual, but late."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await handler(request)

    return day


def redirected(to: str) -> Day:
    """Redirect to another address."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.read()
        return web.Response(status=307, headers={"Location": to}, text="x" * 1000)

    return day


async def usual(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer as usual, between failures."""
    return await handler(request)


async def dropped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Break the connection before the request is read."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def answer_lost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle the request, but break the connection before the answer."""
    await handler(request)
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def broken_off(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Break the connection in the middle of the answer."""
    usual = await handler(request)
    body = usual.body if isinstance(usual, web.Response) else None
    assert isinstance(body, bytes | None)
    half = web.StreamResponse(headers={"Content-Length": str(len(body or b"more"))})
    await half.prepare(request)
    await half.write((body or b"")[: len(body or b"") // 2])
    assert request.transport is not None
    request.transport.abort()
    return half


async def endless(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send an answer that never ends."""
    stream = web.StreamResponse()
    await stream.prepare(request)
    with suppress(ConnectionError):
        while True:
            await stream.write(bytes(2**20))
    return stream


async def trickled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send an answer byte by byte, with pauses."""
    stream = web.StreamResponse(headers={"Content-Length": "1000000"})
    await stream.prepare(request)
    with suppress(ConnectionError):
        while True:
            await stream.write(b" ")
            await asyncio.sleep(0.02)
    return stream


async def silent(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Open a websocket that only answers pings, as if a second client had the same ID."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for _ in ws:
        pass
    return ws


async def deaf(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Open a websocket that answers nothing, not even pings."""
    ws = web.WebSocketResponse(autoping=False)
    await ws.prepare(request)
    async for _ in ws:
        pass
    return ws


halved = mangled(lambda body: body[: len(body) // 2])


@cache
def _classes() -> dict[str, Any]:
    """Return the node classes as in /object_info: stock nodes, and two of Swarm's."""
    path = RECORDINGS / "object_info_KSamplerAdvanced.json"
    sampler = json.loads(path.read_text("utf-8"))["KSamplerAdvanced"]
    inputs = sampler["input"]["required"]
    upload = [["example.png"], {"image_upload": True}]
    text, whole = (
        ["STRING", {"multiline": True}],
        ["INT", {"default": 1024, "min": 0, "max": 16384}],
    )
    share = ["FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0}]
    swarm = {
        **inputs,
        "var_seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
        "var_seed_strength": ["FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0}],
        "sigma_max": ["FLOAT", {"default": -1, "min": -1.0, "max": 1000.0}],
        "sigma_min": ["FLOAT", {"default": -1, "min": -1.0, "max": 1000.0}],
        "rho": ["FLOAT", {"default": 7.0, "min": 0.0, "max": 100.0}],
        "previews": [["default", "none", "one", "second", "iterate"]],
        "tile_sample": ["BOOLEAN", {"default": False}],
        "tile_size": ["INT", {"default": 1024, "min": 256, "max": 4096}],
    }
    sizes = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")
    channels = ["red", "green", "blue", "alpha"]
    table: list[tuple[str, dict[str, Any], list[str]]] = [
        ("LoadImage", {"image": upload}, ["IMAGE", "MASK"]),
        ("LoadImageMask", {"image": upload, "channel": [channels]}, ["MASK"]),
        ("SwarmLoadImageB64", {"image_base64": text}, ["IMAGE", "MASK"]),
        ("ImageToMask", {"image": ["IMAGE"], "channel": [channels]}, ["MASK"]),
        ("ImageInvert", {"image": ["IMAGE"]}, ["IMAGE"]),
        (
            "ImageCompositeMasked",
            {
                "destination": ["IMAGE"],
                "source": ["IMAGE"],
                "x": ["INT", {"default": 0, "min": 0, "max": 16384}],
                "y": ["INT", {"default": 0, "min": 0, "max": 16384}],
                "resize_source": ["BOOLEAN", {"default": False}],
            },
            ["IMAGE"],
        ),
        (
            "ImageScaleBy",
            {
                "image": ["IMAGE"],
                "upscale_method": [["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]],
                "scale_by": ["FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0}],
            },
            ["IMAGE"],
        ),
        (
            "CheckpointLoaderSimple",
            {"ckpt_name": [[SDXL, "aamXLAnimeMix_v10.safetensors"]]},
            ["MODEL", "CLIP", "VAE"],
        ),
        (
            "LoraLoader",
            {
                "model": ["MODEL"],
                "clip": ["CLIP"],
                "lora_name": [["CLAYMATE_V2.03_.safetensors"]],
                "strength_model": share,
                "strength_clip": share,
            },
            ["MODEL", "CLIP"],
        ),
        ("DifferentialDiffusion", {"model": ["MODEL"]}, ["MODEL"]),
        ("CLIPTextEncode", {"text": text, "clip": ["CLIP"]}, ["CONDITIONING"]),
        (
            "CLIPTextEncodeSDXL",
            {"clip": ["CLIP"], **dict.fromkeys(sizes, whole), "text_g": text, "text_l": text},
            ["CONDITIONING"],
        ),
        ("VAEEncode", {"pixels": ["IMAGE"], "vae": ["VAE"]}, ["LATENT"]),
        ("VAEDecode", {"samples": ["LATENT"], "vae": ["VAE"]}, ["IMAGE"]),
        ("SetLatentNoiseMask", {"samples": ["LATENT"], "mask": ["MASK"]}, ["LATENT"]),
        ("SwarmKSampler", swarm, ["LATENT"]),
        ("PreviewImage", {"images": ["IMAGE"]}, []),
        ("SaveImage", {"images": ["IMAGE"], "filename_prefix": text}, []),
    ]
    found = {name: _class(name, required, made) for name, required, made in table}
    return found | {"KSamplerAdvanced": sampler}


def _class(name: str, required: dict[str, Any], made: list[str]) -> dict[str, Any]:
    return {
        "input": {"required": required},
        "input_order": {"required": list(required)},
        "output": made,
        "output_is_list": [False] * len(made),
        "output_name": made,
        "name": name,
        "display_name": name,
        "python_module": "nodes",
        "output_node": not made,
    }
