"""Write the journal of a working folder's runs while they last, and read it for the report.

The journal is `interp/journal.jsonl`: a line of JSON for each event. Lines are only appended, so a
run that is killed loses at most its last one. What to show of the events is left to `report`. The
journal must not hold secrets: it has backends by name, and messages as they were logged.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from threading import Lock, current_thread
from typing import Any

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, cannot_read, cannot_write
from stable_restyle.core.film_threads import film_of
from stable_restyle.core.records import DrawRecord

log = logging.getLogger("stable_restyle")


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run when it starts."""

    command: Sequence[str]  # to be typed again, without secrets
    folder: str  # that it was typed in
    secrets: bool  # whether some were removed from the command
    rate: str  # frames a second of the frames, as a fraction
    versions: Mapping[str, str]
    backends: Mapping[str, str]  # name -> what it is


@dataclass(frozen=True)
class SlideDrawn:
    slide: int
    backend: str
    began_s: float  # since the run began
    seconds: float


@dataclass(frozen=True)
class WindowMade:
    slides: range  # with --fill from key to key, both included
    backend: str
    began_s: float  # since the run began
    seconds: float


@dataclass
class Run:
    """One run, as the journal describes it."""

    began: float  # time.time()
    about: RunInfo
    slides: list[SlideDrawn] = field(default_factory=list)
    warnings: list[tuple[float, str]] = field(default_factory=list)  # seconds since it began
    failed: list[tuple[Sequence[int], str]] = field(default_factory=list)  # slides, and why
    ended_s: float | None = None  # None: it is still running, or was killed
    outcome: str = ""  # what ended it early; empty if it completed
    composed: set[int] = field(default_factory=set)  # slides, from answers
    windows: list[WindowMade] = field(default_factory=list)

    @property
    def made(self) -> set[int]:
        """Return the slides that it made. What backends drew are answers if slides are composed."""
        return self.composed.union(
            each.slide for each in self.slides if not (self.composed and each.backend)
        )

    @property
    def last_s(self) -> float:
        """Return when it ended, otherwise when its last event was: seconds since it began."""
        made: list[SlideDrawn | WindowMade] = [*self.slides, *self.windows]
        drawn = max((each.began_s + each.seconds for each in made), default=0.0)
        warned = max((at for at, _ in self.warnings), default=0.0)
        return max(drawn, warned) if self.ended_s is None else self.ended_s


class JsonLines:
    """A file of JSON lines that are only appended. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def add(self, *values: object) -> None:
        """Append a line for each value, all at once. Raises UnusableInput."""
        text = "".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values)
        try:
            with self._lock, files.patiently(lambda: self._path.open("a+b", buffering=0)) as file:
                if file.seek(0, 2) and (file.seek(-1, 2), file.read(1))[1] != b"\n":
                    text = "\n" + text  # a killed run left its last line incomplete
                file.write(text.encode())
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def read(self) -> Iterator[Any]:
        """Yield the value of every complete line, if there is a file. Raises UnusableInput."""
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise cannot_read(self._path, error) from error
        for line in lines:
            with suppress(ValueError, RecursionError):
                yield json.loads(line)


class Journal:
    """The events of one run. Thread-safe."""

    def __init__(self, path: Path, about: RunInfo) -> None:
        self._lines = JsonLines(path)
        self._began = time.perf_counter()
        self._backends = {name: index for index, name in enumerate(about.backends)}
        self._lock = Lock()  # of the backends
        self._lines.add({"run": {"began": round(time.time(), 3), **vars(about)}})

    def drawn(self, slide: int, by: DrawRecord) -> None:
        """Record a finished slide. The journal numbers slides as their files."""
        self._lines.add({"drawn": [slide + 1, *self._when(by)]})

    def window(self, slides: range, by: DrawRecord) -> None:
        """Record a window. slides: with --fill from key to key, both included."""
        self._lines.add({"window": [slides[0] + 1, slides[-1] + 1, *self._when(by)]})

    def composed(self, slide: int) -> None:
        """Record a slide that was composed from its answer, which `drawn` has recorded."""
        self._lines.add({"composed": slide + 1})

    def _when(self, by: DrawRecord) -> list[float]:
        """Return the number of a backend, -1 for none; when it began, and how long it took."""
        began_s = max(0.0, by.began - self._began)
        place = self._place(by.backend) if by.backend else -1
        return [place, round(began_s, 2), round(by.seconds, 2)]

    def _place(self, backend: str) -> int:
        """Return the number of a backend; add it if a worker that joined later brought it."""
        with self._lock:
            if backend not in self._backends:
                self._lines.add({"backend": backend})
            return self._backends.setdefault(backend, len(self._backends))

    def warn(self, text: str) -> None:
        self._lines.add({"warning": text, "at": self._now()})

    def failed(self, slides: Sequence[int], why: str) -> None:
        self._lines.add({"failed": [slide + 1 for slide in slides], "why": why})

    def end(self, outcome: str) -> None:
        """Record the end of the run. outcome: what ended it early; empty if it completed."""
        self._lines.add({"ended": outcome, "at": self._now()})

    def _now(self) -> float:
        return round(time.perf_counter() - self._began, 2)


class WarningCollector(logging.Handler):
    """Collects the warnings of a run until there is a listener, then forwards them.

    Where several films are drawn at the same time, only those of the film's own threads count.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._film = film_of(current_thread().name)
        self._waiting: list[str] = []
        self._forward: Callable[[str], None] = self._waiting.append

    def emit(self, record: logging.LogRecord) -> None:
        if self._film != film_of(record.threadName or ""):
            return
        with suppress(UnusableInput):  # a full disk is reported when slides are written
            self._forward(record.getMessage())

    def forward_to(self, listener: Callable[[str], None]) -> None:
        """Forward the warnings collected so far, and all further ones."""
        self._forward = listener
        for text in self._waiting:
            listener(text)


