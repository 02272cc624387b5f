"""Compute how busy each backend of a run was over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stable_restyle.workdir.journal import Run, SlideDrawn, WindowMade

BINS = 160  # steps of the timeline


def backends(run: Run) -> list[dict[str, Any]]:
    """Return each backend of a run: what it is, what it drew, and how busy it was.

    A backend is busy as long as it has at least one slide or window.
    """
    start, stop = drawing_span(run)
    whole_s = stop - start
    rows = []
    for name, what in run.about.backends.items():
        its = [each for each in run.slides if each.backend == name]
        windows = [each for each in run.windows if each.backend == name]
        spans = _spans([*its, *windows], start)
        busy_s = sum(stop - start for start, stop in spans)
        rows.append(
            {
                "name": name,
                "what": what,
                "slides": len(its),
                "seconds": _mean_s(its),
                "windows": len(windows),
                "window_s": _mean_s(windows),
                "busy": round(100 * busy_s / whole_s) if whole_s else 0,
                "timeline": _timeline(spans, whole_s),
                "window_timeline": _timeline(_spans(windows, start), whole_s) if windows else [],
            }
        )
    return rows


def drawing_span(run: Run) -> tuple[float, float]:
    """Return when drawing began and ended, in seconds since the run began."""
    made: list[SlideDrawn | WindowMade] = [*run.slides, *run.windows]
    start = min((each.began_s for each in made), default=0.0)
    return start, max((each.began_s + each.seconds for each in made), default=0.0)


def _mean_s(made: Sequence[SlideDrawn | WindowMade]) -> float | None:
    return round(sum(each.seconds for each in made) / len(made), 2) if made else None


def _spans(made: Sequence[SlideDrawn | WindowMade], start: float) -> list[tuple[float, float]]:
    """Return when something was made, in seconds since `start`, overlapping spans merged."""
    return _merged((each.began_s - start, each.began_s - start + each.seconds) for each in made)


def _merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the spans, with overlapping ones merged."""
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def _timeline(spans: Sequence[tuple[float, float]], whole_s: float) -> list[int]:
    """Return the share of each of BINS steps that lies in the spans, in percent."""
    if not whole_s:
        return []
    step = whole_s / BINS
    shares = [0.0] * BINS
    for start, stop in spans:
        for index in range(int(start / step), min(BINS, int(stop / step) + 1)):
            shares[index] += max(0.0, min(stop, (index + 1) * step) - max(start, index * step))
    return [min(100, round(100 * share / step)) for share in shares]
