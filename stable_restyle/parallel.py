"""One task after another on all cores, where none waits for another: results in their order.

Slides that wait for each other are left to `schedule`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

TICK_S = 0.5  # how often whoever waits looks up while nothing happens


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], tick: Callable[[int], None]
) -> Iterator[Result]:
    """The result of each item, in the order of the items; the first error is raised again.

    tick: called in this thread with 1 for each item that is done, and with 0 every TICK_S seconds
    while nothing is. What is taken from `items` before the result of an item is bounded, so that
    memory does not grow with their number.
    """
    cores = os.cpu_count() or 1
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(cores, "parallel") as pool:
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) >= 2 * cores:
                    yield _awaited(under_way.popleft(), tick)
            while under_way:
                yield _awaited(under_way.popleft(), tick)
        finally:
            for task in under_way:
                task.cancel()


def _awaited(task: Future[Result], tick: Callable[[int], None]) -> Result:
    while not wait([task], TICK_S).done:
        tick(0)
    result = task.result()
    tick(1)
    return result
