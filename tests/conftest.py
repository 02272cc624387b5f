"""What many tests start from: small films as folders of frames, whose cuts are known."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from support.programs import default_signals
from support.scanner import Scanner

from stable_restyle.core.records import Pixels
from stable_restyle.media import ffmpeg, png, sequence

WIDTH, HEIGHT = 66, 50  # no multiples of 4 or 8
SCENES = [(40, 90, 200), (220, 180, 60), (60, 160, 80)]  # a colour each

# A busy machine makes any example slow.
settings.register_profile("slow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slow")


@pytest.fixture(scope="session", autouse=True)
def signals() -> Iterator[None]:
    with default_signals():
        yield


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """The command line takes the log over; later tests of the same process look for it too."""
    log = logging.getLogger("stable_restyle")
    was = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = was


def frame(index: int, colour: tuple[int, int, int]) -> Pixels:
    """A square that moves over a textured ground."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    texture = 25 * np.sin(rows / 3.0) * np.cos(columns / 4.0)
    picture = np.array(colour, np.float64) + texture[:, :, np.newaxis]
    left = 4 + 2 * (index % 20)
    picture[15:31, left : left + 16] = 255 - np.array(colour)
    return np.asarray(picture.clip(0, 255), np.uint8)


@pytest.fixture
def make_frames(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of frames: scenes of the given lengths, cuts between them."""

    def make(*lengths: int, name: str = "in") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        index = 0
        for scene, length in enumerate(lengths):
            for _ in range(length):
                picture = frame(index, SCENES[scene % len(SCENES)])
                png.write(folder / sequence.name(index), picture)
                index += 1
        return folder

    return make


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder of this name; skips the test where the system refuses the name."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        try:
            folder.mkdir()
        except OSError as error:
            pytest.skip(f"this system refuses such a name: {error.strerror}")
        return folder

    return make


@pytest.fixture(params=[1 / 64, 1.0], ids=["64 ticks a second", "a tick a second"])
def coarse_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks that stand still between two ticks, as some of Windows' do for 15.6 ms."""
    tick_s: float = request.param

    def tick(clock: Callable[[], float]) -> float:
        return clock() // tick_s * tick_s

    for name in ("monotonic", "perf_counter", "time"):
        monkeypatch.setattr(time, name, partial(tick, getattr(time, name)))


@pytest.fixture
def scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scanner:
    """A program that has each file of this process open for a moment."""
    return Scanner(monkeypatch)


@pytest.fixture(params=list(ffmpeg.programs()), ids=lambda program: Path(program).name)
def each_ffmpeg(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the test with the FFmpeg on PATH, and again with the one of imageio-ffmpeg."""
    monkeypatch.setattr(ffmpeg, "programs", lambda: iter([request.param]))


@pytest.fixture(autouse=True)
def one_at_a_real_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Tests that run in several processes would find each other's prompts there."""
    if request.node.get_closest_marker("comfyui") is None:
        yield
        return
    with FileLock(tmp_path_factory.getbasetemp().parent / "comfyui.lock"):
        yield
