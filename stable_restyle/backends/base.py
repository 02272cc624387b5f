"""What draws slides: the protocol that servers and the preview engine have in common."""

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
    """What --check finds out about a backend."""

    name: str
    fault: str | None = None  # why it cannot draw; None: it can
    about: Sequence[tuple[str, str]] = ()  # what it is: label and text
    problems: Sequence[str] = ()  # what keeps it from drawing with the workflow
    trial_s: float | None = None  # time of a small slide


class Backend(Protocol):
    """One thing that draws slides. Thread-safe."""

    @property
    def name(self) -> str:
        """The name that the user may read: no password."""
        ...

    @property
    def engine(self) -> str:
        """What makes its pictures: "ComfyUI", or the preview engine's look."""
        ...

    @property
    def about(self) -> str:
        """What it is, in a few words, as far as it has said so."""
        ...

    @property
    def at_once(self) -> int:
        """Slides that it draws side by side."""
        ...

    @property
    def slots(self) -> int:
        """Slides that it takes; those above `at_once` wait there for their turn."""
        ...

    def fit(self) -> list[str]:
        """See that it can draw this run; return a line about each input that was added for that.

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
        """Make room after OutOfMemory."""
        ...

    def answers(self) -> bool:
        """Return whether it could draw now; asked of one that failed."""
        ...

    def close(self) -> None:
        """Give up what is in flight, soon, and release everything."""
        ...


def time_trial(draw: Callable[[Job], Slide]) -> float:
    """Have a slide of 64x64 drawn; return the seconds that it took."""
    ramp = np.linspace(0, 255, TRIAL_PX).astype(np.uint8)
    guide = np.stack(np.broadcast_arrays(ramp, ramp[:, np.newaxis], ramp[::-1]), axis=2)
    began = time.perf_counter()
    draw(Job(0, 0, np.ascontiguousarray(guide), masks.free_all(guide)))
    return time.perf_counter() - began
