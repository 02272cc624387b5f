"""Join slides to a film, with the tracks of the film that they were made from."""

from __future__ import annotations

import contextlib
import logging
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg

from stable_restyle.core import files
from stable_restyle.core.errors import ProgramFailed, cannot_write, counted
from stable_restyle.media import encode
from stable_restyle.media.containers import Container, Encoding, choose
from stable_restyle.media.encode import Shown
from stable_restyle.media.ffmpeg import (
    FILES_ONLY,
    FILM,
    TARGET,
    abilities,
    command_line,
    file_url,
    find_ffmpeg,
    follow,
    run,
)
from stable_restyle.media.parts import (
    PARTS_LIST,
    FilmParts,
    film_size,
    parts_list,
    read_headers,
    remove_others,
)
from stable_restyle.media.probe import Film, Track

log = logging.getLogger(__name__)

_SINCE_6 = "-stats_mux_pre"  # an option of FFmpeg from version 6 on

_CONCAT = "concat @"  # how FFmpeg begins messages about the parts of a film

_LIBOPUS_SKIPPED_S = Fraction(312, 48000)

# Nominal rates of SMPTE ST 12-1, and the form of a time code: FFmpeg refuses a film with another.
_TIMECODE_RATES = {24, 25, 30, 48, 50, 60}
_TIMECODE = re.compile(r"(?P<time>\d\d:\d\d:\d\d)(?P<mark>[:;.])(?P<frame>\d\d)")


def joining(target: Path) -> str:
    """Return how messages call the making of a film."""
    return f"Joining {target.name}"


def join_slides(
    slides: Path,
    count: int,
    rate: Fraction,
    target: Path,
    film: Film | None,
    on_frame: Callable[[int], None],
    encoding: Encoding | None = None,
    on_whole: Callable[[Path], None] = lambda _: None,
    writer: str = "",
    parts: Path | None = None,
) -> None:
    """Join slides to a film, with the sound, subtitles, chapters and tags of `film`.

    slides: a folder of 000001.png and on; the largest has the size of the result, which need not be
    the film's. count: of slides. rate: slides a second. target: is replaced when the new film is
    complete. on_frame: called with the number of further slides, twice a second. encoding: how to
    write the film; None: as its ending says. on_whole: called with the complete film before it
    replaces `target`, which is kept if this raises. writer: makes the temporary name unique, where
    others may write the same film at that time. parts: a folder that has parts of the film already
    and keeps them; None: they are temporary. Raises WrongUsage, UnusableInput or ProgramFailed.
    """
    encoding = encoding or choose(target)
    container = encoding.container
    task = joining(target)
    program = find_ffmpeg(*encoding.needs, task=task)
    if film and not container.holds_tracks:
        _tracks(film, container, late_opus=False)  # warns
        film = None
    with (
        tempfile.TemporaryDirectory() as temporary,
        _written_whole(target, on_whole, writer) as unfinished,
    ):
        made: list[Path] = []
        folder, on_joined = slides, on_frame
        names = {TARGET: file_url(unfinished)} | ({FILM: file_url(film.path)} if film else {})
        if container.holds_tracks:
            folder, on_joined = parts or Path(temporary), lambda _: on_frame(0)
            made = FilmParts(slides, folder, rate, encoding, task, writer).write_all(
                count, on_frame
            )
            files.write_whole(folder / PARTS_LIST, parts_list(made, count, rate))
            late_opus = _must_delay_opus(program, container)
            attached = _attachment_options(film, container, Path(temporary)) if film else {}
            joined = _with_tracks(rate, encoding, film, late_opus, attached)
        else:
            joined = _pictures_alone(slides, count, rate, encoding)
        command = command_line(joined, program, names)
        (frames, _), messages = run(
            task,
            command,
            lambda child: follow(child.stdout, on_joined),
            folder=folder,
            result=target,
        )
        # FFmpeg stops at a gap and skips what it cannot read. 7.0 does not count what it copies.
        if _CONCAT in messages or (frames != count and not (made and frames == 0)):
            messages += f"Only {frames} of the {counted(count, 'slide')} in {folder} could be read."
            raise ProgramFailed(task, command, messages)
    if parts:
        remove_others(parts, made)
    if messages:
        log.warning(
            "FFmpeg complained while it wrote %s: %s", target.name, messages.splitlines()[0]
        )


