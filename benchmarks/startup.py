"""Measure how long `video-restyle --help` and `--version` take, each in a process.

The median of fifteen. Target: at most 0.15 s. For comparison, the time that Python itself takes to
start in the same environment.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from benchmarks.report import Figure, Report, command

TIMES = 15
MOST_S = 0.15


def measure(out: Path, small: bool) -> Report:
    """Run the commands in turn several times, so that a busy moment affects all of them."""
    program = str(Path(sysconfig.get_path("scripts"), "video-restyle"))
    commands = {
        "video-restyle --help": ([program, "--help"], MOST_S),
        "video-restyle --version": ([program, "--version"], MOST_S),
        "Python that does nothing": ([sys.executable, "-c", ""], None),
    }
    took: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(2 if small else TIMES):
        for what, (words, _) in commands.items():
            took[what].append(_seconds(words))
    return Report(
        "startup",
        "Starting the command",
        [
            Figure(what, statistics.median(took[what]), "s", at_most=most_s)
            for what, (_, most_s) in commands.items()
        ],
        dict(took),
    )


def _seconds(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    command({"startup": measure}, __doc__)


if __name__ == "__main__":
    main()
