"""Keep every other run out of the folders of a run, and say who is at work there.

Two things guard a folder. The lock of the operating system holds among all processes of a machine
and ends with its process, however that ends. A file system that machines share need not pass it on;
so whoever is at work also keeps a note in the folder, who it is, and renews it all the time. A note
of another machine that is still being renewed keeps us out; one that is not is a dead run's. No
clock is compared with another, so none need be right. Of two machines that begin at the same time,
the one that makes the note has the folder: to make a file that is not there is one step on every
file system, shared ones too, and so is to move a dead run's note away. Three that take over from
the same dead run within milliseconds may still be two; one of these then stops at its next beat.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from os import getpid
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

from filelock import FileLock, Timeout

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.progress import Check

LOCK, NOTE = "lock", "running.json"
HIDDEN = ".restyle"  # in a folder of slides: where the files of its lock are out of the way
BEAT_S = 5.0  # between renewals of the note
WATCH_S = 20.0  # without a renewal: the run is dead
_WRITTEN_S = 0.1  # a note is written meanwhile

log = logging.getLogger(__name__)


class FolderLost(UnusableInput):
    """A folder of the run was removed or taken over: nothing may be written there any more."""


@contextmanager
def hold(*folders: Path) -> Iterator[Check]:
    """Have folders to ourselves, all or none.

    Raises UnusableInput if another run has one, saying which, and OSError if one cannot be written.
    """
    with ExitStack() as locks:
        for folder in folders:
            path = folder / LOCK
            if path.is_symlink():  # it might lead out of the folder
                files.remove(path)
            try:
                locks.enter_context(FileLock(path, timeout=0))
            except Timeout as error:
                raise _held(folder, _read(folder / NOTE)) from error
        yield locks.enter_context(_noted(folders))


@contextmanager
def _noted(folders: Sequence[Path]) -> Iterator[Check]:
    """Keep a note in each folder that this run is at work there."""
    found = {folder: said for folder in folders if (said := _read(folder / NOTE)) is not None}
    elsewhere = {
        folder: said for folder, said in found.items() if _field(said, "host") != platform.node()
    }
    if (renewed := _renewed(elsewhere)) is not None:
        raise _held(renewed, found[renewed])
    for who in sorted({_who(said) for said in found.values()}):
        log.info("Taking over from a run that did not end well: %s.", who)
    run = uuid4().hex
    with ExitStack() as held:
        notes = [_Note(folder / NOTE, run) for folder in folders]
        for note, folder in zip(notes, folders, strict=True):
            try:
                note.claim(found.get(folder))
            except FileExistsError as error:
                raise _held(folder, _read(note.path)) from error
            held.callback(note.remove)
        over = Event()
        beating = Thread(target=_keep, args=(notes, over), name="renew the notes", daemon=True)
        beating.start()
        held.callback(beating.join)
        held.callback(over.set)

        def check() -> None:
            for note in notes:
                if note.is_lost:
                    raise FolderLost(
                        f"{note.path} is no longer this run's: its folder was removed, or another "
                        "run has taken it over.\n"
                        "See who is at work there, then run the command again."
                    )

        yield check


def _keep(notes: Sequence[_Note], over: Event) -> None:
    """Renew the notes until the run is over or one of them is no longer ours."""
    while not over.wait(BEAT_S):
        for note in notes:
            with suppress(OSError):  # whatever else is written reports a full disk
                note.renew_if_ours()
        if any(note.is_lost for note in notes):
            return


class _Note:
    """The note of this run; only its own thread touches the file between `claim` and `remove`."""

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.is_lost = False
        self._said = {
            "host": platform.node(),
            "pid": getpid(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
            "run": run,
        }
        self._beats = 0

    def claim(self, dead: bytes | None) -> None:
        """Say that we are here, where nobody is or only the note of a dead run.

        Raises FileExistsError if another run was quicker, and OSError.
        """
        if dead is not None:
            self._put_away(dead)
        if self.path.is_symlink():  # it leads nowhere
            files.remove(self.path)
        with self.path.open("x"):
            pass
        try:
            self.renew()
        except OSError:
            files.remove(self.path)
            raise

    def renew(self) -> None:
        """Say that we are here, still. Raises OSError."""
        self._beats += 1
        if self.path.is_symlink():
            files.remove(self.path)
        said = json.dumps({**self._said, "beat": self._beats})
        # Not by way of a temporary name: on NFS others would go on seeing the old file.
        files.patiently(lambda: self.path.write_text(said, "utf-8"))

    def renew_if_ours(self) -> None:
        """Renew the note, or find that it is lost. Raises OSError."""
        self.is_lost = not self._is_ours()
        if not self.is_lost:
            self.renew()

    def remove(self) -> None:
        with suppress(OSError):
            if self._is_ours():
                files.remove(self.path)

    def _put_away(self, dead: bytes) -> None:
        """Remove the note of a dead run, unless another run has done so and written its own."""
        away = self.path.with_name(f"{self.path.name}.{self._said['run']}")
        try:
            files.replace(self.path, away)
        except FileNotFoundError:
            return
        if _read(away) != dead:
            files.replace(away, self.path)
            raise FileExistsError(self.path)
        files.remove(away)

    def _is_ours(self) -> bool:
        """Return whether the note is there and ours. Raises OSError if it cannot be read."""
        try:
            said = self.path.read_bytes()
        except FileNotFoundError:
            return False
        # A disk that was full has left it empty.
        return not said or _field(said, "run") == self._said["run"]


def _renewed(found: Mapping[Path, bytes]) -> Path | None:
    """The first folder whose note somebody writes within WATCH_S; None if nobody does.

    found: what the notes say now, by their folders.
    """
    left = dict(found)
    for folder, said in left.items():
        log.info(
            "Another machine was at work in %s: %s. Watching for %.0f seconds whether it still is.",
            _shown(folder),
            _who(said),
            WATCH_S,
        )
    over_by = time.monotonic() + WATCH_S
    while left and time.monotonic() < over_by:
        time.sleep(min(BEAT_S, WATCH_S) / 5)
        for folder, said in [*left.items()]:
            now = _read(folder / NOTE)
            if now is None:  # that run has ended
                del left[folder]
            elif now != said:
                return folder
    return None


def _read(path: Path) -> bytes | None:
    """What the note says; None if there is none."""
    try:
        said = path.read_bytes() if path.is_file() else None
        if said == b"":  # it is just being written
            time.sleep(_WRITTEN_S)
            said = path.read_bytes()
    except OSError:
        return None
    return said


def _field(note: bytes, name: str) -> object:
    try:
        return json.loads(note)[name]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None  # it is just being written


def _who(note: bytes | None) -> str:
    host, pid, since = (_field(note or b"", name) for name in ("host", "pid", "since"))
    if not host:
        return "its name is not known"
    return f"process {pid} on {host}, since {_local(since)}"


def _local(since: object) -> object:
    """A time as the clocks of this machine show it."""
    try:
        then = datetime.fromisoformat(str(since)).astimezone()
    except (ValueError, OverflowError):
        return since
    return then.strftime("%Y-%m-%d %H:%M:%S")


def _shown(folder: Path) -> Path:
    """How a folder is called in messages."""
    return folder.parent if folder.name == HIDDEN else folder


def _held(folder: Path, note: bytes | None) -> UnusableInput:
    return UnusableInput(
        f"Another run is at work in {_shown(folder)}: {_who(note)}.\n"
        "Wait for it or stop it; or name another TARGET and another folder with --work."
    )
