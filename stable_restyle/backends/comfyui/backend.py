"""A ComfyUI server as a backend: fit the workflow to its nodes, and say what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from stable_restyle.backends.base import BackendCheck, try_out
from stable_restyle.backends.comfyui import validate
from stable_restyle.backends.comfyui.client import ComfyUI, Request, Server
from stable_restyle.backends.comfyui.overrides import WorkflowVariants, changed
from stable_restyle.backends.comfyui.pictures import OtherShape, pad
from stable_restyle.backends.comfyui.texts import describe_prompts
from stable_restyle.backends.comfyui.validate import Incompatibility
from stable_restyle.backends.comfyui.workflow import (
    MASK,
    Workflow,
    describe_pictures,
    fill,
    label,
    size_inputs,
    with_seed,
)
from stable_restyle.core.errors import RestyleError, ServerFault, WorkflowFault, WrongUsage
from stable_restyle.core.records import ROLES, Job, Pixels, Slide
from stable_restyle.imaging import registration
from stable_restyle.media import sequence

KEPT = "stable-restyle-out"  # the server's folder for slides that it keeps
ASKED_AT_ONCE = 4  # node classes
_TURNED = (
    "White in the mask is where the picture may change: put an Invert Mask behind the node that "
    "loads it, or remove the one that is there."
)


@dataclass(frozen=True)
class Access:
    """How to reach and use servers; the same for all of them."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 300.0
    keep_on_server: bool = False


class ComfyBackend:
    """One server that draws a workflow, or its variant for a scene."""

    engine = "ComfyUI"
    at_once, slots = ComfyUI.at_once, ComfyUI.slots

    def __init__(self, url: str, variants: WorkflowVariants, access: Access) -> None:
        """Send nothing to the server yet. Raises WrongUsage for an invalid URL or header."""
        self._keep = access.keep_on_server
        self._fitted = variants
        self._variants = variants
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
            raise WorkflowFault(_refusal(self.name, self._variants.base.name, found))
        return [*(note for one in self._variants for note in one.notes), *added]

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size, or a scale of it where the workflow scales."""
        workflow = self._fitted.of(job)
        try:
            slide = self._client.draw(job)
        except OtherShape as shape:
            raise WorkflowFault(_wrong_shape(workflow, shape)) from None
        if MASK in workflow.roles:
            return slide
        if workflow.register:
            slide = _registered(slide, job.guide)
        return replace(slide, unmasked=True)

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
                return replace(check, fault=fault, problems=list(map(str, problems)))
            return self._tried_out(check, size)
        except (ServerFault, WorkflowFault) as fault:
            return replace(check, fault=str(fault))

    def _tried_out(self, check: BackendCheck, size: tuple[int, int]) -> BackendCheck:
        """Return a check with what came of drawing a slide, and a middle if that is other."""
        for middle in (True, False) if self._variants.middle else (False,):
            roles = {role for workflow in self._fitted for role in workflow.roles}
            trial = try_out(self.draw, size, roles, middle=middle)
            workflow = self._fitted.middle if middle else self._fitted.base
            assert workflow is not None
            loaded = [("picture", each) for each in describe_pictures(workflow)]
            rows = [("workflow", workflow.name), *loaded, *describe_prompts(workflow)]
            check = replace(
                check,
                about=[*check.about, *rows, ("mask", trial.mask)],
                trial_s=trial.seconds,
                size=size,
            )
            if trial.is_turned:
                return replace(check, fault=f"{workflow.name}: {trial.mask}.\n{_TURNED}")
        return check

    def _fit(self) -> tuple[list[str], list[Incompatibility]]:
        wanted = sorted({each for one in self._variants for each in validate.classes_of(one)})
        with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
            classes = dict(zip(wanted, threads.map(self._client.node_class, wanted), strict=True))
        added: list[str] = []

        def complete(one: Workflow) -> Workflow:
            completed, lines = validate.complete(one, classes)
            added.extend(lines)
            return completed

        self._fitted = self._variants.map(complete)
        found = [
            misfit for one in self._fitted for misfit in validate.incompatibilities(one, classes)
        ]
        found += [
            misfit
            for name, one in self._fitted.extremes()
            for misfit in validate.incompatibilities(one, classes)
            if misfit.reason.startswith(f"{name} ")
        ]
        return list(dict.fromkeys(added)), list(dict.fromkeys(found))

    def _request(self, job: Job) -> Request:
        """Return what the server needs for a slide."""
        stem = Path(sequence.name(job.slide)).stem
        keep = f"{KEPT}/{stem}" if self._keep else None
        workflow = self._fitted.of(job)
        if not (job.middle and self._fitted.middle):  # which has other nodes
            workflow = changed(workflow, job.changes)
        if job.seed is not None:
            workflow = with_seed(workflow, job.seed)
        made: dict[str, Callable[[], Pixels]] = {
            "guide": lambda: job.guide,
            MASK: lambda: job.mask,
            **job.pictures,
        }
        pictures = {role: made[role]() for role in workflow.roles_for(made)}
        return Request(
            {role: pad(each) if role in ROLES else each for role, each in pictures.items()},
            lambda names: fill(workflow, names, keep=keep),
            workflow.output,
        )


def _registered(slide: Slide, guide: Pixels) -> Slide:
    """Return a slide that was drawn without a mask, aligned with its guide."""
    aligned = registration.align(slide.pixels, guide)
    return slide if aligned is slide.pixels else replace(slide, pixels=aligned, png=None)


def _wrong_shape(workflow: Workflow, shape: OtherShape) -> str:
    """Return the message for a workflow whose slides have another aspect than the frames."""
    sizes = "".join(
        f"\n  {label(each, workflow.nodes)}: " + ", ".join(f"{k} {v}" for k, v in values.items())
        for each, values in size_inputs(workflow)
    )
    return (
        f"{workflow.name} makes {shape}: another aspect than the film's.\n"
        + (f"Its nodes that set sizes:{sizes}\n" if sizes else "")
        + "Let it keep the size of its input, or set one of the film's aspect: --set ID.width=W "
        "--set ID.height=H."
    )


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


def _refusal(server: str, workflow: str, found: Sequence[Incompatibility]) -> str:
    lines = "".join(f"\n  {misfit}" for misfit in found)
    return (
        f"{server} cannot draw with {workflow}:{lines}\n"
        "Install what is missing on the server, or use what it has: --set ID.INPUT=VALUE changes "
        "the workflow for a run."
    )