@contextmanager
def collect_warnings() -> Iterator[WarningCollector]:
    """Collect the package's warnings while the context lasts."""
    collector = WarningCollector()
    log.addHandler(collector)
    try:
        yield collector
    finally:
        log.removeHandler(collector)


def read(path: Path) -> list[Run]:
    """Read the runs of a journal in order, skipping invalid lines. Raises UnusableInput."""
    runs: list[Run] = []
    for event in JsonLines(path).read():
        with suppress(ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
            _add(event, runs)
    return runs


def finite(value: Any) -> float:
    """Return a number that was read from JSON. Raises ValueError for NaN, 1e999 and the like."""
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{value} is not a number")
    return number


def _add(event: Mapping[str, Any], runs: list[Run]) -> None:
    """Add an event to the runs of a journal."""
    if "run" in event:
        runs.append(Run(finite(event["run"]["began"]), _about(event["run"])))
    elif "backend" in event:
        was = runs[-1].about
        runs[-1].about = replace(was, backends={**was.backends, str(event["backend"]): ""})
    elif "drawn" in event:
        slide, place, began_s, seconds = event["drawn"]
        names = list(runs[-1].about.backends)
        name = names[place] if place >= 0 else ""
        runs[-1].slides.append(SlideDrawn(int(slide) - 1, name, finite(began_s), finite(seconds)))
    elif "window" in event:
        first, last, place, began_s, seconds = event["window"]
        name = list(runs[-1].about.backends)[place]
        shown = range(int(first) - 1, int(last))
        runs[-1].windows.append(WindowMade(shown, name, finite(began_s), finite(seconds)))
    elif "composed" in event:
        runs[-1].composed.add(int(event["composed"]) - 1)
    elif "warning" in event:
        runs[-1].warnings.append((finite(event["at"]), str(event["warning"])))
    elif "failed" in event:
        slides = [int(slide) - 1 for slide in event["failed"]]
        runs[-1].failed.append((slides, str(event["why"])))
    elif "ended" in event:
        runs[-1].ended_s, runs[-1].outcome = finite(event["at"]), str(event["ended"])


def _about(noted: Mapping[str, Any]) -> RunInfo:
    if Fraction(noted["rate"]) <= 0:
        raise ValueError("the rate must be above 0")
    return RunInfo(
        command=[*map(str, noted["command"])],
        folder=str(noted["folder"]),
        secrets=bool(noted["secrets"]),
        rate=str(noted["rate"]),
        versions={str(name): str(which) for name, which in noted["versions"].items()},
        backends={str(name): str(what) for name, what in noted["backends"].items()},
    )
