"""A shelf of films: a run for each line of a list, one after the other.

The list is read and looked over as a whole before any work. A film that fails leaves the others
alone; one that is finished is passed over. What the options of a line mean is left to `cli`, and a
film's run to `pipeline`.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TypeAlias

from stable_restyle import pipeline
from stable_restyle.errors import RestyleError, UnusableInput, WrongUsage, from_system
from stable_restyle.model import Settings
from stable_restyle.pipeline import Outcome
from stable_restyle.progress import Progress

LINES_SHOWN = 20  # of those that cannot be used

# The settings of a film: its source, its target and its own options. Raises WrongUsage.
Settle: TypeAlias = Callable[[str, str, Sequence[str]], Settings]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A film of the list."""

    line: str  # "films.txt, line 3"
    settings: Settings


class FilmsMissing(RestyleError):
    """The batch ended, but some films are not finished."""

    def __init__(self, failures: Sequence[tuple[Entry, RestyleError]], films: int) -> None:
        """Has the exit code of its failures if they have one in common, else 1."""
        codes = {error.exit_code for _, error in failures}
        self.exit_code = codes.pop() if len(codes) == 1 else RestyleError.exit_code
        lines = (
            f"  {entry.line}, {entry.settings.target}: {_indented(error)}\n"
            for entry, error in failures
        )
        super().__init__(
            f"{len(failures)} of {films} films are not finished:\n{''.join(lines)}"
            "Mend that and repeat the command; finished films are passed over."
        )


def read(path: Path, settle: Settle) -> list[Entry]:
    """The films of a list. Nothing is written, and nothing is asked of servers.

    Raises UnusableInput if it cannot be read, WrongUsage naming every line that cannot be used.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise UnusableInput(
            f"{path} cannot be read: {error}.\n"
            "It is a text file in UTF-8 with a line for each film: SOURCE TARGET -- OPTIONS."
        ) from error
    entries: list[Entry] = []
    faults: list[str] = []
    taken: dict[Path, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name = f"{path}, line {number}"
        try:
            if found := words(line):
                settings = _settle(found, settle)
                _take(_written(settings), name, taken)
                entries.append(Entry(name, settings))
        except RestyleError as error:
            faults.append(f"{name}: {_indented(error)}")
    if faults:
        more = len(faults) - LINES_SHOWN
        shown = "\n".join(faults[:LINES_SHOWN]) + (f"\nand {more} more lines" if more > 0 else "")
        raise WrongUsage(f"{shown}\nNothing was done. Correct the list, and repeat the command.")
    if not entries:
        raise WrongUsage(f"{path} names no film.\nWrite a line for each: SOURCE TARGET -- OPTIONS.")
    return entries


def run(entries: Sequence[Entry], progress: Progress, done: Callable[[Outcome], None]) -> None:
    """Restyle every film that is not finished yet. done: told of each one.

    Raises FilmsMissing at the end if some could not be finished.
    """
    failures: list[tuple[Entry, RestyleError]] = []
    for number, entry in enumerate(entries, 1):
        source, target = entry.settings.source, entry.settings.target
        try:
            if pipeline.is_finished(entry.settings):
                log.info("Film %d of %d: %s is finished.", number, len(entries), target)
                continue
            log.info("Film %d of %d: %s -> %s", number, len(entries), source, target)
            done(pipeline.run(entry.settings, progress))
        except (RestyleError, OSError) as error:
            told = error if isinstance(error, RestyleError) else from_system(error)
            if told is None:
                raise
            failures.append((entry, told))
            log.warning("%s is not finished: %s", target, str(told).partition("\n")[0])
    if failures:
        raise FilmsMissing(failures, len(entries))


def words(line: str) -> list[str]:
    """The words of a line, quoted as this platform's shell has it, up to a comment.

    Raises WrongUsage for a quotation that does not end.
    """
    shell = StringIO(line)
    lexer = shlex.shlex(shell, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""  # it would end a word at any "#"; a shell does where one begins
    if os.name == "nt":
        lexer.escape, lexer.quotes = "", '"'
    found: list[str] = []
    try:
        while not line[shell.tell() :].lstrip().startswith("#"):
            if (word := lexer.get_token()) is None:
                break
            found.append(word)
    except ValueError as error:
        raise WrongUsage("a quotation mark has no counterpart.") from error
    return found


def _settle(found: Sequence[str], settle: Settle) -> Settings:
    named, own = list(found), list[str]()
    if "--" in found:
        named, own = named[: named.index("--")], named[named.index("--") + 1 :]
    if len(named) != 2:
        raise WrongUsage(
            f"a source and a target are wanted, and here are {len(named)} names.\n"
            "Write SOURCE TARGET -- OPTIONS, and names with blanks in quotation marks."
        )
    return settle(named[0], named[1], own)


def _written(settings: Settings) -> set[Path]:
    """The folders and the film that a run would write, after a look whether it could begin."""
    places = pipeline.look_over(settings)
    every = (places.interp, places.shown, places.result)
    return {path.resolve() for path in every if path is not None}


def _take(paths: Iterable[Path], line: str, taken: dict[Path, str]) -> None:
    """Raises WrongUsage where another line has one of these."""
    for path in paths:
        if (other := taken.setdefault(path, line)) != line:
            raise WrongUsage(
                f"{path} is written by {other} too.\nName another TARGET, or another --work folder."
            )


def _indented(error: RestyleError) -> str:
    return str(error).replace("\n", "\n    ")
