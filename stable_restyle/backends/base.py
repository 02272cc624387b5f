"""The protocol of what draws slides: servers and the preview engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stable_restyle.core.records import Job, Slide, WindowJob
from stable_restyle.imaging import arrays

TRIAL_PX = 256  # the longer side of a trial slide
TRIAL_SIZE = (256, 144)  # width and height, if the film is not known
TURNED, NO_EFFECT = 2.0, 1.25  # how much more one half changed than the other
CHANGED_LEAST = 3.0  # levels: what a VAE alone changes


@dataclass(frozen=True)
class BackendCheck:
    """The result of --check for one backend."""

    name: str
    fault: str | None = None  # why it cannot draw this run; None: it can
    about: Sequence[tuple[str, str]] = ()  # labels and texts
    problems: Sequence[str] = ()  # what keeps it from drawing with the workflow
    trial_s: float | None = None  # time of a small slide
    size: tuple[int, int] = (0, 0)  # its width and height


@dataclass(frozen=True)
class Trial:
    """A small slide that was drawn with a mask that frees its right half."""

    seconds: float
    kept: float  # mean change of the half that the mask keeps, in levels
    freed: float  # of the other half
    unmasked: bool  # whether the workflow takes no mask

    @property
    def mask(self) -> str:
        """Describe what the mask did."""
        halves = f"the kept half changed by {self.kept:.0f} levels, the other by {self.freed:.0f}"
        if self.unmasked:
            return "the workflow takes none: it acts when slides are composed"
        if self.is_turned:
            return f"it acts the wrong way round: {halves}"
        if self.kept > CHANGED_LEAST and self.freed < NO_EFFECT * self.kept:
            return f"it seems to have no effect: {halves}"
        return f"it acts: {halves}"

    @property
    def is_turned(self) -> bool:
        """Return whether the mask frees what it should keep."""
        return not self.unmasked and self.kept > max(TURNED * self.freed, CHANGED_LEAST)


class WindowPictures(Protocol):
    """The pictures of a window that a backend has made; one is fetched when it is read."""

    @property
    def count(self) -> int:
        """Return how many slides the window has."""
        ...

    def read(self, place: int) -> Slide:
        """Return the picture of a slide, counted in the window from 0.

        It has the size of the job, or a scale of it. Raises ServerFault, WorkflowFault.
        """
        ...

    def __iter__(self) -> Iterator[Slide]:
        """Yield the pictures in their order, each fetched when it is wanted."""
        ...


class Backend(Protocol):
    """One thing that draws slides. Thread-safe."""

    @property
    def name(self) -> str:
        """Return the name to show to the user, without passwords."""
        ...

    @property
    def engine(self) -> str:
        """Return what makes its pictures: "ComfyUI", or the preview engine's look."""
        ...

    @property
    def about(self) -> str:
        """Describe it in a few words, as far as it is known."""
        ...

    @property
    def at_once(self) -> int:
        """Return how many slides it draws at the same time."""
        ...

    @property
    def slots(self) -> int:
        """Return how many slides it accepts; those above `at_once` are queued there."""
        ...

    def fit(self) -> list[str]:
        """Prepare for this run; return a line about each input that had to be added.

        Raises ServerFault where nothing answers, WorkflowFault where it cannot draw the workflow.
        """
        ...

    def check(self, size: tuple[int, int]) -> BackendCheck:
        """Return all about it, after drawing a slide of this width and height if it can."""
        ...

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size or a scale of it. Blocks; called from many threads.

        Raises ServerFault where another backend may do better, WorkflowFault where none will.
        """
        ...

    def draw_window(self, job: WindowJob) -> AbstractContextManager[WindowPictures]:
        """Make a window; entering the result returns its pictures, leaving it frees them there.

        Entering blocks until all are made. Called from many threads. Raises as `draw` does;
        WorkflowFault also where there are more or fewer pictures than the job's length.
        """
        ...

    def free_memory(self) -> None:
        """Free memory after OutOfMemory."""
        ...

    def answers(self) -> bool:
        """Return whether it could draw now; called after it failed."""
        ...

    def close(self) -> None:
        """Abandon slides in flight and release everything, within seconds."""
        ...


def trial_size(width: int, height: int) -> tuple[int, int]:
    """Return the size of a small slide of the aspect of frames."""
    scale = min(TRIAL_PX / max(width, height), 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def try_out(
    draw: Callable[[Job], Slide],
    size: tuple[int, int],
    roles: Collection[str] = (),
    *,
    middle: bool = False,
) -> Trial:
    """Draw a slide whose mask frees the right half alone.

    size: width and height. roles: of the pictures that the slide has; all are the guide.
    """
    width, height = size
    across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)[:, np.newaxis]
    ramps = np.broadcast_arrays(across, down, across[::-1])
    guide = np.ascontiguousarray(np.stack(ramps, axis=2), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    pictures = {role: lambda: guide for role in roles if role != "mask"}
    began = time.perf_counter()
    slide = draw(Job(0, 1, guide, mask, middle=middle, pictures=pictures))
    seconds = time.perf_counter() - began
    changed = np.abs(arrays.fit(slide.pixels, width, height).astype(np.float32) - guide)
    kept, freed = (float(half.mean()) for half in np.array_split(changed, 2, axis=1))
    return Trial(seconds, kept, freed, slide.unmasked)
