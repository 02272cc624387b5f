"""What is kept at hand while slides are drawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from stable_restyle.draw import Shelf


def test_what_two_want_at_once_is_made_once() -> None:
    begun, go_on = Event(), Event()
    made: list[int] = []

    def make(index: int) -> str:
        made.append(index)
        begun.set()
        assert go_on.wait(60)
        return str(index)

    shelf = Shelf(make, at_hand=1)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(shelf.get, 7)
        assert begun.wait(60)
        second = threads.submit(shelf.get, 7)
        go_on.set()
        assert (first.result(), second.result()) == ("7", "7")
    assert made == [7]
    assert shelf.get(8) == "8" and shelf.get(7) == "7"  # 7 had to make room
    assert made == [7, 8, 7]


def test_what_could_not_be_made_is_tried_again() -> None:
    answers = iter([OSError("no such frame"), None])

    def make(index: int) -> int:
        if error := next(answers):
            raise error
        return index

    shelf = Shelf(make, at_hand=2)
    with pytest.raises(OSError, match="no such frame"):
        shelf.get(3)
    assert shelf.get(3) == 3
