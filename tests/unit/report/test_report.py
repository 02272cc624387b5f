"""The report: what it tells of runs that went well, badly, long ago, and of one still going on."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from support.comfy_server import ComfyServer
from support.programs import until
from support.runs import Silent, interp, run

from stable_restyle.cli.main import with_command
from stable_restyle.core.errors import UnusableInput, bytes_in_words
from stable_restyle.core.records import DrawRecord
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.report import jumps, page, summary, timeline
from stable_restyle.report.thumbnails import Steadiness
from stable_restyle.run import failures, pipeline, reporting
from stable_restyle.workdir.journal import Journal, JsonLines, RunInfo
from stable_restyle.workdir.lock import hold

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Thirteen frames in two scenes: slides 1-4 and 5-7."""
    return Settings(make_frames(8, 5), tmp_path / "out", backends=("preview:clay",))


def film_of(asked: Settings) -> dict[str, Any]:
    """What the page holds."""
    html = (interp(asked) / "report.html").read_text("utf-8")
    [film] = re.findall(r'<script id="film" type="application/json">(.*?)</script>', html)
    tree = json.loads(film)
    assert isinstance(tree, dict)
    return tree


def block_of(asked: Settings, index: int = 0) -> dict[str, Any]:
    text = (interp(asked) / "report" / f"slides-{index}.js").read_text()
    [told] = re.fullmatch(rf"take\({index},(.*)\)", text).groups()  # type: ignore[union-attr]
    tree = json.loads(told)
    assert isinstance(tree, dict)
    return tree


def test_the_command_that_goes_on_has_the_seed_of_the_run(asked: Settings) -> None:
    """That for slides to draw again has not: there it would be the seed of these."""
    run(with_command(replace(asked, seed=2**64 - 1)))
    film = film_of(asked)
    assert film["go_on"] == f"{film['command']} --seed {2**64 - 1}"
    assert "--seed" not in film["command"]


def test_a_run_is_told_of(asked: Settings) -> None:
    run(asked)
    film, block = film_of(asked), block_of(asked)
    assert [scene[:3] for scene in film["scenes"]] == [[8, 4, 2], [5, 3, 1]]
    assert [scene[3:6] for scene in film["scenes"]] == [[4, 0, 2], [3, 0, 1]]
    assert block["state"] == "nnnnnnn" and block["small"] == "1111111"
    assert block["between"] == "-------"
    assert [name for name, _ in film["settings"]][:2] == ["Workflow", "Drawn by"]
    assert ["Mask size", "4 pixels"] in film["settings"]
    assert ["video-restyle", "0.1.0"] in film["versions"]
    [backend] = film["backends"]
    assert (backend["name"], backend["slides"]) == ("preview:clay", 7)
    assert 0 <= backend["busy"] <= 100
    [told] = film["runs"]
    assert (told["slides"], told["ended"], told["outcome"]) == (7, True, "")


def test_pictures_in_between_are_told_of(asked: Settings) -> None:
    run(replace(asked, save_interp=True))
    assert block_of(asked)["between"] == "bb-fb-f"


def test_slides_that_were_kept_and_slides_that_are_missing(asked: Settings) -> None:
    asked = replace(asked, guide="warped")  # a lost slide is drawn again, not composed
    run(asked)
    (asked.target / sequence.name(6)).unlink()
    run(asked)
    assert block_of(asked)["state"] == "kkkkkkn"
    run(asked)  # draws nothing: what is shown is still the run before
    assert block_of(asked)["state"] == "kkkkkkn"
    assert [each["slides"] for each in film_of(asked)["runs"]] == [7, 1, 0]
    (asked.target / sequence.name(6)).unlink()
    reporting.write_report(asked, Silent())
    assert block_of(asked)["state"] == "kkkkkkm"
    film = film_of(asked)
    assert film["scenes"][1][3:6] == [0, 1, 1]
    assert film["missing"] == [[1, 0]] and "Removed after the run" in film["reasons"][0]


