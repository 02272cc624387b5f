"""Tasks side by side: order, bounds, errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from threading import Event

import pytest
from programs import LONGEST_S

from stable_restyle import parallel


def test_results_come_in_the_order_of_the_items() -> None:
    second_is_done = Event()

    def work(item: int) -> int:
        if item == 0:
            second_is_done.wait(0.2)  # with one core there is no second
        second_is_done.set()
        return item * item

    ticks: list[int] = []
    assert list(parallel.in_order(work, range(9), ticks.append)) == [n * n for n in range(9)]
    assert sum(ticks) == 9


def test_what_is_taken_ahead_is_bounded() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    results = parallel.in_order(lambda item: item, items(), lambda _: None)
    assert next(results) == 0
    assert len(taken) <= 2 * (os.cpu_count() or 1)


def test_the_caller_hears_of_it_while_nothing_is_done() -> None:
    heard, done = [], Event()

    def tick(count: int) -> None:
        heard.append(count)
        done.set()

    assert list(parallel.in_order(lambda _: done.wait(LONGEST_S), [0], tick)) == [True]
    assert heard == [0, 1]


def test_an_error_ends_it() -> None:
    def work(item: int) -> int:
        return 1 // (item - 3)

    with pytest.raises(ZeroDivisionError):
        list(parallel.in_order(work, range(1_000_000), lambda _: None))
