"""Sound, subtitles, chapters, titles, covers and time codes of the source are kept in the film."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from support import clips
from support.media import decoded, each_ffmpeg, ignore, in_rgb

from stable_restyle.core.records import Pixels
from stable_restyle.media import png
from stable_restyle.media.join import join_slides
from stable_restyle.media.probe import Film, probe_film
from stable_restyle.media.split import split_film

SUBTITLES = """1
00:00:00,200 --> 00:00:00,700
First

2
00:00:00,800 --> 00:00:01,000
Second
"""


def make_full_film(path: Path, *encoding: str, sound: int = 1, subtitles: int = 1) -> Path:
    """Make a second of numbered frames with tones and subtitles. encoding: of the tracks."""
    text = path.with_suffix(".srt")
    text.write_text(SUBTITLES)
    inputs: list[str | Path] = ["-f", "lavfi", "-i", "sine=frequency=600:duration=1"]
    inputs += ["-i", text]
    maps = ["-map", "0", *["-map", "1"] * sound, *["-map", "2"] * subtitles]
    return clips.make(path, clips.numbered(24), *maps, *clips.H264, *encoding, inputs=inputs)


def tracks(path: Path) -> list[tuple[str, str, str | None]]:
    """Return kind, format and language of each track except the picture, in order."""
    with av.open(path) as container:
        return [
            (stream.type, stream.codec_context.codec.canonical_name, stream.language)
            for stream in container.streams
            if stream.type != "video" and stream.codec_context
        ]


def join_again(film_path: Path, target: Path, frames_per_slide: int = 2) -> Film:
    """Join slides into a film with the tracks of another. Return what it is, probed."""
    film = probe_film(film_path)
    count = -(-film.frames // frames_per_slide)
    slides = target.parent / f"slides for {target.name}"
    clips.write_folder(slides, clips.numbered(count))
    join_slides(slides, count, film.rate / frames_per_slide, target, film, ignore)
    joined = probe_film(target)
    assert (joined.frames, joined.rate) == (count, film.rate / frames_per_slide)
    assert abs(joined.frames / joined.rate - film.frames / film.rate) <= 1 / joined.rate
    return joined


@each_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "sound", "subtitles", "kept_sound", "kept_subtitles"),
    [
        (".mp4", "aac", "ass", "aac", "mov_text"),
        (".mp4", "flac", "srt", "flac", "mov_text"),
        (".mp4", "libvorbis", "webvtt", "aac", "mov_text"),
        (".mov", "pcm_s16le", "srt", "pcm_s16le", "mov_text"),
        (".mov", "flac", "srt", "aac", "mov_text"),
        (".mkv", "ac3", "ass", "ac3", "ass"),
        (".mkv", "libvorbis", "webvtt", "vorbis", "webvtt"),
        (".webm", "libopus", "srt", "opus", "webvtt"),
        (".webm", "aac", "webvtt", "opus", "webvtt"),
    ],
)
def test_sound_and_subtitles_are_copied_where_the_container_takes_them(
    suffix: str,
    sound: str,
    subtitles: str,
    kept_sound: str,
    kept_subtitles: str,
    tmp_path: Path,
) -> None:
    tags = ("-metadata:s:a:0", "language=jpn", "-metadata:s:s:0", "language=ger")
    source = tmp_path / "source.mkv"
    make_full_film(source, "-c:a", sound, "-c:s", subtitles, *tags)
    target = tmp_path / f"target{suffix}"
    join_again(source, target)
    assert tracks(target) == [("audio", kept_sound, "jpn"), ("subtitle", kept_subtitles, "ger")]
    assert b"First" in b"".join(packets(target, "subtitle"))


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(path) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def test_copied_sound_is_the_same_to_the_byte(tmp_path: Path) -> None:
    source = make_full_film(tmp_path / "source.mp4", "-c:a", "aac", "-c:s", "mov_text")
    join_again(source, tmp_path / "target.mkv")
    assert packets(tmp_path / "target.mkv", "audio") == packets(source, "audio")


def test_all_tracks_chapters_and_titles_are_kept(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text(
        ";FFMETADATA1\ntitle=A night\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=Two\n"
    )
    plain = make_full_film(tmp_path / "plain.mkv", sound=2, subtitles=2)
    source = tmp_path / "source.mkv"
    languages = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=jpn")
    both = ("-i", plain, "-i", notes, "-map", "0", "-map_metadata", "1", "-map_chapters", "1")
    clips.run_ffmpeg(*both, "-c", "copy", *languages, source)
    join_again(source, tmp_path / "target.mp4")
    found = tracks(tmp_path / "target.mp4")
    assert [kind for kind, *_ in found] == ["audio", "audio", "subtitle", "subtitle"]
    assert [language for *_, language in found[:2]] == ["eng", "jpn"]
    with av.open(tmp_path / "target.mp4") as container:
        assert container.metadata["title"] == "A night"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One", "Two"]


def test_subtitles_that_are_pictures_stay_where_they_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = clips.add_picture_subtitles(make_full_film(tmp_path / "plain.mkv"))
    join_again(source, tmp_path / "target.mkv")
    assert [kind for _, kind, _ in tracks(tmp_path / "target.mkv")][-1] == "hdmv_pgs_subtitle"
    assert not caplog.text
    join_again(source, tmp_path / "target.mp4")
    assert [kind for _, kind, _ in tracks(tmp_path / "target.mp4")] == ["aac", "mov_text"]
    assert "leaves out subtitle track 2 of plain+.mkv (hdmv_pgs_subtitle)" in caplog.text


def test_surround_sound_becomes_opus(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    inputs = ("-f", "lavfi", "-i", "anullsrc=channel_layout=5.1(side):duration=1")
    encoding = ("-map", "0", "-map", "1", *clips.H264, "-c:a", "ac3")
    clips.make(source, clips.numbered(24), *encoding, inputs=inputs)
    join_again(source, tmp_path / "target.webm")
    with av.open(tmp_path / "target.webm") as container:
        assert container.streams.audio[0].codec_context.channels == 6


def test_sound_of_an_unknown_format_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_full_film(tmp_path / "source.mkv", "-c:a", "ac3")
    source.write_bytes(source.read_bytes().replace(b"A_AC3", b"A_XYZ"))
    join_again(source, tmp_path / "target.mkv")
    assert [kind for kind, *_ in tracks(tmp_path / "target.mkv")] == ["subtitle"]
    assert "leaves out sound track 1 of source.mkv (its format is unknown)" in caplog.text


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".mp4", pytest.param(".mov", marks=pytest.mark.long), ".mkv"])
@pytest.mark.parametrize(
    ("rate", "written", "frames_per_slide", "kept"),
    [
        ("25", "01:00:00:12", 1, "01:00:00:12"),
        ("30000/1001", "01:00:00;03", 1, "01:00:00;03"),
        ("50", "01:00:00:43", 2, "01:00:00:21"),
        ("25", "01:00:00:12", 2, None),
        ("30000/1001", "01:00:00;03", 7, None),
    ],
)
def test_a_time_code_is_kept_where_the_rate_of_the_slides_has_one(
    suffix: str,
    rate: str,
    written: str,
    frames_per_slide: int,
    kept: str | None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = tmp_path / "source.mov"
    clips.make(source, clips.numbered(24), *clips.H264, "-timecode", written, rate=rate)
    assert join_again(source, tmp_path / f"target{suffix}", frames_per_slide).timecode == kept
    assert caplog.text.count(f"The time code of source.mov, {written}, is left out") == (not kept)


def with_cover(path: Path, cover: Path) -> Path:
    """Make a film with this picture as its cover."""
    tracks = ("-map", "0", "-map", "1", "-c:v:1", "copy", "-disposition:v:1", "attached_pic")
    return clips.make(path, clips.numbered(24), *clips.H264, *tracks, inputs=("-i", cover))


@each_ffmpeg
def test_a_cover_stays_where_it_can(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cover = tmp_path / "cover.png"
    png.write(cover, clips.numbered(6)[5])
    source = with_cover(tmp_path / "source.mp4", cover)
    for before, after in (("source.mp4", "a.mkv"), ("a.mkv", "b.mkv"), ("b.mkv", "c.mp4")):
        join_again(tmp_path / before, tmp_path / after)
        with av.open(tmp_path / after) as container:
            _, shown = container.streams.video
            assert shown.disposition & Disposition.attached_pic
            assert bytes(next(container.demux(shown))) == cover.read_bytes()
    assert not caplog.text
    for suffix in (".mov", ".webm"):
        join_again(source, tmp_path / f"target{suffix}")
    assert caplog.text.count("leaves out cover picture 1 of source.mp4 (png)") == 2


Sound: TypeAlias = NDArray[np.float64]


def heard(path: Path) -> tuple[float, Sound]:
    """Return when the sound begins, in seconds, and its samples at 48 kHz."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
    assert {frame.sample_rate for frame in frames} == {48000}
    before = itertools.accumulate((frame.samples for frame in frames), initial=0)
    begins = [seconds(frame) - n / 48000 for frame, n in zip(frames, before, strict=False)]
    # The first channel. The median, as a container may round the time of each.
    return float(np.median(begins)), np.concatenate([frame.to_ndarray()[0] for frame in frames])


