"""Decoded frames are kept on disk for a while, in stretches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from support.runs import size_of

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.media.scratch import PREFIX, Scratch, Take

SIDE = 64
NOISE = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
SIZE = 3 * SIDE * SIDE  # bytes of a frame of noise, about: PNG makes it no smaller


def picture(index: int) -> Pixels:
    return np.roll(NOISE, index, axis=0)


def decode(wanted: range, take: Take) -> None:
    for index in wanted:
        take(index, picture(index))


@contextmanager
def opened(
    folder: Path, decode: Callable[[range, Take], None], most: int = 9, most_bytes: int = 10**9
) -> Iterator[Scratch]:
    scratch = Scratch(folder, decode, most, most_bytes, SIDE * SIDE)
    try:
        yield scratch
    finally:
        scratch.close()
        assert not folders(folder)


def folders(folder: Path) -> list[Path]:
    return [*folder.glob(f"{PREFIX}*")]


def test_a_frame_is_there_before_its_stretch_is_whole(tmp_path: Path) -> None:
    goes_on = Event()

    def slowly(wanted: range, take: Take) -> None:
        take(wanted[0], picture(wanted[0]))
        assert goes_on.wait(60)
        decode(wanted[1:], take)

    with opened(tmp_path, slowly) as scratch:
        assert np.array_equal(scratch.read(range(4, 9), 4), picture(4))
        goes_on.set()
        assert np.array_equal(scratch.read(range(4, 9), 8), picture(8))


def test_frames_that_come_again_are_the_same(tmp_path: Path) -> None:
    def twice(wanted: range, take: Take) -> None:
        decode(
            wanted[:2], take
        )  # the next one differs from its mark: decoding begins further ahead
        decode(wanted, take)

    with opened(tmp_path, twice) as scratch:
        for index in range(6):
            assert np.array_equal(scratch.read(range(6), index), picture(index))


@pytest.mark.parametrize("places", [2, 300])
def test_bytes_on_disk_are_bounded(tmp_path: Path, places: int) -> None:
    """Sixteen threads read at 16 places; there is room for four stretches of noise."""
    most_bytes, stretch = 4 * 5 * SIZE, 5
    largest = 0

    def watched(wanted: range, take: Take) -> None:
        nonlocal largest
        for index in wanted:
            take(index, picture(index))
            largest = max(largest, size_of(tmp_path))

    def walk(place: int) -> bool:
        begin = 100 * place
        return all(
            np.array_equal(scratch.read(range(start, start + stretch), index), picture(index))
            for start in range(begin, begin + 20, stretch)
            for index in range(start, start + stretch)
        )

    with opened(tmp_path, watched, places, most_bytes) as scratch, ThreadPoolExecutor(16) as pool:
        assert all(pool.map(walk, range(16)))
    assert 2 * SIZE < largest <= most_bytes


def test_one_stretch_is_read_even_if_it_is_too_large(tmp_path: Path) -> None:
    with opened(tmp_path, decode, most_bytes=1) as scratch:
        for index in (0, 9, 5, 3):
            start = index // 5 * 5
            assert np.array_equal(scratch.read(range(start, start + 5), index), picture(index))
            assert len(folders(tmp_path)) == 1


def test_an_error_is_raised_to_all_who_wait_and_it_is_tried_again(tmp_path: Path) -> None:
    fails = [UnusableInput("no"), UnusableInput("no")]

    def failing(wanted: range, take: Take) -> None:
        take(wanted[0], picture(wanted[0]))
        if fails:
            raise fails.pop()
        decode(wanted, take)

    with opened(tmp_path, failing) as scratch:
        for _ in range(2):
            with pytest.raises(UnusableInput, match="no"):
                scratch.read(range(3), 2)
            assert not folders(tmp_path)
        assert np.array_equal(scratch.read(range(3), 2), picture(2))


def test_closing_ends_what_is_decoded(tmp_path: Path) -> None:
    begun = Event()

    def endless(wanted: range, take: Take) -> None:
        while True:
            take(wanted[0], picture(0))
            begun.set()

    with opened(tmp_path, endless) as scratch:
        scratch.read(range(2), 0)
        assert begun.wait(60)
