"""Numbered folders of frames and slides: what is found in them, refused or moved."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pngs import folder_of, picture
from support.runs import files

from stable_restyle.core.errors import UnusableInput
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence


def test_frames_are_counted_and_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture(seed=1), picture(seed=2))
    (folder / "notes.txt").write_text("not a frame")
    frames = sequence.find_frames(folder)
    assert (frames.count, frames.width, frames.height) == (2, 16, 12)
    assert np.array_equal(frames.read(1), picture(seed=2))


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"no frames in .* where this program put them"):
        sequence.find_frames(tmp_path)


@pytest.mark.parametrize("missing", [0, 2])
def test_a_gap_is_named(tmp_path: Path, missing: int) -> None:
    folder = folder_of(tmp_path / "in", *[picture()] * 5)
    (folder / sequence.name(missing)).unlink()
    with pytest.raises(UnusableInput, match=f"{sequence.name(missing)} is missing"):
        sequence.find_frames(folder)


def test_frames_of_two_sizes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture(), picture(), picture(10, 16))
    with pytest.raises(UnusableInput, match=r"000003\.png is 16x10, but 000001\.png is 16x12"):
        sequence.find_frames(folder)


def test_a_truncated_frame_is_named_wherever_it_ends(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", picture(), picture())
    path = folder / "000002.png"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UnusableInput, match=r"000002\.png"):
            sequence.find_frames(folder)


def test_slides_that_cannot_be_kept_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "out", *[picture()] * 4)
    png.write(folder / "000002.png", picture(8, 8))
    (folder / "000003.png").write_bytes(b"")
    png.write(folder / "000009.png", picture())
    finished, unfit = sequence.find_slides(folder, 4, (16, 12))
    assert finished == {0, 3}
    assert [line.split()[0] for line in unfit] == [
        str(folder / "000002.png"),
        str(folder / "000003.png"),
    ]


SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, st.floats(0.05, 20))
def test_a_scale_has_both_sides_rounded_to_whole_pixels(
    width: int, height: int, scale: float
) -> None:
    rounded = max(round(width * scale), 1), max(round(height * scale), 1)
    whole = width * scale >= 0.5 and height * scale >= 0.5
    assert sequence.is_scale(rounded, (width, height)) or not whole
    assert sequence.is_scale(rounded[::-1], (height, width)) or not whole


@pytest.mark.parametrize("size", [(16, 14), (18, 12), (12, 16), (8, 8), (32, 12), (1, 2)], ids=str)
def test_another_shape_is_no_scale(size: tuple[int, int]) -> None:
    assert not sequence.is_scale(size, (16, 12))


@pytest.mark.parametrize("size", [(8, 6), (16, 12), (24, 18), (80, 60)])
def test_a_slide_of_any_scale_is_finished(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = folder_of(tmp_path / "out", arrays.fit(picture(), *size))
    assert sequence.find_slides(folder, 1, (16, 12)) == ({0}, [])


def test_names_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert sequence.numbered(tmp_path / "nowhere") == []
    for name in ("1000000.png", "999999.png", "000002.png", "00003.png", "000004.png.part"):
        (tmp_path / name).touch()
    assert sequence.numbered(tmp_path) == ["000002.png", "999999.png", "1000000.png"]


@pytest.fixture
def another_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder to which no file of `tmp_path` can be renamed."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_slides_are_moved_to_another_disk_too(tmp_path: Path, another_disk: Path) -> None:
    drawn, out = folder_of(tmp_path / "drawn", picture(seed=1), picture(seed=2)), tmp_path / "out"
    slides = files(drawn)
    (drawn / "notes.txt").write_text("no slide")
    out.mkdir()
    sequence.move(drawn, out)
    assert (list(files(drawn)), files(out)) == (["notes.txt"], slides)
    sequence.move(out, another_disk)
    assert (files(out), files(another_disk)) == ({}, slides)


def test_what_is_no_file_is_no_slide_and_no_frame(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("links need a privilege there, and named pipes are no files")
    mine = folder_of(tmp_path / "mine", picture())
    out = folder_of(tmp_path / "out", *[picture()] * 5)
    for slide in range(4):
        (out / sequence.name(slide)).unlink()
    (out / "000001.png").symlink_to(mine / "000001.png")
    (out / "000002.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(out / "000003.png")
    (out / "000004.png").mkdir()
    finished, unfit = sequence.find_slides(out, 5, (16, 12))
    assert finished == {4}
    assert [line.partition(" is ")[2] for line in unfit] == [
        "a symbolic link.",
        "a symbolic link.",
        "not a regular file.",
        "not a regular file.",
    ]
    with pytest.raises(UnusableInput, match=r"000003\.png is not a regular file"):
        png.read(out / "000003.png")
    (out / "000001.png").unlink()
    (out / "000002.png").unlink()
    with pytest.raises(UnusableInput, match=r"000001\.png is missing"):
        sequence.find_frames(out)


def test_frames_have_marks_of_their_own(tmp_path: Path) -> None:
    """A single pixel makes a difference; equal pictures have equal marks wherever they are."""
    spotted = picture()
    spotted[3, 5, 1] ^= 1
    folder = folder_of(tmp_path / "in", picture(), spotted, picture())
    marks = sequence.find_frames(folder).marks
    assert marks[0] == marks[2] != marks[1]
    flat = np.full((12, 16, 3), 7, np.uint8)
    others = []
    for row in range(12):
        for column in range(16):
            flat[row, column] += 1
            others.append(flat.copy())
            flat[row, column] -= 1
    assert len(set(sequence.find_frames(folder_of(tmp_path / "flat", *others)).marks)) == len(
        others
    )
