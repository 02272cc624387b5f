"""Where a run keeps its files, who may work there, and which slides of an earlier run may stay.

The frames and slides themselves are left to `sequence`, the scenes to `scenes`.
"""

from __future__ import annotations

import errno
import json
import logging
import mimetypes
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path, PurePath
from typing import Any, TypeAlias
from uuid import uuid4

from stable_restyle.core import files
from stable_restyle.core.errors import (
    UnusableInput,
    WrongUsage,
    are,
    cannot_read,
    cannot_write,
    counted,
)
from stable_restyle.core.progress import Check, Progress, task
from stable_restyle.core.records import Keys, Settings, Step
from stable_restyle.media import sequence
from stable_restyle.media.ffmpeg import media_endings
from stable_restyle.media.join import CONTAINERS, unfinished_name
from stable_restyle.plan import keyframes, scenes
from stable_restyle.workdir import lock

# What decides the pictures, under the names of settings.json.
SettingsSnapshot: TypeAlias = Mapping[str, object]
SceneChanges: TypeAlias = Mapping[int, Sequence[str]]

# In settings.json beside "film": no reason to refuse a run, but it saves reading the film again.
FILM_TIME = "film_mtime_ns"
TARGET = "target"  # in settings.json: the folder of slides, as seen from the one beside it
MADE_BY = "made_by"  # in settings.json and owner.json: whose slides these are
FILMS = "film_sizes"  # in settings.json: of films that this run made, or may overwrite, in bytes
WORK = "work"  # in owner.json: the working folder, as seen from the folder of slides
SCENES = "set_in_scenes"  # in settings.json: the changes that scenes have to themselves

NAMES_SHOWN = 8
_MAKER = 8  # characters
READ_AT_ONCE = 8 * 10**6  # bytes
FILMS_NOTED = 8

_ADDRESS = re.compile(r"[A-Za-z]{2,}:[/\\]")  # "http://...", as Path writes it
# What Windows takes for a device, cuts short, or refuses as the name of a file or folder.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9]) *(\..*)?"
    r"|.*[. ]"
    r'|.*[<>:"|?*\x00-\x1f].*',
    re.IGNORECASE | re.DOTALL,
)
# Windows ends paths at 260 characters, and starts no program in a folder beyond 258, whatever its
# settings; the longest name that a run makes takes 50.
_LONGEST_FOLDER = 200
_IN_BETWEEN = re.compile(r"\d{6,}(-[bfm])?\.png")  # what --save-interp leaves

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunPaths:
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
    def hidden(self) -> Path:
        """What the folder of slides holds besides them: its lock, and whose they are."""
        return self.shown / lock.HIDDEN

    @property
    def owner_file(self) -> Path:
        return self.hidden / "owner.json"

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
class InputSnapshot:
    """What single slides hang on, where the settings of the run are the same."""

    marks: Sequence[str]  # of the frames, as sequence.Frames has them
    bounds: Sequence[int]  # of the scenes, as scenes.json has them
    changes: SceneChanges  # what is set in scenes
    keys: Keys | None = None  # None: every slide is one

    def steps(self, frames_per_slide: int) -> list[Step]:
        """Every slide, each after those that it is made from."""
        return scenes.all_steps(scenes.find_scenes(self.bounds, frames_per_slide), self.keys)


def find_paths(settings: Settings) -> RunPaths:
    """Tell folders from films and name every place of the run.

    Raises UnusableInput if there is no SOURCE, WrongUsage where one place would overwrite another.
    """
    source, target = settings.source, settings.target
    if any(_ADDRESS.match(str(path)) for path in (source, target)):
        raise WrongUsage(
            "SOURCE and TARGET are files or folders of this machine, not addresses.\n"
            "A server goes behind --backend."
        )
    if os.name == "nt":
        for path in filter(None, (target, settings.work)):
            check_name_on_windows(path.absolute())
    mode = _mode(source)
    if mode is None:
        raise UnusableInput(
            f"There is no {source}: SOURCE is a folder of frames (000001.png, ...) or a film.\n"
            "Name one, as in `video-restyle film.mp4 film-clay.mp4`."
        )
    if settings.work is not None:
        _mode(settings.work)
    film = None if stat.S_ISDIR(mode) else source
    if _is_film(target):
        work = settings.work or target.with_suffix(".restyle")
        own, interp, shown, result = work / "in", work / "interp", work / "out", target
    else:
        interp = settings.work or target.parent / "interp"
        own, shown, result = interp / "in", target, None
    paths = RunPaths(film, own if film else source, interp, shown, shown, result)
    _keep_apart(paths)
    return replace(paths, slides=paths.drawn) if settings.deflicker else paths


