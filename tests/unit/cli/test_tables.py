"""The last lines of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from stable_restyle.cli import tables
from stable_restyle.report import jumps
from stable_restyle.report.thumbnails import Steadiness
from stable_restyle.run.pipeline import Outcome


@pytest.mark.parametrize(
    ("flicker", "said"),
    [
        ({}, "no jumps"),
        ({3: 0.2}, "no jumps"),
        ({3: 0.2, 12: 0.6}, "1 jump: slides 12-13"),
        ({3: 0.2, 20: 0.6, 40: 0.4}, "1 jump: slides 20-21"),
        ({12: 0.6, 30: 5, 50: 2}, "3 jumps: slides 12-13, 30-31, 50-51"),
        ({12: 3, 13: 2}, "2 jumps: slides 12-13, ..."),
        (
            dict.fromkeys(range(10, 80, 10), 2),
            "7 jumps: slides 10-11, 20-21, 30-31, 40-41, 50-51, ...",
        ),
    ],
)
def test_the_last_lines_say_how_many_jumps_there_are_and_where(
    flicker: dict[int, float], said: str
) -> None:
    found = jumps.find({slide: Steadiness(its, 0) for slide, its in flicker.items()})
    outcome = Outcome(60, 3, Path("film.mp4"), Path("interp/report.html"), found, 86.2)
    assert tables.summary(outcome) == (
        "Done: 60 slides, 3 of them new, in film.mp4 after 0:01:26.\n"
        f"Report: {Path('interp/report.html')} ({said})"
    )


def test_a_report_that_could_not_be_written_is_not_named() -> None:
    assert "Report" not in tables.summary(Outcome(60, 3, Path("film.mp4")))
