"""Measure the peak memory of a run, and whether it grows with the film.

Two servers that take 0.1 s per slide, real frames of 1280x720, scenes of ten slides: a film of 40
slides and one of 400, with codec and with flow, each in a fresh process. Targets: at most 450 MB,
and at most 5 % more for the film ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import footage, process, servers
from benchmarks.report import Figure, Report, command
from stable_restyle.core.settings import Settings
from stable_restyle.run import pipeline

SERVERS = 2
MOTIONS = ("codec", "flow")
FPS = 2
DRAW_S = 0.1
SCENE = 10  # slides
MOST_MB = 450
GROWTH = 1.05


def measure(out: Path, small: bool) -> Report:
    """Measure a film, and one ten times as long."""
    frames = (footage.small_frames if small else footage.real_frames)(out)
    scenes, length, draw_s = (1, 2, 0.0) if small else (4, SCENE, DRAW_S)
    slides = scenes * length
    figures: list[Figure] = []
    for motion in MOTIONS:
        short_mb, long_mb = (
            _most_mb(frames, times * scenes * [FPS * length], draw_s, motion, out)
            for times in (1, 10)
        )
        figures += [
            Figure(f"{motion}: {slides} slides", short_mb, "MB", at_most=MOST_MB),
            Figure(f"{motion}: {10 * slides} slides", long_mb, "MB", at_most=MOST_MB),
            Figure(f"{motion}: film ten times as long", long_mb / short_mb, at_most=GROWTH),
        ]
    figures.append(Figure("before the run, with all imports", process.alone(process.peak_mb), "MB"))
    return Report("memory", "Peak memory of a run with 2 servers", figures)


def draw(settings: Settings) -> float:
    """Return the peak memory of a run; in a fresh process."""
    pipeline.run(settings, process.Silent())
    return process.peak_mb()


def _most_mb(
    frames: Sequence[Path], lengths: Sequence[int], draw_s: float, motion: str, out: Path
) -> float:
    """Return the peak memory of a run. lengths: of the scenes, in frames."""
    with (
        TemporaryDirectory(dir=out) as temporary,
        servers.started(SERVERS, draw_s, frames) as running,
    ):
        film = Path(temporary)
        footage.make_film(frames, lengths, film)
        settings = Settings(
            film / "in", film / "out", frames_per_slide=FPS, motion=motion, backends=running.urls
        )
        return process.alone(draw, settings)


def main() -> None:
    command({"memory": measure}, __doc__)


if __name__ == "__main__":
    main()
