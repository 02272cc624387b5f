"""The journal records a run, and survives a kill."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from stable_restyle.core import film_threads
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.records import DrawRecord
from stable_restyle.workdir import journal
from stable_restyle.workdir.journal import Journal, JsonLines, Run, RunInfo, SlideDrawn

ABOUT = RunInfo(
    command=["video-restyle", "in", "out"],
    folder="/films",
    secrets=False,
    rate="24",
    versions={"video-restyle": "1.0"},
    backends={"http://a:8188": "ComfyUI 0.3", "http://b:8188": "ComfyUI 0.4"},
)


def test_what_is_noted_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 100.0)
    path = tmp_path / "journal.jsonl"
    notes = Journal(path, ABOUT)
    notes.drawn(6, DrawRecord("http://b:8188", 102.0, 1.5))
    notes.warn("http://a:8188 is left out for now")
    notes.failed([3, 4], "000009.png is damaged")
    [run] = journal.read(path)
    assert run.about == ABOUT
    [slide] = run.slides
    assert slide == SlideDrawn(6, "http://b:8188", 2.0, 1.5)
    assert [text for _, text in run.warnings] == ["http://a:8188 is left out for now"]
    assert run.failed == [([3, 4], "000009.png is damaged")]
    assert run.ended_s is None and run.last_s == 3.5
    notes.end("it was interrupted")
    [run] = journal.read(path)
    assert run.ended_s is not None and run.outcome == "it was interrupted"


def test_what_a_later_run_notes_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, ABOUT)
    notes = Journal(path, ABOUT)
    notes.drawn(0, DrawRecord("", 0, 0.25))  # filled from its keys, started before the journal
    notes.drawn(1, DrawRecord("http://a:8188", 0, 1.25))
    notes.drawn(2, DrawRecord("http://c:8188", 0, 2))  # by a worker that joined later
    notes.drawn(3, DrawRecord("http://c:8188", 0, 2))
    notes.warn("it is slow")
    notes.failed([4], "it was lost")
    notes.end("")
    first, second = journal.read(path)
    assert first == Run(first.began, ABOUT)
    assert second.slides == [
        SlideDrawn(0, "", 0.0, 0.25),
        SlideDrawn(1, "http://a:8188", 0.0, 1.25),
        SlideDrawn(2, "http://c:8188", 0.0, 2.0),
        SlideDrawn(3, "http://c:8188", 0.0, 2.0),
    ]
    assert second.about == replace(ABOUT, backends={**ABOUT.backends, "http://c:8188": ""})
    assert [text for _, text in second.warnings] == ["it is slow"]
    assert second.failed == [([4], "it was lost")]
    assert second.ended_s is not None


@pytest.mark.parametrize(
    ("slides", "warnings", "ended_s", "last_s"),
    [
        ([], [], None, 0.0),
        ([(1.0, 9.0), (2.0, 3.0)], [], None, 10.0),
        ([(1.0, 2.0)], [(4.0, "slow"), (3.5, "late")], None, 4.0),
        ([(1.0, 9.0)], [(4.0, "slow")], 4.5, 4.5),
    ],
)
def test_when_a_run_was_last_heard_of(
    slides: list[tuple[float, float]],
    warnings: list[tuple[float, str]],
    ended_s: float | None,
    last_s: float,
) -> None:
    drawn = [SlideDrawn(0, "http://a:8188", *times) for times in slides]
    assert Run(0.0, ABOUT, drawn, warnings, ended_s=ended_s).last_s == last_s


def test_a_run_that_was_killed_while_it_wrote_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    notes = Journal(path, ABOUT)
    for slide in range(3):
        notes.drawn(slide, DrawRecord("http://a:8188", 0, 1))
    path.write_bytes(path.read_bytes()[:-7])
    Journal(path, ABOUT).drawn(2, DrawRecord("http://b:8188", 0, 1))
    first, second = journal.read(path)
    assert [each.slide for each in first.slides] == [0, 1]
    assert [each.slide for each in second.slides] == [2]


@pytest.mark.parametrize(
    "line",
    [
        "?",
        "[]",
        "3",
        '{"drawn":[1]}',
        '{"drawn":[1,9,0,0]}',
        '{"run":{"began":1}}',
        '{"warning":1}',
    ],
)
def test_lines_that_make_no_sense_are_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path, ABOUT).drawn(0, DrawRecord("http://a:8188", 0, 1))
    with path.open("a") as file:
        file.write(f"{line}\n")
    assert [len(run.slides) for run in journal.read(path)] == [1]
    path.write_text(f"{line}\n")
    assert journal.read(path) == []


def test_a_journal_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    notes = Journal(path, ABOUT)
    empty = path.stat().st_size
    for slide in range(99_900, 100_000):
        notes.drawn(slide, DrawRecord("http://b:8188", time.perf_counter() + 1e6, 123.456))
    assert (path.stat().st_size - empty) / 100 < 50


def test_there_is_no_journal_yet(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "journal.jsonl") == []


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"lines\.jsonl cannot be written"):
        JsonLines(tmp_path / "no-folder" / "lines.jsonl").add({})


def test_warnings_wait_for_a_listener() -> None:
    log = logging.getLogger("stable_restyle.somewhere")
    warned: list[str] = []
    with journal.collect_warnings() as heard:
        log.warning("before")
        log.info("no warning")
        heard.forward_to(warned.append)
        log.warning("after %d", 3)
    log.warning("past the run")
    assert warned == ["before", "after 3"]


def test_a_film_drawn_in_parallel_hears_the_warnings_of_its_own_thread() -> None:
    log = logging.getLogger("stable_restyle.somewhere")

    def film() -> list[str]:
        warned: list[str] = []
        with journal.collect_warnings() as heard:
            heard.forward_to(warned.append)
            log.warning("mine")
            for name, text in (
                (film_threads.named("draw"), "its threads'"),
                ("film other.mp4 | draw", "another film's"),
            ):
                other = threading.Thread(target=log.warning, args=[text], name=name)
                other.start()
                other.join()
        return warned

    def one_of_several() -> list[str]:
        film_threads.work_for("one.mp4")
        return film()

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(one_of_several).result() == ["mine", "its threads'"]
    assert film() == ["mine", "its threads'"]
