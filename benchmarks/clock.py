"""Simulate time: hours of many servers pass in seconds, and always in the same way."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Event = TypeVar("Event")


class Clock(Generic[Event]):
    """Events by time; events of the same time are in their own order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, Event]] = []

    def __bool__(self) -> bool:
        """Return whether there are more events."""
        return bool(self._coming)

    def set(self, when: float, event: Event) -> None:
        """Add an event."""
        heapq.heappush(self._coming, (when, event))

    def go(self, until: float = float("inf")) -> Event | None:
        """Advance to the next event and return it; None if no event is due before `until`."""
        if self._coming[0][0] > until:
            self.now = until
            return None
        self.now, event = heapq.heappop(self._coming)
        return event
