"""Carry a slide: move the previous slide the way the input frames moved.

Measuring needs input frames only, so that it can be done ahead. What it returns knows what follows
for a slide: its mask, and what is carried when the previous slide is there. What the model's answer
becomes is decided here too.
"""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import motion_transfer

from stable_restyle.core import files, shell
from stable_restyle.core.errors import ProgramFailed, UnusableInput, WrongUsage
from stable_restyle.core.records import FAST_FLOW, FLOWS, Pixels
from stable_restyle.imaging import colour, compose, masks, optical_flow
from stable_restyle.media import images


class Measured(Protocol):
    """How the frames moved from the previous slide's to this slide's. Small; thread-safe.

    Pictures are (H, W, 3) RGB, masks (H, W); both 0..255.
    """

    def mask(self, strength: float, grow_px: int) -> Pixels:
        """What the model may change. strength: 0 frees all, 8 only what moved."""
        ...

    def carry(self, sources: Sequence[Pixels]) -> Pixels:
        """The previous slide, or the keys around, moved to this slide's frame."""
        ...


class Motion(Protocol):
    """How slides are carried along all frames from one to the next."""

    def measure(self, frames: Sequence[Pixels]) -> Measured:
        """frames: (H, W, 3) RGB in walking order, from the previous slide's to this slide's."""
        ...

    def finish(self, answer: Pixels, carried: Pixels, mask: Pixels) -> Pixels:
        """The slide that the model's answer becomes."""
        return answer


@dataclass(frozen=True)
class Blocks:
    """The original's way: blocks are moved; what changes from frame to frame may be redrawn."""

    change: Pixels  # as masks.change makes it
    move: Callable[[Pixels], Pixels]

    def carry(self, sources: Sequence[Pixels]) -> Pixels:
        (previous,) = sources
        return self.move(previous)

    def mask(self, strength: float, grow_px: int) -> Pixels:
        return masks.from_change(self.change, strength, grow_px)


@dataclass(frozen=True)
class Flowing:
    """By optical flow: what can be carried stays as it is, and only the rest is redrawn."""

    moved: Sequence[
        optical_flow.FlowEstimate
    ]  # from the previous slide, or from the keys before and after

    def mask(self, strength: float, grow_px: int) -> Pixels:
        return masks.from_flow(self.moved, strength, grow_px)

    def carry(self, sources: Sequence[Pixels]) -> Pixels:
        if len(self.moved) == 1:
            return compose.warp_slide(sources[0], self.moved[0])
        return compose.fill(sources, self.moved)


class Codec(Motion):
    """The motion-transfer library in this process."""

    def measure(self, frames: Sequence[Pixels]) -> Measured:
        try:
            motion = motion_transfer.measure(frames)
        except motion_transfer.MotionError as error:
            raise UnusableInput(
                f"The motion of these frames cannot be measured: {error}"
            ) from error
        return Blocks(masks.change(frames), partial(motion_transfer.apply, motion))


@dataclass(frozen=True)
class Flow:
    """Optical flow from the frame of a slide to those of the slides that it is made from."""

    fast: bool

    def measure(self, frame: Pixels, sources: Sequence[Pixels]) -> Measured:
        """Straight there. frame, sources: the frames that the slides show, (H, W, 3) RGB."""
        return Flowing([optical_flow.estimate(source, frame, fast=self.fast) for source in sources])

    def measure_along(
        self,
        frame: Pixels,
        sources: Sequence[Pixels],
        ways: Sequence[Sequence[optical_flow.FlowPair]],
    ) -> Measured:
        """By the slides between. ways: for each source, from slide to slide towards it."""
        return Flowing(
            [
                optical_flow.estimate_along(source, frame, its_ways, fast=self.fast)
                for source, its_ways in zip(sources, ways, strict=True)
            ]
        )

    def finish(self, answer: Pixels, carried: Pixels, mask: Pixels) -> Pixels:
        """As `Motion.finish`: what was carried stays, to the pixel, where the mask is 0."""
        if answer.shape != carried.shape:  # enlarged by the workflow: there is nothing as sharp
            return answer
        return compose.compose(colour.match_kept_colours(answer, carried, mask), carried, mask)


class Program(Motion):
    """An outside program with motion-transfer's command line, run once a slide."""

    def __init__(self, command: str) -> None:
        """command: as typed in a shell, with arguments. Raises WrongUsage if it is not there."""
        try:
            words = shell.split(command)
        except ValueError as error:
            raise WrongUsage(f"--motion {command}: a quotation mark has no counterpart.") from error
        found = shell.find(words[0]) if words else None
        if found is None:
            meant = difflib.get_close_matches(command, (*FLOWS, "codec"), 1)
            hint = f" Did you mean {meant[0]}?" if meant else ""
            raise WrongUsage(
                f"--motion {command}: there is no such program.{hint}\n"
                "Write codec, flow or flow:fast, or the path of one with motion-transfer's "
                "command line."
            )
        self._command = [found, *words[1:]]

    def measure(self, frames: Sequence[Pixels]) -> Measured:
        return Blocks(masks.change(frames), partial(self._carry, tuple(frames)))

    def _carry(self, frames: Sequence[Pixels], previous: Pixels) -> Pixels:
        with files.temporary_folder() as folder:
            paths = [folder / images.name(index) for index in range(len(frames))]
            for path, frame in zip(paths, frames, strict=True):
                path.write_bytes(images.encode(frame))
            image, carried = folder / "image.png", folder / "carried.png"
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


def choose(motion: str) -> Motion | Flow:
    """What the value of --motion names."""
    if motion in FLOWS:
        return Flow(fast=motion == FAST_FLOW)
    return Codec() if motion == "codec" else Program(motion)
