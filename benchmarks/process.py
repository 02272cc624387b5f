"""Run measurements in fresh processes, so that they do not share memory or caches."""

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
    """Call a module's function in a fresh process and return its result."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as processes:
        return processes.submit(function, *args, **named).result()


def peak_mb() -> float:
    """Return the peak resident memory of this process in 10^6 bytes; nan if it is unknown."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage includes the peak of the parent process
        lines = status.read_text("utf-8").splitlines()
        return 1024e-6 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return float("nan")
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * 1e-6 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def children_cpu_s() -> float:
    """Return the processor time of the programs that have ended; nan if it is unknown."""
    if sys.platform == "win32":
        return float("nan")
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Silent:
    """A progress.Progress that shows nothing."""

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def remark(self, text: str) -> None:
        pass

    def end(self) -> None:
        pass
