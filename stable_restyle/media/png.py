"""Encode and decode pictures as PNG, and read the header of a PNG file."""

from __future__ import annotations

import os
import stat
import struct
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from PIL import Image, UnidentifiedImageError

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, cannot_read
from stable_restyle.core.records import Pixels

PIXELS_MAX = 2**26  # 8192 x 8192: a larger picture is a mistake or a decompression bomb
BYTES_PER_PIXEL_MAX = 8  # of a PNG file: four channels of 16 bits that do not compress
BYTES_OTHER_MAX = 2**24  # of other content of a PNG file, such as a colour profile

COMMON_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")  # by Pillow's names

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
_DEPTH_AT = 24  # offset of the bit depth; the colour type follows
_CHUNK = struct.Struct(">I4s")  # length and type; data and a four-byte checksum follow
_PIXELS = (b"IHDR", b"IDAT", b"IEND")
_EIGHT_BITS_RGB = bytes([8, 2])  # bit depth and colour type of the PNG header
_HEADER = struct.Struct(">8sI4sII")  # signature, length, "IHDR", width, height
_TAIL = 1024  # bytes: the end of the pixels with their checksum, and perhaps text chunks
_DETAILS = struct.Struct(">IIBBBBB")  # width, height, bit depth, colour type, and three zeros
_GREY, _RGB = 0, 2  # colour types
_UP = 2  # the filter that stores the difference of each row from the one above

# ISA-L's level. Film frames of 1280x720 take 9 ms and 1.10 MB (8.5 ms and 1.33 MB at level 0, 11 ms
# and 1.12 MB at level 3), masks 0.7 ms and 0.06 MB. OpenCV takes 25 ms and 1.22 MB at its fastest,
# 5 ms and 2.77 MB without compression, which would have to go over the network.
_LEVEL = 1
_BEGINNING = 16  # bytes, see `_compress`


class Header(NamedTuple):
    """What a PNG file shows without being decoded."""

    size: tuple[int, int]  # width and height in pixels
    mark: str  # differs from that of every other picture


