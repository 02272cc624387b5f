"""The long tests: `make soak` takes an hour, or as many minutes as SOAK_MINUTES says.

Five parts run side by side, each in its own process and with the same code as its short form in
`make test`: runs that are killed, wrong input, servers that fail, long films, and clusters whose
processes are killed. Each figure is printed with what an hour must reach. The exit code is 0 if no
part failed and, for an hour or more, all figures are reached.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from random import Random
from secrets import randbits
from tempfile import TemporaryDirectory

from soak import clusters, flaky_servers, fuzzing, kills, long_films
from support import clips
from support.comfy_server import ComfyServer
from support.runs import Silent, files

from stable_restyle.core.settings import Settings
from stable_restyle.run import pipeline

HOUR_MIN = 60.0
GROWTH_MB = 30.0  # of a process in an hour
WARM_RUNS = 40  # before memory is measured: aiohttp, in the servers, keeps the last 128
MEMORY_MAX = 4 * 2**30  # bytes of address space: input that makes us allocate more fails


@dataclass(frozen=True)
class Figure:
    """A count or a measurement, and its bound for an hour."""

    what: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool:
        low, high = self.at_least or 0, self.at_most
        return low <= self.value and (high is None or self.value <= high)

    def __str__(self) -> str:
        bound = f"at least {self.at_least:,.0f}" if self.at_least is not None else ""
        bound += f"at most {self.at_most:,.0f}" if self.at_most is not None else ""
        return f"{self.what:<44} {self.value:>12,.0f}  {bound}"


Part = Callable[[Path, float, int], list[Figure]]  # an empty folder, when to stop, a seed


def kill(folder: Path, until: float, seed: int) -> list[Figure]:
    """Kill runs of every story at random moments."""
    chance, killed = Random(seed), Counter[str]()
    with ExitStack() as stack:
        stages = []
        for index, story in enumerate(kills.STORIES):
            own = folder / str(index)
            own.mkdir()
            stages.append(stack.enter_context(kills.staged(story, own)))
        for stage in cycle(stages):
            if time.monotonic() > until:
                break
            kills.kill_and_repeat(stage, folder / "killed", chance)
            killed[str(stage.story)] += 1
    return [
        Figure("runs killed and repeated without a loss", killed.total(), at_least=200),
        *(Figure(f"  {story}", count) for story, count in sorted(killed.items())),
    ]


def fuzz(folder: Path, until: float, seed: int) -> list[Figure]:
    """Try wrong input of every kind, a round of each in turn."""
    _bound_memory()
    tried: dict[str, int] = dict.fromkeys(map(str, fuzzing.TARGETS), 0)
    with ExitStack() as stack:
        attempts = {}
        for index, target in enumerate(fuzzing.TARGETS):
            own = folder / str(index)
            own.mkdir()
            attempts[str(target)] = stack.enter_context(target.begun(own))
        for name in cycle(attempts):
            if time.monotonic() > until:
                break
            tried[name] += fuzzing.run_cases(attempts[name], fuzzing.ROUND, until)
    return [
        Figure("wrong inputs tried", sum(tried.values()), at_least=1_000_000),
        *(Figure(f"  {name}", count) for name, count in tried.items()),
    ]


def fail(folder: Path, until: float, seed: int) -> list[Figure]:
    """Draw films on five servers that fail, one after the other."""
    logging.disable()  # the servers log every connection that they break off
    chance, failures, runs, slides = Random(seed), 0, 0, 0
    film = flaky_servers.make_film(folder, 9, 14, 5, 12)
    before, warm_mb = flaky_servers.threads_and_handles(), 0.0
    with flaky_servers.short_waits():
        while time.monotonic() < until or runs <= WARM_RUNS:
            with TemporaryDirectory(dir=folder) as work:
                share = chance.choice([0.02, 0.1, 0.2])
                flaky = flaky_servers.draw_with_failures(film, Path(work) / "out", chance, share)
            failures += flaky.failures.total()
            runs, slides = runs + 1, slides + len(film.slides)
            warm_mb = _resident_mb() if runs == WARM_RUNS else warm_mb
    threads, handles = flaky_servers.threads_and_handles()
    return [
        Figure("runs over five failing servers", runs),
        Figure("  slides, each drawn once and none missing", slides),
        Figure("  failures survived", failures),
        Figure("  memory gained meanwhile, MB", _resident_mb() - warm_mb, at_most=GROWTH_MB),
        Figure("  threads left over", threads - before[0], at_most=0),
        Figure("  sockets and files left open", handles - before[1], at_most=0),
    ]


def stretch(folder: Path, until: float, seed: int) -> list[Figure]:
    """Draw films of many scenes and of one long one."""
    many, frames = 10_000, 100_000
    many_mb = long_films.one_frame_a_scene(folder / "many", many)
    long_mb = long_films.one_scene(folder / "long", frames, 50)
    return [
        Figure(f"{many:,} scenes of a frame: memory, MB", many_mb, at_most=long_films.MEMORY_MB),
        Figure(
            f"one scene of {frames:,} frames: memory, MB", long_mb, at_most=long_films.MEMORY_MB
        ),
    ]


def spread(folder: Path, until: float, seed: int) -> list[Figure]:
    """Draw films on clusters whose workers, servers, scheduler and command are killed at random."""
    chance, killed, runs = Random(seed), Counter[str](), 0
    film = Settings(clips.write_folder(folder / "in", clips.scenes(18, 8, 6, 8, 4)), folder / "out")
    with ComfyServer() as server:
        pipeline.run(replace(film, backends=(server.url,)), Silent())
    slides = files(film.target)
    while time.monotonic() < until:
        with TemporaryDirectory(dir=folder) as own:
            settings = replace(film, target=Path(own) / "out")
            killed += clusters.draw_with_random_kills(
                Path(own) / "clusters", settings, slides, chance, most=4
            )
        runs += 1
    return [
        Figure("runs on clusters, the same slides each time", runs),
        *(Figure(f"  killed: {kind}", count) for kind, count in sorted(killed.items())),
    ]


PARTS: dict[str, Part] = {
    "kill": kill,
    "fuzz": fuzz,
    "fail": fail,
    "stretch": stretch,
    "spread": spread,
}


def main() -> int:
    minutes = float(os.environ.get("SOAK_MINUTES", HOUR_MIN))
    names = sys.argv[1:] or list(PARTS)
    until = time.monotonic() + 60 * minutes
    spawn = multiprocessing.get_context("spawn")
    succeeded = True
    with TemporaryDirectory() as folder, ProcessPoolExecutor(len(names), spawn) as processes:
        parts = {processes.submit(_part, name, Path(folder) / name, until): name for name in names}
        for part in as_completed(parts):
            try:
                figures = part.result()
            except Exception:
                succeeded = False
                print(f"LOST by {parts[part]}:\n{traceback.format_exc()}", flush=True)
                continue
            print("\n".join(map(str, figures)), flush=True)
            if minutes >= HOUR_MIN:
                succeeded &= all(figure.is_met for figure in figures)
    print(f"{minutes:g} minutes: {'nothing was lost' if succeeded else 'FAILED'}")
    return 0 if succeeded else 1


def _part(name: str, folder: Path, until: float) -> list[Figure]:
    folder.mkdir()
    seed = randbits(32)
    print(f"{name}: seed {seed}", flush=True)
    with _quiet_libraries(folder.with_suffix(".stderr")):
        return PARTS[name](folder, until, seed)


@contextmanager
def _quiet_libraries(path: Path) -> Iterator[None]:
    """Send what libpng prints about damaged pictures to a file."""
    kept = os.dup(2)
    with path.open("wb") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _bound_memory() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))


def _resident_mb() -> float:
    """Return the resident memory of this process in 10^6 bytes; 0 except on Linux.

    Free memory that glibc keeps for later, tens of MB, is returned to the system before.
    """
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
    if sys.platform != "linux":
        return 0.0
    statm = Path("/proc/self/statm")
    return int(statm.read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
