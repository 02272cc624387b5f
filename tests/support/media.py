"""Help the tests of media: charts, pixels of films, and a stand-in for FFmpeg."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from support import paths

from stable_restyle.core.records import Pixels
from stable_restyle.media import film_frames, seeking
from stable_restyle.media.film_frames import FilmFrames
from stable_restyle.media.marking import Marked, NotSought, look_through
from stable_restyle.media.probe import Film

BUNNY = paths.EXAMPLE
BUNNY_CUTS = [18, 48, 88, 128, 168, 208, 228]  # 0.75, 2, 3.67, 5.33, 7, 8.67, 9.5 s
SQUARE = 32  # pixels
BT601, BT709, BT2020 = (0.299, 0.114), (0.2126, 0.0722), (0.2627, 0.0593)
each_ffmpeg = pytest.mark.usefixtures("each_ffmpeg")
posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in for FFmpeg is a shell script")
Split = Callable[[Path], tuple[Film, list[Pixels]]]  # probe and split: a film and its frames


def ignore(_: int) -> None:
    pass


def film_frames_of(film: Film, scratch: Path) -> FilmFrames | None:
    """Return the frames of a film, to be read by seeking; None if it cannot be sought."""
    if seeking.why_not_sought(film) or (known := looked_through(film)) is None:
        return None
    bounds = [0, *known.cuts, len(known.marks)]
    found = FilmFrames(film, film.width, film.height, known.marks, bounds, scratch)
    return found if is_exact(found) else None


def looked_through(film: Film, known: Marked | None = None) -> Marked | None:
    """Return the marks and cuts of a film; None if it may give other frames the next time."""
    known = known or Marked([], [])
    try:
        for _ in look_through(film, 10, known):
            pass
    except NotSought:
        return None
    return known


def is_exact(found: FilmFrames) -> bool:
    """Return whether seeking finds frames."""
    return all(found.finds(each) for each in film_frames.trials(found.count))


def worst(picture: Pixels, truth: Pixels) -> int:
    """Return the largest difference of two charts, without the edges of their squares."""
    places = np.arange(picture.shape[0]) % SQUARE
    inner = (places >= SQUARE // 4) & (places < SQUARE - SQUARE // 4)
    return int(np.abs(picture.astype(int) - truth)[inner][:, inner].max())


def stand_in(folder: Path, script: str) -> Path:
    """Write a shell script that is run instead of FFmpeg. Return its path."""
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(path) as container:
        return list(container.decode(video=0))


def in_rgb(frame: av.VideoFrame) -> Pixels:
    """Convert a frame by the formulas of BT.709, limited range, whatever its tags say."""
    planes = [
        np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1) for plane in frame.planes
    ]
    luma, *chroma = (
        p[:, : q.width].astype(float) for p, q in zip(planes, frame.planes, strict=True)
    )
    y = (luma - 16) / 219
    cb, cr = ((plane.repeat(2, axis=0).repeat(2, axis=1) - 128) / 224 for plane in chroma)
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    rgb = np.round(255 * np.stack([red, green, blue], axis=2))
    return rgb.clip(0, 255).astype(np.uint8)


def assert_waited_for(children: list[subprocess.Popen[bytes]]) -> None:
    assert children and all(child.returncode is not None for child in children)
