"""Files that another program, such as a virus scanner, has open are waited for, or named."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import clips, paths
from support.runs import Silent, files, interp, run
from support.scanner import Scanner

from stable_restyle.cli import main
from stable_restyle.core import files as its_files
from stable_restyle.core.errors import UnusableInput, cannot_write, is_in_use
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.motion.base import FramePath
from stable_restyle.motion.choose import choose
from stable_restyle.run import reporting
from stable_restyle.workdir import journal

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    return Settings(
        make_frames(8, 5), tmp_path / "out", frames_per_slide=1, backends=("preview:clay",)
    )


@pytest.fixture
def calm(asked: Settings, tmp_path: Path) -> Settings:
    """Return the same run in another folder."""
    return replace(asked, target=tmp_path / "calm" / "out")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_that_an_editor_of_windows_has_saved_are_read(encoding: str, asked: Settings) -> None:
    """Notepad begins a file with a byte-order mark; PowerShell writes UTF-16 too."""
    settings = replace(asked, keys=3)
    run(settings)
    run(replace(settings, redo="5"))
    made = files(asked.target)
    saved = {path for path in asked.target.parent.rglob("*.json") if path.name != "running.json"}
    for path in saved:
        path.write_text(path.read_text("utf-8"), encoding)
    assert {"scenes.json", "settings.json", "input.json", "keys.json", "redo.json"} <= {
        path.name for path in saved
    }
    assert run(settings).drawn == 0
    (asked.target / "000005.png").unlink()
    assert run(settings).drawn == 1
    assert files(asked.target) == made


def test_lists_workflows_and_journals_may_begin_with_a_byte_order_mark(
    make_frames: MakeFrames, tmp_path: Path
) -> None:
    mark = b"\xef\xbb\xbf"
    make_frames(8)
    shipped = paths.WORKFLOWS / "claymation.json"
    (tmp_path / "own.json").write_bytes(mark + shipped.read_bytes())
    line = f"{tmp_path / 'in'} {tmp_path / 'out'} -- --model {tmp_path / 'own.json'}"
    (tmp_path / "films.txt").write_bytes(mark + line.encode())
    words = ["--batch", str(tmp_path / "films.txt"), "--backend", "preview", "--fps", "1"]
    assert CliRunner().invoke(main.command, words).exit_code == 0
    path = tmp_path / "interp" / "journal.jsonl"
    path.write_bytes(mark + path.read_bytes())
    (noted,) = journal.read(path)
    assert len(noted.slides) == 8


# Open for a moment


@pytest.mark.parametrize("winerror", [5, 32, 33])
def test_a_file_that_another_program_has_open_is_waited_for(
    winerror: int, scanner: Scanner, tmp_path: Path
) -> None:
    scanner.winerror = winerror
    its_files.write_whole(tmp_path / "a", b"old")
    its_files.write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    (tmp_path / "folder" / "in").mkdir(parents=True)
    its_files.move(tmp_path / "a", tmp_path / "folder" / "in" / "b")
    its_files.remove_folder(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []
    assert scanner.refused == {
        ("replace", "a.part"): 2,
        ("replace", "a"): 2,
        ("unlink", "b"): 2,
        ("rmdir", "in"): 2,
        ("rmdir", "folder"): 2,
    }


def test_a_file_is_moved_to_another_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, to: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    (tmp_path / "a").write_bytes(b"data")
    monkeypatch.setattr(os, "replace", refuse)
    its_files.move(tmp_path / "a", tmp_path / "b")
    assert files(tmp_path) == {"b": b"data"}


@pytest.mark.skipif(sys.platform == "win32", reason="its refusals have a number")
def test_what_this_user_may_not_change_is_not_waited_for(scanner: Scanner, tmp_path: Path) -> None:
    scanner.winerror = None
    with pytest.raises(UnusableInput, match="Permission denied"):
        its_files.write_whole(tmp_path / "a", b"data")
    assert scanner.refused["replace", "a.part"] == 1


@pytest.mark.long
def test_runs_have_the_same_results_as_undisturbed_ones(
    asked: Settings, calm: Settings, scanner: Scanner
) -> None:
    commands: list[dict[str, Any]] = [
        {},
        {"frames_per_slide": 2, "fresh": True},
        {"frames_per_slide": 2, "redo": "3"},
        {"frames_per_slide": 2, "deflicker": 1},
        {"frames_per_slide": 2, "deflicker": 2},
        {"frames_per_slide": 2},
    ]
    for changes in commands:
        scanner.times = 0
        run(replace(calm, **changes))
        scanner.times = 2
        scanner.refused.clear()
        run(replace(asked, **changes))
        assert files(asked.target) == files(calm.target)
        assert scanner.refused["unlink", "running.json"] == 2
        assert scanner.refused["replace", "settings.json.part"] == 2
    assert files(interp(asked) / "redone") == files(interp(calm) / "redone")
    assert reporting.write_report(asked, Silent()).exists()
    assert not [path for path in asked.target.parent.rglob("*.part*")]


def test_a_film_is_split_and_joined(scanner: Scanner, tmp_path: Path) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(9, 6))
    settings = Settings(
        film,
        tmp_path / "clay.mp4",
        frames_per_slide=1,
        backends=("preview:clay",),
        keep_frames=True,
    )
    assert run(settings).slides == 15
    assert [
        times
        for (step, name), times in scanner.refused.items()
        if step == "replace" and name.startswith("clay.mp4.")
    ] == [2]
    clips.make(film, clips.scenes(5, 5))
    assert run(replace(settings, fresh=True)).slides == 10
    assert scanner.refused["rmdir", "in"] == 2
    assert not [path for path in tmp_path.rglob("*.part*")]


def test_a_motion_program_leaves_nothing_behind(
    scanner: Scanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    frames = list(clips.numbered(2))
    motion = choose(f'"{sys.executable}" -m motion_transfer')
    path = FramePath(frames[1], frames[:1], lambda: frames, lambda: [])
    assert motion.estimate(path).warp(frames[:1]).shape == frames[0].shape
    assert scanner.refused["unlink", "warped.png"] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere an open file can be replaced")
def test_a_file_that_is_really_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with path.open("rb") as file:
        letting_go = threading.Timer(0.3, file.close)
        letting_go.start()
        its_files.write_whole(path, b"new")
    letting_go.join()
    assert path.read_bytes() == b"new"
    monkeypatch.setattr(its_files, "PATIENCE_S", 0.1)
    with path.open("rb"), pytest.raises(UnusableInput, match="another program has it open"):
        its_files.write_whole(path, b"newer")
    with path.open("rb"), pytest.raises(UnusableInput, match="another program has it open"):
        its_files.remove_all(tmp_path, ["a"])
    assert path.read_bytes() == b"new"


# Open for ever


@pytest.mark.parametrize(
    ("changes", "opened", "failure"),
    [
        ({}, "000004.png.part", "000004.png cannot be written"),
        ({}, "scenes.json.part", "scenes.json cannot be written"),
        ({"fresh": True}, "000004.png", "000004.png cannot be removed"),
        ({"redo": "4"}, "000004.png", "000004.png cannot be removed"),
        ({"deflicker": 1}, "deflicker.json.part", "deflicker.json cannot be written"),
    ],
)
def test_a_file_that_stays_open_ends_the_run_which_goes_on_when_it_is_closed(
    changes: dict[str, Any],
    opened: str,
    failure: str,
    asked: Settings,
    calm: Settings,
    scanner: Scanner,
) -> None:
    scanner.times = 0
    run(calm)
    if changes:
        run(asked)
        run(replace(calm, **changes))
    scanner.keep_open(opened)
    with pytest.raises(UnusableInput, match=failure) as error:
        run(replace(asked, **changes))
    assert "another program has it open" in str(error.value)
    assert "un the command again" in str(error.value)
    assert scanner.refused
    kept = set(sequence.numbered(asked.target))
    scanner.times = 0
    run(replace(asked, **changes))
    assert files(asked.target) == files(calm.target)
    assert kept <= files(asked.target).keys()
    assert not [path for path in asked.target.parent.rglob("*.part*")]


def test_a_film_that_stays_open_leaves_the_old_one(scanner: Scanner, tmp_path: Path) -> None:
    frames = clips.write_folder(tmp_path / "in", clips.scenes(4, 3))
    target = tmp_path / "clay.mp4"
    settings = Settings(frames, target, frames_per_slide=1, backends=("preview:clay",))
    run(settings)
    old = target.read_bytes()
    scanner.keep_open("clay.mp4.")
    with pytest.raises(UnusableInput, match=r"clay\.mp4 cannot be written: another program"):
        run(replace(settings, rate=Fraction(10)))
    assert target.read_bytes() == old
    scanner.times = 0
    assert run(replace(settings, rate=Fraction(10))).drawn == 0
    assert target.read_bytes() != old


@pytest.mark.parametrize("opened", ["running.json", "report.html"])
def test_a_run_goes_on_without_what_can_wait_until_the_next_one(
    opened: str, asked: Settings, scanner: Scanner
) -> None:
    scanner.times = 0
    assert run(asked).drawn == 13
    (asked.target / "000004.png").unlink()
    scanner.keep_open(opened)
    assert run(asked).drawn == 1
    assert scanner.refused
    scanner.times = 0
    assert run(asked).drawn == 0
    assert not (interp(asked) / "running.json").exists()


def test_the_two_kinds_of_refusals_have_different_messages(tmp_path: Path) -> None:
    denied, shared = PermissionError(13, "Access is denied"), PermissionError(13, "In use")
    setattr(denied, "winerror", 5)  # noqa: B010, not known on POSIX
    setattr(shared, "winerror", 32)  # noqa: B010
    assert is_in_use(denied) and is_in_use(shared)
    assert "has it open, or this user has no access" in str(cannot_write(tmp_path, denied))
    assert "another program has it open.\nClose" in str(cannot_write(tmp_path, shared))
