"""Have a server draw a slide or make a window, again if it has lost it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from stable_restyle.backends.comfyui.pictures import fitted, read_slide
from stable_restyle.backends.comfyui.responses import Lost
from stable_restyle.core.errors import ServerFault
from stable_restyle.core.records import Job, Slide

SUBMISSIONS = 3  # of one slide or window, where the server forgets it

Made = TypeVar("Made")

log = logging.getLogger(__name__)


class Attempts:
    """The attempts to have one server draw slides and make windows. Thread-safe."""

    def __init__(self, server: str) -> None:
        """server: its name."""
        self._server = server
        self._warned = False  # that slides are scaled

    def draw(self, job: Job, attempt: Callable[[], bytes], forget: Callable[[], None]) -> Slide:
        """Return the slide, of the guide's size or the scale of it that the workflow makes.

        attempt: returns the file that the server makes. Raises ServerFault, OtherShape, and what
        `attempt` raises.
        """
        answer = self.make("slide", attempt, forget)
        return read_slide(answer, lambda made: fitted(made, job.mask.shape, self.note_scaled))

    def make(self, what: str, attempt: Callable[[], Made], forget: Callable[[], None]) -> Made:
        """Return what an attempt returns.

        what: "slide" or "window". attempt: submits it once; raises Lost where another attempt may
        succeed. forget: called before that. Raises ServerFault, and what `attempt` raises.
        """
        for _ in range(SUBMISSIONS):
            try:
                return attempt()
            except Lost as loss:
                log.info("%s: %s; submitting the %s again.", self._server, loss, what)
                reason = str(loss)
                forget()
        raise ServerFault(f"it lost the {what} {SUBMISSIONS} times: {reason}")

    def note_scaled(self, sizes: str) -> None:
        """Warn, once, that slides are scaled."""
        if not self._warned:
            self._warned = True
            log.warning("%s makes %s; its slides are scaled to fit.", self._server, sizes)
