"""The times that a client of the Comfy API waits; tests shorten them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a server, and how often to ask it."""

    connect_s: float = 5.0  # each of `http.TRIES`
    answer_s: float = 60.0  # between two bytes of an answer
    poll_s: tuple[float, float] = (0.25, 3.0)  # between polls of a job: first, longest
    retry_s: tuple[float, float] = (1.0, 15.0)  # before a request that failed is repeated
    busy_s: float = 60.0  # the longest pause that a busy server is granted
    fails_s: float = 10.0  # how long a request that fails is repeated
    outage_s: float = 120.0  # the same, where a job may be under way: it is paid for
    queue_s: float = 3600.0  # the longest wait until a job starts
    regain_s: float = 60.0  # until one more job at once is tried after the queue was full
    cleanup_s: float = 3.0  # for an answer while cleaning up
    closing_s: float = 5.0  # for all of the cleaning up at the end
