"""Commands are quoted as shells do, including those of Windows, on every system."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stable_restyle.core import shell
from stable_restyle.core.errors import ProgramFailed, RestyleError
from stable_restyle.media.ffmpeg import find_ffmpeg

MakePrograms = Callable[..., None]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "IS_WINDOWS", True)


@pytest.fixture
def make_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePrograms:
    """Makes programs in folders, and works in the folder `films`. path: the folders on PATH."""

    def make(*names: str, path: str) -> None:
        for name in names:
            program = tmp_path / name
            program.parent.mkdir(exist_ok=True)
            program.touch()
            program.chmod(0o755)
        (tmp_path / "films").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "films")
        folders = [each if each in ("", ".") else str(tmp_path / each) for each in path.split("|")]
        monkeypatch.setenv("PATH", os.pathsep.join(folders))
        monkeypatch.setenv("PATHEXT", os.pathsep.join([".EXE", ".CMD"]))

    return make


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("path", "found"),
    [("bin", "bin/ffmpeg.exe"), ("none|bin", "bin/ffmpeg.exe"), ("none", None), ("none|", None)],
)
def test_a_program_in_a_films_folder_is_never_run_by_its_name(
    path: str, found: str | None, make_programs: MakePrograms, tmp_path: Path
) -> None:
    make_programs("films/ffmpeg.exe", "bin/ffmpeg.exe", path=path)
    assert shell.find("ffmpeg") == (found and str(tmp_path / found))


@pytest.mark.usefixtures("windows")
def test_nor_does_the_package_look_for_it_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def look() -> str:
        assert os.environ["NODEFAULTCURRENTDIRECTORYINEXEPATH"]  # the system respects this
        raise RuntimeError("it has no FFmpeg")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", look)
    monkeypatch.delenv("NODEFAULTCURRENTDIRECTORYINEXEPATH", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RestyleError, match="none was found"):
        find_ffmpeg()


@pytest.mark.usefixtures("windows")
def test_a_program_of_the_current_folder_is_run_if_path_names_that(
    make_programs: MakePrograms,
) -> None:
    make_programs("films/ffmpeg.exe", path=".|bin")
    assert shell.find("ffmpeg") == os.path.join(".", "ffmpeg.exe")


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", ["tool", "tool.cmd", "TOOL.CMD", "bin/tool", "bin/tool.cmd"])
def test_a_program_is_found_with_and_without_its_ending(
    name: str, make_programs: MakePrograms, tmp_path: Path
) -> None:
    make_programs("bin/tool.cmd", "bin/TOOL.CMD", "bin/none.txt", path="bin")
    os.chdir(tmp_path)
    found = shell.find(name)
    assert found is not None and Path(found).name.lower() == "tool.cmd"
    assert shell.find("none") is None
    assert shell.find("none.txt") is None


def test_a_program_is_found_where_the_system_has_it(
    make_programs: MakePrograms, tmp_path: Path
) -> None:
    make_programs("films/tool", "bin/tool", path="bin")
    if os.name == "posix":
        assert shell.find("tool") == str(tmp_path / "bin" / "tool")
    assert shell.find("no-such-tool") is None


@pytest.mark.usefixtures("windows")
def test_commands_are_written_as_windows_reads_them() -> None:
    words = [r"C:\Program Files\it's.exe", "a b", "-x", "$y"]
    assert shell.join(words) == r'"C:\Program Files\it' + '\'s.exe" "a b" -x $y'
    assert shell.split(shell.join(words)) == words
    assert str(ProgramFailed("It", words, "")).endswith(shell.join(words))


@pytest.mark.usefixtures("windows")
def test_a_quotation_that_does_not_end_is_refused() -> None:
    with pytest.raises(ValueError):
        shell.split('a "b')
