"""Measure films from the command to the end of its process, over simulated servers.

Two servers that take 1 s per slide, codec motion. The ten seconds of `examples/`, the median of
five runs; and the ten minutes of Big Buck Bunny at 1280x720, `--fps 8`, a quarter of an hour.
Targets on two idle cores: the first prompt reaches a server at most 1.5 s after the command for the
ten seconds, and at most 5 s for the ten minutes; servers are busy for 95 % of the ten minutes, from
the command to the end of the process; frames on disk take at most 1 GB at any time.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import footage, servers
from benchmarks.clips import WHOLE_FILM
from benchmarks.footage import EXAMPLE
from benchmarks.report import Figure, Report, command
from benchmarks.servers import ROOT, Worked
from stable_restyle.media.ffmpeg import find_ffmpeg
from stable_restyle.media.scratch import PREFIX

SERVERS, DRAW_S, RUNS = 2, 1.0, 5
LOOKS_S = 0.5  # between two looks at the disk
GB = 10**9


@dataclass(frozen=True)
class Case:
    """A film, and what is wanted of its run."""

    name: str
    film: Path
    draw_s: float  # per slide
    frames_per_slide: int
    first_s: float  # from the command to the first prompt, at most
    busy_percent: float | None = None  # at least
    runs: int = 1  # the median of these is reported


@dataclass(frozen=True)
class Run:
    """What was seen of a run from outside. Times are in time.monotonic()."""

    began: float
    ended: float
    scratch_bytes: int  # of frames on disk, at most
    worked: Sequence[Worked]

    @property
    def first_s(self) -> float:
        """Return the seconds from the command to the first prompt."""
        return min(each.spans[0][0] for each in self.worked) - self.began

    @property
    def last_s(self) -> float:
        """Return the seconds from the last slide to the end of the process."""
        return self.ended - max(each.spans[-1][1] for each in self.worked)

    @property
    def busy_percent(self) -> float:
        """Return how busy the least busy server was, from the command to the end."""
        return 100 * min(each.busy_between(self.began, self.ended) for each in self.worked)


def measure(out: Path, small: bool) -> Report:
    """Run every case whose film is there."""
    pictures = (footage.small_frames if small else footage.real_frames)(out)
    figures: list[Figure] = []
    details: dict[str, object] = {}
    for case in _small_cases(out) if small else cases():
        runs = [_run(case, pictures, out) for _ in range(case.runs)]
        figures += _figures(case, runs)
        details[case.name] = [asdict(run) for run in runs]
    return Report("films", "From the command to the end of the process", figures, details)


def cases() -> list[Case]:
    """Return the cases."""
    clip = Case("ten seconds", EXAMPLE, DRAW_S, 2, first_s=1.5, runs=RUNS)
    film = Case("ten minutes", WHOLE_FILM, DRAW_S, 8, first_s=5.0, busy_percent=95.0)
    return [case for case in (clip, film) if case.film.exists()]


def _run(case: Case, pictures: Sequence[Path], out: Path) -> Run:
    """Run the program in a process of its own."""
    with (
        TemporaryDirectory(dir=out) as temporary,
        servers.started(SERVERS, case.draw_s, pictures) as running,
    ):
        target = Path(temporary, "out.mp4")
        words = [sys.executable, "-m", "stable_restyle", str(case.film.resolve()), str(target)]
        words += ["--motion", "codec", "--fps", str(case.frames_per_slide), "--quiet"]
        words += [word for url in running.urls for word in ("--backend", url)]
        largest, began = 0, time.monotonic()
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as program:
            while program.poll() is None:
                largest = max(largest, _scratch_bytes(target.with_suffix(".restyle")))
                with suppress(subprocess.TimeoutExpired):
                    program.wait(LOOKS_S)
            ended = time.monotonic()
        if program.returncode:
            raise RuntimeError(f"the run ended with exit code {program.returncode}")
        return Run(began, ended, largest, running.stop())


def _scratch_bytes(work: Path) -> int:
    """Return how many bytes of frames are on disk."""
    size = 0
    for folder in work.glob(f"interp/{PREFIX}*"):
        for where, _, names in os.walk(folder):
            for name in names:
                with suppress(OSError):  # just removed
                    size += os.path.getsize(os.path.join(where, name))
    return size


def _figures(case: Case, runs: Sequence[Run]) -> list[Figure]:
    first_s, last_s = (
        statistics.median(seconds)
        for seconds in ([run.first_s for run in runs], [run.last_s for run in runs])
    )
    busy = statistics.median(run.busy_percent for run in runs)
    largest = max(run.scratch_bytes for run in runs)
    name = case.name
    return [
        Figure(f"{name}: command to first prompt", first_s, "s", at_most=case.first_s),
        Figure(f"{name}: last slide to the end", last_s, "s"),
        Figure(f"{name}: least busy server, of all", busy, "%", at_least=case.busy_percent),
        Figure(f"{name}: frames on disk, at most", largest / GB, "GB", at_most=1.0),
    ]


def _small_cases(out: Path) -> list[Case]:
    film = out / "test-card.mp4"
    card = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=24:duration=0.5"]
    subprocess.run([find_ffmpeg(), "-y", "-v", "error", *card, str(film)], check=True)
    return [Case("half a second", film, 0.01, 2, first_s=1.5)]


def main() -> None:
    command({"films": measure}, __doc__)


if __name__ == "__main__":
    main()
