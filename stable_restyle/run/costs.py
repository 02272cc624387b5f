"""What a run asks of its backends: slides to draw, and pictures to upload for them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence

from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core.errors import WrongUsage, counted
from stable_restyle.core.records import BATCHES, Scene, Step, StepKind
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence, window_folder
from stable_restyle.plan import answers, windows
from stable_restyle.run import finish, redo
from stable_restyle.run.claim import Claimed
from stable_restyle.run.fill import FILL
from stable_restyle.workdir import redo_notes
from stable_restyle.workdir.layout import RunPaths


def drawings(steps: Iterable[Step], done: Collection[int]) -> list[Step]:
    """Return the steps that backends are asked for. done: the keys of those that are done."""
    return [step for step in steps if step.uses_backend and step.key not in done]


def uploads(
    asked: Iterable[Step], variants: WorkflowVariants, found: Sequence[Scene], *, only: bool
) -> int:
    """Return how many pictures are uploaded to one server for these steps, about.

    Each picture counts once, as on the server. It may have forgotten one that it needs again, and
    pictures of a film that does not move are the same. only: whether a part is restyled.
    """
    return len({each for step in asked for each in _pictures(step, variants, found, only=only)})


def check_run(
    settings: Settings, claimed: Claimed, paths: RunPaths, again: Collection[int]
) -> None:
    """Raise WrongUsage if the model would have to draw more than --at-most pictures.

    again: slides of --redo.
    """
    if settings.at_most is None:
        return
    notes = redo_notes.read(paths.redo_file)
    redone = {*again, *(() if notes.moved else notes.slides)}
    frames, steps = claimed.frames, claimed.steps
    size = (frames.width, frames.height)
    finished = sequence.find_slides(paths.slides, len(steps), size)[0]
    gone = redo.remade(steps, redone, answers=settings.is_composed)
    kept, every = finished.difference(gone).union(claimed.given), claimed.every(steps)
    there = sequence.indices(paths.answers) - redone
    there_too = window_folder.find(paths.windows) - windows.remade(steps, redone)
    done = {*kept, *answers.done(every, kept | there), *windows.done(steps, kept, there_too)}
    undrawn = {step.slide for step in steps} - kept
    made = finish.windows_to_make(claimed.stages, undrawn, len(steps), size)
    asked = len(drawings(every, done)) + sum(len(windows) for _, windows in made)
    check(settings.at_most, asked)


def check(at_most: int | None, asked: int) -> None:
    """Raise WrongUsage if that many drawings are too many."""
    if at_most is not None and asked > at_most:
        raise WrongUsage(
            f"--at-most {at_most}: the model would have to draw {counted(asked, 'slide')}; nothing "
            "was sent.\nRaise --at-most, or let the model draw fewer: --keys K, or a larger --fps. "
            "--dry-run shows what a run asks for."
        )


def _pictures(
    step: Step, variants: WorkflowVariants, found: Sequence[Scene], *, only: bool
) -> Iterator[Hashable]:
    """Yield what tells the pictures apart that are sent for a step."""
    slide, is_answer = step.slide, step.kind is StepKind.ANSWER
    if step.pictures:
        yield from _of_window(step, variants, found)
        return
    is_middle = slide == step.start if is_answer else step.previous is None
    from_frame = is_middle or is_answer
    available: dict[str, Hashable] = {
        "guide": ("frame" if from_frame else "guide", slide),
        "mask": "white" if from_frame and not only else ("mask", slide),
        "frame": ("frame", slide),
    }
    if only:
        available["only"] = ("only", slide)
    if not from_frame:
        available |= {"warped": ("warped", slide), "previous": ("slide", step.previous)}
    for role, source in (("middle", step.start), ("film", found[0].middle)):
        if source != slide:
            available[role] = ("slide", source)
    available |= _own(step, variants)
    workflow = variants.of_scene(step.scene, middle=is_middle)
    yield from (available[role] for role in workflow.roles_for(available))


def _of_window(
    step: Step, variants: WorkflowVariants, found: Sequence[Scene]
) -> Iterator[Hashable]:
    """Yield what tells the pictures apart that are sent for a window; a batch is one."""
    available: dict[str, Hashable] = {
        **{role: (role, step.key) for role in BATCHES},
        "first": ("slide", step.between[0]),
        "last": ("slide", step.between[-1]),
        "middle": ("slide", step.start),
        "film": ("slide", found[0].middle),
    }
    available |= _own(step, variants)
    yield from (available[role] for role in variants.windows[FILL].roles_for(available))


def _own(step: Step, variants: WorkflowVariants) -> dict[str, Hashable]:
    """Return the user's pictures that the scene of a step has, by name."""
    return {each.name: each.path for each in variants.pictures if each.is_of(step.scene)}
