"""Keyframes are chosen where the film needs them, and saved in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support import footage
from support.footage import Camera, changed, flash

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Keys, Pixels
from stable_restyle.plan import keyframes, scenes
from stable_restyle.plan.keyframes import Kind

EVERY_6 = Kind(6, fill_only=False)


def chosen(film: Sequence[Pixels], kind: Kind = EVERY_6) -> Keys:
    compared: list[int] = []
    found = scenes.find_scenes([0, len(film)], 1)
    keys_found = keyframes.choose(film.__getitem__, found, 1, kind, compared.append)
    assert sum(compared) == len(film)
    return keys_found


def test_a_film_that_hardly_moves_has_as_few_keys_as_possible() -> None:
    film = [footage.film(Camera(x=0.5 * index)) for index in range(25)]
    assert chosen(film) == Keys(frozenset({0, 6, 12, 18, 24}), frozenset())


def test_where_much_is_new_there_are_more_keys() -> None:
    """The second half shows another place in each frame."""
    still = [footage.film(Camera()) for _ in range(13)]
    film = [*still, *(footage.film(Camera(x=200.0 * index)) for index in range(1, 13))]
    found = chosen(film).keys
    assert {0, 6, 12} <= found and not found & {1, 2, 3, 4, 5, 7, 8, 9, 10, 11}
    assert found >= set(range(13, 25))


@pytest.mark.parametrize(("zoom", "at"), [(1.04, {0, 6, 12}), (1 / 1.04, {0, 2, 6, 10, 12})])
def test_what_leaves_the_picture_needs_no_key_but_what_comes_does(
    zoom: float, at: set[int]
) -> None:
    """From the middle outward, the camera moves closer, or away."""
    film = [footage.film(Camera(zoom=zoom ** abs(index - 6))) for index in range(13)]
    assert chosen(film) == Keys(frozenset(at), frozenset())


@pytest.mark.parametrize("at", [1, 7, 11])
def test_what_neither_key_shows_goes_to_the_model(at: int) -> None:
    assert chosen(flash(at)) == Keys(frozenset({0, 6, 12}), frozenset({at}))


def test_what_neither_key_shows_is_filled_anyway_on_request() -> None:
    filled = chosen(flash(9), Kind(6, fill_only=True))
    assert filled == Keys(frozenset({0, 6, 12}), frozenset())


def test_what_one_of_two_keys_shows_is_filled() -> None:
    still = footage.film(Camera())
    film = [changed(still)] * 3 + [still] * 6 + [changed(still)] * 4
    assert chosen(film) == Keys(frozenset({0, 6, 12}), frozenset())


def test_the_fewest_keys_that_scenes_can_have() -> None:
    found = scenes.find_scenes([0, 13, 14, 20], 1)  # the middles are 6, 13 and 17
    assert keyframes.at_least(found, 3) == Keys(frozenset({3, 0, 9, 12, 14}), frozenset())


@pytest.mark.parametrize(
    ("shape", "compared"),
    [
        ((720, 1280), (180, 320)),
        ((960, 540), (320, 180)),
        ((120, 160), (120, 160)),
        ((1, 4), (1, 4)),
    ],
    ids=str,
)
def test_frames_are_compared_at_a_small_size(
    shape: tuple[int, int], compared: tuple[int, int]
) -> None:
    rows, columns = np.indices(shape)
    chequers = np.stack([(rows + columns) % 2 * 255] * 3, axis=2).astype(np.uint8)
    small = keyframes._small(chequers)
    assert small.shape == (*compared, 3)
    if compared != shape:  # every pixel of the frame counts
        assert np.abs(small - 127.5).max() < 30


def test_the_longest_frame_keeps_a_row() -> None:
    assert keyframes._small(np.zeros((1, 400_000, 3), np.uint8)).shape[0] == 1
    assert keyframes._small(np.zeros((400_000, 1, 3), np.uint8)).shape[1] == 1


def test_keys_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    found = Keys(frozenset({0, 6, 12}), frozenset({0, 9}))
    keyframes.write(path, found, EVERY_6)
    assert keyframes.from_file(path, 13, EVERY_6) == found
    assert keyframes.from_file(path, 13, Kind(4, fill_only=False)) is None
    assert keyframes.from_file(path, 13, Kind(6, fill_only=True)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys": [1], "mended": [99]}',
        '{"keys": [1, 13], "mended": [2]}',
        '{"keys": [1, -1], "mended": [2]}',
        '{"keys": [1, true], "mended": [2]}',
        '{"keys": 1, "mended": []}',
        "{" * 9000,
    ],
)
def test_an_invalid_file_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(UnusableInput, match=r"keys\.json .*\nCorrect the file, or remove it"):
        keyframes.from_file(path, 13, EVERY_6)
