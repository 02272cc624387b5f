"""Read pictures of the kinds that frames come in: PNG, JPEG, WebP, TIFF, BMP, DPX and EXR.

PNG is left to `png`, which is exact about every kind of it. DPX and EXR are decoded by FFmpeg's
libraries; Pillow decodes the others. The pixels are those that a viewer shows: upright, colour
profiles ignored.
"""

from __future__ import annotations

import stat
import struct
from hashlib import blake2b
from pathlib import Path
from typing import IO

import av
import numpy as np
from av.container import InputContainer
from PIL import ExifTags, Image, ImageOps

from stable_restyle.core.errors import UnusableInput, cannot_read
from stable_restyle.core.records import Pixels
from stable_restyle.media import png
from stable_restyle.media.ffmpeg import FILES_ONLY, file_url
from stable_restyle.media.naming import BY_FFMPEG
from stable_restyle.media.png import PIXELS_MAX, Header

_READ_AT_ONCE = 2**20  # bytes
_EXR_OTHER_LAYOUTS = 0x1A00  # flags in its version: tiles, deep data, several parts
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations of Exif that exchange width and height
_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes
_UNREADABLE = ("F", "I")  # more than 16 bits


def read_header(path: Path) -> Header:
    """Return the size of a picture as it is shown, and its mark, without decoding it.

    The mark of a PNG is `png.read_header`'s; that of another picture is a hash of the whole file,
    since few formats have a checksum. Raises UnusableInput.
    """
    if path.suffix.lower() == ".png":
        return png.read_header(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would block
            raise UnusableInput(
                f"{path} is not a regular file.\nReplace it with the picture itself."
            )
        digest = blake2b(digest_size=8)
        with path.open("rb") as file:
            while block := file.read(_READ_AT_ONCE):
                digest.update(block)
            file.seek(0)
            return Header(_size(path, file), digest.hexdigest())
    except OSError as error:
        raise _unusable(path, error) from error
    except (ValueError, SyntaxError, EOFError) as error:
        raise _damaged(path, error) from error


def read(path: Path) -> Pixels:
    """Decode a picture to (H, W, 3) RGB uint8. Raises UnusableInput naming the file.

    Grey becomes RGB, 16 bits are cut to 8, transparency becomes black. JPEG, WebP and TIFF are
    turned upright as their Exif data says; a PNG as `png.read` has it.
    """
    suffix = path.suffix.lower()
    if suffix == ".png":
        return png.read(path)
    try:
        with path.open("rb") as file:
            _size(path, file)
            file.seek(0)
            return _by_ffmpeg(path) if suffix in BY_FFMPEG else _by_pillow(file)
    except UnusableInput:
        raise
    except OSError as error:
        raise _unusable(path, error) from error
    except Exception as error:  # the decoders raise nearly anything for damaged data
        raise _damaged(path, error) from error


def _size(path: Path, file: IO[bytes]) -> tuple[int, int]:
    """Return width and height of a picture as it is shown. Raises UnusableInput, if too large."""
    width, height = _stated_size(path, file)
    if not 0 < width * height <= PIXELS_MAX:
        raise UnusableInput(
            f"{path} cannot be used: its header says {width}x{height}.\n"
            f"A frame has at most {PIXELS_MAX:,} pixels."
        )
    return width, height


def _stated_size(path: Path, file: IO[bytes]) -> tuple[int, int]:
    if path.suffix.lower() in BY_FFMPEG:
        with _opened(path) as container:
            stream = container.streams.video[0]
            return stream.width, stream.height
    with Image.open(file, formats=png.COMMON_FORMATS) as image:
        width, height = image.size
        # Pillow gives the size of a TIFF as it is shown.
        turned = image.format != "TIFF" and _orientation(image) in _ON_ITS_SIDE
        return (height, width) if turned else (width, height)


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _by_pillow(file: IO[bytes]) -> Pixels:
    """Decode a picture. Raises ValueError, OSError."""
    with Image.open(file, formats=png.COMMON_FORMATS) as image:
        image.load()
        upright = image if image.format == "TIFF" else ImageOps.exif_transpose(image)
        if upright.mode in _UNREADABLE:
            raise ValueError("it has more than 16 bits a sample; save it with 8 or 16")
        if upright.mode in _DEEP_GREY:
            grey = (np.asarray(upright) >> 8).astype(np.uint8)
            return np.stack([grey] * 3, axis=2)
        if upright.has_transparency_data:
            both = np.asarray(upright.convert("RGBA"))
            return png.over_black(both[:, :, :3], both[:, :, 3:])
        return np.asarray(upright.convert("RGB"))


def _by_ffmpeg(path: Path) -> Pixels:
    """Decode a picture as FFmpeg does, which converts neither logarithmic nor linear tones."""
    if path.suffix.lower() == ".exr" and _is_cut_short(path.read_bytes()):
        raise ValueError("it is cut short")  # FFmpeg shows the rest in black
    with _opened(path) as container:
        frame = next(container.decode(video=0))
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _is_cut_short(exr: bytes) -> bool:
    """Return whether an EXR of a single part in scan lines ends before its last block of lines.

    By the layout of OpenEXR files: attributes (name, type, size, value), an empty name, then the
    offset of each block, which begins with its first line and its size. False for other layouts.
    """
    if struct.unpack_from("<I", exr, 4)[0] & _EXR_OTHER_LAYOUTS:
        return False
    at = 8
    while exr[at]:
        name = exr[at : exr.index(b"\0", at)]
        at = exr.index(b"\0", at + len(name) + 1) + 1  # behind name and type
        if name == b"lineOrder" and exr[at + 4]:  # the first block is not the first in the file
            return False
        at += 4 + int(struct.unpack_from("<I", exr, at)[0])
    first = int(struct.unpack_from("<Q", exr, at + 1)[0])
    blocks = (first - at - 1) // 8
    if not 0 < first < len(exr) or blocks < 1:
        return True
    offsets = struct.unpack_from(f"<{blocks}Q", exr, at + 1)
    last = max(offsets)
    if min(offsets) < first or last + 8 > len(exr):
        return True
    return bool(last + 8 + struct.unpack_from("<I", exr, last + 4)[0] > len(exr))


def _opened(path: Path) -> InputContainer:
    demuxer = f"{path.suffix[1:].lower()}_pipe"  # it does not take names for patterns
    return av.open(file_url(path), "r", format=demuxer, options=FILES_ONLY)


def _unusable(path: Path, error: OSError) -> UnusableInput:
    """Return the error for a picture that cannot be opened, or that Pillow or FFmpeg refuse."""
    return cannot_read(path, error) if error.errno and error.filename else _damaged(path, error)


def _damaged(path: Path, error: Exception) -> UnusableInput:
    why = "" if "cannot identify" in str(error) else f": {error}"
    return UnusableInput(
        f"{path} is damaged, or not a picture of a kind that can be read{why}.\nExport it again."
    )
