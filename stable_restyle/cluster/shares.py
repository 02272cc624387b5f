"""Divide a film into shares, the tasks of a cluster, and choose workers for them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stable_restyle.core.records import Step

THREADS_PER_WORKER = 2  # while the middle of a scene is prepared, another scene uses the server
# Tasks for each thread of a worker: one that runs and one that waits. With fewer, a worker may soon
# be idle.
TASKS_PER_THREAD = 2


@dataclass(frozen=True)
class Share:
    """Slides that are drawn as one task."""

    steps: Sequence[Step]
    length: int  # slides for the model, along the longest way through this share and `then`
    then: Sequence[Share] = ()  # shares that can be drawn once this one is finished
    refused_by: str = ""  # address of the worker whose servers refused the workflow
    was_handed_back: bool = False
    only: Sequence[str] = ()  # addresses of the workers that may draw it; empty: any


def divide(steps: Sequence[Step], kept: Collection[int], workers: int) -> list[Share]:
    """Return a share for each scene that has slides to draw, the longest first.

    A scene longer than an even share of the film for each worker would keep the others waiting:
    its two chains become shares of their own, which follow that of its middle.
    """
    by_scene: defaultdict[int, list[Step]] = defaultdict(list)
    for step in steps:
        by_scene[step.scene].append(step)
    unfinished = [
        scene for scene in by_scene.values() if any(step.slide not in kept for step in scene)
    ]
    even = sum(_length(scene, kept) for scene in unfinished) / workers
    shares = [_share(scene, kept, split=_length(scene, kept) > even) for scene in unfinished]
    return sorted(shares, key=lambda share: -share.length)


def _length(steps: Sequence[Step], kept: Collection[int]) -> int:
    """Return how many slides the model has yet to draw."""
    return sum(step.uses_backend for step in steps if step.slide not in kept)


def _share(steps: Sequence[Step], kept: Collection[int], *, split: bool) -> Share:
    middle, *others = steps
    chains = (
        [step for step in others if step.slide < middle.slide],
        [step for step in others if step.slide > middle.slide],
    )
    lengths = [_length(chain, kept) for chain in chains]
    if not split or not all(lengths):
        return Share(steps, _length(steps, kept))
    then = [Share(chain, length) for chain, length in zip(chains, lengths, strict=True)]
    return Share([middle], _length([middle], kept) + max(lengths), then)


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
