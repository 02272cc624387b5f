"""What the runs of a working folder did, noted while they do it and read back for the report.

The journal is `interp/journal.jsonl`: a line of JSON for each event, only ever added to, so that a
run that is killed loses nothing but its last line. What the events are worth showing is left to
`report`. Nothing here may hold a secret: backends come by their names, and messages as they were
logged.
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
from io import FileIO
from pathlib import Path
from threading import Lock, current_thread
from typing import Any

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, cannot_read, cannot_write
from stable_restyle.core.records import FILM_THREAD, DrawRecord

log = logging.getLogger("stable_restyle")


@dataclass(frozen=True)
class RunInfo:
    """What is known of a run when it begins."""

    command: Sequence[str]  # to be typed again, without secrets
    folder: str  # that it was typed in
    secrets: bool  # whether the command was given any, which it now lacks
    rate: str  # frames a second of the frames, as a fraction
    versions: Mapping[str, str]
    backends: Mapping[str, str]  # name -> what it is


@dataclass(frozen=True)
class SlideDrawn:
    slide: int
    backend: str
    began_s: float  # since the run began
    seconds: float


@dataclass
class Run:
    """One run as the journal has it."""

    began: float  # time.time()
    about: RunInfo
    slides: list[SlideDrawn] = field(default_factory=list)
    warnings: list[tuple[float, str]] = field(default_factory=list)  # seconds since it began
    failed: list[tuple[Sequence[int], str]] = field(default_factory=list)  # slides, and why
    ended_s: float | None = None  # None: it goes on, or was killed
    outcome: str = ""  # what ended it early; empty: it came to its end

    @property
    def last_s(self) -> float:
        """When it ended, or was last heard of: seconds since it began."""
        drawn = max((each.began_s + each.seconds for each in self.slides), default=0.0)
        warned = max((at for at, _ in self.warnings), default=0.0)
        return max(drawn, warned) if self.ended_s is None else self.ended_s


class JsonLines:
    """A file of JSON lines that is only added to. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def add(self, *values: object) -> None:
        """Write a line for each value, all in one go. Raises UnusableInput."""
        text = "".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values)
        try:
            with self._lock, files.patiently(self._open) as file:
                if file.seek(0, 2) and (file.seek(-1, 2), file.read(1))[1] != b"\n":
                    text = "\n" + text  # the last line was torn when a run was killed
                file.write(text.encode())
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def _open(self) -> FileIO:
        return self._path.open("a+b", buffering=0)

    def read(self) -> Iterator[Any]:
        """Every value whose line is whole; none if there is no file. Raises UnusableInput."""
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
    """Notes what one run does. Thread-safe."""

    def __init__(self, path: Path, about: RunInfo) -> None:
        self._lines = JsonLines(path)
        self._began = time.perf_counter()
        self._backends = {name: index for index, name in enumerate(about.backends)}
        self._lock = Lock()  # of the backends
        self._lines.add({"run": {"began": round(time.time(), 3), **vars(about)}})

    def drawn(self, slide: int, by: DrawRecord) -> None:
        """A slide is kept. Slides are numbered here as their files are."""
        began_s = max(0.0, by.began - self._began)
        place = self._place(by.backend) if by.backend else -1
        self._lines.add({"drawn": [slide + 1, place, round(began_s, 2), round(by.seconds, 2)]})

    def _place(self, backend: str) -> int:
        """The number of a backend; a worker that has joined brings others."""
        with self._lock:
            if backend not in self._backends:
                self._lines.add({"backend": backend})
            return self._backends.setdefault(backend, len(self._backends))

    def warn(self, text: str) -> None:
        self._lines.add({"warning": text, "at": self._now()})

    def failed(self, slides: Sequence[int], why: str) -> None:
        self._lines.add({"failed": [slide + 1 for slide in slides], "why": why})

    def end(self, outcome: str) -> None:
        """outcome: what ended the run early, or nothing."""
        self._lines.add({"ended": outcome, "at": self._now()})

    def _now(self) -> float:
        return round(time.perf_counter() - self._began, 2)


class WarningCollector(logging.Handler):
    """The warnings of a run: held back until somebody listens to them.

    Where films are drawn beside each other, only what is said in the film's own thread is heard.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        thread = current_thread()
        self._only = thread.ident if thread.name.startswith(FILM_THREAD) else None
        self._waiting: list[str] = []
        self._forward: Callable[[str], None] = self._waiting.append

    def emit(self, record: logging.LogRecord) -> None:
        if self._only not in (None, record.thread):
            return
        with suppress(UnusableInput):  # a full disk: what keeps slides will say so
            self._forward(record.getMessage())

    def forward_to(self, listener: Callable[[str], None]) -> None:
        """Hand over what has come, and from now on what comes."""
        self._forward = listener
        for text in self._waiting:
            listener(text)


@contextmanager
def collect_warnings() -> Iterator[WarningCollector]:
    """What the package warns of while this lasts."""
    heard = WarningCollector()
    log.addHandler(heard)
    try:
        yield heard
    finally:
        log.removeHandler(heard)


def read(path: Path) -> list[Run]:
    """The runs of a journal, the first one first; lines that make no sense are passed over."""
    runs: list[Run] = []
    for event in JsonLines(path).read():
        with suppress(ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
            _take_in(event, runs)
    return runs


def finite(noted: Any) -> float:
    """A number that was read from JSON, which may hold NaN and 1e999. Raises ValueError."""
    if not math.isfinite(number := float(noted)):
        raise ValueError(f"{noted} is not a number")
    return number


def _take_in(event: Mapping[str, Any], runs: list[Run]) -> None:
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
    elif "warning" in event:
        runs[-1].warnings.append((finite(event["at"]), str(event["warning"])))
    elif "failed" in event:
        slides = [int(slide) - 1 for slide in event["failed"]]
        runs[-1].failed.append((slides, str(event["why"])))
    elif "ended" in event:
        runs[-1].ended_s, runs[-1].outcome = finite(event["at"]), str(event["ended"])


def _about(noted: Mapping[str, Any]) -> RunInfo:
    if Fraction(noted["rate"]) <= 0:
        raise ValueError("a rate is above 0")
    return RunInfo(
        command=[*map(str, noted["command"])],
        folder=str(noted["folder"]),
        secrets=bool(noted["secrets"]),
        rate=str(noted["rate"]),
        versions={str(name): str(which) for name, which in noted["versions"].items()},
        backends={str(name): str(what) for name, what in noted["backends"].items()},
    )
