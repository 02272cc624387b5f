"""Run the whole pipeline in the test's own process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.run import pipeline


class Silent:
    """A progress.Progress that only records."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int, int]] = []
        self.counted: list[int] = []

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        self.tasks.append((task, total, done))
        self.counted.append(done)

    def advance(self, count: int) -> None:
        self.counted[-1] += count

    def remark(self, text: str) -> None:
        pass

    def end(self) -> None:
        pass


class Stopping(Silent):
    """Is interrupted once this much is done."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def advance(self, count: int) -> None:
        super().advance(count)
        if sum(self.counted) >= self._after:
            raise KeyboardInterrupt


def run(settings: Settings) -> pipeline.Outcome:
    return pipeline.run(settings, Silent())


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files in a folder, except hidden ones."""
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder, from which some may just be removed."""
    size = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.path.getsize(os.path.join(where, name))
    return size


def interp(asked: Settings) -> Path:
    """Return the working folder of a run into a folder."""
    return asked.target.parent / "interp"


def assert_goes_on(asked: Settings, lost: list[int]) -> None:
    """Check that a run with lost slides draws these again, the same as before, and no others."""
    run(asked)
    whole = files(asked.target)
    for slide in lost:
        (asked.target / sequence.name(slide)).unlink()
    assert run(asked).drawn == len(lost)
    assert files(asked.target) == whole
