"""Clusters of real processes: a scheduler, and workers that have a simulated server each.

`test_cluster.py` has one of them die at a time; `make soak` has all kinds die at random.
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

DRAW_S = 0.05  # a slide, in trouble
SERVER_ROUTES = ("GET /system_stats", "POST /upload/image", "POST /prompt", "GET /view")


class Worker:
    """A worker's process, and the server that it has to itself."""

    def __init__(self, start: Callable[[str], subprocess.Popen[bytes]], draw_s: float) -> None:
        with ExitStack() as stack:
            self.server = stack.enter_context(ComfyServer(draw_s=draw_s))
            self.process = start(self.server.url)
            stack.callback(self.process.wait)
            stack.callback(self.process.kill)
            self.die = stack.pop_all().close  # by SIGKILL, and its server with it


class Yard:
    """A cluster."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.workers: dict[str, Worker] = {}
        self._folder = folder
        self._known = folder / "scheduler.json"
        where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._start("scheduler", *where)
        stack.callback(self.close)
        self.until(self._is_known)
        self.address = json.loads(self._known.read_text())["address"]

    @property
    def servers(self) -> dict[str, ComfyServer]:
        return {name: worker.server for name, worker in self.workers.items()}

    def add(self, name: str, *, draw_s: float = 0.0, preload: str = "") -> ComfyServer:
        """A worker. preload: what it runs before all else."""
        options = ["--name", name, "--nthreads", "2", "--no-nanny", "--no-dashboard"]
        if preload:
            script = self._folder / f"{name}.py"
            script.write_text(preload)
            options += ["--preload", str(script)]
        self.workers[name] = Worker(lambda url: self._start("worker", *options, own=url), draw_s)
        return self.workers[name].server

    def kill(self, name: str) -> None:
        self.workers.pop(name).die()

    def take_server(self, name: str) -> None:
        """The server of a worker answers no more."""
        for route in SERVER_ROUTES:
            self.servers[name].always(route, dropped)

    def bring_server(self, name: str) -> None:
        """It does again."""
        self.servers[name].forget_days()

    def wait(self) -> None:
        """Until every worker is there, and those that were killed are forgotten."""
        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            self.until(lambda: self._names(client) == set(self.workers))

    def draws_at(self, draw_s: float) -> None:
        """From now on a slide takes so long, on every server."""
        for server in self.servers.values():
            server.runs.clear()
            server.draw_s = draw_s

    def hangs_after(self, slides: int) -> None:
        """Every server draws this many more slides, and the next ones for ever."""
        for server in self.servers.values():
            server.runs.extend([comfy_server.Run()] * slides)
            server.runs.extend([comfy_server.Run(seconds=math.inf)] * 1000)

    def until(self, condition: Callable[[], bool], *runs: Run) -> None:
        """Wait for something while runs go on."""
        until(condition, self.scheduler, *runs)

    def wait_until_free(self) -> None:
        """Until no worker is at a task, nor is to get one."""
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
        """Whether no prompt is left on any server."""
        return not any(server.pending or server.running for server in self.servers.values())

    def close(self) -> None:
        for worker in self.workers.values():
            worker.die()
        self.scheduler.kill()
        self.scheduler.wait()

    def _is_known(self) -> bool:
        return self._known.exists() and self._known.read_text().endswith("}")

    def _names(self, client: Client) -> set[str]:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        return {worker["name"] for worker in workers.values()}

    def _start(self, what: str, *options: str, own: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self._known)]
        environment = {**os.environ, BACKENDS_VARIABLE: own}
        with (self._folder / f"{what}.log").open("ab") as log:
            return subprocess.Popen([*command, *options], stderr=log, env=environment)


@contextmanager
def yard(folder: Path, *workers: str, draw_s: float = 0.0) -> Iterator[Yard]:
    folder.mkdir()
    with ExitStack() as stack:
        made = Yard(folder, stack)
        for name in workers:
            made.add(name, draw_s=draw_s)
        made.wait()
        yield made


class Run(Program):
    """The command in a process of its own."""

    def __init__(self, *words: str) -> None:
        environment = {**os.environ, BACKENDS_VARIABLE: ""}
        command = [*COMMAND, "--patience", "0", *words]
        super().__init__(command, stderr=subprocess.PIPE, env=environment)


def start(asked: Settings, address: str, *more: str) -> Run:
    """A run on a cluster."""
    return Run(str(asked.source), str(asked.target), "--dask", address, *more)


def ended(process: Run) -> tuple[int, str]:
    """Exit code and what was said."""
    with process:
        _, said = process.communicate(timeout=LONGEST_S)
    return process.returncode, said


def draw_among_deaths(
    folder: Path, asked: Settings, slides: dict[str, bytes], chance: Random, most: int
) -> Counter[str]:
    """One film on three workers; they, their servers, the scheduler and the command go at random.

    folder: for the cluster. slides: as they are to be. most: deaths. Workers are replaced, a server
    answers again when the next one goes, all else is begun again. Returns how many of each died.
    Raises AssertionError if a slide is lost or differs.
    """
    died: Counter[str] = Counter()
    folder.mkdir(parents=True)
    for attempt in count():
        with yard(folder / str(attempt), "a", "b", "c", draw_s=DRAW_S) as made:
            while made.scheduler.poll() is None:
                run = start(asked, made.address, "--patience", "60")
                killed = _disturb(made, run, chance, most - died.total())
                died += killed
                code, said = ended(run)
                if code == 0:
                    assert files(asked.target) == slides
                    return died
                assert killed["command"] or _is_due(code, said, died), (code, said)
    raise AssertionError


def _disturb(made: Yard, run: Run, chance: Random, most: int) -> Counter[str]:
    """Kill this and that, up to so many times, while a run goes on."""
    died: Counter[str] = Counter()
    while died.total() < most:
        try:
            run.wait(chance.uniform(0, 4))
            break
        except subprocess.TimeoutExpired:
            pass
        what = chance.choice(["worker"] * 3 + ["server"] * 3 + ["scheduler", "command"])
        died[what] += 1
        name = chance.choice(list(made.workers))
        if what == "worker":
            made.kill(name)
            made.add(f"{name}+", draw_s=DRAW_S)
            continue
        if what == "server":
            for each in made.workers:
                made.bring_server(each)
            made.take_server(name)
            continue
        if what == "scheduler":
            made.scheduler.kill()
            made.scheduler.wait()
        else:
            run.kill()
        break
    return died


def _is_due(code: int, said: str, died: Counter[str]) -> bool:
    """Whether a run that has ended early says that it is for what was killed."""
    if died["scheduler"] and code == 4:
        return "The Dask scheduler at" in said or "No Dask scheduler answers" in said
    return code == 1 and "workers died while they drew it" in said and "Traceback" not in said
