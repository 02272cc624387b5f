"""Read the properties of a film: its size, rate, colours and tracks.

This uses PyAV, since the wheel with FFmpeg has no ffprobe.
"""

from __future__ import annotations

import itertools
import logging
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from stable_restyle.core.errors import UnusableInput
from stable_restyle.media import animated_webp
from stable_restyle.media.ffmpeg import FILES_ONLY, file_url
from stable_restyle.media.interlacing import InterlaceDetector

log = logging.getLogger(__name__)
_Times: TypeAlias = list[tuple[int | None, int | None]]

_LISTS = frozenset({"concat", "dash", "hls", "imf", "rtsp", "sdp", "webm_dash_manifest"})

# ITU-T H.273, tables 3 and 4. Code points of YUV matrices, with swscale's names for them, and
# of the transfer functions that are HDR: PQ and HLG.
_MATRICES = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    9: "bt2020",
    10: "bt2020",
}
_HDR_TRANSFERS = {16, 18}
_BT709 = 1
_MILLISECOND = Fraction(1, 1000)

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_TEXT_SUBTITLES = 1 << 17  # AV_CODEC_PROP_TEXT_SUB; PyAV's own Properties are no numbers
_CLOCK_MAY_JUMP = 1 << 9  # AVFMT_TS_DISCONT; likewise

# What a film of variable rate gets, and what coarse time stamps are rounded to.
_USUAL_RATES = sorted(
    [Fraction(n) for n in (1, 2, 5, 8, 10, 12.5, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)]
    + [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)]
)


@dataclass(frozen=True)
class Track:
    """A sound or subtitle track of a film."""

    stream: int  # its index in the file, from 0
    codec: str  # FFmpeg's name for the format; empty if it cannot be read
    text: bool = False  # subtitles that are text, not pictures
    skipped_s: Fraction = Fraction(0)  # of Opus: what a player discards at its beginning


@dataclass(frozen=True)
class SeekIndex:
    """Where the decoding of a film can begin. Times are in its own clock, in ticks."""

    tick: Fraction  # seconds
    begin: int  # when the first frame is shown
    keys: tuple[int, ...]  # when frames are shown that depend on no others, in order


@dataclass(frozen=True)
class Film:
    """What a film consists of, as splitting it and joining its slides need it."""

    path: Path
    stream: int  # index of the picture in the file, from 0
    stored: tuple[int, int]  # width and height of a frame in the file
    width: int  # of a frame: upright, with square pixels
    height: int
    rate: Fraction  # frames a second, constant
    steady: bool  # whether the film's own frames have that rate
    frames: int  # an estimate: a damaged film gives fewer
    start_s: Fraction  # from the start of the film to its first frame
    first_s: Fraction | None  # time stamp of that frame; None if the film's clock may jump
    matrix: str | None  # swscale's name for the YUV matrix; None for RGB
    primaries: int  # as ITU-T H.273 numbers them
    transfer: int  # as well
    alpha: bool
    decoder: str | None  # None: the one that FFmpeg chooses
    deinterlacing: Mapping[str, str] | None  # options of bwdif; None for a progressive film
    sound: tuple[Track, ...]
    subtitles: tuple[Track, ...]
    covers: tuple[Track, ...]
    timecode: str | None  # of the first frame, such as 01:00:00:12; after ; it drops frame numbers
    index: SeekIndex | None = None  # None if its time stamps do not say which frame is where
    # Of an animated WebP: the frame from which on each picture is shown, and the number of frames.
    webp_places: tuple[int, ...] = ()

    @property
    def hdr(self) -> bool:
        return self.transfer in _HDR_TRANSFERS


