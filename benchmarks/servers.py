"""Start simulated ComfyUI servers in processes of their own, which are measured apart."""

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
PICTURES = 6  # a server answers with these in turn


@dataclass(frozen=True)
class Worked:
    """What a server did. Times are in time.monotonic(), which all processes share."""

    spans: Sequence[tuple[float, float]]  # start and end of each slide
    busy_s: float
    idle_s: float  # between its first and last slide
    prompts_run: int
    cpu_s: float

    def busy_between(self, began: float, ended: float) -> float:
        """Return the share of a time in which it drew."""
        return sum(stop - start for start, stop in self.spans) / (ended - began)

    def busy_share(self, until: float) -> float:
        """Return the share of the time from its first slide on in which it drew."""
        first = self.spans[0][0]
        drew = sum(min(stop, until) - start for start, stop in self.spans if start < until)
        return drew / (until - first)


class Servers:
    """Server processes."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes
        self.urls = tuple(_line(each).strip() for each in processes)

    def stop(self) -> list[Worked]:
        """Stop the processes and return what each did."""
        return [Worked(**json.loads(each.communicate()[0])) for each in self._processes]


@contextmanager
def started(count: int, draw_s: float, frames: Sequence[Path]) -> Iterator[Servers]:
    """Start servers that take draw_s per slide and answer with some of these frames."""
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
            stack.enter_context(each)  # on exit waits for its end
            stack.callback(each.kill)  # runs before that
        yield Servers(processes)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()
