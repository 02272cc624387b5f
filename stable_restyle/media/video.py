"""Probe, split, join: every FFmpeg command line.

PyAV reads what a film says of itself (the wheel that carries FFmpeg has no ffprobe); the program
`ffmpeg` does the work, at least version 5.1, tried with 5.1, 7.0 and 9.0. Which frames make a
scene, where frames and slides are kept and what the user is asked are left to others.

FFmpeg takes many names for something else: a pattern (`%03d`), a protocol (`concat:`), an option
(`-x`). So a film goes by its absolute path behind `file:`, and a folder of pictures is the folder
that FFmpeg is started in: its path never reaches FFmpeg.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import logging
import math
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

import av
import ffmpeg
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from stable_restyle.core import files, shell
from stable_restyle.core.errors import (
    ProgramFailed,
    RestyleError,
    UnusableInput,
    WrongUsage,
    cannot_write,
    counted,
    from_system,
)
from stable_restyle.core.records import Pixels
from stable_restyle.media import images, primaries
from stable_restyle.media.fields import Fields

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Times: TypeAlias = list[tuple[int | None, int | None]]

_NEEDS = frozenset({"scdet", "libx264", "png", "-fps_mode"})
_HDR_NEEDS = ("zscale", "tonemap")
_SINCE_6 = "-stats_mux_pre"  # an option that FFmpeg 5.1 does not have

_PICTURES = "%06d.png"  # what images.name gives, as FFmpeg spells it
# A film may name other places to be read from: none of them is read over a network.
_FILES_ONLY = {"protocol_whitelist": "file"}
_LISTS = frozenset({"concat", "dash", "hls", "imf", "rtsp", "sdp", "webm_dash_manifest"})
# Stand-ins for names in a command line: ffmpeg-python chokes on those that are not Unicode.
_FILM, _TARGET = "<film>", "<target>"

# Level 1 with the Up filter, measured on four clips of 192x144 to 1280x720: 1.2 to 1.8 bytes a
# pixel, 2.3 with strong grain. To split the ten-second clip takes 3.5 s of CPU; what FFmpeg would
# choose takes 14 s in version 9 (level 6, Paeth; 0.8 of the bytes), 5.4 s in version 7 (level 6,
# no filter; 1.2 of the bytes).
_FAST_PNG = {"compression_level": 1, "pred": "up"}
_BYTES_PER_PIXEL = 2.0

# What makes swscale exact: without them plain colours come out 3 to 4 levels off,
# with them at most 1.
_EXACT_TO_RGB = "bicubic+accurate_rnd+full_chroma_int"
_EXACT_TO_YUV = "bicubic+accurate_rnd+full_chroma_inp"

# ITU-T H.273, tables 3 and 4. Code points of YUV matrices, with the names that swscale has for
# them, and of the transfer functions that are HDR: PQ and HLG.
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

# From a signal v, 0..1, to the light of a screen and back: sRGB, and for all others BT.1886.
_SRGB = 13
_SRGB_CURVE = (
    "if(lt({v},0.04045),{v}/12.92,pow(({v}+0.055)/1.055,2.4))",
    "if(lt({v},0.0031308),12.92*{v},1.055*pow({v},1/2.4)-0.055)",
)
_SCREEN_CURVE = ("pow({v},2.4)", "pow({v},1/2.4)")

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}

_PARTS = 1000  # of the time of a frame, where several may be shown in it
_LIBOPUS_SKIPPED_S = Fraction(312, 48000)

# Nominal rates of SMPTE ST 12-1, and the form of a time code: FFmpeg refuses a film with another.
_TIMECODE_RATES = {24, 25, 30, 48, 50, 60}
_TIMECODE = re.compile(r"(?P<time>\d\d:\d\d:\d\d)(?P<mark>[:;.])(?P<frame>\d\d)")

_TEXT_SUBTITLES = 1 << 17  # AV_CODEC_PROP_TEXT_SUB; PyAV's own Properties are no numbers
_CLOCK_MAY_JUMP = 1 << 9  # AVFMT_TS_DISCONT; likewise

# What a film without a constant rate is given, and what coarse time stamps are read as.
_USUAL_RATES = sorted(
    [Fraction(n) for n in (1, 2, 5, 8, 10, 12.5, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)]
    + [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)]
)


@dataclass(frozen=True)
class Track:
    """A sound or subtitle track of a film."""

    stream: int  # its place in the file, from 0
    codec: str  # FFmpeg's name for the format; empty: one that cannot be read
    text: bool = False  # subtitles that are text, not pictures
    skipped_s: Fraction = Fraction(0)  # of Opus: what a player discards of its beginning


@dataclass(frozen=True)
class Film:
    """What splitting a film gives, and what joining its slides takes over from it."""

    path: Path
    stream: int  # the picture's place in the file, from 0
    stored: tuple[int, int]  # width and height of a frame as the file has it
    width: int  # of a frame: upright, with square pixels
    height: int
    rate: Fraction  # frames a second, constant
    steady: bool  # whether the film's own frames come at that rate
    frames: int  # an estimate: a damaged film gives fewer
    start_s: Fraction  # how much later than the film its first frame is shown
    first_s: Fraction | None  # the same by the film's own clock; None if that may jump midway
    matrix: str | None  # swscale's name for the YUV matrix; None for RGB
    primaries: int  # as ITU-T H.273 numbers them
    transfer: int  # likewise
    alpha: bool
    decoder: str | None  # None: FFmpeg's choice
    deinterlacing: Mapping[str, str] | None  # options of bwdif; None for a progressive film
    sound: tuple[Track, ...]
    subtitles: tuple[Track, ...]
    covers: tuple[Track, ...]
    timecode: str | None  # of the first frame, such as 01:00:00:12; after ; it drops frame numbers

    @property
    def hdr(self) -> bool:
        return self.transfer in _HDR_TRANSFERS

    @property
    def duration_s(self) -> float:
        return float(self.frames / self.rate)


@dataclass(frozen=True)
class Container:
    """How a kind of film file is written, and which tracks it takes as they are."""

    muxer: str
    options: Mapping[str, object]  # FFmpeg's, for the picture and the file
    sound: frozenset[str]
    sound_encoder: str  # for sound that it does not take
    subtitles: frozenset[str]
    text_encoder: str  # for text subtitles that it does not take
    covers: frozenset[str] = frozenset()
    attaches: bool = False  # one cover of any kind, as a file
    needs: tuple[str, ...] = ()  # of FFmpeg, beyond those of every run


_H264 = {"c:v": "libx264", "crf": 16}
# On Big Buck Bunny and on street traffic, the SSIM that x264 reaches at 16 lies between those of
# 12 and 16 here. FFmpeg takes a CRF for a bound on the bit rate unless that is 0.
_VP9 = {"c:v": "libvpx-vp9", "crf": 14, "b:v": 0, "cpu-used": 4, "row-mt": 1}
# `strict`: FFmpeg before 6 calls FLAC in MP4 experimental. `write_tmcd`: see `_timecode_options`.
_QUICKTIME = {"movflags": "+faststart", "write_tmcd": 0, "strict": "experimental"}

# The sound and subtitle formats that each muxer was seen to take, FFmpeg 5.1 to 9.0. PyAV's
# `supported_codecs` names more: for .mov some that its muxer then refuses, such as FLAC.
_SOUND = frozenset({"aac", "ac3", "alac", "dts", "eac3", "mp2", "mp3"})
_PCM = frozenset({"pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_f32le"})
_COVERS = frozenset({"mjpeg", "png"})
_PICTURE_SUBTITLES = frozenset({"dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle"})
CONTAINERS = {
    ".mp4": Container(
        muxer="mp4",
        options={**_H264, **_QUICKTIME},
        sound=_SOUND | {"flac", "opus"},
        sound_encoder="aac",
        subtitles=frozenset({"mov_text"}),
        text_encoder="mov_text",
        covers=_COVERS,
    ),
    ".mov": Container(
        muxer="mov",
        options={**_H264, **_QUICKTIME},
        sound=_SOUND | _PCM,
        sound_encoder="aac",
        subtitles=frozenset({"mov_text"}),
        text_encoder="mov_text",
    ),
    ".mkv": Container(
        muxer="matroska",
        options=_H264,
        sound=_SOUND | _PCM | {"flac", "mlp", "opus", "truehd", "tta", "vorbis", "wavpack"},
        sound_encoder="aac",
        subtitles=_PICTURE_SUBTITLES | {"ass", "subrip", "webvtt"},
        text_encoder="srt",
        attaches=True,
    ),
    ".webm": Container(
        muxer="webm",
        options=_VP9,
        sound=frozenset({"opus", "vorbis"}),
        sound_encoder="libopus",
        subtitles=frozenset({"webvtt"}),
        text_encoder="webvtt",
        needs=("libvpx-vp9", "libopus"),
    ),
}


def find_ffmpeg(*extra: str, task: str = "Reading and writing films") -> str:
    """The FFmpeg on PATH if it has what we need, else the one that imageio-ffmpeg carries.

    extra: filters and encoders needed beyond those of every run. task: what for, as a message
    begins. RestyleError names what each of the two lacks.
    """
    needs = _NEEDS.union(extra)
    shortcomings = []
    for program in _programs():
        missing = needs - _abilities(program)
        if not missing:
            return program
        shortcomings.append(f"  {program} lacks {', '.join(sorted(missing))}\n")
    raise RestyleError(
        f"{task} needs an FFmpeg with {', '.join(sorted(needs))}; there is none.\n"
        f"{''.join(shortcomings)}"
        "Install a full build of FFmpeg (https://ffmpeg.org/download.html) or the newest "
        "imageio-ffmpeg from the Python package index."
    )


def _programs() -> Iterator[str]:
    if on_path := shell.find("ffmpeg"):
        yield os.path.abspath(on_path)  # it is started in another folder
    if shell.IS_WINDOWS:  # where the package carries none, it looks for one as the system does
        os.environ.setdefault("NODEFAULTCURRENTDIRECTORYINEXEPATH", "1")
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # some platforms have no wheel that carries one
        return


@functools.cache
def _abilities(program: str) -> frozenset[str]:
    """The names of an FFmpeg's filters, encoders and options; none if it does not even start."""
    listed: set[str] = set()
    for what in (["-filters"], ["-encoders"], ["-h", "long"]):
        try:
            answer = subprocess.run(
                [program, "-hide_banner", *what], stdin=subprocess.DEVNULL, capture_output=True
            )
        except OSError as error:
            if told := from_system(error):
                raise told from error
            return frozenset()
        # " T. scdet  V->V  ...", " V....D png  ...", "-fps_mode[:<stream_spec>]  set ..."
        for line in answer.stdout.decode(errors="replace").splitlines():
            listed.update(word.partition("[")[0] for word in line.split()[:2])
    return frozenset(listed)


