"""Report slides that could not be drawn."""

from __future__ import annotations

from collections.abc import Sequence

from stable_restyle.core.errors import RestyleError, are, counted
from stable_restyle.drawing.executor import Failure

REASONS_SHOWN = 12


class SlidesMissing(RestyleError):
    """The run ended, but some slides could not be drawn."""

    exit_code = 1

    def __init__(self, failures: Sequence[Failure], slides: int) -> None:
        in_order = sorted(failures, key=lambda failure: failure.lost[0])
        reasons = [
            f"  scene {failure.step.scene}, {slide_numbers(failure.lost)}: "
            + str(failure.reason).replace("\n", "\n    ")
            for failure in in_order[:REASONS_SHOWN]
        ]
        if len(in_order) > REASONS_SHOWN:
            reasons.append(f"  and {counted(len(in_order) - REASONS_SHOWN, 'more chain')}")
        missing = sum(len(failure.lost) for failure in failures)
        super().__init__(
            f"{missing} of {counted(slides, 'slide')} {are(missing)} missing:\n"
            + "\n".join(reasons)
            + "\n"
            "Fix this and run the command again; finished slides are kept."
        )


def slide_numbers(slides: Sequence[int]) -> str:
    """Return slides by their files' numbers: "slide 7", "slides 7-12", "5 slides from 7 to 20"."""
    first, last = slides[0] + 1, slides[-1] + 1
    if len(slides) == 1:
        return f"slide {first}"
    if last - first == len(slides) - 1:
        return f"slides {first}-{last}"
    return f"{len(slides)} slides from {first} to {last}"