def check_name_on_windows(path: PurePath) -> None:
    """Raise WrongUsage if Windows does not write files or folders of this absolute path."""
    names = [part for part in path.parts if part not in (path.anchor, "..")]
    for name in filter(_RESERVED.fullmatch, names):
        raise WrongUsage(f"{path}: Windows reserves the name {name!r}.\nUse another name.")
    if len(str(path)) > _LONGEST_FOLDER:
        raise WrongUsage(
            f"{path}: this has {len(str(path))} characters; on Windows a run can use "
            f"{_LONGEST_FOLDER}.\nUse a shorter name, or a folder nearer the root."
        )


def identity(path: Path) -> object:
    """Return what is equal for all paths that lead to one place, also before anything is there."""
    whole = os.path.realpath(path)
    with suppress(OSError):
        found = os.stat(whole)
        if found.st_ino:  # some file systems of Windows have none
            return found.st_dev, found.st_ino
    return whole.casefold() if sys.platform in ("win32", "darwin") else whole


def _mode(path: Path) -> int | None:
    """Return the st_mode of what is there, None if nothing is. Raises UnusableInput."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise cannot_read(path, error) from error


@contextmanager
def locked(paths: RunPaths) -> Iterator[Check]:
    """Make the folders of a run and keep every other run out of them meanwhile."""
    with ExitStack() as holding:
        try:
            for folder in (paths.interp, paths.slides, paths.shown):
                folder.mkdir(parents=True, exist_ok=True)
            if paths.hidden.is_symlink():  # it might lead out of the folder
                files.remove(paths.hidden)
            paths.hidden.mkdir(exist_ok=True)
            check = holding.enter_context(lock.hold(paths.interp, paths.hidden))
        except OSError as error:
            raise cannot_write(Path(error.filename or paths.interp), error) from error
        yield check


def film_marks(film: Path, paths: RunPaths, progress: Progress) -> SettingsSnapshot:
    """What tells a film from every other, as settings.json keeps it.

    Its bytes are read only if name, size and time are not those of the earlier run. They are read
    whole then: an edit in place may leave the size and most of the bytes as they were.
    """
    if (marks := known_marks(film, paths)) is None:
        marks = {**unread_marks(film), "film_sha256": _digest(film, progress)}
    return marks


def known_marks(film: Path, paths: RunPaths) -> SettingsSnapshot | None:
    """What the earlier run noted of a film; None if it may be another one by now."""
    seen = unread_marks(film)
    earlier = _read_settings(paths.settings_file, fresh=True)
    if not earlier.get("film_sha256") or any(earlier.get(name) != seen[name] for name in seen):
        return None
    return {**seen, "film_sha256": earlier["film_sha256"]}


def unread_marks(film: Path) -> SettingsSnapshot:
    """What is known of a film without reading it."""
    found = film.stat()
    return {"film": f"{film.name}, {found.st_size} bytes", FILM_TIME: found.st_mtime_ns}


def _digest(film: Path, progress: Progress) -> str:
    """The SHA-256 of a film; it takes as long as reading it."""
    digest = sha256()
    size = film.stat().st_size
    with film.open("rb") as file, task(progress, "Reading film", _megabytes(size), "megabyte"):
        while block := file.read(READ_AT_ONCE):
            digest.update(block)
            progress.advance(_megabytes(len(block)))
    return digest.hexdigest()


def _megabytes(size: int) -> int:
    return -(-size // 10**6)


def noted(paths: RunPaths) -> Mapping[str, object]:
    """What settings.json says of the run; nothing if there is none. Raises UnusableInput."""
    return _read_settings(paths.settings_file, fresh=False)


def claim(
    paths: RunPaths, decides: SettingsSnapshot, *, fresh: bool
) -> tuple[SettingsSnapshot, bool]:
    """See that the slides kept from an earlier run were made with these settings; then note them.

    A working folder of the original program is taken over as it is. Slides of other settings or of
    another working folder: UnusableInput says whose they are, or with `fresh` all of them are
    discarded. Returns what was noted, and whether slides were discarded. Scenes and frames may
    still differ; they are left to `claim_input`.
    """
    earlier = _read_settings(paths.settings_file, fresh=fresh)
    if not fresh:
        _check_result(paths, earlier)
    _check_owner(paths, earlier)
    owner = _read_owner(paths)
    strange = _strange(paths, earlier, owner)
    if strange and not (fresh and owner):
        raise UnusableInput(strange)
    differing = _differences(earlier, decides)
    other_film = bool(earlier) and earlier.get("film_sha256") != decides.get("film_sha256")
    if differing and not fresh and (_slides(paths) or other_film):
        raise UnusableInput(_refusal(paths, differing))
    anew = fresh and _starts_over(paths, earlier, decides)
    if anew:
        _discard(paths, other_film=other_film)
    made_by = earlier.get(MADE_BY) or (_is_ours(paths, earlier, owner) and owner.get(MADE_BY))
    if anew or differing or not isinstance(made_by, str):
        made_by = uuid4().hex
    noted = {**decides, MADE_BY: made_by, TARGET: _seen_from(paths.interp, paths.shown)}
    if paths.result is not None:
        noted[FILMS] = _with_size(earlier, paths.result)
    changes = {} if anew or SCENES not in earlier else {SCENES: earlier[SCENES]}
    _write_json(paths.settings_file, {**noted, **changes})
    now = {MADE_BY: made_by, WORK: _seen_from(paths.shown, paths.interp)}
    if owner != now:
        _write_json(paths.owner_file, now)
    return noted, anew


def maker(paths: RunPaths) -> str:
    """A short name for the slides of this working folder, which no other one has."""
    return str(noted(paths).get(MADE_BY))[:_MAKER]


def claim_result(paths: RunPaths, film: Path) -> None:
    """Note that `film`, made under a name of its own, is about to take the place of TARGET.

    Raises UnusableInput if TARGET is another film by now than it was when the run began.
    """
    settings = _read_settings(paths.settings_file, fresh=False)
    _check_result(paths, settings)
    _write_json(paths.settings_file, {**settings, FILMS: _with_size(settings, film)})


def fps_of(paths: RunPaths) -> int:
    """The frames per slide of the run that worked here. Raises UnusableInput if there was none."""
    path = paths.settings_file
    if not path.exists():
        raise UnusableInput(
            f"There is no run to measure: {path} is not there.\n"
            "Restyle the film first, or name the SOURCE, the TARGET and the --work folder of a run."
        )
    earlier = _read_settings(path, fresh=False)
    check_whose(paths)
    frames_per_slide = earlier.get("fps")
    if type(frames_per_slide) is not int or frames_per_slide < 1:
        raise UnusableInput(f"{path} does not say how many frames make a slide.\nRun once more.")
    return frames_per_slide


def discarded_by_fresh(
    paths: RunPaths, decides: SettingsSnapshot, now: InputSnapshot, frames_per_slide: int
) -> set[str]:
    """The slides that `claim` and `claim_input` would discard with `fresh`."""
    earlier = _read_settings(paths.settings_file, fresh=True)
    slides = sequence.numbered(paths.slides)
    if _starts_over(paths, earlier, decides):
        return set(slides)
    return set(
        _outdated(paths, _read_input(paths, now, fresh=True), now, frames_per_slide) or slides
    )


def _starts_over(paths: RunPaths, earlier: Mapping[str, object], decides: SettingsSnapshot) -> bool:
    """Whether no slide of the earlier run can stay, whatever frames and scenes are."""
    strange = _strange(paths, earlier, _read_owner(paths))
    return bool(not earlier or _differences(earlier, decides) or strange)


def check_whose(paths: RunPaths) -> None:
    """Raises UnusableInput where the working folder or the slides in TARGET are another run's."""
    earlier = _read_settings(paths.settings_file, fresh=False)
    _check_owner(paths, earlier)
    if strange := _strange(paths, earlier, _read_owner(paths)):
        raise UnusableInput(strange)