def probe_film(path: Path) -> Film:
    """Return what a film consists of, by its header, its time stamps and a few of its frames.

    Reads the whole file. Raises UnusableInput saying why it cannot be split.
    """
    try:
        if animated_webp.is_animated(path):
            return _webp(path)
        with av.open(file_url(path), metadata_errors="replace", options=FILES_ONLY) as container:
            return _film(path, container)
    except FileNotFoundError as error:
        raise UnusableInput(f"{path} does not exist.") from error
    except PermissionError as error:
        raise UnusableInput(f"{path} cannot be read: permission denied.") from error
    except (av.FFmpegError, OSError) as error:
        raise UnusableInput(
            f"{path} is not a film, or too damaged to be read as one ({_reason(error)})."
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _film(path: Path, container: InputContainer) -> Film:
    stream = _picture_stream(path, container)
    times, keys, detector = _scan(container, stream)
    first, tick = detector.first, stream.time_base
    if first is None or tick is None:
        raise UnusableInput(f"{path} is damaged: not one frame of it can be decoded.")
    rates = (stream.guessed_rate, stream.average_rate, stream.base_rate)
    stated = [rate for rate in rates if rate is not None and rate > 0]
    stamps = _stamps(times, round(1 / (tick * stated[0])) if stated else 1)
    if first.pts is not None:  # what precedes it cannot be decoded: the beginning was cut off
        stamps = [stamp for stamp in stamps if stamp >= first.pts] or [first.pts]
    rate, steady = _rate(stamps, tick, stated)
    begin_s = Fraction(container.start_time or 0, av.time_base)
    first_s = stamps[0] * tick
    jumps = container.format.flags & _CLOCK_MAY_JUMP
    width, height = _upright(first, stream.sample_aspect_ratio)
    decoder = _alpha_decoder(stream)
    return Film(
        path=path,
        stream=stream.index,
        stored=(first.width, first.height),
        width=width,
        height=height,
        rate=rate,
        steady=steady,
        frames=round((stamps[-1] - stamps[0]) * tick * rate) + 1,
        start_s=max(first_s - begin_s, Fraction(0)),
        first_s=None if jumps else first_s,
        matrix=None if first.format.is_rgb else _matrix(first),
        primaries=int(first.color_primaries),
        transfer=int(first.color_trc),
        alpha=_has_alpha(first) or decoder is not None,
        decoder=decoder,
        deinterlacing=detector.bwdif_options(),
        sound=tuple(_track(track) for track in container.streams.audio),
        subtitles=tuple(_track(track) for track in container.streams.subtitles),
        covers=tuple(_track(track) for track in container.streams.video if _is_cover(track)),
        timecode=_timecode(container),
        index=_index(times, keys, stamps[0], tick),
    )


def _webp(path: Path) -> Film:
    """Return what an animated WebP consists of: pictures alone. Decodes it."""
    (width, height), times = animated_webp.read_times(path)
    rate, steady = _rate(times[:-1], _MILLISECOND, [])
    places = [i if steady else round(at * _MILLISECOND * rate) for i, at in enumerate(times)]
    places[-1] = max(places[-1], places[-2] + 1)
    return Film(
        path=path,
        stream=0,
        stored=(width, height),
        width=width,
        height=height,
        rate=rate,
        steady=steady,
        frames=places[-1],
        start_s=Fraction(0),
        first_s=None,
        matrix=None,
        primaries=_BT709,
        transfer=_BT709,
        alpha=True,
        decoder=None,
        deinterlacing=None,
        sound=(),
        subtitles=(),
        covers=(),
        timecode=None,
        webp_places=tuple(places),
    )


def _picture_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """Return the main video stream: the one that the file prefers, otherwise FFmpeg."""
    kind = container.format.name
    if kind == "image2" or kind.endswith("_pipe"):
        raise UnusableInput(
            f"{path} is a picture, not a film.\n"
            "Name its folder, which is to hold numbered frames, as SOURCE."
        )
    if _LISTS & set(kind.split(",")):
        raise UnusableInput(
            f"{path} is a list of films ({kind}), not a film.\n"
            "If you trust it, join the films in it to one first, with `ffmpeg`."
        )
    if kind == "tty":
        raise UnusableInput(f"{path} is a text file, not a film.")
    moving = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not moving:
        cover = ", only a cover" if container.streams.video else ""
        raise UnusableInput(f"{path} has no video{cover}: there is nothing to restyle in it.")
    best = container.streams.best("video")
    return best if best in moving else moving[0]


def _scan(
    container: InputContainer, stream: av.VideoStream
) -> tuple[_Times, list[int], InterlaceDetector]:
    """Return the pts and dts of all packets, the pts of those with which decoding can begin, and
    what a few of the frames show of interlacing.
    """
    times: _Times = []
    keys: list[int] = []
    detector = InterlaceDetector(stream, container.size)
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                times.append((packet.pts, packet.dts))
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
            detector.feed(packet)
    except av.FFmpegError as error:  # splitting will report what is missing
        log.debug("Stopped reading: %s", error)
    return times, keys, detector


def _index(times: _Times, keys: list[int], begin: int, tick: Fraction) -> SeekIndex | None:
    """Return where decoding can begin; None if a frame has no time, or if the clock jumps back."""
    order = [dts for _, dts in times if dts is not None]
    if any(pts is None for pts, _ in times) or any(b < a for a, b in itertools.pairwise(order)):
        return None
    return SeekIndex(tick, begin, tuple(sorted(keys)))


def _stamps(times: _Times, step: int) -> list[int]:
    """Return when each frame is shown, in ticks, in increasing order.

    step: ticks between frames, for files without time stamps and for those whose clock restarts in
    the middle, as on DVDs and recorders. Frames before the first with a time stamp (Matroska has
    none below 0) immediately precede it.
    """
    stamps: list[int] = []
    unknown = 0
    latest, shift = None, 0
    for pts, dts in times:
        if latest is not None and dts is not None and dts < latest:
            shift += latest + step - dts
        latest = latest if dts is None else dts
        shown = dts if pts is None else pts
        if shown is not None:
            stamps.append(shown + shift)
        elif latest is None:
            unknown += 1
        else:
            stamps.append(stamps[-1] + step)
    first = min(stamps, default=unknown * step)
    return sorted([*range(first - unknown * step, first, step), *stamps])


def _rate(stamps: list[int], tick: Fraction, stated: list[Fraction]) -> tuple[Fraction, bool]:
    """Return the frames a second for frames shown at these times, and whether that is constant.

    stamps: increasing, in ticks. tick: in seconds. stated: the rates in the file, which are often
    averages, or the tick itself. A rate that explains all stamps is the film's own. A film without
    one has a variable rate: it gets the usual rate that keeps up with it.
    """
    if len(stamps) < 2:
        only = stated[0] if stated else Fraction(25)
        return _usual_near(only) or min(only, _USUAL_RATES[-1]), True
    measured = Fraction(len(stamps) - 1, max(stamps[-1] - stamps[0], 1)) / tick
    likely = [rate for each in stated for rate in (_usual_near(each), each)] + _USUAL_RATES
    for rate in (*likely, measured.limit_denominator(1), measured.limit_denominator(1001)):
        if rate and _explains(rate, stamps, tick):
            return rate, True
    return _usual_rate(stamps, tick), False


def _explains(rate: Fraction, stamps: list[int], tick: Fraction) -> bool:
    """Return whether frame k is shown at k / rate, within the tick that its time is rounded to."""
    step = tick * rate  # frames in a tick
    a, b = step.numerator, step.denominator  # integers: Fractions would take seconds
    if a > b:  # ticks longer than a frame would explain any order
        return False
    begin = stamps[0]
    return all(abs((stamp - begin) * a - k * b) <= a for k, stamp in enumerate(stamps))


def _usual_rate(stamps: list[int], tick: Fraction) -> Fraction:
    """Return the lowest usual rate that drops no frame at the usual pace of the film.

    Pauses and jitter do not count, but the alternating steps of telecined film (2 and 3 fields) are
    averaged: hence the mean of the steps around the median.
    """
    steps = [after - before for before, after in itertools.pairwise(stamps) if after > before]
    if not steps:
        return Fraction(25)
    middle = statistics.median(steps)
    own = [step for step in steps if 0.5 * middle <= step <= 1.6 * middle]
    rate = len(own) / (sum(own) * tick)
    faster = next((usual for usual in _USUAL_RATES if usual > rate), _USUAL_RATES[-1])
    return _usual_near(rate) or faster


def _usual_near(rate: Fraction) -> Fraction | None:
    """Return the usual rate within 2 % of a measured one, if there is any."""
    nearest = min(_USUAL_RATES, key=lambda usual: abs(usual / rate - 1))
    return nearest if abs(nearest / rate - 1) < 0.02 else None


def _upright(first: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Return width and height with square pixels and with the camera's rotation undone.

    aspect: width of a pixel by its height. The frame is stretched where pixels are short, so that
    no detail is lost, to an even number of pixels, which need no padding when encoded.
    """
    width, height = first.width, first.height
    if aspect and aspect > 1:
        width = 2 * round(width * aspect / 2)
    elif aspect and 0 < aspect < 1:
        height = 2 * round(height / aspect / 2)
    return (height, width) if first.rotation % 180 == 90 else (width, height)


def _matrix(first: av.VideoFrame) -> str:
    """Return the YUV matrix that a frame is tagged with, otherwise the usual one for its size.

    By the rule of mpv and libplacebo (pl_color_system_guess_ycbcr), it is BT.601 up to 576 lines
    (standard definition) and BT.709 from 1280x720 on.
    """
    large = first.width >= 1280 or first.height > 576
    return _MATRICES.get(int(first.colorspace), "bt709" if large else "bt601")


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _timecode(container: InputContainer) -> str | None:
    """Return the time code of the first frame, from the tags of the film or of a track."""
    for tags in (container.metadata, *(stream.metadata for stream in container.streams)):
        for name, value in tags.items():
            if name.lower() == "timecode":
                return value
    return None


def _has_alpha(frame: av.VideoFrame) -> bool:
    return frame.format.has_palette or any(each.is_alpha for each in frame.format.components)


def _alpha_decoder(stream: av.VideoStream) -> str | None:
    """Return the decoder for an alpha channel that FFmpeg's own decoder ignores, if any."""
    tags = {name.lower(): value for name, value in stream.metadata.items()}
    if tags.get("alpha_mode") != "1":
        return None
    return _ALPHA_DECODERS.get(stream.codec_context.codec.canonical_name)


def _track(stream: av.AudioStream | av.VideoStream | SubtitleStream) -> Track:
    context = stream.codec_context
    if context is None or (isinstance(context, av.AudioCodecContext) and not context.sample_rate):
        return Track(stream.index, "")
    text = bool(context.codec.properties & _TEXT_SUBTITLES)
    codec = context.codec.canonical_name
    return Track(stream.index, codec, text, _skipped_s(codec, context.extradata or b""))


def _skipped_s(codec: str, header: bytes) -> Fraction:
    """Return the pre-skip of an Opus header (RFC 7845, section 5.1), 0 for other formats."""
    skipped = int.from_bytes(header[10:12], "little") if codec == "opus" else 0
    return Fraction(skipped, 48000)
