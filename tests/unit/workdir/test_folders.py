"""Input that changes between runs: noticed, told, and only what hangs on it is drawn again."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files as files_of_package
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest
from support import clips
from support.runs import Silent, files, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.media import png, sequence
from stable_restyle.plan import scenes
from stable_restyle.run import dry_run
from stable_restyle.run.inputs import run_paths
from stable_restyle.workdir.layout import check_name_on_windows, identity

MakeFrames = Callable[..., Path]
HUGE = '{"frames": ["a1"], "scenes": [0, 99999999999999999]}'  # more slides than memory


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Twenty-four frames in three scenes, twelve slides, drawn: middles are 3, 7 and 11."""
    frames = make_frames(8, 8, 8)
    settings = Settings(frames, tmp_path / "out", backends=("preview:clay",), guide=WARPED)
    assert run(settings).drawn == 12
    return settings


def spoil(frame: Path) -> None:
    """Another picture of the same length in bytes, as old as the one before."""
    before = frame.stat()
    picture = png.read(frame)
    while True:
        picture = np.roll(picture, 1, axis=1)
        data = png.encode(picture)
        if len(data) <= before.st_size:
            break
    spare = before.st_size - len(data)
    if spare >= 12:  # a text of the length that is missing, before the end
        data = data[:-12] + chunk(b"tEXt", b"k\0" + b"x" * (spare - 14)) + data[-12:]
    frame.write_bytes(data)
    os.utime(frame, ns=(before.st_atime_ns, before.st_mtime_ns))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def drawn_anew(before: dict[str, bytes], folder: Path) -> list[int]:
    """The numbers of the slides that were written since `age`."""
    return [int(name[:-4]) for name in before if (folder / name).stat().st_mtime_ns > 10**18]


def age(folder: Path) -> None:
    """Make all files there look old, to tell those that are written from now on."""
    for path in folder.glob("*.png"):
        os.utime(path, ns=(10**18, 10**18))


@pytest.mark.parametrize(
    ("frame", "anew"),
    [
        (1, [1]),  # the end of a chain down
        (2, [1]),  # between two slides
        (5, [1, 2, 3, 4]),  # the middle: all hangs on it
        (7, [4]),
        (8, []),  # the last frame of a scene, which no slide crosses
        (24, []),
        (12, [5, 6]),
    ],
)
def test_only_what_hangs_on_a_replaced_frame_is_drawn_again(
    asked: Settings, tmp_path: Path, frame: int, anew: list[int]
) -> None:
    path = asked.source / sequence.name(frame - 1)
    spoil(path)
    age(asked.target)
    whole = files(asked.target)
    if anew:
        with pytest.raises(UnusableInput, match=f"other frames: {path.name}\n") as refusal:
            run(asked)
        assert f"{len(anew)} of the 12 slides" in str(refusal.value)
        lost = "this slide" if len(anew) == 1 else f"these {len(anew)}"
        assert f"it discards {lost} and no others" in str(refusal.value)
        assert files(asked.target) == whole
        assert run(replace(asked, fresh=True)).drawn == len(anew)
    assert run(asked).drawn == 0
    assert drawn_anew(whole, asked.target) == anew
    apart = replace(asked, target=tmp_path / "apart" / "out")
    shutil.copytree(tmp_path / "interp", tmp_path / "apart" / "interp")
    (tmp_path / "apart" / "interp" / "input.json").unlink()
    run(apart)
    assert files(apart.target) == files(asked.target)


@pytest.mark.parametrize(
    ("source", "target"), [("in", "http://127.0.0.1:8188"), ("http://host/film.mp4", "out")]
)
def test_an_address_is_neither_source_nor_target(source: str, target: str) -> None:
    with pytest.raises(WrongUsage, match=r"not addresses\.\nName a server with --backend"):
        run_paths(Settings(Path(source), Path(target)))


def test_a_frame_that_was_only_touched_or_copied_is_the_same(asked: Settings) -> None:
    for path in asked.source.iterdir():
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        os.utime(path, ns=(5, 5))
    assert run(asked).drawn == 0


