"""How the command ends: signals and errors become a message on stderr and an exit code."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

from stable_restyle.cli.console import print_error
from stable_restyle.core.errors import RestyleError, from_system

INTERRUPTED = 130
# Ctrl-C, kill, a closed terminal (not on Windows), and Ctrl-Break of Windows.
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
]
MORE_NAMES = (
    "\nPut names with blanks in quotation marks. To restyle several films, list them in a file for "
    "--batch."
)
# What other programs call the film to read and the film to write.
NO_OPTIONS = ("-i", "--in", "--input", "-o", "--out", "--output", "--source", "--target")
NAMES = "\nSOURCE and TARGET go without an option: video-restyle film.mp4 film-clay.mp4"

log = logging.getLogger("stable_restyle")


class _Interrupted(BaseException):
    """A signal has ended the run.

    Not KeyboardInterrupt: on that, click writes to the terminal, which may be closed.
    """


@contextmanager
def handled() -> Iterator[None]:
    """Exit with a message and an exit code on a signal, or on an error that a user can fix.

    Other errors are bugs and keep their traceback. Signals that the process was started to ignore,
    as under nohup, stay ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        yield
        _flush()
        sys.stdout.flush()
    except RestyleError as error:
        _exit(f"Error: {error}", error.exit_code)
    except click.ClickException as error:
        _exit(_usage(error), error.exit_code)
    except _Interrupted:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # another would kill Python while it exits
        _exit(
            "Interrupted. Finished slides are kept; run the command again to continue.", INTERRUPTED
        )
    except MemoryError:
        _exit("Error: This machine has not enough memory left. Finished slides are kept.", 1)
    except OSError as error:
        if is_closed_pipe(error):  # the reader, such as head, has stopped
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if (explained := from_system(error)) is None:
            raise
        _exit(f"Error: {explained}", explained.exit_code)


def is_closed_pipe(error: OSError) -> bool:
    """Return whether the reader of our pipe has closed it; Windows reports EINVAL."""
    closed = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
    return error.errno in closed and error.filename is None


def _interrupt(number: int, frame: object) -> None:
    """End the run in good order; a second signal exits at once."""
    for each in SIGNALS:
        signal.signal(each, lambda *_: os._exit(INTERRUPTED))
    raise _Interrupted


def _usage(error: click.ClickException) -> str:
    """Return what click prints about a mistyped command, with a hint if names are the mistake."""
    text = io.StringIO()
    error.show(text)
    hint = MORE_NAMES if "unexpected extra argument" in error.message else ""
    if isinstance(error, click.NoSuchOption) and error.option_name in NO_OPTIONS:
        hint = NAMES
    return text.getvalue().rstrip() + hint


def _exit(message: str, exit_code: int) -> NoReturn:
    _flush()
    print_error(message)
    sys.exit(exit_code)


def _flush() -> None:
    """Print what other threads have logged."""
    for handler in log.handlers:
        handler.flush()
