"""A ComfyUI server as a backend: fit the workflow to its nodes, and say what it lacks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from stable_restyle.backends.base import BackendCheck, WindowPictures
from stable_restyle.backends.comfyui import slides, validate, windows
from stable_restyle.backends.comfyui.client import ComfyUI, Server
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.backends.comfyui.slides import Request
from stable_restyle.backends.comfyui.validate import Classes, Incompatibility
from stable_restyle.backends.comfyui.workflow import Workflow
from stable_restyle.core.errors import RestyleError, ServerFault, WorkflowFault, WrongUsage
from stable_restyle.core.film_threads import named
from stable_restyle.core.records import Job, Slide, WindowJob

ASKED_AT_ONCE = 4  # node classes


@dataclass(frozen=True)
class Access:
    """How to reach and use servers; the same for all of them."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 300.0
    keep_on_server: bool = False
    api_key: str = field(default="", repr=False)  # of Comfy API servers, and for no others
    jobs: int = 1  # that a Comfy API server runs at once


class ComfyBackend:
    """One server that draws a workflow, or its variant for a scene."""

    engine = "ComfyUI"
    at_once, slots = ComfyUI.at_once, ComfyUI.slots

    def __init__(self, url: str, variants: WorkflowVariants, access: Access) -> None:
        """Send nothing to the server yet. Raises WrongUsage for an invalid URL or header."""
        self._keep = access.keep_on_server
        self._fitted = variants
        self._variants = variants
        self._classes: Classes = {}
        self._server: Server | None = None
        self._client = ComfyUI(
            url, self._request, headers=access.headers, timeout_s=access.timeout_s
        )

    @property
    def name(self) -> str:
        """Return the URL without user and password."""
        return self._client.name

    @property
    def about(self) -> str:
        """Describe the server by its last answer."""
        if self._server is None:
            return "ComfyUI; it has not answered"
        version, device = self._server.version, self._server.device
        return f"ComfyUI {version or 'of an unknown version'}{f', {device}' if device else ''}"

    def fit(self) -> list[str]:
        """Fit the workflow to the server's nodes; return a line about each input added to it.

        Raises ServerFault if no ComfyUI answers, WorkflowFault if it cannot draw with the workflow.
        """
        self._server = self._client.inspect()
        added, found = self._fit()
        if found:
            raise WorkflowFault(_refusal(self.name, found))
        return [*(note for one in self._variants.every for note in one.notes), *added]

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size, or a scale of it where the workflow scales."""
        return slides.draw(self._fitted, self._client.draw, job)

    def draw_window(self, job: WindowJob) -> AbstractContextManager[WindowPictures]:
        """Make a window; entering blocks, leaving frees its pictures on the server."""
        client = self._client
        return windows.draw(
            self._fitted, client.window, job, self._classes, client.note_scaled, keep=self._keep
        )

    def free_memory(self) -> None:
        """Have the server unload its models."""
        self._client.free_memory()

    def answers(self) -> bool:
        """Return whether it could draw now."""
        try:
            self.fit()
        except RestyleError:
            return False
        return True

    def close(self) -> None:
        """Take our prompts out of the server's queue and close every connection."""
        self._client.close()

    def check(self, size: tuple[int, int]) -> BackendCheck:
        """Return all about the server, after drawing a slide of this size there if it can."""
        check = BackendCheck(self.name)
        try:
            check = replace(check, about=_about(self._client.inspect()))
            socket = "works" if self._client.websocket_works() else "does not work; asking instead"
            check = replace(check, about=[*check.about, ("websocket", socket)])
            if problems := self._fit()[1]:
                fault = "it cannot draw with this workflow"
                names = {one.name for one in self._variants.every}
                return replace(check, fault=fault, problems=_lines(problems, names))
            check = slides.tried_out(self._fitted, self.draw, check, size)
            return windows.tried_out(self._fitted, self.draw_window, check, size)
        except (ServerFault, WorkflowFault) as fault:
            return replace(check, fault=str(fault))

    def _fit(self) -> tuple[list[str], list[Incompatibility]]:
        every = self._variants.every
        wanted = sorted({each for one in every for each in validate.classes_of(one)})
        with ThreadPoolExecutor(ASKED_AT_ONCE, named("ask")) as threads:
            classes = dict(zip(wanted, threads.map(self._client.node_class, wanted), strict=True))
        self._classes = classes
        added: list[str] = []

        def complete(one: Workflow) -> Workflow:
            completed, lines = validate.complete(one, classes)
            added.extend(lines)
            return completed

        self._fitted = self._variants.map(complete)
        found = [
            misfit
            for one in self._fitted.every
            for misfit in validate.incompatibilities(one, classes)
        ]
        found += [
            misfit
            for name, one in self._fitted.extremes()
            for misfit in validate.incompatibilities(one, classes)
            if misfit.reason.startswith(f"{name} ")
        ]
        return list(dict.fromkeys(added)), list(dict.fromkeys(found))

    def _request(self, job: Job) -> Request:
        return slides.request(self._fitted, job, keep=self._keep)


def _about(server: Server) -> list[tuple[str, str]]:
    rows = [
        ("ComfyUI", server.version or "of an unknown version"),
        ("device", server.device or "unknown"),
    ]
    if server.memory_free is not None and server.memory_total is not None:
        free, total = server.memory_free / 2**30, server.memory_total / 2**30
        rows.append(("memory free", f"{free:.1f} of {total:.1f} GiB"))
    return rows


def parse_headers(lines: Sequence[str]) -> dict[str, str]:
    """Parse "Name: value" lines. Raises WrongUsage, without showing what may be a secret."""
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise WrongUsage('--header: write "Name: value".')
        headers[name.strip()] = value.strip()
    return headers


def _lines(found: Sequence[Incompatibility], workflows: Collection[str]) -> list[str]:
    """Describe each, with its workflow if there are several of these."""
    return [f"{each.workflow}: {each}" if len(workflows) > 1 else str(each) for each in found]


def _refusal(server: str, found: Sequence[Incompatibility]) -> str:
    names = list(dict.fromkeys(each.workflow for each in found))
    lines = "".join(f"\n  {line}" for line in _lines(found, names))
    return (
        f"{server} cannot draw with {' and '.join(names)}:{lines}\n"
        "Install what is missing on the server, or use what it has: --set ID.INPUT=VALUE changes "
        "the workflow of --model for a run; edit the files of others."
    )
