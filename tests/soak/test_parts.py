"""The long tests as they are started: parts in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import paths
from support.programs import LONGEST_S


def test_a_part_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "soak", "fuzz"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(paths.ROOT / "tests"), "SOAK_MINUTES": "0.01"},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "nothing was lost" in ended.stdout