def test_more_frames_need_other_scenes_and_draw_what_hangs_on_these(
    asked: Settings, tmp_path: Path
) -> None:
    for number in range(25, 31):
        shutil.copy(asked.source / "000024.png", asked.source / f"{number:06}.png")
    with pytest.raises(UnusableInput, match="must end with their number, 30"):
        run(asked)
    (tmp_path / "interp" / "scenes.json").write_text("[0, 8, 16, 24, 30]")
    age(asked.target)
    whole = files(asked.target)
    assert run(asked).drawn == 3
    assert drawn_anew(whole, asked.target) == []
    (tmp_path / "interp" / "scenes.json").write_text("[0, 8, 16, 30]")
    with pytest.raises(UnusableInput, match=r"other scenes in .*scenes\.json"):
        run(asked)
    assert run(replace(asked, fresh=True)).drawn == 7
    assert drawn_anew(whole, asked.target) == [9, 10, 11, 12]


def test_frames_that_change_as_others_are_added_are_named(asked: Settings, tmp_path: Path) -> None:
    for name in ("000023.png", "000024.png", "000025.png"):
        shutil.copy(asked.source / "000001.png", asked.source / name)
    (tmp_path / "interp" / "scenes.json").write_text("[0, 8, 16, 25]")
    told = r"frames: 24 then, 25 now\n  other frames: 000023\.png, 000024\.png\n"
    with pytest.raises(UnusableInput, match=told):
        run(asked)


def test_fewer_frames_keep_what_they_can(asked: Settings, tmp_path: Path) -> None:
    for number in range(17, 25):
        (asked.source / f"{number:06}.png").unlink()
    (tmp_path / "interp" / "scenes.json").write_text("[0, 8, 16]")
    with pytest.raises(UnusableInput, match="past the end of the film: 4 slides"):
        run(asked)
    assert len(files(asked.target)) == 12
    assert run(replace(asked, fresh=True)).drawn == 0
    assert list(files(asked.target)) == [sequence.name(slide) for slide in range(8)]


def test_edited_scenes_draw_the_slides_of_these_scenes_only(
    asked: Settings, tmp_path: Path
) -> None:
    age(asked.target)
    whole = files(asked.target)
    scenes_file = tmp_path / "interp" / "scenes.json"
    scenes_file.write_text("[0, 8, 12, 16, 24]")
    with pytest.raises(UnusableInput, match="4 of the 12 slides") as refusal:
        run(asked)
    assert f"other scenes in {scenes_file}" in str(refusal.value)
    assert run(replace(asked, fresh=True)).drawn == 4
    assert drawn_anew(whole, asked.target) == [5, 6, 7, 8]


def test_the_end_of_a_chain_that_becomes_a_scene_leaves_the_chain(asked: Settings) -> None:
    now = scenes.all_steps(scenes.find_scenes([0, 7, 24], 1))
    was = scenes.all_steps(scenes.find_scenes([0, 24], 1))
    moved = scenes.outdated(was, now, lambda before, after: False, set(), 1)
    assert moved == set(range(24))
    assert scenes.outdated(now, now, lambda before, after: False, set(), 1) == set()
    assert scenes.outdated(now, now, lambda before, after: False, {4}, 1) == {4, 5, 6}
    assert scenes.outdated(now, now, lambda before, after: after.scene == 2, set(), 1) == set(
        range(7, 24)
    )


def test_putting_the_input_back_is_all_it_takes(asked: Settings) -> None:
    path = asked.source / "000005.png"
    good = path.read_bytes()
    spoil(path)
    with pytest.raises(UnusableInput, match="Put it back as it was"):
        run(asked)
    path.write_bytes(good)
    assert run(asked).drawn == 0


def test_changes_before_anything_hangs_on_them_are_nothing_to_ask_about(asked: Settings) -> None:
    for slide in (1, 2, 3, 4):
        (asked.target / sequence.name(slide - 1)).unlink()
    spoil(asked.source / "000005.png")
    assert run(asked).drawn == 4


def test_fresh_without_a_change_still_starts_over(asked: Settings) -> None:
    assert run(replace(asked, fresh=True)).drawn == 12


@pytest.mark.parametrize(
    "noted",
    ["", "[]", "null", '{"frames": 3}', '{"frames": [1], "scenes": [0, 8]}', "[" * 9999, HUGE],
)
def test_a_damaged_note_is_refused_with_a_way_out(asked: Settings, noted: str) -> None:
    path = run_paths(asked).input_file
    path.write_text(noted)
    with pytest.raises(UnusableInput, match=r"input\.json cannot be read") as refusal:
        run(asked)
    assert "Remove it if you know" in str(refusal.value)
    assert run(replace(asked, fresh=True)).drawn == 12
    path.unlink()
    assert run(asked).drawn == 0


