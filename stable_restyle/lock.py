"""Keep every other run out of a working folder, and say who is at work there.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from os import getpid
from pathlib import Path
from threading import Event, Thread
from typing import TypeAlias
from uuid import uuid4

from filelock import FileLock, Timeout

from stable_restyle.errors import UnusableInput

Check: TypeAlias = Callable[[], None]  # raises UnusableInput once the folder is no longer ours

LOCK, NOTE = "lock", "running.json"
BEAT_S = 5.0  # between renewals of the note
WATCH_S = 20.0  # without a renewal: the run is dead
_WRITTEN_S = 0.1  # a note is written meanwhile

log = logging.getLogger(__name__)


@contextmanager
def hold(folder: Path) -> Iterator[Check]:
    """Have a folder to ourselves.

    Raises UnusableInput if another run has it, saying which, and OSError if it cannot be written.
    """
    path = folder / LOCK
    if path.is_symlink():  # it might lead out of the folder
        path.unlink()
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise _held(folder, _read(folder / NOTE)) from error
    try:
        with _noted(folder) as check:
            yield check
    finally:
        lock.release()


@contextmanager
def _noted(folder: Path) -> Iterator[Check]:
    note = _Note(folder / NOTE)
    found = _read(note.path)
    if found is not None:
        if _field(found, "host") != platform.node() and _is_renewed(note.path, found):
            raise _held(folder, found)
        log.info("Taking over from a run that did not end well: %s.", _who(found))
    try:
        note.claim(found)
    except FileExistsError as error:
        raise _held(folder, _read(note.path)) from error
    beating = Thread(target=note.keep, name="renew the note", daemon=True)
    beating.start()

    def check() -> None:
        if note.is_lost:
            raise UnusableInput(
                f"{note.path} is no longer this run's: the working folder was removed, or another "
                "run has taken it over.\nSee who is at work there, then repeat the command."
            )

    try:
        yield check
    finally:
        note.done.set()
        beating.join()
        note.remove()


class _Note:
    """The note of this run; only its own thread touches the file between `claim` and `remove`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = Event()
        self.is_lost = False
        self._said = {
            "host": platform.node(),
            "pid": getpid(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
            "run": uuid4().hex,
        }
        self._beats = 0

    def claim(self, dead: bytes | None) -> None:
        """Say that we are here, where nobody is or only the note of a dead run.

        Raises FileExistsError if another run was quicker, and OSError.
        """
        if dead is not None:
            self._put_away(dead)
        if self.path.is_symlink():  # it leads nowhere
            self.path.unlink()
        with self.path.open("x"):
            pass
        try:
            self.renew()
        except OSError:
            self.path.unlink()
            raise

    def renew(self) -> None:
        """Say that we are here, still. Raises OSError."""
        self._beats += 1
        if self.path.is_symlink():
            self.path.unlink()
        # Not by way of a temporary name: on NFS others would go on seeing the old file.
        self.path.write_text(json.dumps({**self._said, "beat": self._beats}), "utf-8")

    def keep(self) -> None:
        """Renew the note until we are done or it is no longer ours."""
        while not self.done.wait(BEAT_S):
            with suppress(OSError):  # a full disk is told by what matters more
                self.is_lost = not self._is_ours()
                if self.is_lost:
                    return
                self.renew()

    def remove(self) -> None:
        with suppress(OSError):
            if self._is_ours():
                self.path.unlink()

    def _put_away(self, dead: bytes) -> None:
        """Remove the note of a dead run, unless another run has done so and written its own."""
        away = self.path.with_name(f"{self.path.name}.{self._said['run']}")
        try:
            self.path.rename(away)
        except FileNotFoundError:
            return
        if _read(away) != dead:
            away.replace(self.path)
            raise FileExistsError(self.path)
        away.unlink()

    def _is_ours(self) -> bool:
        """Whether the note is there and ours. Raises OSError if that cannot be told."""
        try:
            said = self.path.read_bytes()
        except FileNotFoundError:
            return False
        # A disk that was full has left it empty.
        return not said or _field(said, "run") == self._said["run"]


def _is_renewed(path: Path, found: bytes) -> bool:
    """Whether somebody writes the note within WATCH_S."""
    log.info(
        "Another machine was at work in %s: %s. Watching for %.0f seconds whether it still is.",
        path.parent,
        _who(found),
        WATCH_S,
    )
    over_by = time.monotonic() + WATCH_S
    while time.monotonic() < over_by:
        time.sleep(min(BEAT_S, WATCH_S) / 5)
        now = _read(path)
        if now != found:
            return now is not None  # gone: that run has ended
    return False


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
    return f"process {pid} on {host}, since {since}" if host else "its name is not known"


def _held(folder: Path, note: bytes | None) -> UnusableInput:
    return UnusableInput(
        f"Another run is at work in {folder}: {_who(note)}.\n"
        "Wait for it or stop it; or name another TARGET and another folder with --work."
    )
