"""Choose the keys of each scene, which the model draws, and the slides that are filled from them.

The distance between two keys has a maximum, and is shorter where motion leaves little of a key's
picture visible; reduced input frames show that. The file `keys.json` keeps the choice between runs,
so that users can edit it; it counts slides from 0. How slides are drawn and filled is left to
`drawing` and `imaging.compose`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stable_restyle.core import files
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.parallel import map_in_order
from stable_restyle.core.records import Keys, Pixels, Scene
from stable_restyle.imaging import arrays, optical_flow
from stable_restyle.plan import scenes

COMPARED_PX = 320 * 180  # frames are compared at this size: that takes a tenth of reading them
LOST_FROM = 0.5  # unreliability from which a pixel cannot be warped
# Shares of a frame: that a key may not show before the next key, and that two keys together may not
# show before the model assists. Swept in benchmarks/.
LOST_MOST = 0.35
MISSING_MOST = 0.07
_FLAGS = ("open_ends", "windows")  # of Keys, in files only if they are set


@dataclass(frozen=True)
class Kind:
    """Which keys to choose."""

    every: int  # slides from one key to the next, at most
    fill_only: bool  # whether the model draws only keys
    given: tuple[int, ...] = ()  # slides that are pictures of the user
    longest: int | None = None  # slides of a window, if windows fill the slides between keys


def choose(
    read: Callable[[int], Pixels],
    found: Sequence[Scene],
    frames_per_slide: int,
    kind: Kind,
    advance: Callable[[int], None],
) -> Keys:
    """Choose the keys of every scene, and the slides that neither of their keys can show.

    read: returns a frame, (H, W, 3) RGB. advance: called with the number of further slides
    examined. Raises what `read` raises.
    """

    def look(scene: Scene) -> tuple[list[int], list[int]]:
        keys, assisted = list(scene.given or [scene.middle]), list[int]()
        for chain in scenes.chains(scene, keyed=True):
            its_keys, its_assisted = _choose(
                chain.start,
                chain.with_end,
                kind.every,
                lambda slide: _small(read(slide * frames_per_slide)),
            )
            keys += its_keys
            assisted += its_assisted
        return keys, assisted

    keys, assisted = set[int](), set[int]()
    chosen = map_in_order(look, found, lambda _: advance(0))  # slides are counted, not scenes
    for scene, (its_keys, its_assisted) in zip(found, chosen, strict=True):
        keys.update(its_keys)
        assisted.update(() if kind.fill_only else its_assisted)
        advance(len(scene.slides))
    return Keys(frozenset(keys), frozenset(assisted))


def at_least(found: Sequence[Scene], every: int) -> Keys:
    """Return the fewest keys that scenes can have, as if nothing moved."""
    chains = (chain for scene in found for chain in scenes.chains(scene, keyed=True))
    keys = frozenset(slide for chain in chains for slide in chain.slides[every - 1 :: every])
    return Keys(keys, frozenset())


def given_only(found: Sequence[Scene]) -> Keys:
    """Return given slides as the only keys: all other slides are filled from them.

    Raises WrongUsage if a scene has none.
    """
    for scene in found:
        if not scene.given:
            raise WrongUsage(
                f"--fill-only: scene {scene.number} (frames {scene.start + 1} to {scene.stop}) has "
                "no picture in the folder of --given that it could be filled from.\nAdd a picture "
                "of one of its slides, or leave out --fill-only to have the model draw it."
            )
    given = frozenset(slide for scene in found for slide in scene.given)
    return Keys(given, frozenset(), open_ends=True)


def from_file(path: Path, slides: int, kind: Kind) -> Keys | None:
    """Read keys.json; return None if its keys are of another kind. Raises UnusableInput."""
    next_step = "Correct the file, or remove it to have the keys chosen again."

    def of_kind(noted: Any) -> Keys | None:
        keys = checked(noted, slides)
        names = ("every", "fill_only", "longest_window")
        same = [noted.get(name) for name in names] == [kind.every, kind.fill_only, kind.longest]
        return keys if same and noted.get("given", []) == list(kind.given) else None

    return files.read_json(path, of_kind, next_step)


def checked(noted: object, slides: int) -> Keys:
    """Return the keys that a file holds, as `noted` returns them. Raises ValueError."""
    lists = [noted.get(name) if isinstance(noted, dict) else None for name in ("keys", "mended")]
    for numbers in lists:
        if not isinstance(numbers, list) or not all(
            type(slide) is int and 0 <= slide < slides for slide in numbers
        ):
            raise ValueError(
                f'it must list slides from 0 to {slides - 1} as "keys" and as "mended"'
            )
    keys, assisted = (frozenset(numbers or ()) for numbers in lists)
    flags = [isinstance(noted, dict) and noted.get(name) is True for name in _FLAGS]
    return Keys(keys, assisted, *flags)


def noted(keys: Keys) -> dict[str, object]:
    """Return keys as files hold them."""
    flags = {name: True for name in _FLAGS if getattr(keys, name)}
    return {"keys": sorted(keys.keys), "mended": sorted(keys.assisted), **flags}


def write(path: Path, keys: Keys, kind: Kind) -> None:
    """Write keys.json."""
    what = {"every": kind.every, "fill_only": kind.fill_only}
    given = {"given": list(kind.given)} if kind.given else {}
    longest = {"longest_window": kind.longest} if kind.longest else {}
    files.write_json(path, {**what, **given, **longest, **noted(keys)})


def _choose(
    middle: int, chain: Sequence[int], every: int, look: Callable[[int], Pixels]
) -> tuple[list[int], list[int]]:
    """Return the keys and the assisted slides of a chain. look: returns a slide's small frame."""
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
            or _lost(optical_flow.estimate(key, frame)) > LOST_MOST
        ):
            keys.append(slide)
            assisted += _assisted(key, between)
            key, between = frame, []
        last = frame
    return keys, assisted


@dataclass(frozen=True)
class _Between:
    """A slide between two keys, or the second of them."""

    slide: int
    frame: Pixels  # small
    to_previous: optical_flow.FlowPair  # to the slide before it in the chain


def _assisted(key: Pixels, after: Sequence[_Between]) -> list[int]:
    """Return the slides of which two keys show too little.

    key: the frame of the first key. after: the slides that follow it, up to the second key.
    """
    found = []
    for index, each in enumerate(after[:-1]):
        back = [passed.to_previous for passed in after[index::-1]]
        onward = [coming.to_previous.reversed for coming in after[index + 1 :]]
        estimates = [
            optical_flow.estimate_along(source, each.frame, pairs, fast=False)
            for source, pairs in ((key, back), (after[-1].frame, onward))
        ]
        if _lost(*estimates) > MISSING_MOST:
            found.append(each.slide)
    return found


def _lost(*estimates: optical_flow.FlowEstimate) -> float:
    """Return the share of a frame that none of its keys shows."""
    return float(np.mean(np.min([each.unreliability for each in estimates], axis=0) >= LOST_FROM))


def _small(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    scale = min(1.0, (COMPARED_PX / (width * height)) ** 0.5)
    return arrays.shrink(frame, max(1, round(width * scale)), max(1, round(height * scale)))
