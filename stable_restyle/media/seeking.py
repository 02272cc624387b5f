"""Decode a film from a key frame on, so that its frames are those that its beginning gives."""

from __future__ import annotations

import math
from bisect import bisect_right
from fractions import Fraction
from itertools import pairwise
from typing import Any

from stable_restyle.media import convert
from stable_restyle.media.probe import Film

# Frames between a key frame and the first one wanted: filters look back, and what is shown before a
# key frame may depend on what precedes it.
_LEAD = 2
_FURTHER_S = 10  # how much further ahead the second attempt begins
_APART_MOST = 1000  # frames from a key frame to the next: all are decoded for the last of them


def why_not_sought(film: Film) -> str:
    """Return why frames cannot be found by seeking, by their times; empty if they can."""
    if film.index is None:
        return "not every frame has a time of its own"
    per_frame = 1 / (film.rate * film.index.tick)
    ends = [*map(Fraction, film.index.keys), film.index.begin + film.frames * per_frame]
    if any(after - before > _APART_MOST * per_frame for before, after in pairwise(ends)):
        return f"decoding can begin at fewer than one in {_APART_MOST} frames"
    return ""


def attempts(film: Film, frame: int) -> list[int | None]:
    """Return the key frames, by their times, from which to decode a frame: the nearest first.

    None is the beginning of the film, which is the last.
    """
    assert film.index is not None
    index, per_second = film.index, 1 / film.index.tick
    wanted = index.begin + (frame - _LEAD) / film.rate * per_second
    near = bisect_right(index.keys, wanted) - 1
    far = bisect_right(index.keys, wanted - _FURTHER_S * per_second, hi=max(near, 0)) - 1
    return [*(index.keys[each] for each in dict.fromkeys((near, far)) if each > 0), None]


def frames_from(film: Film, key: int | None, wanted: range) -> Any:
    """Return the frames of a film, decoded from a key frame or from its beginning on.

    For a command line with OWN_CLOCK.
    """
    assert film.index is not None
    seek: dict[str, object] = {}
    if key is not None:
        microseconds = math.ceil(key * film.index.tick * 10**6)  # not before that frame
        time_s = f"{microseconds / 10**6:.6f}"
        seek = {"ss": time_s, "seek_timestamp": 1, "noaccurate_seek": None}
    return convert.to_frames(convert.opened(film, **seek), film, wanted)
