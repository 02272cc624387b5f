"""The preview engine as a backend: it repaints the guide where the mask frees it.

It stands in for a model, with OpenCV and NumPy alone: for trying a film, its scenes, masks and
settings in minutes, and for tests. It paints over what it is shown; it understands nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from stable_restyle.backends.base import BackendCheck, WindowPictures, try_out
from stable_restyle.backends.preview.anime import paint_anime
from stable_restyle.backends.preview.clay import paint_clay
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.parallel import cores
from stable_restyle.core.records import Slide

if TYPE_CHECKING:
    from stable_restyle.core.records import Job, Pixels, WindowJob

Look = Literal["clay", "anime"]
LOOKS: tuple[str, ...] = get_args(Look)


class Preview:
    """A backend inside this process; a slide depends on its settings and the job alone."""

    about = "the embedded preview engine"

    def __init__(self, look: str, seed: int, denoise: float) -> None:
        """Choose the look; denoise, 0..1, is how much is made up, as for a sampler."""
        _painter(look)
        self.name = self.engine = f"preview:{look}"
        self.at_once = self.slots = cores()
        self._look = look
        self._seed = seed
        self._denoise = denoise

    def fit(self) -> list[str]:
        """Return nothing: it needs no inputs."""
        return []

    def check(self, size: tuple[int, int]) -> BackendCheck:
        """Return the time of a slide of this size."""
        return BackendCheck(self.name, trial_s=try_out(self.draw, size).seconds, size=size)

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size. Any number of threads may draw at once."""
        seed = self._seed if job.seed is None else job.seed
        look, denoise = self._look, self._denoise
        return Slide(restyle(job.guide, job.mask, look=look, seed=seed, denoise=denoise))

    def draw_window(self, job: WindowJob) -> AbstractContextManager[WindowPictures]:
        """Return the pictures of a window, each drawn when it is read; known ones are kept."""
        seed = self._seed if job.seed is None else job.seed
        return nullcontext(_Window(job, self._look, seed, self._denoise))

    def free_memory(self) -> None:
        """Do nothing: no memory is held between slides."""

    def answers(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: nothing is held open."""


@dataclass(frozen=True)
class _Window:
    """A window whose pictures are drawn one by one."""

    job: WindowJob
    look: str
    seed: int
    denoise: float

    @property
    def count(self) -> int:
        return len(self.job.window.slides)

    def read(self, place: int) -> Slide:
        slide = self.job.window.slides[place]
        if slide in self.job.known:
            return Slide(self.job.batches["known"](slide))
        frame = self.job.batches["frames"](slide)
        free = np.full(frame.shape[:2], 255, np.uint8)
        return Slide(restyle(frame, free, look=self.look, seed=self.seed, denoise=self.denoise))

    def __iter__(self) -> Iterator[Slide]:
        return map(self.read, range(self.count))


def restyle(guide: Pixels, mask: Pixels, *, look: str, seed: int, denoise: float) -> Pixels:
    """Repaint the guide where the mask frees it.

    guide: (H, W, 3) uint8 RGB, H and W at least 1. mask: (H, W) uint8, 0 keeps, 255 frees.
    The same arguments give the same bytes, whichever thread asks.
    """
    paint = _painter(look)
    if not mask.any():
        return guide.copy()
    return _mix(paint(guide, seed, denoise), guide, mask)


def _painter(look: str) -> Callable[[Pixels, int, float], Pixels]:
    painters = {"clay": paint_clay, "anime": paint_anime}
    if look not in painters:
        raise WrongUsage(f'The preview has no look "{look}". Choose {" or ".join(LOOKS)}.')
    return painters[look]


def _mix(styled: Pixels, guide: Pixels, mask: Pixels) -> Pixels:
    """Return mask * styled + (1 - mask) * guide, rounded; exact at both ends of the mask.

    In integers: `arrays.mix` rounds one value in 3000 the other way.
    """
    free = mask.astype(np.uint16)[..., None]
    blended = styled * free + guide * (255 - free)  # at most 255 * 255, fits
    return ((blended + 127) // 255).astype(np.uint8)
