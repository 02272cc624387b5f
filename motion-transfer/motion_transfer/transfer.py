"""Measure the motion of frames, and apply it to an image.

A video encoder turns frames into one I packet, the complete first frame, and P packets, which each
describe how to make the next frame from the previous one: blocks to move, and small corrections.
The motion of the frames is their P packets. Decoded after the I packet of another image, they move
that image as the frames moved.

A picture, frame or image, is an (H, W, 3) uint8 array in RGB. Every codec context is used in one
call and one thread only, so that many threads can measure and apply at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt

Picture: TypeAlias = npt.NDArray[np.uint8]

SIDE_MAX = 8188  # pixels: the last multiple of 4 that MPEG-4 can write into its header

# The original encodes with H.263+, but FFmpeg's encoder takes no larger pictures than this. MPEG-4
# moves and corrects blocks in the same way, so it is used for larger ones.
_H263P_WIDTH_MAX, _H263P_HEIGHT_MAX = 2048, 1152
_BLOCK = 4  # pixels: FFmpeg's h263p refuses sides that are not multiples of it

_ENCODER_OPTIONS = {
    "flags": "+qscale",  # a constant quantiser
    "global_quality": "944",  # of 8, in units of 1/118
    "intra_penalty": "256",  # prefer moving a block to encoding it again
    "g": "1000000",  # a second I packet would replace the image by a frame
    "strict": "experimental",  # without this FFmpeg inserts one every 600 frames
}

# swscale's flags, by value: PyAV names them only since 18. The default conversion rounds down,
# which darkens an image that is warped 20 times by 15 levels. With these it rounds to nearest, and
# averaging 2x2 pixels of colour, then repeating them, loses nothing when it is done many times.
_ACCURATE_ROUNDING = 0x40000
_AVERAGE = 0x20 | _ACCURATE_ROUNDING | 0x4000  # SWS_AREA, SWS_FULL_CHR_H_INP
_REPEAT = 0x10 | _ACCURATE_ROUNDING | 0x2000  # SWS_POINT, SWS_FULL_CHR_H_INT


class MotionError(ValueError):
    """Pictures that cannot be measured or warped; the message says why."""


@dataclass(frozen=True)
class Motion:
    """The motion of some frames, about as many bytes as the frames take in a video file."""

    packets: tuple[bytes, ...]  # the P packets, one for each frame after the first
    width: int  # of the frames, in pixels
    height: int


def measure(frames: Iterable[Picture]) -> Motion:
    """Measure the motion from the first of the frames to the last.

    frames: one or more pictures of the same size, up to 8188x8188, in order. They are read one by
    one, so a generator need not hold them all. A single frame has no motion.
    Raises MotionError: no frame, not a picture, different sizes, too large.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise MotionError("there is no frame to measure")
    height, width = _size(first)
    _, *moves = _encode(_of_one_size(chain([first], rest), width, height), width, height)
    return Motion(tuple(moves), width, height)


def apply(motion: Motion, image: Picture) -> Picture:
    """Return the warped image, a new picture of the same size.

    image: a picture of the size of the motion's frames. The codec's quantiser removes fine detail,
    even where nothing moves.
    Raises MotionError: not a picture, another size.
    """
    width, height = _size(image)[::-1]
    if (width, height) != (motion.width, motion.height):
        raise MotionError(
            f"the image is {width}x{height}, but the frames of the motion are "
            f"{motion.width}x{motion.height}"
        )
    still = _encode([image], width, height)
    return _decode_last([*still, *motion.packets], width, height)


def _size(picture: Picture) -> tuple[int, int]:
    """Return height and width. Raises MotionError if this is not a picture, or too large."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise MotionError(
            f"a picture is an (H, W, 3) array of uint8, not {picture.shape} of {picture.dtype}"
        )
    height, width, _ = picture.shape
    if not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX):
        raise MotionError(f"a picture is 1x1 to {SIDE_MAX}x{SIDE_MAX}, not {width}x{height}")
    return height, width


def _of_one_size(frames: Iterable[Picture], width: int, height: int) -> Iterator[Picture]:
    for number, frame in enumerate(frames, 1):
        its_height, its_width = _size(frame)
        if (its_width, its_height) != (width, height):
            raise MotionError(
                f"frame {number} of the motion is {its_width}x{its_height}, "
                f"but the first is {width}x{height}"
            )
        yield frame


def _encode(pictures: Iterable[Picture], width: int, height: int) -> list[bytes]:
    """Return one packet per picture, in order: an I packet, then P packets."""
    name, _ = _codecs(width, height)
    encoder = av.Codec(name, "w").create("video")
    encoder.width, encoder.height = _padded(width), _padded(height)
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)  # required, but its value does not matter
    encoder.thread_count = 1
    encoder.options = _ENCODER_OPTIONS
    packets = []
    for number, picture in enumerate(pictures):
        frame = _to_yuv(picture)
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [bytes(packet) for packet in packets]


def _decode_last(packets: Iterable[bytes], width: int, height: int) -> Picture:
    """Return the last picture of a video that begins with an I packet."""
    _, name = _codecs(width, height)
    decoder = av.Codec(name, "r").create("video")
    decoder.thread_count = 1
    frames: list[av.VideoFrame] = []
    for data in packets:
        # Packet(data) would point into the bytes object, and the decoder reads past its end.
        packet = av.Packet(len(data))
        packet.update(data)
        frames = decoder.decode(packet) or frames
    frames = decoder.decode(None) or frames
    return np.ascontiguousarray(_to_rgb(frames[-1])[:height, :width])


def _codecs(width: int, height: int) -> tuple[str, str]:
    """Return FFmpeg's names of encoder and decoder for pictures of this size."""
    if width <= _H263P_WIDTH_MAX and height <= _H263P_HEIGHT_MAX:
        return "h263p", "h263"
    return "mpeg4", "mpeg4"


def _padded(side: int) -> int:
    return -(-side // _BLOCK) * _BLOCK


def _to_yuv(picture: Picture) -> av.VideoFrame:
    """Convert a picture to yuv420p, BT.601, limited range; pad its right and lower border."""
    height, width, _ = picture.shape
    if width % _BLOCK or height % _BLOCK:
        margins = (0, _padded(height) - height), (0, _padded(width) - width), (0, 0)
        picture = np.pad(picture, margins, mode="edge")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(
        format="yuv420p",
        dst_colorspace="ITU601",
        dst_color_range="MPEG",
        interpolation=_AVERAGE,
        threads=1,
    )


def _to_rgb(frame: av.VideoFrame) -> Picture:
    """Convert a frame of `_to_yuv` back to a picture, with the padding."""
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace="ITU601",
        src_color_range="MPEG",
        interpolation=_REPEAT,
        threads=1,
    )
    return rgb.to_ndarray().astype(np.uint8, copy=False)
