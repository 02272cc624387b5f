"""Define the errors that users can fix, and the words of their messages.

Every message says what failed, why, and what to do next. The exit code is on the class; only `cli`
prints and exits. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from stable_restyle.core import shell


class RestyleError(Exception):
    """A run, or one slide of it, failed for a reason that a user can fix."""

    exit_code = 1

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (type(self), str(self))  # for workers: a message is all that they send


def _rebuilt(kind: type[RestyleError], message: str) -> RestyleError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    return error


class WrongUsage(RestyleError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class UnusableInput(RestyleError):
    """A frame, a film, a workflow or a file of the working folder cannot be used."""

    exit_code = 3


class CannotWrite(UnusableInput):
    """A file cannot be written, nor could others: the disk is full, or the folder is gone."""


class NoBackendLeft(RestyleError):
    """No backend is left that could draw a slide."""

    exit_code = 4


class PoolClosed(NoBackendLeft):
    """Slides were requested after the end of the run."""


class ProgramFailed(RestyleError):
    """An outside program ended with an error."""

    def __init__(self, task: str, command: Sequence[str], last_words: str) -> None:
        """Describe the failure. task: such as "Splitting film.mp4". last_words: end of stderr."""
        lines = last_words.strip().splitlines()[-8:] or ["it printed nothing"]
        super().__init__(
            f"{task} failed: {lines[-1].strip()}\n"
            + "".join(f"  {line}\n" for line in lines[:-1])
            + f"The command was: {shell.join(command)}"
        )


class ServerFault(RestyleError):
    """One server failed, or cannot be reached; another one may draw the slide."""


class OutOfMemory(ServerFault):
    """A node ran out of memory; it may succeed once the server's memory is freed."""


class WorkflowFault(RestyleError):
    """A server refuses the workflow, or a node of it failed, as it would on other servers."""

    exit_code = 3


def counted(number: int, noun: str) -> str:
    """Return a number of things in words: "1 slide", "12 slides"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def are(number: int) -> str:
    """Return the verb for a number of things."""
    return "is" if number == 1 else "are"


def bytes_in_words(size: int) -> str:
    """Return a size of a file in words: "736 kB", "1.2 GB"."""
    number, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.3g} {units[0]}"


def cannot_write(path: Path, error: OSError, size: int | None = None) -> CannotWrite:
    """Return the error for a file or folder that cannot be written. size: in bytes."""
    needed = f"It needs {bytes_in_words(size)}: free" if size else "Free"
    return CannotWrite(
        f"{path} cannot be written: {reason(error)}.\n"
        f"{_remedy(error, _TO_WRITE, needed)}, and run the command again; finished slides are kept."
    )


def cannot_remove(path: Path, error: OSError) -> UnusableInput:
    """Return the error for a file or folder that cannot be removed."""
    return UnusableInput(
        f"{path} cannot be removed: {reason(error)}.\n"
        f"{_CLOSE if is_in_use(error) else 'Remove it'}, and run the command again."
    )


def cannot_read(what: object, error: OSError) -> UnusableInput:
    """Return the error for a file that cannot be read. what: its path, perhaps with more words."""
    return UnusableInput(f"{what} cannot be read: {reason(error)}.\n{_remedy(error, _TO_READ)}.")


def from_system(error: OSError) -> RestyleError | None:
    """Return the error to show for one of the operating system; None if it may be a bug.

    It is shown if a resource is exhausted, or if a path leads to something unusable.
    """
    if error.errno not in _SCARCE and not (error.errno in _UNUSABLE and error.filename):
        return None
    kind = RestyleError if error.errno in _SCARCE else UnusableInput
    what = f"{error.filename}: " if error.filename else ""
    return kind(
        f"{what}{reason(error)}.\n"
        f"{_remedy(error, _SCARCE | _UNUSABLE)}, and run the command again; "
        "finished slides are kept."
    )


def is_in_use(error: OSError) -> bool:
    """Return whether Windows refuses this because another program may have the file open."""
    return _windows_number(error) in _IN_USE


def reason(error: OSError) -> str:
    """Return why the operating system refuses something."""
    return _IN_USE.get(_windows_number(error), error.strerror or str(error))


def _windows_number(error: OSError) -> int:
    number: int | None = getattr(error, "winerror", None)
    if sys.platform == "win32" and number is None and error.errno == errno.EACCES:
        return _ACCESS_DENIED  # `open` uses the C library, which loses the number
    return number or 0


def _remedy(error: OSError, remedies: Mapping[int, str], free: str = "Free") -> str:
    if is_in_use(error):
        return _CLOSE
    return remedies.get(error.errno or 0, "Fix this").format(free=free)


_ACCESS_DENIED, _SHARING_VIOLATION, _LOCK_VIOLATION = 5, 32, 33
_IN_USE = {
    _ACCESS_DENIED: "another program has it open, or this user has no access to it",
    _SHARING_VIOLATION: "another program has it open",
    _LOCK_VIOLATION: "another program has it open",
}
_CLOSE = "Close that program, or exclude the folder from virus scans and OneDrive"
_SCARCE = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "{free} some space there, or raise the quota"
    ),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Allow more open files (`ulimit -n 1024`)"),
    **dict.fromkeys((errno.EAGAIN, errno.ENOMEM), "Close other programs that use much memory"),
    errno.EIO: "Check the disk for errors",
}
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_UNUSABLE = {
    **dict.fromkeys(_DENIED, "Give this user access to it"),
    errno.EISDIR: "Move that folder away: a file belongs there",
    errno.EEXIST: "Move that file away: a folder belongs there",
    errno.ELOOP: "Remove that link: it leads to itself",
    **dict.fromkeys((errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL), "Use another name"),
}
_GONE = (errno.ENOENT, errno.ENOTDIR)
_TO_WRITE = {
    **_SCARCE,
    **_UNUSABLE,
    **dict.fromkeys(_DENIED, "Make it writable for this user"),
    **dict.fromkeys(_GONE, "Make its folder, or put it back where it was"),
}
_TO_READ = {
    **_SCARCE,
    **_UNUSABLE,
    **dict.fromkeys(_DENIED, "Make it readable for this user"),
    **dict.fromkeys(_GONE, "Put it back where it was"),
}
