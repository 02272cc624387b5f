"""Read and write frames, slides and masks.

Which frames there are and whether they can be used is decided here, before any work is done; what a
picture means is left to others. A folder of frames is 000001.png, 000002.png, ... without a gap.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from PIL import Image

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, cannot_read
from stable_restyle.core.records import Pixels

PIXELS_MAX = 2**26  # 8192 x 8192: past that a picture is a mistake or a bomb
BYTES_PER_PIXEL_MAX = 8  # of a PNG file: four channels of 16 bits that do not compress
BYTES_BESIDE_MAX = 2**24  # what a PNG file may hold beside its pixels, such as a colour profile

_NAME = re.compile(r"\d{6,}\.png")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_DEPTH_AT = 24  # the place of the bit depth; the colour type follows
_CHUNK = struct.Struct(">I4s")  # length and kind; then its data, and a checksum of four bytes
_PIXELS = (b"IHDR", b"IDAT", b"IEND")
_EIGHT_BITS_RGB = bytes([8, 2])  # bit depth and colour type of the PNG header
_HEADER = struct.Struct(">8sI4sII")  # signature, length, "IHDR", width, height
_TAIL = 1024  # bytes: the end of the pixels with their checksum, and texts that may follow it
_DETAILS = struct.Struct(">IIBBBBB")  # width, height, bit depth, colour type; three that are 0
_GREY, _RGB = 0, 2  # colour types
_UP = 2  # the filter: of each row only what differs from the one above
# Of ISA-L's levels. On film frames of 1280x720 it takes 9 ms for 1.10 MB (0 takes 8.5 ms for
# 1.33 MB, 3 takes 11 ms for 1.12 MB), on masks 0.7 ms for 0.06 MB. OpenCV takes 25 ms for 1.22 MB
# at its quickest, and 5 ms for 2.77 MB without compression: these would have to travel.
_LEVEL = 1
_BEGINNING = 16  # bytes, see `_compress`


def name(index: int) -> str:
    """The file name of a frame or slide; index counts from 0, the name from 1."""
    return f"{index + 1:06d}.png"


@dataclass(frozen=True)
class Frames:
    """A folder of frames that has been looked through: numbered without a gap, all of one size."""

    folder: Path
    count: int
    width: int
    height: int
    marks: Sequence[str]  # tell each frame from every other picture, as `find_frames` made them

    def read(self, index: int) -> Pixels:
        """Frame `index` as (height, width, 3) RGB. Raises UnusableInput naming the file."""
        return read(self.folder / name(index))


def find_frames(folder: Path) -> Frames:
    """Look through a folder of frames without decoding them.

    Raises UnusableInput: no frames, a gap in the numbering, a file that is no whole PNG, a size
    that differs from the first frame's. Damage inside a file shows when `read` decodes it.

    A frame's mark comes from the length and the end of its file: there the PNG keeps a checksum of
    all its pixels (Adler-32, RFC 1950), so that no file need be read whole to be told from another.
    """
    names = numbered(folder)
    if not names:
        raise UnusableInput(
            f"There are no frames in {folder}: they are called 000001.png, 000002.png, ...\n"
            "Put them there, or name another folder or a film as SOURCE."
        )
    for index, found in enumerate(names):
        if found != name(index):
            raise UnusableInput(
                f"{folder / name(index)} is missing, though {names[-1]} is there.\n"
                "Every frame counts: add what is missing, or number the frames from 000001.png."
            )
    width, height, mark = _look(folder / names[0])
    marks = [mark]
    for found in names[1:]:
        its_width, its_height, mark = _look(folder / found)
        if (its_width, its_height) != (width, height):
            raise UnusableInput(
                f"{folder / found} is {its_width}x{its_height}, "
                f"but {names[0]} is {width}x{height}.\nAll frames must have one size."
            )
        marks.append(mark)
    return Frames(folder, len(names), width, height, marks)


def find_slides(
    folder: Path, count: int, frame_size: tuple[int, int]
) -> tuple[set[int], list[str]]:
    """Which of `count` slides are finished, and a line about each one that cannot be kept."""
    finished: set[int] = set()
    unfit: list[str] = []
    for found in numbered(folder):
        index = int(Path(found).stem) - 1
        if not 0 <= index < count or found != name(index):
            continue
        if why := _unfit(folder / found, frame_size):
            unfit.append(why)
        else:
            finished.add(index)
    return finished, unfit


def find_finished(folder: Path, slides: Iterable[int], frame_size: tuple[int, int]) -> set[int]:
    """Which of these slides are finished, as `find_slides` has it."""
    return {
        slide
        for slide in slides
        if (path := folder / name(slide)).exists() and _unfit(path, frame_size) is None
    }


def is_scale(size: Sequence[int], of: Sequence[int]) -> bool:
    """Return whether a picture of one size is a picture of the other at any scale.

    size, of: (width, height) or (height, width), both in the same order. The longer side may be off
    by less than a pixel of `of`.
    """
    return abs(size[0] * of[1] - size[1] * of[0]) < max(of)


def numbered(folder: Path) -> list[str]:
    """The names in a folder that are numbers, in their order; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = [entry for entry in os.listdir(folder) if _NAME.fullmatch(entry)]
    return sorted(found, key=lambda entry: int(entry[:-4]))


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG whose beginning and end are there; UnusableInput otherwise."""
    width, height, _ = _look(path)
    return width, height


def marks(folder: Path, count: int) -> list[str]:
    """The marks of so many slides, as `find_frames` makes them. Raises UnusableInput."""
    return [_look(folder / name(index))[2] for index in range(count)]


def _look(path: Path) -> tuple[int, int, str]:
    """Width, height and mark of a PNG whose beginning and end are there; else UnusableInput."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a named pipe would take for ever
            raise UnusableInput(f"{path} is no file.\nPut the picture itself there.")
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(length - _TAIL, 0))
            tail = file.read(_TAIL)
    except OSError as error:
        raise cannot_read(path, error) from error
    if not head.startswith(_SIGNATURE):
        raise UnusableInput(f"{path} is not a PNG.\nSave it as one, or name the film as SOURCE.")
    if len(head) < _HEADER.size or not tail.endswith(_END):
        raise UnusableInput(f"{path} is cut short: the end of the PNG is missing.\nMake it anew.")
    _, _, kind, width, height = _HEADER.unpack(head)
    if kind != b"IHDR" or not 0 < width * height <= PIXELS_MAX:
        raise UnusableInput(
            f"{path} cannot be used: it says that it is {width}x{height}.\n"
            f"A frame has at most {PIXELS_MAX:,} pixels."
        )
    if length > width * height * BYTES_PER_PIXEL_MAX + BYTES_BESIDE_MAX:
        raise UnusableInput(
            f"{path} cannot be used: {length:,} bytes are too many for {width}x{height} pixels.\n"
            "Save it anew, without what is in it beside the picture."
        )
    mark = blake2b(head + length.to_bytes(8) + tail, digest_size=8)
    return width, height, mark.hexdigest()