def test_a_folder_of_an_earlier_version_is_taken_over(asked: Settings) -> None:
    run_paths(asked).input_file.unlink()
    spoil(asked.source / "000005.png")
    assert run(asked).drawn == 0
    noted = json.loads(run_paths(asked).input_file.read_text())
    assert noted["scenes"] == [0, 8, 16, 24] and len(noted["frames"]) == 24


def test_a_film_of_the_same_name_and_length_is_told_by_its_bytes(tmp_path: Path) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(6))
    settings = Settings(film, tmp_path / "clay.mp4", backends=("preview:clay",))
    run(settings)
    data = bytearray(film.read_bytes())
    os.utime(film, ns=(5, 5))
    assert run(settings).drawn == 0
    place = data.rindex(b"mdat") + 40
    data[place] ^= 1
    film.write_bytes(data)
    with pytest.raises(UnusableInput, match=r"film: film\.mp4, .* bytes has other contents now"):
        run(settings)
    assert run(replace(settings, fresh=True)).drawn == 3


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
def test_starting_over_removes_links_not_what_they_lead_to(tmp_path: Path) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(6))
    settings = Settings(film, tmp_path / "clay.mp4", backends=("preview:clay",), keep_frames=True)
    run(settings)
    work, mine = tmp_path / "clay.restyle", tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("the user's own")
    shutil.move(work / "in", mine / "in")
    (work / "in").symlink_to(mine / "in")
    (work / "out" / "000002.png").unlink()
    (work / "out" / "000002.png").symlink_to(mine / "notes.txt")
    (work / "in.part-old").symlink_to(mine)
    clips.make(film, clips.scenes(9))
    assert run(replace(settings, fresh=True)).drawn == 5
    assert (mine / "notes.txt").read_text() == "the user's own"
    assert len(sequence.numbered(mine / "in")) == 6
    assert len(sequence.numbered(work / "in")) == 9
    assert not (work / "in").is_symlink()


@pytest.mark.parametrize(
    "name",
    ["con", "NUL.mp4", "aux/out", "Com1 .txt", "x?.mp4", "a/b:c", "out ", "film./o.mp4", "l" * 201],
)
def test_windows_is_not_asked_for_names_that_it_reserves_or_cuts(name: str) -> None:
    with pytest.raises(WrongUsage, match="Windows"):
        check_name_on_windows(PureWindowsPath("C:/films") / name)


@pytest.mark.parametrize(
    "name", ["out", "../con-clay.mp4", ".hidden/o.mp4", "console", "com0.mp4", "100% ünï.mp4"]
)
def test_windows_is_asked_for_all_other_names(name: str) -> None:
    for root in ("C:/films", "//server/share/films"):
        check_name_on_windows(PureWindowsPath(root) / name)


@pytest.mark.skipif(os.name != "nt", reason="only Windows reserves names")
def test_a_target_that_windows_reserves_is_refused(make_frames: MakeFrames) -> None:
    with pytest.raises(WrongUsage, match="Windows reserves the name 'con'"):
        run_paths(Settings(make_frames(2), Path("con")))


def test_two_names_of_one_place_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, other, capitals = (tmp_path / name for name in ("film.mp4", "other.mp4", "FILM.mp4"))
    film.touch()
    os.link(film, other)  # as on a disk that takes two names for one
    assert identity(film) == identity(other) == identity(tmp_path / "x" / ".." / "film.mp4")
    with pytest.raises(WrongUsage, match="SOURCE and TARGET are both"):
        run_paths(Settings(film, other))
    film.unlink()
    other.unlink()
    assert identity(film) == identity(tmp_path / "x" / ".." / "film.mp4") != identity(other)
    monkeypatch.setattr(sys, "platform", "linux")
    assert identity(film) != identity(capitals)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert identity(film) == identity(capitals)


def test_fresh_removes_what_save_interp_left_and_nothing_of_the_users(asked: Settings) -> None:
    run(replace(asked, save_interp=True, fresh=True))
    work = run_paths(asked).interp
    between = {path.name for path in work.glob("*.png")}
    assert between >= {"000001-b.png", "000001-m.png", "000001.png", "000004-f.png"}
    mine = ("000001-x.png", "1-b.png", "x000001.png", "000001-b.png.txt", "notes.png")
    for name in mine:
        (work / name).write_bytes(b"the user's own")
    run(replace(asked, fresh=True))
    assert sorted(path.name for path in work.glob("*.png*")) == sorted(mine)


