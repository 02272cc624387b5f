"""Report the figures of a benchmark with their targets, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from stable_restyle.core.parallel import cores

OUT = Path("bench")


@dataclass(frozen=True)
class Figure:
    """A measured value and its target."""

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def target(self) -> str:
        """Return the target as text; an empty string without a target."""
        if self.at_most is not None:
            return f"at most {self.at_most:g} {self.unit}".rstrip()
        if self.at_least is not None:
            return f"at least {self.at_least:g} {self.unit}".rstrip()
        return ""

    @property
    def met(self) -> bool:
        """Return whether the target is met; true without a target."""
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the cells of the table: what, figure, target, verdict and note."""
        verdict = ("met" if self.met else "MISSED") if self.target else ""
        return self.what, f"{_short(self.value)} {self.unit}", self.target, verdict, self.note


@dataclass(frozen=True)
class Report:
    """The results of a benchmark."""

    name: str  # of its module
    title: str
    figures: Sequence[Figure]
    details: Mapping[str, object] = field(default_factory=dict)  # only in the JSON


# Measure; the folder is for files. `small`: a tiny form that only shows that it works.
Measure: TypeAlias = Callable[[Path, bool], Report]


def table(report: Report) -> str:
    """Format the figures in columns, one per line."""
    rows = [("", "figure", "target", "", ""), *(figure.row() for figure in report.figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join([report.title, *lines])


def save(report: Report, out: Path, machine: Mapping[str, object]) -> Path:
    """Write a report as JSON and return its path."""
    path = out / f"{report.name}.json"
    figures = [asdict(each) | {"met": each.met} for each in report.figures]
    content = {**asdict(report), "figures": figures, "machine": machine}
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return path


def machine() -> dict[str, object]:
    """Describe this machine."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class Others:
    """How busy the machine was with other programs, which distort the figures."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before_s = _theirs_s()

    def percent(self) -> float:
        """Return the percentage of all processors since creation; nan if it is unknown."""
        took_s = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return max(100 * (_theirs_s() - self._before_s) / took_s, 0.0)

    def __str__(self) -> str:
        return f"Other programs used {self.percent():.0f} % of the machine meanwhile."


def command(measures: Mapping[str, Measure], description: str | None) -> None:
    """Run a benchmark's command line: measure, print the tables, save the JSON."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help=f"folder for JSON and footage [default: {OUT}]"
    )
    parser.add_argument(
        "--small", action="store_true", help="only check that it works; the figures mean nothing"
    )
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for measure in measures.values():
        others = Others()
        report = measure(asked.out, asked.small)
        here = {**machine(), "others_percent": others.percent()}
        path = save(report, asked.out, here)
        print(f"{table(report)}\n{others}\nThe same as JSON: {path}\n", flush=True)
    print(", ".join(f"{name} {value}" for name, value in machine().items()))


def _short(value: float) -> str:
    return f"{value:.{3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0}f}"


def _theirs_s() -> float:
    """Return the processor time so far of everything except this process and its ended children."""
    if sys.platform != "linux":
        return float("nan")
    stat = Path("/proc/stat")
    ticks = [int(each) for each in stat.read_text("utf-8").partition("\n")[0].split()[1:9]]
    user, nice, system, _, _, *interrupts = ticks  # without idle time and waiting for disks
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
