"""--fill: a model of windows makes the slides between keys."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import clips
from support.comfy_server import ComfyServer, dropped, window_workflow
from support.comfy_server.windows import OFF
from support.runs import Silent, Stopping, assert_goes_on, files, interp, run

from stable_restyle.backends.base import WindowPictures
from stable_restyle.backends.preview.engine import Preview
from stable_restyle.core.errors import UnusableInput, WorkflowFault, WrongUsage
from stable_restyle.core.records import Job, Pixels, Slide, WindowJob
from stable_restyle.core.settings import FRAME, WARPED, Settings
from stable_restyle.media import png, sequence, window_folder
from stable_restyle.run import dry_run, pipeline, reporting, status
from stable_restyle.run.failures import SlidesMissing
from stable_restyle.workdir import journal

MakeFrames = Callable[..., Path]
# Two scenes of 9 and 5 slides: their keys, and windows of at most 5 slides between them.
KEYS = {0, 4, 8, 9, 11, 13}
WINDOWS = {range(0, 5), range(4, 9), range(9, 12), range(11, 14)}
BOTH_GUIDES = pytest.mark.parametrize(
    "guide", [FRAME, pytest.param(WARPED, marks=pytest.mark.long)]
)


def workflow(folder: Path, name: str = "fill.json", mode: str = "mix", **window: int) -> str:
    """Write a workflow that makes windows; return its path."""
    path, tree = folder / name, window_workflow(mode)
    tree["stable-restyle"]["window"] = window or tree["stable-restyle"]["window"]
    path.write_text(json.dumps(tree), "utf-8")
    return str(path)


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    return Settings(
        make_frames(9, 5),
        tmp_path / "out",
        backends=("preview:clay",),
        frames_per_slide=1,
        guide=WARPED,
        keys=4,
        fill=workflow(tmp_path),
    )


class Asked:
    """What the preview engine was asked for."""

    def __init__(self) -> None:
        self.slides: list[int] = []
        self.windows: list[range] = []
        self.jobs: list[WindowJob] = []

    def taken(self) -> tuple[set[int], set[range]]:
        """Return the slides and the windows since the last call."""
        found = set(self.slides), set(self.windows)
        self.slides.clear()
        self.windows.clear()
        return found


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> Asked:
    noted = Asked()
    draw, draw_window = Preview.draw, Preview.draw_window

    def note(self: Preview, job: Job) -> Slide:
        noted.slides.append(job.slide)
        return draw(self, job)

    def note_window(self: Preview, job: WindowJob) -> AbstractContextManager[WindowPictures]:
        noted.windows.append(job.window.slides)
        noted.jobs.append(job)
        return draw_window(self, job)

    monkeypatch.setattr(Preview, "draw", note)
    monkeypatch.setattr(Preview, "draw_window", note_window)
    return noted


def made(asked: Settings) -> set[range]:
    return window_folder.find(interp(asked) / "windows")


def slide(asked: Settings, index: int) -> Pixels:
    return png.read(asked.target / sequence.name(index))


@BOTH_GUIDES
def test_a_film_is_filled_by_a_server(asked: Settings, guide: str) -> None:
    """The model mixes both keys, adds a colour to all of a window, and noise."""
    with ComfyServer() as server:
        asked = replace(asked, backends=(server.url,), guide=guide)
        outcome = run(asked)
        assert (outcome.slides, outcome.drawn) == (14, 14)
        assert server.prompts_run == len(KEYS) + len(WINDOWS)
        alone = replace(
            asked, target=asked.target.with_name("alone") / "out", fill="", fill_only=True
        )
        run(alone)
        asked_before = server.prompts_run
        assert run(asked).drawn == 0 and server.prompts_run == asked_before
    assert made(asked) == WINDOWS
    for key in KEYS:
        name = sequence.name(key)
        assert (asked.target / name).read_bytes() == (alone.target / name).read_bytes()
    off = 0.0
    for window in WINDOWS:
        first, last = slide(asked, window[0]), slide(asked, window[-1])
        for each in window[1:-1]:
            share = (each - window[0]) / (window[-1] - window[0])
            mixed = first * (1 - share) + last * share
            step = (slide(asked, each) - mixed).mean(axis=(0, 1))
            assert np.abs(step).max() <= 1  # at most one level, whatever the model's colour was
            raw = window_folder.read(interp(asked) / "windows", window, each)
            off = max(off, np.abs((raw - mixed).mean(axis=(0, 1))).max())
    assert off > OFF / 2


def test_another_server_makes_the_windows_of_one_that_fails(asked: Settings) -> None:
    with ComfyServer() as one, ComfyServer() as other:
        asked = replace(asked, backends=(one.url, other.url))
        run(asked)
        calm = files(asked.target)
        shutil.rmtree(interp(asked) / "windows")
        for between in {*range(14)} - KEYS:
            (asked.target / sequence.name(between)).unlink()
        one.always("POST /prompt", dropped)
        before = other.prompts_run
        run(asked)
        assert other.prompts_run == before + len(WINDOWS)
    assert files(asked.target) == calm


def test_each_window_is_given_frames_keys_and_what_is_to_be_made(
    asked: Settings, asks: Asked
) -> None:
    run(asked)
    (job,) = [each for each in asks.jobs if each.window.slides == range(4, 9)]
    assert (job.window.length, job.scene, job.size) == (5, 1, (66, 50))
    assert job.rate == Fraction(24)
    assert job.known == {4, 8}
    for each in job.window.slides:
        assert np.array_equal(
            job.batches["frames"](each), png.read(asked.source / sequence.name(each))
        )
        is_key = each in (4, 8)
        known, mask = job.batches["known"](each), job.batches["known-mask"](each)
        assert np.array_equal(known, slide(asked, each) if is_key else np.full_like(known, 128))
        assert mask.shape == (50, 66) and np.all(mask == (0 if is_key else 255))
    assert np.array_equal(job.pictures["first"](), slide(asked, 4))
    assert np.array_equal(job.pictures["last"](), slide(asked, 8))
    assert np.array_equal(job.pictures["middle"](), slide(asked, 4))


@pytest.mark.parametrize("lost", [[4, 5], [*range(14)]])
def test_a_filled_run_goes_on_where_it_stopped(asked: Settings, lost: list[int]) -> None:
    assert_goes_on(asked, lost)


def test_slides_are_composed_again_without_asking_for_their_windows(
    asked: Settings, asks: Asked
) -> None:
    run(asked)
    asks.taken()
    assert_goes_on(asked, [1, 2, 6, 12])
    assert asks.taken() == (set(), set())
    shutil.rmtree(interp(asked) / "windows" / "000001-000005")
    assert_goes_on(asked, [2])
    assert asks.taken() == (set(), {range(0, 5)})
    shutil.rmtree(interp(asked) / "windows")  # all slides are there: nothing is needed
    assert run(asked).drawn == 0
    assert asks.taken() == (set(), set())


@pytest.mark.parametrize("after", [pytest.param(1, marks=pytest.mark.long), 5])
def test_a_stopped_run_makes_no_window_twice(asked: Settings, asks: Asked, after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, Stopping(after))
    there = made(asked)
    asks.taken()
    run(asked)
    assert asks.taken()[1] == WINDOWS - there
    assert not list((interp(asked) / "windows").glob("*.part-*"))


def test_what_a_killed_run_has_left_of_a_window_is_removed(asked: Settings) -> None:
    part = interp(asked) / "windows" / "000001-000005.part-0123"
    part.mkdir(parents=True)
    (part / "000001.png").write_bytes(b"half")
    run(asked)
    assert made(asked) == WINDOWS and not part.exists()


def test_a_damaged_window_is_named_and_made_again_once_it_is_removed(asked: Settings) -> None:
    run(asked)
    window = interp(asked) / "windows" / "000001-000005"
    (window / "000003.png").write_bytes(b"no picture")
    (asked.target / "000003.png").unlink()
    with pytest.raises(
        SlidesMissing, match=r"(?s)slide 3.*000003.png.*Remove the folder .*000001-000005"
    ):
        run(asked)
    shutil.rmtree(window)
    assert run(asked).drawn == 1


def test_another_workflow_makes_its_windows_again_and_no_keys(
    asked: Settings, asks: Asked, tmp_path: Path
) -> None:
    run(asked)
    keys = {key: (asked.target / sequence.name(key)).stat().st_mtime_ns for key in KEYS}
    asks.taken()
    other = replace(asked, fill=workflow(tmp_path, "other.json", "identity"))
    with pytest.raises(
        UnusableInput, match=r"(?s)8 of the 14 slides.*--fill: \S*other.json now.*discards these 8"
    ):
        run(other)
    assert run(replace(other, fresh=True)).drawn == 8
    assert asks.taken() == (set(), WINDOWS)
    assert keys == {key: (asked.target / sequence.name(key)).stat().st_mtime_ns for key in KEYS}
    assert run(other).drawn == 0
    copy = shutil.copy(other.fill, tmp_path / "copy.json")  # another name says nothing
    assert run(replace(other, fill=str(copy))).drawn == 0


def test_windows_are_not_thrown_away_unasked(asked: Settings, tmp_path: Path) -> None:
    """Neither where slides are composed again, nor where their keys would be."""
    asked = replace(asked, guide=FRAME)
    run(asked)
    with pytest.raises(
        UnusableInput, match=r"(?s)4 windows of --fill.*would have to be made again"
    ):
        run(replace(asked, anchor=0.7))
    other = replace(asked, fill=workflow(tmp_path, "other.json", "identity"))
    with pytest.raises(UnusableInput, match=r"(?s)4 of the 4 windows in .*windows were made of"):
        run(other)
    assert made(asked) == WINDOWS
    assert run(replace(asked, anchor=0.7, fresh=True)).drawn == 14


def test_an_edited_key_makes_its_windows_again(asked: Settings, asks: Asked) -> None:
    run(asked)
    asks.taken()
    path = interp(asked) / "keys.json"
    noted = json.loads(path.read_text())
    assert noted["longest_window"] == 17 and noted["windows"]
    path.write_text(json.dumps({**noted, "keys": [0, 2, 4, 8, 9, 11, 13]}))
    with pytest.raises(UnusableInput, match=r"other keys in .*keys.json"):
        run(asked)
    run(replace(asked, fresh=True))
    assert asks.taken() == ({2, 0}, {range(0, 3), range(2, 5)})
    assert made(asked) == WINDOWS - {range(0, 5)} | {range(0, 3), range(2, 5)}


def test_gaps_longer_than_a_window_get_keys(asked: Settings, tmp_path: Path) -> None:
    few = workflow(tmp_path, "few.json", step=2, plus=1, most=4)  # so 3 pictures at most
    plan = dry_run.plan(replace(asked, fill=few), None, Silent())
    assert (plan.windows, plan.longest_window) == (6, 3)
    run(replace(asked, fill=few))
    assert all(len(window) == 3 for window in made(asked)) and len(made(asked)) == 6


def test_a_slide_of_a_window_is_redone_with_all_of_it(asked: Settings, asks: Asked) -> None:
    run(asked)
    before = files(asked.target)
    asks.taken()
    assert run(replace(asked, redo="7")).drawn == 3
    assert asks.taken() == (set(), {range(4, 9)})
    assert asks.jobs[-1].seed is not None
    changed = {name for name, its in files(asked.target).items() if before[name] != its}
    assert changed == {"000006.png", "000007.png", "000008.png"}
    assert (interp(asked) / "redone" / "000005-000009").is_dir()
    first = asks.jobs[-1].seed
    run(replace(asked, redo="6-8"))
    assert asks.taken() == (set(), {range(4, 9)}) and asks.jobs[-1].seed != first
    run(replace(asked, redo="6", seed=7))
    assert asks.jobs[-1].seed == 7


@BOTH_GUIDES
def test_a_key_is_redone_with_both_of_its_windows(asked: Settings, asks: Asked, guide: str) -> None:
    asked = replace(asked, guide=guide)
    run(asked)
    before = files(asked.target)
    asks.taken()
    assert run(replace(asked, redo="5")).drawn == 7
    assert asks.taken() == ({4}, {range(0, 5), range(4, 9)})
    changed = {name for name, its in files(asked.target).items() if before[name] != its}
    assert changed == {"000005.png"}  # the preview engine makes windows from frames alone


def test_a_redo_is_taken_up_where_it_was_stopped(asked: Settings, asks: Asked) -> None:
    run(asked)
    asks.taken()
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(replace(asked, redo="3"), Stopping(after=12))
    run(asked)
    assert [each.window.slides for each in asks.jobs].count(range(0, 5)) == 2
    assert made(asked) == WINDOWS
    with pytest.raises(WrongUsage, match="--at-most 1: the model would have to draw 3 slides"):
        run(replace(asked, redo="5", at_most=1))
    assert run(replace(asked, redo="2-3", at_most=1)).drawn == 3


def test_another_number_of_pictures_ends_the_run_and_keeps_the_keys(
    asked: Settings, tmp_path: Path
) -> None:
    with ComfyServer() as server:
        fault = workflow(tmp_path, mode="one too few")
        asked = replace(asked, backends=(server.url,), fill=fault)
        with pytest.raises(WorkflowFault, match=r"4 .*5|5 .*4"):
            run(asked)
        assert made(asked) == set() and sequence.indices(asked.target)
        before = server.prompts_run
        mended = replace(asked, fill=workflow(tmp_path))
        run(replace(mended, fresh=True))
        assert server.prompts_run - before <= len(KEYS) + len(WINDOWS)


def test_a_model_that_forgets_its_keys_is_shown(
    asked: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It returns the frames as they are, where the keys are turned into their negatives."""
    with ComfyServer() as server:
        server.painter = None
        asked = replace(asked, backends=(server.url,), fill=workflow(tmp_path, mode="identity"))
        with caplog.at_level(logging.WARNING):
            outcome = run(asked)
    assert outcome.drawn == 14
    joins = window_folder.read_joins(interp(asked) / "windows")
    worst = max(join.before for its in joins.values() for join in its.values())
    assert worst > 16
    assert "does not keep its keys" in caplog.text and "Scene 1, slides 1 to 5" in caplog.text
    page = (interp(asked) / "report" / "film.js").read_text()
    film = json.loads(page.removeprefix("renew(").removesuffix(")"))
    assert film["joins"] == 8 and len(film["worst_joins"]) == 8
    assert film["worst_joins"][0][2] == max(
        join.after for its in joins.values() for join in its.values()
    )
    assert any("does not keep its keys" in text for _, text, _ in film["warnings"])


