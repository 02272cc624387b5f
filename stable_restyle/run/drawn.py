"""The pictures of --drawn: find them, split a film of them, check them.

A film is split once into interp/pictures, and again when it has changed.
"""

from __future__ import annotations

import logging

from stable_restyle.core.errors import UnusableInput, WrongUsage, counted
from stable_restyle.core.progress import Progress
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.drawing.pictures import DrawnPictures
from stable_restyle.media import naming, sequence
from stable_restyle.media.frames import Frames
from stable_restyle.media.probe import Film
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.plan import scenes
from stable_restyle.run import prepare
from stable_restyle.workdir.layout import RunPaths, identity

log = logging.getLogger(__name__)


def check(settings: Settings) -> None:
    """Raise WrongUsage, UnusableInput if the pictures cannot be used, whatever the film is."""
    if (path := settings.drawn) is None:
        return
    if settings.guide == WARPED:
        raise WrongUsage(
            f"--drawn {path}: slides are composed from pictures that were drawn from frames "
            "alone.\nLeave --guide warped out."
        )
    of_model = {
        "--middle-model": settings.middle_model,
        "--picture": settings.pictures,
        "--prompt": settings.prompt is not None,
        "--negative-prompt": settings.negative_prompt is not None,
        "--set": settings.changes,
        "--seed": settings.seed is not None,
        "--redo": settings.redo,
    }
    if unused := [option for option, value in of_model.items() if value]:
        raise WrongUsage(
            f"--drawn {path}: no model draws, so {' and '.join(unused)} would do nothing.\n"
            "To change a slide, change its picture and run the command again."
        )
    if identity(path) == identity(settings.target):
        raise WrongUsage(
            f"--drawn and TARGET are both {path}: one would overwrite the other.\n"
            "Name another TARGET."
        )
    if not (folder := naming.located(path)[0]).exists():
        raise UnusableInput(
            f"--drawn: there is no {folder}.\nName a film that was restyled frame by frame, or a "
            "folder of its pictures, 000001.png, ..."
        )


def look(settings: Settings) -> Film | FrameFolder | None:
    """Return the pictures, or the film of them; None without. Raises UnusableInput."""
    if (path := settings.drawn) is None:
        return None
    return prepare.look_at(path, "pictures")


def find(
    settings: Settings, paths: RunPaths, frames: Frames, progress: Progress
) -> DrawnPictures | None:
    """Return the pictures of a run; None without. A film is split unless that is done.

    Raises UnusableInput.
    """
    found = look(settings)
    if isinstance(found, Film):
        found = prepare.split_once(found, paths.drawn_film, "Splitting pictures", progress)
    return None if found is None else _for_slides(settings, found, frames)


def find_split(settings: Settings, paths: RunPaths, frames: Frames) -> DrawnPictures | None:
    """Return the pictures if they are there without splitting a film; otherwise None."""
    found = look(settings)
    if isinstance(found, Film):
        found = prepare.found_split(found, paths.drawn_film)
    return None if found is None else _for_slides(settings, found, frames)


def _for_slides(settings: Settings, pictures: FrameFolder, frames: Frames) -> DrawnPictures:
    """Return the pictures by slide. Raises UnusableInput if there are too few."""
    every = per_slide(settings, pictures.count, frames.count)
    return DrawnPictures(pictures, every, frames.width, frames.height)


def per_slide(settings: Settings, pictures: int, frames: int) -> int:
    """Return how many pictures there are per slide: as many as frames, or one.

    pictures, frames: their numbers. Raises UnusableInput if there are too few, or so many that it
    is not known which frames they show.
    """
    slides = scenes.slide_count(frames, settings.frames_per_slide)
    if pictures > (slides - 1) * settings.frames_per_slide:
        return settings.frames_per_slide
    if pictures == slides:
        return 1
    raise UnusableInput(
        f"--drawn: {settings.drawn} has {counted(pictures, 'picture')}, but "
        f"{counted(slides, 'slide')} of {counted(frames, 'frame')} are to be made.\n"
        "Give one picture for each frame, or one for each slide."
    )


def check_before_split(settings: Settings, pictures: int, frames: int) -> None:
    """Raise UnusableInput if there are fewer pictures than slides, before SOURCE is split.

    pictures: how many there are at most. frames: how many there are at least.
    """
    if pictures < scenes.slide_count(frames, settings.frames_per_slide):
        per_slide(settings, pictures, frames)


def check_folder(settings: Settings, paths: RunPaths) -> None:
    """Raise WrongUsage if the pictures are in a folder where this run writes or discards some.

    That TARGET is such a folder is left to `check`.
    """
    if settings.drawn is None or identity(settings.drawn) == identity(settings.target):
        return
    own = map(identity, (paths.shown, paths.drawn, paths.answers))
    if identity(naming.located(settings.drawn)[0]) in own:
        raise WrongUsage(
            f"--drawn {settings.drawn}: this run puts its own pictures there, or removes them.\n"
            "Name another TARGET and another folder with --work, or copy the pictures first."
        )


def check_count(settings: Settings, frames: int) -> None:
    """Raise UnusableInput if there are fewer pictures than slides. frames: their number."""
    found = look(settings)
    assert found is not None
    per_slide(settings, found.frames if isinstance(found, Film) else found.count, frames)


def explain(found: DrawnPictures, slides: int) -> None:
    """Log how the pictures are used; warn if they have another aspect than the frames."""
    log.info(
        "Composing %s from %s, %s.",
        counted(slides, "slide"),
        counted(found.pictures.count, "picture"),
        "one for each slide" if found.every == 1 else f"one of {found.every} each",
    )
    if (beyond := found.pictures.count - slides * found.every) > 0:
        log.warning(
            "%s of --drawn past the end of SOURCE: left out. If it has another frame rate, "
            "the pictures do not fit the frames.",
            counted(beyond, "picture"),
        )
    size, wanted = (found.pictures.width, found.pictures.height), (found.width, found.height)
    if not sequence.is_scale(size, wanted):
        log.warning(
            "The pictures of --drawn are %dx%d and are scaled to %dx%d, the size of the frames. "
            "If they were cropped to that aspect, they do not fit the frames.",
            *size,
            *wanted,
        )
