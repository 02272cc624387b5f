"""Wrong input of every kind ends in a refusal. A few cases here, a million in `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest
from soak import fuzzing

CASES = 300  # of each target


@pytest.mark.parametrize("target", fuzzing.TARGETS, ids=str)
def test_whatever_is_read_ends_in_a_result_or_a_refusal(
    target: fuzzing.Target, tmp_path: Path
) -> None:
    with target.begun(tmp_path) as attempt:
        assert fuzzing.run_cases(attempt, CASES) == CASES
