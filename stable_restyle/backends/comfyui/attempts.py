"""Have a server draw a slide, again if it has lost it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from stable_restyle.backends.comfyui.pictures import pad, read_slide
from stable_restyle.backends.comfyui.responses import Lost
from stable_restyle.core.errors import ServerFault
from stable_restyle.core.records import Job, Slide

PICTURE_MAX = 64  # bytes for each pixel of the guide, and a MiB: room for an upscaler's raw pixels
SUBMISSIONS = 3  # of one slide, where the server forgets it

log = logging.getLogger(__name__)


class Attempts:
    """The attempts to have one server draw slides. Thread-safe."""

    def __init__(self, server: str) -> None:
        """server: its name."""
        self._server = server
        self._warned = False  # that slides are scaled

    def draw(self, job: Job, attempt: Callable[[int], bytes], forget: Callable[[], None]) -> Slide:
        """Return the slide, of the guide's size or the scale of it that the workflow makes.

        attempt: submits the slide once, and returns the file that the server sends, of so many
        bytes at most; raises Lost where another attempt may succeed. forget: called before that.
        Raises ServerFault, OtherShape, and what `attempt` raises.
        """
        limit = PICTURE_MAX * pad(job.mask).size + 2**20
        for _ in range(SUBMISSIONS):
            try:
                answer = attempt(limit)
            except Lost as loss:
                log.info("%s: %s; submitting the slide again.", self._server, loss)
                reason = str(loss)
                forget()
            else:
                return read_slide(answer, job.mask.shape, self._note_scaled)
        raise ServerFault(f"it lost the slide {SUBMISSIONS} times: {reason}")

    def _note_scaled(self, sizes: str) -> None:
        """Warn, once, that slides are scaled."""
        if not self._warned:
            self._warned = True
            log.warning("%s makes %s; its slides are scaled to fit.", self._server, sizes)
