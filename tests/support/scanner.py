"""Simulate a program that has files open, as virus scanners do: Windows refuses to move these."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from motion_transfer import cli
from support.programs import LONGEST_S

from stable_restyle.core import files

STEPS = ("replace", "rename", "unlink", "rmdir")


class Scanner:
    """Refuse file operations like Windows, each `times` times for each name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 2
        self.only = ""  # prefix of the names that it has open
        self.winerror: int | None = 32  # None: refused as POSIX does
        self.refused: Counter[tuple[str, str]] = Counter()  # by step and name
        self._patch = monkeypatch
        self._is_waited_for(LONGEST_S)
        for step in STEPS:
            monkeypatch.setattr(os, step, partial(self._step, step, getattr(os, step)))

    def keep_open(self, name: str) -> None:
        """Refuse files with this prefix until `times` is 0, with a short timeout."""
        self.only, self.times = name, 10**9
        self._is_waited_for(0.1)

    def _is_waited_for(self, patience_s: float) -> None:
        for each in (files, cli):
            self._patch.setattr(each, "PATIENCE_S", patience_s)

    def _step(
        self, step: str, act: Callable[..., None], path: str | Path, *to: Path, **how: int
    ) -> None:
        name = Path(path).name
        is_there = "dir_fd" in how or os.path.lexists(path)
        if is_there and name.startswith(self.only) and self.refused[step, name] < self.times:
            self.refused[step, name] += 1
            refusal = PermissionError(errno.EACCES, "Permission denied", str(path))
            if self.winerror is not None:
                setattr(refusal, "winerror", self.winerror)  # noqa: B010, not known on POSIX
            raise refusal
        act(path, *to, **how)
