"""The pictures of --given: which slides they are, and their copies among the slides."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, WrongUsage, counted, reason
from stable_restyle.media import png, sequence

_NUMBERED = re.compile(r"\d+\.\w+")


@dataclass(frozen=True)
class GivenSlide:
    """A slide that is a picture of the user's."""

    path: Path
    mark: str  # differs from that of every other picture
    size: tuple[int, int]  # width and height


def find(folder: Path | None, frames: int, frames_per_slide: int) -> Mapping[int, GivenSlide]:
    """Return the given slides by index; none without a folder. frames: in the film.

    Pictures are numbered as the frames that they show. Raises WrongUsage, UnusableInput.
    """
    if folder is None:
        return {}
    try:
        names = sorted(path.name for path in folder.iterdir() if _NUMBERED.fullmatch(path.name))
    except OSError as error:
        raise UnusableInput(
            f"--given {folder} cannot be read: {reason(error)}.\nName the folder of your pictures."
        ) from error
    if not names:
        raise WrongUsage(
            f"--given {folder}: there are no pictures in it.\nNumber them as the frames that they "
            f"show, such as {sequence.name(0)} and {sequence.name(10 * frames_per_slide)}."
        )
    return dict(_given(folder / name, frames, frames_per_slide) for name in names)


def _given(path: Path, frames: int, frames_per_slide: int) -> tuple[int, GivenSlide]:
    frame = sequence.index_of(path.name)
    if path.name != sequence.name(frame):
        raise WrongUsage(
            f"--given: {path} must be a PNG that is called as its frame: {sequence.name(frame)}."
        )
    if not 0 <= frame < frames:
        raise WrongUsage(
            f"--given: {path} is none of the film's {counted(frames, 'frame')}; pictures are "
            "numbered as frames."
        )
    slide, beside = divmod(frame, frames_per_slide)
    if beside:
        near = [slide * frames_per_slide, (slide + 1) * frames_per_slide]
        shown = " or ".join(sequence.name(each) for each in near if each < frames)
        raise WrongUsage(
            f"--given: no slide shows the frame of {path}: with --fps {frames_per_slide}, slides "
            f"show {sequence.name(0)}, {sequence.name(frames_per_slide)}, and so on.\n"
            f"Make it a picture of {shown}."
        )
    try:
        header = png.read_header(path)
    except UnusableInput as error:
        what = str(error).partition("\n")[0]
        raise UnusableInput(f"--given: {what}\nSave the picture as a PNG again.") from error
    return slide, GivenSlide(path, header.mark, header.size)


def check_sizes(given: Mapping[int, GivenSlide], width: int, height: int) -> None:
    """Raise UnusableInput if a picture has another size than the frames."""
    for each in given.values():
        if each.size != (width, height):
            raise UnusableInput(
                f"--given: {each.path} is {each.size[0]}x{each.size[1]}, but the frames are "
                f"{width}x{height}.\nScale it to this size."
            )


def check_contents(given: Mapping[int, GivenSlide]) -> None:
    """Raise UnusableInput if a picture is damaged."""
    for each in given.values():
        png.read(each.path)


def put(given: Mapping[int, GivenSlide], missing: Collection[int], slides: Path) -> None:
    """Copy the given pictures that are missing among the slides. Raises UnusableInput."""
    for slide, each in given.items():
        if slide in missing:
            files.write_whole(slides / sequence.name(slide), png.encode(png.read(each.path)))
