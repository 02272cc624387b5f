"""Make small films whose truth is known, with FFmpeg or, where time stamps matter, with PyAV."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from stable_restyle.core.records import Pixels
from stable_restyle.media import png, sequence
from stable_restyle.media.ffmpeg import find_ffmpeg

WIDTH, HEIGHT = 64, 48
_BITS = 8
H264 = ("-c:v", "libx264", "-crf", "8", "-pix_fmt", "yuv420p")


def run_ffmpeg(*options: str | Path, data: bytes | None = None) -> None:
    command = [find_ffmpeg(), "-nostdin", "-y", "-loglevel", "error", *map(str, options)]
    subprocess.run(command, input=data, check=True)


def numbered(count: int) -> Pixels:
    """Return (count, HEIGHT, WIDTH, 3) frames that show their index as stripes; see `number`."""
    bits = np.arange(count)[:, None] >> np.arange(_BITS) & 1
    stripes = np.where(bits, 220, 30).astype(np.uint8).repeat(WIDTH // _BITS, axis=1)
    return np.broadcast_to(stripes[:, None, :, None], (count, HEIGHT, WIDTH, 3))


def number(picture: Pixels) -> int:
    """Return the index that a frame of `numbered` shows, whatever its colours and size."""
    middle = picture[picture.shape[0] // 2, :, 1]
    stripes = middle[middle.size // _BITS // 2 :: middle.size // _BITS][:_BITS]
    return int(((stripes > 125) << np.arange(_BITS)).sum())


def scenes(*lengths: int) -> Pixels:
    """Return (N, HEIGHT, WIDTH, 3): scenes of these lengths, moving texture on different greys."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    grounds = [40, 150, 230, 95]
    pictures = []
    for scene, length in enumerate(lengths):
        for index in range(length):
            texture = 10 * np.sin((columns + index) / 5) * np.cos(rows / 7)
            grey = (grounds[scene % 4] + texture).clip(0, 255).astype(np.uint8)
            pictures.append(np.repeat(grey[:, :, None], 3, axis=2))
    return np.stack(pictures)


def make(
    path: Path,
    frames: Pixels,
    *encoding: str | Path,
    rate: str = "24",
    delay_s: float = 0,
    inputs: Sequence[str | Path] = (),
) -> Path:
    """Encode frames (N, H, W, 3), shown late by delay_s. inputs: options and files of more tracks,
    which `encoding` then has to map.
    """
    _, height, width, _ = frames.shape
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate)
    late = ("-itsoffset", str(delay_s))
    run_ffmpeg(
        *late, *raw, "-i", "pipe:", *inputs, *(encoding or H264), path, data=frames.tobytes()
    )
    return path


def make_with_stamps(
    path: Path, frames: Pixels, stamps: Iterable[int], tick: Fraction, turned: int = 0
) -> Path:
    """Encode frames shown at these ticks. turned: degrees that a player is to turn them by."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", 24, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.time_base = stream.time_base = tick
        if turned:
            stream.set_display_rotation(turned)
        for picture, stamp in zip(frames, stamps, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = stamp, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_yuv(
    path: Path,
    picture: Pixels,
    luma: tuple[float, float],
    *encoding: str,
    full: bool = False,
    bits: int = 8,
) -> Path:
    """Encode one picture (H, W, 3) without loss, as YUV made by the formulas of ITU-T H.273.

    luma: the shares of red and blue in Y. Chroma is as large as luma, so that it is exact.
    """
    red, blue = luma
    rgb = picture / 255
    y = rgb @ np.array([red, 1 - red - blue, blue])
    cb, cr = (rgb[..., 2] - y) / (2 - 2 * blue), (rgb[..., 0] - y) / (2 - 2 * red)
    top, step = 2**bits - 1, 2 ** (bits - 8)
    centre = 128 * step
    if full:
        planes = [y * top, cb * top + centre, cr * top + centre]
    else:
        planes = [(16 + 219 * y) * step, 224 * step * cb + centre, 224 * step * cr + centre]
    kind: Any = np.uint8 if bits == 8 else "<u2"
    data = b"".join(np.round(plane).clip(0, top).astype(kind).tobytes() for plane in planes)
    pixels = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    size = f"{picture.shape[1]}x{picture.shape[0]}"
    raw = ("-f", "rawvideo", "-pix_fmt", pixels, "-s", size, "-r", "24")
    run_ffmpeg(*raw, "-i", "pipe:", *encoding, "-c:v", "ffv1", path, data=data)
    return path


def write_folder(folder: Path, frames: Iterable[Pixels]) -> Path:
    folder.mkdir(parents=True)
    for index, picture in enumerate(frames):
        png.write(folder / sequence.name(index), np.ascontiguousarray(picture))
    return folder


def read_folder(folder: Path) -> list[Pixels]:
    return [png.read(folder / name) for name in sequence.numbered(folder)]


def add_picture_subtitles(path: Path) -> Path:
    """Copy a film, with Blu-ray subtitles added: two empty screens, which nothing has to decode."""

    def segment(kind: int, at_s: float, data: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", round(90000 * at_s), 0, kind, len(data)) + data

    screen = struct.pack(">HHBHBBBB", WIDTH, HEIGHT, 0x10, 0, 0x80, 0, 0, 0)
    pictures, whole = path.with_suffix(".sup"), path.with_stem(path.stem + "+")
    pictures.write_bytes(b"".join(segment(0x16, s, screen) + segment(0x80, s, b"") for s in (0, 1)))
    run_ffmpeg("-i", path, "-i", pictures, "-map", "0", "-map", "1", "-c", "copy", whole)
    return whole
