"""A damaged file of the working folder is made again, or refused by name with what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SCENES, frame
from support.runs import Silent, files, run

from stable_restyle.core.errors import RestyleError
from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.run import measurement, pipeline, reporting

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: bytes(len(whole)),
    "other JSON": lambda _: b'[["a", NaN, 1e999, null]]\n',
    "numbers for text": lambda whole: whole.replace(b'"', b"7"),
}
MADE_AGAIN = [
    "deflicker.json",
    "finished.json",
    "measure.json",
    "report.html",
    "report/frames/000003.jpg",
    "report/slides-0.js",
    "report/slides/000003.jpg",
    "report/steadiness.jsonl",
]
EDITED = ["input.json", "journal.jsonl", "keys.json", "redo.json", "scenes.json", "settings.json"]
FOLDERS = ["report", "report/slides", "redone", "drawn"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which slides were drawn, drawn again, deflickered and measured."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "in").mkdir()
    for index in range(9):
        png.write(folder / "in" / sequence.name(index), frame(index, SCENES[index // 5]))
    run(asked(folder))
    run(replace(asked(folder), redo="1"))
    measurement.measure_run(asked(folder), Silent())
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The same with a slide missing, so that a run has something to draw."""
    shutil.copytree(whole, tmp_path / "copy")
    for slides in ("out", "interp/drawn"):
        (tmp_path / "copy" / slides / "000004.png").unlink()
    return tmp_path / "copy"


def asked(folder: Path) -> Settings:
    return Settings(
        *(folder / "in", folder / "out"),
        frames_per_slide=1,
        keys=2,
        deflicker=1,
        backends=("preview:clay",),
    )


def refusals(folder: Path) -> list[str]:
    """Run again, write the report and measure; returns what each says that refuses."""
    found = []
    for again in (pipeline.run, reporting.write_report, measurement.measure_run):
        try:
            again(asked(folder), Silent())
        except RestyleError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", MADE_AGAIN)
def test_what_can_be_made_again_is(whole: Path, copy: Path, name: str, damage: str) -> None:
    path = copy / "interp" / name
    stamp = path.stat().st_mtime_ns
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    os.utime(path, ns=(stamp, stamp))
    assert refusals(copy) == []
    assert files(copy / "out") == files(whole / "out")
    if path.suffix == ".jpg":
        assert path.read_bytes() == (whole / "interp" / name).read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", EDITED)
def test_what_cannot_is_refused_by_name(whole: Path, copy: Path, name: str, damage: str) -> None:
    path = copy / "interp" / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    said = refusals(copy)
    assert all(str(path) in line and "\n" in line for line in said)
    assert said or files(copy / "out") == files(whole / "out")


@pytest.mark.parametrize("name", [*MADE_AGAIN, *EDITED, *FOLDERS])
def test_a_folder_for_a_file_and_the_other_way_round(whole: Path, copy: Path, name: str) -> None:
    path = copy / "interp" / name
    if path.is_dir():
        shutil.rmtree(path)
        path.touch()
    else:
        path.unlink()
        path.mkdir()
        (path / "in the way").touch()
    said = refusals(copy)
    assert all(str(path) in line and "\n" in line for line in said[:1])  # others may follow from it
    assert said or files(copy / "out") == files(whole / "out")
