"""How a run shows how far it is; what is shown, and where, is left to `cli`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

Check: TypeAlias = Callable[[], None]  # raises FolderLost once a folder is no longer this run's

DRAWING = "Drawing"  # the task that backends have a part in


class Progress(Protocol):
    """Shows how far a run is. Called in one thread only, the main thread where `cli` shows it."""

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        """A task of `total` units begins, `done` of which are done already."""
        ...

    def advance(self, count: int) -> None:
        """So many more units are done, or none: it is called twice a second at least."""
        ...

    def end(self) -> None:
        """The task has ended, well or not."""
        ...


@contextmanager
def task(progress: Progress, name: str, total: int, unit: str, *, done: int = 0) -> Iterator[None]:
    """A task that has ended when this has, well or not."""
    progress.begin(name, total, done, unit)
    try:
        yield
        progress.advance(0)  # what is made of the task's results may only follow if all is well
    finally:
        progress.end()


@dataclass(frozen=True)
class LockCheckedProgress:
    """Progress of a task in folders that must stay this run's."""

    progress: Progress
    check: Check

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        self.check()
        self.progress.begin(task, total, done, unit)

    def advance(self, count: int) -> None:
        self.check()
        self.progress.advance(count)

    def end(self) -> None:
        self.progress.end()