def probe(path: Path) -> Film:
    """Read what a film is, from its header, its time stamps and a few of its frames.

    Reads the whole file. UnusableInput says why there is nothing to split.
    """
    try:
        with av.open(_url(path), metadata_errors="replace", options=_FILES_ONLY) as container:
            return _film(path, container)
    except FileNotFoundError as error:
        raise UnusableInput(f"{path} does not exist.") from error
    except PermissionError as error:
        raise UnusableInput(f"{path} may not be read: permission denied.") from error
    except (av.FFmpegError, OSError) as error:
        raise UnusableInput(
            f"{path} is not a film, or too damaged to be read as one ({_reason(error)})."
        ) from error


def _url(path: Path) -> str:
    return f"file:{os.path.abspath(path)}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _film(path: Path, container: InputContainer) -> Film:
    stream = _picture_stream(path, container)
    times, fields = _scan(container, stream)
    first, tick = fields.first, stream.time_base
    if first is None or tick is None:
        raise UnusableInput(f"{path} is damaged: not one frame of it can be decoded.")
    said = (stream.guessed_rate, stream.average_rate, stream.base_rate)
    stated = [rate for rate in said if rate is not None and rate > 0]
    stamps = _stamps(times, round(1 / (tick * stated[0])) if stated else 1)
    if first.pts is not None:  # what comes before cannot be decoded: its beginning was cut off
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
        deinterlacing=fields.deinterlacing(),
        sound=tuple(_track(track) for track in container.streams.audio),
        subtitles=tuple(_track(track) for track in container.streams.subtitles),
        covers=tuple(_track(track) for track in container.streams.video if _is_cover(track)),
        timecode=_timecode(container),
    )


