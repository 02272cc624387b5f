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
from stable_restyle.core.errors import UnusableInput
from stable_restyle.plan import keyframes
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.layout import RunPaths

HASH = "sha256"


def forget(paths: RunPaths) -> None:
    """A run is at work: until its end nothing is finished."""
    files.remove_all(paths.interp, [paths.finished_file.name])


def note(
    paths: RunPaths,
    settings: Mapping[str, object],
    input_snapshot: InputSnapshot,
    slides: Sequence[str],
) -> None:
    """A run has come to its end. settings: all that decide its result. slides: their marks."""
    tree = {HASH: _hash(paths, settings, input_snapshot, slides)}
    files.write_json(paths.finished_file, tree)


def holds(
    paths: RunPaths,
    settings: Mapping[str, object],
    input_snapshot: InputSnapshot,
    slides: Sequence[str],
) -> bool:
    """Whether a run with these settings, over this input, would find nothing left to do."""
    try:
        noted = files.read_json(paths.finished_file, dict, "")
        return noted == {HASH: _hash(paths, settings, input_snapshot, slides)}
    except (UnusableInput, OSError):
        return False


def _hash(
    paths: RunPaths,
    settings: Mapping[str, object],
    input_snapshot: InputSnapshot,
    slides: Sequence[str],
) -> str:
    tree = {
        "settings": settings,
        "frames": input_snapshot.marks,
        "scenes": input_snapshot.bounds,
        "changes": input_snapshot.changes,
        "keys": input_snapshot.keys and keyframes.noted(input_snapshot.keys),
        "slides": slides,
        "result": paths.result and _stamp(paths.result),
    }
    return sha256(json.dumps(tree, default=list).encode()).hexdigest()


def _stamp(film: Path) -> tuple[int, int]:
    found = film.stat()
    return found.st_size, found.st_mtime_ns
