"""Runs by clocks so coarse that most of what is timed takes no time at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import clips
from support.comfy_server import ComfyServer
from support.runs import Silent, files, interp, run

from stable_restyle.core.settings import Settings
from stable_restyle.run import batch, dry_run, measurement, pipeline, reporting, status
from stable_restyle.workdir import journal

pytestmark = pytest.mark.usefixtures("coarse_clock")


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    frames = clips.write_folder(tmp_path / "in", clips.scenes(9, 6, 8))
    return Settings(frames, tmp_path / "out", frames_per_slide=1)


@pytest.mark.parametrize("servers", [1, 2])
def test_a_run_on_servers(asked: Settings, servers: int) -> None:
    with ComfyServer() as one, ComfyServer() as other:
        urls = (one.url, other.url)[:servers]
        assert run(replace(asked, backends=urls)).drawn == 23
        (asked.target / "000012.png").unlink()
        assert run(replace(asked, backends=urls)).drawn == 1


def test_a_run_of_the_preview_engine_with_all_that_is_timed(asked: Settings) -> None:
    settings = replace(asked, backends=("preview:clay",), keys=3, deflicker=1)
    assert run(settings).slides == 23
    (noted,) = journal.read(interp(asked) / "journal.jsonl")
    assert len(noted.slides) == 23
    assert all(each.began_s >= 0 and each.seconds >= 0 for each in noted.slides)
    assert reporting.write_report(settings, Silent()).exists()
    assert measurement.measure_run(settings, Silent()).whole.slides == 23


def test_a_check_and_an_estimate(asked: Settings) -> None:
    with ComfyServer() as server:
        settings = replace(asked, backends=(server.url, "preview:clay"))
        assert [report.fault for report in status.check_backends(settings)] == [None, None]
    settings = replace(asked, backends=("preview:clay",))
    assert dry_run.plan(settings, 0.001, Silent()).drawing_s is not None


def test_a_batch(asked: Settings, tmp_path: Path) -> None:
    films = [
        replace(asked, target=tmp_path / name / "out", backends=("preview:clay",)) for name in "ab"
    ]
    outcomes: list[pipeline.Outcome] = []
    batch.run([batch.Entry(str(film.target), film) for film in films], Silent(), outcomes.append)
    assert [outcome.drawn for outcome in outcomes] == [23, 23]
    assert files(films[0].target) == files(films[1].target)
