"""Decide whether a film is finished: its run completed, and nothing has changed since.

At the end of a run, `interp/finished.json` gets a hash of everything that the run read and made.
The film is finished as long as the same hash can be computed again. Nothing is drawn, split or
joined for that.
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
    """Remove the note, since a run has started."""
    files.remove_all(paths.interp, [paths.finished_file.name])


def note(
    paths: RunPaths,
    settings: Mapping[str, object],
    input_snapshot: InputSnapshot,
    slides: Sequence[str],
) -> None:
    """Note that a run has completed.

    settings: those that affect its result. slides: their marks.
    """
    tree = {HASH: _hash(paths, settings, input_snapshot, slides)}
    files.write_json(paths.finished_file, tree)


def holds(
    paths: RunPaths,
    settings: Mapping[str, object],
    input_snapshot: InputSnapshot,
    slides: Sequence[str],
) -> bool:
    """Return whether a run with these settings and this input would have nothing to do."""
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
    tree: dict[str, object] = {
        "settings": settings,
        "frames": input_snapshot.marks,
        "scenes": input_snapshot.bounds,
        "changes": input_snapshot.changes,
        "keys": input_snapshot.keys and keyframes.noted(input_snapshot.keys),
        "slides": slides,
        "result": paths.result and _stamp(paths.result),
    }
    if input_snapshot.values:
        tree["set"] = input_snapshot.values
    if input_snapshot.fill:
        tree["fill"] = input_snapshot.fill
    if input_snapshot.given:
        tree["given"] = input_snapshot.given
    return sha256(json.dumps(tree, default=list).encode()).hexdigest()


def _stamp(film: Path) -> tuple[int, int]:
    found = film.stat()
    return found.st_size, found.st_mtime_ns
