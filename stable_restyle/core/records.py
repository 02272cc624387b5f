"""Define the records of a run: frozen, with no behaviour beyond their own fields.

Frames and slides are counted from 0; only `sequence.name` turns an index into a file name, and
messages show the number in that name. Nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    import numpy
    import numpy.typing

# A picture is (H, W, 3) RGB, a mask (H, W); both 0..255.
Pixels: TypeAlias = "numpy.typing.NDArray[numpy.uint8]"


# What a picture of a slide is: what the model starts from; where it may change that; the frame; the
# slide drawn before, moved to this frame, and as it is; the middles of the scene and of the film's
# first scene; the part of the picture that is restyled. Other names are the user's.
ROLES = ("guide", "mask", "frame", "warped", "previous", "middle", "film", "only")
OF_NEIGHBOUR = ("warped", "previous")  # those for which the slide before must be finished

# What is for each slide of a window: its frame; the slide where it is known, with --finish all, and
# mid-grey elsewhere; white where the slide is to be made, and black where it is known.
BATCHES = ("frames", "known", "known-mask")
# Of the single pictures of a window: its first and last slide; the others as for slides.
WINDOW_ROLES = (*BATCHES, "first", "last", "middle", "film")


@dataclass(frozen=True)
class Scene:
    """Frames without a cut between them: start <= frame < stop, and the slides that show them."""

    number: int  # from 1, as the user reads it
    start: int
    stop: int
    slides: range
    middle: int  # with given slides, the one of them that is nearest to the middle
    given: tuple[int, ...] = ()  # slides that are pictures of the user, in order

    @property
    def frames(self) -> range:
        return range(self.start, self.stop)


class StepKind(Enum):
    """How a picture of a run is made."""

    DRAW = auto()  # a slide, by a backend from its guide; a middle from its frame
    FILL = auto()  # a slide, from its keys
    ANSWER = auto()  # what a backend makes of a frame alone
    COMPOSE = auto()  # a slide, from its answer and its sources
    WINDOW = auto()  # the pictures of all slides between two keys, by a backend
    FROM_WINDOW = auto()  # a slide, from its window and the two keys of that


@dataclass(frozen=True)
class Step:
    """One picture to make: a slide, or an answer that a slide is composed from; or a window.

    A slide is the middle of its scene (previous is None), or warped from another slide. With keys,
    it may also be filled from two others, `previous` and `other_key`. A window is known by the
    first slide between its keys.
    """

    slide: int
    scene: int  # the scene's number
    previous: int | None  # of an answer: the one that it needs as a picture
    other_key: int | None = None
    kind: StepKind = StepKind.DRAW
    # The slide that its chain starts from: the middle, or a given one.
    start: int = field(default=0, compare=False)

    @property
    def uses_backend(self) -> bool:
        """Return whether a backend makes it."""
        return self.kind in (StepKind.DRAW, StepKind.ANSWER, StepKind.WINDOW)

    @property
    def is_slide(self) -> bool:
        """Return whether it makes a slide, not what slides are made from."""
        return self.kind not in (StepKind.ANSWER, StepKind.WINDOW)

    @property
    def sources(self) -> tuple[int, ...]:
        """Return the slides, or for an answer the answers, that it is made from."""
        return tuple(slide for slide in (self.previous, self.other_key) if slide is not None)

    @property
    def key(self) -> int:
        """Return what identifies it among all steps of a run."""
        return self.slide if self.is_slide else answer_key(self.slide)

    @property
    def pictures(self) -> int:
        """Return how many slides a window has, both keys included; 0 for all other steps."""
        return len(self.between) if self.kind is StepKind.WINDOW else 0

    @property
    def between(self) -> range:
        """Return the slides of its window, from key to key, both included."""
        return range(min(self.sources), max(self.sources) + 1)

    @property
    def needs(self) -> tuple[int, ...]:
        """Return the keys of the steps that come before it."""
        if self.kind is StepKind.ANSWER:
            return tuple(map(answer_key, self.sources))
        if self.kind is StepKind.COMPOSE:
            return (*self.sources, answer_key(self.slide))
        if self.kind is StepKind.FROM_WINDOW:
            return (*self.sources, answer_key(self.between[1]))
        return self.sources


def answer_key(slide: int) -> int:
    """Return the key of a slide's answer, or of the window that begins with it."""
    return ~slide


