"""What is measured of a film, and which files are refused."""

from __future__ import annotations

import shutil
import socket
from fractions import Fraction
from pathlib import Path

import pytest
from support import clips

from stable_restyle.core.errors import UnusableInput
from stable_restyle.media import png
from stable_restyle.media.probe import probe_film


@pytest.mark.parametrize(
    ("stamps", "tick", "rate"),
    [
        pytest.param([0, 1000, 1033, 1066, 3000, 3033], 1000, 30, id="a recorded screen"),
        pytest.param([7507 * (k // 2) + 3003 * (k % 2) for k in range(40)], 90000, 24, id="DVD"),
        pytest.param([40 * k + k % 3 for k in range(40)], 1000, 25, id="shaken"),
    ],
)
def test_a_film_without_a_steady_pace_gets_a_usual_rate(
    stamps: list[int], tick: int, rate: int, tmp_path: Path
) -> None:
    path = tmp_path / "film.mkv"
    clips.make_with_stamps(path, clips.numbered(len(stamps)), stamps, Fraction(1, tick))
    film = probe_film(path)
    assert abs(film.rate / rate - 1) < 0.002  # 23.976 for 24
    assert film.frames == pytest.approx(stamps[-1] / tick * rate + 1, abs=1)


def test_what_is_no_film_is_refused(tmp_path: Path) -> None:
    text, empty, picture = (tmp_path / name for name in ("text.mp4", "empty.mkv", "100%03d.png"))
    text.write_text("This is no film.\n" * 100)
    shutil.copy(text, tmp_path / "text.txt")
    empty.touch()
    png.write(picture, clips.numbered(1)[0])
    for path, reason in [
        (tmp_path / "gone.mp4", "does not exist"),
        (text, "is not a film"),
        (tmp_path / "text.txt", "not a film"),
        (empty, "is not a film"),
        (picture, "is a picture"),
        (tmp_path, "is not a film|may not be read"),  # Windows opens no folders
    ]:
        with pytest.raises(UnusableInput, match=reason) as error:
            probe_film(path)
        assert str(path) in str(error.value)


def test_a_webp_that_does_not_move_is_no_film(tmp_path: Path) -> None:
    still = tmp_path / "still.webp"
    clips.make(still, clips.numbered(1), "-c:v", "libwebp")
    with pytest.raises(
        UnusableInput, match=r"still\.webp is a picture, not a film.\nName its folder"
    ):
        probe_film(still)


def test_sound_alone_is_refused_with_or_without_a_cover(tmp_path: Path) -> None:
    sound, cover, both = tmp_path / "sound.mp3", tmp_path / "cover.png", tmp_path / "both.mp3"
    clips.run_ffmpeg("-f", "lavfi", "-i", "sine=d=0.5", sound)
    png.write(cover, clips.numbered(1)[0])
    clips.run_ffmpeg("-i", sound, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", both)
    with pytest.raises(UnusableInput, match="has no video:"):
        probe_film(sound)
    with pytest.raises(UnusableInput, match="has no video, only a cover:"):
        probe_film(both)


def test_a_film_without_its_index_is_refused(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "film.mp4", clips.scenes(20))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UnusableInput, match="too damaged"):
        probe_film(path)


def test_a_film_with_nothing_to_decode_is_refused(tmp_path: Path) -> None:
    path = clips.make(tmp_path / "film.mp4", clips.numbered(3))
    data = path.read_bytes()
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    path.write_bytes(data[:begin] + bytes(end - begin) + data[end:])
    with pytest.raises(UnusableInput, match="not one frame"):
        probe_film(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{there}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "ffconcat version 1.0\nfile '{there}'\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
         "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("elsewhere", ["http", "file"])
def test_a_list_of_films_is_refused_and_leads_nowhere(
    name: str, text: str, elsewhere: str, tmp_path: Path
) -> None:
    """A list could bring other files of this machine, or of its network, into the slides."""
    private = clips.make(tmp_path / "private.mp4", clips.numbered(4))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        there = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"
        (tmp_path / name).write_text(text.format(there=there if elsewhere == "http" else private))
        with pytest.raises(UnusableInput, match=name):
            probe_film(tmp_path / name)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