def claim_input(
    paths: RunPaths,
    noted: SettingsSnapshot,
    now: InputSnapshot,
    frames_per_slide: int,
    *,
    fresh: bool,
) -> None:
    """See that the slides kept show these frames, in these scenes; then note frames and scenes.

    noted: as `claim` returns it. Where slides hang on what has changed, UnusableInput says on what;
    with `fresh` these slides are discarded and the others stay. If `fresh` finds nothing that has
    changed, all are discarded.
    """
    was = _read_input(paths, now, fresh=fresh)
    outdated = _outdated(paths, was, now, frames_per_slide)
    if outdated and not fresh:
        beyond = len(_beyond(paths, now, frames_per_slide))
        raise UnusableInput(_input_refusal(paths, was, now, len(outdated), beyond))
    if outdated:
        log.info("Starting over in part: %s discarded.", _are(len(outdated)))
        files.remove_all(paths.slides, outdated)
    elif fresh:
        _discard(paths, other_film=False)
    note: dict[str, object] = {"frames": list(now.marks), "scenes": list(now.bounds)}
    if now.keys is not None:
        note |= keyframes.noted(now.keys)
    files.write_whole(paths.input_file, json.dumps(note).encode())
    changes = {str(scene): list(its) for scene, its in now.changes.items()}
    _write_json(paths.settings_file, {**noted, SCENES: changes})


