"""Report the progress of a run; how it is shown is left to `cli`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Check: TypeAlias = Callable[[], None]  # raises FolderLost once a folder is no longer this run's

DRAWING = "Drawing"  # the task that backends have a part in
COMPOSING = "Composing"  # the one that they have no part in


class Progress(Protocol):
    """Shows the progress of a run. Called in one thread only; for `cli`, in the main thread."""

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        """Start a task of `total` units, `done` of which are done already."""
        ...

    def advance(self, count: int) -> None:
        """Add `count` units that are done, perhaps 0. Called twice a second at least."""
        ...

    def remark(self, text: str) -> None:
        """Show a few words with the task, until others come; none if empty."""
        ...

    def end(self) -> None:
        """End the task, whether it succeeded or not."""
        ...


@contextmanager
def task(progress: Progress, name: str, total: int, unit: str, *, done: int = 0) -> Iterator[None]:
    """Show a task while the context lasts."""
    progress.begin(name, total, done, unit)
    try:
        yield
        progress.advance(0)  # raises if the folder is lost, before the results are used
    finally:
        progress.end()


@dataclass(frozen=True)
class LockCheckedProgress:
    """Progress that raises FolderLost once a folder of the run is no longer this run's."""

    progress: Progress
    check: Check

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        self.check()
        self.progress.begin(task, total, done, unit)

    def advance(self, count: int) -> None:
        self.check()
        self.progress.advance(count)

    def remark(self, text: str) -> None:
        self.progress.remark(text)

    def end(self) -> None:
        self.progress.end()
