"""What can go wrong, as the user will read it.

Every message says what failed, why, and what to do next. The exit code is on the class; `cli` alone
prints and exits. What is not a RestyleError is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence


class RestyleError(Exception):
    """A run, or one slide of it, failed for a reason that a user can mend."""

    exit_code = 1


class WrongUsage(RestyleError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class UnusableInput(RestyleError):
    """A frame, a film, a workflow or a file of the working folder cannot be used."""

    exit_code = 3


class NoBackendLeft(RestyleError):
    """Nothing is left that could draw a slide."""

    exit_code = 4


class ProgramFailed(RestyleError):
    """An outside program ended with an error."""

    def __init__(self, task: str, command: Sequence[str], last_words: str) -> None:
        """task: what was being done ("splitting film.mp4"). last_words: the end of its stderr."""
        said = "\n".join(f"  {line}" for line in last_words.strip().splitlines()[-8:])
        super().__init__(
            f"{task} failed. The program said:\n{said or '  (nothing)'}\n"
            f"The command was: {' '.join(command)}"
        )
