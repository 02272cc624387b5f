"""Divide slides into windows, which a workflow makes at once. Pure functions of numbers.

Between two keys both ends are known: such a window depends on no other. Windows over finished
slides overlap instead, and are blended there. A workflow makes windows of certain lengths only, its
legal ones: the last slide of a shorter window is repeated.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from stable_restyle.core.records import (
    Keys,
    Scene,
    Step,
    StepKind,
    Window,
    WindowRule,
    answer_key,
)
from stable_restyle.plan import scenes


def longest(rule: WindowRule) -> int:
    """Return the largest legal length; 0 if there is none."""
    return rule.lengths[-1] if rule.lengths else 0  # `max` would go through all of them


def padded(slides: range, rule: WindowRule) -> Window:
    """Return the window of these slides, at the shortest legal length.

    Raises ValueError if there are more slides than the longest window has.
    """
    length = next((each for each in rule.lengths if each >= len(slides)), None)
    if length is None:
        raise ValueError(f"{len(slides)} slides are more than a window of {longest(rule)}")
    return Window(slides, length)


def with_keys(found: Iterable[Scene], keys: Keys, most: int) -> Keys:
    """Return keys for windows: with further ones, at equal distances, where two are too far apart.

    most: slides of a window, both keys included; at least 3.
    """
    keys = replace(keys, assisted=frozenset(), windows=True)
    added = set[int]()
    for scene in found:
        steps = scenes.steps(scene, keys)
        its = sorted(step.slide for step in steps if step.kind is not StepKind.FROM_WINDOW)
        for first, last in pairwise(its):
            parts = -(-(last - first) // (most - 1))
            added.update(first + part * (last - first) // parts for part in range(1, parts))
    return replace(keys, keys=keys.keys | added)


def with_windows(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps of slides, each window before the first slide that is made from it."""
    known = set[range]()
    for step in steps:
        if step.kind is StepKind.FROM_WINDOW and step.between not in known:
            known.add(step.between)
            yield replace(step, slide=step.between[1], kind=StepKind.WINDOW)
        yield step


def done(steps: Iterable[Step], finished: Container[int], there: Container[range]) -> set[int]:
    """Return the keys of the windows that need not be made.

    steps: of slides. finished: slides. there: the slides of each window that is there. A window is
    not needed either if all slides between its keys are finished.
    """
    from_window = [step for step in steps if step.kind is StepKind.FROM_WINDOW]
    wanted = {
        step.between
        for step in from_window
        if step.slide not in finished and step.between not in there
    }
    return {answer_key(each.between[1]) for each in from_window if each.between not in wanted}


def remade(steps: Iterable[Step], slides: Container[int]) -> set[range]:
    """Return the windows that have one of these slides between their keys, or as a key."""
    return {
        step.between
        for step in steps
        if step.kind is StepKind.FROM_WINDOW
        and any(each in slides for each in (step.slide, *step.sources))
    }


def overlapping(slides: range, rule: WindowRule) -> list[Window]:
    """Return windows over the slides of a scene, in their order.

    Neighbours share at least `overlap` slides, and all have the same number of slides: no more than
    that takes, so that the last one is not padded far. The overlap must be shorter than the longest
    window.
    """
    count, overlap, most = len(slides), rule.overlap, longest(rule)
    if count <= most:
        return [padded(slides, rule)]
    parts = -(-(count - overlap) // (most - overlap))
    length = padded(range(overlap - (overlap - count) // parts), rule).length
    starts = [slides.start + part * (count - length) // (parts - 1) for part in range(parts)]
    return [Window(range(start, start + length), length) for start in starts]


def finishing(found: Iterable[Scene], rule: WindowRule) -> list[Step]:
    """Return the windows over the finished slides of each scene, in their order."""
    return [
        Step(
            window.slides[0],
            scene.number,
            previous=window.slides[0],
            other_key=window.slides[-1],
            kind=StepKind.WINDOW,
            start=scene.middle,
        )
        for scene in found
        for window in overlapping(scene.slides, rule)
    ]


def with_neighbours(steps: Iterable[Step], slides: Container[int]) -> set[int]:
    """Return all slides of the windows that have one of these."""
    touched = (step.between for step in steps if any(each in slides for each in step.between))
    return {slide for window in touched for slide in window}


def weights(windows: Sequence[range], slide: int) -> list[tuple[range, float]]:
    """Return the windows that show a slide, and the share of each: linear where two overlap.

    windows: the slides of each. The shares of a slide sum to 1.
    """
    shown = [window for window in windows if slide in window]
    from_border = [min(slide - window.start + 1, window.stop - slide) for window in shown]
    return [
        (window, its / sum(from_border)) for window, its in zip(shown, from_border, strict=True)
    ]