def test_scenes_that_are_renumbered_take_their_changes_with_their_numbers(
    asked: Settings, tmp_path: Path
) -> None:
    """--set for scene 2 follows the number: what was scene 2 is scene 3 after a cut before it."""
    changed = replace(asked, changes=("2:5.text_g=fox",), fresh=True)
    run(changed)
    age(asked.target)
    whole = files(asked.target)
    (tmp_path / "interp" / "scenes.json").write_text("[0, 4, 8, 16, 24]")
    changed = replace(changed, fresh=False)
    with pytest.raises(UnusableInput, match="8 of the 12 slides"):
        run(changed)
    moved = replace(changed, changes=("3:5.text_g=fox",))
    with pytest.raises(UnusableInput, match="4 of the 12 slides") as refusal:
        run(moved)
    assert "set in scene 2: 5.text_g=fox then, none now\n" in str(refusal.value)
    assert run(replace(moved, fresh=True)).drawn == 4
    assert drawn_anew(whole, asked.target) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"changes": ("5.text_g=fox", "5.text_l=red")},
            "set: none then, 5.text_g=fox, 5.text_l=red now",
        ),
        ({"keys": 3, "fill_only": True}, "fill only: no then, yes now"),
        ({"seed": 8}, "seed: none then, 8 now"),
    ],
)
def test_settings_are_told_in_plain_words(
    asked: Settings, change: dict[str, object], line: str
) -> None:
    with pytest.raises(UnusableInput) as refusal:
        run(replace(asked, **change))  # type: ignore[arg-type]
    assert f"  {line}\n" in str(refusal.value)


def test_a_number_of_one_is_told_as_one(asked: Settings) -> None:
    for slide in range(1, 12):
        (asked.target / sequence.name(slide)).unlink()
    with pytest.raises(UnusableInput, match=r"^1 slide in .*out was made with other") as refusal:
        run(replace(asked, seed=8))
    assert str(refusal.value).endswith("it discards 1 slide.")


@pytest.mark.parametrize("noted", ["claymation", "claymation.json"])
@pytest.mark.parametrize("typed", ["claymation", "claymation.json"])
def test_a_workflow_is_the_same_by_either_name(asked: Settings, noted: str, typed: str) -> None:
    path = run_paths(asked).settings_file
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": noted}))
    assert run(replace(asked, model=typed)).drawn == 0
    assert json.loads(path.read_text())["model"] == "claymation.json"


def test_a_workflow_that_was_renamed_is_the_same(asked: Settings, tmp_path: Path) -> None:
    workflow = Path(str(files_of_package("stable_restyle.workflows"))) / "claymation.json"
    shutil.copy(workflow, tmp_path / "mine.json")
    assert run(replace(asked, model=str(tmp_path / "mine.json"))).drawn == 0
    text = workflow.read_text("utf-8")
    (tmp_path / "mine.json").write_text(text.replace('"steps": ', '"steps": 1'), "utf-8")
    with pytest.raises(UnusableInput, match=r"model: .*mine\.json has other contents now") as told:
        run(replace(asked, model=str(tmp_path / "mine.json")))
    assert "sha256" not in str(told.value)


def test_a_dry_run_counts_what_fresh_would_keep(asked: Settings, tmp_path: Path) -> None:
    def finished(settings: Settings) -> int:
        return dry_run.plan(settings, None, Silent()).finished

    fresh = replace(asked, fresh=True)
    assert (finished(asked), finished(fresh)) == (12, 0)
    assert finished(replace(fresh, seed=8)) == 0
    spoil(asked.source / "000005.png")
    assert finished(fresh) == 8
    assert finished(replace(fresh, seed=8)) == 0
    whole = files(asked.target)
    assert run(fresh).drawn == 4 and files(asked.target).keys() == whole.keys()


def test_many_frames_a_slide_are_asked_about(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    said = (
        "--fps 24 is how many frames make a slide, not the rate of the film: "
        "24 frames make 1 slide. To keep the rate of the film, write --fps 1."
    )
    with caplog.at_level("INFO"):
        dry_run.plan(replace(asked, frames_per_slide=24), None, Silent())
        run(replace(asked, frames_per_slide=24, fresh=True))
        run(replace(asked, frames_per_slide=8, fresh=True))
    assert [record.getMessage() for record in caplog.records].count(said) == 2
    assert "--fps 8" not in caplog.text
