"""Measure whole runs over simulated servers: how busy the servers are, and what a slide costs.

Three cases, each run in a fresh process. By codec: one server that takes 0.25 s per slide, 24
slides of one scene, the median of seven runs; and eight servers that take 2 s, 360 slides of 30
scenes. By flow and `--guide frame`: eight servers that take 2 s, one scene of 100 slides. Targets:
at most 0.17 s of processor time per slide by codec, at most 0.35 s for composing one; servers busy
for 97 % of the time (`--guide frame` 95 %), counted until fewer slides can be drawn than there are
servers; the whole run, at most 1.05 times its lower bound, the
larger of total work / servers and the longest chain. Time counts from the start of the process to
its end, as from the command: see also `films`.

Also reported: slides per second; what each step costs and how often it is done; the peak memory;
and, where chains never wait for servers (the first case), how long the server waited for this
program and when, and the time from an answer to the next request of its chain. Other programs
hardly change processor times, but distort everything else: measure on an idle machine.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import footage, process, servers
from benchmarks.report import Figure, Report, command
from benchmarks.servers import Worked
from benchmarks.watch import COUNTED, STEPS, Watch
from stable_restyle.core.records import Step
from stable_restyle.core.settings import FRAME, WARPED, Settings
from stable_restyle.plan import answers, scenes
from stable_restyle.run import pipeline

FPS = 2
CPU_S = 0.17  # per slide
BUSY_PERCENT, COMPOSING_BUSY_PERCENT = 97, 95
COMPOSING = ("motion", "warp", "mask", "compose")  # steps
COMPOSING_CPU_S = 0.35  # per slide
OVER_BOUND = 1.05


@dataclass(frozen=True)
class Case:
    """A film and the servers that draw it."""

    name: str
    servers: int
    draw_s: float  # per slide
    lengths: Sequence[int]  # of the scenes, in slides
    runs: int = 1  # the median of these is reported
    composed: bool = False  # by flow and --guide frame; otherwise by codec

    @property
    def slides(self) -> int:
        return sum(self.lengths)

    def steps(self) -> list[Step]:
        """Return the steps of the pipeline that backends draw."""
        bounds = [0]
        for length in self.lengths:
            bounds.append(bounds[-1] + FPS * length)
        steps = scenes.all_steps(scenes.find_scenes(bounds, FPS))
        return (
            [step for step in answers.split(steps) if step.uses_backend] if self.composed else steps
        )

    def bound_s(self) -> float:
        """Return the lower bound of a run, in seconds."""
        longest = 1 if self.composed else max(length // 2 + 1 for length in self.lengths)
        return self.draw_s * max(self.slides / self.servers, longest)


@dataclass(frozen=True)
class DrawRecord:
    """Measurements from inside the process of a run."""

    cpu_s: float
    peak_mb: float
    step_cpu_s: dict[str, float]
    calls: dict[str, int]
    waits_s: list[float]  # from an answer to the next request of its chain
    finished: list[tuple[float, int]]  # time.monotonic(), slide


def measure(out: Path, small: bool) -> Report:
    """Run both cases, one after the other."""
    frames = (footage.small_frames if small else footage.real_frames)(out)
    figures: list[Figure] = []
    details: dict[str, object] = {}
    for case in _small_cases() if small else cases():
        runs = [_run(case, frames, out) for _ in range(case.runs)]
        figures += _medians([_figures(case, run) for run in runs])
        details[case.name] = {
            "case": asdict(case),
            "runs": [asdict(run) for run in runs],
        }
    return Report("speed", "Whole runs over simulated servers", figures, details)


def cases() -> list[Case]:
    """Return the cases; the second takes at least 90 s, the third 26 s."""
    chance = random.Random(4)
    lengths = [chance.randint(6, 18) for _ in range(29)]
    return [
        Case("1 server", 1, 0.25, [24], runs=7),
        Case("8 servers", 8, 2.0, [*lengths, 360 - sum(lengths)]),
        Case("8 servers, guide frame", 8, 2.0, [100], composed=True),
    ]


def draw(settings: Settings, previous: dict[int, int | None]) -> DrawRecord:
    """Watch a run, in a fresh process. previous: slide -> the one that it is drawn from."""
    with Watch() as watch:
        began_cpu = time.process_time()
        pipeline.run(settings, process.Silent())
        cpu_s = time.process_time() - began_cpu
    return DrawRecord(
        cpu_s,
        process.peak_mb(),
        dict(watch.cpu_s),
        dict(watch.calls),
        watch.waits(previous),
        watch.finished,
    )


def ran_out(case: Case, finished: Sequence[tuple[float, int]]) -> float:
    """Return when fewer slides could be drawn than there are servers."""
    following = Counter(step.previous for step in case.steps())
    drawable = following[None]
    for when, slide in finished:
        drawable += following[slide] - 1
        if drawable < case.servers:
            return when
    raise AssertionError("the run did not end")


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile of values; nan if there are none."""
    ordered = sorted(values)
    return (
        ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else float("nan")
    )


