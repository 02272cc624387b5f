"""A film is written in parts: each slide once and on time, and nothing stale is used."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support import clips
from support.media import decoded, each_ffmpeg, ignore, posix, stand_in
from support.programs import LONGEST_S, Program, until

from stable_restyle.core.errors import CannotWrite, ProgramFailed
from stable_restyle.media import containers, parts, sequence
from stable_restyle.media.ffmpeg import find_ffmpeg
from stable_restyle.media.join import join_slides

COUNT, LENGTH = 17, 8  # slides; the last part has one
RATE = Fraction(24000, 1001)
EVERY = [
    pytest.param(suffix, codec, marks=[pytest.mark.long] if suffix == ".mov" else [])
    for suffix, container in containers.CONTAINERS.items()
    if container.holds_tracks and suffix not in (".m4v", ".m2ts", ".mts")  # as .mp4 and .ts
    for codec in container.codecs
]
HANGS = """
case "$*" in
  *{when}*) {first} touch hangs; while [ ! -e go ]; do sleep 0.05; done; exit 1;;
esac
exec {ffmpeg} "$@"
"""


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LENGTH", LENGTH)


@pytest.fixture
def slides(tmp_path: Path) -> Path:
    return clips.write_folder(tmp_path / "out", clips.numbered(COUNT).repeat(2, 1).repeat(2, 2))


def join(slides: Path, target: Path, codec: str | None = None, crf: int | None = None) -> bytes:
    encoding = containers.choose(target, codec, crf)
    folder = slides.parent / "parts"
    join_slides(slides, COUNT, RATE, target, None, ignore, encoding, parts=folder)
    return target.read_bytes()


def names(slides: Path) -> list[str]:
    return sorted(os.listdir(slides.parent / "parts"))


def numbers(film: Path) -> list[int]:
    pictures = (np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded(film))
    return [clips.number(picture) for picture in pictures]


@each_ffmpeg
@pytest.mark.parametrize(("suffix", "codec"), EVERY)
def test_each_slide_is_shown_once_and_on_time(
    suffix: str, codec: str, slides: Path, tmp_path: Path
) -> None:
    film = join(slides, target := tmp_path / f"film{suffix}", codec)
    assert numbers(target) == list(range(COUNT))
    with av.open(target) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert stream.time_base is not None
        unit = stream.time_base
    begin = 1 if suffix == ".avi" else min(packet.pts or 0 for packet in packets)
    shown = sorted((packet.pts or 0) - begin for packet in packets)
    assert shown == [math.floor(index / RATE / unit + Fraction(1, 2)) for index in range(COUNT)]
    at = [packet.dts for packet in packets if packet.dts is not None]
    assert at == sorted(set(at))
    assert all(
        packet.dts <= packet.pts for packet in packets if packet.dts is not None and packet.pts
    )
    (tmp_path / "parts" / names(slides)[1]).unlink()
    assert join(slides, target, codec) == film


@each_ffmpeg
def test_slides_after_a_part_may_be_missing(
    slides: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (slides / sequence.name(LENGTH)).unlink()
    encoding, marked = containers.choose(tmp_path / "film.mp4"), range(LENGTH)
    film = parts.FilmParts(slides, tmp_path / "parts", RATE, encoding, "Joining")
    headers = parts.read_headers(slides, marked)
    part = film.write(marked, headers, parts.film_size(headers), ignore)
    assert numbers(part) == list(marked)
    assert not caplog.records


def test_only_parts_of_changed_slides_are_written_again(slides: Path, tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    before = join(slides, target)
    first, second, third = names(slides)
    clips.write_folder(tmp_path / "new", 255 - clips.numbered(1).repeat(2, 1).repeat(2, 2))
    os.replace(tmp_path / "new" / sequence.name(0), slides / sequence.name(9))
    assert join(slides, target) != before
    again = names(slides)
    assert (again[0], again[2]) == (first, third) and again[1] != second
    assert numbers(target)[9] == 255


def test_another_quality_makes_every_part_again(slides: Path, tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    before = join(slides, target), names(slides)
    better = join(slides, target, crf=1), names(slides)
    assert not {*before[1]}.intersection(better[1])
    assert (join(slides, target), names(slides)) == before


def test_a_part_of_smaller_slides_has_the_size_of_the_film(slides: Path, tmp_path: Path) -> None:
    join(slides, target := tmp_path / "film.mp4")
    clips.write_folder(tmp_path / "new", clips.numbered(1).repeat(4, 1).repeat(4, 2))
    os.replace(tmp_path / "new" / sequence.name(0), slides / sequence.name(16))
    join(slides, target)
    assert {(frame.width, frame.height) for frame in decoded(target)} == {(256, 192)}
    assert len(names(slides)) == 3


@pytest.mark.parametrize("wrong", ["missing", "damaged"])
def test_a_part_whose_slides_cannot_be_read_is_named(
    wrong: str, slides: Path, tmp_path: Path
) -> None:
    slide = slides / sequence.name(11)
    slide.unlink() if wrong == "missing" else slide.write_bytes(bytes(900))
    with pytest.raises(ProgramFailed, match=r"(?s)Joining film\.mp4 failed.*of the 8 slides"):
        join(slides, tmp_path / "film.mp4")
    assert [name.partition("-")[0] for name in names(slides)] == ["000001"]


@posix
def test_a_full_disk_is_named(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = os.strerror(errno.ENOSPC)
    script = f'case "$*" in *000002-*) echo {words} >&2; exit 1;; esac; exec {find_ffmpeg()} "$@"'
    full = stand_in(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{full.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(CannotWrite, match=rf"000002-\w+\.mp4 cannot be written: {words}"):
        join(slides, tmp_path / "film.mp4")
    assert [name.partition("-")[0] for name in names(slides)] == ["000001"]


@posix
@pytest.mark.parametrize(
    ("when", "first"),
    [
        ("000002-", ""),  # before a part is written
        ("000002-", '{ffmpeg} "$@";'),  # once it is written, before it is renamed
        ("parts.ffconcat", '{ffmpeg} "$@";'),  # while parts are joined
    ],
)
def test_the_film_of_a_killed_run_is_that_of_a_calm_one(
    when: str, first: str, slides: Path, tmp_path: Path
) -> None:
    calm = join(slides, tmp_path / "calm.mp4")
    folder = tmp_path / "killed"
    folder.mkdir()
    target, made = folder / "film.mp4", folder / "parts"
    ffmpeg = find_ffmpeg()
    hanging = stand_in(
        tmp_path / "bin", HANGS.format(when=when, first=first.format(ffmpeg=ffmpeg), ffmpeg=ffmpeg)
    )
    program = (
        "import sys\nfrom fractions import Fraction\nfrom pathlib import Path\n"
        "from stable_restyle.media import join, parts\n"
        f"parts.LENGTH = {LENGTH}\nslides, target, made = map(Path, sys.argv[1:])\n"
        f"join.join_slides(slides, {COUNT}, Fraction('{RATE}'), target, None, lambda _: None, "
        "writer='me', parts=made)\n"
    )
    command = [sys.executable, "-c", program, *map(str, (slides, target, made))]
    hangs = slides / "hangs" if when == "000002-" else made / "hangs"
    path = f"{hanging.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    with Program(command, env={**os.environ, "PATH": path}) as process:
        until(hangs.exists, process)
        process.kill()
        process.wait()
    assert not target.exists()
    hangs.unlink()
    subprocess.run(command, check=True, timeout=LONGEST_S)
    go = hangs.with_name("go")
    go.touch()  # ends the stand-in
    assert target.read_bytes() == calm
    assert sorted(os.listdir(folder)) == ["film.mp4", "parts"]
    assert names(slides) == sorted(set(os.listdir(made)) - {"go"})
