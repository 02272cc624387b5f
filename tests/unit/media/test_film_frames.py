"""The frames of a film are the same to the bit, in whatever order they are read."""

from __future__ import annotations

import pickle
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import clips
from support.media import (
    assert_waited_for,
    each_ffmpeg,
    film_frames_of,
    ignore,
    is_exact,
    looked_through,
)

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import Pixels
from stable_restyle.media import film_frames, seeking
from stable_restyle.media.film_frames import FilmFrames
from stable_restyle.media.probe import probe_film
from stable_restyle.media.scratch import PREFIX
from stable_restyle.media.split import split_film

COUNT = 40
EVERY_12 = ("-g", "12", "-keyint_min", "12", "-sc_threshold", "0")
OPEN = ("-x264-params", "open-gop=1:keyint=12:min-keyint=12:scenecut=0")
REFRESH = ("-x264-params", "intra-refresh=1:keyint=12")
INTERLACED = ("-vf", "interlace,setfield=tff", "-flags", "+ilme+ildct", "-x264-params", "tff=1")
FILMS = {
    "B-frames.mp4": (*clips.H264, *EVERY_12, "-bf", "3"),
    "open groups.mp4": (*clips.H264, *OPEN),
    "open groups.ts": (*clips.H264, *OPEN),
    "no index.mkv": (*clips.H264, *EVERY_12, "-f", "matroska", "-live", "1"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-q:v", "2", *EVERY_12, "-bf", "2"),
    "interlaced.mkv": (*clips.H264, *INTERLACED, *EVERY_12),
}


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_frames, "_STRETCH_PIXELS", 0)
    monkeypatch.setattr(film_frames, "_STRETCH_LEAST", 9)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return clips.make(tmp_path / "film.mp4", moving(), *FILMS["B-frames.mp4"])


def moving() -> Pixels:
    """Return frames of which no two are the same."""
    shifts = (np.roll(clips.scenes(1)[0], shift, axis=1) for shift in range(COUNT))
    return np.stack([*shifts]) // 2 + clips.numbered(COUNT) // 4


def found_in(path: Path) -> FilmFrames:
    found = film_frames_of(probe_film(path), path.parent)
    assert found is not None
    return found


def exported(path: Path) -> list[Pixels]:
    folder = path.with_suffix(".frames")
    folder.mkdir()
    split_film(probe_film(path), folder, 10, ignore)
    return clips.read_folder(folder)


def scratch(folder: Path) -> list[Path]:
    return [*folder.glob(f"{PREFIX}*")]


def assert_same_in_any_order(path: Path) -> FilmFrames:
    frames, found = exported(path), found_in(path)
    assert found.count == len(frames)
    order = random.Random(path.name).sample(range(found.count), found.count)
    for index in order:
        assert np.array_equal(found.read(index), frames[index])
    return found


@each_ffmpeg
@pytest.mark.parametrize("name", FILMS)
def test_frames_are_those_that_are_exported(name: str, tmp_path: Path) -> None:
    found = assert_same_in_any_order(clips.make(tmp_path / name, moving(), *FILMS[name]))
    assert seeking.attempts(found.film, COUNT // 2)[0] is not None  # it was sought


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pauses_and_shaking_times(suffix: str, tmp_path: Path) -> None:
    shake = np.random.default_rng(2).integers(-300, 300, COUNT)
    stamps = [3000 * k + 30_000 * (k > 15) + int(shake[k]) for k in range(COUNT)]
    path = tmp_path / f"phone{suffix}"
    clips.make_with_stamps(path, moving(), stamps, Fraction(1, 90000))
    assert_same_in_any_order(path)


@each_ffmpeg
def test_a_film_that_begins_within_its_first_group(film: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"  # an edit list hides the frames that precede the cut
    clips.run_ffmpeg("-ss", "0.8", "-i", film, "-c", "copy", cut)
    assert_same_in_any_order(cut)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("refresh.mp4", (*clips.H264, *REFRESH)), ("raw.h264", clips.H264), ("old.avi", clips.H264)],
)
def test_films_that_cannot_be_sought_exactly(
    name: str, encoding: tuple[str, ...], tmp_path: Path
) -> None:
    path = clips.make(tmp_path / name, moving(), *encoding)
    assert film_frames_of(probe_film(path), tmp_path) is None


def test_a_film_with_hardly_any_key_frames(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeking, "_APART_MOST", 10)
    assert "fewer than one in 10 frames" in seeking.why_not_sought(probe_film(film))


def test_a_damaged_film_has_no_marks(film: Path) -> None:
    data = bytearray(film.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    film.write_bytes(data)
    assert looked_through(probe_film(film)) is None


def test_a_film_cut_off_in_midstream_has_no_marks(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "film.mkv", moving(), *clips.H264, *EVERY_12)
    path.write_bytes(path.read_bytes()[:-900])
    assert looked_through(probe_film(path)) is None


def test_decoding_begins_further_ahead_where_seeking_is_not_exact(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_in(film)
    attempts = seeking.attempts
    late = [key + 512 for key in found.film.index.keys] if found.film.index else []
    monkeypatch.setattr(seeking, "attempts", lambda film, frame: [late[-1], *attempts(film, frame)])
    assert film_frames.mark(found.read(30)) == found.marks[30]


def test_another_film_of_that_name_is_noticed(film: Path) -> None:
    found = found_in(film)
    clips.make(film, 255 - moving(), *FILMS["B-frames.mp4"])
    with pytest.raises(UnusableInput, match="decoded differently now: its frames 25 to 32"):
        found.read(30)
    assert not is_exact(found)


def test_stretches_on_disk_are_few_and_removed(film: Path) -> None:
    found = found_in(film).serving(2)
    for index in range(COUNT):
        found.read(index)
        assert len(scratch(film.parent)) <= 2
    found.release()
    assert not scratch(film.parent)
    assert film_frames.mark(found.read(7)) == found.marks[7]
    found.release()


def test_threads_share_what_is_decoded(film: Path, children: list[subprocess.Popen[bytes]]) -> None:
    found = found_in(film)
    children.clear()
    with ThreadPoolExecutor(8) as pool:
        pictures = [*pool.map(found.read, [*range(10, 30)] * 3)]
    assert [film_frames.mark(each) for each in pictures] == [*found.marks[10:30]] * 3
    assert len(children) <= 4
    found.release()
    assert_waited_for(children)


def test_a_part_for_a_worker_is_small_and_reads_the_same(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = replace(found_in(film), scratch=Path())
    found.read(3)
    part = pickle.loads(pickle.dumps(found.part(range(10, 30))))
    monkeypatch.chdir("/")
    assert len(part.marks) == 20
    assert np.array_equal(part.read(25), found_in(film).read(25))
    assert part.stamp(25) == found.stamp(25) != found.stamp(26)


def test_a_full_disk_is_reported(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_in(film)

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UnusableInput, match="No space left on device"):
        found.read(0)
    assert not scratch(film.parent)
