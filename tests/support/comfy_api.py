"""Servers of the Comfy API v2: the real proxy, and a simulated one that fails on command.

Both are in front of the simulated ComfyUI: the proxy as a program of its own, the other one as the
public contract describes Comfy Cloud, with results behind signed addresses of another host.

    with ApiServer(key="secret") as server:
        server.on("POST /api/v2/jobs", answer_lost)
        ... ComfyApi(server.api_url, ..., api_key="secret") ...
"""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

from aiohttp import BodyPartReader, web
from comfy_api_proxy.app import make_app
from comfy_api_proxy.auth import make_bearer_auth_middleware
from comfy_api_proxy.middleware import make_origin_only_middleware
from support.comfy_server import ComfyServer
from support.comfy_server.faults import Day, Handler
from support.comfy_server.prompts import Item
from support.comfy_server.validation import validate
from support.loops import LoopServer

STATUSES = {"success": "succeeded", "error": "failed"}


class ApiProxy(LoopServer):
    """The real proxy in front of a server, in a thread of its own."""

    def __init__(self, server: ComfyServer, key: str) -> None:
        super().__init__()
        self.server = server
        self.requests: Counter[str] = Counter()  # "POST /api/v2/jobs 201" -> how many
        self.days: deque[Day] = deque()  # how the next submissions are answered
        self._key = key

    async def _main(self) -> None:
        guards = [self._count, make_origin_only_middleware()]
        if self._key:
            guards.append(make_bearer_auth_middleware(self._key))
        runner = web.AppRunner(make_app(self.server.url, middlewares=guards), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._up.set()
        await self._down.wait()
        await runner.cleanup()

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = f"{request.method} {resource.canonical if resource else request.path}"
        if route == "POST /api/v2/jobs" and self.days:
            answer = await self.days.popleft()(request, handler)
        else:
            answer = await handler(request)
        self.requests[f"{route} {answer.status}"] += 1
        return answer


def api_proxy(server: ComfyServer, key: str = "") -> AbstractContextManager[ApiProxy]:
    """Start the proxy. key: that it asks for."""
    return ApiProxy(server, key).running("comfy-api-proxy")


class ApiServer(ComfyServer):
    """A server like Comfy Cloud."""

    def __init__(self, *, key: str = "", lists: bool = True, **options: Any) -> None:
        """key: that it asks for. lists: whether it lists its jobs."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        super().__init__(headers=headers, **options)
        self.lists = lists
        self.most_queued: int | None = None  # jobs, the running one included; then it is full
        self.retry_after = "0"
        self.assets: dict[str, str] = {}  # names by ID
        self.uploaded = 0
        self.workflows: dict[str, Mapping[str, Any]] = {}  # by job ID
        self.canceled: list[str] = []
        self.signed: dict[str, tuple[str, str, str]] = {}  # places by the signature
        self.fetched: list[Mapping[str, str]] = []  # the headers of requests for signed addresses
        self._keys: set[str] = set()

    def _routes(self) -> Iterator[tuple[str, str, Handler]]:
        root = "/api/v2"
        yield "POST", f"{root}/assets", self._post_asset
        yield "DELETE", f"{root}/assets/{{id}}", self._delete_asset
        yield "GET", f"{root}/assets/{{id}}/content", self._content
        yield "POST", f"{root}/jobs", self._post_job
        yield "GET", f"{root}/jobs", self._list_jobs
        yield "GET", f"{root}/jobs/{{id}}", self._get_job
        yield "GET", f"{root}/jobs/{{id}}/workflow", self._get_workflow
        yield "POST", f"{root}/jobs/{{id}}/cancel", self._cancel_job
        yield "GET", "/storage/{signature}", self._storage

    @property
    def api_url(self) -> str:
        """The address as for --backend."""
        return f"comfy-api+{self.url}"

    def _lets_in(self, request: web.Request) -> bool:
        return request.path.startswith(f"{self.base}/storage/") or super()._lets_in(request)

    async def _post_asset(self, request: web.Request) -> web.Response:
        names, data = [], b""
        parts = await request.multipart()
        while (part := await parts.next()) is not None:
            assert isinstance(part, BodyPartReader)
            names.append(part.name)
            data = bytes(await part.read())
        assert names[:2] == ["file_path", "content_type"] and names[-1] == "file"
        asset_id = str(uuid4())
        with self._changed:
            self.uploaded += 1
            self.assets[asset_id] = f"{asset_id}.png"
            self.files["input", "", f"{asset_id}.png"] = data
            self._changed.notify_all()
        return web.json_response({"id": asset_id, "hash": None}, status=201)

    async def _delete_asset(self, request: web.Request) -> web.Response:
        with self._changed:
            found = self.assets.pop(request.match_info["id"], None)
            self._changed.notify_all()
        return web.Response(status=204) if found else _error(404, "asset_not_found", "No asset.")

    async def _post_job(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        if key in self._keys:
            return _error(422, "idempotency_key_reuse", "This key was used.")
        with self._changed:
            waiting = len(self.pending) + (self.running is not None)
        if self.most_queued is not None and waiting >= self.most_queued:
            full = _error(429, "queue_full", "The queue is full.")
            full.headers["Retry-After"] = self.retry_after
            return full
        nodes = copy.deepcopy((await request.json())["workflow"])
        for node in nodes.values():
            for name, value in node["inputs"].items():
                if isinstance(value, dict) and value["__type"] == "core/ASSET":
                    found = self.assets.get(value["info"]["id"])
                    if found is None:
                        return _error(422, "missing_asset", "An asset is missing.")
                    node["inputs"][name] = found
        outputs, error, faulty = validate(nodes, self.classes, self.files)
        if error is not None:
            details = {
                node: [
                    {"field": each["extra_info"]["input_name"], "reason": each["message"]}
                    for each in its["errors"]
                ]
                for node, its in faulty.items()
            }
            said = f"{error['message']}: {error['details']}"
            return _error(422, "invalid_workflow", said, {"node_errors": details})
        self._keys.add(key)
        job_id = str(uuid4())
        with self._changed:
            self.workflows[job_id] = nodes
            self.pending.append(Item(0, job_id, nodes, {}, outputs))
            self.most_in_queue = max(self.most_in_queue, waiting + 1)
            self._changed.notify_all()
        self._work.set()
        return web.json_response(self._job(job_id), status=201)

    async def _list_jobs(self, request: web.Request) -> web.Response:
        if not self.lists:
            return _error(404, "not_found", "Not found.")
        return web.json_response({"jobs": [self._job(each) for each in reversed(self.workflows)]})

    async def _get_job(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        if wanted not in self.workflows:
            return _error(404, "job_not_found", f"No job {wanted}.")
        return web.json_response(self._job(wanted))

    async def _get_workflow(self, request: web.Request) -> web.Response:
        workflow = self.workflows[request.match_info["id"]]
        return web.json_response({"workflow": workflow, "format": "api"})

    async def _cancel_job(self, request: web.Request) -> web.Response:
        await self._cancel(request)
        self.canceled.append(request.match_info["id"])
        return web.json_response(self._job(request.match_info["id"]))

    async def _content(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        places = [place for place in self.files if place[2] == wanted]
        if not places:
            return _error(404, "asset_not_found", "No asset.")
        signature = uuid4().hex
        self.signed[signature] = places[0]
        there = f"http://localhost:{self.port}{self.base}/storage/1?signature={signature}"
        return web.Response(status=302, headers={"Location": there})

    async def _storage(self, request: web.Request) -> web.Response:
        self.fetched.append(dict(request.headers))
        place = self.signed.get(request.query["signature"])
        return web.Response(body=self.files[place]) if place else web.Response(status=403)

    def _job(self, job_id: str) -> dict[str, Any]:
        status, outputs, error = "canceled", [], None
        if self.running and self.running.id == job_id:
            status = "running"
        elif any(item.id == job_id for item in self.pending):
            status = "queued"
        elif entry := self.history.get(job_id):
            messages = dict(entry["status"]["messages"])
            if "execution_interrupted" not in messages:
                status = STATUSES[entry["status"]["status_str"]]
            if failure := messages.get("execution_error"):
                error = {
                    "code": "node_execution_error",
                    "message": failure["exception_message"],
                    "node_id": failure["node_id"],
                }
            for node, made in entry["outputs"].items():
                outputs += [self._output(node, each["filename"]) for each in made["images"]]
        links = {"self": "", "cancel": "/cancel"}
        path = f"{self.base}/api/v2/jobs/{job_id}"
        return {
            "id": job_id,
            "status": status,
            "outputs": outputs,
            "error": error,
            "urls": {name: path + ending for name, ending in links.items()},
        }

    def _output(self, node: str, name: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}{self.base}/api/v2/assets/{name}/content"
        return {"node_id": node, "name": name, "type": "image", "id": name, "url": url}


def _error(status: int, code: str, message: str, details: object = None) -> web.Response:
    error = {"code": code, "message": message, "details": details}
    return web.json_response({"error": error}, status=status)
