"""Keys: chosen where the film needs them, kept in a file, and slides filled between them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import footage
from support.footage import Camera
from support.runs import Silent, assert_goes_on, files, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.records import Keys, Pixels
from stable_restyle.core.settings import Settings
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence
from stable_restyle.plan import keyframes, scenes
from stable_restyle.plan.keyframes import Kind
from stable_restyle.run import dry_run, pipeline
from stable_restyle.workdir import journal

EVERY_6 = Kind(6, fill_only=False)


def chosen(film: Sequence[Pixels], kind: Kind = EVERY_6) -> Keys:
    looked_at: list[int] = []
    found = scenes.find_scenes([0, len(film)], 1)
    keys_found = keyframes.choose(film.__getitem__, found, 1, kind, looked_at.append)
    assert sum(looked_at) == len(film)
    return keys_found


def test_a_film_that_hardly_moves_has_as_few_keys_as_can_be() -> None:
    film = [footage.film(Camera(x=0.5 * index)) for index in range(25)]
    assert chosen(film) == Keys(frozenset({0, 6, 12, 18, 24}), frozenset())


def test_where_much_is_new_there_are_more_keys() -> None:
    """The second half is another place in each frame."""
    still = [footage.film(Camera()) for _ in range(13)]
    film = [*still, *(footage.film(Camera(x=200.0 * index)) for index in range(1, 13))]
    found = chosen(film).keys
    assert {0, 6, 12} <= found and not found & {1, 2, 3, 4, 5, 7, 8, 9, 10, 11}
    assert found >= set(range(13, 25))


@pytest.mark.parametrize(("zoom", "at"), [(1.04, {0, 6, 12}), (1 / 1.04, {0, 2, 6, 10, 12})])
def test_what_leaves_the_picture_needs_no_key_but_what_comes_does(
    zoom: float, at: set[int]
) -> None:
    """From the middle on, the camera comes closer, or draws back."""
    film = [footage.film(Camera(zoom=zoom ** abs(index - 6))) for index in range(13)]
    assert chosen(film) == Keys(frozenset(at), frozenset())


def changed(picture: Pixels) -> Pixels:
    """A fifth of it is another one."""
    other = picture.copy()
    other[:, :36] = 255 - other[:, :36]
    return other


def flash(at: int, length: int = 13) -> list[Pixels]:
    """A still picture, a fifth of which is another one for a single frame."""
    pictures = [footage.film(Camera()) for _ in range(length)]
    pictures[at] = changed(pictures[at])
    return pictures


@pytest.mark.parametrize("at", [1, 7, 11])
def test_what_neither_key_shows_goes_to_the_model(at: int) -> None:
    assert chosen(flash(at)) == Keys(frozenset({0, 6, 12}), frozenset({at}))


def test_what_neither_key_shows_is_filled_all_the_same_where_that_is_asked_for() -> None:
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
    ("shape", "looked_at"),
    [
        ((720, 1280), (180, 320)),
        ((960, 540), (320, 180)),
        ((120, 160), (120, 160)),
        ((1, 4), (1, 4)),
    ],
    ids=str,
)
def test_frames_are_compared_at_a_small_size(
    shape: tuple[int, int], looked_at: tuple[int, int]
) -> None:
    rows, columns = np.indices(shape)
    chequers = np.stack([(rows + columns) % 2 * 255] * 3, axis=2).astype(np.uint8)
    small = keyframes._small(chequers)
    assert small.shape == (*looked_at, 3)
    if looked_at != shape:  # every pixel of the frame counts
        assert np.abs(small - 127.5).max() < 30


def test_the_longest_frame_keeps_a_row() -> None:
    assert keyframes._small(np.zeros((1, 400_000, 3), np.uint8)).shape[0] == 1
    assert keyframes._small(np.zeros((400_000, 1, 3), np.uint8)).shape[1] == 1


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    """Thirteen frames, of which one shows what no other does."""
    (tmp_path / "in").mkdir()
    for index, picture in enumerate(flash(9)):
        png.write(tmp_path / "in" / sequence.name(index), picture)
    return Settings(
        tmp_path / "in",
        tmp_path / "out",
        backends=("preview:clay",),
        frames_per_slide=1,
        motion="flow",
        keys=6,
        scene_threshold=100,
    )


def test_slides_between_keys_are_carried_from_them(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Silent()
    with caplog.at_level(logging.INFO):
        outcome = pipeline.run(asked, progress)
    assert outcome.drawn == 13
    assert ("Choosing keys", 13, 0) in progress.tasks
    assert "4 of 13 slides go to the model: 3 keys at most 6 slides apart, 0 more" in caplog.text
    assert "1 because their keys show too little" in caplog.text
    key, filled = (png.read(asked.target / sequence.name(slide)) for slide in (6, 3))
    assert np.abs(key.astype(int) - filled).mean() < 1  # the film stands still
    alone = replace(asked, target=asked.target.with_name("all"), work=asked.source / "work", keys=1)
    run(alone)
    assert files(alone.target) != files(asked.target)


@pytest.mark.parametrize("lost", [[3], [0], [6], [12, 9, 1], [*range(6)], [*range(13)]])
def test_a_run_with_keys_goes_on_where_it_stopped(asked: Settings, lost: list[int]) -> None:
    assert_goes_on(asked, lost)


def test_keys_that_are_edited_draw_what_hangs_on_them_only(asked: Settings) -> None:
    run(asked)
    path = asked.target.parent / "interp" / "keys.json"
    noted = json.loads(path.read_text())
    assert noted == {"every": 6, "fill_only": False, "keys": [0, 6, 12], "mended": [9]}
    path.write_text(json.dumps({**noted, "keys": [0, 3, 6, 12]}))
    with pytest.raises(UnusableInput, match=r"6 of the 13 slides.*\n  other keys in .*keys.json"):
        run(asked)
    assert run(replace(asked, fresh=True)).drawn == 6


def test_other_keys_than_before_are_chosen_anew(asked: Settings) -> None:
    run(asked)
    with pytest.raises(UnusableInput, match="keys: 6 then, 4 now"):
        run(replace(asked, keys=4))
    assert run(replace(asked, keys=4, fresh=True)).drawn == 13
    path = asked.target.parent / "interp" / "keys.json"
    assert json.loads(path.read_text())["keys"] == [0, 2, 6, 10, 12]


def test_a_plan_tells_how_many_slides_go_to_the_model(asked: Settings) -> None:
    foreseen = dry_run.plan(asked, 2.0, Silent())
    assert (foreseen.asked, foreseen.longest_chain, foreseen.drawing_s) == (3, 2, 6.0)
    assert not (asked.target.parent / "interp").exists()
    run(asked)
    for path in asked.target.glob("*.png"):
        path.unlink()
    assert dry_run.plan(asked, None, Silent()).asked == 4


def test_keys_need_flow(asked: Settings) -> None:
    with pytest.raises(WrongUsage, match="in place of --motion codec"):
        run(replace(asked, motion="codec"))
    with pytest.raises(WrongUsage, match="add --keys K"):
        run(replace(asked, keys=1, fill_only=True))


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
def test_a_file_of_keys_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(UnusableInput, match=r"keys\.json .*\nCorrect the file, or remove it"):
        keyframes.from_file(path, 13, EVERY_6)


def test_slides_of_a_workflow_that_enlarges_have_one_size(asked: Settings) -> None:
    """Those that are filled are scaled up to the size of the keys."""
    run(asked)
    for path in asked.target.glob("*.png"):
        picture = png.read(path)
        png.write(path, arrays.fit(picture, 2 * footage.WIDTH, 2 * footage.HEIGHT))
    (asked.target / sequence.name(3)).unlink()
    assert run(asked).drawn == 1
    assert png.read_header(asked.target / sequence.name(3)).size == (
        2 * footage.WIDTH,
        2 * footage.HEIGHT,
    )


def test_a_filled_slide_is_redone_through_its_keys(asked: Settings) -> None:
    run(asked)
    with pytest.raises(WrongUsage, match="slide 4 is filled from its keys, 1 and 7"):
        run(replace(asked, redo="4"))
    assert run(replace(asked, redo="1", redo_chain=True)).drawn == 6
    assert run(replace(asked, redo="10")).drawn == 1  # the model has part in it


def test_the_journal_tells_which_slides_were_filled(asked: Settings) -> None:
    run(asked)
    (told,) = journal.read(asked.target.parent / "interp" / "journal.jsonl")
    filled = {each.slide for each in told.slides if not each.backend}
    assert filled == {1, 2, 3, 4, 5, 7, 8, 10, 11}
    assert len(told.slides) == 13
