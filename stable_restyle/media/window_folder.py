"""Folders of finished windows: the pictures of a window's slides, called as these, and a note.

A folder is called by its first and its last slide, and is there only if all of it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TypeVar

from stable_restyle.core import files
from stable_restyle.core.errors import CannotWrite, UnusableInput, cannot_write
from stable_restyle.core.records import Pixels, Slide
from stable_restyle.media import png, sequence

NOTE = "window.json"  # in each folder: the joins
Made = TypeVar("Made")

_NAME = re.compile(r"(\d{6,})-(\d{6,})")


@dataclass(frozen=True)
class Join:
    """Where a window meets a key: how far the model's picture of it is from it, in levels."""

    before: float  # as the model returns it
    after: float  # with its colours corrected


def name(slides: range) -> str:
    """Return the name of a window's folder. slides: from key to key, both included."""
    first, last = (Path(sequence.name(slide)).stem for slide in (slides[0], slides[-1]))
    return f"{first}-{last}"


def write(folder: Path, slides: range, make: Callable[[Path], Made]) -> Made:
    """Have a window made into an empty folder, which becomes its own; return what `make` does.

    Raises CannotWrite, unless another worker of a cluster has made the same window meanwhile.
    """
    window = folder / name(slides)
    made: list[Made] = []
    try:
        with files.made_whole(window) as part:
            made.append(make(part))
    except CannotWrite:
        if not (made and window.is_dir()):
            raise
    return made[0]


def write_picture(window: Path, slide: int, picture: Slide) -> None:
    """Write a picture into the folder of an unfinished window. Raises CannotWrite."""
    path, data = window / sequence.name(slide), picture.png or png.encode(picture.pixels)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise cannot_write(path, error, len(data)) from error


def find(folder: Path) -> set[range]:
    """Return the slides of each finished window of a folder; none if there is no such folder."""
    if not folder.is_dir():
        return set()
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return {range(int(each[1]) - 1, int(each[2])) for each in found if each}


def read(folder: Path, slides: range, slide: int) -> Pixels:
    """Return the model's picture of a slide: (H, W, 3) RGB, of any size. Raises UnusableInput."""
    window = folder / name(slides)
    try:
        return png.read(window / sequence.name(slide))
    except UnusableInput as error:
        raise UnusableInput(
            f"{str(error).partition(chr(10))[0]}\nRemove the folder {window}, and this window is "
            "made again."
        ) from error


def write_joins(window: Path, joins: Mapping[int, Join]) -> None:
    """Write the note of a folder. joins: by slide; of a window, by that of the key."""
    tree = {sequence.name(slide): astuple(join) for slide, join in joins.items()}
    files.write_json(window / NOTE, {"joins": tree})


def read_joins(folder: Path) -> dict[range, dict[int, Join]]:
    """Return the joins of each finished window, by the slide of the key."""
    found = {}
    for slides in find(folder):
        with suppress(UnusableInput):  # the report can do without
            found[slides] = _read_note(folder / name(slides))
    return found


def read_note(folder: Path) -> dict[int, Join]:
    """Return the joins that a folder's note has; none if it cannot be read."""
    with suppress(UnusableInput):
        return _read_note(folder)
    return {}


def _read_note(folder: Path) -> dict[int, Join]:
    return files.read_json(folder / NOTE, _joins, "")


def tidy(folder: Path) -> None:
    """Remove what a killed run has left of unfinished windows."""
    for part in folder.glob(f"*{files.PART}-*"):
        with suppress(OSError):
            files.remove_tree(part)


def remove(folder: Path, windows: Iterable[range]) -> None:
    """Remove finished windows. Raises UnusableInput."""
    for slides in windows:
        files.remove_folder(folder / name(slides))


def _joins(tree: Any) -> dict[int, Join]:
    joins = {sequence.index_of(key): Join(*map(float, its)) for key, its in tree["joins"].items()}
    if not all(math.isfinite(figure) for each in joins.values() for figure in astuple(each)):
        raise ValueError("a step is not a number")
    return joins