def test_why_slides_are_missing(asked: Settings) -> None:
    path = asked.source / "000003.png"
    good = path.read_bytes()
    path.write_bytes(good[:60] + b"?" * 20 + good[80:])
    (interp(asked)).mkdir()
    (interp(asked) / "scenes.json").write_text("[0,8,13]")
    with pytest.raises(failures.SlidesMissing):
        run(asked)
    film, block = film_of(asked), block_of(asked)
    assert block["state"] == "mmnnnnn"
    reasons = {film["reasons"][place] for place in block["reason"].values()}
    assert len(reasons) == 1 and "000003.png is damaged" in reasons.pop()
    assert film["missing"] == [[2, 0]]
    assert "2 of 7 slides are missing" in film["runs"][0]["outcome"]
    assert any("000003.png" in text for _, text, _ in film["warnings"])


def test_a_run_that_ends_early_is_told_of(asked: Settings) -> None:
    class Stopped(Silent):
        def advance(self, count: int) -> None:
            super().advance(count)
            if self.tasks[-1][0] == "Drawing" and self.counted[-1] >= 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, Stopped())
    film = film_of(asked)
    assert film["runs"][0]["outcome"] == "it was interrupted"
    missing = sum(scene[4] for scene in film["scenes"])
    assert missing == 7 - len(list(asked.target.glob("*.png")))
    assert film["reasons"][-1].endswith("ended early: it was interrupted")
    run(asked)
    assert "m" not in block_of(asked)["state"]


def test_a_report_while_a_run_goes_on(asked: Settings) -> None:
    seen: list[str] = []

    class Looking(Silent):
        def advance(self, count: int) -> None:
            super().advance(count)
            if self.tasks[-1][0] == "Drawing" and self.counted[-1] >= 2 and not seen:
                reporting.write_report(asked, Silent())
                seen.append(block_of(asked)["state"])

    pipeline.run(asked, Looking())
    assert "n" in seen[0] and "m" in seen[0]
    assert block_of(asked)["state"] == "nnnnnnn"


def test_a_run_renews_its_report(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "RENEW_S", 0.01)
    monkeypatch.setattr(reporting, "RENEW_PAUSES", 0)
    made: list[float] = []

    class Waiting(Silent):
        def advance(self, count: int) -> None:
            super().advance(count)
            if self.tasks[-1][0] == "Drawing" and len(made) < 2:
                until(lambda: now_of(asked) not in [0.0, *made])
                film = film_of(asked)
                assert film["running"] and film["missing"]
                made.append(now_of(asked))

    pipeline.run(asked, Waiting())
    assert now_of(asked) > made[1] > made[0]
    assert not film_of(asked)["running"] and not film_of(asked)["missing"]


def now_of(asked: Settings) -> float:
    """When the report was written, as an open page is told."""
    path = interp(asked) / "report" / "now.js"
    if not path.exists():
        return 0.0
    [made] = re.fullmatch(r"now\((.*)\)", path.read_text()).groups()  # type: ignore[union-attr]
    return float(made)


def test_an_open_page_is_given_the_same_film(asked: Settings) -> None:
    run(asked)
    text = (interp(asked) / "report" / "film.js").read_text()
    assert json.loads(text.removeprefix("renew(").removesuffix(")")) == film_of(asked)
    assert now_of(asked) == film_of(asked)["made"]


def test_a_killed_run_is_not_taken_for_a_running_one(asked: Settings) -> None:
    run(asked)
    Journal(interp(asked) / "journal.jsonl", RunInfo([], "", False, "24", {}, {}))
    reporting.write_report(asked, Silent())
    assert not film_of(asked)["running"]
    with hold(interp(asked)):
        reporting.write_report(asked, Silent())
        assert film_of(asked)["running"]


