"""A simulated clock: hours of many servers in seconds, the same each time."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Event = TypeVar("Event")


class Clock(Generic[Event]):
    """What is to happen, and when; what happens at the same moment does so in its own order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, Event]] = []

    def __bool__(self) -> bool:
        """Whether anything is to happen still."""
        return bool(self._coming)

    def set(self, when: float, event: Event) -> None:
        """Something is to happen."""
        heapq.heappush(self._coming, (when, event))

    def go(self, until: float = float("inf")) -> Event | None:
        """Go on to what happens next; None if nothing does before `until`, and it is then."""
        if self._coming[0][0] > until:
            self.now = until
            return None
        self.now, event = heapq.heappop(self._coming)
        return event
