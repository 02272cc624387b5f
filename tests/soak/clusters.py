"""Dask clusters of real processes: a scheduler, and workers with a simulated ComfyUI server each.

`test_cluster.py` kills one process at a time; `make soak` kills processes of all kinds at random.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from random import Random

from distributed import Client
from support import comfy_server
from support.comfy_server import ComfyServer, dropped
from support.programs import COMMAND, LONGEST_S, Program, until
from support.runs import files

from stable_restyle.core.settings import BACKENDS_VARIABLE, Settings

DRAW_S = 0.05  # for a slide, in `draw_with_random_kills`
SERVER_ROUTES = ("GET /system_stats", "POST /upload/image", "POST /prompt", "GET /view")


class Worker:
    """A worker process and its own ComfyUI server."""

    def __init__(self, start: Callable[[str], subprocess.Popen[bytes]], draw_s: float) -> None:
        with ExitStack() as stack:
            self.server = stack.enter_context(ComfyServer(draw_s=draw_s))
            self.process = start(self.server.url)
            stack.callback(self.process.wait)
            stack.callback(self.process.kill)
            self.kill = stack.pop_all().close  # stops the server too


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.workers: dict[str, Worker] = {}
        self._folder = folder
        self._scheduler_file = folder / "scheduler.json"
        where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._start("scheduler", *where)
        stack.callback(self.close)
        self.until(self._is_started)
        self.address = json.loads(self._scheduler_file.read_text())["address"]

    @property
    def servers(self) -> dict[str, ComfyServer]:
        return {name: worker.server for name, worker in self.workers.items()}

    def add(self, name: str, *, draw_s: float = 0.0, preload: str = "") -> ComfyServer:
        """Start a worker. preload: Python code that it runs first."""
        options = ["--name", name, "--nthreads", "2", "--no-nanny", "--no-dashboard"]
        if preload:
            script = self._folder / f"{name}.py"
            script.write_text(preload)
            options += ["--preload", str(script)]
        self.workers[name] = Worker(
            lambda url: self._start("worker", *options, backends=url), draw_s
        )
        return self.workers[name].server

    def kill(self, name: str) -> None:
        self.workers.pop(name).kill()

    def break_server(self, name: str) -> None:
        """Have the server of a worker drop every connection."""
        for route in SERVER_ROUTES:
            self.servers[name].always(route, dropped)

    def repair_server(self, name: str) -> None:
        """Have the server of a worker answer again."""
        self.servers[name].forget_days()

    def wait(self) -> None:
        """Wait until the scheduler knows every worker, and none that was killed."""
        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            self.until(lambda: self._names(client) == set(self.workers))

    def set_draw_time(self, draw_s: float) -> None:
        """Have every server take this long for a slide."""
        for server in self.servers.values():
            server.runs.clear()
            server.draw_s = draw_s

    def hang_after(self, slides: int) -> None:
        """Have every server draw this many more slides, and then hang."""
        for server in self.servers.values():
            server.runs.extend([comfy_server.Run()] * slides)
            server.runs.extend([comfy_server.Run(seconds=math.inf)] * 1000)

    def until(self, condition: Callable[[], bool], *runs: Command) -> None:
        """Wait until a condition holds, while the scheduler and these runs are alive."""
        until(condition, self.scheduler, *runs)

    def wait_until_free(self) -> None:
        """Wait until no task is running or waiting."""
        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            self.until(
                lambda: (
                    not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
                )
            )
            self.until(
                lambda: (
                    not any(
                        client.run(lambda dask_worker: len(dask_worker.active_threads)).values()
                    )
                )
            )
        self.until(self.is_idle)

    def is_idle(self) -> bool:
        """Return whether no prompt is left on any server."""
        return not any(server.pending or server.running for server in self.servers.values())

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
        self.scheduler.kill()
        self.scheduler.wait()

    def _is_started(self) -> bool:
        return self._scheduler_file.exists() and self._scheduler_file.read_text().endswith("}")

    def _names(self, client: Client) -> set[str]:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return {worker["name"] for worker in workers.values()}

    def _start(self, kind: str, *options: str, backends: str = "") -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "dask",
            kind,
            "--scheduler-file",
            str(self._scheduler_file),
        ]
        environment = {**os.environ, BACKENDS_VARIABLE: backends}
        with (self._folder / f"{kind}.log").open("ab") as log:
            return subprocess.Popen([*command, *options], stderr=log, env=environment)


@contextmanager
def running_cluster(folder: Path, *workers: str, draw_s: float = 0.0) -> Iterator[Cluster]:
    folder.mkdir()
    with ExitStack() as stack:
        cluster = Cluster(folder, stack)
        for name in workers:
            cluster.add(name, draw_s=draw_s)
        cluster.wait()
        yield cluster


class Command(Program):
    """The command in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, BACKENDS_VARIABLE: ""}
        command = [*COMMAND, "--patience", "0", *arguments]
        super().__init__(command, stderr=subprocess.PIPE, env=environment)


