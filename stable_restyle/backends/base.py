"""The protocol of what draws slides: servers and the preview engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stable_restyle.core.records import Job, Slide
from stable_restyle.imaging import masks

TRIAL_PX = 64


@dataclass(frozen=True)
class BackendCheck:
    """The result of --check for one backend."""

    name: str
    fault: str | None = None  # why it cannot draw this run; None: it can
    about: Sequence[tuple[str, str]] = ()  # labels and texts
    problems: Sequence[str] = ()  # what keeps it from drawing with the workflow
    trial_s: float | None = None  # time of a small slide


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

    def check(self) -> BackendCheck:
        """Return all about it, after drawing a small slide if it can."""
        ...

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size or a scale of it. Blocks; called from many threads.

        Raises ServerFault where another backend may do better, WorkflowFault where none will.
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


def time_trial(draw: Callable[[Job], Slide]) -> float:
    """Draw a slide of 64x64; return the seconds that it took."""
    ramp = np.linspace(0, 255, TRIAL_PX).astype(np.uint8)
    guide = np.stack(np.broadcast_arrays(ramp, ramp[:, np.newaxis], ramp[::-1]), axis=2)
    began = time.perf_counter()
    draw(Job(0, 0, np.ascontiguousarray(guide), masks.free_all(guide)))
    return time.perf_counter() - began
