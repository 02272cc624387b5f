"""What the journal keeps of a run, and what of it survives a kill."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from stable_restyle import journal
from stable_restyle.errors import UnusableInput
from stable_restyle.journal import About, Journal, Lines, SlideDrawn
from stable_restyle.model import Drawn

ABOUT = About(
    command=["video-restyle", "in", "out"],
    folder="/films",
    secrets=False,
    rate="24",
    versions={"video-restyle": "1.0"},
    backends={"http://a:8188": "ComfyUI 0.3", "http://b:8188": "ComfyUI 0.4"},
)


def test_what_is_noted_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    notes = Journal(path, ABOUT)
    notes.drawn(6, Drawn("http://b:8188", time.perf_counter() + 2, 1.5))
    notes.warn("http://a:8188 is left out for now")
    notes.failed([3, 4], "000009.png is damaged")
    [run] = journal.read(path)
    assert run.about == ABOUT
    [slide] = run.slides
    assert slide == SlideDrawn(6, "http://b:8188", slide.began_s, 1.5)
    assert slide.began_s == pytest.approx(2, abs=0.5)
    assert [text for _, text in run.warnings] == ["http://a:8188 is left out for now"]
    assert run.failed == [([3, 4], "000009.png is damaged")]
    assert run.ended_s is None and run.last_s == pytest.approx(3.5, abs=0.5)
    notes.end("it was interrupted")
    [run] = journal.read(path)
    assert run.ended_s is not None and run.outcome == "it was interrupted"


def test_a_run_that_was_killed_while_it_wrote_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    notes = Journal(path, ABOUT)
    for slide in range(3):
        notes.drawn(slide, Drawn("http://a:8188", 0, 1))
    path.write_bytes(path.read_bytes()[:-7])
    Journal(path, ABOUT).drawn(2, Drawn("http://b:8188", 0, 1))
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
    Journal(path, ABOUT).drawn(0, Drawn("http://a:8188", 0, 1))
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
        notes.drawn(slide, Drawn("http://b:8188", time.perf_counter() + 1e6, 123.456))
    assert (path.stat().st_size - empty) / 100 < 50


def test_there_is_no_journal_yet(tmp_path: Path) -> None:
    assert journal.read(tmp_path / "journal.jsonl") == []


def test_a_journal_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"lines\.jsonl cannot be written"):
        Lines(tmp_path / "no-folder" / "lines.jsonl").add({})


def test_warnings_wait_for_a_listener() -> None:
    log = logging.getLogger("stable_restyle.somewhere")
    told: list[str] = []
    with journal.hearing() as heard:
        log.warning("before")
        log.info("no warning")
        heard.tell(told.append)
        log.warning("after %d", 3)
    log.warning("past the run")
    assert told == ["before", "after 3"]
