"""Gather what the report page itself holds of a run: its film, scenes, jumps, backends and runs.

`page` writes it, with the details of every slide; assets/js/common.js reads it.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stable_restyle.core import shell
from stable_restyle.core.errors import bytes_in_words
from stable_restyle.core.records import Scene
from stable_restyle.media import window_folder
from stable_restyle.media.naming import OWN, Naming
from stable_restyle.media.window_folder import Join
from stable_restyle.report import jumps, timeline
from stable_restyle.report.jumps import NOTICEABLE, Jumps
from stable_restyle.report.thumbnails import LARGE_FRAMES, Steadiness, in_browsers
from stable_restyle.workdir.journal import Run, SlideDrawn
from stable_restyle.workdir.layout import RunPaths

BLOCK = 500  # slides described in one file
WARNINGS_SHOWN = 200
RUNS_SHOWN = 50

NEW, KEPT, MISSING = "n", "k", "m"  # a slide's state, as the page's script knows it

LABELS = {  # of settings.json: name, and unit
    "model": ("Workflow", ""),
    "seed": ("Seed", ""),
    "set": ("Changes (--set)", ""),
    "drawn_by": ("Drawn by", ""),
    "mask_strength": ("Mask strength", "of 8"),
    "mask_size": ("Mask size", "pixels"),
    "fps": ("Frames per slide", ""),
    "motion": ("Motion", ""),
    "frame_size": ("Frame size", "pixels"),
    "film": ("Film", ""),
    "fill": ("Fill (--fill)", ""),
    "finish": ("Finish (--finish)", ""),
}
UNSHOWN = (
    "model_sha256",
    "middle_model_sha256",
    "mask_decides",
    "film_sha256",
    "film_mtime_ns",
    "target",
    "set_in_scenes",
    "made_by",
    "film_sizes",
)


@dataclass(frozen=True)
class Subject:
    """The film and the run that a report shows."""

    paths: RunPaths
    slides: Path  # the folder of those that are shown
    source: Path
    target: Path
    width: int
    height: int
    frames_per_slide: int
    rate: Fraction  # frames per second
    scenes: Sequence[Scene]
    frames: int
    settings: Mapping[str, object]  # as in settings.json
    command: Sequence[str]  # shown if the journal has none
    running: bool  # whether a run is at work in the folder
    frame_names: Naming = OWN


@dataclass(frozen=True)
class SlideStates:
    """The state of every slide, by its index."""

    states: Sequence[str]
    small: set[int]
    drawn: Mapping[int, SlideDrawn]
    times: Mapping[int, int]  # when it was written, in milliseconds
    missing: Mapping[int, int]  # slide -> why it is missing: index of `reasons`
    reasons: Sequence[str]


def shown_run(runs: Sequence[Run]) -> Run | None:
    """Return the run to show: the last one that made anything, otherwise the last of all."""
    made = (run for run in reversed(runs) if run.made or run.windows)
    return next(made, runs[-1] if runs else None)


def summarize(
    subject: Subject,
    slides: SlideStates,
    steadiness: Mapping[int, Steadiness],
    runs: Sequence[Run],
) -> dict[str, Any]:
    """Return the data that the page itself holds."""
    paths, shown = subject.paths, shown_run(runs)
    found = jumps.find(steadiness)
    about = shown.about if shown else None
    command = list(about.command) if about else list(subject.command)
    return {
        "title": subject.target.name or str(subject.target),
        "source": str(subject.source),
        "target": str(subject.target),
        "made": round(time.time(), 3),
        "running": subject.running,
        "width": subject.width,
        "height": subject.height,
        "frames": subject.frames,
        "frames_per_slide": subject.frames_per_slide,
        "rate": float(subject.rate),
        "block": BLOCK,
        "frame_names": asdict(subject.frame_names),
        "paths": {
            "frames": _url(paths.frames, paths.interp) if paths.frames.exists() else "",
            "slides": _url(subject.slides, paths.interp),
            "large": "" if in_browsers(subject.frame_names) else _large(paths),
            "between": "",
            "answers": f"{paths.answers.name}/",
            "report": f"{paths.report_folder.name}/",
        },
        "films": _films(subject),
        "target_is_film": paths.result is not None,
        "scenes": [_scene(scene, slides, found) for scene in subject.scenes],
        "missing": [
            [number, reason] for reason, number in sorted(Counter(slides.missing.values()).items())
        ],
        "reasons": slides.reasons,
        "noticeable": vars(NOTICEABLE),
        "highest": {
            measure: max(map(_known, (getattr(each, measure) for each in steadiness.values())))
            for measure in vars(NOTICEABLE)
            if steadiness
        },
        "jumps": found.count,
        "worst": [
            [slide, steadiness[slide].flicker, _known(steadiness[slide].unexplained)]
            for slide in found.shown
        ],
        **_joins(window_folder.read_joins(paths.windows)),
        **_blends([window_folder.read_note(folder) for folder in paths.finishes]),
        "command": shell.join(command),
        "go_on": shell.join([*command, *_own_seed(subject.settings)]),
        "folder": about.folder if about else "",
        "secrets": bool(about and about.secrets),
        "settings": _settings(subject.settings),
        "versions": list((about.versions if about else {}).items()),
        "backends": timeline.backends(shown) if shown else [],
        "runs": [_run(run) for run in runs[-RUNS_SHOWN:]],
        "shown": runs.index(shown) - max(0, len(runs) - RUNS_SHOWN) if shown else -1,
        "warnings": _warnings(shown) if shown else [],
    }


def _joins(windows: Mapping[range, Mapping[int, Join]]) -> dict[str, Any]:
    """Return how many joins of windows and keys there are, and the worst of them.

    Each has the later one of the two slides that meet there, and the key's distance from the
    model's picture of it, before its colours are corrected and afterwards.
    """
    joins = [
        [max(key, slides[0] + 1), join.before, join.after]
        for slides, its in windows.items()
        for key, join in its.items()
    ]
    return {"joins": len(joins), "worst_joins": _worst(joins)}


def _blends(finishes: Sequence[Mapping[int, Join]]) -> dict[str, Any]:
    """Return how many places there are where windows of --finish are blended, and the worst.

    Each has the first slide of those that both windows show, and the distance of both from each
    other: in all, and from slide to slide.
    """
    blends = [
        [slide, join.before, join.after] for joins in finishes for slide, join in joins.items()
    ]
    return {"blends": len(blends), "worst_blends": _worst(blends)}


def _worst(joins: list[list[float]]) -> list[list[float]]:
    joins.sort(key=lambda join: (-join[2], join[0]))
    return joins[: jumps.MOST_SHOWN]


def _large(paths: RunPaths) -> str:
    """Return the URL of the folder of frames that browsers cannot show as they are."""
    return f"{paths.report_folder.name}/{LARGE_FRAMES}/"


def _films(subject: Subject) -> dict[str, str]:
    """Return the URLs of SOURCE and TARGET, empty unless they are films that exist.

    A film that has been written again has another URL, so that browsers load it again.
    """
    urls = {}
    for name, path in (("source", subject.paths.film), ("target", subject.paths.result)):
        urls[name] = ""
        if path is not None and path.is_file():
            made = path.stat().st_mtime_ns // 1_000_000
            urls[name] = f"{_url(path, subject.paths.interp).rstrip('/')}?{made}"
    return urls


def _own_seed(settings: Mapping[str, object]) -> list[str]:
    """Return the option for the run's seed: with --redo it would mean the slides to draw again."""
    seed = settings.get("seed")
    return [] if seed is None else ["--seed", str(seed)]


