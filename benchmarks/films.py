"""Measure films from the command to the end of its process, over simulated servers.

Two servers that take 1 s per slide, codec motion. The ten seconds of `examples/`, the median of
five runs; twice the ten seconds as a batch; and the ten minutes of Big Buck Bunny at 1280x720,
`--fps 8`, a quarter of an hour.
Targets on two idle cores: the first prompt reaches a server at most 1.5 s after the command for the
ten seconds, and at most 5 s for the ten minutes; servers are busy for 95 % of the ten minutes, from
the command to the end of the process, which comes at most 5 s after the last slide; frames on disk
take at most 1 GB at any time. Processor time is that of the program and its FFmpegs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import footage, process, servers
from benchmarks.clips import WHOLE_FILM
from benchmarks.footage import EXAMPLE
from benchmarks.report import Figure, Report, command
from benchmarks.servers import ROOT, Worked
from stable_restyle.media.ffmpeg import find_ffmpeg
from stable_restyle.media.scratch import PREFIX

SERVERS, DRAW_S, RUNS = 2, 1.0, 5
LAST_S = 5.0  # from the last slide to the end of the process, at most
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
    films: int = 1  # of a batch, one after the other, if more than one


@dataclass(frozen=True)
class Run:
    """What was seen of a run from outside. Times are in time.monotonic()."""

    began: float
    ended: float
    scratch_bytes: int  # of frames on disk, at most
    cpu_s: float
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
    def longest_wait_s(self) -> float:
        """Return the longest time between two slides of a server."""
        return max(
            after[0] - before[1] for each in self.worked for before, after in pairwise(each.spans)
        )

    @property
    def slide_cpu_s(self) -> float:
        """Return the processor time per slide."""
        return self.cpu_s / sum(each.prompts_run for each in self.worked)

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
    batch = Case("twice ten seconds", EXAMPLE, DRAW_S, 2, first_s=1.5, films=2)
    film = Case("ten minutes", WHOLE_FILM, DRAW_S, 8, first_s=5.0, busy_percent=95.0)
    return [case for case in (clip, batch, film) if case.film.exists()]


def _run(case: Case, pictures: Sequence[Path], out: Path) -> Run:
    """Run the program in a process of its own."""
    with (
        TemporaryDirectory(dir=out) as temporary,
        servers.started(SERVERS, case.draw_s, pictures) as running,
    ):
        target = Path(temporary, "out.mp4")
        words = [sys.executable, "-m", "stable_restyle", str(case.film.resolve()), str(target)]
        if case.films > 1:
            targets = [Path(temporary, f"{film}.mp4") for film in range(case.films)]
            listed = Path(temporary, "films.txt")
            lines = [f'"{case.film.resolve()}" "{each}"\n' for each in targets]
            listed.write_text("".join(lines), "utf-8")
            words[3:] = ["--batch", str(listed)]
        words += ["--motion", "codec", "--fps", str(case.frames_per_slide), "--quiet"]
        words += [word for url in running.urls for word in ("--backend", url)]
        largest, began, began_cpu_s = 0, time.monotonic(), process.children_cpu_s()
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as program:
            while program.poll() is None:
                largest = max(largest, _scratch_bytes(Path(temporary)))
                with suppress(subprocess.TimeoutExpired):
                    program.wait(LOOKS_S)
            ended = time.monotonic()
        if program.returncode:
            raise RuntimeError(f"the run ended with exit code {program.returncode}")
        cpu_s = process.children_cpu_s() - began_cpu_s  # servers count only once they end
        return Run(began, ended, largest, cpu_s, running.stop())


def _scratch_bytes(works: Path) -> int:
    """Return how many bytes of frames are on disk. works: the folder of the working folders."""
    size = 0
    for folder in works.glob(f"*/interp/{PREFIX}*"):
        for where, _, names in os.walk(folder):
            for name in names:
                with suppress(OSError):  # just removed
                    size += os.path.getsize(os.path.join(where, name))
    return size


def _figures(case: Case, runs: Sequence[Run]) -> list[Figure]:
    def median(value: Callable[[Run], float]) -> float:
        return statistics.median(map(value, runs))

    busy = median(lambda run: run.busy_percent)
    largest = max(run.scratch_bytes for run in runs)
    name = case.name
    return [
        Figure(
            f"{name}: command to first prompt",
            median(lambda run: run.first_s),
            "s",
            at_most=case.first_s,
        ),
        Figure(
            f"{name}: last slide to the end", median(lambda run: run.last_s), "s", at_most=LAST_S
        ),
        Figure(f"{name}: longest wait of a server", median(lambda run: run.longest_wait_s), "s"),
        Figure(f"{name}: processor time per slide", median(lambda run: run.slide_cpu_s), "s"),
        Figure(f"{name}: least busy server, of all", busy, "%", at_least=case.busy_percent),
        Figure(f"{name}: frames on disk, at most", largest / GB, "GB", at_most=1.0),
    ]


def _small_cases(out: Path) -> list[Case]:
    film = out / "test-card.mp4"
    card = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=24:duration=0.5"]
    subprocess.run([find_ffmpeg(), "-y", "-v", "error", *card, str(film)], check=True)
    return [
        Case("half a second", film, 0.01, 2, first_s=1.5),
        Case("twice half a second", film, 0.01, 2, first_s=1.5, films=2),
    ]


def main() -> None:
    command({"films": measure}, __doc__)


if __name__ == "__main__":
    main()
