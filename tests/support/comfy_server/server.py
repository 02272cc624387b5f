"""Run the server in a thread of its own, and its prompts one after the other."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import numpy as np
from aiohttp import web
from PIL import Image, ImageSequence
from support.comfy_server.api import UPLOAD_MAX, Api
from support.comfy_server.faults import Day, Handler
from support.comfy_server.prompts import (
    Item,
    Message,
    Run,
    annotated,
    feeds_a_mask,
    paint,
    settings_of,
)
from support.comfy_server.recordings import RECORDINGS, history_entry, retold
from support.comfy_server.windows import play
from support.programs import LONGEST_S

from stable_restyle.core.records import Pixels

CERTIFICATE = RECORDINGS / "localhost.pem"


class ComfyServer(Api):
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
        super().__init__(own_ids=own_ids)
        self.draw_s = draw_s
        self.base = base
        self.password = password
        self.required = dict(headers or {})
        self.runs: deque[Run] = deque()
        self.requests: Counter[str] = Counter()  # "GET /queue" -> how many
        self.received: list[Mapping[str, str]] = []  # the headers of each request
        self.prompts: list[Mapping[str, Any]] = []  # the nodes of each that was executed
        self.busy_s = 0.0
        self._days: defaultdict[str, deque[Day]] = defaultdict(deque)
        self._always: dict[str, Day] = {}
        self.made: list[bytes] = []  # every picture so far
        # Paints instead of `paint`, of the nodes of a prompt and the pictures that these load.
        self.painter: Callable[[Mapping[str, Any], Mapping[str, Pixels]], Pixels] | None = None
        self._first = self._last = 0.0  # time.monotonic() of the first start and the last end
        self._tls = tls
        self._loop = asyncio.SelectorEventLoop()  # that of Windows has no remove_reader
        self._up = threading.Event()
        self._down = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="ComfyServer", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
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
    def prompts_run(self) -> int:
        """Number of prompts executed so far, for better or worse."""
        return len(self.prompts)

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
        """Cancel tasks that are still waiting; asyncio would warn of them later."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _main(self) -> None:
        app = web.Application(client_max_size=UPLOAD_MAX, middlewares=[self._check_and_answer])
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
        # When Python 3.11 closes a server, it forgets connections that are not yet accepted and
        # leaves their sockets open. Accept no more of them, and let the loop finish those it has.
        self._loop.remove_reader(listening)
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        self._sockets.cut_all()
        await runner.cleanup()

    @web.middleware
    async def _check_and_answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
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
        if not self._lets_in(request):
            return web.Response(status=403, text="Forbidden")
        if self._days[route]:
            return await self._days[route].popleft()(request, handler)
        if route in self._always:
            return await self._always[route](request, handler)
        return await handler(request)

    def _lets_in(self, request: web.Request) -> bool:
        return all(request.headers.get(name) == value for name, value in self.required.items())

    async def _run_prompts(self) -> None:
        while True:
            while not self.pending:
                self._work.clear()
                await self._work.wait()
            run = self.runs.popleft() if self.runs else Run()
            with self._changed:
                item = self.running = self.pending.pop(0)
                self.prompts.append(item.nodes)
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

    async def _run(self, item: Item, run: Run) -> None:
        """Play a prompt: messages, picture, history, and `executing {node: null}` at last."""
        took = self.draw_s if run.seconds is None else run.seconds
        over_by = time.monotonic() + took
        output = next(iter(item.outputs))
        pictures: list[dict[str, str]] = []
        if run.error is None:
            pictures = [self._keep(item, run.picture(each)) for each in self._painted(item)]
        story = "error" if run.error is not None else "cached" if run.cached else "success"
        if run.cached:
            gone = {"filename": "long_gone.png", "subfolder": "", "type": "temp"}
            pictures = [gone for _ in pictures]
        if run.interrupted:
            story = "interrupted"
        messages = run.told(retold(story, item.id, output, pictures, run.error))
        begun = next((n for n, each in enumerate(messages) if '"progress"' in str(each)), 3)
        await self._send(item, messages[:begun])
        with suppress(TimeoutError):
            await asyncio.wait_for(item.stop.wait(), max(over_by - time.monotonic(), 0))
            story = "interrupted"
            messages = retold(story, item.id, output, [], None)
        if run.restart:
            await self._restart()
        if self.running is not item:  # forgotten by a restart
            return
        await self._send(item, messages[begun:-2])
        with self._changed:
            outputs = {output: {"images": pictures}} if story in ("success", "cached") else {}
            self.history[item.id] = history_entry(story, item, outputs, run.error)
            self.running = None
        await self._send(item, messages[max(begun, len(messages) - 2) :])

    async def _send(self, item: Item, messages: Sequence[Message]) -> None:
        await self._sockets.send(item.extra.get("client_id", ""), messages)

    def _painted(self, item: Item) -> list[Pixels]:
        """Return the pictures of a prompt, (H, W, 3); none if the prompt loads none."""
        batches = {
            node: self._load(content["inputs"]["image"])
            for node, content in item.nodes.items()
            if content["class_type"] in ("LoadImage", "LoadImageMask")
        }
        if (window := play(item.nodes, batches)) is not None:
            return window
        loaded = {node: pictures[0] for node, pictures in batches.items()}
        if self.painter is not None:
            return [self.painter(item.nodes, loaded)]
        masks = [node for node in loaded if feeds_a_mask(item.nodes, node)]
        guides = [loaded[node] for node in loaded if node not in masks]
        if not guides:
            return []
        white = np.full_like(guides[0], 255)
        mask = loaded[masks[0]] if masks else white
        return [paint(guides[0], mask[:, :, 0], settings_of(item.nodes))]

    def _load(self, name: str) -> list[Pixels]:
        """Return the pictures of a file, as LoadImage reads them."""
        with Image.open(BytesIO(self.files[annotated(name)])) as image:
            return [np.array(each.convert("RGB")) for each in ImageSequence.Iterator(image)]

    def _keep(self, item: Item, data: bytes) -> dict[str, str]:
        self.made.append(data)
        saved = any(item.nodes[each]["class_type"] == "SaveImage" for each in item.outputs)
        place = ("output" if saved else "temp", "", f"ComfyUI_temp_{len(self.made):05d}_.png")
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
        self._sockets.cut_all()

    async def _cut_sockets(self) -> None:
        self._sockets.cut_all()
