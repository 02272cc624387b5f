"""Commands as this platform's shell reads and writes them, and where their programs are."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from io import StringIO

IS_WINDOWS = os.name == "nt"  # there a backslash is part of a path, and an apostrophe of a name


def split(line: str, comment: str = "") -> list[str]:
    """Return the words of a command, or of a line up to a word that begins a comment.

    comment: what comments begin with; empty: there are none. Raises ValueError for a quotation that
    does not end.
    """
    text = StringIO(line)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""  # it would end a word at any "#"; a shell does where one begins
    if IS_WINDOWS:
        lexer.escape, lexer.quotes = "", '"'
    words: list[str] = []
    while not (comment and line[text.tell() :].lstrip().startswith(comment)):
        if (word := lexer.get_token()) is None:
            break
        words.append(word)
    return words


def join(words: Sequence[str]) -> str:
    """Return a command that can be typed."""
    if not IS_WINDOWS:
        return shlex.join(words)
    from subprocess import list2cmdline

    return list2cmdline(words)


def find(program: str) -> str | None:
    """Return the path of a program: as it is given, or if that names no folder, on PATH.

    `shutil.which` prefers a program of the current folder on Windows, and that may be the folder of
    a film from anywhere: here it has to be on PATH.
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
