"""The times that a client of ComfyUI waits; tests shorten them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a server, and how often to ask it."""

    connect_s: float = 1.5  # each of `http.TRIES`
    answer_s: float = 60.0  # between two bytes of an answer; a server may load a model first
    socket_s: float = 5.0  # silence while the websocket is opened
    ping_s: float = 10.0  # silence before a ping, and again before reconnecting
    retry_s: tuple[float, float] = (0.25, 5.0)  # between attempts to connect: first, longest
    poll_s: tuple[float, float] = (0.25, 2.0)  # between polls without a websocket: first, longest
    quiet_s: float = 5.0  # between polls of a prompt without messages
    queue_s: float = 3600.0  # the longest wait in the server's queue
    cleanup_s: float = 1.0  # for an answer while cleaning up
    stop_s: float = 3.0  # for a prompt that was interrupted to go into the history
