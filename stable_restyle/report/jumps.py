"""Decide which slides jump: differ from the previous one so much that a viewer notices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stable_restyle.report.thumbnails import Steadiness

# From here on a viewer notices. Lightness: 0.5 of L* is 2 % of the light of a middle grey, at once
# and over the whole picture. Unexplained change of 1 is 3 % of the range of every colour, or 10 %
# of it in a tenth of the picture.
NOTICEABLE = Steadiness(flicker=0.5, unexplained=1.0)
MOST_SHOWN = 8
LEAST_SHOWN = 4  # where there are fewer jumps, with what comes nearest to one
APART = 3  # slides between those shown: of a bad stretch, the worst place stands for all


@dataclass(frozen=True)
class Jumps:
    """How far each measured slide differs from the previous one, and which differ most."""

    severity: Mapping[int, float]  # slide -> multiple of what can be noticed
    shown: Sequence[int]  # the worst places of the film, the worst one first, APART from each other

    @property
    def worst(self) -> list[int]:
        """Return those of the shown places that are jumps."""
        return [slide for slide in self.shown if self.severity[slide] >= 1]

    @property
    def count(self) -> int:
        return sum(each >= 1 for each in self.severity.values())


def find(steadiness: Mapping[int, Steadiness]) -> Jumps:
    """Return the jumps among slides. steadiness: of each measured slide."""
    severity = {slide: severity_of(each) for slide, each in steadiness.items()}
    shown: list[int] = []
    for slide in sorted(severity, key=lambda slide: (-severity[slide], slide)):
        most = MOST_SHOWN if severity[slide] >= 1 else LEAST_SHOWN
        if len(shown) >= most or not severity[slide]:
            break
        if all(abs(slide - other) >= APART for other in shown):
            shown.append(slide)
    return Jumps(severity, shown)


def severity_of(measured: Steadiness) -> float:
    """Return the larger of the two measures, as a multiple of what can be noticed."""
    flicker = measured.flicker / NOTICEABLE.flicker
    unexplained = measured.unexplained / NOTICEABLE.unexplained
    return flicker if math.isnan(unexplained) else max(flicker, unexplained)
