"""Divide a film into shares, the tasks of a cluster, and choose workers for them. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from stable_restyle.core.records import Step, StepKind

THREADS_PER_WORKER = 2  # while the middle of a scene is prepared, another scene uses the server
# Tasks for each thread of a worker: one that runs and one that waits. With fewer, a worker may soon
# be idle.
TASKS_PER_THREAD = 2


@dataclass(frozen=True)
class Share:
    """Steps that are done as one task."""

    steps: Sequence[Step]
    length: int  # pictures for the model, along the longest way through this share and `then`
    then: Sequence[Share] = ()  # shares that may be drawn once this one is finished
    refused_by: str = ""  # address of the worker whose servers refused the workflow
    was_handed_back: bool = False
    only: Sequence[str] = ()  # addresses of the workers that may draw it; empty: any

    @property
    def needs(self) -> set[int]:
        """Return the keys of the steps of other shares that come before it."""
        own = {step.key for step in self.steps}
        return {key for step in self.steps for key in step.needs} - own


def divide(steps: Sequence[Step], kept: Collection[int], workers: int) -> list[Share]:
    """Return a share for each scene that has pictures to make, the longest first.

    A scene longer than an even share of the film for each worker would keep the others waiting. Its
    two chains become shares of their own, which follow that of its middle; its answers become
    shares no longer than that, which are followed by one that composes its slides. A window is a
    share with the slides that are made from it; it follows those of its keys. kept: keys.
    """
    by_scene: defaultdict[int, list[Step]] = defaultdict(list)
    by_window: defaultdict[range, list[Step]] = defaultdict(list)
    for step in steps:
        if step.kind in (StepKind.WINDOW, StepKind.FROM_WINDOW):
            by_window[step.between].append(step)
        else:
            by_scene[step.scene].append(step)
    windows = [
        Share(its, _length(its, kept))
        for its in by_window.values()
        if any(step.key not in kept for step in its)
    ]
    ready = [share for share in windows if share.needs.issubset(kept)]
    waiting = [share for share in windows if share not in ready]
    unfinished = [
        scene for scene in by_scene.values() if any(step.key not in kept for step in scene)
    ]
    total = sum(share.length for share in windows)
    even = (total + sum(_length(scene, kept) for scene in unfinished)) / workers
    shares = [share for scene in unfinished for share in _shares(scene, kept, even)]
    if waiting:
        shares = [_with_windows(share, waiting, kept) for share in shares]
    shares += ready
    return sorted(shares, key=lambda share: -share.length)


def _with_windows(share: Share, windows: Sequence[Share], kept: Collection[int]) -> Share:
    """Return a share, followed by the windows that need a slide of it that is not kept."""
    own = {step.key for step in share.steps}.difference(kept)
    then = [_with_windows(each, windows, kept) for each in share.then]
    then += [each for each in windows if own & each.needs]
    before, after = (max((each.length for each in its), default=0) for its in (share.then, then))
    return replace(share, then=then, length=share.length - before + after)


def _length(steps: Sequence[Step], kept: Collection[int]) -> int:
    """Return how many pictures the model has yet to draw, those of windows included."""
    return sum(step.pictures or step.uses_backend for step in steps if step.key not in kept)


def _shares(steps: Sequence[Step], kept: Collection[int], even: float) -> list[Share]:
    """Return the shares of a scene. even: how long one should be at most."""
    if (length := _length(steps, kept)) <= even:
        return [Share(steps, length)]
    answers = [step for step in steps if step.kind is StepKind.ANSWER]
    if answers:
        return _answer_shares(answers, steps[len(answers) :], kept, even)
    middle, *others = steps
    chains = (
        [step for step in others if step.slide < middle.slide],
        [step for step in others if step.slide > middle.slide],
    )
    lengths = [_length(chain, kept) for chain in chains]
    if not all(lengths):
        return [Share(steps, length)]
    then = [Share(chain, its) for chain, its in zip(chains, lengths, strict=True)]
    return [Share([middle], _length([middle], kept) + max(lengths), then)]


def _answer_shares(
    answers: Sequence[Step], others: Sequence[Step], kept: Collection[int], even: float
) -> list[Share]:
    """Return the shares of a scene's answers; the last one finished is followed by `others`."""
    missing = [step for step in answers if step.key not in kept]
    first, *rest = missing
    if first.sources or not any(step.sources for step in rest):
        return _parts(missing, others, even)
    then = _parts(rest, others, even)  # they load the first as a picture
    return [Share([first], 1 + then[0].length, then)]


def _parts(answers: Sequence[Step], others: Sequence[Step], even: float) -> list[Share]:
    at_once, composing = max(1, math.floor(even)), Share(others, 0)
    parts = [answers[first : first + at_once] for first in range(0, len(answers), at_once)]
    return [Share(part, len(part), [composing]) for part in parts]


def choose(load: Mapping[str, float], suspended: Collection[str]) -> list[str]:
    """Return the workers that may draw a share that was handed back; empty: Dask chooses.

    load: tasks per thread of every worker, by its address. suspended: addresses of workers that
    could not draw, the one tried last at the end.

    Dask 2026.8 takes the first of the least busy workers, so it may give a share again and again to
    the worker that hands it back.
    """
    able = sorted((worker for worker in load if worker not in suspended), key=load.__getitem__)
    tried = [worker for worker in suspended if worker in load]  # they may be able to draw again
    if free := [worker for worker in (*able, *tried) if load[worker] < 1]:
        return free[:1]
    # All are busy and more shares wait: whichever worker is free first may draw this one. No worker
    # gets more than TASKS_PER_THREAD, which leaves work for one that can draw again.
    return able if able and load[able[0]] <= TASKS_PER_THREAD else []
