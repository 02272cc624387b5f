"""Working folders that the version before made are taken over, whatever has changed since."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import paths
from support.runs import files, run

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.settings import Settings
from stable_restyle.run import status

LOST = "000002.png"
EARLIER = paths.DATA / "earlier-version"
MADE_WITH = {
    "flow": Settings(),
    "codec": Settings(motion="codec"),
    "keys": Settings(keys=3),
}


@pytest.fixture(params=MADE_WITH)
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The settings of a finished run of the version before, of which there is a copy to work in."""
    folder = tmp_path / "work"
    shutil.copytree(EARLIER / request.param, folder)
    return replace(
        MADE_WITH[request.param],
        source=folder / "in",
        target=folder / "out",
        backends=("preview:clay",),
    )


def test_nothing_is_drawn_again(asked: Settings) -> None:
    before = files(asked.target)
    outcome = run(asked)
    assert (outcome.drawn, len(before)) == (0, 6)
    assert files(asked.target) == before
    assert status.is_finished(asked)


def test_a_slide_that_is_missing_is_drawn_again_and_no_other(asked: Settings) -> None:
    before = files(asked.target)
    (asked.target / LOST).unlink()
    assert run(asked).drawn == 1
    after = files(asked.target)
    before.pop(LOST)
    assert after.pop(LOST)
    assert after == before


def test_other_settings_are_refused(asked: Settings) -> None:
    """What the earlier version noted is read, and not passed over."""
    with pytest.raises(UnusableInput, match=r"mask size: \d+ then, 9 now"):
        run(replace(asked, mask_size=9))
