"""Files are whole or not there, and removed or refused by name."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from support.pngs import folder_of, picture

from stable_restyle.core import files as its_files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.media import png, sequence


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "000001.png"
    png.write(path, picture(seed=1))

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(UnusableInput, match="No space left on device"):
        png.write(path, picture(seed=2))
    assert np.array_equal(png.read(path), picture(seed=1))
    assert [each.name for each in tmp_path.iterdir()] == ["000001.png"]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power loss could leave a slide of length zero."""
    done: list[str] = []
    fsync, give_name = os.fsync, os.replace

    def noted_fsync(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        done.append("folder" if is_folder else f"{os.fstat(handle).st_size} bytes")
        fsync(handle)

    monkeypatch.setattr("os.fsync", noted_fsync)

    def noted_replace(path: Path, target: Path) -> None:
        done.append("name")
        give_name(path, target)

    monkeypatch.setattr("os.replace", noted_replace)
    its_files.write_whole(tmp_path / "000001.png", b"twelve bytes")
    folder = [] if os.name == "nt" else ["folder"]
    assert done == ["12 bytes", "name", *folder]
    done.clear()
    part = folder_of(tmp_path / "in.part", picture())
    done.clear()
    its_files.move_whole(part, tmp_path / "in")
    size = (tmp_path / "in" / "000001.png").stat().st_size
    assert done == [f"{size} bytes", *folder, "name", *folder]


@pytest.mark.skipif(os.name != "posix", reason="it has no fcntl")
@pytest.mark.parametrize("is_able", [True, False])
def test_macos_is_asked_to_empty_the_memory_of_the_disk_too(
    is_able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def control(handle: int, command: int) -> None:
        assert command == 51
        done.append("the disk's memory")
        if not is_able:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("fcntl.F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr("fcntl.fcntl", control)
    monkeypatch.setattr("os.fsync", lambda handle: done.append("fsync"))
    its_files.write_whole(tmp_path / "a", b"data")
    assert done == (["the disk's memory"] * 2 if is_able else ["the disk's memory", "fsync"] * 2)


def test_a_folder_that_cannot_have_its_name_stays_whole(tmp_path: Path) -> None:
    part = folder_of(tmp_path / "in.part", picture())
    folder_of(tmp_path / "in", picture(), picture())
    with pytest.raises(UnusableInput, match=r"in cannot be written: .*\n.*run the command again"):
        its_files.move_whole(part, tmp_path / "in")
    assert sequence.numbered(part) == ["000001.png"]
    assert sequence.numbered(tmp_path / "in") == ["000001.png", "000002.png"]


def test_a_folder_is_removed_with_all_that_is_in_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture())
    folder_of(folder / "deeper", picture())
    its_files.remove_folder(folder)
    assert not folder.exists()
    its_files.remove_folder(folder)
    folder.touch()
    with pytest.raises(UnusableInput, match=r"in cannot be removed: .*\nRemove it"):
        its_files.remove_folder(folder)


def test_files_are_removed_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out", picture(), picture())
    (folder / "000003.png").mkdir()
    its_files.remove_all(folder, ["000001.png", "000009.png"])
    assert sequence.numbered(folder) == ["000002.png", "000003.png"]
    refusal = r"000003\.png cannot be removed: .*\n(Remove it|Close that program)"
    with pytest.raises(UnusableInput, match=refusal):
        its_files.remove_all(folder, ["000003.png"])


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
@pytest.mark.parametrize("linked", ["000001.png", "000001.png.part"])
def test_nothing_is_written_through_a_link(tmp_path: Path, linked: str) -> None:
    mine, out = tmp_path / "mine.png", tmp_path / "out"
    mine.write_text("the user's own")
    out.mkdir()
    (out / linked).symlink_to(mine)
    png.write(out / "000001.png", picture())
    assert mine.read_text() == "the user's own"
    assert [path.name for path in out.iterdir()] == ["000001.png"]
    assert not (out / "000001.png").is_symlink()
