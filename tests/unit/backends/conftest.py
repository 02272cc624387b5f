"""A server that notes what it is given, and a film for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.noting_server import NotingServer, negative

from stable_restyle.backends import pool
from stable_restyle.core.settings import Settings


@pytest.fixture
def server() -> Iterator[NotingServer]:
    """Start a server that paints the negative of the first picture of a prompt."""
    with NotingServer(negative) as server:
        yield server


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a failing backend again almost at once."""
    monkeypatch.setattr(pool, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(pool, "LONGEST_PAUSE_S", 0.05)


@pytest.fixture
def asked(make_frames: Callable[..., Path], tmp_path: Path) -> Settings:
    """Twenty-one frames in three scenes, eleven slides."""
    return Settings(make_frames(8, 7, 6), tmp_path / "out", save_interp=True)
