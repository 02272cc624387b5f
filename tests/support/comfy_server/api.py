"""Answer the requests of ComfyUI's API from a queue, a history and files."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from aiohttp import WSMsgType, web
from support.comfy_server.faults import Handler
from support.comfy_server.node_classes import node_classes
from support.comfy_server.prompts import Item
from support.comfy_server.validation import error_of, validate
from support.comfy_server.websocket import Sockets

UPLOAD_MAX = 100 * 2**20  # bytes


class Api:
    """The state of a server and the handlers of its routes. Prompts wait until they are run."""

    def __init__(self, *, own_ids: bool) -> None:
        self.own_ids = own_ids
        self.classes = copy.deepcopy(node_classes())
        self.files: dict[tuple[str, str, str], bytes] = {}  # (type, subfolder, filename)
        self.history: dict[str, Any] = {}
        self.pending: list[Item] = []
        self.running: Item | None = None
        self.most_in_queue = 0  # the running one included
        self.freed = 0  # POST /free
        self.features: dict[str, Any] = {"max_upload_size": UPLOAD_MAX}
        self.client_ids: list[str] = []  # of every websocket so far
        self._sockets = Sockets()
        self._number = 0
        self._work = asyncio.Event()
        self._changed = threading.Condition()

    def _routes(self) -> Iterator[tuple[str, str, Handler]]:
        yield "GET", "/ws", self._ws
        yield "POST", "/upload/image", self._upload
        yield "POST", "/prompt", self._prompt
        yield "GET", "/queue", self._queue
        yield "POST", "/queue", self._change_queue
        yield "GET", "/history/{id}", self._history
        yield "POST", "/history", self._change_history
        yield "POST", "/interrupt", self._interrupt
        yield "POST", "/api/jobs/{id}/cancel", self._cancel
        yield "POST", "/free", self._free
        yield "GET", "/view", self._view
        yield "GET", "/system_stats", self._system_stats
        yield "GET", "/features", self._features
        yield "GET", "/object_info", self._object_info
        yield "GET", "/object_info/{name:.+}", self._object_info

    async def _ws(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        client_id = request.query.get("clientId") or uuid4().hex
        assert request.transport is not None
        self._sockets.add(client_id, ws, request.transport)
        with self._changed:
            self.client_ids.append(client_id)
            self._changed.notify_all()
        await ws.send_json({"type": "status", "data": {"status": self._status(), "sid": client_id}})
        async for message in ws:
            if message.type is WSMsgType.ERROR:
                break
        self._sockets.remove(client_id, ws)
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
        outputs, error, node_errors = validate(nodes, self.classes, self.files)
        if error is not None:
            return web.json_response({"error": error, "node_errors": node_errors}, status=400)
        prompt_id = str(uuid4()) if self.own_ids else str(asked.get("prompt_id", uuid4()))
        extra = {"client_id": asked["client_id"]} if "client_id" in asked else {}
        with self._changed:
            item = Item(self._number, prompt_id, nodes, extra, outputs)
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

    async def _cancel(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        with self._changed:
            waiting = [item for item in self.pending if item.id != wanted]
            found = len(waiting) < len(self.pending)
            self.pending = waiting
            if self.running and self.running.id == wanted:
                self.running.stop.set()
                found = True
            self._changed.notify_all()
        return web.json_response({"cancelled": found})

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

    async def _features(self, request: web.Request) -> web.Response:
        return web.json_response(self.features)

    async def _object_info(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name")
        found = self.classes if name is None else {name: self.classes.get(name)}
        return web.json_response({key: value for key, value in found.items() if value})

    def _status(self) -> dict[str, Any]:
        waiting = len(self.pending) + (self.running is not None)
        return {"exec_info": {"queue_remaining": waiting}}


def _refusal(kind: str, message: str) -> web.Response:
    return web.json_response({"error": error_of(kind, message), "node_errors": {}}, status=400)