def _is_film(target: Path) -> bool:
    suffix, mode = target.suffix.lower(), _mode(target)
    if mode is not None and stat.S_ISDIR(mode):
        return False
    if suffix in CONTAINERS:
        _check_length(target)
        return True
    kind, _ = mimetypes.guess_type(f"x{suffix}")
    media = (kind or "").startswith(("audio/", "video/", "image/")) or suffix in media_endings()
    if mode is not None or media:
        raise WrongUsage(
            f"TARGET {target} is neither a folder nor a film that can be written.\n"
            f"Name a film that ends in {', '.join(CONTAINERS)}, or a folder; make it first if its "
            "name is to end so."
        )
    return False


def _check_length(target: Path) -> None:
    """Raise WrongUsage if there can be no file of the name that a film has while it is written."""
    unfinished = unfinished_name(target, "-" * _MAKER)
    try:
        os.lstat(unfinished)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise WrongUsage(
                f"TARGET {target}: the name is too long; while the film is written, it has "
                f"{len(unfinished.name) - len(target.name)} characters more.\nUse a shorter name."
            ) from error


def _keep_apart(paths: RunPaths) -> None:
    named = {
        "SOURCE": paths.film or paths.frames,
        "TARGET": paths.result or paths.shown,
        "the working folder": paths.interp,
    }
    for (one, path), (other, its_path) in combinations(named.items(), 2):
        if identity(path) == identity(its_path):
            raise WrongUsage(
                f"{one} and {other} are both {path}: one would overwrite the other.\n"
                "Name another TARGET, or another working folder with --work."
            )


def _read_settings(path: Path, *, fresh: bool) -> dict[str, object]:
    if not path.exists():
        return {}
    try:
        return files.read_json(
            path,
            _object,
            "It says with which settings the slides were made. Remove it if you know that they "
            "were the same as now, or add --fresh to start over.",
        )
    except UnusableInput:
        if fresh:
            return {}
        raise


def _object(tree: object) -> dict[str, object]:
    return tree if isinstance(tree, dict) else {}


def _check_result(paths: RunPaths, earlier: Mapping[str, object]) -> None:
    """Raises UnusableInput where TARGET is a film that this working folder's runs did not make.

    What earlier versions made they did not note: there the working folder vouches for the film.
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


def _with_size(earlier: Mapping[str, object], film: Path) -> list[object]:
    """The sizes of the films that a working folder vouches for, with that of one more, if it is."""
    sizes = earlier.get(FILMS)
    kept = list(sizes) if isinstance(sizes, list) else []
    if film.exists() and (size := film.stat().st_size) not in kept:
        kept.append(size)
    return kept[-FILMS_NOTED:]


def _check_owner(paths: RunPaths, earlier: Mapping[str, object]) -> None:
    """Raises UnusableInput where the working folder belongs to the slides of another folder."""
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


def _strange(paths: RunPaths, earlier: Mapping[str, object], owner: Mapping[str, object]) -> str:
    """What to say of slides in TARGET that this working folder cannot vouch for; else nothing.

    owner: as `_read_owner` returns it; slides of earlier versions and of the original have none.
    """
    slides = len(sequence.numbered(paths.shown))
    is_ours = _is_ours(paths, earlier, owner)
    if not slides or ((earlier or paths.scenes_file.exists()) and (is_ours or not owner)):
        return ""
    were = f"{counted(slides, 'slide')} in {paths.shown} {'was' if slides == 1 else 'were'} made"
    start_over = ", or add --fresh to start over: it discards all slides there." if owner else "."
    if is_ours or not owner:
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


def _is_ours(paths: RunPaths, earlier: Mapping[str, object], owner: Mapping[str, object]) -> bool:
    """Whether TARGET names this working folder as the one that its slides were made in."""
    if MADE_BY in earlier:
        return owner.get(MADE_BY) == earlier[MADE_BY]
    work = owner.get(WORK)
    return isinstance(work, str) and _joined(paths.shown, work) == _joined(paths.interp, "")


def _read_owner(paths: RunPaths) -> dict[str, object]:
    """Whose the slides in TARGET are; empty where nobody says so."""
    try:
        return files.read_json(paths.owner_file, _object, "")
    except UnusableInput:
        return {}


def _seen_from(folder: Path, path: Path) -> str:
    """A path that leads from a folder to another also when both were moved together."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive
        return path.absolute().as_posix()


