"""The progress of several films, shown as that of one task."""

from __future__ import annotations

import pytest
from support.runs import Silent

from stable_restyle.core.progress import DRAWING
from stable_restyle.run.batch_progress import BatchProgress, Stopped


def test_films_that_are_drawn_are_shown_as_one_task() -> None:
    told = Silent()
    board = BatchProgress(told)
    one, two = board.add(), board.add()
    board.show()
    one.begin("Splitting", 9, 0, "frame")
    one.advance(3)
    board.show()
    two.begin(DRAWING, 22, 4, "slide")
    board.show()
    two.advance(2)
    board.show()
    one.end()
    one.begin(DRAWING, 8, 0, "slide")
    one.advance(1)
    board.show()
    one.advance(7)
    two.advance(1)
    board.show()
    one.end()
    board.remove(one)
    board.show()
    assert told.tasks == [
        ("Splitting", 9, 3),
        ("Drawing", 22, 4),
        ("Drawing 2 films", 30, 7),
        ("Drawing", 22, 7),
    ]
    assert told.counted == [3, 6, 15, 7]


def test_a_film_is_ahead_of_its_drawing_until_it_begins() -> None:
    board = BatchProgress(Silent())
    assert board.are_all_begun()
    film = board.add()
    film.begin("Splitting", 9, 0, "frame")
    assert not board.are_all_begun()
    film.end()
    film.begin(DRAWING, 3, 0, "slide")
    film.end()
    assert board.are_all_begun()


def test_all_films_end_at_their_next_tick() -> None:
    board = BatchProgress(Silent())
    film, new = board.add(), board.add()
    film.begin(DRAWING, 3, 0, "slide")
    film.advance(1)
    board.stop()
    with pytest.raises(Stopped):
        film.advance(0)
    with pytest.raises(Stopped):
        new.begin("Splitting", 9, 0, "frame")
