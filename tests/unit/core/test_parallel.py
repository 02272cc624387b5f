"""Parallel tasks: order, bounds, errors."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from support.programs import LONGEST_S

from stable_restyle.core import parallel


def test_results_come_in_the_order_of_the_items() -> None:
    second_is_done = Event()

    def work(item: int) -> int:
        if item == 0:
            second_is_done.wait(0.2)  # with one core there is no second task
        second_is_done.set()
        return item * item

    ticks: list[int] = []
    assert list(parallel.map_in_order(work, range(9), ticks.append)) == [n * n for n in range(9)]
    assert sum(ticks) == 9


@pytest.mark.skipif(sys.platform != "linux", reason="no process is bound to cores elsewhere")
def test_a_process_that_is_bound_to_a_core_has_one() -> None:
    """Limit the cores like a Slurm job: all pools of the process must respect that."""
    code = """
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from stable_restyle.backends.preview import engine
from stable_restyle.core import parallel
from stable_restyle.drawing import session
print(parallel.cores(), engine.Preview("clay", 1, 0.5).slots, session.HELPERS)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("limit", "share"),
    [("150000 100000", 1.5), ("max 100000", math.inf), ("", math.inf), (None, math.inf)],
)
def test_a_control_group_has_a_share_of_the_machine(
    tmp_path: Path, limit: str | None, share: float
) -> None:
    (tmp_path / "cgroup").write_text("1:cpu:/other\n0::/docker/4711\n")
    (tmp_path / "docker" / "4711").mkdir(parents=True)
    if limit is not None:
        (tmp_path / "docker" / "4711" / "cpu.max").write_text(f"{limit}\n")
    assert parallel.share_of_group(tmp_path, tmp_path) == share
    assert parallel.share_of_group(tmp_path / "nowhere", tmp_path) == math.inf


def test_what_is_taken_ahead_is_bounded() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = parallel.map_in_order(lambda item: item, items(), lambda _: None)
    assert next(results) == 0
    assert len(taken) <= 2 * parallel.cores()


def test_the_caller_hears_of_it_while_nothing_is_done() -> None:
    heard, done = [], Event()

    def tick(count: int) -> None:
        heard.append(count)
        done.set()

    assert list(parallel.map_in_order(lambda _: done.wait(LONGEST_S), [0], tick)) == [True]
    assert heard == [0, 1]


def test_an_error_ends_it() -> None:
    def work(item: int) -> int:
        return 1 // (item - 3)

    with pytest.raises(ZeroDivisionError):
        list(parallel.map_in_order(work, range(1_000_000), lambda _: None))
