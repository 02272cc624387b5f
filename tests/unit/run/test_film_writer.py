"""The film is written while slides are drawn, and a run does not fail because that fails."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from support import clips
from support.programs import until
from support.runs import Silent

from stable_restyle.core.errors import ProgramFailed
from stable_restyle.core.progress import LockCheckedProgress
from stable_restyle.core.settings import Settings
from stable_restyle.media import encode, join, parts, png, sequence
from stable_restyle.run import film_writer, pipeline
from stable_restyle.run.film_writer import FilmWriter
from stable_restyle.workdir import layout

COUNT, LENGTH = 20, 8  # slides
PICTURES = clips.numbered(COUNT)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LENGTH", LENGTH)
    monkeypatch.setattr(film_writer, "PAUSE_S", 0.01)


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    source = clips.write_folder(tmp_path / "in", PICTURES)
    return Settings(source, tmp_path / "film.mp4", backends=("preview",))


@pytest.fixture
def writer(asked: Settings) -> Iterator[FilmWriter]:
    """Writes a film whose slides are not there yet."""
    paths = layout.find_paths(asked.source, asked.target, None, drawn_apart=False)
    paths.shown.mkdir(parents=True)
    paths.interp.mkdir()
    source = sequence.find_frames(asked.source)
    with film_writer.writing(source, paths, asked) as found:
        assert found is not None
        yield found


def draw(writer: FilmWriter, slides: range) -> None:
    for slide in slides:
        png.write(writer.paths.shown / sequence.name(slide), PICTURES[slide])


def written(writer: FilmWriter) -> list[str]:
    """Return the numbers of the parts that are there."""
    return sorted(path.name.partition("-")[0] for path in writer.paths.parts.glob("*.mp4"))


def finish(writer: FilmWriter) -> bytes:
    writer.finish(COUNT, LockCheckedProgress(Silent(), lambda: None))
    return writer.target.read_bytes()


def test_parts_are_written_as_soon_as_their_slides_are_finished(
    writer: FilmWriter, tmp_path: Path
) -> None:
    draw(writer, range(8, 19))
    until(lambda: written(writer) == ["000002"])
    draw(writer, range(0, 8))
    until(lambda: written(writer) == ["000001", "000002"])
    draw(writer, range(19, 20))
    stamps = {path: path.stat().st_mtime_ns for path in writer.paths.parts.glob("*.mp4")}
    film = finish(writer)
    assert written(writer) == ["000001", "000002", "000003"]
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    calm = tmp_path / "calm.mp4"
    join.join_slides(writer.paths.shown, COUNT, Fraction(12), calm, None, lambda _: None)
    assert film == calm.read_bytes()


def test_a_part_whose_slides_changed_since_is_written_again(writer: FilmWriter) -> None:
    draw(writer, range(COUNT))
    until(lambda: written(writer) == ["000001", "000002"])
    old = {path.name for path in writer.paths.parts.iterdir()}
    os.replace(
        writer.paths.shown / sequence.name(0),
        writer.paths.shown / sequence.name(9),
    )
    draw(writer, range(1))
    finish(writer)
    assert len(old.intersection(os.listdir(writer.paths.parts))) == 1


def test_a_damaged_slide_is_named_at_the_end_alone(
    writer: FilmWriter, caplog: pytest.LogCaptureFixture
) -> None:
    (writer.paths.shown / sequence.name(3)).write_bytes(bytes(900))
    draw(writer, range(4, COUNT))
    draw(writer, range(3))
    until(lambda: written(writer) == ["000002"])
    with pytest.raises(ProgramFailed, match=r"Only 7 of the 8 slides in .*out could be read"):
        finish(writer)
    assert not caplog.records
    draw(writer, range(3, 4))
    finish(writer)


def test_slides_go_on_where_a_part_cannot_be_written(
    writer: FilmWriter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(encode, "EACH_ONCE", {"fps_mode": "sideways"})
        draw(writer, range(COUNT))
        until(lambda: "is not written while slides are drawn, but at the end" in caplog.text)
        with pytest.raises(ProgramFailed, match=r"Joining film\.mp4 failed"):
            finish(writer)
    assert not writer.target.exists()
    finish(writer)
    assert written(writer) == ["000001", "000002", "000003"]


def test_a_run_that_ends_early_leaves_no_thread_and_no_program(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(Silent):
        def advance(self, count: int) -> None:
            super().advance(count)
            if self.tasks[-1][0] == "Joining":
                raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, Interrupting())
    assert threading.active_count() == before
    assert not list(asked.target.parent.glob("**/*.part"))
    assert pipeline.run(asked, Silent()).drawn == 0
    assert asked.target.exists()


@pytest.mark.parametrize(("suffix", "kept"), [(".mp4", True), (".gif", False)])
def test_parts_stay_for_the_next_run(asked: Settings, suffix: str, kept: bool) -> None:
    target = asked.target.with_suffix(suffix)
    pipeline.run(Settings(asked.source, target, backends=("preview",)), Silent())
    assert (asked.target.parent / "film.restyle" / "interp" / "parts").exists() == kept
