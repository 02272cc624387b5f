"""What can go wrong, as the user will read it.

Every message says what failed, why, and what to do next. The exit code is on the class; `cli` alone
prints and exits. What is not a RestyleError is a bug and keeps its traceback.
"""

from __future__ import annotations

import shlex
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
        lines = last_words.strip().splitlines()[-8:] or ["it said nothing"]
        super().__init__(
            f"{task} failed: {lines[-1].strip()}\n"
            + "".join(f"  {line}\n" for line in lines[:-1])
            + f"The command was: {shlex.join(command)}"
        )


class ServerFault(RestyleError):
    """One server failed, or cannot be reached; another one may draw the slide."""


class OutOfMemory(ServerFault):
    """A node ran out of memory; with the server's memory freed it may do."""


class WorkflowFault(RestyleError):
    """A server refuses the workflow, or a node of it failed: other servers will hardly differ."""

    exit_code = 3
