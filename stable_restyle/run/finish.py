"""The workflows of --finish: what they are, what their windows hold, and which are still to make.

Slides as drawn go through stages: they are averaged with their neighbours or composed with their
frames, if --deflicker or --only asks for that, and then finished by each --finish in its turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.backends.comfyui.texts import Prompts
from stable_restyle.backends.comfyui.workflow import Workflow
from stable_restyle.core import files
from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.records import BATCHES, Scene, Step, WindowRule
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence, window_folder
from stable_restyle.plan import windows
from stable_restyle.run import deflicker, fill
from stable_restyle.workdir.layout import RunPaths

FINISH = "finish"  # begins the key of such a workflow among those that make windows
_OF_SLIDES = ("known", "first", "last")  # roles of the slides to be finished


@dataclass(frozen=True)
class Finish:
    """A --finish of a run."""

    number: int  # from 1
    key: str
    workflow: Workflow
    rule: WindowRule


@dataclass(frozen=True)
class Stage:
    """What is made of the slides of the stage before."""

    source: Path | None  # where these slides are; None: nowhere yet
    slides: Path | None  # where its own are
    widened: Callable[[AbstractSet[int]], set[int]]  # returns its slides that depend on some
    finish: Finish | None = None  # None: slides are averaged, or composed with their frames
    steps: Sequence[Step] = ()  # its windows
    folder: Path = Path()  # of the --finish

    @property
    def windows(self) -> Path:
        """Return the folder of its windows, which are kept until they are blended."""
        return self.folder / "windows"

    def left(self) -> set[range]:
        """Return the windows that are there."""
        return window_folder.find(self.windows) if self.slides and self.finish else set()


def load(settings: Settings, names: AbstractSet[str], prompts: Prompts) -> dict[str, Workflow]:
    """Return the workflow of each --finish, with the run's prompts and seed where it has any.

    names: of the pictures of --picture. Raises UnusableInput, WrongUsage.
    """
    found: dict[str, Workflow] = {}
    for number, name in enumerate(settings.finish, 1):
        fill.check_names("--finish", names)
        workflow = workflow_file.load_window(name, names, alone=_OF_SLIDES[0])
        if workflow.roles.isdisjoint(_OF_SLIDES):
            loader = next(iter(workflow.pictures))
            raise WrongUsage(
                f"--finish {name}: no node of the workflow loads the slides that are to be "
                'finished; "frames" are those of the film.\nGive the node that loads slides the '
                f'title "known", or name it in the file: "pictures": {{"{loader}": "known"}}.'
            )
        found[_key(number)] = fill.for_run(workflow, settings, prompts)
    return found


def of(variants: WorkflowVariants) -> list[Finish]:
    """Return each --finish of a run, in their order."""
    found: list[Finish] = []
    while (workflow := variants.windows.get(key := _key(len(found) + 1))) is not None:
        assert workflow.window is not None  # as `load_window` has checked
        found.append(Finish(len(found) + 1, key, workflow, workflow.window))
    return found


def alone(variants: WorkflowVariants) -> WorkflowVariants:
    """Return what servers are asked for where all slides are there."""
    return variants.for_windows({each.key for each in of(variants)})


def digests(variants: WorkflowVariants, engine: str, bounds: Sequence[int]) -> list[str]:
    """Return what each --finish depends on besides its slides. bounds: of the scenes."""

    def digest(workflow: Workflow) -> str:
        used = [each.digest for each in variants.pictures if each.name in workflow.roles]
        tree = [workflow.sha256, used, engine, list(bounds)]
        return sha256(json.dumps(tree).encode()).hexdigest()

    return [digest(each.workflow) for each in of(variants)]


def stages_of(
    finishes: Sequence[Finish],
    paths: RunPaths,
    folders: Sequence[Path | None],
    found: Sequence[Scene],
    reach: int,
) -> list[Stage]:
    """Return the stages of a run, in their order.

    folders: where slides are, of the drawn ones and of each stage. found: the scenes. reach:
    --deflicker.
    """
    composed = [
        Stage(folders[0], folders[1], partial(deflicker.depending, found, reach))
        for _ in folders[1 : len(folders) - len(finishes)]
    ]
    finished = []
    for finish, source, slides in zip(
        finishes, folders[len(composed) :], folders[len(composed) + 1 :], strict=False
    ):
        steps = windows.finishing(found, finish.rule)
        widened = partial(windows.with_neighbours, steps)
        folder = paths.finish(finish.number)
        finished.append(Stage(source, slides, widened, finish, steps, folder))
    return [*composed, *finished]


def discard(stages: Iterable[Stage], missing: AbstractSet[int]) -> None:
    """Remove what was made of slides that are about to be drawn. missing: those."""
    for stage in stages:
        gone = [each for each in stage.left() if not missing.isdisjoint(each)]
        window_folder.remove(stage.windows, gone)
        missing = stage.widened(missing)
        if stage.slides is not None:
            files.remove_all(stage.slides, map(sequence.name, sorted(missing)))


def windows_to_make(
    stages: Iterable[Stage], missing: AbstractSet[int], count: int, size: tuple[int, int]
) -> Iterator[tuple[Finish, list[Step]]]:
    """Yield each --finish of a run, and its windows that are still to make.

    missing: slides that are yet to be drawn. count: of all slides. size: width and height of
    frames.
    """
    for stage in stages:
        there = {each for each in stage.left() if missing.isdisjoint(each)}
        missing = stage.widened(missing) | missing_of(stage, count, size)
        if stage.finish is not None:
            wanted = [step for step in stage.steps if not missing.isdisjoint(step.between)]
            yield stage.finish, [step for step in wanted if step.between not in there]


def missing_of(stage: Stage, count: int, size: tuple[int, int]) -> set[int]:
    """Return the slides of a stage that are not there. count, size: as for `windows_to_make`."""
    every = set(range(count))
    if stage.slides is None:
        return every
    return every - sequence.find_slides(stage.slides, count, size)[0]


def uploads(made: Iterable[tuple[Finish, Sequence[Step]]]) -> int:
    """Return how many pictures a server is sent for these windows, about; a batch is one."""
    of_windows = {*BATCHES, "first", "last"}
    return sum(
        len(steps) * len(finish.workflow.roles & of_windows)
        + len({step.scene for step in steps}) * len(finish.workflow.roles - of_windows)
        for finish, steps in made
    )


def _key(number: int) -> str:
    return FINISH if number == 1 else f"{FINISH}-{number}"
