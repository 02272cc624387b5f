"""Lock the folders of a run against other runs, and report which run holds them.

Two things guard a folder. The lock of the operating system holds among all processes of a machine
and ends with its process, in whatever way. A shared file system may not pass it on to other
machines, so each run also keeps a note in the folder that names it, and renews the note regularly.
A note of another machine that is still being renewed refuses this run; one that is not is left by a
dead run. Clocks of different machines are never compared, so they may be wrong. If two machines
start at the same time, the one that creates the note has the folder: creating a file that does not
exist is atomic on every file system, shared ones included, and so is moving a dead run's note away.
If three take over from the same dead run within milliseconds, two may get the folder; one of these
stops at its next renewal.
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
HIDDEN = ".restyle"  # hides the files of the lock in a folder of slides
BEAT_S = 5.0  # between renewals of the note
WATCH_S = 20.0  # a run that has not renewed its note for so long is dead
SEEN_S = 60.0  # a note renewed within this time seems to be that of a run at work
_WRITTEN_S = 0.1  # longer than it takes to write a note

log = logging.getLogger(__name__)


class FolderLost(UnusableInput):
    """A folder of the run was removed or taken over: the run must not write there any more."""


@contextmanager
def hold(*folders: Path) -> Iterator[Check]:
    """Lock folders, all or none; yield a check that raises FolderLost once one is lost.

    Raises UnusableInput naming the run that holds one, and OSError if one cannot be written.
    """
    with ExitStack() as locks:
        for folder in folders:
            path = folder / LOCK
            if path.is_symlink():  # it may lead out of the folder
                files.remove(path)
            try:
                locks.enter_context(FileLock(path, timeout=0))
            except Timeout as error:
                raise _held(folder, _read(folder / NOTE)) from error
        yield locks.enter_context(_noted(folders))


def seems_held(folder: Path) -> bool:
    """Return whether the note of a run was renewed of late, by the clock of this machine.

    For show only: `hold` alone tells for certain.
    """
    try:
        return time.time() - (folder / NOTE).stat().st_mtime < SEEN_S
    except OSError:
        return False


@contextmanager
def _noted(folders: Sequence[Path]) -> Iterator[Check]:
    """Keep a note of this run in each folder; yield a check as `hold` does."""
    found = {folder: text for folder in folders if (text := _read(folder / NOTE)) is not None}
    elsewhere = {
        folder: text for folder, text in found.items() if _field(text, "host") != platform.node()
    }
    if (renewed := _renewed(elsewhere)) is not None:
        raise _held(renewed, found[renewed])
    for who in sorted({_who(text) for text in found.values()}):
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
    """Renew the notes until the run ends or one of them is lost."""
    while not over.wait(BEAT_S):
        for note in notes:
            with suppress(OSError):  # a full disk is reported when slides are written
                note.renew_if_ours()
        if any(note.is_lost for note in notes):
            return


class _Note:
    """The note of this run. Between `claim` and `remove` only its own thread uses the file."""

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.is_lost = False
        self._content = {
            "host": platform.node(),
            "pid": getpid(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
            "run": run,
        }
        self._beats = 0

    def claim(self, dead: bytes | None) -> None:
        """Create the note. dead: the note of a dead run in its place, if there is one.

        Raises FileExistsError if another run was faster, and OSError.
        """
        if dead is not None:
            self._remove_dead(dead)
        if self.path.is_symlink():  # dangling
            files.remove(self.path)
        with self.path.open("x"):
            pass
        try:
            self.renew()
        except OSError:
            files.remove(self.path)
            raise

    def renew(self) -> None:
        """Write the note with the next number, so that others see it change. Raises OSError."""
        self._beats += 1
        if self.path.is_symlink():
            files.remove(self.path)
        text = json.dumps({**self._content, "beat": self._beats})
        # Without a temporary name: on NFS, other machines would still see the replaced file.
        files.patiently(lambda: self.path.write_text(text, "utf-8"))

    def renew_if_ours(self) -> None:
        """Renew the note, or set `is_lost`. Raises OSError."""
        self.is_lost = not self._is_ours()
        if not self.is_lost:
            self.renew()

    def remove(self) -> None:
        with suppress(OSError):
            if self._is_ours():
                files.remove(self.path)

    def _remove_dead(self, dead: bytes) -> None:
        """Remove the note of a dead run; raise FileExistsError if it is another run's by now."""
        away = self.path.with_name(f"{self.path.name}.{self._content['run']}")
        try:
            files.replace(self.path, away)
        except FileNotFoundError:
            return
        if _read(away) != dead:
            files.replace(away, self.path)
            raise FileExistsError(self.path)
        files.remove(away)

    def _is_ours(self) -> bool:
        """Return whether the note exists and is this run's. Raises OSError if it is unreadable."""
        try:
            note = self.path.read_bytes()
        except FileNotFoundError:
            return False
        # It is empty if the disk was full.
        return not note or _field(note, "run") == self._content["run"]


def _renewed(found: Mapping[Path, bytes]) -> Path | None:
    """Return the first folder whose note is renewed within WATCH_S; None if none is.

    found: the notes as they are now, by folder.
    """
    left = dict(found)
    for folder, note in left.items():
        log.info(
            "Another machine was at work in %s: %s. Watching for %.0f seconds whether it still is.",
            _shown(folder),
            _who(note),
            WATCH_S,
        )
    over_by = time.monotonic() + WATCH_S
    while left and time.monotonic() < over_by:
        time.sleep(min(BEAT_S, WATCH_S) / 5)
        for folder, note in [*left.items()]:
            now = _read(folder / NOTE)
            if now is None:  # that run has ended
                del left[folder]
            elif now != note:
                return folder
    return None


def _read(path: Path) -> bytes | None:
    """Return the content of a note; None if there is no readable one."""
    try:
        note = path.read_bytes() if path.is_file() else None
        if note == b"":  # it is just being written
            time.sleep(_WRITTEN_S)
            note = path.read_bytes()
    except OSError:
        return None
    return note


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
    """Return a time in this machine's time zone."""
    try:
        then = datetime.fromisoformat(str(since)).astimezone()
    except (ValueError, OverflowError):
        return since
    return then.strftime("%Y-%m-%d %H:%M:%S")


def _shown(folder: Path) -> Path:
    """Return the folder to name in messages."""
    return folder.parent if folder.name == HIDDEN else folder


def _held(folder: Path, note: bytes | None) -> UnusableInput:
    return UnusableInput(
        f"Another run is at work in {_shown(folder)}: {_who(note)}.\n"
        "Wait for it or stop it; or name another TARGET and another folder with --work."
    )
