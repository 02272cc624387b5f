"""Where the project's files are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
DATA = TESTS / "data"
EXAMPLE = ROOT / "examples" / "big-buck-bunny.mp4"
WORKFLOWS = ROOT / "workflows"
