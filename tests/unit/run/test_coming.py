"""Scenes of a film are drawn while the rest of it is looked through."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from support import clips
from support.runs import Silent, Stopping, files, interp, run, size_of

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import Settings
from stable_restyle.media import film_frames, marking
from stable_restyle.media.marking import Marked, NotSought
from stable_restyle.media.probe import Film
from stable_restyle.media.scratch import PREFIX
from stable_restyle.run import film_source, measurement, pipeline, reporting

EVERY_6 = (*clips.H264, "-g", "6", "-bf", "2")
BOUNDS = [0, 10, 17, 18, 27]
LAST = "000014.png"

# Looks through a film: calls the function it is given after each step, with what is known by then.
Looking: TypeAlias = Callable[[Film, float, Marked], Iterator[None]]


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    """27 frames in four scenes; one of them has one frame, and no slide shows it alone."""
    film = clips.make(tmp_path / "film.mp4", clips.scenes(10, 7, 1, 9), *EVERY_6)
    return Settings(
        film, tmp_path / "out", motion="codec", guide="warped", backends=("preview:clay",)
    )


def exported(asked: Settings) -> dict[str, bytes]:
    """Return the slides of the same run over exported frames, of which all is known."""
    apart = replace(asked, target=asked.source.parent / "apart" / "out", keep_frames=True)
    run(apart)
    return files(apart.target)


def slides(asked: Settings) -> set[str]:
    return {path.name for path in asked.target.glob("*.png")}


def looked_at_first(progress: Silent) -> int:
    """Return the frames that were looked at before the first slide was drawn."""
    return progress.counted[[name for name, _, _ in progress.tasks].index("Finding scenes")]


class Paced:
    """Looks through a film no faster than it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun_at: list[int] = []  # frames that were known
        monkeypatch.setattr(film_source, "look_through", self._look)

    def hold(self, known: Marked) -> None:
        """Wait until looking may go on."""

    def _look(self, film: Film, threshold: float, known: Marked) -> Iterator[None]:
        self.begun_at.append(len(known.marks))
        for _ in marking.look_through(film, threshold, known):
            yield
            self.hold(known)


class Early(Paced):
    """All is found before the first scene is drawn."""

    def _look(self, film: Film, threshold: float, known: Marked) -> Iterator[None]:
        yield from [*super()._look(film, threshold, known)][:1]


class Late(Paced):
    """A scene is found once all slides of those before are drawn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, asked: Settings) -> None:
        super().__init__(monkeypatch)
        self.asked = asked
        self.stopped = threading.Event()

    def hold(self, known: Marked) -> None:
        complete = [cut for cut in known.cuts if cut <= len(known.marks)]
        shown = -(-complete[-1] // self.asked.frames_per_slide) if complete else 0
        folder = self.asked.target
        if self.asked.deflicker:
            folder = interp(self.asked) / "drawn"
        while len([*folder.glob("*.png")]) < shown and not self.stopped.wait(0.01):
            pass


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"frames_per_slide": 1, "anchor": 1.0}, marks=pytest.mark.long),
        {"motion": "flow:fast", "guide": "frame", "keys": 3, "deflicker": 1},
    ],
    ids=str,
)
def test_slides_are_the_same_whenever_scenes_are_found(
    asked: Settings, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(asked, **changes)  # type: ignore[arg-type]
    whole = exported(asked)
    assert json.loads((asked.source.parent / "apart/interp/scenes.json").read_text()) == BOUNDS
    for pace in (Early(monkeypatch), Late(monkeypatch, asked)):
        monkeypatch.setattr(film_source, "look_through", pace._look)
        here = replace(asked, target=asked.source.parent / type(pace).__name__ / "out")
        if isinstance(pace, Late):
            pace.asked = here
        made = run(here)
        assert made.drawn == made.slides == len(whole)
        assert files(here.target) == whole
        assert json.loads((interp(here) / "scenes.json").read_text()) == BOUNDS
        assert files(interp(here) / "report" / "frames") == files(
            asked.source.parent / "apart" / "interp" / "report" / "frames"
        )
        assert not (interp(here) / "looking.json").exists()
        assert run(here).drawn == 0


def test_the_bar_says_how_much_is_looked_at(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noting(Silent):
        remarks: list[str] = []  # noqa: RUF012

        def remark(self, text: str) -> None:
            self.remarks.append(text)

    Late(monkeypatch, asked)
    progress = Noting()
    pipeline.run(asked, progress)
    assert ("Drawing", 14, 0) in progress.tasks
    assert {"37 % of the film looked at", ""} <= {*progress.remarks}


@pytest.mark.parametrize("after", [12, pytest.param(18, marks=pytest.mark.long)])
def test_a_run_that_ends_while_looking_goes_on_from_there(
    asked: Settings, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 frames are looked at before the first slide is drawn: 2 and 8 slides are drawn."""
    whole = exported(asked)
    pace = Late(monkeypatch, asked)

    class Ending(Stopping):
        def advance(self, count: int) -> None:
            try:
                super().advance(count)
            except KeyboardInterrupt:
                pace.stopped.set()
                raise

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, Ending(after))
    left = slides(asked)
    assert left and LAST not in left
    assert not (interp(asked) / "scenes.json").exists()
    noted = json.loads((interp(asked) / "input.json").read_text())
    assert len(noted["frames"]) == noted["scenes"][-1] < 27
    assert f'"frames":{noted["scenes"][-1]}' in reporting.write_report(asked, Silent()).read_text()
    with pytest.raises(UnusableInput, match="has not been looked through yet"):
        measurement.measure_run(asked, Silent())
    written = {name: (asked.target / name).stat().st_mtime_ns for name in left}
    assert run(asked).drawn == 14 - len(left)
    assert files(asked.target) == whole
    assert pace.begun_at == [0, noted["scenes"][-1]]
    assert {name: (asked.target / name).stat().st_mtime_ns for name in left} == written


