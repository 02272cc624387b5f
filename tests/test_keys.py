"""Keys: chosen where the film needs them, kept in a file, and slides filled between them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import footage
import numpy as np
import pytest
from footage import Camera
from runs import Silent, assert_goes_on, files, run

from stable_restyle import images, journal, keys, pipeline, scenes
from stable_restyle.errors import UnusableInput, WrongUsage
from stable_restyle.images import Frames
from stable_restyle.keys import Kind
from stable_restyle.model import Keys, Pixels, Settings

EVERY_6 = Kind(6, fill_only=False)


@pytest.fixture
def film(tmp_path: Path) -> Callable[[Sequence[Pixels]], Frames]:
    """Writes pictures as a folder of frames."""

    def write(pictures: Sequence[Pixels]) -> Frames:
        (tmp_path / "in").mkdir()
        for index, picture in enumerate(pictures):
            images.write(tmp_path / "in" / images.name(index), picture)
        return images.find_frames(tmp_path / "in")

    return write


def chosen(frames: Frames, kind: Kind = EVERY_6) -> Keys:
    found = scenes.find_scenes([0, frames.count], 1)
    return keys.choose(frames.read, found, 1, kind, lambda count: None)


def test_a_film_that_hardly_moves_has_as_few_keys_as_can_be(
    film: Callable[[Sequence[Pixels]], Frames],
) -> None:
    frames = film([footage.film(Camera(x=0.5 * index)) for index in range(25)])
    assert chosen(frames) == Keys(frozenset({0, 6, 12, 18, 24}), frozenset())


def test_where_much_is_new_there_are_more_keys(
    film: Callable[[Sequence[Pixels]], Frames],
) -> None:
    """The second half is another place in each frame."""
    still = [footage.film(Camera()) for _ in range(13)]
    frames = film([*still, *(footage.film(Camera(x=200.0 * index)) for index in range(1, 13))])
    found = chosen(frames).keys
    assert {0, 6, 12} <= found and not found & {1, 2, 3, 4, 5, 7, 8, 9, 10, 11}
    assert found >= set(range(13, 25))


def flash(at: int, length: int = 13) -> list[Pixels]:
    """A still picture, a fifth of which is another one for a single frame."""
    pictures = [footage.film(Camera()) for _ in range(length)]
    other = pictures[at].copy()
    other[:, :36] = 255 - other[:, :36]
    pictures[at] = other
    return pictures


def test_what_neither_key_shows_goes_to_the_model(
    film: Callable[[Sequence[Pixels]], Frames],
) -> None:
    frames = film(flash(9))
    assert chosen(frames) == Keys(frozenset({0, 6, 12}), frozenset({9}))
    filled = chosen(frames, Kind(6, fill_only=True))
    assert filled == Keys(frozenset({0, 6, 12}), frozenset())


@pytest.fixture
def asked(film: Callable[[Sequence[Pixels]], Frames], tmp_path: Path) -> Settings:
    """Thirteen frames, of which one shows what no other does."""
    film(flash(9))
    return Settings(
        tmp_path / "in",
        tmp_path / "out",
        backends=("preview:clay",),
        fps=1,
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
    key, filled = (images.read(asked.target / images.name(slide)) for slide in (6, 3))
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
    foreseen = pipeline.plan(asked, 2.0, Silent())
    assert (foreseen.asked, foreseen.longest_chain, foreseen.drawing_s) == (3, 2, 6.0)
    assert not (asked.target.parent / "interp").exists()
    run(asked)
    for path in asked.target.glob("*.png"):
        path.unlink()
    assert pipeline.plan(asked, None, Silent()).asked == 4


def test_keys_need_flow(asked: Settings) -> None:
    with pytest.raises(WrongUsage, match="in place of --motion codec"):
        run(replace(asked, motion="codec"))
    with pytest.raises(WrongUsage, match="add --keys K"):
        run(replace(asked, keys=1, fill_only=True))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": [1], "mended": [99]}', '{"keys": 1, "mended": []}', "{" * 9000],
)
def test_a_file_of_keys_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(UnusableInput, match=r"keys\.json .*\nCorrect the file, or remove it"):
        keys.from_file(path, 13, EVERY_6)


def test_slides_of_a_workflow_that_enlarges_have_one_size(asked: Settings) -> None:
    """Those that are filled are scaled up to the size of the keys."""
    run(asked)
    for path in asked.target.glob("*.png"):
        picture = images.read(path)
        images.write(path, images.fit(picture, 2 * footage.WIDTH, 2 * footage.HEIGHT))
    (asked.target / images.name(3)).unlink()
    assert run(asked).drawn == 1
    assert images.size(asked.target / images.name(3)) == (2 * footage.WIDTH, 2 * footage.HEIGHT)


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
