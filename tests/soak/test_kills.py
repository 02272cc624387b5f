"""Kill runs at any moment: nothing is lost. `make soak` has more of these stories."""

from __future__ import annotations

from pathlib import Path
from random import Random
from secrets import randbits

import pytest
from soak import kills


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(story, marks=[pytest.mark.long] if index in (1, 2, 3, 5) else [])
        for index, story in enumerate([*kills.STORIES[1:14:3], kills.STORIES[-1]])
    ],
    ids=str,
)
def test_a_run_killed_at_any_moment_is_repeated_to_the_same_end(
    story: kills.Story, tmp_path: Path
) -> None:
    seed = randbits(32)
    print(f"{story}: seed {seed}")
    with kills.staged(story, tmp_path) as stage:
        kills.kill_and_repeat(stage, tmp_path / "killed", Random(seed))