@pytest.mark.parametrize("same", [True, False])
def test_a_film_that_turns_out_not_to_be_sought_is_exported(
    asked: Settings,
    same: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = exported(asked)
    written: dict[str, int] = {}

    class Failing(Late):
        def hold(self, known: Marked) -> None:
            super().hold(known)
            if 17 in known.cuts:
                written.update((n, (asked.target / n).stat().st_mtime_ns) for n in slides(asked))
                if not same:  # some frame is decoded differently each time
                    monkeypatch.setattr(film_frames, "mark", lambda picture: "00000000")
                raise NotSought("some are decoded differently then")

    Failing(monkeypatch, asked)
    with caplog.at_level(logging.INFO):
        assert run(asked).slides == 14
    assert 9 <= len(written) < 14
    assert caplog.text.count("cannot be found exactly by seeking: some are decoded diff") == 1
    assert files(asked.target) == whole
    now = {name: (asked.target / name).stat().st_mtime_ns for name in written}
    assert (now == written) == same
    assert len(files(interp(asked) / "in")) == 27
    assert not (interp(asked) / "looking.json").exists()
    assert run(asked).drawn == 0


def test_a_film_that_is_cut_off_in_midstream(
    asked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = clips.make(tmp_path / "film.mkv", clips.scenes(10, 7, 1, 9), *EVERY_6)
    film.write_bytes(film.read_bytes()[:-500])
    asked = replace(asked, source=film)
    whole = exported(asked)
    Late(monkeypatch, asked)
    assert run(asked).slides == len(whole)
    assert files(asked.target) == whole


@pytest.mark.parametrize("option", [{"at_most": 99}, {"fresh": True}])
def test_runs_that_need_all_scenes_first_say_so(
    asked: Settings, option: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    run(asked)
    (interp(asked) / "frames.json").unlink()
    (interp(asked) / "scenes.json").unlink()
    progress = Silent()
    with caplog.at_level(logging.INFO):
        pipeline.run(replace(asked, **option), progress)  # type: ignore[arg-type]
    name = next(iter(option)).replace("_", "-")
    assert f"looked through before its first slide is drawn: --{name} " in caplog.text
    assert looked_at_first(progress) == 27


def test_slides_that_were_made_from_other_scenes_are_compared_with_all(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked)
    (interp(asked) / "frames.json").unlink()
    (interp(asked) / "scenes.json").write_text("[0, 10, 27]")
    with caplog.at_level(logging.INFO):
        with pytest.raises(UnusableInput, match=r"other scenes in .*scenes\.json"):
            run(asked)
        assert "drawn: scenes.json is there already." in caplog.text
        for name in ("frames.json", "scenes.json"):
            (interp(asked) / name).unlink()
        assert run(asked).drawn == 0
    assert "drawn: there are slides of an earlier run." in caplog.text


def test_scenes_that_options_name_are_waited_for(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WrongUsage, match=r"there is no scene 4; the film has 3"):
        run(replace(asked, changes=("4:10.cfg=5",)))
    assert not slides(asked)
    progress = Silent()
    elsewhere = replace(asked, target=asked.source.parent / "elsewhere" / "out")
    pipeline.run(replace(elsewhere, changes=("3:10.cfg=5",)), progress)
    assert looked_at_first(progress) == 27


def test_bytes_on_disk_are_bounded_for_any_number_of_places(
    asked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, frame = 0, 3.1 * clips.WIDTH * clips.HEIGHT

    class Watching(Silent):
        def advance(self, count: int) -> None:
            nonlocal most
            super().advance(count)
            most = max(most, *map(size_of, interp(asked).glob(f"{PREFIX}*")), 0)

    monkeypatch.setattr(film_frames, "_STRETCH_PIXELS", 0)
    monkeypatch.setattr(film_frames, "_STRETCH_LEAST", 5)
    monkeypatch.setattr(film_frames, "_DRAWING_BYTES", int(15 * frame))
    monkeypatch.setattr("stable_restyle.drawing.session._PLACES_PER_SLOT", 100)
    film = clips.make(tmp_path / "long.mp4", clips.scenes(*[30] * 2), *EVERY_6)
    pipeline.run(replace(asked, source=film), Watching())
    assert 0 < most <= 15 * frame
