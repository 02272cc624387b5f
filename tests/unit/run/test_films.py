"""Whole runs from and to films: frames, rate, sound, and what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from support import clips, paths
from support.runs import Silent, files, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import Settings
from stable_restyle.media import png
from stable_restyle.run import dry_run, failures, pipeline

EXAMPLE = paths.EXAMPLE
CUTS_S = [0.75, 2, 3.67, 5.33, 7, 8.67, 9.5]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A second of film, 25 frames in two scenes, with a tone."""
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")
    encoding = (*clips.H264, "-c:a", "aac", "-map", "0:v", "-map", "1:a")
    return clips.make(
        tmp_path / "film.mp4", clips.scenes(14, 11), *encoding, rate="25", inputs=tone
    )


@pytest.fixture
def asked(film: Path) -> Settings:
    return Settings(film, film.with_name("clay.mp4"), backends=("preview:clay",))


def picture_of(path: Path) -> tuple[int, Fraction | None]:
    """How many frames a film has, and how many a second."""
    with av.open(path) as container:
        rate = container.streams.video[0].average_rate
        return sum(1 for _ in container.decode(video=0)), rate


def test_a_film_becomes_a_film_with_its_sound(asked: Settings) -> None:
    progress = Silent()
    outcome = pipeline.run(asked, progress)
    assert (outcome.slides, outcome.drawn, outcome.target) == (13, 13, asked.target)
    assert picture_of(asked.target) == (13, Fraction(25, 2))
    with av.open(asked.target) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"]
        assert container.duration is not None
        assert abs(container.duration / av.time_base - 1) <= 2 / 25
    work = asked.target.with_name("clay.restyle")
    assert sorted(path.name for path in work.iterdir()) == ["interp", "out"]
    assert json.loads((work / "interp" / "scenes.json").read_text()) == [0, 14, 25]
    assert [task for task, _, _ in progress.tasks] == [
        "Reading film",
        "Finding scenes",
        "Drawing",
        "Joining",
    ]
    # Drawing begins once the first scene is known; more may have been looked at by then.
    assert progress.counted in ([1, 14, 13, 13], [1, 25, 13, 13])


def test_sound_that_goes_on_after_the_picture_is_kept(tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")
    encoding = (*clips.H264, "-c:a", "aac", "-map", "0:v", "-map", "1:a")
    film = clips.make(tmp_path / "film.mp4", clips.scenes(12), *encoding, inputs=tone)
    target = tmp_path / "clay.mp4"
    run(Settings(film, target, backends=("preview:clay",)))
    assert picture_of(target) == (6, Fraction(12))
    with av.open(target) as container:
        [sound] = container.streams.audio
        assert sound.duration is not None and sound.time_base is not None
        assert float(sound.duration * sound.time_base) == pytest.approx(2, abs=0.1)


def test_scenes_of_a_film_are_those_of_its_frames(asked: Settings, tmp_path: Path) -> None:
    run(replace(asked, keep_frames=True))
    frames = asked.target.with_name("clay.restyle") / "in"
    apart = replace(asked, source=frames, target=tmp_path / "apart" / "out")
    run(apart)
    assert files(apart.target) == files(frames.with_name("out"))


def test_a_film_becomes_a_folder(asked: Settings, tmp_path: Path) -> None:
    run(replace(asked, target=tmp_path / "out", keep_frames=True))
    assert len(files(tmp_path / "out")) == 13
    assert len(files(tmp_path / "interp" / "in")) == 25


@pytest.mark.parametrize(
    ("asked_rate", "rate"), [(None, Fraction(12)), (Fraction(30000, 1001), Fraction(15000, 1001))]
)
def test_a_folder_becomes_a_film(
    make_frames: Callable[..., Path],
    tmp_path: Path,
    asked_rate: Fraction | None,
    rate: Fraction,
) -> None:
    target = tmp_path / "film.mkv"
    run(Settings(make_frames(5), target, rate=asked_rate, backends=("preview",)))
    assert picture_of(target) == (3, rate)


def test_a_rate_where_there_is_none_to_choose(asked: Settings, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="has a rate of its own"):
        run(replace(asked, rate=Fraction(25)))
    folder = clips.write_folder(tmp_path / "in", clips.scenes(2))
    with pytest.raises(WrongUsage, match="a folder of slides has none"):
        run(replace(asked, source=folder, target=tmp_path / "out", rate=Fraction(25)))


def test_a_film_is_looked_through_once(asked: Settings) -> None:
    run(asked)
    whole = asked.target.read_bytes()
    asked.target.unlink()
    progress = Silent()
    assert pipeline.run(asked, progress).drawn == 0
    assert [task for task, _, _ in progress.tasks] == ["Drawing", "Joining"]
    assert asked.target.read_bytes() == whole


def test_a_split_that_was_stopped_begins_again(asked: Settings) -> None:
    part = asked.target.with_name("clay.restyle") / "in.part"
    part.mkdir(parents=True)
    png.write(part / "000001.png", clips.scenes(1)[0])
    (part / "000031.png").write_bytes(b"half")
    assert run(asked).drawn == 13
    assert not part.exists()


def test_no_film_is_made_while_slides_are_missing(asked: Settings) -> None:
    run(replace(asked, keep_frames=True))
    asked.target.unlink()
    work = asked.target.with_name("clay.restyle")
    frame, slide = work / "in" / "000015.png", work / "out" / "000008.png"
    slide.unlink()
    whole = frame.read_bytes()
    frame.write_bytes(whole[:60] + b"?" * 20 + whole[80:])
    with pytest.raises(failures.SlidesMissing):
        run(asked)
    assert not asked.target.exists()


def test_another_film_under_the_same_target(
    asked: Settings, film: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked)
    clips.make(film, clips.scenes(9))
    with pytest.raises(UnusableInput, match=r"film: film\.mp4, .* bytes then, film\.mp4, .* now"):
        run(asked)
    with caplog.at_level(logging.INFO):
        assert run(replace(asked, fresh=True)).drawn == 5
    assert picture_of(asked.target)[0] == 5


def test_a_film_of_the_users_own_is_not_overwritten(asked: Settings) -> None:
    asked.target.write_bytes(b"months of work")
    with pytest.raises(UnusableInput, match="this run did not make it"):
        run(asked)
    assert asked.target.read_bytes() == b"months of work"
    with pytest.raises(WrongUsage, match="SOURCE and TARGET are both"):
        run(replace(asked, target=asked.source))


def test_a_plan_of_a_film_writes_nothing(asked: Settings, film: Path) -> None:
    plan = dry_run.plan(asked, None, Silent())
    assert (plan.frames, plan.slides, [scene.stop for scene in plan.scenes]) == (25, 13, [14, 25])
    assert list(film.parent.iterdir()) == [film]


def test_too_little_disk_is_told_before_splitting(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stable_restyle.media.split._BYTES_PER_PIXEL", 1e12)
    with pytest.raises(UnusableInput, match="GB are free"):
        run(asked)
    assert not (asked.target.with_name("clay.restyle") / "in").exists()


def test_the_examples_scenes(tmp_path: Path) -> None:
    plan = dry_run.plan(Settings(EXAMPLE, tmp_path / "out"), None, Silent())
    assert (plan.frames, plan.slides) == (240, 120)
    assert [scene.start for scene in plan.scenes] == [0, *(round(24 * cut) for cut in CUTS_S)]