def _picture_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """The moving picture of a film: the one that its maker, else FFmpeg, holds for the main one."""
    kind = container.format.name
    if kind == "webp_pipe" and _is_animated_webp(path):
        raise UnusableInput(
            f"{path} is an animated WebP, which cannot be read.\n"
            "Make a GIF of it first, with ImageMagick: "
            f"{shell.join(['magick', str(path), '-coalesce', 'film.gif'])}"
        )
    if kind == "image2" or kind.endswith("_pipe"):
        raise UnusableInput(f"{path} is a picture, not a film.")
    if _LISTS & set(kind.split(",")):
        raise UnusableInput(
            f"{path} is no film but a list of films ({kind}).\n"
            "Join what it lists to one film first, with `ffmpeg`, if you trust it."
        )
    if kind == "tty":
        raise UnusableInput(f"{path} is a text, not a film.")
    moving = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not moving:
        still = " but a cover" if container.streams.video else ""
        raise UnusableInput(f"{path} holds no picture{still}: there is nothing to restyle in it.")
    best = container.streams.best("video")
    return best if best in moving else moving[0]


def _is_animated_webp(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(21)
    return header[12:16] == b"VP8X" and bool(header[20] & 2)


def _scan(container: InputContainer, stream: av.VideoStream) -> tuple[_Times, Fields]:
    """The pts and dts of all packets, and what a few of the frames show."""
    times: _Times = []
    fields = Fields(stream, container.size)
    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                times.append((packet.pts, packet.dts))
            fields.look(packet)
    except av.FFmpegError as error:  # the rest is damaged; splitting will say how much came
        log.debug("stopped reading: %s", error)
    return times, fields


def _stamps(times: _Times, step: int) -> list[int]:
    """When each frame is shown, in ticks, in that order.

    step: ticks between frames, for files that do not say when theirs are shown, or that begin to
    count anew in the middle, as those of DVDs and recorders do. Frames before the first that has a
    time (Matroska gives none below 0) are shown in a row up to it.
    """
    stamps: list[int] = []
    unknown = 0
    latest, shift = None, 0
    for pts, dts in times:
        if latest is not None and dts is not None and dts < latest:
            shift += latest + step - dts
        latest = latest if dts is None else dts
        said = dts if pts is None else pts
        if said is not None:
            stamps.append(said + shift)
        elif latest is None:
            unknown += 1
        else:
            stamps.append(stamps[-1] + step)
    first = min(stamps, default=unknown * step)
    return sorted([*range(first - unknown * step, first, step), *stamps])


def _rate(stamps: list[int], tick: Fraction, stated: list[Fraction]) -> tuple[Fraction, bool]:
    """Frames a second for frames shown at these times, and whether they come steadily.

    stamps: increasing, in ticks of a second. stated: what the file says; often it is an average,
    or the tick itself. A rate that explains all stamps is the film's own; if there is none, the
    film has no steady pace, and is given the usual rate that keeps up with it.
    """
    if len(stamps) < 2:
        only = stated[0] if stated else Fraction(25)
        return _usual_near(only) or min(only, _USUAL_RATES[-1]), True
    measured = Fraction(len(stamps) - 1, max(stamps[-1] - stamps[0], 1)) / tick
    likely = [rate for said in stated for rate in (_usual_near(said), said)] + _USUAL_RATES
    for rate in (*likely, measured.limit_denominator(1), measured.limit_denominator(1001)):
        if rate and _explains(rate, stamps, tick):
            return rate, True
    return _usual_rate(stamps, tick), False


def _explains(rate: Fraction, stamps: list[int], tick: Fraction) -> bool:
    """Whether frame k is shown at k / rate, give or take the tick that its time is rounded to."""
    step = tick * rate  # frames in a tick
    a, b = step.numerator, step.denominator  # whole numbers: Fractions would take seconds
    if a > b:  # ticks longer than a frame would explain any order
        return False
    begin = stamps[0]
    return all(abs((stamp - begin) * a - k * b) <= a for k, stamp in enumerate(stamps))


def _usual_rate(stamps: list[int], tick: Fraction) -> Fraction:
    """The lowest usual rate that drops no frame where the film goes at its own pace.

    Pauses and stumbles count for nothing, but the alternating steps of telecined film (2 and 3
    fields) are averaged: hence the mean of the steps around the median.
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
    """The usual rate that another one is taken to mean, measured over few frames as it was."""
    nearest = min(_USUAL_RATES, key=lambda usual: abs(usual / rate - 1))
    return nearest if abs(nearest / rate - 1) < 0.02 else None


def _upright(first: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height once the pixels are square and the camera's rotation is undone.

    aspect: width of a pixel by its height. The shorter side of the pixel is stretched, so that
    nothing is thrown away, to an even number, which the encoder then need not pad.
    """
    width, height = first.width, first.height
    if aspect and aspect > 1:
        width = 2 * round(width * aspect / 2)
    elif aspect and 0 < aspect < 1:
        height = 2 * round(height / aspect / 2)
    return (height, width) if first.rotation % 180 == 90 else (width, height)


def _matrix(first: av.VideoFrame) -> str:
    """The YUV matrix that a frame is tagged with, else the one that its size lets expect.

    The rule of mpv and libplacebo (pl_color_system_guess_ycbcr): BT.601 is for standard
    definition, of 576 lines at most; all from 1280x720 on is BT.709.
    """
    large = first.width >= 1280 or first.height > 576
    return _MATRICES.get(int(first.colorspace), "bt709" if large else "bt601")


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _timecode(container: InputContainer) -> str | None:
    """Return the time code of the first frame: of the film, or of the track that has it."""
    for tags in (container.metadata, *(stream.metadata for stream in container.streams)):
        for name, value in tags.items():
            if name.lower() == "timecode":
                return value
    return None


def _has_alpha(frame: av.VideoFrame) -> bool:
    return frame.format.has_palette or any(each.is_alpha for each in frame.format.components)


def _alpha_decoder(stream: av.VideoStream) -> str | None:
    """Return the decoder of a picture with alpha that FFmpeg's own decoder would ignore."""
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


def disk_needed(film: Film, frames_per_slide: int) -> int:
    """About how many bytes the frames and the slides of a film take. fps: frames per slide."""
    pictures = film.frames + math.ceil(film.frames / frames_per_slide)
    return round(pictures * film.width * film.height * _BYTES_PER_PIXEL)


def check_disk(film: Film, folder: Path, frames_per_slide: int) -> None:
    """UnusableInput if the disk of the folder, which need not exist yet, is too full."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    needed, free = disk_needed(film, frames_per_slide), shutil.disk_usage(there).free
    if free < needed:
        raise UnusableInput(
            f"The frames and slides of {film.path.name} need about {needed / 1e9:.1f} GB in "
            f"{folder}, where {free / 1e9:.1f} GB are free. "
            "Free some, or name a folder on another disk with --work."
        )


def split(film: Film, folder: Path, threshold: float, on_frame: Callable[[int], None]) -> list[int]:
    """Write the frames as 8-bit RGB PNGs, 000001.png and on, and find the cuts, in one decode.

    folder: exists and is empty. threshold: scdet's, 0..100. on_frame: told how many more are done,
    twice a second. Returns the first frame of each new scene, counted from 0.

    Frames are upright, progressive, of square pixels and a constant rate: a film that pauses holds
    its frame. Their primaries are those of BT.709, HDR becomes SDR, and what is transparent black.
    A damaged film gives the frames that can be decoded, and a warning.
    """
    frames = _watched(_frames(film), threshold).output(_PICTURES, format="image2", **_FAST_PNG)
    return _read(film, frames, on_frame, folder)[1]


def detect_film_cuts(
    film: Film, threshold: float, on_frame: Callable[[int], None]
) -> tuple[int, list[int]]:
    """As `split`, but nothing is written: how many frames there are, and the cuts."""
    return _read(film, _watched(_frames(film), threshold).output("-", format="null"), on_frame)


def detect_cuts(
    frames: Iterable[Pixels], threshold: float, on_frame: Callable[[int], None]
) -> list[int]:
    """Find the cuts between frames that are pictures already, as `split` does.

    frames: (H, W, 3) RGB 0..255, all of one size. on_frame: told of each. Returns the first frame
    of each new scene, counted from 0.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        return []
    height, width, _ = first.shape
    stream = ffmpeg.input(
        "pipe:", format="rawvideo", pixel_format="rgb24", video_size=(width, height), framerate=1
    )
    command = _command(_watched(stream, threshold).output("-", format="null"), find_ffmpeg())

    def feed(child: subprocess.Popen[bytes]) -> None:
        assert child.stdin is not None
        for frame in itertools.chain([first], rest):
            if not _fed(child.stdin, frame):
                return
            on_frame(1)
        child.stdin.close()

    # The cuts go to a file: FFmpeg would stop to wait for us to read a full pipe while we wait for
    # it to read the next frame.
    with tempfile.TemporaryFile() as output:
        _run("Looking for cuts", command, feed, stdin=subprocess.PIPE, stdout=output)
        output.seek(0)
        return _follow(output, lambda _: None)[1]


def _fed(pipe: IO[bytes], frame: Pixels) -> bool:
    """Write a frame to an unbuffered pipe; False if FFmpeg is gone, and its last words tell why."""
    left = np.ascontiguousarray(frame).data.cast("B")
    try:
        while left:
            left = left[pipe.write(left) :]  # a signal can cut a write short
    except OSError:  # a broken pipe; Windows says "invalid argument"
        return False
    return True


def _watched(stream: Any, threshold: float) -> Any:
    """Have FFmpeg print a line on its standard output for each frame that starts a scene."""
    return stream.filter("scdet", threshold=threshold).filter(
        "metadata", mode="print", key="lavfi.scd.time", file="-", direct=1
    )


def _frames(film: Film) -> Any:
    """The frames of a film as 8-bit RGB.

    The filters in front are rebuilt for nothing, not even where the film changes size midway
    (`reinit_filter`): they would count from the start again.
    """
    decoder = {"c:v": film.decoder} if film.decoder else {}
    stream = ffmpeg.input(_FILM, reinit_filter=0, **decoder, **_FILES_ONLY)[str(film.stream)]
    if film.deinterlacing:
        stream = _progressive(stream, film.stored, film.deinterlacing)
    # From 0, so that times rounded to the container's ticks never lie between two frames.
    stream = stream.filter("setpts", "PTS-STARTPTS")
    stream = stream.filter("settb", 1 / film.rate)
    if not film.steady:
        stream = stream.filter("settb", 1 / film.rate / _PARTS)
    # Whatever the file says of how long they last, the last one included, all are shown: one after
    # the other where the film is steady, else of those in the time of one frame the last.
    stream = stream.filter("setpts", "max(PREV_OUTPTS+1,PTS)")
    stream = stream.filter("fps", film.rate, eof_action="pass")
    if film.hdr:
        stream = _to_sdr(stream)
    matrix = {"in_color_matrix": film.matrix} if film.matrix and not film.hdr else {}
    stream = stream.filter(
        "scale", film.width, film.height, flags=_EXACT_TO_RGB, out_range="pc", **matrix
    )
    to_bt709 = None if film.hdr else primaries.to_bt709(film.primaries)
    if to_bt709 is not None:
        stream = _mixed(stream, to_bt709, film)
    if film.alpha:
        stream = _over_black(stream)
    # Without tags: viewers would show frames and slides, which have none, in different colours.
    untagged = {"color_primaries": "unknown", "color_trc": "unknown"}
    return stream.filter("format", "rgb24").filter("setsar", 1).filter("setparams", **untagged)


def _progressive(stream: Any, size: tuple[int, int], options: Mapping[str, str]) -> Any:
    """Make a progressive frame of each interlaced one.

    bwdif reads beyond frames that are smaller than the first, hence `scale`, which leaves those of
    its size alone.
    """
    stream = stream.filter("scale", *size, interl=-1)
    return stream.filter("bwdif", mode="send_frame", **options)


def _mixed(stream: Any, matrix: primaries.Matrix, film: Film) -> Any:
    """Multiply the light of each pixel, (R, G, B), by a matrix.

    FFmpeg's own filters for this will not do: `colorspace` is up to 27 levels off where colours are
    saturated, and refuses odd sizes; `zscale` is not in every FFmpeg. This is at most 1 level off,
    and up to 6 where one channel is nearly black.
    """
    curve = _SRGB_CURVE if film.transfer == _SRGB else _SCREEN_CURVE
    to_light, to_signal = (
        dict.fromkeys("rgb", f"maxval*{each.format(v='(val/maxval)')}") for each in curve
    )
    shares = {
        f"{to}{of}": f"{matrix[row, column]:.6f}"
        for row, to in enumerate("rgb")
        for column, of in enumerate("rgb")
    }
    return (
        stream.filter("format", "gbrap16le" if film.alpha else "gbrp16le")
        .filter("lutrgb", **to_light)
        .filter("colorchannelmixer", **shares)
        .filter("lutrgb", **to_signal)
        .filter("scale", flags=_EXACT_TO_RGB)
    )


def _over_black(stream: Any) -> Any:
    """Multiply by the alpha channel. `premultiply` will not do: FFmpeg 9 takes that back again."""
    both = stream.filter("format", "gbrap").split()
    colour = both[0].filter("format", "gbrp")
    alpha = both[1].filter("alphaextract").filter("format", "gbrp")
    return ffmpeg.filter([colour, alpha], "blend", all_mode="multiply")


def _to_sdr(stream: Any) -> Any:
    """Map PQ or HLG to the range of an ordinary screen.

    HDR's reference white, 203 cd/m2 (ITU-R BT.2408), becomes 1. Mobius leaves what is darker
    nearly as it is and rolls off what is brighter.
    """
    return (
        stream.filter("zscale", transfer="linear", npl=203)
        .filter("format", "gbrpf32le")
        .filter("zscale", primaries="bt709")
        .filter("tonemap", "mobius", desat=0)
        .filter("zscale", transfer="bt709", range="full")
        .filter("format", "gbrp")
    )


def _read(
    film: Film, output: Any, on_frame: Callable[[int], None], folder: Path | None = None
) -> tuple[int, list[int]]:
    """Run FFmpeg over a film; how many frames came, and the cuts."""
    task = f"Splitting {film.path.name}" + (", which is HDR," if film.hdr else "")
    decoder = (film.decoder,) if film.decoder else ()
    program = find_ffmpeg(*(_HDR_NEEDS if film.hdr else ()), *decoder, task=task)
    if film.deinterlacing:
        log.info("%s is interlaced: its frames are deinterlaced.", film.path.name)
    command = _command(output, program, {_FILM: _url(film.path)})
    (frames, cuts), said = _run(
        task,
        command,
        lambda child: _follow(child.stdout, on_frame),
        folder=folder,
        result=folder,
    )
    if not frames:
        raise UnusableInput(f"{film.path} is damaged: not one frame of it can be decoded.")
    if said:
        log.warning(
            "FFmpeg complained about %s: %s\nGoing on with the %s (%.1f s) that it made.",
            film.path.name,
            said.splitlines()[0],
            counted(frames, "frame"),
            frames / film.rate,
        )
    return frames, cuts


def _follow(
    lines: Iterable[bytes] | None, on_frame: Callable[[int], None]
) -> tuple[int, list[int]]:
    """Read what -progress and the metadata filter print: how many frames came, and the cuts."""
    frames, cuts = 0, []
    for line in lines or ():
        if line.startswith(b"frame="):  # -progress, every half second and at the end
            before, frames = frames, int(line.removeprefix(b"frame="))
            on_frame(frames - before)
        elif line.startswith(b"frame:"):  # "frame:18   pts:18      pts_time:0.75"
            # Not its `frame`, which restarts where FFmpeg rebuilds its filters. A pts counts frames
            # here: its unit is the rate's.
            cuts.append(int(line.split(b"pts:")[1].split()[0]))
    return frames, cuts


def join(
    slides: Path,
    count: int,
    rate: Fraction,
    target: Path,
    film: Film | None,
    on_frame: Callable[[int], None],
    on_whole: Callable[[Path], None] = lambda _: None,
    writer: str = "",
) -> None:
    """Make a film of slides, with the sound, subtitles, chapters and titles of the film they show.

    slides: a folder of 000001.png and on, of one size, which need not be the film's. rate: slides
    a second. target: its suffix is one of CONTAINERS; it appears when it is whole. on_frame: told
    how many more are done, twice a second. on_whole: called with the whole film before it takes the
    place of `target`, which stays as it is if this raises. writer: who writes, where others may
    make the same film at the same time.
    """
    container = CONTAINERS.get(target.suffix.lower())
    if container is None:
        raise WrongUsage(f"{target} must end in one of {', '.join(CONTAINERS)}.")
    task = f"Joining {target.name}"
    program = find_ffmpeg(*container.needs, task=task)
    with (
        _written_whole(target, on_whole, writer) as unfinished,
        tempfile.TemporaryDirectory() as covers,
    ):
        names = {_TARGET: _url(unfinished)} | ({_FILM: _url(film.path)} if film else {})
        late_opus = _late_opus(program, container)
        attached = _attached(film, Path(covers)) if film and container.attaches else {}
        joined = _joined(slides, count, rate, container, film, late_opus, attached)
        command = _command(joined, program, names)
        (frames, _), said = _run(
            task,
            command,
            lambda child: _follow(child.stdout, on_frame),
            folder=slides,
            result=target,
        )
        if frames != count:  # FFmpeg ends at a gap in the numbers and skips what it cannot read
            said += f"Only {frames} of the {counted(count, 'slide')} in {slides} could be read."
            raise ProgramFailed(task, command, said)
    if said:
        log.warning("FFmpeg complained as it made %s: %s", target.name, said.splitlines()[0])


@functools.cache
def media_endings() -> frozenset[str]:
    """Return the endings, such as ".avi", of files that are films, pictures or sounds."""
    known = {"av1", "ffv1", "part", "prores", "tmp", "vp8", "vp9"}  # no formats, but often meant so
    for name in av.formats_available:
        for mode in ("r", "w"):
            with contextlib.suppress(ValueError):  # it can only be read, or only be written
                known |= av.ContainerFormat(name, mode).extensions
    return frozenset(f".{each.lower()}" for each in known if not each.isdigit())


def unfinished_name(target: Path, writer: str) -> Path:
    """Return the name of a film while it is written. writer: see `join`."""
    return target.with_name(f"{target.name}{writer and '.'}{writer}.part")


@contextlib.contextmanager
def _written_whole(target: Path, on_whole: Callable[[Path], None], writer: str) -> Iterator[Path]:
    """A name to write a file under: it becomes `target` if all goes well, else it is removed."""
    unfinished = unfinished_name(target, writer)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # It may be a link to elsewhere; or the FFmpeg of a run that was killed still writes to it.
        files.remove(unfinished)
        yield unfinished
        images.sync(unfinished)
        on_whole(unfinished)
        files.replace(unfinished, target)
        images.sync(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            files.remove(unfinished)


def _joined(
    slides: Path,
    count: int,
    rate: Fraction,
    container: Container,
    film: Film | None,
    late_opus: bool,
    attached: Mapping[str, object],
) -> Any:
    """The outputs of FFmpeg's command line that make a film of slides."""
    # The encoder counts time in slides, so they begin at a whole number of them, and the film's
    # tracks wait with them.
    begin_ms = round(film.start_s * 1000) if film else 0
    late_s = math.ceil(begin_ms * rate / 1000) / rate
    pictures = ffmpeg.input(
        _PICTURES,
        format="image2",
        pattern_type="sequence",
        start_number=1,
        framerate=rate,
        itsoffset=_seconds(late_s),
    )
    # Not `-frames`: FFmpeg 5 ends the sound with the pictures then.
    shown = pictures.filter("trim", end_frame=count)
    streams = [_to_yuv420p(shown, *images.size(slides / images.name(0)))]
    # `passthrough`: FFmpeg 7 fills the time before the first slide, and a gap, with copies.
    options = {"format": container.muxer, "fps_mode": "passthrough", **container.options}
    if film is None:
        return ffmpeg.output(*streams, _TARGET, **options)
    source = ffmpeg.input(_FILM, **_shifted(film, late_s), **_FILES_ONLY)
    tracks = _carried_tracks(film, container, late_opus)
    streams += [source[str(stream)] for stream in tracks]
    for more in (*tracks.values(), attached, _timecode_options(film, rate, container)):
        options |= more
    joined = ffmpeg.output(*streams, _TARGET, map_metadata=1, map_chapters=1, **options)
    # In a transport stream FFmpeg counts time from the first track in use: unless the picture is in
    # use too, the sound would lose its delay.
    unseen = ffmpeg.output(source[str(film.stream)], "-", format="null", codec="copy")
    return ffmpeg.merge_outputs(joined, unseen)


def _shifted(film: Film, late_s: Fraction) -> dict[str, object]:
    """Return the options with which FFmpeg shows the first frame of a film at `late_s`.

    FFmpeg counts the time of a film from its start, and its versions differ on whether that is
    before or after what players discard of the sound. With `seek_timestamp` it keeps the film's own
    clock; but where that may jump, it does so only as long as every track is in use.
    """
    if film.first_s is None:
        return {"itsoffset": _seconds(late_s - film.start_s)}
    return {"itsoffset": _seconds(late_s - film.first_s), "seek_timestamp": 1}


def _seconds(time_s: Fraction) -> str:
    return f"{float(time_s):.6f}"  # FFmpeg does not read 1e-07


def _late_opus(program: str, container: Container) -> bool:
    """Whether Opus must be written late by what players discard of its beginning.

    Matroska and WebM want that; FFmpeg does it by itself from version 6 on.
    """
    return container.muxer in ("matroska", "webm") and _SINCE_6 not in _abilities(program)


def _to_yuv420p(stream: Any, width: int, height: int) -> Any:
    """Convert to limited range BT.709, 8-bit 4:2:0, repeating the last row or column if odd."""
    right, bottom = width % 2, height % 2
    if right or bottom:
        stream = stream.filter("pad", width + right, height + bottom).filter(
            "fillborders", right=right, bottom=bottom, mode="smear"
        )
    bt709 = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
    return (
        stream.filter("scale", flags=_EXACT_TO_YUV, out_color_matrix="bt709", out_range="tv")
        .filter("format", "yuv420p")
        .filter("setsar", 1)
        .filter("setparams", range="tv", **bt709)
    )


def _carried_tracks(
    film: Film, container: Container, late_opus: bool
) -> dict[int, dict[str, object]]:
    """The sound and subtitle tracks that go into a container, with FFmpeg's options for each."""
    tracks: dict[int, dict[str, object]] = {}
    for kind, letter, found, options_for in (
        ("sound track", "a", film.sound, _sound_options),
        ("subtitle track", "s", film.subtitles, _subtitle_options),
        (
            "further cover picture" if container.attaches else "cover picture",
            "v",
            film.covers[1:] if container.attaches else film.covers,
            _cover_options,
        ),
    ):
        place = 1 if letter == "v" else 0  # after the slides
        for number, track in enumerate(found, 1):
            options = options_for(track, container)
            if late_opus:
                options |= _written_late(track, options)
            if not options:
                log.warning(
                    "%s leaves out %s %d of %s (%s).",
                    f"A {container.muxer} film",
                    kind,
                    number,
                    film.path.name,
                    track.codec or "its format is unknown",
                )
                continue
            tracks[track.stream] = {f"{key}:{letter}:{place}": v for key, v in options.items()}
            place += 1
    return tracks


def _written_late(track: Track, options: Mapping[str, object]) -> dict[str, object]:
    """Return the option that delays an Opus track by what players discard of its beginning."""
    encoded = options.get("c") == "libopus"
    late = math.ceil(1000 * (_LIBOPUS_SKIPPED_S if encoded else track.skipped_s))
    return {"bsf": f"setts=ts=TS+{late}"} if late else {}  # in ticks of these containers


def _sound_options(track: Track, container: Container) -> dict[str, object]:
    """Options for one sound track; none if it cannot be read."""
    if not track.codec:
        return {}
    if track.codec in container.sound:
        return {"c": "copy"}
    if container.sound_encoder == "libopus":
        # It refuses the other arrangements, 5.1(side) of DVDs and cameras among them.
        layouts = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"
        return {"c": "libopus", "filter": f"aformat=channel_layouts={layouts}"}
    return {"c": container.sound_encoder}


def _subtitle_options(track: Track, container: Container) -> dict[str, object]:
    """Options for one subtitle track; none for pictures that the container does not take."""
    if track.codec in container.subtitles:
        return {"c": "copy"}
    return {"c": container.text_encoder} if track.text else {}


def _cover_options(track: Track, container: Container) -> dict[str, object]:
    """Options for one cover picture; none if the container does not take it."""
    return {"c": "copy", "disposition": "attached_pic"} if track.codec in container.covers else {}


def _attached(film: Film, folder: Path) -> dict[str, object]:
    """Write the first cover of a film to a folder; return the options that attach it."""
    if not film.covers:
        return {}
    cover = film.covers[0]
    kind = {"mjpeg": "jpeg"}.get(cover.codec, cover.codec)
    path = folder / f"cover.{kind.replace('jpeg', 'jpg')}"  # the name that players look for
    with av.open(_url(film.path), metadata_errors="replace", options=_FILES_ONLY) as container:
        path.write_bytes(bytes(next(container.demux(container.streams[cover.stream]))))
    return {"attach": _url(path), "metadata:s:t:0": f"mimetype=image/{kind}"}


def _timecode_options(film: Film, rate: Fraction, container: Container) -> dict[str, object]:
    """Return the options that keep a time code, whose last number then counts slides.

    Where the rate has no time codes, so that the muxer would refuse it, it is left out with a
    warning.
    """
    if film.timecode is None:
        return {}
    parts = _TIMECODE.fullmatch(film.timecode)
    drops = parts is not None and parts["mark"] != ":"
    if parts is None or round(rate) not in _TIMECODE_RATES or (drops and round(rate) % 30):
        log.warning(
            "The time code of %s, %s, is left out: there is none for %.3g slides a second.",
            film.path.name,
            film.timecode,
            rate,
        )
        return {"metadata": "timecode="}
    slide = int(int(parts["frame"]) * rate / film.rate)
    written = {"write_tmcd": 1} if "write_tmcd" in container.options else {}
    return {"metadata": f"timecode={parts['time']}{parts['mark']}{slide:02}", **written}


def _command(output: Any, program: str, names: Mapping[str, str] | None = None) -> list[str]:
    """The command line of a graph; names: what to put for its stand-ins."""
    talk = ("-nostdin", "-hide_banner", "-loglevel", "error", "-progress", "pipe:1")
    words = output.global_args(*talk).compile(cmd=program, overwrite_output=True)
    return [(names or {}).get(word, word) for word in words]


def _run(
    task: str,
    command: Sequence[str],
    attend: Callable[[subprocess.Popen[bytes]], _T],
    *,
    folder: Path | None = None,
    result: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
) -> tuple[_T, str]:
    """Run FFmpeg in a folder while `attend` reads or feeds it: its result, and FFmpeg's complaints.

    result: the file or folder that it makes. Whatever ends `attend`, Ctrl-C included, the program
    is gone afterwards. ProgramFailed if it ended with an error, UnusableInput for a full disk.
    """
    # Its complaints go to a file, which never fills as a pipe would.
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(
            command, bufsize=0 if stdin == subprocess.PIPE else -1, cwd=folder, stdin=stdin,
            stdout=stdout, stderr=complaints,
        ) as child:  # fmt: skip
            try:
                made = attend(child)
            except BaseException:
                child.kill()
                raise
        complaints.seek(0)
        said = complaints.read().decode(errors="replace")
    if child.returncode:
        for full in (errno.ENOSPC, errno.EDQUOT):
            if result and os.strerror(full) in said:
                raise cannot_write(result, OSError(full, os.strerror(full)))
        died = f"It was ended by signal {-child.returncode}." if child.returncode < 0 else ""
        raise ProgramFailed(task, command, said + died)
    return made, said