@contextlib.contextmanager
def _written_whole(target: Path, on_whole: Callable[[Path], None], writer: str) -> Iterator[Path]:
    """Yield a temporary path: the file replaces `target` on success, and is removed on failure."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(target, writer) as unfinished:
            yield unfinished
            files.sync(unfinished)
            on_whole(unfinished)
        files.sync(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error


def _pictures_alone(slides: Path, count: int, rate: Fraction, encoding: Encoding) -> Any:
    """Return the outputs of FFmpeg's command line that write a film of pictures, without tracks."""
    headers = read_headers(slides, range(count))
    sizes = {header.size for header in headers if header}
    shown = Shown(range(count), sizes, film_size(headers))
    stream, counted = encode.picture(shown, rate, encoding)
    container = encoding.container
    options = {**encode.EACH_ONCE, **encoding.options, **container.options}
    joined = ffmpeg.output(stream, TARGET, format=container.muxer, **options)
    return ffmpeg.merge_outputs(counted, joined) if counted else joined


def _with_tracks(
    rate: Fraction,
    encoding: Encoding,
    film: Film | None,
    late_opus: bool,
    attached: Mapping[str, object],
) -> Any:
    """Return the outputs of FFmpeg's command line that join parts to a film with its tracks."""
    # Time is counted in slides: round the start up to a slide, and delay the film's tracks by as
    # much.
    begin_ms = round(film.start_s * 1000) if film else 0
    late_s = math.ceil(begin_ms * rate / 1000) / rate
    container = encoding.container
    # By default, parameter sets would be repeated in each part.
    picture = ffmpeg.input(
        PARTS_LIST, format="concat", auto_convert=0, itsoffset=_seconds(late_s)
    ).video
    options = {"format": container.muxer, "c:v:0": "copy", **container.options}
    if container.retimed:
        options["bsf:v:0"] = _exact_times(rate)
    if film is None:
        return ffmpeg.output(picture, TARGET, **options)
    source = ffmpeg.input(FILM, **_timing_options(film, late_s), **FILES_ONLY)
    tracks = _tracks(film, container, late_opus)
    streams = [picture, *(source[str(stream)] for stream in tracks)]
    for more in (*tracks.values(), attached, _timecode_options(film, rate, container)):
        options |= more
    joined = ffmpeg.output(*streams, TARGET, map_metadata=1, map_chapters=1, **options)
    # In a transport stream FFmpeg counts time from the first track in use. Without this output that
    # would be the sound, which would lose its delay.
    unseen = ffmpeg.output(source[str(film.stream)], "-", format="null", codec="copy")
    return ffmpeg.merge_outputs(joined, unseen)


def _exact_times(rate: Fraction) -> str:
    """Return the filter that puts each picture where it would be had all been encoded at once.

    Borders of parts are rounded to microseconds, and to ticks of the container; a part of one or
    two slides has no delay for B-frames, which others have.
    """
    slide = f"({rate.denominator}/{rate.numerator}/TB)"  # in ticks
    shown = f"round(round(PTS/{slide})*{slide})"
    decoded = f"round((round(STARTDTS/{slide})+N)*{slide})"
    return f"setts=pts={shown}:dts={decoded}"


def _timing_options(film: Film, late_s: Fraction) -> dict[str, object]:
    """Return the input options that put the first frame of a film at `late_s`.

    FFmpeg counts time from the start of the film; whether that includes the sound that players
    discard depends on its version. With `seek_timestamp` it keeps the film's own clock, but where
    that may jump only if every track is in use.
    """
    if film.first_s is None:
        return {"itsoffset": _seconds(late_s - film.start_s)}
    return {"itsoffset": _seconds(late_s - film.first_s), "seek_timestamp": 1}


def _seconds(time_s: Fraction) -> str:
    return f"{float(time_s):.6f}"  # FFmpeg does not read 1e-07


