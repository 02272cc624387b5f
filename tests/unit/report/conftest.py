"""A browser, and folders of finished runs, made once: tests that change one have a copy."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support import browser as browsers
from support import clips
from support.runs import run
from support.visits import Open, visits

from stable_restyle.backends.preview.engine import Preview
from stable_restyle.cli.main import with_command
from stable_restyle.core.records import Job, Slide
from stable_restyle.core.settings import Settings

AWKWARD = "a film, 100% #1 é?" if sys.platform != "win32" else "a film #1 é"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with browsers.opened() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    with visits(browser) as begin:
        yield begin


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Slides 1-4 and 5-7 in two scenes, the middles are 3 and 6; a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("report") / AWKWARD
    clips.write_folder(folder / "in", clips.scenes(8, 5))
    asked = Settings(folder / "in", folder / "out", backends=("preview:clay",), save_interp=True)
    plain = Preview.draw

    def draw(preview: Preview, job: Job) -> Slide:
        time.sleep(0.02)  # the journal notes hundredths of a second
        return plain(preview, job)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Preview, "draw", draw)
        run(with_command(asked))
    return asked


@pytest.fixture(scope="session")
def page(drawn: Settings) -> Path:
    """The page of `drawn`, to look at only."""
    return drawn.target.parent / "interp" / "report.html"


@pytest.fixture
def asked(drawn: Settings, tmp_path: Path) -> Settings:
    """A copy of `drawn`, to be changed."""
    folder = tmp_path / AWKWARD
    shutil.copytree(drawn.target.parent, folder)
    return replace(drawn, source=folder / "in", target=folder / "out")


@pytest.fixture(scope="session")
def film_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a film of 24 numbered frames, with sound; slides 1-6 and 7-12 are two scenes."""
    folder = tmp_path_factory.mktemp("film")
    encoding = ("-map", "0:v", "-map", "1:a", "-c:v", "libvpx-vp9", "-g", "6", "-crf", "10")
    sound = ("-f", "lavfi", "-i", "sine=duration=1")
    frames = clips.numbered(24).repeat(2, axis=1).repeat(2, axis=2)
    clips.make(
        folder / "film.webm", frames, *encoding, "-b:v", "0", "-c:a", "libopus", inputs=sound
    )
    interp = folder / "clay.restyle" / "interp"
    interp.mkdir(parents=True)
    (interp / "scenes.json").write_text("[0,12,24]")
    asked = Settings(folder / "film.webm", folder / "clay.webm", backends=("preview:clay",))
    run(with_command(asked))
    return interp / "report.html"
