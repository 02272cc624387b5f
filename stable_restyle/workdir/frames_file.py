"""Read and write frames.json: what the frames of a film are, as found by decoding all of it.

As long as not all of it is decoded, looking.json holds what is known of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput


@dataclass(frozen=True)
class DecodedFilm:
    """The frames of a film that is not exported."""

    film_sha256: str
    ffmpeg: str  # its version: another one may give other pixels
    width: int
    height: int
    cuts: Sequence[int]  # the first frames of scenes but the first, as they were detected
    marks: Sequence[str]  # of the frames, see `media.film_frames`


def read(path: Path) -> DecodedFilm | None:
    """Return what was noted; None if there is nothing that can be used."""

    def parse(noted: Any) -> DecodedFilm:
        found = DecodedFilm(**noted)
        if not all(isinstance(mark, str) for mark in found.marks):
            raise ValueError("a mark is no text")
        return found

    try:
        return files.read_json(path, parse, "")
    except UnusableInput:  # it can be made again
        return None


def write(path: Path, decoded: DecodedFilm) -> None:
    """Write frames.json or looking.json. Raises UnusableInput."""
    files.write_json(path, asdict(decoded))