def _must_delay_opus(program: str, container: Container) -> bool:
    """Return whether Opus must be delayed by what players discard at its beginning.

    Matroska and WebM require that; FFmpeg does it itself from version 6 on.
    """
    return container.muxer in ("matroska", "webm") and _SINCE_6 not in abilities(program)


def _tracks(film: Film, container: Container, late_opus: bool) -> dict[int, dict[str, object]]:
    """Return FFmpeg's options for each track that the container can hold, by stream index."""
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
        index = 1 if letter == "v" else 0  # after the slides
        for number, track in enumerate(found, 1):
            options = options_for(track, container)
            if late_opus:
                options |= _delay_options(track, options)
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
            tracks[track.stream] = {f"{key}:{letter}:{index}": v for key, v in options.items()}
            index += 1
    return tracks


def _delay_options(track: Track, options: Mapping[str, object]) -> dict[str, object]:
    """Return the option that delays an Opus track by what players discard at its beginning."""
    encoded = options.get("c") == "libopus"
    late = math.ceil(1000 * (_LIBOPUS_SKIPPED_S if encoded else track.skipped_s))
    return {"bsf": f"setts=ts=TS+{late}"} if late else {}  # in ticks of these containers


def _sound_options(track: Track, container: Container) -> dict[str, object]:
    """Return the options for a sound track; none if it cannot be read, or held."""
    if not (track.codec and container.sound_encoder):
        return {}
    if track.codec in container.sound:
        return {"c": "copy"}
    if container.sound_filter:
        return {"c": container.sound_encoder, "filter": container.sound_filter}
    if container.sound_encoder == "libopus":
        # libopus refuses other layouts, such as the 5.1(side) of DVDs and cameras.
        layouts = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"
        return {"c": "libopus", "filter": f"aformat=channel_layouts={layouts}"}
    return {"c": container.sound_encoder}


def _subtitle_options(track: Track, container: Container) -> dict[str, object]:
    """Return the options for a subtitle track; none for pictures that the container cannot hold."""
    if track.codec in container.subtitles:
        return {"c": "copy"}
    return {"c": container.text_encoder} if track.text and container.text_encoder else {}


def _cover_options(track: Track, container: Container) -> dict[str, object]:
    """Return the options for a cover picture; none if the container cannot hold it."""
    return {"c": "copy", "disposition": "attached_pic"} if track.codec in container.covers else {}


def _attachment_options(film: Film, container: Container, folder: Path) -> dict[str, object]:
    """Write the first cover of a film to a folder, and return the options that attach it."""
    if not (container.attaches and film.covers):
        return {}
    cover = film.covers[0]
    kind = {"mjpeg": "jpeg"}.get(cover.codec, cover.codec)
    path = folder / f"cover.{kind.replace('jpeg', 'jpg')}"  # the name that players expect
    with av.open(file_url(film.path), metadata_errors="replace", options=FILES_ONLY) as source:
        path.write_bytes(bytes(next(source.demux(source.streams[cover.stream]))))
    return {"attach": file_url(path), "metadata:s:t:0": f"mimetype=image/{kind}"}


def _timecode_options(film: Film, rate: Fraction, container: Container) -> dict[str, object]:
    """Return the options that keep the time code; its last number then counts slides.

    Where the muxer would refuse one, since the rate has no time codes, leave it out with a warning.
    """
    if film.timecode is None:
        return {}
    parts = _TIMECODE.fullmatch(film.timecode)
    drops = parts is not None and parts["mark"] != ":"
    if parts is None or round(rate) not in _TIMECODE_RATES or (drops and round(rate) % 30):
        log.warning(
            "The time code of %s, %s, is left out: no time code exists for %.3g slides a second.",
            film.path.name,
            film.timecode,
            rate,
        )
        return {"metadata": "timecode="}
    slide = int(int(parts["frame"]) * rate / film.rate)
    written = {"write_tmcd": 1} if "write_tmcd" in container.options else {}
    return {"metadata": f"timecode={parts['time']}{parts['mark']}{slide:02}", **written}
