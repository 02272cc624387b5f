"""Write a batch of pictures as one file: an animated PNG, which ComfyUI loads as a batch.

Pillow would merge equal neighbours into one picture that is shown for longer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import IO

from stable_restyle.core.records import Pixels
from stable_restyle.media import png

# Number of the chunk; width, height and two offsets; 1/25 s; neither disposed of nor blended.
_CONTROL = struct.Struct(">IIIIIHHBB")
_DELAY = (1, 25)
_PIECE = 2**18  # bytes


@dataclass(frozen=True)
class Batch:
    """Pictures in a temporary file, which its owner closes."""

    file: IO[bytes]
    size: int  # bytes
    digest: bytes  # of the pictures

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content of the file, piece by piece."""
        self.file.seek(0)
        while piece := self.file.read(_PIECE):
            yield piece


def write(file: IO[bytes], pictures: Iterable[Pixels], count: int) -> Batch:
    """Write pictures, one at a time, as an animated PNG (PNG specification, third edition, 11.3.9).

    pictures: `count` pictures of one size, (H, W, 3) RGB, at least one. Raises OSError.
    """
    digest, number = sha256(), 0
    file.write(png.SIGNATURE)
    for place, picture in enumerate(pictures):
        digest.update(picture.data)
        height, width = picture.shape[:2]
        if place == 0:
            digest.update(repr((count, picture.shape)).encode())
            file.write(png.header(picture) + png.chunk(b"acTL", struct.pack(">II", count, 0)))
        control = _CONTROL.pack(number, width, height, 0, 0, *_DELAY, 0, 0)
        file.write(png.chunk(b"fcTL", control))
        number += 1
        data = png.image_data(picture)
        if place == 0:  # which viewers without animation show
            file.write(png.chunk(b"IDAT", data))
        else:
            file.write(png.chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
    file.write(png.END)
    return Batch(file, file.tell(), digest.digest())
