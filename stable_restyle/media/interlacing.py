"""Detect interlaced films, whose frames show two moments each, on alternating lines.

The flags of frames are unreliable: discs and broadcasts flag progressive frames as interlaced, and
carelessly converted films are combed without a flag. So the flags decide only where the pictures
are unclear.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import av
import numpy as np

from stable_restyle.core.records import Pixels

_PLACES = 5  # evenly spread over the film, where successive frames are compared
_FRAMES = 6  # at each place
_TALLEST = 1088  # lines: taller films are never interlaced
_UNEQUAL = 1.04  # thresholds of FFmpeg's idet, as is the next
_EQUAL = 1.5
_CLEAR = 0.75  # share of clear frames that outweighs the flags


class InterlaceDetector:
    """Examines some frames of a film while its packets are read."""

    def __init__(self, stream: av.VideoStream, size: int) -> None:
        """Prepare to take frames from all over a file. size: of the file, in bytes."""
        self.first: av.VideoFrame | None = None  # of the film, that can be decoded
        self._decoder = stream.codec_context
        self._every = max(size // _PLACES, 1)
        self._next: float = self._every
        self._begin: int | None = None
        self._left = _FRAMES
        self._run: list[Pixels] = []
        self._flagged = False
        self._votes = Counter[str]()

    def feed(self, packet: av.Packet[av.VideoStream]) -> None:
        """Take the next packet of the film. Only a few are decoded."""
        if not self._left and packet.is_keyframe and (packet.pos or 0) >= self._next:
            self._decoder.flush_buffers()
            self._next += self._every
            self._begin, self._left, self._run = packet.pts, _FRAMES, []
        for frame in _decoded(packet) if self._left else ():
            self._take(frame)

    def bwdif_options(self) -> Mapping[str, str] | None:
        """Return the options of bwdif for the film; None if it is progressive."""
        lead = self._votes["tff"] - self._votes["bff"]
        if abs(lead) > _CLEAR * self._votes.total():
            return {"parity": "tff" if lead > 0 else "bff", "deint": "all"}
        if self._flagged and self._votes["progressive"] <= 2 * abs(lead):
            return {"parity": "auto", "deint": "interlaced"}
        return None

    def _take(self, frame: av.VideoFrame) -> None:
        self.first = self.first or frame
        if frame.format.is_rgb or frame.height > _TALLEST:
            self._left, self._next = 0, math.inf
            return
        if self._begin is not None and frame.pts is not None and frame.pts < self._begin:
            return  # it may depend on frames that were skipped
        self._left = max(self._left - 1, 0)
        self._flagged |= frame.interlaced_frame
        self._run.append(np.asarray(frame.to_ndarray(format="gray")[:, ::4], np.uint8))
        three = self._run[-3:]
        if len(three) == 3 and len({picture.shape for picture in three}) == 1:
            self._votes[field_order(*three)] += 1


def _decoded(packet: av.Packet[av.VideoStream]) -> Sequence[av.VideoFrame]:
    try:
        return packet.decode()
    except av.FFmpegError:  # the beginning of a cut film can depend on what was cut off
        return ()


def field_order(before: Pixels, frame: Pixels, after: Pixels) -> str:
    """Return "tff" or "bff" (top or bottom field first), "progressive", or "" if nothing moves.

    All are luma, (H, W) uint8. As in FFmpeg's idet, the lines of the frame are compared with the
    lines between them: those of the frame itself, and those of its neighbours which would be next
    in time if the top field came first, or if the bottom field did.
    """
    around = frame[:-2].astype(np.int16) + frame[2:]

    def unlike(picture: Pixels) -> tuple[int, int]:
        lines = np.abs(around - 2 * picture[1:-1].astype(np.int16)).sum(axis=1, dtype=np.int64)
        return int(lines[1::2].sum()), int(lines[::2].sum())  # even lines, odd lines

    (even_before, odd_before), (even_after, odd_after) = unlike(before), unlike(after)
    if_top, if_bottom = odd_before + even_after, even_before + odd_after
    if if_bottom > _UNEQUAL * if_top:
        return "tff"
    if if_top > _UNEQUAL * if_bottom:
        return "bff"
    return "progressive" if _EQUAL * sum(unlike(frame)) < min(if_top, if_bottom) else ""
