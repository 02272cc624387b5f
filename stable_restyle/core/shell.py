"""Split and join commands as this platform's shell does, and find programs."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from io import StringIO

IS_WINDOWS = os.name == "nt"  # there, backslashes and apostrophes do not quote


def split(line: str, comment: str = "") -> list[str]:
    """Return the words of a command, or of a line up to a word that begins a comment.

    comment: what comments begin with; empty if there are none. Raises ValueError for an unclosed
    quotation mark.
    """
    text = StringIO(line)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""  # it would see a comment in "a#b", unlike a shell
    if IS_WINDOWS:
        lexer.escape, lexer.quotes = "", '"'
    words: list[str] = []
    while not (comment and line[text.tell() :].lstrip().startswith(comment)):
        if (word := lexer.get_token()) is None:
            break
        words.append(word)
    return words


def join(words: Sequence[str]) -> str:
    """Return a command line that can be typed."""
    if not IS_WINDOWS:
        return shlex.join(words)
    from subprocess import list2cmdline

    return list2cmdline(words)


def find(program: str) -> str | None:
    """Return the path of a program, which is searched on PATH if it is given without a folder.

    On Windows, `shutil.which` prefers a program in the current folder, which may be that of an
    untrusted film: here the program must be on PATH.
    """
    if not IS_WINDOWS:
        return shutil.which(program)
    endings = os.environ.get("PATHEXT", ".EXE").lower().split(os.pathsep)
    if program.lower().endswith(tuple(endings)):
        endings = [""]
    folders = os.environ.get("PATH", "").split(os.pathsep)
    stems = [os.path.join(folder, program) for folder in folders if folder]
    if os.path.dirname(program):
        stems = [program]
    candidates = (shutil.which(stem + ending) for stem in stems for ending in endings)
    return next(filter(None, candidates), None)
