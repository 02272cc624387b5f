"""Which slides go to the model, the keys of each scene, and which are filled from these.

A key is at most so many slides from the next one, and nearer where the film moves so that little of
a key's picture can still be found: that is told from the input frames, at a small size. The file
`keys.json` keeps the choice between runs, so that people can edit it; slides count from 0 there.
What a key looks like, and how slides are filled, is left to `draw` and `flow`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from stable_restyle import flow, images, scenes
from stable_restyle.errors import UnusableInput
from stable_restyle.images import Frames
from stable_restyle.model import Keys, Pixels, Scene

LOOKED_AT_PX = 320 * 180  # frames are compared at this size: it takes a tenth of reading them
LOST_FROM = 0.5  # doubt from which a pixel cannot be carried
# Of a frame, how much may be lost on the way from a key before there must be another one, and how
# much may be missing in both keys before the model draws it. Swept in benchmarks/.
PILED_UP = 0.25
MISSING = 0.15


def choose(
    frames: Frames, found: Sequence[Scene], fps: int, every: int, advance: Callable[[int], None]
) -> Keys:
    """Choose the keys of every scene, and the slides that neither of their keys can show.

    every: slides from one key to the next, at most. advance: called with the number of slides
    looked at. Raises UnusableInput naming a frame that is damaged.
    """
    chains = [(scene.middle, chain) for scene in found for chain in scenes.chains(scene)]

    def look(chain: tuple[int, Sequence[int]]) -> tuple[list[int], list[int]]:
        return _choose(*chain, every, lambda slide: _small(frames.read(slide * fps)))

    keys, mended = {scene.middle for scene in found}, set[int]()
    advance(len(keys))
    with ThreadPoolExecutor(os.cpu_count() or 1, "keys") as threads:
        for (_, chain), (its_keys, its_mended) in zip(
            chains, threads.map(look, chains), strict=True
        ):
            keys |= set(its_keys)
            mended |= set(its_mended)
            advance(len(chain))
    return Keys(frozenset(keys), frozenset(mended))


def read(path: Path, slides: int) -> Keys:
    """Read keys.json. Raises UnusableInput."""
    mend = "\nCorrect the file, or remove it to have the keys chosen again."
    try:
        noted = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableInput(f"{path} cannot be read: {error}.{mend}") from error
    try:
        return checked(noted, slides)
    except ValueError as error:
        raise UnusableInput(f"{path} {error}.{mend}") from error


def checked(noted: object, slides: int) -> Keys:
    """What was read from a file, if it is keys. Raises ValueError."""
    if not isinstance(noted, dict):
        raise ValueError('is not {"keys": [...], "mended": [...]}')
    lists = [noted.get(name, []) for name in ("keys", "mended")]
    for numbers in lists:
        if not isinstance(numbers, list) or not all(
            type(slide) is int and 0 <= slide < slides for slide in numbers
        ):
            raise ValueError(f"must list slides from 0 to {slides - 1}")
    return Keys(*map(frozenset, lists))


def noted(keys: Keys) -> dict[str, list[int]]:
    """Keys as keys.json holds them."""
    return {"keys": sorted(keys.keys), "mended": sorted(keys.mended)}


def write(path: Path, keys: Keys) -> None:
    images.write_whole(path, json.dumps(noted(keys)).encode())


def _choose(
    middle: int, chain: Sequence[int], every: int, look: Callable[[int], Pixels]
) -> tuple[list[int], list[int]]:
    """Keys and mended slides of a chain. look: the frame of a slide, small."""
    keys: list[int] = []
    mended: list[int] = []
    key = look(middle)
    between: list[tuple[int, Pixels, flow.Flags]] = []  # slide, frame, what the last key lacks
    for slide in chain:
        frame = look(slide)
        lost = _lost(key, frame)
        between.append((slide, frame, lost))
        if len(between) == every or slide == chain[-1] or lost.mean() > PILED_UP:
            keys.append(slide)
            mended += [
                each
                for each, its_frame, lost in between[:-1]
                if (lost & _lost(frame, its_frame)).mean() > MISSING
            ]
            key, between = frame, []
    return keys, mended


def _lost(key: Pixels, frame: Pixels) -> flow.Flags:
    """Where a key does not show what a frame shows: (H, W)."""
    return np.asarray(flow.measure(key, frame).doubt >= LOST_FROM)


def _small(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    scale = min(1.0, (LOOKED_AT_PX / (width * height)) ** 0.5)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
