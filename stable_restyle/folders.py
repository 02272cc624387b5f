"""Where a run keeps its files, who may work there, and which slides of an earlier run may stay.

The frames and slides themselves are left to `images`, the scenes to `scenes`.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from hashlib import file_digest
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

from stable_restyle import images, keys, lock, scenes
from stable_restyle.errors import UnusableInput, WrongUsage, cannot_write
from stable_restyle.model import Keys, Settings, Step
from stable_restyle.video import CONTAINERS

# What decides the pictures, under the names of settings.json.
Decides: TypeAlias = Mapping[str, object]
SceneChanges: TypeAlias = Mapping[int, Sequence[str]]

# In settings.json beside "film": no reason to refuse a run, but it saves reading the film again.
FILM_TIME = "film_mtime_ns"
TARGET = "target"  # in settings.json: the name of the folder of slides
SCENES = "set_in_scenes"  # in settings.json: the changes that scenes have to themselves

NAMES_SHOWN = 8

_ADDRESS = re.compile(r"[A-Za-z]{2,}:[/\\]")  # "http://...", as Path writes it
_IN_BETWEEN = re.compile(r"\d{6,}(-[bfm])?\.png")  # what --save-interp leaves

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Places:
    """Where a run finds and leaves its files."""

    film: Path | None  # the film to split into `frames`; None: `frames` is the user's own folder
    frames: Path
    interp: Path
    slides: Path  # where slides are drawn: `shown`, or with --deflicker `drawn`
    shown: Path  # the slides of TARGET
    result: Path | None  # the film to make of these

    @property
    def scenes_file(self) -> Path:
        return self.interp / "scenes.json"

    @property
    def settings_file(self) -> Path:
        return self.interp / "settings.json"

    @property
    def drawn(self) -> Path:
        return self.interp / "drawn"

    @property
    def deflicker_file(self) -> Path:
        return self.interp / "deflicker.json"

    @property
    def measure_file(self) -> Path:
        return self.interp / "measure.json"

    @property
    def keys_file(self) -> Path:
        return self.interp / "keys.json"

    @property
    def input_file(self) -> Path:
        return self.interp / "input.json"

    @property
    def finished_file(self) -> Path:
        return self.interp / "finished.json"

    @property
    def redo_file(self) -> Path:
        return self.interp / "redo.json"

    @property
    def journal_file(self) -> Path:
        return self.interp / "journal.jsonl"

    @property
    def report_file(self) -> Path:
        return self.interp / "report.html"

    @property
    def report_folder(self) -> Path:
        return self.interp / "report"  # what the page loads as it is looked at


@dataclass(frozen=True)
class Input:
    """What single slides hang on, where the settings of the run are the same."""

    marks: Sequence[str]  # of the frames, as images.Frames has them
    bounds: Sequence[int]  # of the scenes, as scenes.json has them
    changes: SceneChanges  # what is set in scenes
    keys: Keys | None = None  # None: every slide is one

    def steps(self, fps: int) -> list[Step]:
        """Every slide, each after those that it is made from."""
        return scenes.all_steps(scenes.find_scenes(self.bounds, fps), self.keys)


def find_places(settings: Settings) -> Places:
    """Tell folders from films and name every place of the run.

    Raises UnusableInput if there is no SOURCE, WrongUsage where one place would overwrite another.
    """
    source, target = settings.source, settings.target
    if any(_ADDRESS.match(str(path)) for path in (source, target)):
        raise WrongUsage(
            "SOURCE and TARGET are files or folders of this machine, not addresses.\n"
            "A server goes behind --backend."
        )
    if not source.exists():
        raise UnusableInput(
            f"There is no {source}: SOURCE is a folder of frames (000001.png, ...) or a film.\n"
            "Name one, as in `video-restyle film.mp4 film-clay.mp4`."
        )
    film = None if source.is_dir() else source
    if _is_film(target):
        work = settings.work or target.with_suffix(".restyle")
        own, interp, shown, result = work / "in", work / "interp", work / "out", target
    else:
        interp = settings.work or target.parent / "interp"
        own, shown, result = interp / "in", target, None
    places = Places(film, own if film else source, interp, shown, shown, result)
    _keep_apart(places)
    return replace(places, slides=places.drawn) if settings.deflicker else places


@contextmanager
def locked(places: Places) -> Iterator[lock.Check]:
    """Make the folders of a run and keep every other run out of them meanwhile."""
    try:
        places.interp.mkdir(parents=True, exist_ok=True)
        places.slides.mkdir(parents=True, exist_ok=True)
        places.shown.mkdir(parents=True, exist_ok=True)
        holding = ExitStack()
        check = holding.enter_context(lock.hold(places.interp))
    except OSError as error:
        raise cannot_write(Path(error.filename or places.interp), error) from error
    with holding:
        yield check


def film_marks(film: Path, places: Places) -> dict[str, object]:
    """What tells a film from every other, as settings.json keeps it.

    Its bytes are read only if name, size and time are not those of the earlier run.
    """
    found = film.stat()
    known = f"{film.name}, {found.st_size} bytes"
    earlier = _read_settings(places.settings_file, fresh=True)
    digest = earlier.get("film_sha256")
    if (earlier.get("film"), earlier.get(FILM_TIME)) != (known, found.st_mtime_ns) or not digest:
        with film.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
    return {"film": known, "film_sha256": digest, FILM_TIME: found.st_mtime_ns}


def noted(places: Places) -> Mapping[str, object]:
    """What settings.json says of the run; nothing if there is none. Raises UnusableInput."""
    return _read_settings(places.settings_file, fresh=False)


def claim(places: Places, decides: Decides, *, fresh: bool) -> bool:
    """See that the slides kept from an earlier run were made with these settings; then note them.

    A working folder without settings.json is taken over as it is. Other settings than the earlier
    run's: UnusableInput says what differs, or with `fresh` all that it made is discarded, and True
    is returned. Scenes and frames may still differ; they are left to `claim_input`.
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
    other_film = earlier.get("film") != decides.get("film") or "film_sha256" in differing
    if differing and not fresh and (images.numbered(places.slides) or other_film):
        raise UnusableInput(_refusal(places, differing.values()))
    if differing and fresh:
        _discard(places, other_film=other_film)
        earlier = {}
    noted = {SCENES: earlier[SCENES]} if SCENES in earlier else {}
    _write_settings(places, {**decides, **noted})
    return bool(differing) and fresh


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


