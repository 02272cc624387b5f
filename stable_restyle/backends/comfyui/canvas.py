"""How the slides of a window lie on the pictures that a workflow draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import lcm, sqrt

import numpy as np

from stable_restyle.backends.comfyui.pictures import (
    OtherShape,
    fitted,
    is_near,
    pad,
    padded,
    shaped,
)
from stable_restyle.backends.comfyui.validate import Classes, step_of
from stable_restyle.backends.comfyui.workflow import SIDES, Workflow, drawn_size
from stable_restyle.core.records import Pixels
from stable_restyle.imaging import arrays

GRID = 16  # pixels: models of video crop or refuse what is no multiple of it


@dataclass(frozen=True)
class Canvas:
    """The size of the pictures of a window, and how slides are fitted into it; height first."""

    slide: tuple[int, int]
    drawn: tuple[int, int]  # what is sent, and what the workflow draws or a scale of it
    grid: tuple[int, int] | None  # to whose multiples slides are padded; None: they are scaled

    def place(self, picture: Pixels) -> Pixels:
        """Return a picture of a slide as it is sent, (H, W, 3); a mask becomes one, too."""
        if picture.ndim == 2:
            picture = np.repeat(picture[:, :, np.newaxis], 3, axis=2)
        if self.grid is None:
            return arrays.fit(picture, self.drawn[1], self.drawn[0])
        return np.ascontiguousarray(pad(picture, self.grid))

    def slide_of(self, answer: Pixels, on_scaled: Callable[[str], None]) -> Pixels:
        """Return the slide that an answer shows, as large as the answer; no smaller if scaled.

        on_scaled: as of `pictures.fitted`. Raises OtherShape.
        """
        if self.grid is not None:
            return fitted(answer, self.slide, on_scaled, self.grid)
        answer = shaped(answer, self.drawn, on_scaled)
        share = answer.shape[0] * answer.shape[1] / (self.slide[0] * self.slide[1])
        height, width = (round(side * max(sqrt(share), 1.0)) for side in self.slide)
        return arrays.fit(answer, width, height)


def canvas(workflow: Workflow, size: tuple[int, int], classes: Classes) -> Canvas:
    """Return how slides are sent to a workflow that makes windows.

    size: width and height of slides. A workflow with a size of its own is sent
    pictures of that; one whose "numbers" take it, the slides' size, in the steps of its node and no
    larger than its "pixels".
    classes: of the server; empty if it does not say. Raises OtherShape if it draws another aspect.
    """
    slide = size[1], size[0]
    literal = drawn_size(workflow)
    if SIDES[0] not in workflow.numbers.values() and literal is not None:
        drawn = literal[1], literal[0]
        if not is_near(drawn, slide):
            raise OtherShape(*literal, slide)
        return Canvas(slide, drawn, grid=slide if drawn == slide else None)
    down, across = (_grid(workflow, side, classes) for side in reversed(SIDES))
    most = workflow.window.pixels if workflow.window else None
    if most is None or slide[0] * slide[1] <= most:
        return Canvas(slide, padded(slide, (down, across)), (down, across))
    scale = sqrt(most / (slide[0] * slide[1]))
    rows, columns = round(slide[0] * scale / down), round(slide[1] * scale / across)
    return Canvas(slide, (max(rows, 1) * down, max(columns, 1) * across), None)


def _grid(workflow: Workflow, side: str, classes: Classes) -> int:
    """Return what the width or the height of pictures has to be a multiple of."""
    steps = (
        step_of(classes.get(workflow.nodes[node]["class_type"]), name)
        for (node, name), what in workflow.numbers.items()
        if what == side
    )
    return lcm(GRID, *steps)
