"""The films that can be written: containers by their endings, and the codecs that each can hold."""

from __future__ import annotations

import difflib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.settings import CRF_MOST, VIDEO_CODECS
from stable_restyle.media.ffmpeg import find_ffmpeg, media_endings


@dataclass(frozen=True)
class Codec:
    """How FFmpeg encodes the picture."""

    encoder: str
    options: Mapping[str, object]
    crf: int | None = None  # the default quality; None: it has no such scale
    crf_most: int = 51
    pixels: str = "yuv420p"  # FFmpeg's name for the format; RGB is written as it is
    rgb: bool = False
    whole: bool = False  # whether FFmpeg gets the film in one piece from the encoder


@dataclass(frozen=True)
class Container:
    """How to write a film in a container format, and which tracks it can hold unchanged."""

    muxer: str
    codecs: Mapping[str, Mapping[str, object]]  # FFmpeg's options for each; the default first
    options: Mapping[str, object] = field(default_factory=dict)  # for the file
    sound: frozenset[str] = frozenset()
    sound_encoder: str = ""  # for other sound; empty: the container holds none
    sound_filter: str = ""
    subtitles: frozenset[str] = frozenset()
    text_encoder: str = ""  # for other text subtitles
    covers: frozenset[str] = frozenset()
    attaches: bool = False  # holds one cover of any format, as an attached file
    rate_most: Fraction | None = None  # slides a second
    of_parts: str = ""  # the muxer of parts of the picture; empty: its own
    retimed: bool = True  # whether the times of joined parts need to be set

    @property
    def holds_tracks(self) -> bool:
        return bool(self.sound_encoder)


