"""The pictures of --given: which slides they are, and their copies among the slides."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, WrongUsage, counted, reason
from stable_restyle.media import pictures, png, sequence
from stable_restyle.media.naming import ENDINGS, Naming


@dataclass(frozen=True)
class GivenSlide:
    """A slide that is a picture of the user's."""

    path: Path
    mark: str  # differs from that of every other picture
    size: tuple[int, int]  # width and height


def find(
    folder: Path | None, frames: int, frames_per_slide: int, frame_names: Naming
) -> Mapping[int, GivenSlide]:
    """Return the given slides by index; none without a folder. frames: in the film.

    Pictures are called as the frames that they show, with any ending. Raises WrongUsage,
    UnusableInput.
    """
    if folder is None:
        return {}
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise UnusableInput(
            f"--given {folder} cannot be read: {reason(error)}.\nName the folder of your pictures."
        ) from error
    prefix, tail = frame_names.prefix, frame_names.tail
    middle = tail.rpartition(".")[0]
    called = re.compile(f"{re.escape(prefix)}(\\d+){re.escape(middle)}\\.\\w+", re.DOTALL)
    numbered = {name: int(match[1]) for name in names if (match := called.fullmatch(name))}
    if not numbered:
        shown = (frame_names.name(frame) for frame in (0, 10 * frames_per_slide))
        raise WrongUsage(
            f"--given {folder}: there are no pictures in it that are called as frames.\n"
            f"Call them as the frames that they show, such as {' and '.join(shown)}."
        )
    given: dict[int, GivenSlide] = {}
    for name, number in numbered.items():
        slide, its = _given(
            folder / name, number - frame_names.first, frames, frames_per_slide, frame_names
        )
        if slide in given:
            raise WrongUsage(
                f"--given: {given[slide].path} and {its.path} show the same frame.\n"
                "Remove one of them."
            )
        given[slide] = its
    return given


def _given(
    path: Path, frame: int, frames: int, frames_per_slide: int, frame_names: Naming
) -> tuple[int, GivenSlide]:
    its_name = frame_names.name(frame)
    if path.stem != Path(its_name).stem or path.suffix.lower() not in ENDINGS:
        raise WrongUsage(
            f"--given: {path} must be a picture that is called as its frame: "
            f"{Path(its_name).with_suffix('.png')}.\n"
            f"Other endings that can be read are {', '.join(ENDINGS)}."
        )
    if not 0 <= frame < frames:
        raise WrongUsage(
            f"--given: {path} is none of the film's {counted(frames, 'frame')}; pictures are "
            "numbered as frames."
        )
    slide, beside = divmod(frame, frames_per_slide)
    if beside:
        near = [slide * frames_per_slide, (slide + 1) * frames_per_slide]
        shown = " or ".join(frame_names.name(each) for each in near if each < frames)
        raise WrongUsage(
            f"--given: no slide shows the frame of {path}: with --fps {frames_per_slide}, slides "
            f"show {frame_names.name(0)}, {frame_names.name(frames_per_slide)}, and so on.\n"
            f"Make it a picture of {shown}."
        )
    try:
        header = pictures.read_header(path)
    except UnusableInput as error:
        what = str(error).partition("\n")[0]
        raise UnusableInput(f"--given: {what}\nSave the picture again.") from error
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
        pictures.read(each.path)


def put(given: Mapping[int, GivenSlide], missing: Collection[int], slides: Path) -> None:
    """Copy the given pictures that are missing among the slides. Raises UnusableInput."""
    for slide, each in given.items():
        if slide in missing:
            files.write_whole(slides / sequence.name(slide), png.encode(pictures.read(each.path)))