def test_windows_are_on_the_time_line(asked: Settings) -> None:
    run(asked)
    (record,) = journal.read(interp(asked) / "journal.jsonl")
    assert {each.slides for each in record.windows} == WINDOWS
    assert record.made == set(range(14))
    film = _film(asked)
    (backend,) = film["backends"]
    assert (backend["slides"], backend["windows"]) == (len(KEYS), len(WINDOWS))
    assert ["Fill (--fill)", asked.fill] in film["settings"]
    block = (interp(asked) / "report" / "slides-0.js").read_text()
    details = json.loads(block.removeprefix("take(0,").removesuffix(")"))
    assert details["window"] == {
        str(each): [window[0], window[-1]] for window in WINDOWS for each in window[1:-1]
    }
    reporting.write_report(asked, Silent())


def _film(asked: Settings) -> Mapping[str, Any]:
    page = (interp(asked) / "report" / "film.js").read_text()
    film: Mapping[str, Any] = json.loads(page.removeprefix("renew(").removesuffix(")"))
    return film


def test_windows_of_a_film_are_made_while_it_is_looked_through(
    asked: Settings, tmp_path: Path
) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(9, 6, 5))
    run(replace(asked, source=film, target=tmp_path / "streamed" / "out"))
    whole = replace(asked, source=film, target=tmp_path / "whole" / "out", at_most=99)
    run(whole)
    assert len(made(whole)) == 6
    assert files(whole.target) == files(tmp_path / "streamed" / "out")


