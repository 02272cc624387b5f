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
from collections.abc import Collection, Iterator, Mapping, Sequence
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
Decides: TypeAlias = Mapping[str, object]
SceneChanges: TypeAlias = Mapping[int, Sequence[str]]

TARGET = "target"  # in settings.json: the name of the folder of slides
SCENES = "set_in_scenes"  # in settings.json: the changes that scenes have to themselves

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

    @property
    def measure_file(self) -> Path:
        return self.interp / "measure.json"


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


def claim(places: Places, decides: Decides, scenes: SceneChanges, *, fresh: bool) -> set[int]:
    """See that the slides kept from an earlier run are of this run's making; then note what is.

    scenes: the changes that some scenes have to themselves. A working folder without settings.json
    is taken over as it is. Other settings than the earlier run's: UnusableInput says what differs,
    or with `fresh` all that it made is discarded. Where nothing but the changes of some scenes
    differs, all other slides stay: these scenes are returned, to be given to `claim_scenes`.
    """
    path = places.settings_file
    if places.result is not None and places.result.exists() and not (fresh or path.exists()):
        raise UnusableInput(
            f"{places.result} is there already, and this run did not make it.\n"
            "Move it away or name another TARGET; --fresh overwrites it."
        )
    earlier = _read_settings(path, fresh=fresh)
    _check_owner(places, earlier)
    differing = _differences(earlier, decides)
    stale = _stale_scenes(earlier[SCENES], scenes) if SCENES in earlier else {}
    drawn = images.numbered(places.slides) or earlier.get("film") != decides.get("film")
    if not fresh and drawn and (differing or stale):
        raise UnusableInput(_refusal(places, differing, stale))
    if fresh and (differing or not stale):
        _discard(places, other_film=earlier.get("film") != decides.get("film"))
        earlier, stale = {}, {}
    noted = {SCENES: earlier[SCENES]} if SCENES in earlier else {}
    _write_settings(places, {**decides, **noted})
    return set(stale)


def fps_of(places: Places) -> int:
    """The frames per slide of the run that worked here. Raises UnusableInput if there was none."""
    path = places.settings_file
    if not path.exists():
        raise UnusableInput(
            f"There is no run to measure: {path} is not there.\n"
            "Restyle the film first, or name the SOURCE, the TARGET and the --work folder of a run."
        )
    earlier = _read_settings(path, fresh=False)
    _check_owner(places, earlier)
    fps = earlier.get("fps")
    if type(fps) is not int or fps < 1:
        raise UnusableInput(f"{path} does not say how many frames make a slide.\nRun once more.")
    return fps


def claim_scenes(
    places: Places, decides: Decides, scenes: SceneChanges, stale_slides: Collection[int]
) -> None:
    """Discard the slides of scenes whose changes differ from the earlier run's; note the new ones.

    Once, when it is known which slides these are.
    """
    if stale_slides:
        log.info("Drawing scenes anew: %d slides are discarded.", len(stale_slides))
        images.remove(places.slides, [images.name(slide) for slide in stale_slides])
    changes = {str(scene): list(its) for scene, its in scenes.items()}
    _write_settings(places, {**decides, SCENES: changes})


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


def _check_owner(places: Places, earlier: Mapping[str, object]) -> None:
    """Raises UnusableInput where the working folder belongs to the slides of another folder."""
    owner = earlier.get(TARGET)
    if not isinstance(owner, str) or owner == places.slides.name:
        return
    if images.numbered(places.slides.with_name(owner)):
        raise UnusableInput(
            f"{places.interp} belongs to the run into {places.slides.with_name(owner)}.\n"
            f"For {places.slides} name another working folder with --work."
        )


def _write_settings(places: Places, settings: Mapping[str, object]) -> None:
    noted = {**settings, TARGET: places.slides.name}
    images.write_whole(places.settings_file, json.dumps(noted, indent=2).encode())


def _stale_scenes(earlier: object, scenes: SceneChanges) -> dict[int, str]:
    """The scenes whose changes differ from the earlier run's, and how."""
    known = earlier.items() if isinstance(earlier, dict) else ()
    before = {int(scene): its for scene, its in known if scene.isdecimal()}
    after = {scene: list(its) for scene, its in scenes.items()}
    return {
        scene: f"{before.get(scene, [])} then, {after.get(scene, [])} now"
        for scene in sorted({*before, *after})
        if before.get(scene, []) != after.get(scene, [])
    }


def _refusal(places: Places, differing: str, stale: Mapping[int, str]) -> str:
    """Why a run with other settings does not go on, and what to do."""
    path = places.settings_file
    if differing:
        slides = len(images.numbered(places.slides))
        return (
            f"The {slides} slides in {places.slides} were made with other settings ({path}):\n"
            f"{differing}\n"
            "Go on with the old settings, or name another TARGET and another folder with --work, "
            f"or add --fresh to start over: it discards {slides} slides."
        )
    listed = "\n".join(f"  --set in scene {scene}: {how}" for scene, how in stale.items())
    return (
        f"Some slides in {places.slides} were made with other settings ({path}):\n{listed}\n"
        "Go on with the old settings, or add --fresh: it discards the slides of these scenes only."
    )


def _differences(earlier: Mapping[str, object], now: Decides) -> str:
    """A line for each setting that both know and that differs."""
    return "\n".join(
        f"  {name.replace('_', ' ')}: {earlier[name]} then, {value} now"
        for name, value in now.items()
        if name in earlier
        and earlier[name] != value
        # The model's name says it already, where that differs too.
        and not (name == "model_sha256" and earlier.get("model") != now.get("model"))
    )


def _discard(places: Places, *, other_film: bool) -> None:
    """Remove what an earlier run made; scenes.json, which people edit, stays with its film."""
    slides = images.numbered(places.slides)
    if slides:
        log.info("Starting over: %d slides are discarded.", len(slides))
    images.remove(places.slides, slides)
    images.remove(places.interp, [each for each in os.listdir(places.interp) if _ours(each)])
    places.settings_file.unlink(missing_ok=True)
    if places.film is not None and other_film:
        shutil.rmtree(places.frames, ignore_errors=True)
        places.scenes_file.unlink(missing_ok=True)


def _ours(name: str) -> bool:
    return _IN_BETWEEN.fullmatch(name) is not None