def read(path: Path) -> Pixels:
    """Decode a PNG to (H, W, 3) RGB uint8: grey is tripled, 16 bits lose the lower 8, alpha goes
    over black; an orientation in its Exif data turns nothing. Raises UnusableInput naming the file.
    """
    size(path)
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from error
    except ValueError as error:
        raise UnusableInput(f"{path} is damaged: {error}.\nMake it anew.") from error


def decode(data: bytes, formats: tuple[str, ...] = ("PNG",)) -> Pixels:
    """Decode an image file as `read` does. formats: Pillow's names of those that it may be.

    Raises ValueError saying what is wrong.
    """
    try:
        with Image.open(BytesIO(data), formats=formats) as image:
            pixels, transparent = image.width * image.height, image.info.get("transparency")
            image.verify()  # every checksum: OpenCV before 5 returns half a PNG without a word
        if pixels > PIXELS_MAX:
            raise ValueError(f"it has {pixels:,} pixels, more than {PIXELS_MAX:,}")
        plain = _is_plain(data) and transparent is None
        # Unchanged, it ignores an orientation of its own accord.
        how = (
            cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION if plain else cv2.IMREAD_UNCHANGED
        )
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except Exception as error:  # mangled bytes make the decoders raise nearly anything
        raise ValueError(str(error)) from error
    if decoded is None:
        raise ValueError("it cannot be decoded")
    if plain:
        return np.asarray(decoded, np.uint8)
    if decoded.ndim == 2 and isinstance(transparent, int):  # OpenCV leaves grey out
        depth = data[_DEPTH_AT]
        widened = 255 // (2**depth - 1) if 1 < depth < 8 else 1  # Pillow does so for one bit
        decoded[decoded == transparent * widened] = 0
    return _to_rgb(decoded)


