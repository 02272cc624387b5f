"""The times that a client of ComfyUI waits; tests shorten them."""

from __future__ import annotations

from dataclasses import dataclass

from stable_restyle.core.errors import ServerFault

AT_ONCE = 4  # pictures of a window that take about as long as a slide: models of video join four


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


@dataclass(frozen=True)
class Allowance:
    """How long a server may take for what it makes, from when it starts on it."""

    seconds: float
    what: str  # "the slide"
    overdue: str  # the message for what takes longer
    ahead_s: float = 0.0  # for one of ours that may be ahead of it in the queue

    @classmethod
    def of(cls, timeout_s: float, pictures: int | None) -> Allowance:
        """Return that of a slide, or of a window of so many pictures. timeout_s: of --timeout."""
        if pictures is None:
            overdue = f"it took longer than {timeout_s:g} s for a slide (--timeout sets the limit)"
            return cls(timeout_s, "the slide", overdue)
        seconds = timeout_s * -(-pictures // AT_ONCE)
        overdue = (
            f"it took longer than {seconds:g} s for a window of {pictures} pictures (--timeout "
            f"sets the limit for each {AT_ONCE} of them)"
        )
        return cls(seconds, "the window", overdue, ahead_s=seconds)

    def check_queue(self, waited_s: float, queue_s: float) -> None:
        """Raise ServerFault for what has waited too long in the server's queue.

        queue_s: the longest wait for what others have in the queue.
        """
        longest_s = queue_s + self.ahead_s
        if waited_s > longest_s:
            raise ServerFault(f"it has not started on {self.what} in {longest_s / 60:g} min")
