"""Split slides into answers and composing, for `--guide frame`. Pure functions of steps.

An answer is what the model makes of a frame alone, so all answers can be drawn at once; a slide is
composed from its answer and the slide before it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace

from stable_restyle.core.records import Step, StepKind


def done(steps: Iterable[Step], slides: Container[int]) -> set[int]:
    """Return the keys of the answers of these slides."""
    return {step.key for step in steps if step.kind is StepKind.ANSWER and step.slide in slides}


def split(steps: Iterable[Step], *, middle_first: bool = False) -> list[Step]:
    """Return the steps of a run whose slides are composed from answers.

    steps: of its slides, scene by scene. Those that backends would draw get an answer each. Answers
    are in the order in which composing needs them: outwards from where chains start. middle_first:
    whether the workflow loads the answer of the slide that a chain starts from.
    """
    steps = list(steps)
    drawn = [step for step in steps if step.uses_backend]
    drawn.sort(key=lambda step: (step.scene, abs(step.slide - step.start)))
    starts = {step.slide for step in drawn if step.previous is None}

    def answer(step: Step) -> Step:
        first = step.start if middle_first and step.start in starts - {step.slide} else None
        return replace(step, previous=first, other_key=None, kind=StepKind.ANSWER)

    return [
        *map(answer, drawn),
        *(replace(step, kind=StepKind.COMPOSE) if step.uses_backend else step for step in steps),
    ]