def test_a_part_of_the_picture_is_filled(asked: Settings, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = np.zeros((50, 66), np.uint8)
    mask[10:40, :33] = 255
    for each in range(14):
        png.write(masks / sequence.name(each), mask)
    run(replace(asked, only=masks))
    frame = png.read(asked.source / sequence.name(2))
    assert np.array_equal(slide(asked, 2)[mask == 0], frame[mask == 0])
    assert np.abs(slide(asked, 2)[15:35, 5:28].astype(int) - frame[15:35, 5:28]).mean() > 2


def test_given_slides_are_keys_and_stay_as_they_are(asked: Settings, tmp_path: Path) -> None:
    painted = tmp_path / "painted"
    painted.mkdir()
    for each in (2, 6):
        png.write(painted / sequence.name(each), np.full((50, 66, 3), 20 * each, np.uint8))
    asked = replace(asked, given=painted)
    run(asked)
    assert range(2, 7) in made(asked)
    for each in (2, 6):
        assert np.all(slide(asked, each) == 20 * each)
    assert 40 < slide(asked, 4).mean() < 200


def test_a_plan_counts_windows(asked: Settings) -> None:
    plan = dry_run.plan(asked, 2.0, Silent())
    assert (plan.windows, plan.longest_window, plan.drawings) == (4, 5, 10)
    assert plan.drawing_s == 2 * (6 + 5 + 5 + 3 + 3)
    assert plan.longest_chain == 2
    run(asked)
    plan = dry_run.plan(asked, 2.0, Silent())
    assert (plan.windows, plan.drawings, plan.drawing_s) == (0, 0, 0.0)
    with pytest.raises(WrongUsage, match="--at-most 9: the model would have to draw 10 slides"):
        run(replace(asked, target=asked.target.with_name("new") / "out", at_most=9))


def test_a_finished_film_is_known_by_its_workflow(asked: Settings, tmp_path: Path) -> None:
    run(asked)
    assert status.is_finished(asked)
    other = workflow(tmp_path, "other.json", "identity")
    assert not status.is_finished(replace(asked, fill=other))


def test_a_run_that_only_composes_asks_no_server(asked: Settings, asks: Asked) -> None:
    asked = replace(asked, guide=FRAME)
    run(asked)
    before = files(asked.target)
    for each in files(asked.target):
        (asked.target / each).unlink()
    with ComfyServer() as server:
        server.stop()
    asks.taken()
    assert run(asked).drawn == 14
    assert asks.taken() == (set(), set()) and files(asked.target) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keys": 1}, "makes the slides between keys: add --keys K"),
        ({"fill_only": True}, "--fill and --fill-only exclude each other"),
        ({"drawn": Path("in")}, "--fill and --drawn exclude each other"),
        ({"pictures": ("last=PICTURE",)}, "last is a picture that each window of --fill has"),
        ({"fill": "claymation"}, "claymation"),
    ],
)
def test_what_cannot_be_filled_is_refused(
    asked: Settings, changes: dict[str, Any], said: str
) -> None:
    picture = asked.source / sequence.name(0)
    if "pictures" in changes:
        changes = {"pictures": (changes["pictures"][0].replace("PICTURE", str(picture)),)}
    with pytest.raises((WrongUsage, UnusableInput), match=said):
        run(replace(asked, **changes))


def test_windows_that_are_too_short_are_refused(asked: Settings, tmp_path: Path) -> None:
    short = workflow(tmp_path, "short.json", step=1, most=2)
    with pytest.raises(WrongUsage, match="no length of a window fits two keys and a slide"):
        run(replace(asked, fill=short))
