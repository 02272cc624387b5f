"""Keep the journal of a run while it lasts, and write its report page at the end."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread

import cv2
import numpy as np

from stable_restyle.core.errors import RestyleError, UnusableInput
from stable_restyle.core.film_threads import named
from stable_restyle.core.progress import Progress, task
from stable_restyle.core.settings import DEFAULT_RATE, Settings
from stable_restyle.media import sequence
from stable_restyle.media.frames import Frames, reading
from stable_restyle.media.probe import Film
from stable_restyle.plan import scenes
from stable_restyle.report import jumps, page
from stable_restyle.report.jumps import Jumps
from stable_restyle.report.summary import Subject
from stable_restyle.report.thumbnails import Thumbnails
from stable_restyle.run import film_source, prepare, stages
from stable_restyle.run.failures import SlidesMissing
from stable_restyle.run.inputs import run_paths
from stable_restyle.workdir import input_file, journal, settings_file
from stable_restyle.workdir.journal import Journal, RunInfo, WarningCollector
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.lock import FolderLost, seems_held

RENEW_S = 5.0  # between reports while a run goes on
RENEW_PAUSES = 20  # or this many times as long as it takes to write one: those of long films

log = logging.getLogger(__name__)


def about(settings: Settings, backends: Mapping[str, str], source: Film | Frames) -> RunInfo:
    """Return the journal's first entry for a run. backends: name -> description."""
    secret = any("@" in each or "?" in each for each in settings.backends)
    return RunInfo(
        command=settings.command,
        folder=os.getcwd(),
        secrets=secret or bool(settings.headers),
        rate=str(prepare.frame_rate(source, settings.rate)),
        versions={
            "video-restyle": version("stable-restyle"),
            "Python": platform.python_version(),
            "OpenCV": cv2.__version__,
            "NumPy": np.__version__,
            "System": platform.platform(terse=True),
        },
        backends=backends,
    )


@dataclass
class Reported:
    """The journal of a run and, once that has ended, what its report shows."""

    journal: Journal
    jumps: Jumps | None = None  # None: there is no report


@contextmanager
def reported(
    settings: Settings,
    paths: RunPaths,
    about: RunInfo,
    warnings: WarningCollector,
    progress: Progress,
) -> Iterator[Reported]:
    """Keep the journal of a run, and write the report when it ends, in whatever way."""
    notes = Journal(paths.journal_file, about)
    warnings.forward_to(notes.warn)
    kept = Reported(notes)
    try:
        with _renewing(settings, paths, progress):
            yield kept
    except FolderLost:
        raise  # another run reports on the folder now
    except BaseException as error:
        outcome = str(error) if isinstance(error, RestyleError) else "it was interrupted"
        _end(notes, outcome, settings, paths, progress, make=isinstance(error, SlidesMissing))
        raise
    kept.jumps = _end(notes, "", settings, paths, progress, make=True)


@contextmanager
def _renewing(settings: Settings, paths: RunPaths, progress: Progress) -> Iterator[None]:
    """Write the report regularly while the context lasts, for those who look at the page."""
    over = Event()

    def renew() -> None:
        pause_s = RENEW_S
        while not over.wait(pause_s):
            began = time.monotonic()
            with suppress(RestyleError, OSError):  # reported at the end of the run
                _report(settings, paths, progress, make=False)
            pause_s = max(RENEW_S, RENEW_PAUSES * (time.monotonic() - began))

    thread = Thread(target=renew, name=named("renew the report"), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def write_report(settings: Settings, progress: Progress) -> Path:
    """Write interp/report.html for the current state, even during a run; return its path.

    Raises UnusableInput if nothing has been restyled.
    """
    paths = run_paths(settings)
    _report(settings, paths, progress, make=True)
    return paths.report_file


def _end(
    notes: Journal,
    outcome: str,
    settings: Settings,
    paths: RunPaths,
    progress: Progress,
    *,
    make: bool,
) -> Jumps | None:
    """End the journal, write the report, and return its jumps.

    A failing report does not fail the run.
    """
    try:
        notes.end(outcome)
        is_known = paths.scenes_file.exists() and prepare.has_frames(paths)
        if is_known or paths.looking_file.exists():
            return _report(settings, paths, progress, make=make)
    except FolderLost:
        raise
    except (RestyleError, OSError) as error:
        log.warning("There is no report of this run: %s", error)
    return None


def _report(settings: Settings, paths: RunPaths, progress: Progress, *, make: bool) -> Jumps:
    """Write the report; return its jumps.

    make: first make the missing thumbnails, which takes time.
    """
    runs = journal.read(paths.journal_file)
    frames, bounds = _frames(paths)
    subject = _subject(settings, paths, frames, bounds, runs)
    thumbnails = Thumbnails(
        paths.report_folder,
        frames,
        subject.slides,
        subject.frames_per_slide,
        subject.scenes,
    )
    if make:
        with reading(frames):
            _complete(thumbnails, progress)
    page.write(subject, thumbnails, runs)
    return jumps.find(thumbnails.steadiness())


def _complete(thumbnails: Thumbnails, progress: Progress) -> None:
    """Make the thumbnails that are missing, and compare them."""
    if missing := thumbnails.missing():
        with task(progress, "Thumbnails", len(missing), "slide"):
            thumbnails.make(missing, progress.advance)
    if unmeasured := thumbnails.unmeasured():
        with task(progress, "Comparing slides", len(unmeasured), "slide"):
            thumbnails.measure(unmeasured, progress.advance)


def _frames(paths: RunPaths) -> tuple[Frames, Sequence[int]]:
    """Return the frames of a run, unchecked, and its scenes' boundaries. Raises UnusableInput."""
    if paths.scenes_file.exists() and (frames := prepare.unchecked_frames(paths)) is not None:
        return frames, scenes.read_boundaries(paths.scenes_file, frames.count)
    if paths.film is not None and (looked_at := film_source.as_looked(paths.film, paths)):
        return looked_at, looked_at.bounds
    raise UnusableInput(
        f"Nothing has been restyled in {paths.interp} yet: it has no frames or no scenes.json."
        "\nRun the command without --report first; or name the SOURCE, the TARGET and the "
        "--work of the run."
    )


def _subject(
    settings: Settings,
    paths: RunPaths,
    frames: Frames,
    bounds: Sequence[int],
    runs: Sequence[journal.Run],
) -> Subject:
    """Return the subject of the report, as far as the run has come. Raises UnusableInput."""
    noted = settings_file.read(paths)
    frames_per_slide = settings_file.frames_per_slide(noted) or settings.frames_per_slide
    # Until the first slide is deflickered, show the drawn slides.
    shown = sequence.numbered(paths.shown)
    return Subject(
        paths=paths,
        slides=paths.shown if shown else stages.as_left(paths).slides,
        source=settings.source,
        target=settings.target,
        width=frames.width,
        height=frames.height,
        frames_per_slide=frames_per_slide,
        rate=Fraction(runs[-1].about.rate) if runs else settings.rate or DEFAULT_RATE,
        scenes=scenes.find_scenes(bounds, frames_per_slide, input_file.given_slides(paths)),
        frames=frames.count,
        frame_names=frames.names,
        settings=noted,
        command=settings.command,
        running=bool(runs) and runs[-1].ended_s is None and seems_held(paths.interp),
    )
