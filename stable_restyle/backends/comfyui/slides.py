"""The slides of a run as a server draws them: what to send, and what to make of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stable_restyle.backends.base import BackendCheck, try_out
from stable_restyle.backends.comfyui.overrides import WorkflowVariants, changed
from stable_restyle.backends.comfyui.pictures import OtherShape, pad
from stable_restyle.backends.comfyui.texts import describe_prompts
from stable_restyle.backends.comfyui.workflow import (
    MASK,
    Workflow,
    describe_pictures,
    fill,
    label,
    size_inputs,
    with_seed,
)
from stable_restyle.core.errors import WorkflowFault
from stable_restyle.core.records import ROLES, Job, Pixels, Slide
from stable_restyle.imaging import registration
from stable_restyle.media import sequence
from stable_restyle.media.apng import Batch

KEPT = "stable-restyle-out"  # the server's folder for slides that it keeps
PICTURE_MAX = 64  # bytes for each pixel that is sent, and a MiB: room for an upscaler's raw pixels
_TURNED = (
    "White in the mask is where the picture may change: put an Invert Mask behind the node that "
    "loads it, or remove the one that is there."
)


@dataclass(frozen=True)
class Request:
    """What a server needs to draw one slide, or to make one window."""

    pictures: Mapping[str, Pixels | Batch]  # to upload, by role
    # The nodes to post; takes, by role, the values by which nodes load the uploaded pictures.
    prompt: Callable[[Mapping[str, Any]], dict[str, Any]]
    output: str  # ID of the node whose picture is the slide
    limit: int  # bytes of a picture that it makes
    count: int | None = None  # pictures that a window has to have; None: it is a slide


def picture_limit(width: int, height: int) -> int:
    """Return how many bytes a picture may have that is made of one of this size."""
    return PICTURE_MAX * width * height + 2**20


def request(variants: WorkflowVariants, job: Job, *, keep: bool) -> Request:
    """Return what a server needs for a slide. keep: whether it keeps the slide for good."""
    workflow = variants.of(job)
    if not (job.middle and variants.middle):  # which has other nodes
        workflow = changed(workflow, job.changes)
    if job.seed is not None:
        workflow = with_seed(workflow, job.seed)
    made: dict[str, Callable[[], Pixels]] = {
        "guide": lambda: job.guide,
        MASK: lambda: job.mask,
        **job.pictures,
    }
    pictures = {role: made[role]() for role in workflow.roles_for(made)}
    kept = f"{KEPT}/{Path(sequence.name(job.slide)).stem}" if keep else None
    return Request(
        {role: pad(each) if role in ROLES else each for role, each in pictures.items()},
        lambda names: fill(workflow, names, keep=kept),
        workflow.output,
        picture_limit(*pad(job.mask).shape),
    )


def draw(variants: WorkflowVariants, client: Callable[[Job], Slide], job: Job) -> Slide:
    """Return the slide that a client draws; one that was drawn without a mask is aligned.

    Raises what the client raises, WorkflowFault for a slide of another aspect.
    """
    workflow = variants.of(job)
    try:
        slide = client(job)
    except OtherShape as shape:
        raise WorkflowFault(wrong_shape(workflow, shape)) from None
    if MASK in workflow.roles:
        return slide
    if workflow.register:
        slide = _registered(slide, job.guide)
    return replace(slide, unmasked=True)


def tried_out(
    variants: WorkflowVariants,
    draw_slide: Callable[[Job], Slide],
    check: BackendCheck,
    size: tuple[int, int],
) -> BackendCheck:
    """Return a check with what came of drawing a slide, and a middle if that is other.

    size: width and height.
    """
    for middle in (True, False) if variants.middle else (False,):
        roles = {role for workflow in variants for role in workflow.roles}
        trial = try_out(draw_slide, size, roles, middle=middle)
        workflow = variants.middle if middle else variants.base
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


def _registered(slide: Slide, guide: Pixels) -> Slide:
    """Return a slide that was drawn without a mask, aligned with its guide."""
    aligned = registration.align(slide.pixels, guide)
    return slide if aligned is slide.pixels else replace(slide, pixels=aligned, png=None)


def wrong_shape(workflow: Workflow, shape: OtherShape) -> str:
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
