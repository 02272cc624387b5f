"""Run the command `motion-transfer`, whose flags are processed in order.

All arguments and their order are checked before any picture is read.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from motion_transfer.transfer import MotionError, Picture, apply, measure

HELP = """\
Usage: motion-transfer -m FRAME... -i IMAGE -o RESULT

Warp an image along the motion of some frames.

  -m FRAME...  Measure the motion from the first FRAME to the last.
  -i IMAGE     Use this image.
  -o RESULT    Write the warped image. The extension determines its format.
  -h, --help   Show this.
  --version    Show the version.

Flags are processed in order and may be repeated: a new -m replaces the motion,
a new -i the image. All pictures must have the same size. Write ./-name.png for
a file name that begins with a dash.

Exit codes: 0 every RESULT is written; 1 anything else."""

PATIENCE_S = 2.0
IN_USE = (5, 32, 33)  # error numbers of Windows: access denied, sharing violation, lock violation


class Failure(Exception):
    """An error that the user can fix, in one line."""


class Order(NamedTuple):
    """A flag and the file names after it."""

    flag: str
    names: tuple[str, ...]


def main() -> None:
    """Run the command `motion-transfer`."""
    arguments = sys.argv[1:]
    if not {"-h", "--help"}.isdisjoint(arguments):
        print(HELP)
    elif "--version" in arguments:
        print(f"motion-transfer {version('stable-restyle')}")
    else:
        try:
            execute(parse(arguments))
        except Failure as failure:
            sys.exit(f"motion-transfer: {failure}")
        except KeyboardInterrupt:
            sys.exit(130)


def parse(arguments: Sequence[str]) -> list[Order]:
    """Parse the command line and check the order of flags. Raises Failure."""
    orders = list(_orders(arguments))
    if "-o" not in (order.flag for order in orders):
        raise Failure("nothing to do: there is no -o RESULT; try --help")
    before: set[str] = set()
    for order in orders:
        if order.flag == "-o" and "-m" not in before:
            raise Failure(f"-o {order.names[0]}: there must be -m FRAME... before it")
        if order.flag == "-o" and "-i" not in before:
            raise Failure(f"-o {order.names[0]}: there must be -i IMAGE before it")
        before.add(order.flag)
    return orders


def _orders(arguments: Sequence[str]) -> Iterator[Order]:
    """Yield each flag with its file names. Raises Failure."""
    flags = [at for at, word in enumerate(arguments) if word.startswith("-")]
    if arguments and 0 not in flags:
        raise Failure(f"{arguments[0]}: there must be -m, -i or -o before a file name")
    for start, stop in pairwise([*flags, len(arguments)]):
        flag, *names = arguments[start:stop]
        if flag not in ("-m", "-i", "-o"):
            raise Failure(f"{flag}: there is no such flag; try --help")
        if not names:
            raise Failure(f"{flag}: a file name must follow")
        if len(names) > 1 and flag != "-m":
            raise Failure(f"{flag}: one file name must follow, not {len(names)}")
        yield Order(flag, tuple(names))


def execute(orders: Sequence[Order]) -> None:
    """Measure motions, read images and write results, in order. Raises Failure."""
    for flag, names in orders:
        try:
            if flag == "-m":
                motion = measure(read(Path(name)) for name in names)
            elif flag == "-i":
                image = read(Path(names[0]))
            else:
                write(Path(names[0]), apply(motion, image))
        except MotionError as error:
            span = names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
            raise Failure(f"{flag} {span}: {error}") from error


def read(path: Path) -> Picture:
    """Read a picture file as (H, W, 3) uint8 RGB; of 16 bits, the upper 8. Raises Failure."""
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture if picture.mode[:4] == "I;16" else picture.convert("RGB"))
    except FileNotFoundError:
        raise Failure(f"{path}: there is no such file") from None
    except Exception as error:  # decoders raise all kinds of exceptions for damaged files
        reason = getattr(error, "strerror", None) or "it is not a picture, or it is damaged"
        raise Failure(f"{path} cannot be read: {reason}") from error
    if pixels.ndim == 2:
        return np.stack([(pixels >> 8).astype(np.uint8)] * 3, axis=2)
    return pixels


def write(path: Path, picture: Picture) -> None:
    """Write a picture completely or not at all; its extension is the format. Raises Failure."""
    Image.init()
    known = Image.registered_extensions().get(path.suffix.lower())
    if known not in Image.SAVE:
        raise Failure(f"{path}: no picture format ends in {path.suffix!r}; call it {path.stem}.png")
    part = path.with_name(f".motion-transfer-{os.getpid()}.part")
    try:
        encoded = BytesIO()
        Image.fromarray(picture).save(encoded, known)
        part.write_bytes(encoded.getbuffer())
        _patiently(lambda: part.replace(path))
    except (OSError, ValueError) as error:  # ValueError: too large for that format
        reason = getattr(error, "strerror", None) or error
        if _is_in_use(error):
            reason = "another program has it open, or this user has no access to it"
        raise Failure(f"{path} cannot be written: {reason}") from error
    finally:
        with suppress(OSError):  # it was renamed or never created
            _patiently(part.unlink)


def _patiently(act: Callable[[], object]) -> None:
    """Act on a file; retry for PATIENCE_S while another program, such as a scanner, has it open."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            act()
            return
        except OSError as error:
            if not _is_in_use(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.02)


def _is_in_use(error: Exception) -> bool:
    """Return whether this is the error of Windows for a file that another program has open."""
    return getattr(error, "winerror", None) in IN_USE
