"""Which FFmpeg is used, and that file names are not taken for options, patterns or addresses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support import clips
from support.media import ignore, posix, stand_in

from stable_restyle.core.errors import RestyleError
from stable_restyle.media import sequence
from stable_restyle.media.ffmpeg import find_ffmpeg
from stable_restyle.media.join import join_slides
from stable_restyle.media.probe import probe_film
from stable_restyle.media.split import split_film


@posix
@pytest.mark.parametrize(
    "script", ["for a in libx264 png -fps_mode; do echo ' x' $a; done", "exit 1"]
)
def test_an_ffmpeg_that_cannot_do_enough_is_passed_over(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = stand_in(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", str(lacking.parent), prepend=os.pathsep)
    assert find_ffmpeg() != str(lacking)


@posix
def test_an_ffmpeg_on_the_path_that_can_do_all_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = stand_in(tmp_path / "bin", "for a in scdet libx264 png -fps_mode; do echo ' x' $a; done")
    monkeypatch.setenv("PATH", str(able.parent), prepend=os.pathsep)
    assert find_ffmpeg() == str(able)


@posix
def test_without_any_ffmpeg_the_error_says_what_each_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = stand_in(tmp_path / "bin", "for a in libx264 png -fps_mode; do echo ' x' $a; done")
    monkeypatch.setenv("PATH", str(lacking.parent))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "gone"))
    with pytest.raises(RestyleError) as error:
        find_ffmpeg("zscale", task="Splitting night.mov")
    assert "Splitting night.mov needs" in str(error.value)
    assert f"{lacking} lacks scdet, zscale" in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        "with spaces and 'quotes\".mp4",
        "100%03d%%.mp4",
        "concat:a|b.mp4",
        "[0:v],scale=1:1;.mp4",
        pytest.param("not utf-8 \udcff\udcfe.mp4", id="not UTF-8"),
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in (
                "-y -i.mp4",
                "http:..x.mp4",
                "back\\slash.mp4",
                "new\nline.mp4",
                "ünïcödé 影片.mp4",
                "<film>.mp4",
            )
        ),
    ],
)
def test_a_name_is_a_name(
    make_folder: Callable[[str], Path], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(name.removesuffix(".mp4"))
    monkeypatch.chdir(folder)
    shutil.move(clips.make(tmp_path / "film.mp4", clips.numbered(4)), name)
    film = probe_film(Path(name))
    slides = Path(name + " frames")
    slides.mkdir()
    split_film(film, slides, 10, ignore)
    assert len(sequence.numbered(slides)) == 4
    join_slides(slides, 4, film.rate, Path("new " + name), film, ignore)
    Path(name).unlink()
    join_slides(slides, 4, film.rate, Path(name), None, ignore)
    assert sorted(os.listdir()) == sorted([name, "new " + name, slides.name])
