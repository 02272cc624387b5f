"""Run independent tasks on all cores, with results in order.

Slides, which depend on each other, are left to `schedule`.
"""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from stable_restyle.core.film_threads import named

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK_S = 0.5  # how often progress is reported while waiting


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its control group."""
    if sys.version_info >= (3, 13):
        bound = os.process_cpu_count()
    elif sys.platform == "linux":
        bound = len(os.sched_getaffinity(0))
    else:
        bound = os.cpu_count()
    return math.ceil(min(bound or 1, share_of_group()))


def share_of_group(proc: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the limit of Linux's control group (v2) for this process, in cores; inf if none."""
    with suppress(OSError, ValueError):
        named = (proc / "cgroup").read_text("utf-8").rpartition("0::/")[2].partition("\n")[0]
        quota_us, period_us = (groups / named / "cpu.max").read_text("utf-8").split()
        return int(quota_us) / int(period_us)  # without a limit, the quota is "max"
    return math.inf


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], tick: Callable[[int], None]
) -> Iterator[Result]:
    """Yield the result of each item, in the order of the items; raise the first error.

    tick: called in this thread with 1 for each item that is done, and with 0 every TICK_S seconds
    while waiting. Only a few items are taken ahead, so that memory does not grow with their number.
    """
    threads = cores()
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, named("parallel")) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= 2 * threads:
                    yield _awaited(pending.popleft(), tick)
            while pending:
                yield _awaited(pending.popleft(), tick)
        finally:
            for task in pending:
                task.cancel()


def _awaited(task: Future[Result], tick: Callable[[int], None]) -> Result:
    while not wait([task], TICK_S).done:
        tick(0)
    result = task.result()
    tick(1)
    return result