@dataclass(frozen=True)
class Run:
    """What a run did. Times are in time.monotonic()."""

    began: float  # the process
    ended: float
    drawn: DrawRecord
    worked: Sequence[Worked]

    @property
    def wall_s(self) -> float:
        return self.ended - self.began


def _run(case: Case, frames: Sequence[Path], out: Path) -> Run:
    with (
        TemporaryDirectory(dir=out) as temporary,
        servers.started(case.servers, case.draw_s, frames) as running,
    ):
        film = Path(temporary)
        footage.make_film(frames, [FPS * length for length in case.lengths], film)
        settings = Settings(
            film / "in",
            film / "out",
            frames_per_slide=FPS,
            motion="flow" if case.composed else "codec",
            guide=FRAME if case.composed else WARPED,
            backends=running.urls,
        )
        previous = {step.slide: step.previous for step in case.steps()}
        began = time.monotonic()
        drawn = process.alone(draw, settings, previous)
        return Run(began, time.monotonic(), drawn, running.stop())


def _figures(case: Case, run: Run) -> list[Figure]:
    bound_s, drawn, worked = case.bound_s(), run.drawn, run.worked
    figures = [
        Figure("slides per second", case.slides / run.wall_s),
        _busy(case, ran_out(case, drawn.finished), worked),
        Figure(
            "whole run over its lower bound",
            run.wall_s / bound_s,
            at_most=OVER_BOUND if case.runs == 1 else None,  # short runs are mostly their start
            note=f"{run.wall_s:.2f} s, bound {bound_s:.2f} s",
        ),
        _cost(case, drawn),
        *_steps(case, drawn),
        *(_waits(run) if case.servers == 1 else ()),
        Figure("peak memory", drawn.peak_mb, "MB"),
        Figure(
            "processor time per slide, servers",
            sum(each.cpu_s for each in worked) / case.slides,
            "s",
            note="not part of the program, but on the same machine",
        ),
    ]
    return [replace(figure, what=f"{case.name}: {figure.what}") for figure in figures]


def _medians(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """Return the median of each figure."""
    return [
        sorted(same, key=lambda figure: figure.value)[len(runs) // 2]
        for same in zip(*runs, strict=True)
    ]


def _cost(case: Case, drawn: DrawRecord) -> Figure:
    if not case.composed:
        return Figure("processor time per slide", drawn.cpu_s / case.slides, "s", at_most=CPU_S)
    took_s = sum(drawn.step_cpu_s.get(step, 0.0) for step in COMPOSING)
    return Figure(
        "processor time of composing, per slide",
        took_s / case.slides,
        "s",
        at_most=COMPOSING_CPU_S,
        note=f"in all {drawn.cpu_s / case.slides:.3f} s",
    )


def _busy(case: Case, until: float, worked: Sequence[Worked]) -> Figure:
    """Return how busy servers were. until: time.monotonic(); the end of the last slide if later."""
    until = min(until, max(each.spans[-1][1] for each in worked))
    shares = [100 * each.busy_share(until) for each in worked]
    note = "busy: " + ", ".join(f"{share:.1f}" for share in shares) if len(shares) > 1 else ""
    least = COMPOSING_BUSY_PERCENT if case.composed else BUSY_PERCENT
    return Figure("least busy server", min(shares), "%", at_least=least, note=note)


def _steps(case: Case, drawn: DrawRecord) -> Iterator[Figure]:
    """Yield the processor time per slide of each step."""
    rest_s = drawn.cpu_s
    for step in STEPS:
        took_s = drawn.step_cpu_s.get(step, 0.0)
        rest_s -= took_s
        calls = f"{drawn.calls.get(step, 0) / case.slides:.2f} times per slide"
        note = calls if step in COUNTED else ""
        yield Figure(f"  {step}", 1000 * took_s / case.slides, "ms", note=note)
    yield Figure("  the rest", 1000 * rest_s / case.slides, "ms")


def _waits(run: Run) -> Iterator[Figure]:
    """Yield how long the server waits for this program, and a chain; with one chain only."""
    spans, drawn = run.worked[0].spans, run.drawn
    first, last = spans[0][0], spans[-1][1]
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    yield Figure("server waits for its first slide", 1000 * (first - run.began), "ms")
    yield Figure("server waits for the slide after the middle", 1000 * gaps[0], "ms")
    yield Figure(
        "server waits for all others", 1000 * sum(gaps[1:]), "ms", note=f"{len(gaps)} slides"
    )
    yield Figure("run goes on after its last slide", 1000 * (run.ended - last), "ms")
    for name, percent in (("median", 50), ("95 of 100", 95)):
        wait_s = percentile(drawn.waits_s, percent)
        yield Figure(f"answer to next request, {name}", 1000 * wait_s, "ms")


def _small_cases() -> list[Case]:
    return [
        Case("1 server", 1, 0.01, [4], runs=3),
        Case("2 servers", 2, 0.01, [3, 2, 1]),
        Case("2 servers, guide frame", 2, 0.01, [4], composed=True),
    ]


def main() -> None:
    command({"speed": measure}, __doc__)


if __name__ == "__main__":
    main()
