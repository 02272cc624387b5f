"""Write PNGs of every kind in the format, sample by sample (W3C PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stable_restyle.core.records import Pixels
from stable_restyle.media import png, sequence

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6  # colour types
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7 += [(0, 1, 1, 2)]  # x, y, step in x, step in y
SIGNATURE = b"\x89PNG\r\n\x1a\n"

Samples = npt.NDArray[Any]


@dataclass(frozen=True)
class Kind:
    """A colour type and a bit depth, interlaced or not."""

    colour: int
    depth: int
    interlaced: bool

    def __str__(self) -> str:
        names = {GREY: "grey", RGB: "RGB", PALETTE: "palette", GREY_ALPHA: "grey with alpha"}
        colour = names.get(self.colour, "RGB with alpha")
        return f"{colour}, {self.depth} bits{', interlaced' if self.interlaced else ''}"


KINDS = [
    Kind(colour, depth, interlaced)
    for colour, depths in DEPTHS.items()
    for depth in depths
    for interlaced in (False, True)
]


def samples_of(kind: Kind, width: int, height: int) -> Samples:
    """Return (height, width, channels) random samples of a kind."""
    shape = (height, width, CHANNELS[kind.colour])
    return np.random.default_rng(7).integers(0, 2**kind.depth, shape)


def palette_of(kind: Kind) -> Pixels:
    """Return (2**depth, 3): as many colours as the kind has indices."""
    return np.random.default_rng(8).integers(0, 256, (2**kind.depth, 3), np.uint8)


def write(kind: Kind, samples: Samples, extra: bytes = b"") -> bytes:
    """Return a whole PNG. extra: chunks that precede the pixels."""
    height, width, _ = samples.shape
    header = struct.pack(
        ">IIBBBBB", width, height, kind.depth, kind.colour, 0, 0, int(kind.interlaced)
    )
    palette = chunk(b"PLTE", palette_of(kind).tobytes()) if kind.colour == PALETTE else b""
    rows = b"".join(_rows(kind, samples))
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + palette
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def turned(orientation: int) -> bytes:
    """Return an eXIf chunk with this orientation, 1 to 8."""
    entry = struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0)
    return chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01" + entry + bytes(4))


def transparent(kind: Kind, sample: Samples) -> bytes:
    """Return a tRNS chunk: one sample of grey or RGB, or an alpha for each colour of a palette."""
    if kind.colour == PALETTE:
        return chunk(b"tRNS", _alpha_of(kind).tobytes())
    return chunk(b"tRNS", sample.astype(">u2").tobytes())


def shown(kind: Kind, samples: Samples, clear: Samples | None = None) -> Pixels:
    """Return (H, W, 3) as shown over black, the upper 8 bits. clear: as in `transparent`."""
    opaque = _shown(kind, samples)
    if clear is None:
        return opaque
    if kind.colour == PALETTE:
        alpha = _alpha_of(kind)[samples].astype(int)
        return np.asarray((opaque * alpha + 127) // 255, np.uint8)
    black = (samples == clear).all(axis=2, keepdims=True)
    return np.asarray(np.where(black, 0, opaque), np.uint8)


def _alpha_of(kind: Kind) -> Pixels:
    return np.asarray(np.random.default_rng(9).integers(0, 256, 2**kind.depth, np.uint8))


def _shown(kind: Kind, samples: Samples) -> Pixels:
    if kind.colour == PALETTE:
        return np.asarray(palette_of(kind)[samples[:, :, 0]])
    depth = kind.depth
    eight = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
    if kind.colour in (GREY, RGB):
        return np.broadcast_to(eight, (*eight.shape[:2], 3)).astype(np.uint8)
    over_black = (eight[:, :, :-1] * eight[:, :, -1:] + 127) // 255
    return np.broadcast_to(over_black, (*eight.shape[:2], 3)).astype(np.uint8)


def _rows(kind: Kind, samples: Samples) -> Iterator[bytes]:
    for x, y, step_x, step_y in ADAM7 if kind.interlaced else [(0, 0, 1, 1)]:
        part = samples[y::step_y, x::step_x]
        if part.size:
            for row in part:
                yield b"\0" + _packed(row.reshape(-1), kind.depth)


def _packed(values: Samples, depth: int) -> bytes:
    if depth == 16:
        return values.astype(">u2").tobytes()
    if depth == 8:
        return values.astype(np.uint8).tobytes()
    bits = values[:, None] >> np.arange(depth - 1, -1, -1) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()


def picture(height: int = 12, width: int = 16, seed: int = 0) -> Pixels:
    """Return noise, (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def folder_of(folder: Path, *pictures: Pixels) -> Path:
    """Write pictures to a numbered folder. Return it."""
    folder.mkdir(exist_ok=True)
    for index, each in enumerate(pictures):
        png.write(folder / sequence.name(index), each)
    return folder
