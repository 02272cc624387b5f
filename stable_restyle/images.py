"""Read images; write them, and every other file of a run, whole or not at all.

Which frames there are and whether they can be used is decided here, before any work is done; what a
picture means is left to others. A folder of frames is 000001.png, 000002.png, ... without a gap.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from stable_restyle.errors import UnusableInput
from stable_restyle.model import Pixels

PIXELS_MAX = 2**26  # 8192 x 8192: past that a picture is a mistake or a bomb

_NAME = re.compile(r"\d{6,}\.png")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_EIGHT_BITS_RGB = bytes([8, 2])  # bit depth and colour type of the PNG header
_HEADER = struct.Struct(">8sI4sII")  # signature, length, "IHDR", width, height
# On 1280x720 film frames level 1 with the Up filter takes 28 ms, level 0 25 ms at 2.4 times the
# size, level 1 with OpenCV's own choice of filter 48 ms.
_PNG_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP)


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

    def read(self, index: int) -> Pixels:
        """Frame `index` as (height, width, 3) RGB. Raises UnusableInput naming the file."""
        return read(self.folder / name(index))


def find_frames(folder: Path) -> Frames:
    """Look through a folder of frames without decoding them.

    Raises UnusableInput: no frames, a gap in the numbering, a file that is no whole PNG, a size
    that differs from the first frame's. Damage inside a file shows when `read` decodes it.
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
    width, height = size(folder / names[0])
    for found in names[1:]:
        its_width, its_height = size(folder / found)
        if (its_width, its_height) != (width, height):
            raise UnusableInput(
                f"{folder / found} is {its_width}x{its_height}, "
                f"but {names[0]} is {width}x{height}.\nAll frames must have one size."
            )
    return Frames(folder, len(names), width, height)


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
        try:
            its_size = size(folder / found)
        except UnusableInput as error:
            unfit.append(str(error).splitlines()[0])
            continue
        if _enlarges(its_size, frame_size):
            finished.add(index)
        else:
            unfit.append(
                f"{folder / found} is {its_size[0]}x{its_size[1]}, "
                f"but the frames are {frame_size[0]}x{frame_size[1]}."
            )
    return finished, unfit


def fit(image: Pixels, width: int, height: int) -> Pixels:
    """A slide that a workflow enlarged, scaled down to the size of a frame. (H, W, 3)."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def numbered(folder: Path) -> list[str]:
    """The names in a folder that are numbers, in their order; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = [entry for entry in os.listdir(folder) if _NAME.fullmatch(entry)]
    return sorted(found, key=lambda entry: int(entry[:-4]))


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG whose beginning and end are there; UnusableInput otherwise."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            file.seek(-min(len(_END), file.seek(0, os.SEEK_END)), os.SEEK_END)
            tail = file.read()
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read: {error.strerror}.") from error
    if not head.startswith(_SIGNATURE):
        raise UnusableInput(f"{path} is not a PNG.\nSave it as one, or name the film as SOURCE.")
    if len(head) < _HEADER.size or tail != _END:
        raise UnusableInput(f"{path} is cut short: the end of the PNG is missing.\nMake it anew.")
    _, _, kind, width, height = _HEADER.unpack(head)
    if kind != b"IHDR" or not 0 < width * height <= PIXELS_MAX:
        raise UnusableInput(
            f"{path} cannot be used: it says that it is {width}x{height}.\n"
            f"A frame has at most {PIXELS_MAX:,} pixels."
        )
    return width, height


def read(path: Path) -> Pixels:
    """Decode a PNG to (H, W, 3) RGB uint8: grey is tripled, 16 bits lose the lower 8, alpha goes
    over black. Raises UnusableInput naming the file.
    """
    size(path)
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise UnusableInput(f"{path} cannot be read: {error.strerror}.") from error
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
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except Exception as error:  # mangled bytes make the decoders raise nearly anything
        raise ValueError(str(error)) from error
    if decoded is None:
        raise ValueError("it cannot be decoded")
    if decoded.ndim == 2 and isinstance(transparent, int):
        decoded[decoded == transparent] = 0  # OpenCV knows a grey PNG's transparent value not
    return _to_rgb(decoded)


def is_plain(png: bytes) -> bool:
    """Whether an image file is a PNG of 8-bit RGB and nothing more: it can be kept as it is."""
    return png.startswith(_SIGNATURE) and png[24:26] == _EIGHT_BITS_RGB and png.endswith(_END)


def encode(image: Pixels) -> bytes:
    """(H, W, 3) RGB or (H, W) grey, uint8, as PNG."""
    stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".png", stored, _PNG_FAST)
    return data.tobytes()


def write(path: Path, image: Pixels) -> None:
    """Write a picture or mask as PNG, whole or not at all."""
    write_whole(path, encode(image))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, see it on the disk, then give it its own name."""
    part = path.with_name(path.name + ".part")  # one writer a folder: the lock sees to that
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UnusableInput(
            f"{path} cannot be written: {error.strerror}.\n"
            "Mend that and repeat the command; finished slides are kept."
        ) from error


def remove(folder: Path, names: Collection[str]) -> None:
    """Remove files of a run from their folder."""
    for each in names:
        (folder / each).unlink(missing_ok=True)


def _enlarges(size: tuple[int, int], frame_size: tuple[int, int]) -> bool:
    """Whether a slide of this size shows a frame of that size, at its scale or a larger one."""
    scales = [side / frame_side for side, frame_side in zip(size, frame_size, strict=True)]
    return min(scales) >= 1 and all(
        abs(side - frame_side * scales[0]) <= 1
        for side, frame_side in zip(size, frame_size, strict=True)
    )


def _to_rgb(decoded: npt.NDArray[Any]) -> Pixels:
    """What OpenCV decodes (grey, BGR or BGRA; 8 or 16 bits) as (H, W, 3) RGB uint8."""
    image = (decoded >> 8).astype(np.uint8) if decoded.dtype == np.uint16 else decoded
    if image.ndim == 2:
        return np.stack([image] * 3, axis=2)
    if image.shape[2] == 4:
        alpha = image[:, :, 3:].astype(np.uint16)
        return ((image[:, :, 2::-1] * alpha + 127) // 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
