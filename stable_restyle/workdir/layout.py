"""Name the files and folders of a run, and lock its folders."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path, PurePath

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, WrongUsage, cannot_read, cannot_write
from stable_restyle.core.progress import Check
from stable_restyle.media import naming
from stable_restyle.media.containers import CONTAINERS, looks_like_film
from stable_restyle.workdir import lock

MAKER_LENGTH = 8  # characters
_FINISH = "finish-"  # begins the name of the folder of each --finish
_ADDRESS = re.compile(r"[A-Za-z]{2,}:[/\\]")  # "http://...", as Path writes it
_ENDING = re.compile(r"\.[a-z]\w*")
# Names that Windows takes for devices, shortens, or refuses.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9]) *(\..*)?"
    r"|.*[. ]"
    r'|.*[<>:"|?*\x00-\x1f].*',
    re.IGNORECASE | re.DOTALL,
)
# Windows limits paths to 260 characters, and starts no program in a folder beyond 258, whatever its
# settings; the longest file name that a run makes has 50.
_LONGEST_FOLDER = 200


@dataclass(frozen=True)
class RunPaths:
    """The files and folders of a run."""

    film: Path | None  # the film to read, or to export to `frames`; None: these are the user's
    frames: Path
    interp: Path
    # Where slides are drawn: `shown`; with --deflicker, --only or --finish `drawn`.
    slides: Path
    shown: Path  # the slides of TARGET
    result: Path | None  # the film to make of these
    pattern: str = ""  # of the names of the user's frames, if SOURCE is one

    @property
    def scenes_file(self) -> Path:
        return self.interp / "scenes.json"

    @property
    def frames_file(self) -> Path:
        return self.interp / "frames.json"

    @property
    def looking_file(self) -> Path:
        """Return the file for what is known of a film that is being looked through."""
        return self.interp / "looking.json"

    @property
    def settings_file(self) -> Path:
        return self.interp / "settings.json"

    @property
    def hidden(self) -> Path:
        """Return the folder inside `shown` for its lock and for the note of its owner."""
        return self.shown / lock.HIDDEN

    @property
    def owner_file(self) -> Path:
        return self.hidden / "owner.json"

    @property
    def drawn(self) -> Path:
        return self.interp / "drawn"

    @property
    def parts(self) -> Path:
        """Return the folder for the parts of the film."""
        return self.interp / "parts"

    @property
    def answers(self) -> Path:
        """Return the folder for what the model draws of frames alone."""
        return self.interp / "answers"

    @property
    def windows(self) -> Path:
        """Return the folder for what a model makes of the slides between keys, by window."""
        return self.interp / "windows"

    @property
    def unfinished(self) -> Path:
        """Return the folder for slides that are averaged or composed, but yet to be finished."""
        return self.interp / "unfinished"

    def finish(self, number: int) -> Path:
        """Return the folder for a --finish, counted from 1: its windows, and its slides.

        Those of the last one are in `shown`.
        """
        return self.interp / f"{_FINISH}{number}"

    @property
    def finishes(self) -> list[Path]:
        """Return the folders of `finish` that exist."""
        return [each for each in self.interp.glob(f"{_FINISH}*") if each.name[-1].isdigit()]

    @property
    def drawn_film(self) -> Path:
        """Return the folder for the pictures of a film of --drawn."""
        return self.interp / "pictures"

    @property
    def only(self) -> Path:
        """Return the folder for the masks of a film of --only."""
        return self.interp / "only"

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
        return self.interp / "report"  # files that the page loads on demand


def find_paths(source: Path, target: Path, work: Path | None, *, drawn_apart: bool) -> RunPaths:
    """Return the paths of a run, from SOURCE and TARGET, which are folders or films.

    drawn_apart: whether the slides of TARGET are made from those drawn.

    Raises UnusableInput if SOURCE does not exist, WrongUsage if one path would overwrite another.
    """
    if any(_ADDRESS.match(str(path)) for path in (source, target)):
        raise WrongUsage(
            "SOURCE and TARGET are files or folders of this machine, not addresses.\n"
            "Name a server with --backend."
        )
    if os.name == "nt":
        for path in filter(None, (target, work)):
            check_name_on_windows(path.absolute())
    source, pattern = _split_source(source)
    mode = _mode(source)
    if mode is None:
        raise UnusableInput(
            f"There is no {source}: SOURCE is a folder of frames, a pattern of their names "
            "(frames/shot_%04d.jpg) or a film.\n"
            "Name one, as in `video-restyle film.mp4 film-clay.mp4`."
        )
    if work is not None:
        _mode(work)
    film = None if stat.S_ISDIR(mode) else source
    if _is_film(target, film is not None):
        work = work or target.with_suffix(".restyle")
        own, interp, shown, result = work / "in", work / "interp", work / "out", target
    else:
        interp = work or target.parent / "interp"
        own, shown, result = interp / "in", target, None
    paths = RunPaths(film, own if film else source, interp, shown, shown, result, pattern)
    _keep_apart(paths)
    return replace(paths, slides=paths.drawn) if drawn_apart else paths


def _split_source(source: Path) -> tuple[Path, str]:
    """Return the folder and the pattern of a SOURCE that is a pattern, otherwise SOURCE itself."""
    parts = naming.split_pattern(source)
    return parts if parts and _mode(source) is None else (source, "")


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
    """Return a value that is equal for all paths of one file or folder, which need not exist."""
    whole = os.path.realpath(path)
    with suppress(OSError):
        found = os.stat(whole)
        if found.st_ino:  # some file systems of Windows have none
            return found.st_dev, found.st_ino
    return whole.casefold() if sys.platform in ("win32", "darwin") else whole


@contextmanager
def locked(paths: RunPaths) -> Iterator[Check]:
    """Make the folders of a run and lock them against other runs; yield a check as `lock.hold`."""
    with ExitStack() as holding:
        try:
            for folder in (paths.interp, paths.slides, paths.shown):
                folder.mkdir(parents=True, exist_ok=True)
            if paths.hidden.is_symlink():  # it may lead out of the folder
                files.remove(paths.hidden)
            paths.hidden.mkdir(exist_ok=True)
            check = holding.enter_context(lock.hold(paths.interp, paths.hidden))
        except OSError as error:
            raise cannot_write(Path(error.filename or paths.interp), error) from error
        yield check


def _mode(path: Path) -> int | None:
    """Return the st_mode of a path, None if it does not exist. Raises UnusableInput."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise cannot_read(path, error) from error


def _is_film(target: Path, from_film: bool) -> bool:
    """Return whether TARGET is a film. from_film: whether SOURCE is one. Raises WrongUsage."""
    suffix, mode = target.suffix.lower(), _mode(target)
    if mode is not None and stat.S_ISDIR(mode):
        return False
    if suffix in CONTAINERS:
        _check_length(target)
        return True
    # Of a film people expect a film, not a new folder whose name has an ending.
    expected = looks_like_film(target) or (from_film and _ENDING.fullmatch(suffix))
    if mode is not None or expected:
        raise WrongUsage(
            f"TARGET {target} is neither a folder nor a film that can be written.\n"
            f"Name a film that ends in {', '.join(CONTAINERS)}, or a folder; make it first if its "
            "name is to end so."
        )
    return False


def _check_length(target: Path) -> None:
    """Raise WrongUsage if the temporary name of a film would be too long."""
    unfinished = files.part_of(target, "-" * MAKER_LENGTH)
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
