"""Folders of frames as people have them: which sequence is in one, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stable_restyle.core.errors import UnusableInput
from stable_restyle.media import naming
from stable_restyle.media.naming import OWN, Naming


def folder_with(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("000001.png", "000002.png"), OWN),
        (("000000.png", "000001.png"), Naming(first=0)),
        (("shot_0009.jpg", "shot_0010.jpg"), Naming("shot_", 4, ".jpg", 9)),
        (("9.TIF", "10.TIF", "11.TIF"), Naming("", 1, ".TIF", 9)),
        (("render.1001.exr", "render.1002.exr"), Naming("render.", 4, ".exr", 1001)),
        (("B 2 0099.webp", "B 2 0100.webp"), Naming("B 2 ", 4, ".webp", 99)),
        (("v2_1.dpx",), Naming("v2_", 1, ".dpx", 1)),
        (("ü%d_1.Bmp", "ü%d_2.Bmp"), Naming("ü%d_", 1, ".Bmp", 1)),
    ],
)
def test_a_sequence_has_any_prefix_start_width_and_ending(
    names: tuple[str, ...], found: Naming, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path / "in", *names, "notes.txt", "._shot_0009.jpg", "shot_0009.gif")
    assert naming.find(folder) == (found, len(names))
    assert [found.name(index) for index in range(len(names))] == list(names)


@given(st.integers(0, 10**7), st.integers(1, 8), st.integers(1, 30))
def test_names_are_found_as_they_are_written(first: int, digits: int, count: int) -> None:
    numbers = [f"{first + index:0{digits}d}" for index in range(count)]
    found = naming._naming(Path("in"), "a", ".png", numbers)
    assert [found.name(index) for index in range(count)] == [f"a{each}.png" for each in numbers]


@pytest.mark.parametrize(
    ("pattern", "found", "count"),
    [
        ("a_%04d.jpg", Naming("a_", 4, ".jpg", 7), 2),
        ("b%d_final.tif", Naming("b", 1, "_final.tif", 9), 2),
        ("%06d.png", OWN, 3),
    ],
)
def test_a_pattern_names_one_of_several(
    pattern: str, found: Naming, count: int, tmp_path: Path
) -> None:
    names = [f"{found.name(index)}" for index in range(count)]
    others = ("a_0007.jpeg", "a_0008.jpeg", "c_0001.jpg", "c_0002.jpg", "b9_draft.tif")
    folder = folder_with(tmp_path / "in", *names, *others)
    assert naming.find(folder, pattern) == (found, count)
    assert found.pattern == pattern


def test_only_a_path_with_a_number_to_fill_in_is_a_pattern() -> None:
    assert naming.split_pattern(Path("frames/shot_%04d.jpg")) == (Path("frames"), "shot_%04d.jpg")
    for path in ("frames/shot_0001.jpg", "100%.mp4", "%s.png", "frames/%04d/film"):
        assert naming.split_pattern(Path(path)) is None


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), r"no frames in .*: it is empty\.\n"),
        (("a.heic", "b.heic", "c.txt"), r"it has 2 files such as a\.heic and 1 other file\.\n"),
        (
            ("a1.png", "a2.png", "b1.jpg", "b2.jpg", "b3.jpg"),
            r"2 numbered sequences in .*\n  a%d\.png: 2 files, a1\.png to a2\.png\n"
            r"  b%d\.jpg: 3 files, b1\.jpg to b3\.jpg\nName the one that you mean, .*b%d\.jpg",
        ),
        (("a1.jpg", "a2.jpg", "a3.JPG"), "2 numbered sequences"),
        (("cover1.jpg", "poster1.jpg"), "2 numbered sequences"),
        (
            ("a1.jpg", "a3.jpg", "a5.jpg"),
            r"a2\.jpg is missing \(and 1 more\), though a5\.jpg is there: "
            r"a%d\.jpg: 3 files, a1\.jpg to a5\.jpg",
        ),
        (("000002.png", "000004.png"), r"000003\.png is missing, though 000004\.png is there"),
        (("a1.jpg", "a0002.jpg"), r"differ in width: a1\.jpg and a0002\.jpg .*\n.*a%04d\.jpg"),
        (("a1.jpg", "a01.jpg"), "differ in width"),
    ],
)
def test_what_is_no_sequence_is_refused_with_what_is_there(
    names: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    with pytest.raises(UnusableInput, match=told):
        naming.find(folder_with(tmp_path / "in", *names))


def test_many_sequences_are_not_all_listed(tmp_path: Path) -> None:
    names = [f"{letter}{number}.png" for letter in "abcdefgh" for number in (1, 2)]
    with pytest.raises(UnusableInput, match="8 numbered sequences") as error:
        naming.find(folder_with(tmp_path / "in", *names))
    assert "  and 2 more\n" in str(error.value) and len(str(error.value).splitlines()) == 9


def test_a_pattern_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "in", "a_0001.JPG", "a_0002.JPG")
    with pytest.raises(UnusableInput, match=r"no frames called a_%04d\.jpg .*a_0001\.JPG"):
        naming.find(folder, "a_%04d.jpg")
    with pytest.raises(UnusableInput, match="cannot be read"):
        naming.find(tmp_path / "nowhere", "a_%04d.jpg")


def test_what_earlier_versions_ignored_does_not_stop_their_runs(tmp_path: Path) -> None:
    names = ("000001.png", "000002.png", "00003.png", "00004.png", "poster1.jpg", "x.png")
    assert naming.find(folder_with(tmp_path / "in", *names)) == (OWN, 2)
