"""Replace, move and remove files that another program may have open; read JSON.

On Windows a file that another program has open can be neither replaced, moved nor removed, and a
virus scanner or OneDrive opens each new file for a moment. So what is refused for that reason is
tried again for PATIENCE_S. What to write is left to others.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from stable_restyle.core.errors import is_in_use

T = TypeVar("T")

PATIENCE_S = 2.0
PAUSE_S = 0.02  # between two tries


def patiently(act: Callable[[], T]) -> T:
    """Call `act`, again and again for PATIENCE_S while another program has its file open."""
    over_by = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except PermissionError as error:
            if not is_in_use(error) or time.monotonic() >= over_by:
                raise
        time.sleep(PAUSE_S)


def replace(path: Path, to: Path) -> None:
    """Give a file or folder another name; a file of that name is replaced. Raises OSError."""
    patiently(lambda: os.replace(path, to))


def move(path: Path, to: Path) -> None:
    """Move a file, to another disk too. Raises OSError."""
    try:
        replace(path, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(path, to)
        remove(path)


def remove(path: Path) -> None:
    """Remove a file if it is there; of a link, the link. Raises OSError."""
    with suppress(FileNotFoundError):
        patiently(lambda: os.unlink(path))


def remove_empty(folder: Path) -> None:
    """Remove a folder in which nothing is. Raises OSError."""
    patiently(lambda: os.rmdir(folder))


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it. Raises OSError."""

    def again(act: Callable[[str], object], path: str, _: object) -> None:
        if act not in (os.unlink, os.rmdir):
            raise
        patiently(lambda: act(path))

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=again)
    else:
        shutil.rmtree(folder, onerror=again)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder, which is removed at the end if that is possible."""
    folder = Path(mkdtemp(prefix="video-restyle-"))
    try:
        yield folder
    finally:
        with suppress(OSError):
            remove_tree(folder)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, in UTF-8 or UTF-16, with a byte-order mark or without.

    Raises OSError, ValueError or RecursionError.
    """
    return json.loads(path.read_bytes())
