"""Films over servers of the Comfy API: what is sent there, what stays, and what bad days cost."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from support.comfy_api import ApiProxy, ApiServer, api_proxy
from support.comfy_server import (
    ComfyServer,
    Day,
    Handler,
    Run,
    answer,
    answer_lost,
    broken_off,
    dropped,
    halved,
    mangled,
    redirected,
    slow,
    usual,
    window_workflow,
)
from support.noting_server import edit_model, klass, node, style
from support.programs import COMMAND, LONGEST_S, until
from support.runs import Silent, files, run

from stable_restyle.backends import connect, pool
from stable_restyle.backends.comfy_api import client
from stable_restyle.backends.comfy_api.backend import ComfyApiBackend
from stable_restyle.backends.comfy_api.client import AnswerLost, ComfyApi
from stable_restyle.backends.comfy_api.jobs import ENDED, JobState, is_marked, refusal
from stable_restyle.backends.comfy_api.timeouts import Timeouts
from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.address import Address
from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.http import HttpClient
from stable_restyle.backends.comfyui.overrides import apply_overrides
from stable_restyle.backends.comfyui.responses import Lost, Submission
from stable_restyle.backends.comfyui.slides import Request, picture_limit
from stable_restyle.cli import tables
from stable_restyle.cli.options import split_backends
from stable_restyle.core.errors import NoBackendLeft, ServerFault, WorkflowFault, WrongUsage
from stable_restyle.core.records import BATCHES, Job, Pixels, Window, WindowJob
from stable_restyle.core.settings import API_KEY_VARIABLE, BACKENDS_VARIABLE, Settings
from stable_restyle.run import dry_run, pipeline, status
from stable_restyle.run.failures import SlidesMissing

KEY = "comfyui-hush"
QUICK = Timeouts(
    connect_s=LONGEST_S,
    answer_s=LONGEST_S,
    poll_s=(0.01, 0.05),
    retry_s=(0.01, 0.05),
    busy_s=0.05,
    fails_s=0.0,
    outage_s=0.2,
    queue_s=LONGEST_S,
    regain_s=LONGEST_S,
    cleanup_s=LONGEST_S,
    closing_s=LONGEST_S,
)
POST_JOB, GET_JOB = "POST /api/v2/jobs", "GET /api/v2/jobs/{id}"
POST_ASSET, CONTENT = "POST /api/v2/assets", "GET /api/v2/assets/{id}/content"
STORAGE = "GET /storage/{signature}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing longer than it takes."""
    monkeypatch.setattr(client, "Timeouts", lambda: QUICK)
    monkeypatch.setattr(pool, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_S", 0.2)


@dataclass(frozen=True)
class Api:
    """A server of the contract: the real proxy in front of ComfyUI, or the simulated one."""

    url: str
    server: ComfyServer
    proxy: ApiProxy | None

    @property
    def uploads(self) -> int:
        if self.proxy:
            return sum(n for route, n in self.proxy.requests.items() if POST_ASSET in route)
        return self.server.requests[POST_ASSET]

    @property
    def assets_left(self) -> int:
        if not self.proxy:
            assert isinstance(self.server, ApiServer)
            return len(self.server.assets)
        requests = self.proxy.requests
        return requests[f"{POST_ASSET} 201"] - requests["DELETE /api/v2/assets/{id} 204"]

    def submissions(self, *days: Day) -> None:
        """Answer the next submissions by these."""
        if self.proxy:
            self.proxy.days += days
        else:
            self.server.on(POST_JOB, *days)


@contextmanager
def api_of(kind: str, key: str = KEY) -> Iterator[Api]:
    with ExitStack() as stack:
        if kind == "simulated":
            server = stack.enter_context(ApiServer(key=key))
            yield Api(server.api_url, server, None)
        else:
            behind = stack.enter_context(ComfyServer())
            proxy = stack.enter_context(api_proxy(behind, key))
            yield Api(f"comfy-api+{proxy.url}", behind, proxy)


@pytest.fixture(params=["proxy", "simulated"])
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    with api_of(request.param) as api:
        yield api


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(key=KEY) as server:
        yield server


@pytest.fixture
def asked(make_frames: Callable[..., Path], tmp_path: Path) -> Settings:
    """Nine frames in two scenes, five slides."""
    return Settings(make_frames(5, 4), tmp_path / "out", api_key=KEY, guide="warped")


def on(asked: Settings, api: Api | ApiServer, **changes: Any) -> Settings:
    url = api.url if isinstance(api, Api) else api.api_url
    return replace(asked, backends=(url,), **changes)


def test_a_film(asked: Settings, api: Api, tmp_path: Path) -> None:
    """The slides are those that the ComfyUI behind draws, each asked for once.

    They stay there, and a proxy of one's own leaves our pictures in ComfyUI's input folder as well.
    """
    assert run(on(asked, api)).drawn == 5
    assert api.server.prompts_run == 5
    assert api.uploads == 9  # guide and mask of each, but the middles have one mask
    assert api.assets_left == 0
    kept = [folder for folder, _, _ in api.server.files]
    assert (kept.count("output"), kept.count("input")) == (5, 9)
    assert not [each for each in api.server.prompts if KEY in json.dumps(each)]
    with ComfyServer() as plain:
        calm = replace(
            asked, target=tmp_path / "calm" / "out", backends=(plain.url,), keep_on_server=True
        )
        run(calm)
    assert files(asked.target) == files(calm.target)
    assert run(on(asked, api)).drawn == 0  # and these may go on with those


def test_a_check_says_what_it_cannot_know(asked: Settings, api: Api) -> None:
    (found,) = status.check_backends(on(asked, api, jobs=3))
    shown = tables.describe_backend(found)
    assert found.fault is None
    assert "can draw this run  yes" in shown
    assert "jobs at once       3" in shown
    assert "not checked        node classes, models and values" in shown
    assert api.assets_left == 0
    with pytest.raises(WrongUsage, match="--at-most 0: the model would have to draw 1 slide"):
        status.check_backends(on(asked, api, at_most=0))


def test_without_the_key_the_message_says_where_it_belongs(asked: Settings, api: Api) -> None:
    with pytest.raises(NoBackendLeft, match=r"denies access .*Put its key into COMFY_API_KEY"):
        run(on(asked, api, api_key=""))
    with pytest.raises(NoBackendLeft, match=r"Correct the key in COMFY_API_KEY") as failure:
        run(on(asked, api, api_key="another-key"))
    with pytest.raises(NoBackendLeft, match=r"Correct .* the key in --header"):
        run(on(asked, api, headers=("authorization: Bearer another-key",)))
    assert "another-key" not in str(failure.value)


def test_the_key_may_be_a_header(asked: Settings, api: Api) -> None:
    header = f"Authorization: Bearer {KEY}"
    assert run(on(asked, api, api_key="none", headers=(header,))).drawn == 5


def test_a_workflow_that_the_server_refuses(asked: Settings, api: Api) -> None:
    with pytest.raises(WorkflowFault, match=r"cannot run the workflow:\n  node 1 .*: ckpt_name: "):
        run(on(asked, api, changes=("1.ckpt_name=none.safetensors",)))
    assert api.server.prompts_run == 0
    assert api.assets_left == 0


def test_a_node_that_fails(asked: Settings, api: Api) -> None:
    error = {"node_id": "7", "exception_message": "it does not fit"}
    api.server.runs += [Run(error=error)] * 5
    with pytest.raises(WorkflowFault, match=r"node 7 .*: it does not fit"):
        run(on(asked, api))
    assert api.assets_left == 0


def test_memory_that_runs_out_costs_no_second_drawing(asked: Settings, api: Api) -> None:
    error = {"node_id": "7", "exception_message": "CUDA out of memory"}
    api.server.runs += [Run(error=error)] * 5
    with pytest.raises(WorkflowFault, match=r"ran out of memory.*\n.*smaller"):
        run(on(asked, api))
    assert api.server.prompts_run <= 2  # those in flight


@pytest.mark.parametrize("day", [answer_lost, broken_off])
def test_an_answer_that_is_lost_costs_no_second_drawing(
    asked: Settings, api: Api, day: Day
) -> None:
    """The job is found again by its mark."""
    api.submissions(usual, day, usual, day)
    assert run(on(asked, api)).drawn == 5
    assert api.server.prompts_run == 5


class StopWhile(Silent):
    """Is interrupted once something holds."""

    def __init__(self, holds: Callable[[], object]) -> None:
        super().__init__()
        self._holds = holds

    def advance(self, count: int) -> None:
        if self._holds():
            raise KeyboardInterrupt


def test_ctrl_c_cancels_and_deletes(asked: Settings, api: Api) -> None:
    server = api.server
    server.runs += [*[Run()] * 3, Run(seconds=math.inf)]

    def fourth_is_drawn() -> bool:
        return server.prompts_run > 3 and len(files(asked.target)) == 3

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(on(asked, api), StopWhile(fourth_is_drawn))
    server.wait_for(lambda: not server.running and not server.pending)
    assert api.assets_left == 0
    assert run(on(asked, api)).drawn == 2


def test_a_dry_run_says_what_a_run_asks_for(asked: Settings, api: Api) -> None:
    planned = dry_run.plan(on(asked, api, at_most=4), None, Silent())
    shown = tables.describe_plan(planned)
    assert "Still to draw by the model: 5 slides; about 9 pictures to upload." in shown
    assert "A run with --at-most 4 would stop before it begins." in shown
    assert not api.server.prompts_run
    run(on(asked, api))
    assert (api.server.prompts_run, api.uploads) == (5, 9)
    (asked.target / "000003.png").unlink()
    again = dry_run.plan(on(asked, api), None, Silent())
    assert (again.drawings, again.uploads) == (1, 2)
    assert run(on(asked, api)).drawn == 1
    assert (api.server.prompts_run, api.uploads) == (6, 11)


def test_uploads_are_counted_once_each(asked: Settings, server: ApiServer) -> None:
    tree = edit_model({"1": "frame", "2": ["middle", "style"], "3": ["film", "frame"]})
    style(asked.source.parent, "style.png", 90)
    model = asked.source.parent / "flow.json"
    model.write_text(json.dumps(tree), "utf-8")
    server.classes["EditModel"] = klass({}, "IMAGE")
    picture = f"style={asked.source.parent / 'style.png'}"
    own = on(asked, server, model=str(model), pictures=(picture,))
    planned = dry_run.plan(own, None, Silent())
    assert planned.uploads == 5 + 2 + 1  # frames, middles, and the picture of the user
    run(own)
    assert server.uploaded == planned.uploads
    assert not server.assets


@pytest.mark.parametrize("at_most", [0, 4])
def test_a_run_that_would_draw_too_many_does_not_begin(
    asked: Settings, server: ApiServer, at_most: int
) -> None:
    with pytest.raises(WrongUsage, match=rf"--at-most {at_most}: .* draw 5 slides; nothing was"):
        run(on(asked, server, at_most=at_most))
    assert not server.requests[POST_ASSET] and not server.requests[POST_JOB]


def test_at_most_counts_what_is_still_to_draw(asked: Settings, server: ApiServer) -> None:
    assert run(on(asked, server, at_most=5)).drawn == 5
    assert run(on(asked, server, at_most=0)).drawn == 0
    with pytest.raises(WrongUsage, match=r"--at-most 1: .* draw 2 slides"):
        run(on(asked, server, at_most=1, redo="2,5"))
    assert len(files(asked.target)) == 5  # none was moved away
    with pytest.raises(WrongUsage, match=r"--at-most 4: .* draw 5 slides"):
        run(on(asked, server, at_most=4, fresh=True))
    assert len(files(asked.target)) == 5  # none was discarded
    assert run(on(asked, server, at_most=2, redo="2,5")).drawn == 2


def test_answers_to_frames_alone_are_counted_too(asked: Settings, server: ApiServer) -> None:
    model = asked.source.parent / "flow.json"
    model.write_text(json.dumps(edit_model({"1": "frame", "2": ["middle", "frame"]})), "utf-8")
    server.classes["EditModel"] = klass({}, "IMAGE")
    own = on(asked, server, model=str(model), guide="frame", at_most=5)
    planned = dry_run.plan(own, None, Silent())
    assert (planned.drawings, planned.uploads) == (5, 5 + 2)  # frames, and middles as answers
    run(own)
    assert (server.prompts_run, server.uploaded) == (5, 7)
    (asked.target / "000003.png").unlink()
    run(replace(own, at_most=0))  # it is composed again
    with pytest.raises(WrongUsage, match=r"--at-most 1: .* draw 2 slides"):
        run(replace(own, at_most=1, redo="3,5"))
    assert server.prompts_run == 5


def fill(_: Job, names: Mapping[str, Any]) -> dict[str, Any]:
    """Stock nodes that need no model."""
    return {
        "1": node("LoadImage", image=names["guide"]),
        "2": node("LoadImageMask", image=names["mask"], channel="red"),
        "3": node("ImageInvert", image=["1", 0]),
        "4": node("SaveImage", images=["3", 0], filename_prefix="x"),
    }


def request(job: Job) -> Request:
    pictures, limit = {"guide": job.guide, "mask": job.mask}, picture_limit(*job.mask.shape)
    return Request(pictures, partial(fill, job), "4", limit)


@contextmanager
def windows_on(url: str, folder: Path) -> Iterator[ComfyApiBackend]:
    """Connect to a server with a workflow that makes windows."""
    path = folder / "window.json"
    path.write_text(json.dumps(window_workflow("identity")), "utf-8")
    windows = {"fill": workflow_file.load_window(str(path))}
    variants = replace(apply_overrides(windows["fill"], None, []), windows=windows)
    backend = ComfyApiBackend(url, variants, Access(api_key=KEY))
    try:
        backend.fit()
        yield backend
    finally:
        backend.close()


def a_window(**changes: Any) -> WindowJob:
    def picture(slide: int) -> Pixels:
        return np.full((48, 64, 3), 10 * slide, np.uint8)

    window, batches = Window(range(3, 9), 9), dict.fromkeys(BATCHES, picture)
    found = WindowJob(window, 1, (64, 48), Fraction(24), frozenset({3, 8}), batches)
    return replace(found, **changes)


def a_job(slide: int = 0) -> Job:
    state = np.random.default_rng(slide)
    guide = state.integers(0, 256, (56, 72, 3), np.uint8)
    return Job(slide, 1, guide, state.integers(0, 256, (56, 72), np.uint8))


@contextmanager
def client_of(server: ApiServer | str, **options: Any) -> Iterator[ComfyApi]:
    url = server if isinstance(server, str) else server.api_url
    timeouts = replace(QUICK, **options.pop("timeouts", {}))
    api = ComfyApi(url, request, timeouts=timeouts, **{"api_key": KEY, **options})
    try:
        yield api
    finally:
        api.close()


@pytest.fixture
def api_client(server: ApiServer) -> Iterator[ComfyApi]:
    with client_of(server) as api:
        yield api


def busy(seconds: str = "0", code: str = "queue_full") -> Day:
    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.read()
        return web.json_response(
            {"error": {"code": code, "message": "Later."}},
            status=429,
            headers={"Retry-After": seconds} if seconds else {},
        )

    return day


def said(**changes: Any) -> Day:
    """Answer as usual, but with other fields of the job."""
    return mangled(lambda body: json.dumps({**json.loads(body), **changes}).encode())


BAD_DAYS = [
    (POST_JOB, busy()),
    (POST_JOB, busy("")),
    (POST_JOB, busy("0", "deployment_not_ready")),
    (POST_JOB, answer(500)),
    (POST_JOB, answer(503, '{"error": {"code": "upstream_unreachable", "message": "down"}}')),
    (POST_JOB, answer(522)),
    (POST_JOB, dropped),
    (POST_JOB, answer_lost),
    (POST_JOB, broken_off),
    (POST_JOB, halved),
    (POST_ASSET, busy()),
    (POST_ASSET, dropped),
    (GET_JOB, busy("1", "rate_limited")),
    (GET_JOB, answer(502, "<html>")),
    (GET_JOB, dropped),
    (GET_JOB, broken_off),
    (GET_JOB, slow(0.1)),
    (GET_JOB, halved),
    (GET_JOB, answer(200, "<html>a proxy</html>", "text/html")),
    (GET_JOB, said(status="expired", outputs=[])),  # between ComfyUI's queue and history
    (CONTENT, answer(500)),
    (CONTENT, busy()),
    (CONTENT, dropped),
    (STORAGE, answer(403, "<Error>ExpiredToken</Error>")),
    (STORAGE, answer(500)),
    (STORAGE, dropped),
    (STORAGE, broken_off),
]


@pytest.mark.parametrize(("route", "day"), BAD_DAYS)
def test_a_bad_day_costs_no_second_drawing(
    server: ApiServer, api_client: ComfyApi, route: str, day: Day
) -> None:
    server.on(route, day, day)
    assert api_client.draw(a_job()).pixels.shape == (56, 72, 3)
    assert server.prompts_run == 1
    api_client.close()
    assert not server.assets


def test_results_are_fetched_without_the_key(server: ApiServer, api_client: ComfyApi) -> None:
    api_client.draw(a_job())
    (sent,) = server.fetched
    assert "Authorization" not in sent
    assert sum("Authorization" in each for each in server.received) == len(server.received) - 1


def test_a_signed_address_that_has_expired_is_asked_for_anew(
    server: ApiServer, api_client: ComfyApi
) -> None:
    async def expired(request: web.Request, handler: Handler) -> web.StreamResponse:
        server.signed.clear()
        return await handler(request)

    server.on(STORAGE, expired)
    api_client.draw(a_job())
    assert server.requests[CONTENT] == 2


def test_other_redirects_are_not_followed(server: ApiServer, api_client: ComfyApi) -> None:
    for route in (POST_ASSET, POST_JOB, GET_JOB):
        server.always(route, redirected("http://127.0.0.1:9/hush"))
        with pytest.raises(ServerFault, match=r"it redirects to http://127.0.0.1:9/hush"):
            api_client.draw(a_job())
        server.always(route, None)


@pytest.mark.parametrize(
    ("there", "message"),
    [
        ("ftp://127.0.0.1/x", "redirects to ftp, which is neither"),
        ("file:///etc/passwd", "redirects to file, which is neither"),
        ("http://[", "redirects to an address that is none"),
    ],
)
def test_a_result_is_not_fetched_from_anywhere(
    server: ApiServer, api_client: ComfyApi, there: str, message: str
) -> None:
    server.always(CONTENT, redirected(there))
    with pytest.raises(ServerFault, match=message):
        api_client.draw(a_job())


def test_a_result_from_https_is_not_fetched_without() -> None:
    http = HttpClient(Address.parse("https://127.0.0.1:9", {}), 1, 1, 1)
    with pytest.raises(ServerFault, match="redirects to http, which is neither"):
        http.fetch("/x", "http://127.0.0.1:9/x?signature=hush", 1000)
    http.close()


def test_a_result_that_is_redirected_again_and_again(
    server: ApiServer, api_client: ComfyApi
) -> None:
    server.always(STORAGE, redirected(f"{server.url}/storage/1"))
    with pytest.raises(ServerFault, match="redirects again and again"):
        api_client.draw(a_job())


def test_links_to_other_servers_are_not_followed(server: ApiServer, api_client: ComfyApi) -> None:
    """A proxy may not know its address, and another server must not get the key."""
    elsewhere = "http://127.0.0.1:9/api/v2/jobs/1"
    server.always(POST_JOB, said(urls={"self": elsewhere, "cancel": elsewhere}))
    api_client.draw(a_job())
    assert server.requests[GET_JOB]


def test_a_link_is_followed() -> None:
    with ApiServer(base="/deployment/7") as server, client_of(server) as api_client:

        def moved(body: bytes) -> bytes:
            job = json.loads(body)
            job["urls"]["self"] += "?from=link"
            return json.dumps(job).encode()

        server.on(POST_JOB, mangled(moved))
        api_client.draw(a_job())
        assert api_client.name == f"comfy-api+{server.url}"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "expired"}, "the job expired there"),
        (
            {"status": "canceled", "error": {"message": "by an admin"}},
            "canceled there: by an admin",
        ),
        (
            {"status": "failed", "error": {"code": "worker_lost", "message": "no \x07GPU"}},
            "the job failed there: worker_lost: no GPU",
        ),
        ({"status": "failed"}, "the job failed there"),
        ({"status": 7}, "its answer makes no sense"),
        ({"status": "succeeded", "outputs": [{"node_id": "4", "type": "image"}]}, "no sense"),
    ],
)
def test_jobs_that_end_badly(
    server: ApiServer, api_client: ComfyApi, fields: dict[str, Any], message: str
) -> None:
    server.always(GET_JOB, said(**{"error": None, **fields}))
    with pytest.raises(ServerFault, match=message):
        api_client.draw(a_job())


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["4", "image"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {"id": st.just("1"), "status": st.sampled_from(ENDED)},
        optional={"outputs": ANYTHING, "error": ANYTHING, "urls": ANYTHING},
    )
    | st.dictionaries(st.sampled_from(["id", "status"]), ANYTHING)
    | ANYTHING,
    ANYTHING,
)
@settings(max_examples=200, deadline=None)
def test_any_answer_about_a_job_is_a_picture_or_a_fault(job: Any, error: Any) -> None:
    submission = Submission("server", fill(a_job(), {"guide": 1, "mask": 2}), "4", [1, 2], str)
    with suppress(ServerFault, WorkflowFault, Lost):
        if (state := JobState.of(job)).ended:
            state.pictures(submission)
    with suppress(Lost):
        assert isinstance(submission.refused(refusal(error), dict), WorkflowFault)
    assert is_marked(error, "key") is False


