"""Make windows over finished slides, for --finish. They are blended when all are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from stable_restyle.backends.base import WindowPictures
from stable_restyle.backends.pool import Pool
from stable_restyle.core.records import DrawRecord, Pixels, Step, WindowJob, WindowRule
from stable_restyle.imaging import arrays
from stable_restyle.media import window_folder
from stable_restyle.plan import windows


@dataclass(frozen=True)
class FinishSpec:
    """How the windows of a --finish are made."""

    workflow: str  # its key in `WorkflowVariants.windows`
    folder: Path  # of the windows
    rule: WindowRule
    rate: Fraction  # slides per second
    size: tuple[int, int]  # width and height of the largest slide
    film_middle: int  # the middle slide of the film's first scene


class FinishMaker:
    """Makes windows over finished slides. Thread-safe."""

    def __init__(
        self,
        spec: FinishSpec,
        pool: Pool,
        frame: Callable[[int], Pixels],
        slide: Callable[[int], Pixels],
        pictures: Callable[[Step], dict[str, Callable[[], Pixels]]],
    ) -> None:
        """Prepare to make windows.

        frame, slide: return the frame of a slide, and the slide to be finished. pictures: returns
        the pictures of the user that a window has, by role.
        """
        self._spec, self._pool = spec, pool
        self._frame, self._slide, self._pictures = frame, slide, pictures

    def make(self, step: Step, backend: int) -> DrawRecord:
        """Have the backend of this number make a window, and write its folder.

        Raises UnusableInput if it cannot be written.
        """
        return window_folder.write(
            self._spec.folder, step.between, partial(self._write, step, backend)
        )

    def _write(self, step: Step, backend: int, folder: Path) -> DrawRecord:
        def receive(pictures: WindowPictures) -> None:
            for slide, made in zip(step.between, pictures, strict=True):
                window_folder.write_picture(folder, slide, made)

        _, drawn = self._pool.draw_window(self._job(step), backend, receive)
        return drawn

    def _job(self, step: Step) -> WindowJob:
        slides, (width, height) = step.between, self._spec.size

        def frame(slide: int) -> Pixels:
            return arrays.fit(self._frame(slide), width, height)

        def known(slide: int) -> Pixels:
            return arrays.fit(self._slide(slide), width, height)

        single = {
            "first": slides[0],
            "last": slides[-1],
            "middle": step.start,
            "film": self._spec.film_middle,
        }
        return WindowJob(
            window=windows.padded(slides, self._spec.rule),
            scene=step.scene,
            size=self._spec.size,
            rate=self._spec.rate,
            known=frozenset(slides),
            batches={
                "frames": frame,
                "known": known,
                "known-mask": lambda _: np.zeros((height, width), np.uint8),
            },
            pictures={
                **self._pictures(step),
                **{role: partial(known, slide) for role, slide in single.items()},
            },
            workflow=self._spec.workflow,
        )