def lag_s(path: Path, original: Path) -> float:
    """Return how many seconds later the sound is heard in one film than in another."""
    (begin, sound), (its_begin, its_sound) = heard(path), heard(original)
    size = 2 * max(sound.size, its_sound.size)
    spectra = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(its_sound, size))
    lag = (int(np.fft.irfft(spectra).argmax()) + size // 2) % size - size // 2
    return begin - its_begin + lag / 48000


def seen_s(path: Path) -> float:
    """Return when frame 16 is first shown, in seconds."""
    return next(seconds(frame) for frame in decoded(path) if clips.number(in_rgb(frame)) >= 16)


def seconds(frame: av.AudioFrame | av.VideoFrame) -> float:
    assert frame.time is not None
    return frame.time


def film_with_sound(
    folder: Path, suffix: str, codecs: str, picture_late_s: float
) -> tuple[Path, Film, list[Pixels]]:
    """Make a film whose sound tells when it is. Return its path, what it is, and its frames."""
    rising = "aevalsrc='if(gte(t,0.6),0.8*sin((1800+6000*t)*t),0)':duration=2:sample_rate=48000"
    source = folder / f"source{suffix}"
    picture, sound = codecs.split()
    clips.make(
        source,
        clips.numbered(30),
        *("-map", "0", "-map", "1", "-c:v", picture, "-pix_fmt", "yuv420p", "-c:a", sound),
        delay_s=max(picture_late_s, 0),
        inputs=("-itsoffset", str(max(-picture_late_s, 0)), "-f", "lavfi", "-i", rising),
    )
    film = probe_film(source)
    inside = folder / "in"
    inside.mkdir()
    split_film(film, inside, 10, ignore)
    return source, film, clips.read_folder(inside)


@each_ffmpeg
@pytest.mark.parametrize(
    ("suffix", "codecs", "picture_late_s"),
    [
        *((".mp4", "libx264 aac", s) for s in (0, 0.63, -0.63)),
        *((suffix, "libx264 aac", 0) for suffix in (".mkv", ".ts")),
        *(
            pytest.param(suffix, "libx264 aac", s, marks=pytest.mark.long)
            for suffix in (".mkv", ".ts")
            for s in (0.63, -0.63)
        ),
        (".mkv", "libx264 libopus", 0),
        (".mkv", "libx264 ac3", 0),
        (".webm", "libvpx-vp9 libopus", 0),
    ],
)
def test_sound_stays_with_the_picture(
    suffix: str, codecs: str, picture_late_s: float, tmp_path: Path
) -> None:
    source, film, frames = film_with_sound(tmp_path, suffix, codecs, picture_late_s)
    slides = clips.write_folder(tmp_path / "out", frames[::2])
    for target in (tmp_path / "target.mp4", tmp_path / "target.mkv", tmp_path / "target.webm"):
        join_slides(slides, len(frames[::2]), film.rate / 2, target, film, ignore)
        late_s = lag_s(target, source) - (seen_s(target) - seen_s(source))
        assert abs(late_s) <= 0.001
        with av.open(target) as container:
            assert container.start_time is not None
            assert 0 <= container.start_time / av.time_base < 2 / film.rate


@each_ffmpeg
@pytest.mark.parametrize("suffix", [".avi", ".ts"])
@pytest.mark.parametrize("picture_late_s", [0.63, -0.63])
def test_sound_stays_with_the_picture_in_films_of_fewer_tracks(
    suffix: str, picture_late_s: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, film, frames = film_with_sound(tmp_path, ".mp4", "libx264 aac", picture_late_s)
    slides = clips.write_folder(tmp_path / "out", frames[::2])
    target = tmp_path / f"target{suffix}"
    join_slides(slides, len(frames[::2]), film.rate / 2, target, film, ignore)
    assert not caplog.text
    shown_s = seen_s(target)
    if suffix == ".avi":  # it counts pictures, and PyAV's time of one is that of a later packet
        shown = [clips.number(in_rgb(frame)) >= 16 for frame in decoded(target)]
        shown_s = float(shown.index(True) / (film.rate / 2))
    assert abs(lag_s(target, source) - (shown_s - seen_s(source))) <= 0.001


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_a_film_of_pictures_is_silent_and_says_so(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = probe_film(make_full_film(tmp_path / "source.mkv"))
    target = tmp_path / f"target{suffix}"
    slides = clips.write_folder(tmp_path / "out", clips.numbered(3))
    join_slides(slides, 3, film.rate, target, film, ignore)
    assert probe_film(target).sound == ()
    assert f"A {suffix[1:]} film leaves out sound track 1 of source.mkv" in caplog.text
    assert f"A {suffix[1:]} film leaves out subtitle track 1 of source.mkv" in caplog.text
