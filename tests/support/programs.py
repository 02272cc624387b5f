"""Start programs and wait for them, within a limit that only a hang reaches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_restyle.core.settings import BACKENDS_VARIABLE

COMMAND = [sys.executable, "-m", "stable_restyle"]
ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP")
LONGEST_S = 300.0  # the whole suite takes as long; pytest's own timeout is twice this


def video_restyle(
    *arguments: object, folder: Path, backends: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, BACKENDS_VARIABLE: backends},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )


class Program(subprocess.Popen[str]):
    """A process with text pipes that is killed when its context is left."""

    def __init__(self, command: list[str], **options: Any) -> None:
        super().__init__(command, text=True, **options)

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)


@contextmanager
def default_signals() -> Iterator[None]:
    """Start programs with default signals, though this one ignores some: under nohup, or after &.

    A program inherits what its parent ignores, but not what its parent handles.
    """
    known = [getattr(signal, name) for name in ENDINGS if hasattr(signal, name)]
    ignored = [each for each in known if signal.getsignal(each) is signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, lambda *_: None)
    try:
        yield
    finally:
        for each in ignored:
            signal.signal(each, signal.SIG_IGN)


def until(condition: Callable[[], object], *running: subprocess.Popen[Any]) -> None:
    """Wait until a condition holds.

    Raises AssertionError if it does not within LONGEST_S, or if one of `running` ends before.
    """
    give_up_at = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < give_up_at, f"it has not happened within {LONGEST_S:g} s"
        for program in running:
            assert program.poll() is None, f"{program.args!r} has ended too soon"
        time.sleep(0.005)