def test_a_job_without_a_picture(server: ApiServer, api_client: ComfyApi) -> None:
    server.always(GET_JOB, said(status="succeeded", outputs=[{"node_id": "9", "type": "image"}]))
    with pytest.raises(WorkflowFault, match=r"node 4 \(SaveImage\) made no picture"):
        api_client.draw(a_job())


def test_a_job_that_the_server_forgets(server: ApiServer, api_client: ComfyApi) -> None:
    error = '{"error": {"code": "job_not_found", "message": "No job."}}'
    server.always(GET_JOB, answer(404, error))
    with pytest.raises(ServerFault, match="does not know the job any more: job_not_found: No job"):
        api_client.draw(a_job())


def test_a_lost_answer_where_jobs_are_not_listed(caplog: pytest.LogCaptureFixture) -> None:
    """Drawing the slide once more would be paid for: that is for the user to decide."""
    with ApiServer(key=KEY, lists=False) as server, client_of(server) as api_client:
        server.on(POST_JOB, answer_lost)
        with pytest.raises(AnswerLost, match=r"may have been drawn.*\nRun the command again"):
            api_client.draw(a_job())
        assert server.requests[POST_JOB] == 2
        server.wait_for(lambda: server.prompts_run == 1)


def test_a_lost_answer_ends_the_chain_alone(asked: Settings) -> None:
    with ApiServer(key=KEY, lists=False) as server:
        server.on(POST_JOB, usual, answer_lost)
        with pytest.raises(SlidesMissing, match="the answer to a job was lost"):
            run(on(asked, server))
        server.wait_for(lambda: not server.running and not server.pending)
        drawn = server.prompts_run
        assert run(on(asked, server)).drawn == 5 - (drawn - 1)


