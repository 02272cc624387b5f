"""A film is looked through once: frames are marked, and cuts found, as they are decoded."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from support import clips
from support.media import each_ffmpeg, ignore, looked_through

from stable_restyle.media import film_frames
from stable_restyle.media.marking import Marked, NotSought, look_through
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import split_film

SCENES = (9, 15, 1, 12)
CUTS = [9, 24, 25]
EVERY_6 = (*clips.H264, "-g", "6", "-bf", "2")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return clips.make(tmp_path / "film.mp4", clips.scenes(*SCENES), *EVERY_6)


def whole(path: Path) -> Marked:
    known = looked_through(probe_film(path))
    assert known is not None
    return known


@each_ffmpeg
def test_marks_and_cuts_are_those_of_exported_frames(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cuts = split_film(probe_film(film), folder, 10, ignore)
    known = whole(film)
    assert known.cuts == cuts == CUTS
    assert known.marks == [film_frames.mark(frame) for frame in clips.read_folder(folder)]


@each_ffmpeg
def test_a_scene_is_handed_over_once_it_is_complete(film: Path) -> None:
    known = Marked([], [])
    handed_over = set[int]()
    for _ in look_through(probe_film(film), 10, known):
        handed_over |= {len(known.marks)}.intersection(known.cuts)
    assert handed_over == set(CUTS)


@each_ffmpeg
@pytest.mark.parametrize("marked", [0, 1, 7, 9, 10, 24, 25, 26, 36, 37])
def test_looking_goes_on_where_it_ended(film: Path, marked: int) -> None:
    full = whole(film)
    known = Marked(full.marks[:marked], [cut for cut in full.cuts if cut <= marked])
    assert looked_through(probe_film(film), known) == full


def test_looking_ends_when_nobody_asks_for_more(film: Path) -> None:
    known = Marked([], [])
    looking = look_through(probe_film(film), 10, known)
    assert len([*islice(looking, 1)]) == 1
    looking.close()  # type: ignore[attr-defined]
    assert len(known.marks) < 37


@pytest.mark.parametrize("marked", [0, 9])
def test_slides_come_first_once_there_is_a_scene(
    film: Path, marked: int, children: list[subprocess.Popen[bytes]]
) -> None:
    known = Marked(whole(film).marks[:marked], [])
    children.clear()
    looking = look_through(probe_film(film), 10, known)
    while 9 not in known.cuts or len(known.marks) <= 9:
        next(looking)
    (child,) = children
    if sys.platform != "win32":
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(own + 10, 19)
    looking.close()  # type: ignore[attr-defined]


def test_a_film_that_cannot_be_sought_there_is_decoded_from_its_beginning(film: Path) -> None:
    full, found = whole(film), probe_film(film)
    assert found.index is not None
    keys = tuple(key + 512 for key in found.index.keys)
    late = replace(found, index=replace(found.index, keys=keys))
    assert looked_through(late, Marked(full.marks[:30], list(CUTS))) == full


def test_frames_that_are_decoded_differently_each_time(film: Path) -> None:
    known = Marked(["00000000"] * 30, list(CUTS))
    with pytest.raises(NotSought, match="decoded differently each time"):
        [*look_through(probe_film(film), 10, known)]


def test_damage_is_noticed_before_the_end(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "film.mkv", clips.scenes(*[200] * 8), *EVERY_6)
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 4 + 300] = bytes(300)
    path.write_bytes(data)
    known = Marked([], [])
    with pytest.raises(NotSought, match="the film is damaged"):
        [*look_through(probe_film(path), 10, known)]
