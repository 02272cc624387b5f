"""The masks of --only and --only-not: find them, split a film of them, check them.

A film is split once into interp/only, and again when it has changed.
"""

from __future__ import annotations

from stable_restyle.core.errors import UnusableInput, WrongUsage, counted
from stable_restyle.core.progress import Progress
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.media import naming
from stable_restyle.media.frames import Frames
from stable_restyle.media.probe import Film
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.run import prepare
from stable_restyle.workdir.layout import RunPaths, identity


def check(settings: Settings) -> None:
    """Raise WrongUsage, UnusableInput if the masks cannot be used, whatever the film is."""
    if settings.only and settings.only_not:
        raise WrongUsage("--only and --only-not exclude each other: give one of them.")
    path = settings.masks_of_part
    if path is None:
        return
    if identity(path) == identity(settings.target):
        raise WrongUsage(
            f"{_option(settings)} and TARGET are both {path}: one would overwrite the other.\n"
            "Name another TARGET."
        )
    folder, pattern = naming.located(path)
    if not folder.exists():
        raise UnusableInput(
            f"{_option(settings)}: there is no {folder}.\nName a folder with a mask for each "
            "frame, 000001.png, ..., or a film of masks."
        )
    if folder.is_dir():
        try:
            naming.find(folder, pattern, "masks")
        except UnusableInput as error:
            raise UnusableInput(f"{_option(settings)}: {error}") from error


def restyled(settings: Settings) -> str | None:
    """Return what is restyled, as settings.json has it; None for all."""
    if settings.masks_of_part is None:
        return None
    return "white" if settings.only else "black"


def look(settings: Settings) -> Film | FrameFolder | None:
    """Return the masks, or the film of them; None without. Raises UnusableInput."""
    if (path := settings.masks_of_part) is None:
        return None
    return prepare.look_at(path, "masks")


def check_size(settings: Settings, masks: Film | Frames, source: Film | Frames) -> None:
    """Raise UnusableInput if masks have another size than the frames."""
    if (masks.width, masks.height) != (source.width, source.height):
        raise UnusableInput(
            f"{_option(settings)}: the masks are {masks.width}x{masks.height}, but the frames are "
            f"{source.width}x{source.height}.\nScale them to this size."
        )


def check_count(settings: Settings, masks: int, frames: int) -> None:
    """Raise UnusableInput if there are fewer masks than frames."""
    if masks < frames:
        raise UnusableInput(
            f"{_option(settings)}: {settings.masks_of_part} has {counted(masks, 'mask')}, but "
            f"the film has {counted(frames, 'frame')}.\nAdd a mask for each frame; one that is "
            f"all {'black' if settings.only else 'white'} leaves its frame as it is."
        )


def find(settings: Settings, paths: RunPaths, progress: Progress) -> FrameFolder | None:
    """Return the masks of a run; None without. A film is split unless that is done.

    Raises UnusableInput.
    """
    found = look(settings)
    if isinstance(found, Film):
        found = prepare.split_once(found, paths.only, "Splitting masks", progress)
    return found


def find_split(settings: Settings, paths: RunPaths) -> FrameFolder | None:
    """Return the masks if they are there without splitting a film; otherwise None."""
    found = look(settings)
    return prepare.found_split(found, paths.only) if isinstance(found, Film) else found


def subject_masks(settings: Settings, masks: FrameFolder | None) -> SubjectMasks | None:
    """Return what slides read; its path is absolute, as a worker may run in another folder."""
    inverted = settings.only is None
    if masks is None:
        return None
    return SubjectMasks(masks.folder.absolute(), inverted, masks.names)


def _option(settings: Settings) -> str:
    return "--only" if settings.only else "--only-not"
