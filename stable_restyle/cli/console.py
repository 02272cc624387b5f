"""Progress and log on stderr, and text that is safe to print."""

from __future__ import annotations

import logging
import re
import sys
import time
from contextlib import suppress
from queue import SimpleQueue
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

import click

from stable_restyle.core.film_threads import film_of

if TYPE_CHECKING:
    from tqdm import tqdm

LOG_EVERY_S = 30.0  # between lines of progress where stderr is not a terminal
STALLED_S = 20.0  # without progress, before the time left is no longer shown
STALLED_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"

log = logging.getLogger("stable_restyle")


class Console(logging.Handler):
    """Progress and log on stderr: a bar on a terminal, elsewhere a line now and then.

    Records of other threads wait for the main thread, which alone touches the bar.
    """

    def __init__(self, *, verbose: bool, quiet: bool) -> None:
        super().__init__()
        self._quiet = quiet
        self._waiting: SimpleQueue[str] = SimpleQueue()
        self._bar: tqdm[Any] | None = None
        self._lines: LogProgress | None = None
        self._stall = StallDetector(0.0)
        log.handlers = [self]
        log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
        log.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if film := film_of(record.threadName or ""):
            text = f"{film}: {text}"
        self._waiting.put(f"Warning: {text}" if record.levelno >= logging.WARNING else text)
        if current_thread() is main_thread():
            self.flush()

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        if self._quiet:
            return
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=task, total=total, initial=done, unit=f" {unit}", dynamic_ncols=True
            )
            self._stall = StallDetector(time.monotonic())
        else:
            self._lines = LogProgress(task, total, done, unit)

    def advance(self, count: int) -> None:
        self.flush()
        if self._bar is not None:
            advances = self._stall.advance(count, time.monotonic())
            self._bar.bar_format = None if advances else STALLED_BAR
            with suppress(OSError):
                self._bar.update(count)
                self._bar.refresh()
        elif self._lines is not None and (line := self._lines.advance(count, time.monotonic())):
            print_error(line)

    def remark(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
        elif self._lines is not None:
            self._lines.remark = text

    def end(self) -> None:
        self.flush()
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
        self._bar = self._lines = None

    def flush(self) -> None:
        """Print the waiting records. Called in the main thread only."""
        while not self._waiting.empty():
            text = self._waiting.get()
            if self._bar is not None:
                with suppress(OSError):
                    self._bar.write(visible(text), file=sys.stderr)
            else:
                print_error(text)


class StallDetector:
    """Detect when a task has stalled: its time left is unknown then."""

    def __init__(self, now: float) -> None:
        """now: time.monotonic()."""
        self._began = self._moved = now
        self._done = 0

    def advance(self, count: int, now: float) -> bool:
        """Add to the count. Returns False if nothing was done for three times what a unit takes."""
        if count:
            self._done, self._moved = self._done + count, now
        unit_s = (self._moved - self._began) / max(self._done, 1)
        return now - self._moved <= max(STALLED_S, 3 * unit_s)


class LogProgress:
    """Progress as lines for a log file, one every LOG_EVERY_S."""

    def __init__(self, task: str, total: int, done: int, unit: str) -> None:
        self._task, self._total, self._unit = task, total, unit
        self._done = self._done_before = done
        self._began = self._last = time.monotonic()
        self._stall = StallDetector(self._began)
        self.remark = ""

    def advance(self, count: int, now: float) -> str | None:
        """Add to the count; returns the line to show if one is due. now: time.monotonic()."""
        self._done += count
        advances = self._stall.advance(count, now)
        if now - self._last < LOG_EVERY_S:
            return None
        self._last = now
        rate = (self._done - self._done_before) / (now - self._began)
        left = f", {clock((self._total - self._done) / rate)} left" if rate and advances else ""
        remark = f", {self.remark}" if self.remark else ""
        return (
            f"{self._task}: {self._done} of {self._total} {self._unit}s, {rate:.2f} a second{left}"
            f"{remark}"
        )


def print_error(text: str) -> None:
    """Print a line on stderr; a run goes on where the terminal has been closed."""
    with suppress(OSError):
        click.echo(visible(text), err=True)


def visible(text: str) -> str:
    """Return text that is safe to print: no password of a mistyped URL, and no control characters,
    which a file name or a film can hold and a terminal would obey.
    """
    without_users = re.sub(r"(https?:/+)[^/\s]*@", r"\1***@", text)
    return "".join(
        c if c.isprintable() or c in "\n\t" or "\udc80" <= c <= "\udcff" else ascii(c)[1:-1]
        for c in without_users
    )


def clock(seconds: float) -> str:
    """Return a time as h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
