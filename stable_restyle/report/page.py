"""Write the report page of a working folder: interp/report.html.

It opens from disk, without a server and without the network. The page holds the overview; details
of slides are in small files next to it, BLOCK slides each, loaded on demand. Thumbnails come from
`thumbnails`, events from the journal; HTML, CSS and JavaScript are in assets/.

Nothing is trusted: names, messages and settings go into the page as data, which its script shows as
text, and its policy (CSP) lets it load nothing but files.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from threading import get_ident
from typing import Any
from urllib.parse import quote

from stable_restyle.core import files, shell
from stable_restyle.core.errors import bytes_in_words, cannot_write
from stable_restyle.core.records import Scene
from stable_restyle.media import sequence
from stable_restyle.report import timeline
from stable_restyle.report.thumbnails import Thumbnails
from stable_restyle.workdir import redo_notes
from stable_restyle.workdir.journal import Run, SlideDrawn
from stable_restyle.workdir.layout import RunPaths

BLOCK = 500  # slides described in one file
WARNINGS_SHOWN = 200
RUNS_SHOWN = 50

# The parts of the page's script in assets/js/, in the order in which they are joined.
SCRIPTS = (
    "common",
    "details",
    "sheet",
    "overview",
    "scene",
    "charts",
    "slide",
    "play",
    "redo",
    "main",
)

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


@dataclass(frozen=True)
class _Slides:
    """The state of every slide, by its index."""

    states: Sequence[str]
    small: set[int]
    drawn: Mapping[int, SlideDrawn]
    reasons: Mapping[int, int]  # why it is missing: index of one of the page's reasons


def write(subject: Subject, thumbnails: Thumbnails, runs: Sequence[Run]) -> None:
    """Write the page and its files. Raises UnusableInput."""
    shown = _shown(runs)
    reasons: list[str] = []
    slides = _look(subject, thumbnails, runs, shown, reasons)
    backends = sorted({each.backend for each in slides.drawn.values()})
    _write_blocks(subject, thumbnails, slides, backends)
    film = _film(subject, slides, runs, shown)
    _put(subject.paths.report_file, _page({**film, "names": backends, "reasons": reasons}))


def _shown(runs: Sequence[Run]) -> Run | None:
    """Return the run to show: the last one that drew anything, otherwise the last of all."""
    return next((run for run in reversed(runs) if run.slides), runs[-1] if runs else None)


def _look(
    subject: Subject,
    thumbnails: Thumbnails,
    runs: Sequence[Run],
    shown: Run | None,
    reasons: list[str],
) -> _Slides:
    """Return the state of every slide. reasons: filled with those of missing slides."""
    count = subject.scenes[-1].slides.stop
    existing = sequence.indices(subject.slides)
    new = {each.slide for each in shown.slides} if shown else set()
    states = [
        MISSING if slide not in existing else NEW if slide in new else KEPT
        for slide in range(count)
    ]
    drawn = {each.slide: each for run in runs for each in run.slides if each.slide in existing}
    failed: dict[int, int] = {}
    for lost, why in runs[-1].failed if runs else ():
        reasons.append(why)
        failed.update(dict.fromkeys(lost, len(reasons) - 1))
    reasons.append(_why_not_drawn(runs))
    missing = {s: failed.get(s, len(reasons) - 1) for s in range(count) if states[s] == MISSING}
    return _Slides(states, thumbnails.present() & existing, drawn, missing)


def _why_not_drawn(runs: Sequence[Run]) -> str:
    """Return why slides are missing that did not fail."""
    if not runs or runs[-1].ended_s is None:
        return "It has not been drawn yet."
    if runs[-1].outcome:
        return f"The run ended before it was drawn: {runs[-1].outcome}"
    return "It was removed after the run, or cannot be read."


def _write_blocks(
    subject: Subject, thumbnails: Thumbnails, slides: _Slides, backends: Sequence[str]
) -> None:
    """Write the details of every slide, in files that the page loads on demand."""
    steadiness = thumbnails.steadiness()
    seeds = redo_notes.read(subject.paths.redo_file).seeds
    given = {slide for scene in subject.scenes for slide in scene.given}
    between = _between(subject.paths.interp)
    place = {name: index for index, name in enumerate(backends)}
    for start in range(0, len(slides.states), BLOCK):
        inside = range(start, min(start + BLOCK, len(slides.states)))
        measured = [steadiness.get(slide) for slide in inside]
        drawn = [slides.drawn.get(slide) for slide in inside]
        block = {
            "state": "".join(slides.states[start : inside.stop]),
            "small": "".join("1" if slide in slides.small else "0" for slide in inside),
            "between": "".join(between.get(slide, "-") for slide in inside),
            "seconds": [each and each.seconds for each in drawn],
            "by": [each and place[each.backend] for each in drawn],
            "flicker": [each and each.flicker for each in measured],
            "e_warp": [each and _number(each.e_warp) for each in measured],
            "seed": {slide: seeds[slide] for slide in inside if slide in seeds},
            "given": [slide for slide in inside if slide in given],
            "reason": {s: slides.reasons[s] for s in inside if s in slides.reasons},
        }
        index = start // BLOCK
        path = subject.paths.report_folder / f"slides-{index}.js"
        _put(path, f"take({index},{_json(block)})".encode())


def _between(interp: Path) -> dict[int, str]:
    """Return the slides with pictures of --save-interp and their direction, "b" or "f"."""
    names = set(os.listdir(interp))
    return {
        int(stem[:-2]) - 1: stem[-1]
        for stem, dot, ending in (name.rpartition(".") for name in names)
        if stem[-2:] in ("-b", "-f") and stem[:-2].isdecimal() and dot + ending == ".png"
    }


def _film(
    subject: Subject, slides: _Slides, runs: Sequence[Run], shown: Run | None
) -> dict[str, Any]:
    """Return the data that the page itself holds."""
    paths = subject.paths
    about = shown.about if shown else None
    command = list(about.command) if about else list(subject.command)
    return {
        "title": subject.target.name or str(subject.target),
        "source": str(subject.source),
        "target": str(subject.target),
        "made": round(time.time()),
        "width": subject.width,
        "height": subject.height,
        "frames": subject.frames,
        "frames_per_slide": subject.frames_per_slide,
        "rate": float(subject.rate),
        "block": BLOCK,
        "paths": {
            "frames": _url(paths.frames, paths.interp),
            "slides": _url(subject.slides, paths.interp),
            "between": "",
            "report": f"{paths.report_folder.name}/",
        },
        "scenes": [_scene(scene, slides) for scene in subject.scenes],
        "command": shell.join(command),
        "folder": about.folder if about else "",
        "secrets": bool(about and about.secrets),
        "settings": _settings(subject.settings),
        "versions": list((about.versions if about else {}).items()),
        "backends": timeline.backends(shown) if shown else [],
        "runs": [_run(run) for run in runs[-RUNS_SHOWN:]],
        "shown": runs.index(shown) - max(0, len(runs) - RUNS_SHOWN) if shown else -1,
        "warnings": _warnings(shown) if shown else [],
    }


def _scene(scene: Scene, slides: _Slides) -> list[int]:
    """Return the numbers that describe a scene, in the order in which the script reads them.

    These are the counts of frames and slides, the middle, the counts of new and missing slides, the
    slide to show or -1, and the reason why slides are missing, if any are. Slides are counted from
    the scene's first.
    """
    first = scene.slides.start
    counts = Counter(slides.states[first : scene.slides.stop])
    by_likeness = sorted(scene.slides, key=lambda slide: abs(slide - scene.middle))
    picture = next((slide - first for slide in by_likeness if slide in slides.small), -1)
    row = [scene.stop - scene.start, len(scene.slides), scene.middle - first]
    row += [counts[NEW], counts[MISSING], picture]
    return row + [slides.reasons[s] for s in scene.slides if s in slides.reasons][:1]


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
        "slides": len(run.slides),
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


def _url(folder: Path, page_folder: Path) -> str:
    """Return a folder's URL relative to the page, with a slash at the end."""
    start, target = page_folder.resolve(), folder.resolve()
    try:
        relative = Path(os.path.relpath(target, start))
    except ValueError:  # on another drive of Windows
        return f"{target.as_uri()}/"
    return "".join(f"{quote(os.fsencode(part))}/" for part in relative.parts)


def _page(film: Mapping[str, Any]) -> bytes:
    """Return the page, whose policy allows no script and style but its own."""
    folder = resources.files("stable_restyle.report") / "assets"
    html, style = ((folder / name).read_text("utf-8") for name in ("report.html", "report.css"))
    script = "\n".join((folder / "js" / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {_hash(script)} 'self' file:; style-src {_hash(style)}; "
        "img-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    page = Template(html).substitute(
        policy=policy,
        title=escape(film["title"]),
        style=style,
        film=_json(film),
        script=script,
    )
    return page.encode("utf-8", "replace")


def _hash(inline: str) -> str:
    return f"'sha256-{b64encode(sha256(inline.encode()).digest()).decode()}'"


def _json(value: object) -> str:
    """Return JSON that cannot end the HTML or the script that it is put into."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # all of it ASCII
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; a report and a run may write it at the same time."""
    try:
        with files.replacing(path, f"{os.getpid()}-{get_ident()}") as part:
            part.write_bytes(data)
    except OSError as error:
        raise cannot_write(path, error, len(data)) from error