def _joined(folder: Path, seen: str) -> Path:
    """What `_seen_from` has seen from a folder."""
    return Path(os.path.normpath(folder.absolute() / seen))


def _slides(paths: RunPaths) -> list[str]:
    """The slides of the earlier run; where they are deflickered, those that were drawn count."""
    return sequence.numbered(paths.slides) or sequence.numbered(paths.shown)


def _are(slides: int) -> str:
    return f"{counted(slides, 'slide')} {are(slides)}"


def _write_json(path: Path, tree: Mapping[str, object]) -> None:
    files.write_whole(path, json.dumps(tree, indent=2).encode())


def _read_input(paths: RunPaths, now: InputSnapshot, *, fresh: bool) -> InputSnapshot:
    """The input of the earlier run; what it did not note is taken to be as it is now."""
    settings = _read_settings(paths.settings_file, fresh=fresh)
    changes = _scene_changes(settings[SCENES]) if SCENES in settings else now.changes
    path = paths.input_file
    if not path.exists():
        return replace(now, changes=changes)

    def parse(noted: Any) -> InputSnapshot:
        marks, bounds = noted["frames"], scenes.checked_boundaries(noted["scenes"])
        if not all(isinstance(mark, str) for mark in marks) or len(marks) != bounds[-1]:
            raise ValueError("its scenes are not those of its frames")
        keys = keyframes.checked(noted, len(marks)) if "keys" in noted else None
        return InputSnapshot(marks, bounds, changes, keys)

    try:
        return files.read_json(
            path,
            parse,
            "It says which frames and scenes the slides were made of. Remove it if you know that "
            "they were the same as now, or add --fresh to start over.",
        )
    except UnusableInput:
        if fresh:
            return replace(now, changes=changes)
        raise


def _scene_changes(noted: object) -> SceneChanges:
    known = noted.items() if isinstance(noted, dict) else ()
    return {
        int(scene): its
        for scene, its in known
        if re.fullmatch(r"\d{1,9}", scene) and isinstance(its, list)
    }


def _outdated(
    paths: RunPaths, was: InputSnapshot, now: InputSnapshot, frames_per_slide: int
) -> list[str]:
    """The finished slides that hang on what has changed, and those past the end of the film."""
    slides = (
        set[int]()
        if was == now
        else scenes.outdated(
            was.steps(frames_per_slide),
            now.steps(frames_per_slide),
            lambda before, after: (
                was.changes.get(before.scene, []) != list(now.changes.get(after.scene, []))
            ),
            _changed_frames(was, now),
            frames_per_slide,
        )
    )
    beyond = _beyond(paths, now, frames_per_slide)
    return [
        name
        for name in sequence.numbered(paths.slides)
        if name in beyond or int(name[:-4]) - 1 in slides
    ]


def _beyond(paths: RunPaths, now: InputSnapshot, frames_per_slide: int) -> list[str]:
    """The finished slides past the end of the film."""
    count = scenes.slide_count(len(now.marks), frames_per_slide)
    return [name for name in sequence.numbered(paths.slides) if int(name[:-4]) > count]


def _changed_frames(was: InputSnapshot, now: InputSnapshot) -> set[int]:
    """The frames that are there now and were others then, or not there."""
    shared = zip(was.marks, now.marks, strict=False)
    changed = {index for index, (then, here) in enumerate(shared) if then != here}
    return changed.union(range(len(was.marks), len(now.marks)))


