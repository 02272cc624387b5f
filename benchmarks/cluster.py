"""Runs on a Dask cluster, with a simulated server for each worker: what do many machines bring?

1, 2, 4 and 8 worker processes on this machine, a server that draws for 2 s beside each, and a film
of 30 scenes. Target of issue 8: servers busy for 95 % of the time from their first slide on, until
scenes run out, that is until the first server has drawn its last one. Besides: slides a second,
and what a slide takes longer than by the thread pool on one server. All processes share this
machine, whose cores the workers need too: measure on one that is idle and has as many.

Where the next limit lies is simulated: 10,000 films, one after the other as --batch runs them, on
1,000 workers with a server each, every task placed in the order that Dask is told. A film with
fewer scenes than there are servers leaves the others waiting.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from distributed import Client

from benchmarks import footage, process, servers
from benchmarks.report import Figure, Report, command
from benchmarks.schedule import random_film
from benchmarks.speed import FPS
from stable_restyle import cluster, pipeline
from stable_restyle.model import BACKENDS_VARIABLE, Settings, Step

BUSY_PERCENT = 95
DRAW_S = 2.0
SCENES = 30
WORKERS = (1, 2, 4, 8)
FARM, FILMS, DIFFERENT = 1000, 10_000, 200  # servers, films, and how many of these are simulated


def measure(out: Path, small: bool) -> Report:
    """The same film on more and more workers, and once by the thread pool."""
    frames = (footage.small_frames if small else footage.real_frames)(out)
    draw_s, teams = (0.05, (1, 2)) if small else (DRAW_S, WORKERS)
    chance = random.Random(8)
    lengths = [chance.randint(3, 9) for _ in range(3 if small else SCENES)]
    slides = sum(lengths)
    figures: list[Figure] = []
    alone_s = _by_threads(out, frames, lengths, draw_s)
    for team in teams:
        took_s, busy = _by_workers(out, frames, lengths, draw_s, team)
        named = f"{team} worker{'s'[: team > 1]}"
        figures += [
            Figure(f"{named}: slides a second", slides / took_s),
            Figure(
                f"{named}: servers busy",
                100 * min(busy),
                "%",
                at_least=None if small else BUSY_PERCENT,
                note="the least busy one, until scenes run out",
            ),
        ]
        if team == 1:
            figures.append(
                Figure(
                    "longer than by the thread pool",
                    1000 * (took_s - alone_s) / slides,
                    "ms a slide",
                    note="one server; the cluster's meeting among it",
                )
            )
    figures += simulated(2 if small else DIFFERENT)
    return Report("cluster", "A Dask cluster over simulated servers", figures)


def simulated(different: int) -> list[Figure]:
    """The farm on a simulated clock, in units of a slide."""
    chance = random.Random(80)
    films = [random_film(chance) for _ in range(different)]
    took = sum(makespan(film, FARM) for film in films)
    together = sum(map(len, films)) / FARM  # were all films one
    return [
        Figure(
            f"{FARM:,} servers, {FILMS:,} films one after the other: servers busy",
            100 * together / took,
            "%",
            note=f"simulated with {different} films; what limits it are scenes, not Dask",
        ),
        Figure(
            "tasks a second that Dask places for them, slides of 2 s",
            sum(len(list(_tasks(cluster.divide(film, (), FARM)))) for film in films)
            / (took * DRAW_S),
        ),
    ]


def makespan(film: Sequence[Step], workers: int) -> float:
    """How long a film takes, in slides: each task on the worker that is free first."""
    shares = cluster.divide(film, (), workers)
    waiting = [(0.0, -share.length, number, share) for number, share in enumerate(shares)]
    heapq.heapify(waiting)
    free = [0.0] * workers
    ends = 0.0
    count = len(waiting)
    while waiting:
        ready, _, _, share = heapq.heappop(waiting)
        end = max(ready, heapq.heappop(free)) + len(share.steps)
        heapq.heappush(free, end)
        ends = max(ends, end)
        for following in share.then:
            count += 1
            heapq.heappush(waiting, (end, -following.length, count, following))
    return ends


def _tasks(shares: Sequence[cluster.Share]) -> Iterator[cluster.Share]:
    for share in shares:
        yield share
        yield from _tasks(share.then)


def _by_threads(out: Path, frames: Sequence[Path], lengths: Sequence[int], draw_s: float) -> float:
    """Seconds that the run takes without Dask, on one server."""
    with (
        TemporaryDirectory(dir=out) as folder,
        servers.started(1, draw_s, frames) as serving,
    ):
        settings = _film(Path(folder), frames, lengths)
        return process.alone(_draw, replace(settings, backends=serving.urls))


def _by_workers(
    out: Path, frames: Sequence[Path], lengths: Sequence[int], draw_s: float, team: int
) -> tuple[float, list[float]]:
    """Seconds that the run takes, and the busy share of each server."""
    with (
        TemporaryDirectory(dir=out) as folder,
        servers.started(team, draw_s, frames) as serving,
        _cluster(Path(folder), serving.urls) as address,
    ):
        settings = _film(Path(folder), frames, lengths)
        took_s = process.alone(_draw, replace(settings, dask=address))
        worked = serving.stop()
    ran_out = min(each.spans[-1][1] for each in worked)
    return took_s, [each.busy_share(ran_out) for each in worked]


def _film(folder: Path, frames: Sequence[Path], lengths: Sequence[int]) -> Settings:
    footage.make_film(frames, [FPS * length for length in lengths], folder)
    return Settings(folder / "in", folder / "out", fps=FPS)


def _draw(settings: Settings) -> float:
    began = time.monotonic()
    pipeline.run(settings, process.Silent())
    return time.monotonic() - began


@contextmanager
def _cluster(folder: Path, urls: Sequence[str]) -> Iterator[str]:
    """A scheduler, and a worker process for each server; yields its address."""
    known = folder / "scheduler.json"

    def start(what: str, *options: str, backends: str = "") -> None:
        words = [sys.executable, "-m", "dask", what, "--scheduler-file", str(known), *options]
        environment = {**os.environ, BACKENDS_VARIABLE: backends}
        running = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
        stack.callback(running.wait)
        stack.callback(running.kill)

    with ExitStack() as stack:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        while not known.exists():
            time.sleep(0.05)
        for url in urls:
            start("worker", "--nthreads", "2", "--no-nanny", "--no-dashboard", backends=url)
        address: str = json.loads(known.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(len(urls))
        yield address


def main() -> None:
    command({"cluster": measure}, __doc__)


if __name__ == "__main__":
    main()
