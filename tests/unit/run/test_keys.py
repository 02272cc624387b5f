"""Runs with --keys: which slides the model draws, and which are filled."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import footage
from support.footage import flash
from support.runs import Silent, assert_goes_on, files, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence
from stable_restyle.run import dry_run, pipeline
from stable_restyle.workdir import journal


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    """Return a run over thirteen frames, one of which shows what no other does."""
    (tmp_path / "in").mkdir()
    for index, picture in enumerate(flash(9)):
        png.write(tmp_path / "in" / sequence.name(index), picture)
    return Settings(
        tmp_path / "in",
        tmp_path / "out",
        backends=("preview:clay",),
        frames_per_slide=1,
        motion="flow",
        guide=WARPED,
        keys=6,
        scene_threshold=100,
    )


def test_slides_between_keys_are_warped_from_them(
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


@pytest.mark.parametrize(
    "lost",
    [
        [3],
        pytest.param([0], marks=pytest.mark.long),
        [6],
        [12, 9, 1],
        pytest.param([*range(6)], marks=pytest.mark.long),
        pytest.param([*range(13)], marks=pytest.mark.long),
    ],
)
def test_a_run_with_keys_goes_on_where_it_stopped(asked: Settings, lost: list[int]) -> None:
    assert_goes_on(asked, lost)


def test_edited_keys_draw_only_what_depends_on_them(asked: Settings) -> None:
    run(asked)
    path = asked.target.parent / "interp" / "keys.json"
    noted = json.loads(path.read_text())
    assert noted == {"every": 6, "fill_only": False, "keys": [0, 6, 12], "mended": [9]}
    path.write_text(json.dumps({**noted, "keys": [0, 3, 6, 12]}))
    with pytest.raises(UnusableInput, match=r"6 of the 13 slides.*\n  other keys in .*keys.json"):
        run(asked)
    assert run(replace(asked, fresh=True)).drawn == 6


def test_other_keys_than_before_are_chosen_again(asked: Settings) -> None:
    run(asked)
    with pytest.raises(UnusableInput, match="keys: 6 then, 4 now"):
        run(replace(asked, keys=4))
    assert run(replace(asked, keys=4, fresh=True)).drawn == 13
    path = asked.target.parent / "interp" / "keys.json"
    assert json.loads(path.read_text())["keys"] == [0, 2, 6, 10, 12]


def test_a_plan_shows_how_many_slides_go_to_the_model(asked: Settings) -> None:
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


def test_slides_of_a_workflow_that_enlarges_have_one_size(asked: Settings) -> None:
    """Filled slides are scaled up to the size of the keys."""
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
    assert run(replace(asked, redo="10")).drawn == 1  # the model draws part of it


def test_the_journal_records_which_slides_were_filled(asked: Settings) -> None:
    run(asked)
    (record,) = journal.read(asked.target.parent / "interp" / "journal.jsonl")
    filled = {each.slide for each in record.slides if not each.backend}
    assert filled == {1, 2, 3, 4, 5, 7, 8, 10, 11}
    assert len(record.slides) == 13
