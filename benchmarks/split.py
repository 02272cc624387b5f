"""Compare splitting a film, with scene detection, to FFmpeg's own PNG export.

The ten-second clip of `examples/`, 240 frames of 640x360. Ours is probing and splitting as in a
run; FFmpeg's is `ffmpeg -i film %06d.png` with its defaults and the same FFmpeg. Both are run in
turn; the result is the median of their ratios. Target: at least as fast, a ratio of at most 1.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.footage import EXAMPLE
from benchmarks.report import Figure, Report, command
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.media.ffmpeg import find_ffmpeg
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import split_film

PAIRS = 5


def measure(out: Path, small: bool) -> Report:
    """Time some pairs, after one that is not counted: it reads the film into the cache."""
    film = _test_card(out) if small else EXAMPLE
    pairs = [_pair(film, out) for _ in range(1 + (1 if small else PAIRS))][1:]
    ours, theirs = zip(*pairs, strict=True)
    return Report(
        "split",
        "Splitting the ten-second clip",
        [
            Figure("with scene detection", statistics.median(ours), "s"),
            Figure("FFmpeg's PNG export", statistics.median(theirs), "s"),
            Figure(
                "ratio",
                statistics.median(mine / its for mine, its in pairs),
                at_most=1,
                note=f"{len(pairs)} pairs in turn",
            ),
        ],
        {"pairs_s": pairs},
    )


def _pair(film: Path, out: Path) -> tuple[float, float]:
    """Return the seconds that ours and FFmpeg's take."""
    with TemporaryDirectory(dir=out) as ours, TemporaryDirectory(dir=out) as theirs:
        began = time.perf_counter()
        split_film(probe_film(film), Path(ours), Settings().scene_threshold, lambda _: None)
        between = time.perf_counter()
        export = [find_ffmpeg(), "-v", "error", "-i", str(film.resolve()), "%06d.png"]
        subprocess.run(export, cwd=theirs, stdin=subprocess.DEVNULL, check=True)
        ended = time.perf_counter()
        assert sequence.numbered(Path(ours)) == sequence.numbered(Path(theirs))
    return between - began, ended - between


def _test_card(out: Path) -> Path:
    """Make a film of half a second."""
    film = out / "test-card.mp4"
    card = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=24:duration=0.5"]
    subprocess.run([find_ffmpeg(), "-y", "-v", "error", *card, str(film)], check=True)
    return film


def main() -> None:
    command({"split": measure}, __doc__)


if __name__ == "__main__":
    main()