def start(settings: Settings, address: str, *options: str) -> Command:
    """Start a run on a cluster."""
    return Command(str(settings.source), str(settings.target), "--dask", address, *options)


def finish(process: Command) -> tuple[int, str]:
    """Wait for a command. Return its exit code and its stderr."""
    with process:
        _, stderr = process.communicate(timeout=LONGEST_S)
    return process.returncode, stderr


def draw_with_random_kills(
    folder: Path, settings: Settings, slides: dict[str, bytes], chance: Random, most: int
) -> Counter[str]:
    """Draw a film on three workers; kill workers, servers, scheduler and command at random.

    folder: for the cluster. slides: the expected ones. most: number of kills. A killed worker is
    replaced, a server is repaired when the next one breaks, and all else is started again. Return
    how many of each kind were killed. Raises AssertionError if a slide is lost or differs.
    """
    killed: Counter[str] = Counter()
    folder.mkdir(parents=True)
    for attempt in count():
        with running_cluster(folder / str(attempt), "a", "b", "c", draw_s=DRAW_S) as cluster:
            while cluster.scheduler.poll() is None:
                process = start(settings, cluster.address, "--patience", "60")
                now_killed = _kill_at_random(cluster, process, chance, most - killed.total())
                killed += now_killed
                code, stderr = finish(process)
                if code == 0:
                    assert files(settings.target) == slides
                    return killed
                assert now_killed["command"] or _is_due(code, stderr, killed), (code, stderr)
    raise AssertionError


def _kill_at_random(cluster: Cluster, process: Command, chance: Random, most: int) -> Counter[str]:
    """Kill at most this many processes and servers during a run. Return how many of each kind."""
    killed: Counter[str] = Counter()
    while killed.total() < most:
        try:
            process.wait(chance.uniform(0, 4))
            break
        except subprocess.TimeoutExpired:
            pass
        kind = chance.choice(["worker"] * 3 + ["server"] * 3 + ["scheduler", "command"])
        killed[kind] += 1
        name = chance.choice(list(cluster.workers))
        if kind == "worker":
            cluster.kill(name)
            cluster.add(f"{name}+", draw_s=DRAW_S)
            continue
        if kind == "server":
            for each in cluster.workers:
                cluster.repair_server(each)
            cluster.break_server(name)
            continue
        if kind == "scheduler":
            cluster.scheduler.kill()
            cluster.scheduler.wait()
        else:
            process.kill()
        break
    return killed


def _is_due(code: int, stderr: str, killed: Counter[str]) -> bool:
    """Return whether a failed run gives a reason that follows from what was killed."""
    if killed["scheduler"] and code == 4:
        return "The Dask scheduler at" in stderr or "No Dask scheduler answers" in stderr
    return code == 1 and "workers died while they drew it" in stderr and "Traceback" not in stderr
