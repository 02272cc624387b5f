"""The state of a submitted prompt, and when to poll it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from stable_restyle.backends.comfyui.timeouts import Allowance, Timeouts
from stable_restyle.core.errors import ServerFault


@dataclass(eq=False)
class Prompt:
    """A submitted prompt; times in time.monotonic(). Changed under the client's lock."""

    id: str
    client_id: str  # of the websocket that receives its messages
    allowance: Allowance
    submitted: float = field(default_factory=time.monotonic)
    started: float = 0.0  # 0: not yet
    heard: float = field(default_factory=time.monotonic)  # its last message
    polled: float = field(default_factory=time.monotonic)
    polls: int = 0
    over: bool = False  # by the websocket
    poll_now: bool = False  # a message asks for it
    on_server: bool = False  # as far as we know

    def hear(self, kind: object, node: object) -> bool:
        """Note a message of the websocket; return whether it says that the prompt is over."""
        self.heard = time.monotonic()
        if kind in ("execution_start", "executing"):
            self.start()
        ends = kind == "executing" and node is None and not self.over
        if ends:
            self.over = self.poll_now = True
        return ends

    def start(self) -> None:
        """Note that the server draws it now."""
        self.started = self.started or time.monotonic()

    def note_poll(self) -> None:
        """Note that its state is about to be read."""
        self.poll_now = False
        self.polled = time.monotonic()
        self.polls += 1

    def next_poll(self, timeouts: Timeouts, client_id: str | None) -> float:
        """Return when to read its state if no message comes, in time.monotonic().

        client_id: of the websocket that is open now.
        """
        if self.client_id == client_id and not self.over:
            poll_at = max(self.heard, self.polled) + timeouts.quiet_s
        else:
            shortest, longest = timeouts.poll_s
            poll_at = self.polled + min(shortest * 1.5 ** min(self.polls, 99), longest)
        return min(poll_at, self.started + self.allowance.seconds) if self.started else poll_at

    def check_overdue(self, timeouts: Timeouts) -> None:
        """Raise ServerFault if it waits too long to start, or takes longer than allowed."""
        now = time.monotonic()
        if self.started and now > self.started + self.allowance.seconds:
            raise ServerFault(self.allowance.overdue)
        if not self.started:
            self.allowance.check_queue(now - self.submitted, timeouts.queue_s)