def test_a_server_that_fails_again_and_again_may_have_drawn(
    server: ApiServer, api_client: ComfyApi
) -> None:
    server.always(POST_JOB, answer(500))
    with pytest.raises(AnswerLost):
        api_client.draw(a_job())
    server.always(GET_JOB, answer(500))
    for _ in range(2):
        with pytest.raises(ServerFault, match="HTTP 500"):  # without another submission
            api_client.draw(a_job())
    server.stop()
    with pytest.raises(ServerFault, match="no connection"):
        api_client.draw(a_job(1))


def test_a_server_whose_comfyui_is_down(asked: Settings) -> None:
    with ComfyServer() as behind, api_proxy(behind) as proxy:
        url = f"comfy-api+{proxy.url}"
        with client_of(url, api_key="") as api_client:
            api_client.draw(a_job())
            behind.stop()
            with pytest.raises(ServerFault):
                api_client.draw(a_job(0))
            assert not api_client._jobs
        with client_of(url) as api_client, pytest.raises(ServerFault, match="upstream_unreachable"):
            api_client.inspect()


def test_an_outage_while_a_job_is_drawn_is_waited_for(server: ApiServer) -> None:
    with client_of(server, timeouts={"outage_s": LONGEST_S}) as api_client:
        server.on(GET_JOB, *[answer(502)] * 20)
        api_client.draw(a_job())
    assert server.prompts_run == 1


