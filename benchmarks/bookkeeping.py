"""Measure everything except servers and pictures for a film of 100,000 frames.

Each frame is a slide of 64x48 pixels, in scenes of fifty. Three things are timed, each in a fresh
process: the plan (--dry-run: list frames and slides, find scenes, schedule); resuming a film of
which all but eight slides are finished, including its report; and executing the whole schedule
with preparing and drawing doing nothing. Targets: together at most 30 s, none over 300 MB, and time
linear in the number of frames: a frame of the long film may take 1.2 times as long as one of a film
of a quarter of the length.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from benchmarks import footage, process
from benchmarks.report import Figure, Report, command
from stable_restyle.core.records import BackendEstimate
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.executor import Work, execute
from stable_restyle.media import png, sequence
from stable_restyle.plan import scenes
from stable_restyle.plan.schedule import Schedule
from stable_restyle.run import dry_run, pipeline

SCENE = 50  # frames, and slides
LEFT = 8  # slides still to draw
SERVERS = [
    BackendEstimate(number, at_once=1, slots=2, slide_s=1.0, busy_s=0.5) for number in range(8)
]
MOST_S, MOST_MB = 30, 300
GROWTH = 1.2


@dataclass(frozen=True)
class Took:
    """Time and memory of one of the three."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(out: Path, small: bool) -> Report:
    """Measure films of a quarter of the length, half of it, and all of it."""
    counts = [100] if small else [25_000, 50_000, 100_000]
    took = {frames: _all(frames, out) for frames in counts}
    total_s = {frames: sum(each.wall_s for each in took[frames].values()) for frames in counts}
    figures = [
        Figure(f"{frames:,} frames: {what}", each.wall_s, "s", note=f"{each.peak_mb:.0f} MB")
        for frames in counts
        for what, each in took[frames].items()
    ]
    quarter, whole = counts[0], counts[-1]
    most_mb = max(each.peak_mb for each in took[whole].values())
    growth = total_s[whole] / whole / (total_s[quarter] / quarter)
    figures += [
        Figure(f"{whole:,} frames: together", total_s[whole], "s", at_most=MOST_S),
        Figure(f"{whole:,} frames: peak memory", most_mb, "MB", at_most=MOST_MB),
        Figure(f"time per frame, against {quarter:,} frames", growth, at_most=GROWTH),
    ]
    details = {str(n): {what: asdict(each) for what, each in took[n].items()} for n in counts}
    return Report("bookkeeping", "Long films, without servers and pictures", figures, details)


def plan(settings: Settings) -> None:
    dry_run.plan(settings, None, process.Silent())


def resume(settings: Settings) -> None:
    pipeline.run(settings, process.Silent())


def schedule(frames: int) -> None:
    """Execute a schedule whose slides need no work."""
    found = scenes.find_scenes(_bounds(frames), 1)
    execute(
        Schedule(scenes.all_steps(found)),
        Work(
            lambda step: step.slide, lambda step, prepared, backend: _nothing, lambda step: _nothing
        ),
        backends=lambda: SERVERS,
        slots=2 * len(SERVERS),
        preparers=2,
        fillers=2,
        stop=lambda: None,
        tick=lambda count: None,
    )


def timed(work: Callable[..., None], *args: object) -> Took:
    """Do the work and measure it; in a fresh process."""
    began, began_cpu = time.monotonic(), time.process_time()
    work(*args)
    return Took(time.monotonic() - began, time.process_time() - began_cpu, process.peak_mb())


def _all(frames: int, out: Path) -> dict[str, Took]:
    with TemporaryDirectory(dir=out) as temporary:
        folder = Path(temporary)
        picture = folder / "picture.png"
        png.write(picture, footage.small_frame(0))
        footage.copies(picture, frames, folder / "in")
        footage.copies(picture, frames, folder / "out")
        _report(picture, frames, folder / "interp" / "report")
        for index in range(0, frames, frames // LEFT):
            (folder / "out" / sequence.name(index)).unlink()
        scenes.write_boundaries(folder / "interp" / "scenes.json", _bounds(frames))
        settings = Settings(
            folder / "in", folder / "out", frames_per_slide=1, backends=("preview:clay",)
        )
        return {
            "plan": process.alone(timed, plan, settings),
            "resume": process.alone(timed, resume, settings),
            "schedule": process.alone(timed, schedule, frames),
        }


def _report(picture: Path, slides: int, folder: Path) -> None:
    """Write what an earlier run kept for the report: thumbnails, and what was measured on them."""
    small = picture.with_suffix(".jpg")
    Image.open(picture).save(small)
    for kind in ("frames", "slides"):
        footage.copies(small, slides, folder / kind)
    made = footage.COPIED_NS // 1_000_000
    steady = (f"[{slide},{made},{made},0.1,0.001]\n" for slide in range(2, slides + 1))
    (folder / "steadiness.jsonl").write_text("".join(steady), "utf-8")


def _nothing() -> None:
    """Save nothing."""


def _bounds(frames: int) -> list[int]:
    return [*range(0, frames, SCENE), frames]


def main() -> None:
    command({"bookkeeping": measure}, __doc__)


if __name__ == "__main__":
    main()