def test_jumps_are_what_a_viewer_notices() -> None:
    """Of a bad stretch the worst place is shown; beside few jumps, what comes nearest to one."""
    measured = {
        1: Steadiness(0.1, 0.2),
        2: Steadiness(0.6, 0.2),
        5: Steadiness(0.1, 4),
        6: Steadiness(0.1, 3),
        9: Steadiness(0.2, math.nan),
    }
    found = jumps.find(measured)
    assert (found.count, found.shown) == (3, [5, 2, 9])
    assert found.worst == [5, 2]
    many = jumps.find({slide: Steadiness(0.5 + slide % 3, math.nan) for slide in range(100)})
    assert (many.count, many.shown) == (100, [2, 5, 8, 11, 14, 17, 20, 23])
    calm = jumps.find({slide: measured[slide] for slide in (1, 9)})
    assert (calm.count, calm.shown) == (0, [9, 1])
    assert calm.worst == []
    assert jumps.find({1: Steadiness(0, 0)}).shown == jumps.find({}).shown == []


def test_a_report_does_not_wait_for_the_lock(asked: Settings) -> None:
    run(asked)
    (interp(asked) / "report.html").unlink()
    with hold(interp(asked)):
        reporting.write_report(asked, Silent())
    assert (interp(asked) / "report.html").exists()


def test_a_folder_of_the_original_program(asked: Settings) -> None:
    run(asked)
    for name in ("journal.jsonl", "settings.json", "report.html", "input.json"):
        (interp(asked) / name).unlink()
    shutil.rmtree(interp(asked) / "report")
    assert reporting.write_report(with_command(asked), Silent()) == interp(asked) / "report.html"
    film = film_of(asked)
    assert film["runs"] == film["backends"] == film["warnings"] == []
    assert film["command"].startswith(f"video-restyle {asked.source} {asked.target} --backend")
    assert block_of(asked)["state"] == "kkkkkkk" and block_of(asked)["small"] == "1111111"


def test_deflickered_slides_are_those_that_are_shown(asked: Settings) -> None:
    run(replace(asked, deflicker=1))
    assert film_of(asked)["paths"]["slides"] == "../out/"
    assert block_of(asked)["small"] == "1111111"
    for path in asked.target.glob("*.png"):  # as while a first run goes on
        path.unlink()
    reporting.write_report(asked, Silent())
    assert film_of(asked)["paths"]["slides"] == "drawn/"
    assert block_of(asked)["small"] == "1111111" and "m" not in block_of(asked)["state"]


def test_there_is_nothing_to_report_yet(asked: Settings) -> None:
    with pytest.raises(UnusableInput, match="Nothing has been restyled"):
        reporting.write_report(asked, Silent())
    assert not interp(asked).exists()


def test_settings_are_those_of_the_run(make_frames: MakeFrames, tmp_path: Path) -> None:
    asked = Settings(
        make_frames(9), tmp_path / "out", backends=("preview:clay",), frames_per_slide=3
    )
    run(asked)
    reporting.write_report(replace(asked, frames_per_slide=2), Silent())
    assert film_of(asked)["frames_per_slide"] == 3 and len(block_of(asked)["state"]) == 3


def test_every_script_is_part_of_the_page() -> None:
    scripts = (resources.files("stable_restyle.report") / "assets" / "js").iterdir()
    assert sorted(f"{name}.js" for name in page.SCRIPTS) == sorted(each.name for each in scripts)


def test_fresh_begins_a_new_report(asked: Settings) -> None:
    run(asked)
    run(replace(asked, mask_strength=5.0, fresh=True))
    assert [each["slides"] for each in film_of(asked)["runs"]] == [7]
    run(replace(asked, mask_strength=5.0, fresh=True))
    assert [each["slides"] for each in film_of(asked)["runs"]] == [7]


def test_no_secret_is_in_any_file(asked: Settings) -> None:
    with ComfyServer() as server:
        url = server.url.replace("http://", "http://ann:sesame@") + "?token=hush"
        run(with_command(replace(asked, backends=(url,), headers=("X-Key: open",))))
    for path in interp(asked).rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(each in data for each in (b"sesame", b"hush", b"X-Key")), path
    film = film_of(asked)
    assert film["secrets"] and film["command"].endswith(f"--backend {server.url}")
    assert film["backends"][0]["name"] == server.url
    assert film["backends"][0]["what"].startswith("ComfyUI ")


