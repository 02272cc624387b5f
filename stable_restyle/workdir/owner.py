"""Decide whose slides TARGET holds, and whether a film there may be replaced.

settings.json names the folder of slides; owner.json, next to the slides, names the working folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, counted
from stable_restyle.media import sequence
from stable_restyle.workdir import settings_file
from stable_restyle.workdir.layout import MAKER_LENGTH, RunPaths, identity
from stable_restyle.workdir.settings_file import FILMS, MADE_BY, TARGET

WORK = "work"  # in owner.json: the working folder, relative to the folder of slides
FILMS_NOTED = 8


def maker(paths: RunPaths) -> str:
    """Return a short name for the runs of this working folder, unique to it."""
    return str(settings_file.read(paths).get(MADE_BY))[:MAKER_LENGTH]


def check(paths: RunPaths) -> None:
    """Raise UnusableInput if the working folder or the slides in TARGET are another run's."""
    earlier = settings_file.read(paths)
    check_target(paths, earlier)
    if message := objection(paths, earlier, read(paths)):
        raise UnusableInput(message)


def claim_result(paths: RunPaths, film: Path) -> None:
    """Note that `film`, which is complete, is about to replace TARGET.

    Raises UnusableInput if TARGET has become another run's film since this run began.
    """
    settings = settings_file.read(paths)
    check_result(paths, settings)
    settings_file.write(paths, {**settings, FILMS: with_size(settings, film)})


def check_result(paths: RunPaths, earlier: Mapping[str, object]) -> None:
    """Raise UnusableInput if TARGET is a film that this working folder's runs did not make.

    Earlier versions did not note their films: there the working folder is sufficient.
    """
    if paths.result is None or not paths.result.exists():
        return
    sizes = earlier.get(FILMS)
    if not earlier or (isinstance(sizes, list) and paths.result.stat().st_size not in sizes):
        raise UnusableInput(
            f"{paths.result} is there already, and this run did not make it.\n"
            "Move it away or name another TARGET; --fresh overwrites it. "
            "To restyle several films, list them in a file for --batch."
        )


def with_size(earlier: Mapping[str, object], film: Path) -> list[object]:
    """Return the sizes of the films that this working folder made, `film`'s included."""
    sizes = earlier.get(FILMS)
    kept = list(sizes) if isinstance(sizes, list) else []
    if film.exists() and (size := film.stat().st_size) not in kept:
        kept.append(size)
    return kept[-FILMS_NOTED:]


def check_target(paths: RunPaths, earlier: Mapping[str, object]) -> None:
    """Raise UnusableInput if the working folder belongs to the slides of another folder."""
    owner = earlier.get(TARGET)
    if not isinstance(owner, str):
        return
    if "/" in owner or owner == "..":
        folder = _joined(paths.interp, owner)
    else:  # its name alone, as earlier versions noted it
        folder = paths.shown.parent / owner
    try:
        is_other = identity(folder) != identity(paths.shown) and sequence.numbered(folder)
    except (OSError, ValueError):  # no folder can have such a name
        return
    if is_other:
        raise UnusableInput(
            f"{paths.interp} belongs to the run into {folder}.\n"
            f"For {paths.shown} name another working folder with --work."
        )


def objection(paths: RunPaths, earlier: Mapping[str, object], owner: Mapping[str, object]) -> str:
    """Return the message for slides in TARGET that another run made; empty if there are none.

    owner: as `read` returns it; slides of earlier versions and of the original have none.
    """
    slides = len(sequence.numbered(paths.shown))
    ours = is_ours(paths, earlier, owner)
    if not slides or ((earlier or paths.scenes_file.exists()) and (ours or not owner)):
        return ""
    were = f"{counted(slides, 'slide')} in {paths.shown} {'was' if slides == 1 else 'were'} made"
    start_over = ", or add --fresh to start over: it discards all slides there." if owner else "."
    if ours or not owner:
        return (
            f"Nobody knows with which settings {were}: there is no {paths.settings_file}.\n"
            "Move them away, or name another TARGET, or with --work the working folder of the run "
            f"that made them{start_over}"
        )
    work = _joined(paths.shown, str(owner.get(WORK)))
    return (
        f"{were} by a run with another working folder, {work}.\n"
        f"Add --work {work} to go on with them, or name another TARGET{start_over}"
    )


def is_ours(paths: RunPaths, earlier: Mapping[str, object], owner: Mapping[str, object]) -> bool:
    """Return whether the slides in TARGET were made by runs with this working folder."""
    if MADE_BY in earlier:
        return owner.get(MADE_BY) == earlier[MADE_BY]
    work = owner.get(WORK)
    return isinstance(work, str) and _joined(paths.shown, work) == _joined(paths.interp, "")


def read(paths: RunPaths) -> dict[str, object]:
    """Return the content of owner.json; empty if there is none that can be read."""
    try:
        return files.read_json(paths.owner_file, settings_file.as_object, "")
    except UnusableInput:
        return {}


def write(paths: RunPaths, made_by: str, earlier: Mapping[str, object]) -> None:
    """Note in owner.json that the slides in TARGET are this working folder's.

    earlier: its content so far, as `read` returns it.
    """
    note = {MADE_BY: made_by, WORK: path_from(paths.shown, paths.interp)}
    if earlier != note:
        files.write_json(paths.owner_file, note, indent=2)


def path_from(folder: Path, path: Path) -> str:
    """Return a path relative to a folder, which stays valid when both are moved together."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.absolute().as_posix()


def _joined(folder: Path, seen: str) -> Path:
    """Return the absolute path for a path that is relative to a folder, as of `path_from`."""
    return Path(os.path.normpath(folder.absolute() / seen))
