"""Kill runs at random moments and resume them: the slides must be those of an undisturbed run.

`test_kills.py` does so a few times, `make soak` two hundred times. The command runs in its own
process, and only that is killed: an FFmpeg that it has started goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random

from support import clips, paths
from support.comfy_server import ComfyServer, window_workflow
from support.programs import COMMAND, LONGEST_S, Program
from support.runs import files

from stable_restyle.core.settings import BACKENDS_VARIABLE
from stable_restyle.media import png


@dataclass(frozen=True)
class Story:
    """A kind of run."""

    film: bool  # a film into a film; otherwise a folder into a folder
    motion: str
    server: bool  # a ComfyUI server draws; otherwise the preview engine
    options: tuple[str, ...] = ()
    is_real: bool = False  # ten seconds, which take a while to be looked through
    lengths: tuple[int, ...] = (9, 6, 8)  # of the scenes, in frames

    def __str__(self) -> str:
        kind, by = "film" if self.film else "folder", "server" if self.server else "preview"
        kind = f"real {kind}" if self.is_real else kind
        long = (f"{sum(self.lengths)} slides",) if self.lengths != Story.lengths else ()
        return " ".join((f"{kind}, {self.motion}, {by}", *self.options, *long))


STORIES = [
    Story(film, motion, server, options)
    for film in (False, True)
    for motion, options in (("codec", ()), ("flow", ()), ("flow:fast", ("--keys", "3")))
    for server in (False, True)
]
STORIES += [
    Story(False, "codec", False, ("--deflicker", "1")),
    Story(True, "flow", False, ("--deflicker", "1", "--anchor", "0.5")),
    Story(True, "codec", False, lengths=(60, 25, 35)),  # in three parts
]
STORIES += [Story(True, "codec", False, ("--fps", "12"), is_real=True)]
STORIES += [
    Story(film, "flow", True, ("--keys", "4", "--fill", "fill.json", *options))
    for film, options in (
        (False, ("--guide", "frame")),
        (True, ("--guide", "warped", "--finish", "finish.json", "--finish", "enlarge.json")),
    )
]


@dataclass(frozen=True)
class Stage:
    """A story that is set up: its source, its backend, and the results of an undisturbed run."""

    story: Story
    source: Path
    backend: str
    slides: dict[str, bytes]
    film: bytes | None  # what the slides become
    took_s: float

    def start(self, folder: Path) -> Program:
        return _start(self.story, self.source, self.backend, folder)

    def check_whole(self, folder: Path) -> None:
        """Check that every slide is readable, after a kill."""
        for path in _out(self.story, folder).glob("*.png"):
            png.read(path)

    def check_same(self, folder: Path) -> None:
        """Check that the results equal those of an undisturbed run, after the repeated run."""
        slides = files(_out(self.story, folder))
        names = self.slides | slides
        differing = [name for name in names if self.slides.get(name) != slides.get(name)]
        assert not differing, f"{self.story}: {differing} differ from an undisturbed run"
        if self.story.film:
            assert (folder / "clay.mp4").read_bytes() == self.film
            assert not list(folder.glob("clay.mp4*.part"))


@contextmanager
def staged(story: Story, folder: Path) -> Iterator[Stage]:
    """Set a story up in an empty folder, and run it once without disturbance."""
    pictures = clips.scenes(*story.lengths)
    if story.is_real:
        source = paths.EXAMPLE
    elif story.film:
        source = clips.make(folder / "film.mp4", pictures)
    else:
        source = clips.write_folder(folder / "in", pictures)
    with ComfyServer(draw_s=0.02) if story.server else nullcontext() as server:
        backend = server.url if server else "preview:clay"
        yield rehearse(story, source, backend, folder / "reference")


def rehearse(story: Story, source: Path, backend: str, folder: Path) -> Stage:
    """Run a story once without disturbance, in a new folder."""
    began = time.monotonic()
    _finish(_start(story, source, backend, folder))
    took_s = time.monotonic() - began
    film = (folder / "clay.mp4").read_bytes() if story.film else None
    return Stage(story, source, backend, files(_out(story, folder)), film, took_s)


def kill_and_repeat(stage: Stage, folder: Path, chance: Random) -> float:
    """Kill a run at a random moment and repeat it. Return the moment in seconds.

    Raises AssertionError if anything is lost.
    """
    shutil.rmtree(folder, ignore_errors=True)
    longest_s = stage.took_s
    while True:
        moment_s = chance.uniform(0, longest_s)
        process = stage.start(folder)
        try:
            process.communicate(timeout=moment_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            break
        longest_s = moment_s  # the run had ended: kill another one earlier
        shutil.rmtree(folder)
    stage.check_whole(folder)
    _finish(stage.start(folder))
    stage.check_same(folder)
    return moment_s


def _start(story: Story, source: Path, backend: str, folder: Path) -> Program:
    folder.mkdir(exist_ok=True)
    for name, mode in (("fill", "mix"), ("finish", "mix"), ("enlarge", "twice as large")):
        workflow = window_workflow(mode)
        if name != "fill":
            workflow["stable-restyle"]["pictures"] = {"1": "known", "2": "known", "3": "known-mask"}
            workflow["stable-restyle"]["window"] = {"step": 4, "plus": 1, "most": 5, "overlap": 2}
        (folder / f"{name}.json").write_text(json.dumps(workflow), "utf-8")
    target = folder / "clay.mp4" if story.film else folder / "out"
    options = ("--backend", backend, "--motion", story.motion, "--fps", "1", *story.options)
    return Program(
        [*COMMAND, str(source), str(target), *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, BACKENDS_VARIABLE: ""},
    )


def _finish(process: Program) -> None:
    with process:
        _, stderr = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, stderr


def _out(story: Story, folder: Path) -> Path:
    return folder / "clay.restyle" / "out" if story.film else folder / "out"