def test_an_outage_that_does_not_end(server: ApiServer, api_client: ComfyApi) -> None:
    server.always(GET_JOB, answer(502))
    with pytest.raises(ServerFault, match="HTTP 502"):
        api_client.draw(a_job())
    assert server.canceled


def test_pictures_that_are_gone_are_uploaded_again(server: ApiServer, api_client: ComfyApi) -> None:
    api_client.draw(a_job())
    server.assets.clear()
    api_client.draw(replace(a_job(), slide=1))
    assert server.uploaded == 4
    assert server.prompts_run == 2


def test_pictures_are_deleted_while_the_run_goes_on(
    server: ApiServer, api_client: ComfyApi
) -> None:
    for slide in range(20):
        api_client.draw(a_job(slide))
    assert len(server.assets) <= 16 + 4  # that are kept for others, and of the last two jobs
    assert server.uploaded == 40


def test_pictures_that_cannot_be_deleted_are_mentioned(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    with client_of(server) as api_client:
        api_client.draw(a_job())
        server.always("DELETE /api/v2/assets/{id}", answer(405))
    assert "2 pictures that this run uploaded could not be deleted there" in caplog.text


def test_a_full_queue_lowers_the_number_of_jobs(server: ApiServer) -> None:
    server.most_queued = 2
    server.runs.append(Run(seconds=math.inf))
    with client_of(server, jobs=4) as api_client, ThreadPoolExecutor(3) as threads:
        assert (api_client.at_once, api_client.slots) == (4, 5)
        drawing = [threads.submit(api_client.draw, a_job(slide)) for slide in range(2)]
        until(lambda: len(api_client._jobs) == 2)
        drawing.append(threads.submit(api_client.draw, a_job(2)))
        server.wait_for(lambda: server.requests[POST_JOB] > 4)
        assert (api_client.at_once, api_client.slots) == (2, 2)
        server.most_queued = None
        server.wait_for(lambda: len(server.workflows) == 3)
        api_client.close()
        assert all(isinstance(each.exception(LONGEST_S), ServerFault) for each in drawing)
    with client_of(server, jobs=4, timeouts={"regain_s": 1e-9}) as api_client:
        api_client._room, api_client._full_at = 1, time.monotonic()
        until(lambda: api_client.slots == 5)


def test_jobs_at_once_are_those_of_the_plan(
    make_frames: Callable[..., Path], tmp_path: Path, server: ApiServer
) -> None:
    """And one more, which waits there."""
    scenes = Settings(make_frames(*[2] * 6), tmp_path / "out", api_key=KEY)
    four = asyncio.Barrier(4)

    async def together(request: web.Request, handler: Handler) -> web.StreamResponse:
        await four.wait()
        return await handler(request)

    server.on(POST_JOB, *[together] * 4)
    server.draw_s = 0.02
    run(on(scenes, server, jobs=3))
    assert server.most_in_queue <= 4
    server.most_in_queue = 0
    run(on(scenes, server, fresh=True))
    assert server.most_in_queue <= 2


def test_a_server_that_stays_busy(server: ApiServer) -> None:
    server.always(POST_JOB, busy())
    with (
        client_of(server, timeouts={"queue_s": 0.1}) as api_client,
        pytest.raises(ServerFault, match=r"it is busy .HTTP 429.: queue_full: Later"),
    ):
        api_client.draw(a_job())


@pytest.mark.parametrize(
    ("day", "message"),
    [
        (
            answer(402, '{"error": {"code": "insufficient_credits", "message": "No credits."}}'),
            "asks to be paid .HTTP 402.: insufficient_credits: No credits",
        ),
        (
            answer(422, '{"error": {"code": "deployment_stopped", "message": "It was stopped."}}'),
            "HTTP 422: deployment_stopped: It was stopped",
        ),
        (
            answer(403, '{"error": {"code": "forbidden", "message": "Not you."}}'),
            "denies access .HTTP 403.: forbidden: Not you. Correct the key",
        ),
        (answer(404, "<html>"), "not the Comfy API v2"),
        (answer(201, "[]"), "has received a job, but does not list it"),
        (answer(400, "[]"), "HTTP 400"),
        (answer(501), "HTTP 501"),
    ],
)
def test_answers_to_a_submission(
    server: ApiServer, api_client: ComfyApi, day: Day, message: str
) -> None:
    server.always(POST_JOB, day)
    with pytest.raises(ServerFault, match=message):
        api_client.draw(a_job())


def test_a_slide_that_takes_too_long_is_canceled(server: ApiServer) -> None:
    server.runs.append(Run(seconds=math.inf))
    with (
        client_of(server, timeout_s=0.2) as api_client,
        pytest.raises(ServerFault, match=r"longer than 0.2 s for a slide \(--timeout"),
    ):
        api_client.draw(a_job())
    assert len(server.canceled) == 1
    server.runs.append(Run(seconds=math.inf))
    with client_of(server) as other, ThreadPoolExecutor(1) as threads:
        first = threads.submit(other.draw, a_job())
        server.wait_for(lambda: server.running)
        with (
            client_of(server, timeouts={"queue_s": 0.2}) as api_client,
            pytest.raises(ServerFault, match="has not started on the slide"),
        ):
            api_client.draw(a_job(1))
        other.close()
        with pytest.raises(ServerFault, match="run has ended"):
            first.result(LONGEST_S)
    assert len(server.canceled) == 3


@pytest.mark.parametrize("route", [POST_ASSET, POST_JOB, GET_JOB, CONTENT, STORAGE])
def test_closing_does_not_wait_for_a_server_that_hangs(server: ApiServer, route: str) -> None:
    server.always(route, slow(math.inf))
    with (
        client_of(server, timeouts={"cleanup_s": 0.2, "closing_s": 0.2}) as api_client,
        ThreadPoolExecutor(1) as threads,
    ):
        drawing = threads.submit(api_client.draw, a_job())
        server.wait_for(lambda: server.requests[route])
        api_client.close()
        with pytest.raises(ServerFault):
            drawing.result(LONGEST_S)


def test_closing_waits_for_the_answer_to_an_upload(server: ApiServer) -> None:
    """Without it, the picture could not be deleted."""
    server.always(POST_ASSET, slow(0.1))
    with client_of(server) as api_client, ThreadPoolExecutor(1) as threads:
        drawing = threads.submit(api_client.draw, a_job())
        server.wait_for(lambda: server.requests[POST_ASSET])
        api_client.close()
        with pytest.raises(ServerFault, match="run has ended"):
            drawing.result(LONGEST_S)
    assert server.uploaded and not server.assets


def test_closing_waits_for_the_answer_to_a_submission(server: ApiServer) -> None:
    """Without it, the job could not be canceled."""
    server.on(POST_JOB, slow(0.2))
    server.runs.append(Run(seconds=math.inf))
    with client_of(server) as api_client, ThreadPoolExecutor(1) as threads:
        drawing = threads.submit(api_client.draw, a_job())
        server.wait_for(lambda: server.requests[POST_JOB])
        api_client.close()
        with pytest.raises(ServerFault, match="run has ended"):
            drawing.result(LONGEST_S)
    server.wait_for(lambda: not server.running and not server.pending)
    assert server.canceled and not server.assets


def test_what_is_no_comfy_api() -> None:
    with ComfyServer() as plain, client_of(f"comfy-api+{plain.url}") as api_client:
        for _ in range(2):
            with pytest.raises(ServerFault, match=r"not the Comfy API v2 .*leave comfy-api. out"):
                api_client.inspect()
            plain.always("GET /api/v2/jobs/{id}", answer(200, "<html>"))
    with (
        client_of("comfy-api+http://127.0.0.1:9") as api_client,
        pytest.raises(ServerFault, match="no connection"),
    ):
        api_client.inspect()


@pytest.mark.parametrize(
    ("url", "headers", "sent"),
    [
        ("https://cloud.comfy.org", {}, True),
        ("http://127.0.0.1:8189", {}, True),
        ("http://gpu:8189", {}, False),
        ("https://me:open@gpu", {}, False),
        ("https://gpu", {"authorization": "Bearer other"}, False),
    ],
)
def test_where_the_key_of_the_environment_is_sent(
    url: str, headers: dict[str, str], sent: bool
) -> None:
    with client_of(f"comfy-api+{url}", headers=headers) as api_client:
        found = api_client._api.address.headers
        assert (found.get("Authorization") == f"Bearer {KEY}") is sent
        assert KEY not in repr(vars(api_client)) + repr(api_client._api.address)


def test_a_key_that_cannot_be_sent() -> None:
    with pytest.raises(WrongUsage, match="The key in COMFY_API_KEY has characters"):
        ComfyApi("comfy-api+https://gpu", request, api_key="a\nb")
    with pytest.raises(WrongUsage, match="not the address of a server"):
        ComfyApi("comfy-api+https://", request, api_key="key")


async def echo(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Show what was sent."""
    await request.read()
    error = {"code": "x", "message": f"{dict(request.headers)} {request.url}"}
    return web.json_response({"error": error}, status=400)


@pytest.mark.parametrize("route", [POST_ASSET, POST_JOB, GET_JOB, CONTENT, STORAGE])
def test_secrets_are_never_shown(
    server: ApiServer, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.always(route, echo)
    with (
        client_of(f"{server.api_url}?token=hidden-query") as api_client,
        pytest.raises(ServerFault) as failure,
    ):
        api_client.draw(a_job())
    ours = (each for each in caplog.records if not each.name.startswith("aiohttp"))
    shown = f"{failure.value!r}" + "".join(record.getMessage() for record in ours)
    secrets = (KEY, "hidden-query", *server.signed)
    assert not [secret for secret in secrets if secret in shown]


def test_the_command_line(asked: Settings, server: ApiServer) -> None:
    """The key is that of the environment, in which no other program sees it."""
    backends = f"preview, {server.api_url} ,http://gpu:8188"
    assert split_backends(backends) == ["preview", server.api_url, "http://gpu:8188"]
    asks = [*COMMAND, str(asked.source), str(asked.target), "--guide", "warped", "--at-most"]
    environment = {**os.environ, API_KEY_VARIABLE: f" {KEY}\n", BACKENDS_VARIABLE: server.api_url}
    run_it = partial(subprocess.run, env=environment, capture_output=True, text=True)
    refused = run_it([*asks, "4"], timeout=LONGEST_S, check=False)
    assert (refused.returncode, server.requests[POST_ASSET]) == (2, 0)
    assert "--at-most 4: the model would have to draw 5 slides; nothing was sent" in refused.stderr
    done = run_it([*asks, "5", "--jobs", "2"], timeout=LONGEST_S, check=True)
    assert "Done: 5 slides" in done.stderr
    assert KEY not in refused.stderr + done.stderr


def test_backends_by_name(asked: Settings, server: ApiServer) -> None:
    assert connect.public_name("comfy-api+https://me:pw@gpu/x?y") == "comfy-api+https://gpu/x"
    with ComfyServer() as plain:
        run(replace(asked, backends=(server.api_url, plain.url)))
        assert server.prompts_run + plain.prompts_run == 5
    with pytest.raises(WrongUsage, match="no such backend"):
        run(replace(asked, backends=("comfy-api:gpu",)))


def test_a_window_is_made_and_nothing_of_it_is_left(api: Api, tmp_path: Path) -> None:
    with windows_on(api.url, tmp_path) as backend:
        for _ in range(2):
            with backend.draw_window(a_window()) as pictures:
                levels = [int(each.pixels[0, 0, 0]) for each in pictures]
            assert levels == [30, 40, 50, 60, 70, 80]
        assert api.uploads == 1  # all three batches are equal
    assert not api.assets_left


def test_pictures_of_a_window_are_fetched_when_they_are_wanted(
    server: ApiServer, tmp_path: Path
) -> None:
    with (
        windows_on(server.api_url, tmp_path) as backend,
        backend.draw_window(a_window()) as pictures,
    ):
        fetched = len(server.fetched)
        pictures.read(4)
        assert len(server.fetched) == fetched + 1


def test_a_window_with_a_picture_too_few_is_the_workflows_fault(
    server: ApiServer, tmp_path: Path
) -> None:
    with (
        windows_on(server.api_url, tmp_path) as backend,
        pytest.raises(WorkflowFault, match="made 8 pictures for a window of 9"),
        backend.draw_window(a_window(changes=["5.mode=one too few"])),
    ):
        pass


def test_a_batch_that_the_server_does_not_take_says_what_to_do(
    server: ApiServer, tmp_path: Path
) -> None:
    server.always(POST_ASSET, answer(413, "Payload Too Large"))
    with (
        windows_on(server.api_url, tmp_path) as backend,
        pytest.raises(WorkflowFault, match=r"too large for comfy-api.*"),
        backend.draw_window(a_window()),
    ):
        pass
