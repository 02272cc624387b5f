"""A server of the Comfy API v2 as a backend: Comfy Cloud, a deployment, or a proxy of one's own.

It does not list its node classes, so the workflow is sent as it is. What it draws is saved there,
as some servers give out nothing else.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

from stable_restyle.backends.base import BackendCheck, WindowPictures
from stable_restyle.backends.comfy_api.client import ComfyApi
from stable_restyle.backends.comfyui import slides, windows
from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core.errors import RestyleError, ServerFault, WorkflowFault
from stable_restyle.core.records import Job, Slide, WindowJob

UNCHECKED = (
    "node classes, models and values: it does not list what it has, so the workflow is sent as "
    "it is"
)


class ComfyApiBackend:
    """One server that draws a workflow, or its variant for a scene."""

    engine = "ComfyUI"  # which draws behind the API

    def __init__(self, url: str, variants: WorkflowVariants, access: Access) -> None:
        """Send nothing to the server yet. Raises WrongUsage for an invalid URL, header or key."""
        self._variants = variants
        self._client = ComfyApi(
            url,
            lambda job: slides.request(variants, job, keep=True),
            headers=access.headers,
            api_key=access.api_key,
            jobs=access.jobs,
            timeout_s=access.timeout_s,
        )

    @property
    def name(self) -> str:
        """Return the URL without user and password."""
        return self._client.name

    @property
    def about(self) -> str:
        """Describe the server, which says nothing of itself."""
        return "Comfy API v2"

    @property
    def at_once(self) -> int:
        """Return how many slides it draws at the same time."""
        return self._client.at_once

    @property
    def slots(self) -> int:
        """Return how many slides it accepts."""
        return self._client.slots

    def fit(self) -> list[str]:
        """Check that it answers; return what was changed in the workflow for any server.

        Raises ServerFault.
        """
        self._client.inspect()
        return [note for one in self._variants.every for note in one.notes]

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size, or a scale of it where the workflow scales."""
        return slides.draw(self._variants, self._client.draw, job)

    def draw_window(self, job: WindowJob) -> AbstractContextManager[WindowPictures]:
        """Make a window; entering blocks until it is made."""
        client = self._client
        return windows.draw(self._variants, client.window, job, {}, client.note_scaled, keep=True)

    def free_memory(self) -> None:
        """Do nothing: there is no such request."""

    def answers(self) -> bool:
        """Return whether it could draw now."""
        try:
            self._client.inspect()
        except RestyleError:
            return False
        return True

    def close(self) -> None:
        """Cancel our jobs, delete our pictures and close every connection."""
        self._client.close()

    def check(self, size: tuple[int, int]) -> BackendCheck:
        """Return what can be known of it, after drawing a slide of this size there if it can."""
        check = BackendCheck(self.name)
        try:
            self._client.inspect()
            jobs = ("jobs at once", f"{self.at_once} (--jobs)")
            check = replace(check, about=[("API", self.about), jobs, ("not checked", UNCHECKED)])
            check = slides.tried_out(self._variants, self.draw, check, size)
            return windows.tried_out(self._variants, self.draw_window, check, size)
        except (ServerFault, WorkflowFault) as fault:
            return replace(check, fault=str(fault))
