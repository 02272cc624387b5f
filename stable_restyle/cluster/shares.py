"""Divide a film into shares, the tasks of a cluster, and choose workers for them. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

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
    shares no longer than that, which are followed by one that composes its slides. kept: keys.
    """
    by_scene: defaultdict[int, list[Step]] = defaultdict(list)
    for step in steps:
        by_scene[step.scene].append(step)
    unfinished = [
        scene for scene in by_scene.values() if any(step.key not in kept for step in scene)
    ]
    even = sum(_length(scene, kept) for scene in unfinished) / workers
    shares = [share for scene in unfinished for share in _shares(scene, kept, even)]
    return sorted(shares, key=lambda share: -share.length)


def _length(steps: Sequence[Step], kept: Collection[int]) -> int:
    """Return how many pictures the model has yet to draw."""
    return sum(step.uses_backend for step in steps if step.key not in kept)


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
