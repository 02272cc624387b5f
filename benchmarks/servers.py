"""Simulated ComfyUI servers in processes of their own, so that their work is not ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURES = 6  # that a server answers with, in turn


@dataclass(frozen=True)
class Worked:
    """What a server did, by its own clock, which is the machine's: time.monotonic()."""

    spans: Sequence[tuple[float, float]]  # when it drew, from and until
    busy_s: float
    idle_s: float  # between its first slide and its last
    prompts_run: int
    cpu_s: float

    def busy_share(self, until: float) -> float:
        """The share of the time that it drew, from its first slide on."""
        first = self.spans[0][0]
        drew = sum(min(stop, until) - start for start, stop in self.spans if start < until)
        return drew / (until - first)


class Servers:
    """Processes that play ComfyUI."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes
        self.urls = tuple(_line(each).strip() for each in processes)

    def stop(self) -> list[Worked]:
        """End them; returns what each did."""
        return [Worked(**json.loads(each.communicate()[0])) for each in self._processes]


@contextmanager
def started(count: int, draw_s: float, frames: Sequence[Path]) -> Iterator[Servers]:
    """So many servers that draw for draw_s; what they draw are some of these frames."""
    pictures = frames[:: -(-len(frames) // PICTURES)]
    command = [sys.executable, "-m", "benchmarks.serve", str(draw_s), *map(str, pictures)]
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    with ExitStack() as stack:
        for each in processes:
            stack.enter_context(each)  # waits for its end,
            stack.callback(each.kill)  # which is now
        yield Servers(processes)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
