"""Write the report page of a working folder: interp/report.html.

It opens from disk, without a server and without the network. The page holds what `summary` gathers;
details of slides are in small files next to it, BLOCK slides each, loaded on demand. While a run
goes on, an open page loads film.js when now.js says that there is news: browsers let a page from
disk run scripts beside it, but not read JSON. Thumbnails come from `thumbnails`, events from the
journal; HTML, CSS and JavaScript are in assets/.

Nothing is trusted: names, messages and settings go into the page as data, which its script shows as
text, and its policy (CSP) lets it load nothing but files.
"""

from __future__ import annotations

import json
import math
import os
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from threading import get_ident
from typing import Any

from stable_restyle.core import files
from stable_restyle.core.errors import cannot_write
from stable_restyle.media import sequence, window_folder
from stable_restyle.report.summary import (
    BLOCK,
    KEPT,
    MISSING,
    NEW,
    SlideStates,
    Subject,
    shown_run,
    summarize,
)
from stable_restyle.report.thumbnails import Steadiness, Thumbnails
from stable_restyle.workdir import redo_notes
from stable_restyle.workdir.journal import Run

# The parts of the page's script in assets/js/, in the order in which they are joined.
SCRIPTS = (
    "common",
    "details",
    "sheet",
    "wipe",
    "overview",
    "run",
    "scene",
    "charts",
    "slide",
    "films",
    "play",
    "redo",
    "live",
    "main",
)


def write(subject: Subject, thumbnails: Thumbnails, runs: Sequence[Run]) -> None:
    """Write the page and its files. Raises UnusableInput.

    An open page asks now.js whether it has been written again, so that file comes last.
    """
    slides = _look(subject, thumbnails, runs)
    steadiness = thumbnails.steadiness()
    backends = sorted({each.backend for each in slides.drawn.values()})
    _write_blocks(subject, slides, steadiness, backends)
    film = {**summarize(subject, slides, steadiness, runs), "names": backends}
    folder = subject.paths.report_folder
    _put(folder / "film.js", f"renew({_json(film)})".encode())
    _put(subject.paths.report_file, _page(film))
    _put(folder / "now.js", f"now({film['made']})".encode())


def _look(subject: Subject, thumbnails: Thumbnails, runs: Sequence[Run]) -> SlideStates:
    """Return the state of every slide."""
    count = subject.scenes[-1].slides.stop
    existing = sequence.indices(subject.slides)
    shown = shown_run(runs)
    new = shown.made if shown else set()
    states = [
        MISSING if slide not in existing else NEW if slide in new else KEPT
        for slide in range(count)
    ]
    drawn = {each.slide: each for run in runs for each in run.slides if each.slide in existing}
    reasons: list[str] = []
    failed: dict[int, int] = {}
    for lost, why in runs[-1].failed if runs else ():
        reasons.append(why)
        failed.update(dict.fromkeys(lost, len(reasons) - 1))
    reasons.append(_why_not_drawn(runs))
    missing = {s: failed.get(s, len(reasons) - 1) for s in range(count) if states[s] == MISSING}
    small = thumbnails.present() & existing
    return SlideStates(states, small, drawn, thumbnails.times(), missing, reasons)


def _why_not_drawn(runs: Sequence[Run]) -> str:
    """Return why slides are missing that did not fail."""
    if not runs or runs[-1].ended_s is None:
        return "Not drawn yet."
    if runs[-1].outcome:
        return f"The run ended early: {runs[-1].outcome}"
    return "Removed after the run, or unreadable."


def _write_blocks(
    subject: Subject,
    slides: SlideStates,
    steadiness: Mapping[int, Steadiness],
    backends: Sequence[str],
) -> None:
    """Write the details of every slide, in files that the page loads on demand."""
    seeds = redo_notes.read(subject.paths.redo_file).seeds
    given = {slide for scene in subject.scenes for slide in scene.given}
    between, guides = _between(subject.paths.interp)
    answers = sequence.indices(subject.paths.answers)
    windows = {s: [w[0], w[-1]] for w in window_folder.find(subject.paths.windows) for s in w[1:-1]}
    place = {name: index for index, name in enumerate(backends)}
    for start in range(0, len(slides.states), BLOCK):
        inside = range(start, min(start + BLOCK, len(slides.states)))
        measured = [steadiness.get(slide) for slide in inside]
        drawn = [slides.drawn.get(slide) for slide in inside]
        block = {
            "state": "".join(slides.states[start : inside.stop]),
            "small": _flags(slide in slides.small for slide in inside),
            "between": "".join(between.get(slide, "-") for slide in inside),
            "guide": _flags(slide in guides for slide in inside),
            "answer": _flags(slide in answers for slide in inside),
            "seconds": [each and each.seconds for each in drawn],
            "by": [each and place[each.backend] for each in drawn],
            "flicker": [each and each.flicker for each in measured],
            "unexplained": [each and _number(each.unexplained) for each in measured],
            "seed": {slide: seeds[slide] for slide in inside if slide in seeds},
            "window": {slide: windows[slide] for slide in inside if slide in windows},
            "given": [slide for slide in inside if slide in given],
            "reason": {s: slides.missing[s] for s in inside if s in slides.missing},
            "written": [slides.times.get(slide, 0) for slide in inside],
        }
        index = start // BLOCK
        path = subject.paths.report_folder / f"slides-{index}.js"
        _put(path, f"take({index},{_json(block)})".encode())


def _flags(values: Iterable[bool]) -> str:
    return "".join("1" if each else "0" for each in values)


def _between(interp: Path) -> tuple[dict[int, str], set[int]]:
    """Return the slides with pictures of --save-interp: the direction, "b" or "f"; and guides."""
    names = [name.removesuffix(".png") for name in os.listdir(interp) if name.endswith(".png")]
    directions = {
        int(stem[:-2]) - 1: stem[-1]
        for stem in names
        if stem[-2:] in ("-b", "-f") and stem[:-2].isdecimal()
    }
    return directions, {int(stem) - 1 for stem in names if stem.isdecimal()}


def _page(film: Mapping[str, Any]) -> bytes:
    """Return the page, whose policy allows no script and style but its own."""
    folder = resources.files("stable_restyle.report") / "assets"
    html, style = ((folder / name).read_text("utf-8") for name in ("report.html", "report.css"))
    script = "\n".join((folder / "js" / f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {_hash(script)} 'self' file:; style-src {_hash(style)}; "
        "img-src 'self' file:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
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