def slide_of(key: int) -> int:
    """Return the slide that a step belongs to, by its key."""
    return max(key, ~key)


@dataclass(frozen=True)
class Keys:
    """The slides that the model draws, if it does not draw all."""

    keys: frozenset[int]
    assisted: frozenset[int]  # filled from keys; the model draws what these do not show
    open_ends: bool = False  # whether slides beyond the last key are filled from it alone
    windows: bool = False  # whether a model of windows makes the slides between two keys

    def union(self, others: Keys) -> Keys:
        """Return these keys and those of other scenes."""
        return replace(self, keys=self.keys | others.keys, assisted=self.assisted | others.assisted)


@dataclass(frozen=True)
class DrawRecord:
    """Which backend drew a slide, and when."""

    backend: str  # its name; empty if the slide was filled from its keys
    began: float  # time.perf_counter()
    seconds: float


@dataclass(frozen=True)
class Slide:
    """A picture that a backend made."""

    pixels: Pixels  # (H, W, 3) RGB
    png: bytes | None = None  # the same as a PNG, if it came as one
    drawn: DrawRecord | None = None  # set by the pool
    unmasked: bool = False  # whether all of it was painted, and the mask has yet to act


@dataclass(frozen=True)
class Job:
    """What a backend needs to make one slide; the answer has the guide's size."""

    slide: int
    scene: int  # the scene's number
    guide: Pixels  # (H, W, 3) RGB
    mask: Pixels  # (H, W): 0 keeps, 255 frees
    middle: bool = False  # whether it is the middle of its scene
    seed: int | None = None  # replaces the workflow's if the slide is drawn again
    changes: Sequence[str] = ()  # of the workflow for this slide: ID.INPUT=VALUE
    # The pictures that the slide has besides guide and mask, by role; made where they are wanted.
    pictures: Mapping[str, Callable[[], Pixels]] = field(default_factory=dict)


@dataclass(frozen=True)
class WindowRule:
    """How many pictures a workflow makes at once: step * n + plus, and no more than `most`."""

    step: int = 1
    plus: int = 0
    most: int = 81
    overlap: int = 0  # slides that neighbouring windows of --finish share
    pixels: int | None = None  # of a picture, at most: larger ones are scaled down; None: any

    @property
    def lengths(self) -> range:
        """Return the legal lengths, the shortest first."""
        return range(self.plus or self.step, self.most + 1, self.step)


@dataclass(frozen=True)
class Window:
    """Consecutive slides of one scene that a workflow makes at once."""

    slides: range  # those that it shows; between keys from one key to the next, both included
    length: int  # pictures that the workflow is asked for; the last slide is repeated up to it


@dataclass(frozen=True)
class WindowJob:
    """What a backend needs to make a window; answers have this size or a scale of it."""

    window: Window
    scene: int  # the scene's number
    size: tuple[int, int]  # width and height of the film's slides
    rate: Fraction  # slides per second
    known: frozenset[int]  # slides that exist already: keys; with --finish all
    # By role, one of BATCHES: returns the picture of a slide, (H, W, 3) or a mask of (H, W).
    batches: Mapping[str, Callable[[int], Pixels]] = field(default_factory=dict)
    # By role: the single pictures; made where they are wanted.
    pictures: Mapping[str, Callable[[], Pixels]] = field(default_factory=dict)
    workflow: str = "fill"  # the key of the workflow in `WorkflowVariants.windows`
    seed: int | None = None  # replaces the workflow's if the window is made again
    changes: Sequence[str] = ()  # of the workflow for this window: ID.INPUT=VALUE


@dataclass(frozen=True)
class UserPicture:
    """A picture of the user's for nodes of the workflow."""

    name: str  # its role
    scenes: tuple[int, ...]  # their numbers; empty: all
    path: Path  # absolute
    digest: str  # of its content

    def is_of(self, scene: int) -> bool:
        """Return whether a scene has it, by its number."""
        return not self.scenes or scene in self.scenes


@dataclass(frozen=True)
class BackendEstimate:
    """The expected speed of a backend."""

    backend: int  # its number
    at_once: int  # slides that it draws in parallel
    slots: int  # slides that it accepts; those above `at_once` wait there
    slide_s: float  # seconds for a slide
    busy_s: float  # for how long it has been drawing the first slide in flight
    picture_s: float = 1.0  # seconds for each picture of a window
