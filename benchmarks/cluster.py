"""Measure runs on a Dask cluster with a simulated server for each worker.

1, 2, 4 and 8 worker processes on this machine, each with a server that takes 2 s per slide, and a
film of 30 scenes. Target: servers are busy for 95 % of the time from their first slide until scenes
run out, that is until the first server has drawn its last slide. In addition, for one worker: the
processor time per slide of worker, command and scheduler, and of the thread pool, which draws the
first scenes of the same film. All processes share the cores of this machine, so it should be idle;
the slides alone of 8 workers take 0.8 of a core.

Where the next limit lies is simulated: 10,000 films on 1,000 servers of 2 s per slide, see
`cluster_simulation`. The load per second on scheduler, command and file system is compared with the
capacity of each, measured here as processor time; it holds for a scheduler whose machine is as fast
as this one and does nothing else. Each limit is given as the number of servers that it suffices
for.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from threading import Event

import psutil
from distributed import Client, Worker

from benchmarks import cluster_simulation, footage, process, servers
from benchmarks.report import Figure, Report, command
from benchmarks.schedule import random_film
from benchmarks.speed import FPS
from stable_restyle.cluster import shares
from stable_restyle.core.records import Step
from stable_restyle.core.settings import BACKENDS_VARIABLE, Settings
from stable_restyle.media import sequence
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import split_film
from stable_restyle.run import pipeline

BUSY_PERCENT = 95
DRAW_S = 2.0
SCENES = 30
SHORTEST, LONGEST = 2, 5  # scenes, in slides
ALONE = 10  # scenes that the thread pool draws
WORKERS = (1, 2, 4, 8)
SERVERS, FILMS, DIFFERENT = 1000, 10_000, 200  # simulated; DIFFERENT of the films differ
TASKS, MESSAGES = 1000, 4000  # to measure the scheduler with
PAUSE_S = 0.005  # between two messages of a worker; without it they are sent in batches


@dataclass(frozen=True)
class Worked:
    """A run on a cluster."""

    took_s: float
    busy: Sequence[float]  # share of each server, until scenes run out
    cpu_s: Mapping[str, float]  # by process


def measure(out: Path, small: bool) -> Report:
    """Draw a film on more and more workers, and its beginning by the thread pool; then simulate."""
    frames = (footage.small_frames if small else footage.real_frames)(out)
    draw_s, teams = (0.05, (1,)) if small else (DRAW_S, WORKERS)
    chance = random.Random(8)
    lengths = [chance.randint(SHORTEST, LONGEST) for _ in range(3 if small else SCENES)]
    slides = sum(lengths)
    beginning = lengths[:ALONE]
    took_s, cpu_s = _by_threads(out, frames, beginning, draw_s)
    costs = {"by the thread pool": cpu_s / sum(beginning)}
    figures = [Figure("thread pool: slides per second", sum(beginning) / took_s)]
    for team in teams:
        worked = _by_workers(out, frames, lengths, draw_s, team)
        named = f"{team} worker{'s'[: team > 1]}"
        figures += [
            Figure(f"{named}: slides per second", slides / worked.took_s),
            Figure(
                f"{named}: servers busy",
                100 * min(worked.busy),
                "%",
                at_least=None if small else BUSY_PERCENT,
                note="the least busy one, until scenes run out",
            ),
        ]
        if team == 1:
            costs |= {f"of the {who}": each / slides for who, each in worked.cpu_s.items()}
    figures += [
        Figure(f"processor time {who}", 1000 * s, "ms per slide") for who, s in costs.items()
    ]
    figures += _limits(out, frames, costs["of the command"], small)
    return Report("cluster", "A Dask cluster over simulated servers", figures)


def _limits(out: Path, frames: Sequence[Path], command_s: float, small: bool) -> Iterator[Figure]:
    """Compare the load of a large cluster with what each part can do."""
    split_s = _split_s(out, small)
    chance = random.Random(80)
    films = [_divided(random_film(chance), FPS * split_s) for _ in range(2 if small else DIFFERENT)]
    many = [films[number % len(films)] for number in range(4 if small else FILMS)]
    alone_s = sum(
        cluster_simulation.simulate([film], SERVERS, DRAW_S).seconds - film.prepare_s
        for film in films
    )
    apart = sum(film.slides for film in films) * DRAW_S / SERVERS / alone_s
    split = [replace(film, prepare_s=0.0) for film in many]
    together = cluster_simulation.simulate(split, SERVERS, DRAW_S)
    one_list = cluster_simulation.simulate(many[: len(films)], SERVERS, DRAW_S)
    where = f"simulated: {SERVERS:,} servers of {DRAW_S:g} s"
    yield Figure(f"{where}, one film after the other: busy", 100 * apart, "%")
    yield Figure(
        f"{where}, {len(many):,} films as a batch: busy",
        100 * together.busy,
        "%",
        note="frames are there; the rest are the last films",
    )
    yield Figure(
        f"{where}, films that are split first: busy",
        100 * one_list.busy,
        "%",
        note=f"{1 / split_s:.0f} frames per second here; several commands, on several machines",
    )
    slides_s = SERVERS / DRAW_S
    tasks_s = together.tasks / together.seconds
    task_s, message_s = _scheduler_s(out, small)
    yield Figure("load per second: tasks", tasks_s)
    yield Figure("load per second: messages about slides", slides_s)
    frame_mb = mean(path.stat().st_size for path in frames) / 1e6
    yield Figure(
        "load per second: file system",
        slides_s * (FPS + 1) * frame_mb,
        "MB",
        note=f"{FPS} frames and a slide, {frame_mb:.1f} MB each",
    )
    yield Figure("scheduler: a task", 1e6 * task_s, "us")
    yield Figure("scheduler: a message", 1e6 * message_s, "us")
    share = tasks_s * task_s + slides_s * message_s
    yield Figure("scheduler: suffices for", SERVERS / share, "servers")
    yield Figure(
        "one command: suffices for",
        DRAW_S / command_s,
        "servers",
        note="from the run with one worker, including its start and end",
    )
    yield Figure("one command that splits films: suffices for", DRAW_S / (FPS * split_s), "servers")


def _divided(steps: Sequence[Step], prepare_s: float) -> cluster_simulation.Film:
    return cluster_simulation.Film(
        shares.divide(steps, (), SERVERS), len(steps), prepare_s * len(steps)
    )


def _split_s(out: Path, small: bool) -> float:
    """Return the seconds per frame of splitting a film of 1280x720 with scene detection."""
    film = replace(probe_film(footage.EXAMPLE), width=footage.WIDTH, height=footage.HEIGHT)
    if small:
        film = replace(film, width=footage.SMALL[0], height=footage.SMALL[1])
    with TemporaryDirectory(dir=out) as folder:
        began = time.monotonic()
        split_film(film, Path(folder), Settings().scene_threshold, lambda _: None)
        return (time.monotonic() - began) / len(sequence.numbered(Path(folder)))


def _scheduler_s(out: Path, small: bool) -> tuple[float, float]:
    """Return the scheduler's processor time for a task, and for a message about a slide."""
    tasks, messages = (20, 20) if small else (TASKS, MESSAGES)
    with (
        TemporaryDirectory(dir=out) as folder,
        _cluster(Path(folder), ["", ""]) as running,
        Client(running.address, set_as_default=False) as client,
    ):
        share = shares.divide(random_film(random.Random(1)), (), SERVERS)[0]
        begun = running.cpu_s("scheduler")
        given = [
            client.submit(_nothing, share, key=f"scene-{number}", priority=number)
            for number in range(tasks)
        ]
        client.gather(given)
        between = running.cpu_s("scheduler")
        heard: list[object] = []
        all_heard = Event()

        def hear(message: object) -> None:
            heard.append(message)
            if len(heard) >= messages:
                all_heard.set()

        client.subscribe_topic("slides", hear)
        client.run(_send, messages // 2)
        all_heard.wait()
        ended = running.cpu_s("scheduler")
    return (between - begun) / tasks, (ended - between) / messages


def _nothing(share: shares.Share) -> None:
    pass


async def _send(messages: int, dask_worker: Worker) -> None:
    """Send the message that a worker sends after each slide."""
    for slide in range(messages):
        message = {"slide": slide, "backend": "http://localhost:8188 on worker 1"}
        message |= {"seconds": DRAW_S, "name": "worker 1", "address": dask_worker.address}
        dask_worker.log_event("slides", message)
        await asyncio.sleep(PAUSE_S)


def _by_threads(
    out: Path, frames: Sequence[Path], lengths: Sequence[int], draw_s: float
) -> tuple[float, float]:
    """Draw without Dask on one server; return seconds and processor time."""
    with (
        TemporaryDirectory(dir=out) as folder,
        servers.started(1, draw_s, frames) as serving,
    ):
        settings = _film(Path(folder), frames, lengths)
        return process.alone(_draw, replace(settings, backends=serving.urls))


def _by_workers(
    out: Path, frames: Sequence[Path], lengths: Sequence[int], draw_s: float, team: int
) -> Worked:
    with (
        TemporaryDirectory(dir=out) as folder,
        servers.started(team, draw_s, frames) as serving,
        _cluster(Path(folder), serving.urls) as running,
    ):
        settings = _film(Path(folder), frames, lengths)
        before = {who: running.cpu_s(who) for who in ("worker", "scheduler")}
        took_s, command_s = process.alone(_draw, replace(settings, dask=running.address))
        cpu_s = {who: running.cpu_s(who) - its for who, its in before.items()}
        worked = serving.stop()
    ran_out = min(each.spans[-1][1] for each in worked)
    busy = [each.busy_share(ran_out) for each in worked]
    return Worked(took_s, busy, {**cpu_s, "command": command_s})


def _film(folder: Path, frames: Sequence[Path], lengths: Sequence[int]) -> Settings:
    footage.make_film(frames, [FPS * length for length in lengths], folder)
    return Settings(folder / "in", folder / "out", frames_per_slide=FPS, motion="codec")


def _draw(settings: Settings) -> tuple[float, float]:
    """Run in a fresh process; return seconds and processor time."""
    began, began_cpu = time.monotonic(), time.process_time()
    pipeline.run(settings, process.Silent())
    return time.monotonic() - began, time.process_time() - began_cpu


@dataclass(frozen=True)
class _Running:
    """A scheduler and its workers."""

    address: str
    processes: Sequence[tuple[str, psutil.Process]]  # kind, process

    def cpu_s(self, kind: str) -> float:
        """Return the processor time so far of all processes of a kind."""
        every = (each.cpu_times() for its_kind, each in self.processes if its_kind == kind)
        return float(sum(times.user + times.system for times in every))


@contextmanager
def _cluster(folder: Path, urls: Sequence[str]) -> Iterator[_Running]:
    """Start a scheduler, and a worker process for each server."""
    known = folder / "scheduler.json"
    processes: list[tuple[str, psutil.Process]] = []

    def start(what: str, *options: str, backends: str = "") -> None:
        words = [sys.executable, "-m", "dask", what, "--scheduler-file", str(known), *options]
        environment = {**os.environ, BACKENDS_VARIABLE: backends}
        running = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
        stack.callback(running.wait)
        stack.callback(running.kill)
        processes.append((what, psutil.Process(running.pid)))

    with ExitStack() as stack:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        while not (known.exists() and known.read_text().endswith("}")):
            time.sleep(0.05)
        for url in urls:
            start("worker", "--nthreads", "2", "--no-nanny", "--no-dashboard", backends=url)
        address: str = json.loads(known.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(len(urls))
        yield _Running(address, processes)


def main() -> None:
    command({"cluster": measure}, __doc__)


if __name__ == "__main__":
    main()
