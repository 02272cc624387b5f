"""What the user asked for, and every default of the command line.

Nothing heavy is imported: `--help` reads the defaults here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

FAST_FLOW = "flow:fast"
FLOWS = ("flow", FAST_FLOW)
MOTIONS = (*FLOWS, "codec")  # values of --motion that are no program
WARPED, FRAME = "warped", "frame"  # values of --guide
# What suits each motion. By flow, what can be tracked is better left alone: see benchmarks/.
MASK_STRENGTH, MASK_SIZE = 2.0, 16  # the original's
FLOW_MASK_STRENGTH, FLOW_MASK_SIZE = 8.0, 4
DEFLICKER_MOST = 5  # slides: further away, what is averaged is no longer the same
ANCHOR, FLOW_ANCHOR = 0.0, 0.3
BACKENDS_VARIABLE = "VIDEO_RESTYLE_BACKENDS"  # lists backends where none is named
API_KEY_VARIABLE = "COMFY_API_KEY"  # the key of servers of the Comfy API
# Of a TARGET film; `media.containers` knows how each is written.
_WITH_SOUND = (".mp4", ".mov", ".mkv", ".webm", ".m4v", ".avi", ".ts", ".m2ts", ".mts")
FILM_ENDINGS = (*_WITH_SOUND, ".gif", ".webp")
VIDEO_CODECS = ("h264", "h265", "av1", "prores", "ffv1")
CRF_MOST = 63  # of any codec
DEFAULT_RATE = Fraction(24)  # frames a second of a folder of frames


@dataclass(frozen=True)
class Settings:
    """What the user asked for; every default of the command line stands here."""

    source: Path = Path("in")
    target: Path = Path("out")
    work: Path | None = None
    model: str = "claymation.json"
    middle_model: str = ""  # draws the middles; empty: as all other slides
    prompt: str | None = None  # in place of the workflow's
    negative_prompt: str | None = None
    pictures: tuple[str, ...] = ()  # [SCENES:]NAME=FILE, for nodes of the workflow
    mask_strength: float | None = None  # None: what suits the motion
    mask_size: int | None = None  # pixels; None: what suits the motion
    anchor: float | None = None  # 0..1; None: what suits the motion
    deflicker: int = 0  # how many slides to each side are averaged, once all are drawn
    frames_per_slide: int = 2  # frames per slide
    video_codec: str | None = None  # of VIDEO_CODECS, for a TARGET film; None: its container's
    crf: int | None = None  # its quality, 0 best; None: the codec's default
    rate: Fraction | None = None  # frames a second of a SOURCE folder, for a TARGET film
    backends: tuple[str, ...] = field(default=(), repr=False)  # a URL may hold a password
    changes: tuple[str, ...] = ()  # [SCENES:]ID.INPUT=VALUE, each to be made in the workflow
    seed: int | None = None  # in place of the workflow's
    dask: str = ""  # a scheduler's address, or local[:N]; empty: this machine alone
    headers: tuple[str, ...] = field(default=(), repr=False)  # "Name: value"; may hold secrets
    api_key: str = field(default="", repr=False)  # of servers of the Comfy API
    jobs: int = 1  # that each of these runs at once
    at_most: int | None = None  # drawings that backends are asked for; None: as many as it takes
    timeout_s: float = 300.0  # for a slide, from when a server starts on it
    patience_min: float = 10.0  # how long to wait once no backend is left
    keep_on_server: bool = False
    motion: str = "flow"
    guide: str | None = None  # None: what suits the motion, the workflow and the working folder
    drawn: Path | None = None  # pictures or a film to compose slides from, in place of a model's
    keys: int = 1  # slides from one that goes to the model to the next, at most
    fill_only: bool = False
    fill: str = ""  # workflow that makes the slides between keys; empty: they are filled from these
    finish: tuple[str, ...] = ()  # workflows that make windows over finished slides, in their order
    given: Path | None = None  # the user's key pictures, numbered as frames
    only: Path | None = None  # masks, white is restyled: a folder of PNGs, or a film
    only_not: Path | None = None  # the same, black is restyled
    scene_threshold: float = 10.0
    save_interp: bool = False
    keep_frames: bool = False  # export the frames of a film
    fresh: bool = False
    redo: str = ""  # slides to draw again, as typed: "12,40-46"
    redo_chain: bool = False  # and what depends on them in their chains
    command: tuple[str, ...] = field(default=(), compare=False)  # to be typed again, no secrets

    @property
    def by_flow(self) -> bool:
        """Return whether slides are warped by optical flow."""
        return self.motion in FLOWS

    @property
    def mask(self) -> tuple[float, int]:
        """Return strength and size of the masks: as asked for, or what suits the motion."""
        strength, size = (MASK_STRENGTH, MASK_SIZE)
        if self.by_flow:
            strength, size = (FLOW_MASK_STRENGTH, FLOW_MASK_SIZE)
        return (
            strength if self.mask_strength is None else self.mask_strength,
            size if self.mask_size is None else self.mask_size,
        )

    @property
    def is_composed(self) -> bool:
        """Return whether slides are composed from answers, those of a model or of --drawn."""
        return self.guide == FRAME

    @property
    def masks_of_part(self) -> Path | None:
        """Return the masks of --only or --only-not; None without."""
        return self.only or self.only_not

    @property
    def anchor_share(self) -> float:
        """Return the share of a drift of colours that is corrected at each slide, 0..1."""
        if self.anchor is not None:
            return self.anchor
        return FLOW_ANCHOR if self.by_flow else ANCHOR
