"""Runs that read their frames from a film, and runs over frames that were exported."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import clips
from support.runs import Silent, Stopping, files, run

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.settings import Settings
from stable_restyle.media import film_frames, png, sequence
from stable_restyle.media.scratch import PREFIX
from stable_restyle.run import dry_run, measurement, pipeline, reporting, status

EVERY_6 = (*clips.H264, "-g", "6", "-bf", "2")


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film_frames, "_STRETCH_PIXELS", 0)
    monkeypatch.setattr(film_frames, "_STRETCH_LEAST", 5)


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    """25 frames in two scenes."""
    film = clips.make(tmp_path / "film.mp4", clips.scenes(14, 11), *EVERY_6)
    return Settings(film, tmp_path / "out", backends=("preview:clay",))


def interp(asked: Settings) -> Path:
    return asked.target.parent / "interp"


def exported(asked: Settings) -> Settings:
    """The same run, apart, with exported frames."""
    apart = asked.source.parent / "apart" / "out"
    return replace(asked, target=apart, keep_frames=True)


def scratch(asked: Settings) -> list[Path]:
    return [*interp(asked).glob(f"{PREFIX}*")]


def small_frames(asked: Settings) -> dict[str, bytes]:
    return files(interp(asked) / "report" / "frames")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.long),
        {"motion": "codec", "frames_per_slide": 3},
        {"keys": 3, "deflicker": 1},
        pytest.param({"anchor": 1.0, "frames_per_slide": 1}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_slides_and_thumbnails_are_those_of_exported_frames(
    asked: Settings, changes: dict[str, object]
) -> None:
    asked = replace(asked, **changes)  # type: ignore[arg-type]
    apart = exported(asked)
    run(asked)
    run(apart)
    assert files(asked.target) == files(apart.target)
    assert small_frames(asked) == small_frames(apart)
    assert not (interp(asked) / "in").exists() and not scratch(asked)
    assert len(files(interp(apart) / "in")) == 25
    assert measurement.measure_run(asked, Silent()) == measurement.measure_run(apart, Silent())
    assert not scratch(asked)


@pytest.mark.parametrize("after", [10, 16, 26])
def test_a_run_that_was_stopped_goes_on(asked: Settings, after: int) -> None:
    whole = exported(asked)
    run(whole)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, Stopping(after))
    left = interp(asked) / f"{PREFIX}killed"  # as a killed run leaves it
    left.mkdir()
    run(asked)
    assert files(asked.target) == files(whole.target)
    assert json.loads((interp(asked) / "scenes.json").read_text()) == [0, 14, 25]
    assert not scratch(asked) and not (interp(asked) / "looking.json").exists()


def test_a_finished_run_is_known_and_its_scenes_can_be_edited(asked: Settings) -> None:
    run(asked)
    assert status.is_finished(asked)
    (interp(asked) / "scenes.json").write_text("[0, 25]")
    assert not status.is_finished(asked)
    assert len(dry_run.plan(asked, None, Silent()).scenes) == 1
    (interp(asked) / "scenes.json").unlink()
    progress = Silent()
    assert pipeline.run(asked, progress).drawn == 0
    assert json.loads((interp(asked) / "scenes.json").read_text()) == [0, 14, 25]
    assert progress.tasks[0] == ("Finding scenes", 25, 0)


@pytest.mark.parametrize(
    "content",
    [
        None,
        *(pytest.param(each, marks=pytest.mark.long) for each in ("{}", '{"marks": 3}')),
        "half",
    ],
)
def test_frames_json_is_made_again(asked: Settings, content: str | None) -> None:
    run(asked)
    noted = interp(asked) / "frames.json"
    whole = noted.read_bytes()
    noted.unlink()
    if content is not None:
        noted.write_text(content)
    assert run(asked).drawn == 0
    assert noted.read_bytes() == whole


def test_another_ffmpeg_is_noticed(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run(asked)
    noted = interp(asked) / "frames.json"
    whole = json.loads(noted.read_text())
    noted.write_text(json.dumps({**whole, "ffmpeg": "ffmpeg version 4"}))
    progress = Silent()
    assert pipeline.run(asked, progress).drawn == 0  # it decodes the same
    assert progress.tasks[0] == ("Finding scenes", 25, 0)
    monkeypatch.setattr("stable_restyle.media.ffmpeg.version", lambda program: "ffmpeg version 99")
    monkeypatch.setattr("stable_restyle.media.convert._EXACT_TO_RGB", "neighbor")
    with pytest.raises(UnusableInput, match=r"other frames: 000001\.png"):
        run(asked)


def test_frames_can_be_exported_later(asked: Settings) -> None:
    run(asked)
    slides = files(asked.target)
    assert not status.is_finished(replace(asked, keep_frames=True))
    assert run(replace(asked, keep_frames=True)).drawn == 0
    assert len(files(interp(asked) / "in")) == 25
    assert status.is_finished(asked)
    assert run(asked).drawn == 0
    assert files(asked.target) == slides
    frame = interp(asked) / "in" / "000003.png"
    png.write(frame, 255 - png.read(frame))  # it is noticed, as ever
    with pytest.raises(UnusableInput, match=r"other frames: 000003\.png"):
        run(asked)


def test_exported_frames_that_were_removed_are_exported_again(asked: Settings) -> None:
    run(replace(asked, keep_frames=True))
    shutil.rmtree(interp(asked) / "in")
    (asked.target / sequence.name(4)).unlink()
    assert run(asked).drawn == 1
    assert len(files(interp(asked) / "in")) == 25


def test_a_film_that_cannot_be_sought_is_exported(
    asked: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = clips.make(tmp_path / "film.h264", clips.scenes(14, 11), *EVERY_6)
    with caplog.at_level(logging.INFO):
        run(replace(asked, source=film))
    said = "cannot be found exactly by seeking: not every frame has a time of its own"
    assert caplog.text.count(said) == 1
    assert len(files(interp(asked) / "in")) == 25


def test_a_damaged_film_is_exported(asked: Settings, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(asked.source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    asked.source.write_bytes(data)
    with caplog.at_level(logging.INFO):
        run(asked)
    assert caplog.text.count("by seeking: the film is damaged.") == 1
    assert caplog.text.count("FFmpeg complained about film.mp4") == 1
    assert sequence.numbered(interp(asked) / "in")


def test_the_report_shows_frames_of_the_film(asked: Settings) -> None:
    run(asked)
    whole = small_frames(asked)
    shutil.rmtree(interp(asked) / "report")
    page = reporting.write_report(asked, Silent())
    assert small_frames(asked) == whole
    assert '"frames":""' in page.read_text()
    assert not scratch(asked)


def test_frames_on_disk_do_not_grow_with_the_film(
    asked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0

    class Watching(Silent):
        def advance(self, count: int) -> None:
            nonlocal most
            super().advance(count)
            most = max(
                most, sum(len(found) for each in scratch(asked) for *_, found in os.walk(each))
            )

    film = clips.make(tmp_path / "long.mp4", clips.scenes(120), *EVERY_6)
    monkeypatch.setattr("stable_restyle.drawing.session._PLACES_PER_SLOT", 1)
    pipeline.run(replace(asked, source=film, motion="codec"), Watching())
    assert 5 <= most <= 4 * 5  # of 120; stretches are replaced while they are read
    assert not scratch(asked)
