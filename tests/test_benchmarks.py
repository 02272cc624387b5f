"""Every benchmark in its tiny form: it measures, prints a table and saves the same as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import paths

from benchmarks import cluster_simulation
from stable_restyle.cluster import shares
from stable_restyle.plan import scenes

ROOT = paths.ROOT
STEPS = {
    "read",
    "motion",
    "warp",
    "mask",
    "blend",
    "encode",
    "network",
    "decode",
    "write",
}


def measured(name: str, out: Path) -> dict[str, Any]:
    """Run a benchmark, check that its table matches its JSON, and return the JSON."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--small", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    saved: dict[str, Any] = json.loads((out / f"{name}.json").read_text("utf-8"))
    assert done.stdout.startswith(saved["title"] + "\n")
    _, *rows = done.stdout.removeprefix(saved["title"] + "\n").splitlines()
    for figure, row in zip(saved["figures"], rows, strict=False):
        has_target = figure["at_most"] is not None or figure["at_least"] is not None
        assert row.startswith(figure["what"])
        assert ("met" in row or "MISSED" in row) == has_target
    assert list(out.glob("tmp*")) == []
    return saved


@pytest.mark.parametrize(
    "name",
    [
        "startup",
        "split",
        pytest.param("bookkeeping", marks=pytest.mark.long),
        pytest.param("films", marks=pytest.mark.long),
        pytest.param("memory", marks=pytest.mark.long),
        "anchor",
        "steadiness",
        pytest.param("cluster", marks=pytest.mark.long),
    ],
)
def test_a_benchmark_gives_a_table(name: str, tmp_path: Path) -> None:
    saved = measured(name, tmp_path)
    assert saved["figures"] and saved["machine"]["cores"] >= 1


def test_a_run_is_split_into_its_steps(tmp_path: Path) -> None:
    run, *others = measured("speed", tmp_path)["details"]["1 server"]["runs"]
    assert len(others) == 2
    drawn = run["drawn"]
    assert set(drawn["step_cpu_s"]) == STEPS
    assert sum(drawn["step_cpu_s"].values()) <= drawn["cpu_s"]
    assert sorted(slide for _, slide in drawn["finished"]) == [0, 1, 2, 3]
    assert len(drawn["waits_s"]) == 3  # every slide but the middle waits for another
    assert [server["prompts_run"] for server in run["worked"]] == [4]


def test_a_simulated_cluster_draws_all_tasks_and_keeps_its_servers_busy() -> None:
    bounds = [0, 5, 7, 17]
    steps = scenes.all_steps(scenes.find_scenes(bounds, 1))
    film = cluster_simulation.Film(shares.divide(steps, (), 2), 17, 3.0)
    one = cluster_simulation.simulate([film], 2, 1.0)
    # 3 s to prepare it; then one worker has the third scene, its middle first, 10 slides.
    assert one.tasks == 5 and one.seconds == pytest.approx(3 + 10)
    many = cluster_simulation.simulate([film] * 50, 2, 1.0)
    assert many.tasks == 250 and many.busy > 0.9


def test_no_small_film_takes_longer_than_it_has_to(tmp_path: Path) -> None:
    *_, longer = measured("schedule", tmp_path)["figures"]
    assert longer["value"] == 0
