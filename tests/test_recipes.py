"""Every command of the documents works as it stands, in the order of its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import clips, paths
from support.comfy_server import ComfyServer
from support.programs import LONGEST_S

from stable_restyle.core.settings import BACKENDS_VARIABLE
from stable_restyle.media import png, sequence

FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (films\.txt|restyle\.toml)\n")  # the first line of a block that is a file


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the kind and the text of each fenced block of a page."""
    return [(kind, text) for _, kind, text in FENCED.findall(page.read_text("utf-8"))]


def pages() -> list[Path]:
    found = sorted([*paths.ROOT.glob("*.md"), *paths.ROOT.glob("docs/*.md")])
    return [page for page in found if any(kind == "sh" for kind, _ in blocks(page))]


@pytest.fixture
def servers() -> Iterator[list[str]]:
    with ComfyServer() as one, ComfyServer() as two:
        yield [one.url, two.url]


@pytest.mark.skipif(sys.platform == "win32", reason="they are written for a POSIX shell")
@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_a_page_can_be_pasted(page: Path, tmp_path: Path, servers: list[str]) -> None:
    frames = clips.scenes(7, 5)
    clips.make(tmp_path / "film.mp4", frames)
    (tmp_path / "in").mkdir()
    for index, frame in enumerate(frames):
        png.write(tmp_path / "in" / sequence.name(index), frame)
    programs = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    shown = {
        **os.environ,
        "PATH": programs,
        "HOME": str(tmp_path),  # some change the settings of a shell
        BACKENDS_VARIABLE: ",".join(servers),
    }
    for kind, text in blocks(page):
        for host, url in zip(("gpu1", "gpu2"), servers, strict=True):
            text = text.replace(f"http://{host}:8188", url)
        if name := FILE.match(text):
            (tmp_path / name[1]).write_text(text, "utf-8")
        if kind != "sh":
            continue
        ended = subprocess.run(
            ["bash", "-ec", text],
            cwd=tmp_path,
            env=shown,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        assert ended.returncode == 0, f"{text}{ended.stdout}{ended.stderr}"
