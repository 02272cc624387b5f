"""The scripts of examples/ do what they say, in a folder with in/ and out/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import av
import pytest
from support import clips, paths
from support.comfy_server import ComfyServer
from support.programs import LONGEST_S

from stable_restyle.core.settings import BACKENDS_VARIABLE
from stable_restyle.media.ffmpeg import find_ffmpeg

pytestmark = pytest.mark.skipif(os.name == "nt", reason="they are written for a POSIX shell")
EXAMPLES = paths.ROOT / "examples"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with films in in/, one of a difficult name, and something else."""
    (tmp_path / "in").mkdir()
    clips.make(tmp_path / "in" / "one.mp4", clips.scenes(4))
    shutil.copy(tmp_path / "in" / "one.mp4", tmp_path / "in" / 'two "x" \\.mov')
    (tmp_path / "in" / "notes.txt").write_text("no film")
    return tmp_path


def script(
    name: str, *words: str, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    programs = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    return subprocess.run(
        ["sh", str(EXAMPLES / name), *words],
        cwd=folder,
        env={**os.environ, BACKENDS_VARIABLE: "", "PATH": programs, **variables},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )


def test_a_shelf_of_films_and_both_side_by_side(shelf: Path) -> None:
    done = script("shelf.sh", "--backend", "preview", folder=shelf)
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (shelf / "out").glob("*.m*")}
    assert made == {"one.mp4", 'two "x" \\.mov'}
    again = script("shelf.sh", "--backend", "preview", folder=shelf)
    assert again.returncode == 0 and again.stderr.count("is finished") == 2

    done = script("side-by-side.sh", folder=shelf, FFMPEG=find_ffmpeg(), HEIGHT="48")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    with av.open(shelf / "out" / "side-by-side" / "one.mp4") as film:
        pictures = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    height, width = pictures[0].shape
    assert (width, height) == (2 * clips.WIDTH, clips.HEIGHT) and 3 <= len(pictures) <= 5
    left, right = pictures[0][:, : width // 2], pictures[0][:, width // 2 :]
    assert abs(left.astype(float) - right).mean() > 2


def test_side_by_side_needs_an_ffmpeg(shelf: Path) -> None:
    done = script("side-by-side.sh", folder=shelf, FFMPEG="no-such-ffmpeg")
    assert done.returncode == 2 and "Install FFmpeg" in done.stderr


def test_a_night_on_two_servers(shelf: Path) -> None:
    with ComfyServer() as one, ComfyServer() as two:
        servers = f"{one.url} {two.url}"
        done = script("night.sh", "--fps", "1", folder=shelf, SERVERS=servers, PAUSE="0")
        assert one.prompts and two.prompts
    log = (shelf / "out" / "night.log").read_text()
    assert done.returncode == 0, log
    assert log.count("can draw this run  yes") == 2 and log.count("Done: 4 slides") == 2
    assert "Try 1." in log and "Try 2." not in log
    assert "Report: " in done.stdout


def test_a_night_ends_early_if_no_server_can_draw(shelf: Path) -> None:
    done = script("night.sh", folder=shelf, SERVERS="http://127.0.0.1:9")
    assert done.returncode == 4 and "No server can render this" in done.stderr
    assert not (shelf / "out" / "films.txt").exists()


@pytest.mark.parametrize(
    ("codes", "tries", "ends"), [("0 4 1 0", 3, 0), ("0 4 4 4 4", 3, 4), ("0 3", 1, 3)]
)
def test_a_night_goes_on_after_what_may_pass(
    shelf: Path, codes: str, tries: int, ends: int
) -> None:
    """With a program that ends with these exit codes, the first one after the check."""
    program = shelf / "bin" / "video-restyle"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nread code < codes; sed -i 1d codes; exit "$code"\n')
    program.chmod(0o755)
    (shelf / "codes").write_text(codes.replace(" ", "\n") + "\n")
    programs = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = script("night.sh", folder=shelf, PATH=programs, PAUSE="0", TRIES="3")
    assert done.returncode == ends
    assert (shelf / "out" / "night.log").read_text().count("Try ") == tries
