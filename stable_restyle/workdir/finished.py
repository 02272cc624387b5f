"""Whether a film is finished: its run came to its end, and nothing has changed since.

The end of a run is noted in `interp/finished.json` as one hash of all that it was made of and all
that it made. It holds as long as the same can be found again, so a note that is out of date is
never believed. Nothing is drawn, split or joined to find that out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.media import images
from stable_restyle.plan import keyframes
from stable_restyle.workdir.layout import Input, Places

HASH = "sha256"


def forget(places: Places) -> None:
    """A run is at work: until its end nothing is finished."""
    images.remove(places.interp, [places.finished_file.name])


def note(
    places: Places, settings: Mapping[str, object], made_of: Input, slides: Sequence[str]
) -> None:
    """A run has come to its end. settings: all that decide its result. slides: their marks."""
    told = json.dumps({HASH: _hash(places, settings, made_of, slides)})
    images.write_whole(places.finished_file, told.encode())


def holds(
    places: Places, settings: Mapping[str, object], made_of: Input, slides: Sequence[str]
) -> bool:
    """Whether a run with these settings, over this input, would find nothing left to do."""
    try:
        noted = files.read_json(places.finished_file)
        return bool(noted == {HASH: _hash(places, settings, made_of, slides)})
    except (OSError, ValueError, RecursionError):
        return False


def _hash(
    places: Places, settings: Mapping[str, object], made_of: Input, slides: Sequence[str]
) -> str:
    told = {
        "settings": settings,
        "frames": made_of.marks,
        "scenes": made_of.bounds,
        "changes": made_of.changes,
        "keys": made_of.keys and keyframes.noted(made_of.keys),
        "slides": slides,
        "result": places.result and _stamp(places.result),
    }
    return sha256(json.dumps(told, default=list).encode()).hexdigest()


def _stamp(film: Path) -> tuple[int, int]:
    found = film.stat()
    return found.st_size, found.st_mtime_ns