def test_the_command_goes_on_with_the_run() -> None:
    settings = Settings(
        Path("my film.mp4"),
        Path("clay.mp4"),
        changes=("6.text=a fox",),
        mask_strength=0.0,
        anchor=0.5,
        seed=3,
        rate=Fraction(30000, 1001),
        fresh=True,
        save_interp=True,
        headers=("X: y",),
        redo="3",
        backends=("http://me:hush@a:8188", "http://b:8188/comfy?token=hush"),
    )
    assert with_command(settings).command == (
        *("video-restyle", "my film.mp4", "clay.mp4"),
        *("--backend", "http://a:8188", "--backend", "http://b:8188/comfy"),
        *("--set", "6.text=a fox", "--mask-strength", "0", "--anchor", "0.5"),
        *("--rate", "30000/1001", "--save-interp"),
    )


def test_how_busy_backends_were(asked: Settings) -> None:
    """Two slides at once count once; the first backend waited in the second half of the time."""
    run(asked)
    path = interp(asked) / "journal.jsonl"
    path.unlink()
    Journal(path, RunInfo([], "", False, "24", {}, {"a": "one", "b": "another"}))
    drawn = [(1, 0, 5, 4), (2, 0, 7, 3), (3, 1, 5, 10)]
    JsonLines(path).add(*({"drawn": each} for each in drawn), {"ended": "", "at": 20})
    reporting.write_report(asked, Silent())
    first, second = film_of(asked)["backends"]
    assert (first["busy"], first["seconds"], first["slides"]) == (50, 3.5, 2)
    half = timeline.BINS // 2
    assert first["timeline"] == [100] * half + [0] * half
    assert second["timeline"] == [100] * timeline.BINS
    assert film_of(asked)["runs"][0]["drawing"] == 10


def test_warnings_come_once_with_their_number(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked)
    about = RunInfo([], "", False, "24", {}, {})
    notes = Journal(interp(asked) / "journal.jsonl", about)
    for text in ("one", "two", "one"):
        notes.warn(text)
    for number in range(summary.WARNINGS_SHOWN):
        notes.warn(f"number {number}")
    notes.drawn(0, DrawRecord("", 0, 1))
    reporting.write_report(asked, Silent())
    warnings = film_of(asked)["warnings"]
    assert [row[1:] for row in warnings[:2]] == [["one", 2], ["two", 1]]
    assert warnings[-1][1] == "and 2 more"


def test_a_report_that_cannot_be_written_spoils_no_run(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (interp(asked) / "report.html").mkdir(parents=True)
    with caplog.at_level(logging.WARNING):
        assert run(asked).drawn == 7
    assert "There is no report of this run" in caplog.text
    with pytest.raises(UnusableInput, match=r"report\.html cannot be written"):
        reporting.write_report(asked, Silent())


def test_reports_at_the_same_time(asked: Settings) -> None:
    run(asked)
    shutil.rmtree(interp(asked) / "report")
    failed: list[BaseException] = []

    def write() -> None:
        try:
            reporting.write_report(asked, Silent())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert block_of(asked)["small"] == "1111111"
    left = [path for path in interp(asked).rglob("*.part")]
    assert left == []


def test_settings_are_told_in_words() -> None:
    settings = {
        "film": "film.mp4, 736424 bytes",
        "fill_only": False,
        "seed": None,
        "set": [],
        "anchor": 0.0,
    }
    rows = dict(summary._settings(settings))
    assert rows == {"Film": "film.mp4, 736 kB", "Anchor": "0"}
    assert dict(summary._settings({"fill_only": True})) == {"Fill only": "yes"}


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 bytes"), (998, "998 bytes"), (999_600, "1 MB"), (1_234_567_890, "1.23 GB")],
)
def test_sizes_are_told_in_units_that_people_read(size: int, said: str) -> None:
    assert bytes_in_words(size) == said