def claim_input(places: Places, decides: Decides, now: Input, fps: int, *, fresh: bool) -> None:
    """See that the slides kept show these frames, in these scenes; then note frames and scenes.

    Where slides hang on what has changed, UnusableInput says on what; with `fresh` these slides are
    discarded and the others stay. If `fresh` finds nothing that has changed, all are discarded.
    """
    was = _read_input(places, now, fresh=fresh)
    outdated = _outdated(places, was, now, fps)
    if outdated and not fresh:
        raise UnusableInput(_input_refusal(places, was, now, len(outdated)))
    if outdated:
        log.info("Starting over in part: %d slides are discarded.", len(outdated))
        images.remove(places.slides, outdated)
    elif fresh:
        _discard(places, other_film=False)
    note: dict[str, object] = {"frames": list(now.marks), "scenes": list(now.bounds)}
    if now.keys is not None:
        note |= keys.noted(now.keys)
    images.write_whole(places.input_file, json.dumps(note).encode())
    changes = {str(scene): list(its) for scene, its in now.changes.items()}
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
        "TARGET": places.result or places.shown,
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
    if not isinstance(owner, str) or owner == places.shown.name:
        return
    try:
        slides = images.numbered(places.shown.with_name(owner))
    except (OSError, ValueError):  # no folder can have such a name
        return
    if slides:
        raise UnusableInput(
            f"{places.interp} belongs to the run into {places.shown.with_name(owner)}.\n"
            f"For {places.shown} name another working folder with --work."
        )


def _write_settings(places: Places, settings: Mapping[str, object]) -> None:
    noted = {**settings, TARGET: places.shown.name}
    images.write_whole(places.settings_file, json.dumps(noted, indent=2).encode())


def _read_input(places: Places, now: Input, *, fresh: bool) -> Input:
    """The input of the earlier run; what it did not note is taken to be as it is now."""
    settings = _read_settings(places.settings_file, fresh=fresh)
    changes = _scene_changes(settings[SCENES]) if SCENES in settings else now.changes
    path = places.input_file
    if not path.exists():
        return replace(now, changes=changes)
    try:
        noted = json.loads(path.read_text("utf-8"))
        marks, bounds = noted["frames"], scenes.checked_boundaries(noted["scenes"])
        if not all(isinstance(mark, str) for mark in marks) or len(marks) != bounds[-1]:
            raise ValueError("its scenes are not those of its frames")
        its_keys = keys.checked(noted, len(marks)) if "keys" in noted else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        if fresh:
            return replace(now, changes=changes)
        raise UnusableInput(
            f"{path} cannot be read: {error}.\n"
            "It says which frames and scenes the slides were made of. Remove it if you know that "
            "they were the same as now, or add --fresh to start over."
        ) from error
    return Input(marks, bounds, changes, its_keys)


