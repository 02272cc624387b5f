"""Slides that are drawn again: others, with a seed of their own, and the earlier ones kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.comfy_server import ComfyServer
from support.runs import files, interp, run

import stable_restyle.core.files
from stable_restyle.backends.preview.engine import Preview
from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.records import Job, Slide
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.media import png

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Seven slides in two scenes: the middles are 3 and 6, as their files are numbered."""
    frames = make_frames(8, 5)
    return Settings(frames, tmp_path / "out", backends=("preview:clay",), guide=WARPED)


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[int]:
    assert before.keys() == after.keys()
    return [int(name[:6]) for name in before if before[name] != after[name]]


def test_slides_are_drawn_again_and_no_others(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    assert run(replace(asked, redo="3,5")).drawn == 2
    assert changed(before, files(asked.target)) == [3, 5]
    assert files(interp(asked) / "redone") == {
        name: before[name] for name in ("000003.png", "000005.png")
    }


def test_what_hangs_on_them_is_drawn_again_if_wanted(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    assert run(replace(asked, redo="2", redo_chain=True)).drawn == 2
    assert changed(before, files(asked.target)) == [1, 2]
    assert run(replace(asked, redo="6", redo_chain=True)).drawn == 3


def test_nothing_that_is_kept_is_overwritten(asked: Settings) -> None:
    run(asked)
    versions = [files(asked.target)["000004.png"]]
    for _ in range(2):
        run(replace(asked, redo="4"))
        versions.append(files(asked.target)["000004.png"])
    assert len(set(versions)) == 3
    kept = files(interp(asked) / "redone")
    assert kept == {"000004.png": versions[0], "000004-2.png": versions[1]}


def test_a_redo_is_the_same_every_time(asked: Settings, tmp_path: Path) -> None:
    there = replace(asked, target=tmp_path / "there" / "out")
    for each in (asked, there):
        run(each)
        run(replace(each, redo="1-7"))
    assert files(asked.target) == files(there.target)
    seeds = json.loads((interp(asked) / "redo.json").read_text())["seeds"]
    assert (seeds["1"], seeds["7"]) == (504454768, 2687391330)  # as every version chose them


def test_a_seed_of_the_users(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    run(replace(asked, redo="3", seed=7))
    assert json.loads((interp(asked) / "redo.json").read_text())["seeds"] == {"3": 7}
    by_seed = files(asked.target)
    assert changed(before, by_seed) == [3]
    run(replace(asked, redo="3", seed=8))
    assert changed(by_seed, files(asked.target)) == [3]
    with pytest.raises(UnusableInput, match="seed: none then, 8 now"):
        run(replace(asked, seed=8))


def test_a_redo_that_was_stopped_takes_the_seed_that_is_asked_for_next(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def draw(self: Preview, job: Job) -> Slide:
        raise Killed

    run(asked)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Preview, "draw", draw)
        run(replace(asked, redo="3", seed=7))
    run(replace(asked, redo="3", seed=8))
    assert json.loads((interp(asked) / "redo.json").read_text())["seeds"] == {"3": 8}


def test_a_run_with_a_seed_keeps_it_for_the_others(asked: Settings) -> None:
    seeded = replace(asked, seed=5)
    run(seeded)
    before = files(asked.target)
    (asked.target / "000006.png").unlink()
    assert run(replace(asked, redo="1")).drawn == 2
    assert changed(before, files(asked.target)) == [1]


@pytest.mark.parametrize("ask_again", [{}, {"redo": "3,5"}])
def test_a_redo_that_was_killed_goes_on(
    asked: Settings, monkeypatch: pytest.MonkeyPatch, ask_again: dict[str, str]
) -> None:
    run(asked)
    calm = replace(asked, target=asked.target.parent / "calm" / "out")
    run(calm)
    run(replace(calm, redo="3,5"))

    class Killed(BaseException):
        pass

    def draw(self: Preview, job: Job) -> Slide:
        if job.slide == 4:
            raise Killed
        return drawing(self, job)

    drawing = Preview.draw
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Preview, "draw", draw)
        run(replace(asked, redo="3,5"))
    assert not (asked.target / "000005.png").exists()
    run(replace(asked, **ask_again))  # type: ignore[arg-type]
    assert files(asked.target) == files(calm.target)
    assert len(files(interp(asked) / "redone")) == 2


def test_a_redo_that_was_killed_while_it_moved_goes_on(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(asked)
    before = files(asked.target)

    def move(path: Path, to: Path) -> None:
        if path.name == "000005.png":
            raise KeyboardInterrupt
        moving(path, to)

    moving = stable_restyle.core.files.move
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stable_restyle.core.files, "move", move)
        run(replace(asked, redo="3,5"))
    assert (asked.target / "000005.png").exists()
    assert run(asked).drawn == 2
    assert changed(before, files(asked.target)) == [3, 5]


def test_a_redo_that_has_come_to_its_end_can_be_asked_for_again(asked: Settings) -> None:
    run(asked)
    assert [run(replace(asked, redo="3,5")).drawn for _ in range(2)] == [2, 2]
    assert len(files(interp(asked) / "redone")) == 4
    assert run(asked).drawn == 0


def test_a_redo_of_a_film_makes_the_film_anew(asked: Settings, tmp_path: Path) -> None:
    film = replace(asked, target=tmp_path / "film.mp4")
    run(film)
    before = film.target.read_bytes()
    assert run(replace(film, redo="1-7")).drawn == 7
    assert film.target.read_bytes() != before


def test_servers_are_given_the_seed(asked: Settings) -> None:
    with ComfyServer() as server:
        served = replace(asked, backends=(server.url,))
        run(served)
        before = files(asked.target)
        run(replace(served, redo="2"))
    assert changed(before, files(asked.target)) == [2]


def test_fresh_forgets_the_seeds(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    run(replace(asked, redo="3"))
    run(replace(asked, fresh=True))
    assert files(asked.target) == before


@pytest.mark.parametrize(
    ("slides", "reason"),
    [
        ("8", "no slide 8; the film has 7"),
        ("3-1", "is not a slide"),
        ("x", "is not a slide"),
        ("9" * 5000, "is not a slide"),
    ],
)
def test_slides_that_there_are_not(asked: Settings, slides: str, reason: str) -> None:
    run(asked)
    before = files(asked.target)
    with pytest.raises(WrongUsage, match=reason):
        run(replace(asked, redo=slides))
    assert files(asked.target) == before


def test_notes_that_cannot_be_read(asked: Settings) -> None:
    run(asked)
    (interp(asked) / "redo.json").write_text("[1]")
    with pytest.raises(UnusableInput, match=r"redo\.json cannot be read"):
        run(asked)


def test_a_redone_slide_that_is_put_back_stays(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    run(replace(asked, redo="4"))
    (interp(asked) / "redone" / "000004.png").replace(asked.target / "000004.png")
    assert run(asked).drawn == 0
    assert files(asked.target) == before
    picture = png.read(asked.target / "000004.png")
    small = interp(asked) / "report" / "slides" / "000004.jpg"
    assert np.abs(png.decode(small.read_bytes(), ("JPEG",)) - picture.astype(int)).mean() < 6


def test_a_plain_run_keeps_no_folder_for_earlier_slides(asked: Settings) -> None:
    run(asked)
    run(asked)
    assert not (interp(asked) / "redone").exists()
    assert not (interp(asked) / "redo.json").exists()


def test_a_redo_where_nothing_was_drawn_is_refused_before_anything_is_made(
    asked: Settings,
) -> None:
    with pytest.raises(WrongUsage, match=r"no slides in .*out to draw again.\nLeave --redo out"):
        run(replace(asked, redo="3"))
    assert not asked.target.exists() and not interp(asked).exists()


def test_a_redo_of_a_slide_that_was_not_drawn_yet_is_refused(asked: Settings) -> None:
    run(asked)
    for name in ("000001.png", "000002.png", "000007.png"):
        (asked.target / name).unlink()
    before = files(asked.target)
    with pytest.raises(WrongUsage, match=r"slide 2 is not drawn yet, and others are missing too"):
        run(replace(asked, redo="2,3"))
    assert files(asked.target) == before
    assert not (interp(asked) / "redo.json").exists()


def test_slides_that_are_all_that_is_missing_are_drawn_again(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    for name in ("000003.png", "000005.png"):
        (asked.target / name).unlink()
    assert run(replace(asked, redo="3,4,5")).drawn == 3
    assert changed(before, files(asked.target)) == [3, 4, 5]


def test_a_redo_that_was_stopped_before_others_were_drawn_can_be_asked_for_again(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(asked)
    (asked.target / "000007.png").unlink()
    stop_drawing(replace(asked, redo="3"), monkeypatch)
    assert run(replace(asked, redo="3")).drawn == 2


def stop_drawing(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def draw(self: Preview, job: Job) -> Slide:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Preview, "draw", draw)
        run(asked)


def stop_moving(asked: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def move(path: Path, to: Path) -> None:
        if path.name == name:
            raise KeyboardInterrupt
        moving(path, to)

    moving = stable_restyle.core.files.move
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stable_restyle.core.files, "move", move)
        run(asked)


def test_another_redo_after_one_that_was_stopped_while_it_moved_draws_both(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(asked)
    before = files(asked.target)
    stop_moving(replace(asked, redo="3,5"), "000005.png", monkeypatch)
    assert run(replace(asked, redo="7")).drawn == 3
    assert changed(before, files(asked.target)) == [3, 5, 7]
    assert sorted(files(interp(asked) / "redone")) == ["000003.png", "000005.png", "000007.png"]


def test_another_redo_after_one_that_was_stopped_while_it_drew_moves_only_its_own(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(asked)
    stop_drawing(replace(asked, redo="3,5"), monkeypatch)
    shutil.copy(interp(asked) / "redone" / "000003.png", asked.target)  # as if it was drawn before
    assert run(replace(asked, redo="7")).drawn == 2
    assert sorted(files(interp(asked) / "redone")) == ["000003.png", "000005.png", "000007.png"]


def test_slides_that_cannot_be_moved(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run(asked)
    before = files(asked.target)

    def move(path: Path, to: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(stable_restyle.core.files, "move", move)
        with pytest.raises(UnusableInput, match="Permission denied") as refusal:
            run(replace(asked, redo="3"))
    assert f"{asked.target / '000003.png'} cannot be moved to {interp(asked) / 'redone'}" in str(
        refusal.value
    )
    assert files(asked.target) == before
    assert run(asked).drawn == 1  # it goes on from there
    assert changed(before, files(asked.target)) == [3]