@dataclass(frozen=True)
class Encoding:
    """How to write one film."""

    container: Container
    codec: Codec
    options: Mapping[str, object]  # FFmpeg's, for the picture

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the encoders that it needs."""
        sound = self.container.sound_encoder
        return (self.codec.encoder, *([sound] if sound.startswith("lib") else []))


# On Big Buck Bunny, SSIM is 0.996 by x264 at CRF 16 and by x265 at CRF 16, 0.995 by SVT-AV1 at
# CRF 12, 0.994 by VP9 at CRF 14; on street traffic, VP9 lies between x264's CRF 12 and 16.
CODECS = {
    "h264": Codec("libx264", {}, crf=16),
    "h265": Codec("libx265", {"x265-params": "log-level=error"}, crf=16),
    "av1": Codec("libsvtav1", {"preset": 6}, crf=12, crf_most=CRF_MOST),
    # With a bit rate other than 0, FFmpeg would treat the CRF as a mere bound.
    "vp9": Codec("libvpx-vp9", {"b:v": 0, "cpu-used": 4, "row-mt": 1}, crf=14, crf_most=CRF_MOST),
    "prores": Codec("prores_ks", {"profile:v": "hq", "vendor": "apl0"}, pixels="yuv422p10le"),
    # Every frame on its own and with checksums, as archives want it; RGB, so that nothing is lost.
    "ffv1": Codec(
        "ffv1", {"level": 3, "g": 1, "slices": 4, "slicecrc": 1}, pixels="bgr0", rgb=True
    ),
    "gif": Codec("gif", {}, pixels="pal8", rgb=True),
    "webp": Codec("libwebp_anim", {"quality": 90}, pixels="bgra", rgb=True, whole=True),
}

# `strict`: FFmpeg before 6 calls FLAC in MP4 experimental. `write_tmcd`: see `_timecode_options`.
_QUICKTIME = {"movflags": "+faststart", "write_tmcd": 0, "strict": "experimental"}
_APPLES = {"tag:v:0": "hvc1"}  # without it, Apple's players do not open H.265
# AVI has no time stamps, so that pictures must come in the order in which they are shown.
_IN_ORDER = {"bf": 0}
# The sound and subtitle formats that each muxer accepted when tried, FFmpeg 5.1 to 9.0. PyAV's
# `supported_codecs` has more: for .mov some that its muxer then refuses, such as FLAC.
_SOUND = frozenset({"aac", "ac3", "alac", "dts", "eac3", "mp2", "mp3"})
_PCM = frozenset({"pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_f32le"})
_COVERS = frozenset({"mjpeg", "png"})
_PICTURE_SUBTITLES = frozenset({"dvb_subtitle", "dvd_subtitle", "hdmv_pgs_subtitle"})
_MP4 = Container(
    muxer="mp4",
    codecs={"h264": {}, "h265": _APPLES, "av1": {}},
    options=_QUICKTIME,
    sound=_SOUND | {"flac", "opus"},
    sound_encoder="aac",
    subtitles=frozenset({"mov_text"}),
    text_encoder="mov_text",
    covers=_COVERS,
)
_SAME_BYTES = {"fflags": "+bitexact"}  # without it, Matroska gets random numbers
_TRANSPORT_STREAM = Container(
    muxer="mpegts",
    codecs={"h264": {}, "h265": {}},
    sound=frozenset({"aac", "ac3", "dts", "eac3", "mp2", "mp3"}),
    sound_encoder="aac",
    subtitles=frozenset({"dvb_subtitle"}),
    of_parts="mp4",  # FFmpeg takes a short transport stream for another format
    retimed=False,  # FFmpeg 5 gives `setts` a wrong unit here; those of MP4 are exact
)
CONTAINERS = {
    ".mp4": _MP4,
    ".mov": Container(
        muxer="mov",
        codecs={"h264": {}, "h265": _APPLES, "prores": {}},
        options=_QUICKTIME,
        sound=_SOUND | _PCM,
        sound_encoder="aac",
        subtitles=frozenset({"mov_text"}),
        text_encoder="mov_text",
    ),
    ".mkv": Container(
        muxer="matroska",
        options=_SAME_BYTES,
        codecs={"h264": {}, "h265": {}, "av1": {}, "prores": {}, "ffv1": {}},
        sound=_SOUND | _PCM | {"flac", "mlp", "opus", "truehd", "tta", "vorbis", "wavpack"},
        sound_encoder="aac",
        subtitles=_PICTURE_SUBTITLES | {"ass", "subrip", "webvtt"},
        text_encoder="srt",
        attaches=True,
    ),
    ".webm": Container(
        muxer="webm",
        options=_SAME_BYTES,
        codecs={"vp9": {}, "av1": {}},
        sound=frozenset({"opus", "vorbis"}),
        sound_encoder="libopus",
        subtitles=frozenset({"webvtt"}),
        text_encoder="webvtt",
    ),
    ".m4v": _MP4,
    ".avi": Container(
        muxer="avi",
        codecs={"h264": _IN_ORDER},
        # Sound that begins late is preceded by silence, since AVI has no time stamps.
        sound_encoder="pcm_s16le",
        sound_filter="aresample=async=1:first_pts=0",
        retimed=False,  # it has none
    ),
    ".ts": _TRANSPORT_STREAM,
    ".m2ts": _TRANSPORT_STREAM,
    ".mts": _TRANSPORT_STREAM,
    # Browsers slow down a GIF whose pictures are shown for less than 2 of its ticks of 10 ms.
    ".gif": Container(muxer="gif", codecs={"gif": {}}, options={"loop": 0}, rate_most=Fraction(50)),
    ".webp": Container(muxer="webp", codecs={"webp": {}}, options={"loop": 0}),
}
_OFTEN_MISTYPED = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".webp")


def choose(target: Path, codec: str | None = None, crf: int | None = None) -> Encoding:
    """Return how to write a film. codec: one of VIDEO_CODECS; None: the container's default.

    crf: the quality, 0 best; None: the default. Raises WrongUsage.
    """
    suffix = target.suffix.lower()
    container = CONTAINERS.get(suffix)
    if container is None:
        raise WrongUsage(f"{target} must end in one of {', '.join(CONTAINERS)}.")
    name = codec or next(iter(container.codecs))
    if name not in container.codecs:
        others = [each for each, its in CONTAINERS.items() if name in its.codecs]
        own = [each for each in container.codecs if each in VIDEO_CODECS]
        held = f"; {suffix} can hold {', '.join(own)}" if own else ""
        raise WrongUsage(
            f"--video-codec {name}: a {suffix} film cannot hold it.\n"
            f"Name a TARGET that ends in {' or '.join(others)}{held}."
        )
    its = CODECS[name]
    if crf is not None and its.crf is None:
        raise WrongUsage(f"--crf {crf}: {name} has no such setting.\nOmit --crf.")
    if crf is not None and crf > its.crf_most:
        raise WrongUsage(f"--crf {crf}: {name} takes 0 (best) to {its.crf_most}.")
    quality = {} if its.crf is None else {"crf": its.crf if crf is None else crf}
    picture = {"c:v": its.encoder, **quality, **its.options, **container.codecs[name]}
    return Encoding(container, its, picture)


def check(encoding: Encoding, target: Path, rate: Fraction) -> None:
    """Raise RestyleError if a film cannot be written on this machine, or not at this rate.

    rate: slides a second.
    """
    most = encoding.container.rate_most
    if most is not None and rate > most:
        raise WrongUsage(
            f"{target} would show {float(rate):g} slides a second; "
            f"a {target.suffix} film shows at most {float(most):g}.\n"
            "Make fewer slides with --fps, or name another TARGET, such as one that ends in .webp."
        )
    find_ffmpeg(*encoding.needs, task=f"Writing {target.name}")


def looks_like_film(target: Path) -> bool:
    """Return whether the ending of a path is one of a film, picture or sound, or nearly so."""
    suffix = target.suffix.lower()
    kind, _ = mimetypes.guess_type(f"x{suffix}")
    if (kind or "").startswith(("audio/", "video/", "image/")) or suffix in media_endings():
        return True
    return bool(difflib.get_close_matches(suffix, _OFTEN_MISTYPED, cutoff=0.75))
