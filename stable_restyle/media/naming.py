"""Find the numbered pictures of a folder: how they are called, and that none is missing.

The program's own frames and slides are called 000001.png, 000002.png, ... People's have any prefix,
start and width of number, and the endings of ENDINGS in any case.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from stable_restyle.core.errors import UnusableInput, cannot_read, counted

BY_FFMPEG = (".dpx", ".exr")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", *BY_FFMPEG)
IN_BROWSERS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)(?P<tail>\.[^.\d][^.]*)", re.DOTALL)
_PATTERN = re.compile(r"(?P<prefix>[^%]*)%(?:0(?P<digits>\d\d?))?d(?P<tail>[^%]*)")
_SEQUENCES_SHOWN = 6

_Kind: TypeAlias = tuple[str, str]  # prefix and tail of a sequence


@dataclass(frozen=True)
class Naming:
    """How numbered pictures are called: a prefix, a number, and what follows it."""

    prefix: str = ""
    digits: int = 6  # of a number, at least: shorter ones begin with zeros
    tail: str = ".png"  # at least the ending
    first: int = 1  # number of the first picture

    def name(self, index: int) -> str:
        """Return the name of a picture. index: from 0."""
        return f"{self.prefix}{self.first + index:0{self.digits}d}{self.tail}"

    @property
    def ending(self) -> str:
        """Return the ending in lower case, such as ".jpg"."""
        return f".{self.tail.rpartition('.')[2].lower()}"

    @property
    def pattern(self) -> str:
        """Return the pattern of the names, such as shot_%04d.jpg."""
        return f"{self.prefix}%{f'0{self.digits}' if self.digits > 1 else ''}d{self.tail}"


OWN = Naming()  # of the program's own frames and slides


def split_pattern(path: Path) -> tuple[Path, str] | None:
    """Return folder and pattern of a path such as frames/shot_%04d.jpg; None without a pattern."""
    return (path.parent, path.name) if _PATTERN.fullmatch(path.name) else None


def located(path: Path) -> tuple[Path, str]:
    """Return the folder and the pattern of a path; one that exists has no pattern."""
    return (not os.path.exists(path) and split_pattern(path)) or (path, "")


def find(folder: Path, pattern: str = "", what: str = "frames") -> tuple[Naming, int]:
    """Return how the numbered pictures of a folder are called, and how many there are.

    pattern: names one of several sequences. what: they are, for messages. Raises UnusableInput,
    saying what is there, unless there is exactly one sequence, without a gap.
    """
    try:
        entries = sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
    except OSError as error:
        raise cannot_read(folder, error) from error
    if pattern:
        prefix, tail, numbers = _matching(entries, pattern)
        if not numbers:
            raise UnusableInput(
                f"There are no {what} called {pattern} in {folder}: {_content(entries)}.\n"
                "Correct the pattern, or name the folder without one."
            )
    else:
        prefix, tail, numbers = _only_sequence(folder, entries, what)
    naming = _naming(folder, prefix, tail, numbers)
    _check_gaps(folder, naming, sorted(map(int, numbers)))
    return naming, len(numbers)


def _matching(entries: Sequence[str], pattern: str) -> tuple[str, str, list[str]]:
    """Return the prefix, the tail, and the numbers of the names that a pattern means."""
    parts = _PATTERN.fullmatch(pattern)
    assert parts is not None
    prefix, tail, digits = parts["prefix"], parts["tail"], int(parts["digits"] or 1)
    name = re.compile(f"{re.escape(prefix)}(\\d{{{digits},}}){re.escape(tail)}", re.DOTALL)
    found = (name.fullmatch(entry) for entry in entries)
    return prefix, tail, [match[1] for match in found if match]


def _only_sequence(folder: Path, entries: Sequence[str], what: str) -> tuple[str, str, list[str]]:
    """Return the prefix, the tail, and the numbers of the only sequence in a folder."""
    found = _sequences(entries)
    several = _without_lone(found)
    if not several:
        raise UnusableInput(
            f"There are no {what} in {folder}: {_content(entries)}.\n"
            "They are numbered at the end of their names, such as 000001.png or shot_0001.jpg, "
            f"which end in {', '.join(ENDINGS)}.\n"
            "If the number stands elsewhere, write it as %04d: frames/shot_%04d_final.jpg."
        )
    if len(several) > 1:
        namings = [_sketch(*kind, numbers) for kind, numbers in several.items()]
        largest = max(namings, key=lambda each: each[2])[0]
        lines = [f"  {_span(*each)}" for each in namings[:_SEQUENCES_SHOWN]]
        if len(namings) > _SEQUENCES_SHOWN:
            lines.append(f"  and {len(namings) - _SEQUENCES_SHOWN} more")
        raise UnusableInput(
            f"There are {len(several)} numbered sequences in {folder}:\n"
            + "".join(f"{line}\n" for line in lines)
            + f"Name the one that you mean, such as {folder / largest.pattern}"
        )
    ((prefix, tail), numbers) = next(iter(several.items()))
    return prefix, tail, numbers


def _sequences(entries: Sequence[str]) -> Mapping[_Kind, list[str]]:
    """Return the numbers of each numbered sequence of pictures, by prefix and tail."""
    found: dict[_Kind, list[str]] = {}
    for entry in entries:
        match = _NUMBERED.fullmatch(entry)
        if match and match["tail"].lower() in ENDINGS:
            found.setdefault((match["prefix"], match["tail"]), []).append(match["number"])
    own = found.get((OWN.prefix, OWN.tail), [])
    if OWN.name(0).removesuffix(OWN.tail) in own:  # shorter names have never been frames there
        own[:] = [number for number in own if len(number) >= OWN.digits]
    return found


def _without_lone(found: Mapping[_Kind, list[str]]) -> Mapping[_Kind, list[str]]:
    """Leave out lone numbered pictures next to a sequence, unless only the ending's case differs.

    Earlier versions ignored them too.
    """
    alike = Counter((prefix, tail.lower()) for prefix, tail in found)
    several = {
        (prefix, tail): numbers
        for (prefix, tail), numbers in found.items()
        if len(numbers) > 1 or alike[prefix, tail.lower()] > 1
    }
    return several or found


def _naming(folder: Path, prefix: str, tail: str, numbers: Sequence[str]) -> Naming:
    """Return how the pictures with these numbers are called. Raises UnusableInput."""
    naming = _sketch(prefix, tail, numbers)[0]
    for number in numbers:
        if naming.name(int(number) - naming.first) != f"{prefix}{number}{tail}":
            short = min(numbers, key=len)
            raise UnusableInput(
                f"The numbers in {folder} differ in width: {prefix}{short}{tail} and "
                f"{prefix}{number}{tail} cannot be frames of one sequence.\n"
                "Write all numbers with as many digits, or name one sequence with a pattern, such "
                f"as {folder / Naming(prefix, len(number), tail).pattern}"
            )
    return naming


def _sketch(prefix: str, tail: str, numbers: Sequence[str]) -> tuple[Naming, int, int]:
    """Return how pictures seem to be called, the last number, and how many there are."""
    values = [int(number) for number in numbers]
    naming = Naming(prefix, min(map(len, numbers)), tail, min(values))
    return naming, max(values), len(values)


def _span(naming: Naming, last: int, count: int) -> str:
    """Return a sequence in words: its pattern, how many files, the first and the last."""
    ends = f"{naming.name(0)} to {naming.name(last - naming.first)}"
    return f"{naming.pattern}: {counted(count, 'file')}, {ends}"


def _check_gaps(folder: Path, naming: Naming, numbers: Sequence[int]) -> None:
    """Raise UnusableInput if a number is missing. numbers: increasing."""
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if not missing:
        return
    gap = next(index for index, number in enumerate(numbers) if number != naming.first + index)
    more = f" (and {missing - 1} more)" if missing > 1 else ""
    raise UnusableInput(
        f"{folder / naming.name(gap)} is missing{more}, though "
        f"{naming.name(numbers[-1] - naming.first)} is there: "
        f"{_span(naming, numbers[-1], len(numbers))}.\n"
        "Add what is missing, or number the files without gaps."
    )


def _content(entries: Sequence[str]) -> str:
    """Return what is in a folder instead of frames, in words."""
    if not entries:
        return "it is empty"
    endings = Counter(os.path.splitext(entry)[1].lower() for entry in entries)
    ending, count = endings.most_common(1)[0]
    example = next(entry for entry in entries if os.path.splitext(entry)[1].lower() == ending)
    others = len(entries) - count
    besides = f" and {counted(others, 'other file')}" if others else ""
    return f"it has {counted(count, 'file')} such as {example}{besides}"
