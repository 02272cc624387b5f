"""The workflow of --fill, which makes the slides between two keys as a window."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from fractions import Fraction

from stable_restyle.backends.comfyui import texts, workflow_file
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.backends.comfyui.texts import Prompts, with_prompts
from stable_restyle.backends.comfyui.workflow import Workflow, with_seed
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.records import WINDOW_ROLES
from stable_restyle.core.settings import Settings
from stable_restyle.drawing.window import FillSpec
from stable_restyle.plan import windows
from stable_restyle.workdir.layout import RunPaths

FILL = "fill"  # the workflow's key among those that make windows
LEAST = 3  # pictures: two keys, and a slide between them


def check(settings: Settings) -> None:
    """Raise WrongUsage if --fill cannot go together with the other options."""
    if not settings.fill:
        return
    if settings.keys == 1:
        raise WrongUsage(f"--fill {settings.fill} makes the slides between keys: add --keys K.")
    for option, value in (("--fill-only", settings.fill_only), ("--drawn", settings.drawn)):
        if value:
            raise WrongUsage(
                f"--fill and {option} exclude each other: give one of them.\nWith --fill, a model "
                "makes the slides between keys."
            )


def load(settings: Settings, names: AbstractSet[str], prompts: Prompts) -> Workflow | None:
    """Return the workflow of --fill, with the run's prompts and seed where it has any.

    names: of the pictures of --picture. Raises UnusableInput, WrongUsage.
    """
    if not settings.fill:
        return None
    check_names("--fill", names)
    workflow = workflow_file.load_window(settings.fill, names)
    if workflow.window is None or windows.longest(workflow.window) < LEAST:
        raise WrongUsage(
            f"--fill {settings.fill}: no length of a window fits two keys and a slide between "
            f'them.\nCorrect "window" in the file: "most" must allow for {LEAST} pictures.'
        )
    return for_run(workflow, settings, prompts)


def check_names(option: str, names: AbstractSet[str]) -> None:
    """Raise WrongUsage if a picture of --picture is called as one that each window has."""
    if own := sorted(names & {*WINDOW_ROLES}):
        raise WrongUsage(
            f"--picture {own[0]}=FILE: {own[0]} is a picture that each window of {option} has of "
            "its own; choose another name."
        )


def for_run(workflow: Workflow, settings: Settings, prompts: Prompts) -> Workflow:
    """Return a workflow of windows with the run's prompts and seed, where it has any."""
    found = {key: text for key, text in prompts.items() if texts.find(workflow, key)}
    workflow = with_prompts(workflow, found)
    return workflow if settings.seed is None else with_seed(workflow, settings.seed)


def longest(variants: WorkflowVariants) -> int | None:
    """Return how many slides the longest window has, both keys included; None without --fill."""
    workflow = variants.windows.get(FILL)
    return windows.longest(workflow.window) if workflow and workflow.window else None


def spec(variants: WorkflowVariants, paths: RunPaths, rate: Fraction) -> FillSpec | None:
    """Return how windows are made; None without --fill. rate: slides per second."""
    workflow = variants.windows.get(FILL)
    if workflow is None or workflow.window is None:
        return None
    return FillSpec(paths.windows.absolute(), workflow.window, rate)
