"""Make synthetic footage with known motion: a smooth texture, defined on the whole plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stable_restyle.core.records import Pixels

    Floats: TypeAlias = NDArray[np.float32]

WIDTH, HEIGHT = 160, 120
_WAVES = np.random.default_rng(5).uniform(-0.6, 0.6, (3, 24, 2))  # radians a pixel, for R, G and B
_PHASES = np.random.default_rng(6).uniform(0, 2 * np.pi, (3, 24))


@dataclass(frozen=True)
class Camera:
    """Where the camera looks: turned and enlarged about the middle of the picture, then moved."""

    x: float = 0  # pixels
    y: float = 0
    turn: float = 0  # radians
    zoom: float = 1

    def seen_at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points of the plane, (..., 2), that pixels show."""
        return np.asarray((points - _MIDDLE - self._shift) @ self._matrix.T / self.zoom + _MIDDLE)

    def shown_at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pixels that show points of the plane: the inverse of `seen_at`."""
        return np.asarray((points - _MIDDLE) @ self._matrix * self.zoom + _MIDDLE + self._shift)

    @property
    def _shift(self) -> NDArray[np.float64]:
        return np.array([self.x, self.y])

    @property
    def _matrix(self) -> NDArray[np.float64]:
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.array([[cos, -sin], [sin, cos]])


_MIDDLE = np.array([WIDTH / 2, HEIGHT / 2])
MOVES = {
    "translation": Camera(x=5.3, y=-2.6),
    "rotation": Camera(turn=0.03),
    "zoom": Camera(zoom=1.03),
    "all": Camera(x=-3.2, y=1.7, turn=-0.02, zoom=0.98),
}


def pixels() -> NDArray[np.float64]:
    """Return the coordinates of all pixels: (HEIGHT, WIDTH, 2), x before y."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([columns, rows], axis=2).astype(float)


def texture(points: NDArray[np.float64], contrast: float = 22) -> Pixels:
    """Return the colours at points of the plane, (..., 2): (..., 3) uint8."""
    waves = np.sin(np.einsum("...i,cni->...cn", points, _WAVES) + _PHASES)
    colours = 128 + contrast * waves.sum(axis=-1) / 2
    return np.asarray(colours.round().clip(0, 255), np.uint8)


def film(camera: Camera, contrast: float = 22) -> Pixels:
    """Return what the camera sees: (HEIGHT, WIDTH, 3)."""
    return texture(camera.seen_at(pixels()), contrast)


def true_flow(first: Camera, second: Camera) -> Floats:
    """Return the displacement of each pixel from the first picture to the second."""
    moved = second.shown_at(first.seen_at(pixels()))
    return (moved - pixels()).astype(np.float32)


SQUARE = 40  # pixels: the side of the object in `moving_square`


def square_at(left: int) -> NDArray[np.bool_]:
    """Return a mask of the object: (HEIGHT, WIDTH)."""
    inside = np.zeros((HEIGHT, WIDTH), np.bool_)
    inside[40 : 40 + SQUARE, left : left + SQUARE] = True
    return inside


def moving_square(left: int) -> Pixels:
    """Return a textured square, this far from the left, on a background that does not move."""
    picture = film(Camera())
    picture[square_at(left)] = film(Camera(x=900 + left))[square_at(left)] // 2 + 120
    return picture


def square_flow(first: int, second: int) -> Floats:
    """Return the motion of `moving_square` from one place to another."""
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[square_at(first), 0] = second - first
    return flow


def changed(picture: Pixels) -> Pixels:
    """Invert a fifth of a picture."""
    other = picture.copy()
    other[:, :36] = 255 - other[:, :36]
    return other


def flash(at: int, length: int = 13) -> list[Pixels]:
    """Return a still picture, a fifth of which is inverted in a single frame."""
    pictures = [film(Camera()) for _ in range(length)]
    pictures[at] = changed(pictures[at])
    return pictures
