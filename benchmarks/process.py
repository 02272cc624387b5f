"""Processes of their own: what is measured begins with a clean slate, and its peak is its own."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def alone(function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Call a function of a module in a fresh process; returns what it returns."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as processes:
        return processes.submit(function, *args, **named).result()


def peak_mb() -> float:
    """The most memory that this process has had resident, in 10^6 bytes; nan if none can say."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would begin with the peak of the process that started this one
        lines = status.read_text("utf-8").splitlines()
        return 1024e-6 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return float("nan")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * 1e-6 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Silent:
    """A progress.Progress that shows nothing."""

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def end(self) -> None:
        pass
