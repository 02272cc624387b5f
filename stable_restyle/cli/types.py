"""The types of values that options take, beyond click's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from stable_restyle.core.ranges import parse_ranges

NTSC_RATES = [Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120)]


class Number(click.FloatRange):
    """A number between two bounds; "nan" is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class AnyPath(click.Path):
    """A path, which need not exist."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "\0" in str(value):
            self.fail(f"{value!r}: a file name cannot contain a NUL character.", param, ctx)
        return super().convert(value, param, ctx)


class Rate(click.ParamType[Fraction]):
    """Frames per second, such as 25 or 30000/1001, kept exact; 23.976 is read as 24000/1001."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            self.fail(f"{value!r} is not a frame rate; write 25 or 30000/1001.", param, ctx)
        return next((each for each in NTSC_RATES if str(value) in _rounded(each)), rate)


class Numbers(click.ParamType[str]):
    """Numbers such as 12,40-46, as typed."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value and param is not None:
            parse_ranges(value, f"{param.opts[0]} {value}", "slide")
        return value


class Suggested(click.ParamType[str]):
    """A text, for which a shell completes some values, and the names of files."""

    name = "text"

    def __init__(self, values: Callable[[], Iterable[str]], *, files: bool = False) -> None:
        self._values, self._files = values, files

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # Files first: click's script for bash forgets what comes before them.
        files = [CompletionItem(incomplete, type="file")] if self._files else []
        return [*files, *(CompletionItem(v) for v in self._values() if v.startswith(incomplete))]


def _rounded(rate: Fraction) -> set[str]:
    """Return a rate with 2 and with 3 decimals, as people write it."""
    return {f"{float(rate):.{digits}f}" for digits in (2, 3)}


def _shipped(*, windows: bool) -> list[str]:
    """Return the names of the workflows that come with the program: for windows, or for slides."""
    from stable_restyle.backends.comfyui import workflow_file

    return workflow_file.shipped(windows=windows)


FOR_SLIDES, FOR_WINDOWS = partial(_shipped, windows=False), partial(_shipped, windows=True)