def _input_refusal(
    paths: RunPaths, was: InputSnapshot, now: InputSnapshot, outdated: int, beyond: int
) -> str:
    """Why a run over other frames or scenes does not go on, and what to do."""
    lines = []
    if len(was.marks) != len(now.marks):
        lines.append(f"frames: {len(was.marks)} then, {len(now.marks)} now")
    changed = [sequence.name(frame) for frame in sorted(_changed_frames(was, now))]
    changed = [name for name in changed if int(name[:-4]) <= len(was.marks)]
    if changed:
        more = f" and {len(changed) - NAMES_SHOWN} more" if len(changed) > NAMES_SHOWN else ""
        lines.append(f"other frames: {', '.join(changed[:NAMES_SHOWN])}{more}")
    if list(was.bounds) != list(now.bounds):
        lines.append(f"other scenes in {paths.scenes_file}")
    if was.keys != now.keys:
        lines.append(f"other keys in {paths.keys_file}")
    for scene in sorted({*was.changes, *now.changes}):
        then, here = list(was.changes.get(scene, [])), list(now.changes.get(scene, []))
        if then != here:
            lines.append(f"--set in scene {scene}: {_said(then)} then, {_said(here)} now")
    if beyond:
        lines.append(f"past the end of the film: {counted(beyond, 'slide')}")
    slides = counted(len(sequence.numbered(paths.slides)), "slide")
    return (
        f"{outdated} of the {slides} in {paths.slides} were made of something else:\n"
        + "".join(f"  {line}\n" for line in lines)
        + "Put it back as it was, or add --fresh: it discards "
        + ("this slide" if outdated == 1 else f"these {outdated}")
        + " and no others."
    )


def _refusal(paths: RunPaths, differing: Iterable[str]) -> str:
    """Why a run with other settings does not go on, and what to do."""
    names, folder = _slides(paths), paths.slides
    slides = counted(len(names), "slide")
    if not sequence.numbered(folder):
        folder = paths.shown
    return (
        f"{slides} in {folder} {'was' if len(names) == 1 else 'were'} made with other settings "
        f"({paths.settings_file}):\n"
        + "".join(f"  {line}\n" for line in differing)
        + "Go on with the old settings, or name another TARGET and another folder with --work, "
        f"or add --fresh to start over: it discards {slides}."
    )


def _differences(earlier: Mapping[str, object], now: SettingsSnapshot) -> list[str]:
    """A line for each setting that both know and that differs.

    A workflow and a film are told by their contents, where these are known.
    """
    differing = [name for name in now if name in earlier and earlier[name] != now[name]]
    lines = []
    for name in differing:
        hashed = f"{name}_sha256"
        if name == FILM_TIME or (hashed in earlier and hashed in now and hashed not in differing):
            continue
        if (what := name.removesuffix("_sha256")) == name:
            then, here = _said(earlier[name]), _said(now[name])
            lines.append(f"{name.replace('_', ' ')}: {then} then, {here} now")
        elif what not in differing:
            lines.append(f"{what}: {_said(now[what])} has other contents now")
    return lines


def _said(setting: object) -> str:
    """A setting of settings.json in plain words."""
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    if setting is None or setting == []:
        return "none"
    if isinstance(setting, list):
        return ", ".join(map(str, setting))
    return re.sub(r"\d+(?= bytes$)", lambda digits: f"{int(digits[0]):,}", str(setting))


def _discard(paths: RunPaths, *, other_film: bool) -> None:
    """Remove what an earlier run made; scenes.json, which people edit, stays with its film."""
    if slides := _slides(paths):
        log.info("Starting over: %s discarded.", _are(len(slides)))
    for folder in (paths.shown, paths.drawn):
        files.remove_all(folder, sequence.numbered(folder))
    files.remove_all(paths.interp, [each for each in os.listdir(paths.interp) if _ours(each)])
    told = (paths.redo_file, paths.journal_file, paths.report_file, paths.deflicker_file)
    files.remove_all(paths.interp, [each.name for each in told])
    files.remove_folder(paths.report_folder)
    files.remove_all(paths.interp, [paths.settings_file.name, paths.input_file.name])
    if paths.film is not None and other_film:
        files.remove_folder(paths.frames)
        files.remove_all(paths.interp, [paths.scenes_file.name, paths.keys_file.name])


def _ours(name: str) -> bool:
    return _IN_BETWEEN.fullmatch(name) is not None
