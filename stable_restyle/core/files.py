"""Write, replace, move and remove files, whole or not at all; read JSON.

On Windows a file that another program has open can be neither replaced, moved nor removed, and a
virus scanner or OneDrive opens each new file for a moment. What is refused for that reason is tried
again for PATIENCE_S.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar
from uuid import uuid4

from stable_restyle.core.errors import UnusableInput, cannot_remove, cannot_write, is_in_use

T = TypeVar("T")

PATIENCE_S = 2.0
PAUSE_S = 0.02  # between two tries
PART = ".part"  # ends the temporary name of what is being written, or begins its ending


def patiently(act: Callable[[], T]) -> T:
    """Call `act`; repeat it for up to PATIENCE_S while another program has its file open."""
    over_by = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except PermissionError as error:
            if not is_in_use(error) or time.monotonic() >= over_by:
                raise
        time.sleep(PAUSE_S)


def replace(path: Path, to: Path) -> None:
    """Rename a file or folder, replacing a file of that name. Raises OSError."""
    patiently(lambda: os.replace(path, to))


def stamp(path: Path) -> int:
    """Return the modification time of a file in whole milliseconds. Raises OSError."""
    return path.stat().st_mtime_ns // 1_000_000


def move(path: Path, to: Path) -> None:
    """Move a file, also to another disk. Raises OSError."""
    try:
        replace(path, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(path, to)
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or link if it exists. Raises OSError."""
    with suppress(FileNotFoundError):
        patiently(lambda: os.unlink(path))


def remove_empty(folder: Path) -> None:
    """Remove an empty folder. Raises OSError."""
    patiently(lambda: os.rmdir(folder))


def remove_tree(folder: Path) -> None:
    """Remove a folder and its content. Raises OSError."""

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
    """Yield a new folder; remove it afterwards if possible."""
    folder = Path(mkdtemp(prefix="video-restyle-"))
    try:
        yield folder
    finally:
        with suppress(OSError):
            remove_tree(folder)


def read_json(path: Path, parse: Callable[[Any], T], next_step: str) -> T:
    """Parse a JSON file in UTF-8 or UTF-16, with or without a byte-order mark.

    parse: converts the content; raises an error such as ValueError if it is invalid. next_step: the
    last line of the message. Raises UnusableInput.
    """
    try:
        return parse(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UnusableInput(f"{path} cannot be read: {error}.\n{next_step}") from error


def part_of(path: Path, writer: str = "") -> Path:
    """Return the temporary name of a file while it is written.

    writer: who writes, where others may write the same file at the same time.
    """
    return path.with_name(f"{path.name}{writer and '.'}{writer}{PART}")


def write_json(path: Path, tree: object, indent: int | None = None) -> None:
    """Write a JSON file as `write_whole` does. Raises UnusableInput."""
    write_whole(path, json.dumps(tree, indent=indent).encode())


@contextmanager
def replacing(path: Path, writer: str = "") -> Iterator[Path]:
    """Yield a temporary path; on success it replaces `path`, on failure it is removed.

    writer: as for `part_of`. Raises OSError.
    """
    part = part_of(path, writer)
    # A program of a killed run may still be writing to it; or it is a link out of the folder.
    remove(part)
    try:
        yield part
        replace(part, path)
    except BaseException:
        with suppress(OSError):
            remove(part)
        raise


def write_whole(path: Path, data: bytes, writer: str = "") -> None:
    """Write a file so that a crash leaves either the old or the whole new one.

    writer: as for `part_of`. Raises UnusableInput.
    """
    try:
        with replacing(path, writer) as part, part.open("xb") as file:
            file.write(data)
            file.flush()
            _flush(file.fileno())
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error, len(data)) from error


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, so that they survive a power loss."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":  # folders cannot be opened; NTFS keeps a journal of names
        return
    handle = patiently(lambda: os.open(path, os.O_RDONLY if is_folder else os.O_RDWR))
    try:
        _flush(handle)
    except OSError as error:
        if not is_folder or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise  # some network file systems cannot sync a folder
    finally:
        os.close(handle)


def move_whole(part: Path, folder: Path) -> None:
    """Rename a folder of finished files once they are all on the disk. Raises UnusableInput."""
    try:
        for each in part.iterdir():
            sync(each)
        sync(part)
        replace(part, folder)
        sync(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` when all is there, and is removed otherwise."""
    part = folder.with_name(f"{folder.name}{PART}-{uuid4().hex}")
    try:
        part.mkdir(parents=True)
        yield part
        move_whole(part, folder)
    finally:  # this one alone: the folder may be another run's by now
        with suppress(OSError):
            remove_tree(part)


def remove_all(folder: Path, names: Iterable[str]) -> None:
    """Remove files or links from a folder. Raises UnusableInput."""
    for each in names:
        try:
            remove(folder / each)
        except OSError as error:
            raise cannot_remove(folder / each, error) from error


def remove_folder(folder: Path) -> None:
    """Remove a folder and its content, or a link to a folder. Raises UnusableInput."""
    try:
        if folder.is_symlink():
            remove(folder)
        elif folder.exists():
            remove_tree(folder)
    except OSError as error:
        raise cannot_remove(folder, error) from error


def _flush(handle: int) -> None:
    """Flush an open file to the disk. Raises OSError."""
    if sys.platform == "darwin":  # there, fsync leaves data in the cache of the disk
        import fcntl

        with suppress(OSError):  # not supported by every file system
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)
