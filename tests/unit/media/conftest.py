"""Films that are split, a chart of colours, and the processes that a test starts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import clips
from support.media import SQUARE, Split, film_frames_of, ignore

from stable_restyle.core.records import Pixels
from stable_restyle.media import film_frames
from stable_restyle.media.probe import Film, probe_film
from stable_restyle.media.split import split_film


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    """Return a function that probes and splits a film; its frames are read by seeking, too."""

    def probe_and_split(path: Path) -> tuple[Film, list[Pixels]]:
        film = probe_film(path)
        folder = tmp_path / f"frames of {path.name.encode('ascii', 'replace').decode()}"
        folder.mkdir()
        split_film(film, folder, 10, ignore)
        frames = clips.read_folder(folder)
        assert_same_by_seeking(film, frames, tmp_path)
        return film, frames

    monkeypatch.setattr(film_frames, "_STRETCH_PIXELS", 0)
    monkeypatch.setattr(film_frames, "_STRETCH_LEAST", 7)
    return probe_and_split


def assert_same_by_seeking(film: Film, frames: list[Pixels], scratch: Path) -> None:
    """Check that a film that can be sought gives the same frames when they are read backwards.

    Charts of a frame or two have nothing to seek.
    """
    if len(frames) < 8 or (found := film_frames_of(film, scratch)) is None:
        return
    assert found.count == len(frames)
    assert found.marks == [film_frames.mark(frame) for frame in frames]
    for index in reversed(range(found.count)):
        assert np.array_equal(found.read(index), frames[index])


@pytest.fixture(scope="session")
def chart() -> Pixels:
    """Return 64 plain colours in squares, (256, 256, 3)."""
    levels = [(r, g, b) for r in (0, 64, 128, 255) for g in (0, 90, 180, 255) for b in (0, 50, 255)]
    levels += [(grey, grey, grey) for grey in range(0, 256, 17)]
    squares = np.array(levels, np.uint8).reshape(8, 8, 3)
    return squares.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1)


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Return the processes that a test starts."""
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen.__init__

    def noted(child: subprocess.Popen[bytes], *args: Any, **options: Any) -> None:
        start(child, *args, **options)
        started.append(child)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    return started
