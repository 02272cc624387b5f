"""Where a run keeps its files, who may work there, and which slides of an earlier run may stay.

The frames and slides themselves are left to `images`, the scenes to `scenes`.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock, Timeout

from stable_restyle import images
from stable_restyle.errors import UnusableInput, WrongUsage
from stable_restyle.model import Settings
from stable_restyle.video import CONTAINERS

# What decides the pictures, under the names of settings.json.
Decides: TypeAlias = Mapping[str, str | int | float]

_IN_BETWEEN = re.compile(r"\d{6,}(-[bfm])?\.png")  # what --save-interp leaves

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where a run finds and leaves its files."""

    film: Path | None  # the film to split into `frames`; None: `frames` is the user's own folder
    frames: Path
    interp: Path
    slides: Path
    result: Path | None  # the film to make of the slides

    @property
    def scenes_file(self) -> Path:
        return self.interp / "scenes.json"

    @property
    def settings_file(self) -> Path:
        return self.interp / "settings.json"


def find_places(settings: Settings) -> Places:
    """Tell folders from films and name every place of the run.

    Raises UnusableInput if there is no SOURCE, WrongUsage where one place would overwrite another.
    """
    source, target = settings.source, settings.target
    if not source.exists():
        raise UnusableInput(
            f"There is no {source}: SOURCE is a folder of frames (000001.png, ...) or a film.\n"
            "Name one, as in `video-restyle film.mp4 film-clay.mp4`."
        )
    film = None if source.is_dir() else source
    if _is_film(target):
        work = settings.work or target.with_suffix(".restyle")
        own, interp, slides, result = work / "in", work / "interp", work / "out", target
    else:
        interp = settings.work or target.parent / "interp"
        own, slides, result = interp / "in", target, None
    places = Places(film, own if film else source, interp, slides, result)
    _keep_apart(places)
    return places


@contextmanager
def locked(places: Places) -> Iterator[None]:
    """Make the folders of a run and keep every other run out of them meanwhile."""
    try:
        places.interp.mkdir(parents=True, exist_ok=True)
        places.slides.mkdir(parents=True, exist_ok=True)
        lock = FileLock(places.interp / "lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise UnusableInput(
            f"Another run is at work in {places.interp}.\n"
            "Wait for it or stop it; or name another TARGET and another folder with --work."
        ) from error
    except OSError as error:
        raise UnusableInput(
            f"{error.filename or places.interp} cannot be made or written: {error.strerror}.\n"
            "Mend that, or name another TARGET, or another folder with --work."
        ) from error
    try:
        yield
    finally:
        lock.release()


def claim(places: Places, decides: Decides, *, fresh: bool) -> None:
    """See that the slides kept from an earlier run are of this run's making; then note what is.

    A working folder without settings.json is taken over as it is. Other settings than the earlier
    run's: with `fresh` all that it made is discarded, else UnusableInput says what differs.
    """
    path = places.settings_file
    if places.result is not None and places.result.exists() and not (fresh or path.exists()):
        raise UnusableInput(
            f"{places.result} is there already, and this run did not make it.\n"
            "Move it away or name another TARGET; --fresh overwrites it."
        )
    earlier = _read_settings(path, fresh=fresh)
    if fresh:
        _discard(places, other_film=earlier.get("film") != decides.get("film"))
    elif differing := _differences(earlier, decides):
        slides = len(images.numbered(places.slides))
        raise UnusableInput(
            f"The {slides} slides in {places.slides} were made with other settings ({path}):\n"
            f"{differing}\n"
            "Go on with the old settings, or name another TARGET and another folder with --work, "
            f"or add --fresh to start over: it discards {slides} slides."
        )
    images.write_whole(path, json.dumps(decides, indent=2).encode())


def _is_film(target: Path) -> bool:
    suffix = target.suffix.lower()
    if target.is_dir():
        return False
    if suffix in CONTAINERS:
        return True
    kind, _ = mimetypes.guess_type(f"x{suffix}")
    if target.exists() or (kind or "").startswith(("video/", "image/")):
        raise WrongUsage(
            f"TARGET {target} is neither a folder nor a film that can be written.\n"
            f"Name a folder, or a film that ends in {', '.join(CONTAINERS)}."
        )
    return False


def _keep_apart(places: Places) -> None:
    named = {
        "SOURCE": places.film or places.frames,
        "TARGET": places.result or places.slides,
        "the working folder": places.interp,
    }
    for (one, path), (other, its_path) in combinations(named.items(), 2):
        if path.resolve() == its_path.resolve():
            raise WrongUsage(
                f"{one} and {other} are both {path}: one would overwrite the other.\n"
                "Name another TARGET, or another working folder with --work."
            )


def _read_settings(path: Path, *, fresh: bool) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        earlier = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if fresh:
            return {}
        raise UnusableInput(
            f"{path} cannot be read: {error}.\n"
            "It says with which settings the slides were made. Remove it if you know that they "
            "were the same as now, or add --fresh to start over."
        ) from error
    return earlier if isinstance(earlier, dict) else {}


def _differences(earlier: Mapping[str, object], now: Decides) -> str:
    """A line for each setting that both know and that differs."""
    return "\n".join(
        f"  {name.replace('_', ' ')}: {earlier[name]} then, {value} now"
        for name, value in now.items()
        if name in earlier and earlier[name] != value
    )


def _discard(places: Places, *, other_film: bool) -> None:
    """Remove what an earlier run made; scenes.json, which people edit, stays with its film."""
    slides = images.numbered(places.slides)
    log.info("Starting over: %d slides are discarded.", len(slides))
    images.remove(places.slides, slides)
    images.remove(places.interp, [each for each in os.listdir(places.interp) if _ours(each)])
    places.settings_file.unlink(missing_ok=True)
    if places.film is not None and other_film:
        shutil.rmtree(places.frames, ignore_errors=True)
        places.scenes_file.unlink(missing_ok=True)


def _ours(name: str) -> bool:
    return _IN_BETWEEN.fullmatch(name) is not None
