"""What `interp/redo.json` holds: seeds of slides that were drawn again, and an unfinished redo."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stable_restyle.core import files


@dataclass(frozen=True)
class RedoNotes:
    """The content of redo.json. In the file, slides are numbered as their file names are."""

    seeds: Mapping[int, int] = field(default_factory=dict)  # of every slide ever drawn again
    slides: Collection[int] = ()  # those of the redo that has not come to its end
    moved: bool = True  # whether the earlier ones of these are out of the way


def read(path: Path) -> RedoNotes:
    """Return what redo.json holds; nothing if it is not there. Raises UnusableInput."""
    if not path.exists():
        return RedoNotes()
    return files.read_json(
        path,
        _parse,
        "It holds the seeds of slides that were drawn again. Remove it if they do not matter.",
    )


def write(path: Path, notes: RedoNotes) -> None:
    """Write redo.json."""
    tree = {
        "seeds": {str(slide + 1): seed for slide, seed in sorted(notes.seeds.items())},
        "unfinished": [slide + 1 for slide in notes.slides],
        "moved": notes.moved,
    }
    files.write_json(path, tree, indent=1)


def _parse(tree: Any) -> RedoNotes:
    seeds = {int(slide) - 1: int(seed) for slide, seed in tree["seeds"].items()}
    return RedoNotes(seeds, [int(slide) - 1 for slide in tree["unfinished"]], bool(tree["moved"]))