def _scene(scene: Scene, slides: SlideStates, found: Jumps) -> list[float]:
    """Return the numbers that describe a scene, in the order in which the script reads them.

    These are the counts of frames and slides, the middle, the counts of new and missing slides, the
    slide to show or -1, the severity of its worst jump, -1 if nothing was measured, and the count
    of jumps. Slides are counted from the scene's first.
    """
    first = scene.slides.start
    counts = Counter(slides.states[first : scene.slides.stop])
    by_likeness = sorted(scene.slides, key=lambda slide: abs(slide - scene.middle))
    picture = next((slide - first for slide in by_likeness if slide in slides.small), -1)
    severity = [found.severity[slide] for slide in scene.slides if slide in found.severity]
    row: list[float] = [scene.stop - scene.start, len(scene.slides), scene.middle - first]
    row += [counts[NEW], counts[MISSING], picture]
    return [*row, round(max(severity, default=-1), 2), sum(each >= 1 for each in severity)]


def _known(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _settings(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the label and the text of each setting that is in use."""
    rows = []
    for name, value in settings.items():
        if name in UNSHOWN or value is None or value is False or value == []:
            continue
        label, unit = LABELS.get(name, (name.replace("_", " ").capitalize(), ""))
        text = "; ".join(map(str, value)) if isinstance(value, list) else _shown_value(value)
        rows.append((label, f"{text} {unit}".strip()))
    return rows


def _shown_value(value: object) -> str:
    """Return a setting as text; sizes of films in readable units."""
    if value is True:
        return "yes"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return re.sub(r"\d+ bytes$", lambda size: bytes_in_words(int(size[0][:-6])), text)


def _run(run: Run) -> dict[str, Any]:
    """Return when a run was, and how it ended."""
    start, stop = timeline.drawing_span(run)
    return {
        "began": run.began,
        "seconds": run.last_s,
        "drawing": round(stop - start, 2),
        "slides": len(run.made),
        "ended": run.ended_s is not None,
        "outcome": run.outcome,
    }


def _warnings(run: Run) -> list[tuple[float, str, int]]:
    """Return each warning with the time of the first and the count."""
    times = Counter(text for _, text in run.warnings)
    first = {text: at for at, text in reversed(run.warnings)}
    rows = [(first[text], text, count) for text, count in times.items()]
    if len(rows) <= WARNINGS_SHOWN:
        return rows
    return [*rows[:WARNINGS_SHOWN], (run.last_s, f"and {len(rows) - WARNINGS_SHOWN} more", 1)]


def _url(path: Path, page_folder: Path) -> str:
    """Return the URL of a folder or file relative to the page, with a slash at the end."""
    start, target = page_folder.resolve(), path.resolve()
    try:
        relative = Path(os.path.relpath(target, start))
    except ValueError:  # on another drive of Windows
        return f"{target.as_uri()}/"
    return "".join(f"{quote(os.fsencode(part))}/" for part in relative.parts)
