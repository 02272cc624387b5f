"""Move slides by an external program with motion-transfer's command line, once per slide."""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stable_restyle.core import files, shell
from stable_restyle.core.errors import ProgramFailed, UnusableInput, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import MOTIONS
from stable_restyle.imaging import masks
from stable_restyle.media import png, sequence
from stable_restyle.motion.base import FramePath, Motion, MotionEstimate
from stable_restyle.motion.codec import BlockEstimate


class ProgramMotion(Motion):
    """The program that --motion COMMAND names."""

    def __init__(self, command: str) -> None:
        """Take a command as typed in a shell. Raises WrongUsage if the program is not found."""
        try:
            words = shell.split(command)
        except ValueError as error:
            raise WrongUsage(f"--motion {command}: a quotation mark is not closed.") from error
        found = shell.find(words[0]) if words else None
        if found is None:
            meant = difflib.get_close_matches(command, MOTIONS, 1)
            hint = f" Did you mean {meant[0]}?" if meant else ""
            raise WrongUsage(
                f"--motion {command}: there is no such program.{hint}\n"
                "Write codec, flow or flow:fast, or the path of one with motion-transfer's "
                "command line."
            )
        self._command = [found, *words[1:]]

    def estimate(self, path: FramePath) -> MotionEstimate:
        """Return an estimate that runs the program along all frames crossed."""
        frames = path.crossed()
        return BlockEstimate(masks.change(frames), partial(self._warp, tuple(frames)))

    def _warp(self, frames: Sequence[Pixels], previous: Pixels) -> Pixels:
        with files.temporary_folder() as folder:
            paths = [folder / sequence.name(index) for index in range(len(frames))]
            for path, frame in zip(paths, frames, strict=True):
                path.write_bytes(png.encode(frame))
            image, warped = folder / "image.png", folder / "warped.png"
            image.write_bytes(png.encode(previous))
            self._run("-m", *paths, "-i", image, "-o", warped)
            result = png.read(warped)
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
            output = done.stderr.decode(errors="replace")
            raise ProgramFailed("Moving a slide", command, output)