def _scene_changes(noted: object) -> SceneChanges:
    known = noted.items() if isinstance(noted, dict) else ()
    return {
        int(scene): its
        for scene, its in known
        if re.fullmatch(r"\d{1,9}", scene) and isinstance(its, list)
    }


def _outdated(places: Places, was: Input, now: Input, fps: int) -> list[str]:
    """The finished slides that hang on what has changed."""
    if was == now:
        return []
    slides = scenes.outdated(
        was.steps(fps),
        now.steps(fps),
        lambda before, after: (
            was.changes.get(before.scene, []) != list(now.changes.get(after.scene, []))
        ),
        _changed_frames(was, now),
        fps,
    )
    return [name for name in images.numbered(places.slides) if int(name[:-4]) - 1 in slides]


def _changed_frames(was: Input, now: Input) -> set[int]:
    """The frames that are there now and were others then, or not there."""
    shared = zip(was.marks, now.marks, strict=False)
    changed = {index for index, (then, here) in enumerate(shared) if then != here}
    return changed.union(range(len(was.marks), len(now.marks)))


def _input_refusal(places: Places, was: Input, now: Input, outdated: int) -> str:
    """Why a run over other frames or scenes does not go on, and what to do."""
    lines = []
    if len(was.marks) != len(now.marks):
        lines.append(f"frames: {len(was.marks)} then, {len(now.marks)} now")
    changed = [images.name(frame) for frame in sorted(_changed_frames(was, now))]
    changed = [name for name in changed if int(name[:-4]) <= len(was.marks)]
    if changed:
        more = f" and {len(changed) - NAMES_SHOWN} more" if len(changed) > NAMES_SHOWN else ""
        lines.append(f"other frames: {', '.join(changed[:NAMES_SHOWN])}{more}")
    if list(was.bounds) != list(now.bounds):
        lines.append(f"other scenes in {places.scenes_file}")
    if was.keys != now.keys:
        lines.append(f"other keys in {places.keys_file}")
    for scene in sorted({*was.changes, *now.changes}):
        then, here = list(was.changes.get(scene, [])), list(now.changes.get(scene, []))
        if then != here:
            lines.append(f"--set in scene {scene}: {then} then, {here} now")
    slides = len(images.numbered(places.slides))
    return (
        f"{outdated} of the {slides} slides in {places.slides} were made of something else:\n"
        + "".join(f"  {line}\n" for line in lines)
        + f"Put it back as it was, or add --fresh: it discards these {outdated} and no others."
    )


def _refusal(places: Places, differing: Iterable[str]) -> str:
    """Why a run with other settings does not go on, and what to do."""
    slides = len(images.numbered(places.slides))
    return (
        f"The {slides} slides in {places.slides} were made with other settings "
        f"({places.settings_file}):\n"
        + "".join(f"  {line}\n" for line in differing)
        + "Go on with the old settings, or name another TARGET and another folder with --work, "
        f"or add --fresh to start over: it discards {slides} slides."
    )


def _differences(earlier: Mapping[str, object], now: Decides) -> dict[str, str]:
    """A line for each setting that both know and that differs, under its name."""
    differing = {
        name: f"{name.replace('_', ' ')}: {earlier[name]} then, {value} now"
        for name, value in now.items()
        if name in earlier and earlier[name] != value and name != FILM_TIME
    }
    for name in ("model", "film"):  # it says already what its hash would
        if name in differing:
            differing.pop(f"{name}_sha256", None)
    return differing


def _discard(places: Places, *, other_film: bool) -> None:
    """Remove what an earlier run made; scenes.json, which people edit, stays with its film."""
    slides = images.numbered(places.slides)
    if slides:
        log.info("Starting over: %d slides are discarded.", len(slides))
    images.remove(places.slides, slides)
    images.remove(places.interp, [each for each in os.listdir(places.interp) if _ours(each)])
    told = (places.redo_file, places.journal_file, places.report_file)
    images.remove(places.interp, [each.name for each in told])
    images.remove_folder(places.report_folder)
    images.remove(places.interp, [places.settings_file.name, places.input_file.name])
    if places.film is not None and other_film:
        images.remove_folder(places.frames)
        images.remove(places.interp, [places.scenes_file.name, places.keys_file.name])


def _ours(name: str) -> bool:
    return _IN_BETWEEN.fullmatch(name) is not None