def only_pixels(data: bytes) -> bytes | None:
    """Return a PNG without all that `decode` takes no notice of: texts, orientation, profiles.

    data: of a file that can be decoded. None if it is anything but opaque 8-bit RGB in a PNG.
    """
    if not _is_plain(data):
        return None
    kept, at, kind = [_SIGNATURE], len(_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = _CHUNK.unpack_from(data, at)
        if kind == b"tRNS":
            return None
        if kind in _PIXELS:
            kept.append(data[at : at + _CHUNK.size + length + 4])  # and a checksum
        at += _CHUNK.size + length + 4
    return b"".join(kept)


def _is_plain(data: bytes) -> bool:
    """Whether an image file says that it is a PNG of 8-bit RGB."""
    details = data[_DEPTH_AT : _DEPTH_AT + len(_EIGHT_BITS_RGB)]
    return data.startswith(_SIGNATURE) and details == _EIGHT_BITS_RGB and data.endswith(_END)


def encode(image: Pixels) -> bytes:
    """(H, W, 3) RGB or (H, W) grey, uint8, as PNG. The same pixels give the same bytes."""
    height, width = image.shape[:2]
    rows = image.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    details = _DETAILS.pack(width, height, 8, _GREY if image.ndim == 2 else _RGB, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", details) + _chunk(b"IDAT", _compress(filtered)) + _END


def write(path: Path, image: Pixels) -> None:
    """Write a picture or mask as PNG, whole or not at all."""
    files.write_whole(path, encode(image))


def move(folder: Path, to: Path) -> None:
    """Move the frames or slides of a folder, each of them whole. Raises UnusableInput."""
    for each in numbered(folder):
        try:
            files.replace(folder / each, to / each)
        except OSError:  # on another disk
            files.write_whole(to / each, (folder / each).read_bytes())
            files.remove_all(folder, [each])


def _unfit(slide: Path, frame_size: tuple[int, int]) -> str | None:
    """Why a slide cannot be kept."""
    if slide.is_symlink():
        return f"{slide} is a link to another place."
    try:
        its_size = size(slide)
    except UnusableInput as error:
        return str(error).splitlines()[0]
    if is_scale(its_size, frame_size):
        return None
    return (
        f"{slide} is {its_size[0]}x{its_size[1]}, "
        f"but the frames are {frame_size[0]}x{frame_size[1]}."
    )


def _compress(filtered: Pixels) -> bytes:
    """Compress as zlib does (RFC 1950), with the same bytes for the same pixels.

    Where ISA-L's main loop begins a stream, it enters the third byte under the hash of a register
    that nobody has set (igzip_icf_body_h1_gr_bt.asm, `write_first_byte`: tmp2): there lies the
    address of the thread's stack, and once in a while a repetition is not found. The first bytes
    are therefore flushed alone. These few another loop takes, which begins well; the main loop goes
    on from there.
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


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG file."""
    checksum = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _to_rgb(decoded: npt.NDArray[Any]) -> Pixels:
    """What OpenCV decodes (grey, BGR or BGRA; 8 or 16 bits) as (H, W, 3) RGB uint8."""
    image = decoded
    if decoded.dtype == np.uint16:
        decoded >>= 8  # in place: the largest picture allowed takes half a gigabyte
        image = decoded.astype(np.uint8)
    if image.ndim == 2:
        return np.stack([image] * 3, axis=2)
    if image.shape[2] == 4:
        over_black = image[:, :, 2::-1].astype(np.uint16)
        over_black *= image[:, :, 3:]
        over_black += 127
        over_black //= 255
        return over_black.astype(np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
