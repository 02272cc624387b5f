"""Read and write `interp/redo.json`: seeds of slides drawn again, and an unfinished redo."""

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
    slides: Collection[int] = ()  # those of a redo that is not finished
    moved: bool = True  # whether the earlier versions of these have been moved away


def read(path: Path) -> RedoNotes:
    """Read redo.json, which need not exist. Raises UnusableInput."""
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
