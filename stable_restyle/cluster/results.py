"""Record what the workers of a cluster have drawn, and which shares can follow."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stable_restyle.cluster.shares import Share
from stable_restyle.cluster.worker import TaskResult
from stable_restyle.core.errors import RestyleError
from stable_restyle.core.records import DrawRecord, slide_of
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.session import DrawingSpec, OnSaved, find_done

log = logging.getLogger(__name__)


class Results:
    """The steps of a run that are finished, by key, and those that failed."""

    def __init__(self, spec: DrawingSpec, kept: set[int], on_saved: OnSaved) -> None:
        self.failures: list[Failure] = []
        self._spec, self._finished, self._on_saved = spec, kept, on_saved
        self._lost: set[int] = set()  # slides
        self._count, self._begun = 0, list[Share]()  # those that follow others

    def add_message(self, message: Mapping[str, Any]) -> None:
        """Record a message of a worker: it can draw, it has saved a picture, or it warns."""
        if "warning" in message:
            log.warning("%s: %s", message["name"], message["warning"])
        if "saved" not in message:
            return
        began = time.perf_counter() - message["seconds"]
        drawn = DrawRecord(message["backend"], began, message["seconds"])
        self._on_saved(message["saved"], drawn)
        self._add({message["saved"]})

    def add(self, share: Share, result: TaskResult) -> Sequence[Share]:
        """Record a share that was drawn. Return the shares that can be drawn now."""
        lost = {slide for failure in result.failures for slide in failure.lost}
        self._add({step.key for step in share.steps if step.slide not in lost})
        for failure in result.failures:
            self._fail(failure)
        able = list[Share]()
        for following in share.then:
            if lost.intersection(map(slide_of, following.needs)):
                self.fail(following, result.failures[0].reason)
            # One that follows several could begin twice: workers announce pictures before they end.
            elif following not in self._begun and self._finished.issuperset(following.needs):
                able.append(following)
        self._begun += able
        return able

    def fail(self, share: Share, reason: RestyleError) -> None:
        """Record that a share and those after it cannot be drawn, except what is finished."""
        finished = find_done(self._spec, share.steps)
        self._add(finished)
        lost = {step.slide for step in share.steps if step.key not in finished}
        self._fail(Failure(share.steps[0], sorted(lost), reason))
        for following in share.then:
            self.fail(following, reason)

    def take_count(self) -> int:
        """Return how many slides were finished since the last call."""
        count, self._count = self._count, 0
        return count

    def _add(self, keys: set[int]) -> None:
        self._count += sum(key == slide_of(key) for key in keys - self._finished)
        self._finished |= keys

    def _fail(self, failure: Failure) -> None:
        """Record a failure, without the slides that were lost before."""
        if lost := [slide for slide in failure.lost if slide not in self._lost]:
            self.failures.append(replace(failure, lost=lost))
            self._lost.update(lost)
