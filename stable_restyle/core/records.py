"""The nouns of a run: frozen records, no behaviour beyond what follows from their own fields.

Frames and slides are counted from 0 here; only `sequence.name` turns an index into a file name, and
messages to the user show the number in that name. Nothing heavy is imported: `--help` reads the
defaults from Settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy
    import numpy.typing

# A picture is (H, W, 3) RGB, a mask (H, W); both 0..255.
Pixels: TypeAlias = "numpy.typing.NDArray[numpy.uint8]"


FAST_FLOW = "flow:fast"
FLOWS = ("flow", FAST_FLOW)  # values of --motion

# What suits each motion. By flow, what can be carried is better left alone: see benchmarks/.
MASK_STRENGTH, MASK_SIZE = 2.0, 16  # the original's
FLOW_MASK_STRENGTH, FLOW_MASK_SIZE = 8.0, 4
DEFLICKER_MOST = 5  # slides: further away, what is averaged is no longer the same
ANCHOR, FLOW_ANCHOR = 0.0, 0.3

BACKENDS_VARIABLE = "VIDEO_RESTYLE_BACKENDS"  # lists backends where none is named

FILM_THREAD = (
    "film "  # begins the name of a thread that draws a film beside others; then its TARGET
)

DEFAULT_RATE = Fraction(24)  # frames a second of a folder of frames


@dataclass(frozen=True)
class Settings:
    """What the user asked for; every default of the command line stands here."""

    source: Path = Path("in")
    target: Path = Path("out")
    work: Path | None = None
    model: str = "claymation.json"
    mask_strength: float | None = None  # None: what suits the motion
    mask_size: int | None = None  # pixels; None: what suits the motion
    anchor: float | None = None  # 0..1; None: what suits the motion
    deflicker: int = 0  # how many slides to each side are averaged, once all are drawn
    frames_per_slide: int = 2  # frames per slide
    rate: Fraction | None = None  # frames a second of a SOURCE folder, for a TARGET film
    backends: tuple[str, ...] = field(default=(), repr=False)  # a URL may hold a password
    changes: tuple[str, ...] = ()  # [SCENES:]ID.INPUT=VALUE, each to be made in the workflow
    seed: int | None = None  # in place of the workflow's
    dask: str = ""  # a scheduler's address, or local[:N]; empty: this machine alone
    headers: tuple[str, ...] = field(default=(), repr=False)  # "Name: value"; may hold secrets
    timeout_s: float = 300.0  # for a slide, from when a server starts on it
    patience_min: float = 10.0  # how long to wait once no backend is left
    keep_on_server: bool = False
    motion: str = "flow"
    keys: int = 1  # slides from one that goes to the model to the next, at most
    fill_only: bool = False
    scene_threshold: float = 10.0
    save_interp: bool = False
    fresh: bool = False
    redo: str = ""  # slides to draw again, as typed: "12,40-46"
    redo_chain: bool = False  # and what hangs on them in their chains

    @property
    def by_flow(self) -> bool:
        """Whether slides are carried by optical flow."""
        return self.motion in FLOWS

    @property
    def mask(self) -> tuple[float, int]:
        """Strength and size of the masks: as asked for, else what suits the motion."""
        strength, size = (MASK_STRENGTH, MASK_SIZE)
        if self.by_flow:
            strength, size = (FLOW_MASK_STRENGTH, FLOW_MASK_SIZE)
        return (
            strength if self.mask_strength is None else self.mask_strength,
            size if self.mask_size is None else self.mask_size,
        )

    @property
    def anchor_share(self) -> float:
        """How much of what colours drift is taken back at each slide: as asked for, or suited."""
        if self.anchor is not None:
            return self.anchor
        return FLOW_ANCHOR if self.by_flow else ANCHOR


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
