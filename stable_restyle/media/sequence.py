"""Find and check numbered frames and slides, without a gap.

Slides, and the frames that this program writes, are called 000001.png, 000002.png, ...; frames of
the user's as `naming` describes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, counted
from stable_restyle.core.parallel import map_in_order
from stable_restyle.core.records import Pixels
from stable_restyle.media import pictures, png
from stable_restyle.media.naming import OWN, Naming

_NAME = re.compile(r"\d{6,}\.png")


def name(index: int) -> str:
    """Return the file name of a frame or slide. index: from 0; names count from 1."""
    return OWN.name(index)


def index_of(name: str) -> int:
    """Return the frame or slide of a file name, counted from 0: the inverse of `name`."""
    return int(name.partition(".")[0]) - 1


@dataclass(frozen=True)
class FrameFolder:
    """A checked folder of frames: numbered without a gap, all of one size. A `Frames`."""

    folder: Path
    count: int
    width: int
    height: int
    marks: Sequence[str]  # of the frames, see `pictures.read_header`
    names: Naming = OWN

    def read(self, index: int) -> Pixels:
        """Return frame `index` as (H, W, 3) RGB. Raises UnusableInput naming the file."""
        return pictures.read(self.folder / self.names.name(index))

    def stamp(self, index: int) -> int:
        return files.stamp(self.folder / self.names.name(index))

    def serving(self, places: int) -> FrameFolder:
        return self

    def part(self, wanted: range) -> FrameFolder:
        return replace(self, folder=self.folder.absolute(), marks=())

    def release(self) -> None:
        pass


def find_frames(folder: Path) -> FrameFolder:
    """Check a folder of frames that this program wrote, without decoding them.

    Raises UnusableInput for no frames, a gap in the numbering, an incomplete file, or a size that
    differs from the first frame's. Only `read` finds damage inside a file.
    """
    names = numbered(folder)
    if not names:
        raise UnusableInput(
            f"There are no frames in {folder}, where this program put them.\n"
            "Remove the folder, and run the command again."
        )
    for index, found in enumerate(names):
        if found != name(index):
            raise UnusableInput(
                f"{folder / name(index)} is missing, though {names[-1]} is there.\n"
                "Put it back, or remove the folder, and run the command again."
            )
    return check_frames(folder, OWN, len(names))


def check_frames(
    folder: Path, names: Naming, count: int, tick: Callable[[int], None] = lambda _: None
) -> FrameFolder:
    """Check frames that are called in this way, without decoding them.

    tick: called with the number of further frames, twice a second at least. Raises UnusableInput
    if one is unusable, or of another size.
    """
    paths = (folder / names.name(index) for index in range(count))
    headers = list(map_in_order(pictures.read_header, paths, tick))
    width, height = headers[0].size
    sizes = Counter(header.size for header in headers)
    if len(sizes) > 1:
        odd = next(index for index, header in enumerate(headers) if header.size != (width, height))
        other_width, other_height = headers[odd].size
        listed = ", ".join(f"{counted(n, 'frame')} of {w}x{h}" for (w, h), n in sizes.most_common())
        raise UnusableInput(
            f"{folder / names.name(odd)} is {other_width}x{other_height}, "
            f"but {names.name(0)} is {width}x{height}: {listed}.\n"
            "All frames must have one size."
        )
    return FrameFolder(folder, count, width, height, [header.mark for header in headers], names)


def find_slides(
    folder: Path, count: int, frame_size: tuple[int, int]
) -> tuple[set[int], list[str]]:
    """Return which of `count` slides are finished, and a line about each unusable one."""
    finished: set[int] = set()
    unfit: list[str] = []
    for found in numbered(folder):
        slide = index_of(found)
        if not 0 <= slide < count or found != name(slide):
            continue
        if why := _unfit(folder / found, frame_size):
            unfit.append(why)
        else:
            finished.add(slide)
    return finished, unfit


def find_finished(folder: Path, slides: Iterable[int], frame_size: tuple[int, int]) -> set[int]:
    """Return which of these slides are finished, as `find_slides` does."""
    return {
        slide
        for slide in slides
        if (path := folder / name(slide)).exists() and _unfit(path, frame_size) is None
    }


def is_scale(size: Sequence[int], of: Sequence[int]) -> bool:
    """Return whether a picture of one size is a picture of the other at any scale.

    size, of: (width, height) or (height, width), both in the same order. The longer side may be off
    by less than a pixel of `of`.
    """
    return abs(size[0] * of[1] - size[1] * of[0]) < max(of)


def numbered(folder: Path) -> list[str]:
    """Return the numbered names in a folder, in order; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = [entry for entry in os.listdir(folder) if _NAME.fullmatch(entry)]
    return sorted(found, key=index_of)


def indices(folder: Path) -> set[int]:
    """Return which frames or slides are in a folder, counted from 0."""
    return {index_of(entry) for entry in numbered(folder)}


def marks(folder: Path, count: int) -> list[str]:
    """Return the marks of the first `count` slides. Raises UnusableInput."""
    return [png.read_header(folder / name(index)).mark for index in range(count)]


def move(folder: Path, to: Path) -> None:
    """Move the frames or slides of a folder, each atomically. Raises UnusableInput."""
    for each in numbered(folder):
        try:
            files.replace(folder / each, to / each)
        except OSError:  # on another disk
            files.write_whole(to / each, (folder / each).read_bytes())
            files.remove_all(folder, [each])


def _unfit(slide: Path, frame_size: tuple[int, int]) -> str | None:
    """Return why a slide cannot be kept; None if it can."""
    if slide.is_symlink():
        return f"{slide} is a symbolic link."
    try:
        its_size = png.read_header(slide).size
    except UnusableInput as error:
        return str(error).splitlines()[0]
    if is_scale(its_size, frame_size):
        return None
    return (
        f"{slide} is {its_size[0]}x{its_size[1]}, "
        f"but the frames are {frame_size[0]}x{frame_size[1]}."
    )
