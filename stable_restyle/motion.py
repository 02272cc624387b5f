"""Carry a slide: move the previous slide the way the input frames moved.

Measuring needs input frames only, so that it can be done ahead; what it returns carries a slide
when the previous one is there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeAlias

import motion_transfer

from stable_restyle import images
from stable_restyle.errors import ProgramFailed, UnusableInput, WrongUsage
from stable_restyle.model import Pixels

Carry: TypeAlias = Callable[[Pixels], Pixels]


class Motion(Protocol):
    """How slides are carried."""

    def measure(self, frames: Sequence[Pixels]) -> Carry:
        """frames: (H, W, 3) RGB in walking order, from the previous slide's to this slide's.

        Returns what turns the previous slide, (H, W, 3) RGB, into the carried one. Thread-safe.
        """
        ...


class Codec:
    """The motion-transfer library in this process."""

    def measure(self, frames: Sequence[Pixels]) -> Carry:
        try:
            return partial(motion_transfer.apply, motion_transfer.measure(frames))
        except motion_transfer.MotionError as error:
            raise UnusableInput(
                f"The motion of these frames cannot be measured: {error}"
            ) from error


class Program:
    """An outside program with motion-transfer's command line, run once a slide."""

    def __init__(self, command: str) -> None:
        """command: as typed in a shell, with arguments. Raises WrongUsage if it is not there."""
        words = [word.strip('"') for word in shlex.split(command, posix=os.name == "posix")]
        found = shutil.which(words[0]) if words else None
        if found is None:
            raise WrongUsage(
                f"--motion {command}: there is no such program.\n"
                "Give the path of one with motion-transfer's command line, or `--motion codec`."
            )
        self._command = [found, *words[1:]]

    def measure(self, frames: Sequence[Pixels]) -> Carry:
        return partial(self._carry, tuple(frames))

    def _carry(self, frames: Sequence[Pixels], previous: Pixels) -> Pixels:
        with TemporaryDirectory(prefix="video-restyle-") as folder:
            paths = [Path(folder, images.name(index)) for index in range(len(frames))]
            for path, frame in zip(paths, frames, strict=True):
                path.write_bytes(images.encode(frame))
            image, carried = Path(folder, "image.png"), Path(folder, "carried.png")
            image.write_bytes(images.encode(previous))
            self._run("-m", *paths, "-i", image, "-o", carried)
            result = images.read(carried)
        if result.shape != previous.shape:
            raise UnusableInput(
                f"{self._command[0]} made a picture of {result.shape[1]}x{result.shape[0]} "
                f"from one of {previous.shape[1]}x{previous.shape[0]}.\nUse `--motion codec`."
            )
        return result

    def _run(self, *arguments: str | Path) -> None:
        command = [*self._command, *map(str, arguments)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            said = done.stderr.decode(errors="replace")
            raise ProgramFailed("Carrying a slide", command, said)


def choose(motion: str) -> Motion:
    """The value of --motion as a Motion."""
    return Codec() if motion == "codec" else Program(motion)
