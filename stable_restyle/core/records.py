"""The nouns of a run: frozen records, no behaviour beyond what follows from their own fields.

Frames and slides are counted from 0 here; only `sequence.name` turns an index into a file name, and
messages to the user show the number in that name. Nothing heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy
    import numpy.typing

# A picture is (H, W, 3) RGB, a mask (H, W); both 0..255.
Pixels: TypeAlias = "numpy.typing.NDArray[numpy.uint8]"


FILM_THREAD = (
    "film "  # begins the name of a thread that draws a film beside others; then its TARGET
)


@dataclass(frozen=True)
class Scene:
    """Frames without a cut between them: start <= frame < stop, and the slides that show them."""

    number: int  # from 1, as the user reads it
    start: int
    stop: int
    slides: range
    middle: int


@dataclass(frozen=True)
class Step:
    """One slide to draw: the middle of its scene (previous is None), or moved from another slide.

    With keys there are also those that are filled from two: from `previous` and from `beyond`.
    """

    slide: int
    scene: int  # the scene's number
    previous: int | None
    other_key: int | None = None
    uses_backend: bool = True  # whether a backend has part in it

    @property
    def sources(self) -> tuple[int, ...]:
        """The slides that it is made from."""
        return tuple(slide for slide in (self.previous, self.other_key) if slide is not None)


@dataclass(frozen=True)
class Keys:
    """The slides that go to the model, where not all do."""

    keys: frozenset[int]
    assisted: frozenset[int]  # filled from keys, but the model draws what these do not show


@dataclass(frozen=True)
class DrawRecord:
    """Who drew a slide, and when."""

    backend: str  # its name; empty where a slide was filled from its keys
    began: float  # time.perf_counter()
    seconds: float


@dataclass(frozen=True)
class Slide:
    """A picture that a backend made."""

    pixels: Pixels  # (H, W, 3) RGB
    png: bytes | None = None  # the same as a PNG, if it came as one
    drawn: DrawRecord | None = None  # noted by the pool


@dataclass(frozen=True)
class Job:
    """What a backend needs to make one slide; the answer has the guide's size."""

    slide: int
    scene: int  # the scene's number
    guide: Pixels  # (H, W, 3) RGB
    mask: Pixels  # (H, W): 0 keeps, 255 frees
    seed: int | None = None  # in place of the workflow's, where the slide is drawn again


@dataclass(frozen=True)
class BackendEstimate:
    """What can be expected of a backend."""

    backend: int  # its number
    at_once: int  # slides that it draws side by side
    slots: int  # slides that it takes; those above `at_once` wait there
    slide_s: float  # what a slide takes there
    busy_s: float  # for how long it has been drawing the first of those in flight
