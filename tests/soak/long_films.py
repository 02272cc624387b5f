"""Films of extreme lengths: very many scenes of one frame each, and one very long scene.

`test_long_films.py` draws some hundred frames; `make soak` draws 10,000 scenes, and 100,000 frames.
Pictures are tiny: it is the bookkeeping that is tested.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from support.runs import Silent, files

from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.plan import scenes
from stable_restyle.run import pipeline

WIDTH, HEIGHT = 32, 24
PICTURES = 4  # different ones, repeated
MEMORY_MB = 300  # limit for the bookkeeping of 100,000 frames


def picture(index: int) -> Pixels:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    grey = 128 + 90 * np.sin((columns + 3 * (index % PICTURES)) / 4) * np.cos(rows / 3)
    return np.repeat(grey.astype(np.uint8)[:, :, np.newaxis], 3, axis=2)


def one_frame_a_scene(folder: Path, count: int) -> float:
    """Draw scenes of a frame each; each slide must be the one that its frame alone gives.

    Return the peak memory in 10^6 bytes.
    """
    for index in range(PICTURES):
        alone = folder / f"alone-{index}"
        (alone / "in").mkdir(parents=True)
        png.write(alone / "in" / "000001.png", picture(index))
        pipeline.run(_settings(alone, 1), Silent())
    expected = [files(folder / f"alone-{index}" / "out")["000001.png"] for index in range(PICTURES)]
    film = _film(folder / "film", count, list(range(count + 1)))
    peak_mb = _draw(film, 1, count)
    for index in range(count):
        assert (film / "out" / sequence.name(index)).read_bytes() == expected[index % PICTURES]
    return peak_mb


def one_scene(folder: Path, frames: int, frames_per_slide: int) -> float:
    """Draw one scene of this many frames. Return the peak memory in 10^6 bytes."""
    film = _film(folder / "film", frames, [0, frames])
    slides = scenes.slide_count(frames, frames_per_slide)
    peak_mb = _draw(film, frames_per_slide, slides)
    finished, unfit = sequence.find_slides(film / "out", slides, (WIDTH, HEIGHT))
    assert (len(finished), unfit) == (slides, [])
    return peak_mb


def _draw(film: Path, frames_per_slide: int, slides: int) -> float:
    """Draw a film in a fresh process. Return its peak memory in 10^6 bytes."""
    command = [sys.executable, __file__, str(film), str(frames_per_slide), str(slides)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # to find `support`
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(done.stdout)


def _peak_mb() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text("utf-8").splitlines()
        return 1024e-6 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * 1e-6 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _settings(film: Path, frames_per_slide: int) -> Settings:
    return Settings(
        film / "in", film / "out", frames_per_slide=frames_per_slide, backends=("preview:clay",)
    )


def _film(folder: Path, frames: int, bounds: list[int]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    (folder / "interp").mkdir()
    pictures = [png.encode(picture(index)) for index in range(PICTURES)]
    for index in range(frames):
        (folder / "in" / sequence.name(index)).write_bytes(pictures[index % PICTURES])
    scenes.write_boundaries(folder / "interp" / "scenes.json", bounds)
    return folder


if __name__ == "__main__":
    film, frames_per_slide, slides = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    assert pipeline.run(_settings(film, frames_per_slide), Silent()).drawn == slides
    print(_peak_mb())