def read_header(path: Path) -> Header:
    """Read the beginning and the end of a PNG file. Raises UnusableInput if it is unusable.

    The mark is a hash of the file's length, beginning and end. The end has a checksum of all pixels
    (Adler-32, RFC 1950), so that pictures are distinguished without reading whole files.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would block
            raise UnusableInput(
                f"{path} is not a regular file.\nReplace it with the picture itself."
            )
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(length - _TAIL, 0))
            tail = file.read(_TAIL)
    except OSError as error:
        raise cannot_read(path, error) from error
    if not head.startswith(SIGNATURE):
        raise UnusableInput(f"{path} is not a PNG.\nSave it as one, or name the film as SOURCE.")
    if len(head) < _HEADER.size or not tail.endswith(END):
        raise UnusableInput(
            f"{path} is cut short: the end of the PNG is missing.\nExport or copy it again."
        )
    _, _, kind, width, height = _HEADER.unpack(head)
    if kind != b"IHDR" or not 0 < width * height <= PIXELS_MAX:
        raise UnusableInput(
            f"{path} cannot be used: its header says {width}x{height}.\n"
            f"A frame has at most {PIXELS_MAX:,} pixels."
        )
    if length > width * height * BYTES_PER_PIXEL_MAX + BYTES_OTHER_MAX:
        raise UnusableInput(
            f"{path} cannot be used: {length:,} bytes are too many for {width}x{height} pixels.\n"
            "Save it again, without metadata."
        )
    mark = blake2b(head + length.to_bytes(8) + tail, digest_size=8)
    return Header((width, height), mark.hexdigest())


def read(path: Path) -> Pixels:
    """Decode a PNG file to (H, W, 3) RGB uint8. Raises UnusableInput naming the file.

    Grey becomes RGB, 16 bits are cut to 8, transparency becomes black; an orientation in Exif data
    is ignored.
    """
    read_header(path)
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from error
    except ValueError as error:
        raise UnusableInput(f"{path} is damaged: {error}.\nExport it again.") from error


def read_any(path: Path) -> Pixels:
    """Decode a picture of any of COMMON_FORMATS as `read` does. Raises UnusableInput."""
    if path.exists() and not path.is_file():  # reading a device might never end
        raise UnusableInput(f"{path} is not a regular file.\nGive the picture itself.")
    try:
        return decode(path.read_bytes(), COMMON_FORMATS)
    except OSError as error:
        raise cannot_read(path, error) from error
    except ValueError as error:
        raise UnusableInput(
            f"{path} is not a picture that can be used: {error}.\n"
            f"Give a file of one of these kinds: {', '.join(COMMON_FORMATS)}."
        ) from error


def decode(data: bytes, formats: tuple[str, ...] = ("PNG",)) -> Pixels:
    """Decode the content of an image file as `read` does.

    formats: those allowed, by Pillow's names. Raises ValueError saying what is wrong.
    """
    try:
        with Image.open(BytesIO(data), formats=formats) as image:
            pixels, transparent = image.width * image.height, image.info.get("transparency")
            image.verify()  # every checksum: OpenCV before 5 silently returns half a PNG
        if pixels > PIXELS_MAX:
            raise ValueError(f"it has {pixels:,} pixels, more than {PIXELS_MAX:,}")
        plain = _is_plain(data) and transparent is None
        # IMREAD_UNCHANGED implies IGNORE_ORIENTATION.
        flags = (
            cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION if plain else cv2.IMREAD_UNCHANGED
        )
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except UnidentifiedImageError:
        raise ValueError("its beginning is that of no such file") from None
    except Exception as error:  # the decoders raise nearly anything for damaged data
        raise ValueError(str(error)) from error
    if decoded is None:
        raise ValueError("it cannot be decoded")
    if plain:
        return np.asarray(decoded, np.uint8)
    if decoded.ndim == 2 and isinstance(transparent, int):  # OpenCV ignores it in grey pictures
        depth = data[_DEPTH_AT]
        scale = 255 // (2**depth - 1) if 1 < depth < 8 else 1  # Pillow scales one bit itself
        decoded[decoded == transparent * scale] = 0
    return _to_rgb(decoded)


def strip_metadata(data: bytes) -> bytes | None:
    """Return a PNG without the metadata that `decode` ignores: texts, orientation, profiles.

    data: of a file that can be decoded. None unless it is a PNG of opaque 8-bit RGB.
    """
    if not _is_plain(data):
        return None
    kept, at, kind = [SIGNATURE], len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = _CHUNK.unpack_from(data, at)
        if kind == b"tRNS":
            return None
        if kind in _PIXELS:
            kept.append(data[at : at + _CHUNK.size + length + 4])  # with the checksum
        at += _CHUNK.size + length + 4
    return b"".join(kept)


def _is_plain(data: bytes) -> bool:
    """Return whether an image file is a PNG of 8-bit RGB, by its header."""
    details = data[_DEPTH_AT : _DEPTH_AT + len(_EIGHT_BITS_RGB)]
    return data.startswith(SIGNATURE) and details == _EIGHT_BITS_RGB and data.endswith(END)


def encode(image: Pixels) -> bytes:
    """Encode (H, W, 3) RGB or (H, W) grey, uint8, as PNG. The same pixels give the same bytes."""
    return SIGNATURE + header(image) + chunk(b"IDAT", image_data(image)) + END


def header(image: Pixels) -> bytes:
    """Return the chunk that a PNG of a picture begins with."""
    height, width = image.shape[:2]
    colours = _GREY if image.ndim == 2 else _RGB
    return chunk(b"IHDR", _DETAILS.pack(width, height, 8, colours, 0, 0, 0))


def image_data(image: Pixels) -> bytes:
    """Return the content of the chunk with a picture's pixels."""
    height = image.shape[0]
    rows = image.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return _compress(filtered)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    checksum = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def write(path: Path, image: Pixels) -> None:
    """Write a picture or mask as a PNG file, atomically. Raises UnusableInput."""
    files.write_whole(path, encode(image))


def _compress(filtered: Pixels) -> bytes:
    """Compress as zlib does (RFC 1950), with the same bytes for the same pixels.

    At the start of a stream, ISA-L's main loop hashes the third byte by an uninitialised register
    (igzip_icf_body_h1_gr_bt.asm, `write_first_byte`: tmp2), which holds an address on the thread's
    stack, so that it sometimes misses a match. The first bytes are therefore flushed separately:
    so few are compressed by another loop, and the main loop continues from there.
    """
    stream, compressor = filtered.ravel(), isal_zlib.compressobj(_LEVEL)
    return b"".join(
        [
            compressor.compress(stream[:_BEGINNING]),
            compressor.flush(isal_zlib.Z_SYNC_FLUSH),
            compressor.compress(stream[_BEGINNING:]),
            compressor.flush(),
        ]
    )


def _to_rgb(decoded: npt.NDArray[Any]) -> Pixels:
    """Convert what OpenCV decodes (grey, BGR or BGRA; 8 or 16 bits) to (H, W, 3) RGB uint8."""
    image = decoded
    if decoded.dtype == np.uint16:
        decoded >>= 8  # in place: the largest picture allowed takes half a gigabyte
        image = decoded.astype(np.uint8)
    if image.ndim == 2:
        return np.stack([image] * 3, axis=2)
    if image.shape[2] == 4:
        return over_black(image[:, :, 2::-1], image[:, :, 3:])
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def over_black(colour: Pixels, alpha: Pixels) -> Pixels:
    """Show a picture, (H, W, 3), on black. alpha: (H, W, 1), 255 is opaque."""
    shown = colour.astype(np.uint16)
    shown *= alpha
    shown += 127
    shown //= 255
    return shown.astype(np.uint8)
