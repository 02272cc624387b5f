"""Make windows, and compose the slides between two keys from them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from stable_restyle.backends.base import WindowPictures
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.records import DrawRecord, Pixels, Step, WindowJob, WindowRule
from stable_restyle.imaging import arrays, joins
from stable_restyle.imaging.arrays import Floats
from stable_restyle.imaging.joins import Ramp
from stable_restyle.media import window_folder
from stable_restyle.media.window_folder import Join
from stable_restyle.plan import windows

UNKNOWN = 128  # mid-grey: what models of video are given for a picture that they are to make
# Levels between a key and the model's picture of it, from which the model is said not to keep it: a
# VAE alone changes some 3, and nine in ten frames of Big Buck Bunny are within 8 of the next one.
FORGOTTEN = 16.0
_RAMPS = 64  # in memory, 6 KB each

log = logging.getLogger(__name__)

# Has a window made by the backend of this number; returns what the function makes of it.
Ask = Callable[
    [WindowJob, int, Callable[[WindowPictures], tuple[Pixels, Pixels]]],
    tuple[tuple[Pixels, Pixels], DrawRecord],
]


@dataclass(frozen=True)
class FillSpec:
    """How the slides between keys are made by --fill."""

    folder: Path  # of the windows
    rule: WindowRule
    rate: Fraction  # slides per second


class WindowMaker:
    """Makes windows and the slides between their keys. Thread-safe."""

    def __init__(
        self,
        spec: FillSpec,
        frame: Callable[[int], Pixels],
        key: Callable[[int], Pixels],
        part: Callable[[int], Pixels] | None,
        pictures: Callable[[Step], dict[str, Callable[[], Pixels]]],
        ask: Ask,
    ) -> None:
        """Prepare to make windows.

        frame, key, part: return the frame of a slide, a finished key, and the part of a slide to
        restyle; None for all of it. pictures: returns what a window has by role, besides its ends.
        """
        self._spec, self._frame, self._key, self._part = spec, frame, key, part
        self._pictures, self._ask = pictures, ask
        self._between: dict[int, range] = {}  # the slides of a window, by its first key
        self._ramps = LRUCache(self._ramp, _RAMPS)

    def make(self, step: Step, backend: int) -> DrawRecord:
        """Have the backend of this number make a window, and write its folder.

        Raises UnusableInput if it cannot be written.
        """
        write = partial(self._write, step, backend)
        drawn, steps = window_folder.write(self._spec.folder, step.between, write)
        _tell(step, steps)
        return drawn

    def compose(self, step: Step) -> Pixels:
        """Return a slide from its window, with the colours of its keys: (H, W, 3).

        Raises UnusableInput if the window is damaged.
        """
        slides = step.between
        self._between[slides[0]] = slides
        ramp = self._ramps.get(slides[0])
        picture = window_folder.read(self._spec.folder, slides, step.slide)
        return ramp.apply(picture, (step.slide - slides[0]) / (slides[-1] - slides[0]))

    def _write(self, step: Step, backend: int, folder: Path) -> tuple[DrawRecord, list[float]]:
        """Write the pictures of a window and its note; return the steps at both joins, in levels.

        They are those before colours are corrected.
        """
        slides = step.between
        first, last = self._keys(slides)

        def receive(pictures: WindowPictures) -> tuple[Pixels, Pixels]:
            ends = []
            for slide, made in zip(slides, pictures, strict=True):
                window_folder.write_picture(folder, slide, made)
                if slide in (slides[0], slides[-1]):
                    ends.append(made.pixels)
            return ends[0], ends[1]

        made, drawn = self._ask(self._job(step, first, last), backend, receive)
        ends = (slides[0], first, made[0]), (slides[-1], last, made[1])
        found = {slide: self._join(slide, key, its) for slide, key, its in ends}
        window_folder.write_joins(folder, found)
        return drawn, [join.before for join in found.values()]

    def _job(self, step: Step, first: Pixels, last: Pixels) -> WindowJob:
        slides = step.between
        keys = {slides[0]: first, slides[-1]: last}
        height, width = first.shape[:2]

        def known(slide: int) -> Pixels:
            return keys.get(slide, np.full((height, width, 3), UNKNOWN, np.uint8))

        def unknown(slide: int) -> Pixels:
            return np.full((height, width), 0 if slide in keys else 255, np.uint8)

        def frame(slide: int) -> Pixels:
            return arrays.fit(self._frame(slide), width, height)

        return WindowJob(
            window=windows.padded(slides, self._spec.rule),
            scene=step.scene,
            size=(width, height),
            rate=self._spec.rate,
            known=frozenset(keys),
            batches={"frames": frame, "known": known, "known-mask": unknown},
            pictures={**self._pictures(step), "first": lambda: first, "last": lambda: last},
        )

    def _keys(self, slides: range) -> tuple[Pixels, Pixels]:
        """Return the keys of a window, both at the size of the larger one."""
        first, last = self._key(slides[0]), self._key(slides[-1])
        height, width = max(first, last, key=np.size).shape[:2]
        return arrays.fit(first, width, height), arrays.fit(last, width, height)

    def _ramp(self, first: int) -> Ramp:
        slides, folder = self._between[first], self._spec.folder
        return Ramp(
            *(
                self._correction(slide, key, window_folder.read(folder, slides, slide))
                for slide, key in zip((first, slides[-1]), self._keys(slides), strict=True)
            )
        )

    def _join(self, slide: int, key: Pixels, made: Pixels) -> Join:
        levels, inside = self._correction(slide, key, made), self._inside(slide, key)
        made = _fitted(made, key)
        corrected = Ramp(levels, levels).apply(made, 0)
        return Join(*(round(joins.step(each, key, inside), 2) for each in (made, corrected)))

    def _correction(self, slide: int, key: Pixels, made: Pixels) -> Floats:
        return joins.correction(_fitted(made, key), key, self._inside(slide, key))

    def _inside(self, slide: int, key: Pixels) -> Pixels | None:
        return self._part and arrays.enlarge(self._part(slide), key.shape)


def _fitted(made: Pixels, key: Pixels) -> Pixels:
    return arrays.fit(made, key.shape[1], key.shape[0])


def _tell(step: Step, steps: list[float]) -> None:
    """Warn if the model does not keep the keys. steps: at both joins, in levels."""
    if max(steps) < FORGOTTEN:
        return
    first, last = step.between[0], step.between[-1]
    log.warning(
        "Scene %d, slides %d to %d: the model of --fill does not keep its keys. Its pictures of "
        "them differ from them by %.0f and %.0f levels of 255, so a viewer may see where slides "
        "join keys. Look at these slides on the report; --redo %d makes the window again.",
        *(step.scene, first + 1, last + 1, *steps, first + 2),
    )
