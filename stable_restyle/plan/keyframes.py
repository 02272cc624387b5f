"""Which slides go to the model, the keys of each scene, and which are filled from these.

A key is at most so many slides from the next one, and nearer where the film moves so that little of
a key's picture can still be found: the input frames show that, at a small size. The file
`keys.json` keeps the choice between runs, so that people can edit it; slides count from 0 there.
What a key looks like, and how slides are filled, is left to `draw` and `flow`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stable_restyle.core import files
from stable_restyle.core.parallel import map_in_order
from stable_restyle.core.records import Keys, Pixels, Scene
from stable_restyle.imaging import arrays, optical_flow
from stable_restyle.plan import scenes

LOOKED_AT_PX = 320 * 180  # frames are compared at this size: it takes a tenth of reading them
LOST_FROM = 0.5  # doubt from which a pixel cannot be carried
# Of a frame, how much may be lost on the way from a key before there must be another one, and how
# much may be missing in both keys before the model draws it. Swept in benchmarks/.
PILED_UP = 0.35
MISSING = 0.07


@dataclass(frozen=True)
class Kind:
    """What was asked for."""

    every: int  # slides from one key to the next, at most
    fill_only: bool  # whether the model draws nothing but keys


def choose(
    read: Callable[[int], Pixels],
    found: Sequence[Scene],
    frames_per_slide: int,
    kind: Kind,
    advance: Callable[[int], None],
) -> Keys:
    """Choose the keys of every scene, and the slides that neither of their keys can show.

    read: gives a frame, (H, W, 3) RGB. advance: called with the number of slides looked at. Raises
    what `read` raises.
    """

    def look(scene: Scene) -> tuple[list[int], list[int]]:
        keys, assisted = [scene.middle], list[int]()
        for chain in scenes.chains(scene):
            its_keys, its_mended = _choose(
                scene.middle,
                chain,
                kind.every,
                lambda slide: _small(read(slide * frames_per_slide)),
            )
            keys += its_keys
            assisted += its_mended
        return keys, assisted

    keys, assisted = set[int](), set[int]()
    looked_at = map_in_order(look, found, lambda _: advance(0))  # slides are counted, not scenes
    for scene, (its_keys, its_mended) in zip(found, looked_at, strict=True):
        keys.update(its_keys)
        assisted.update(() if kind.fill_only else its_mended)
        advance(len(scene.slides))
    return Keys(frozenset(keys), frozenset(assisted))


def at_least(found: Sequence[Scene], every: int) -> Keys:
    """The keys of scenes in which hardly anything moves."""
    chains = (chain for scene in found for chain in scenes.chains(scene))
    return Keys(
        frozenset(slide for chain in chains for slide in chain[every - 1 :: every]), frozenset()
    )


def from_file(path: Path, slides: int, kind: Kind) -> Keys | None:
    """Read keys.json; None if its keys are of another kind. Raises UnusableInput."""
    next_step = "Correct the file, or remove it to have the keys chosen again."

    def of_kind(noted: Any) -> Keys | None:
        keys = checked(noted, slides)
        same = (noted.get("every"), noted.get("fill_only")) == (kind.every, kind.fill_only)
        return keys if same else None

    return files.read_json(path, of_kind, next_step)


def checked(noted: object, slides: int) -> Keys:
    """What was read from a file, if it is keys. Raises ValueError."""
    lists = [noted.get(name) if isinstance(noted, dict) else None for name in ("keys", "mended")]
    for numbers in lists:
        if not isinstance(numbers, list) or not all(
            type(slide) is int and 0 <= slide < slides for slide in numbers
        ):
            raise ValueError(
                f'it must list slides from 0 to {slides - 1} as "keys" and as "mended"'
            )
    keys, assisted = (frozenset(numbers or ()) for numbers in lists)
    return Keys(keys, assisted)


def noted(keys: Keys) -> dict[str, list[int]]:
    """Keys as they stand in a file, for `checked`."""
    return {"keys": sorted(keys.keys), "mended": sorted(keys.assisted)}


def write(path: Path, keys: Keys, kind: Kind) -> None:
    """Write keys.json."""
    files.write_json(path, {**asdict(kind), **noted(keys)})


def _choose(
    middle: int, chain: Sequence[int], every: int, look: Callable[[int], Pixels]
) -> tuple[list[int], list[int]]:
    """Return the keys and the assisted slides of a chain. look: the frame of a slide, small."""
    keys: list[int] = []
    assisted: list[int] = []
    last = key = look(middle)
    between: list[_Between] = []
    for slide in chain:
        frame = look(slide)
        between.append(_Between(slide, frame, optical_flow.estimate_pair(frame, last)))
        if (
            len(between) == every
            or slide == chain[-1]
            or _lost(optical_flow.estimate(key, frame)) > PILED_UP
        ):
            keys.append(slide)
            assisted += _short_of(key, between)
            key, between = frame, []
        last = frame
    return keys, assisted


@dataclass(frozen=True)
class _Between:
    """A slide that lies between two keys, or is the second of them."""

    slide: int
    frame: Pixels  # small
    way: optical_flow.FlowPair  # to the slide before it in the chain


def _short_of(key: Pixels, after: Sequence[_Between]) -> list[int]:
    """Those of which two keys show too little: the frame of one, and the last of what follows."""
    found = []
    for index, each in enumerate(after[:-1]):
        back = [passed.way for passed in after[index::-1]]
        onward = [coming.way.reversed for coming in after[index + 1 :]]
        moved = [
            optical_flow.estimate_along(source, each.frame, ways, fast=False)
            for source, ways in ((key, back), (after[-1].frame, onward))
        ]
        if _lost(*moved) > MISSING:
            found.append(each.slide)
    return found


def _lost(*moved: optical_flow.FlowEstimate) -> float:
    """The share of a frame that none of its keys shows."""
    return float(np.mean(np.min([each.unreliability for each in moved], axis=0) >= LOST_FROM))


def _small(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    scale = min(1.0, (LOOKED_AT_PX / (width * height)) ** 0.5)
    return arrays.shrink(frame, max(1, round(width * scale)), max(1, round(height * scale)))
