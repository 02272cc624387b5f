"""Results as text: the end of a run, --dry-run, --check and --measure."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stable_restyle.cli.console import clock
from stable_restyle.core.errors import are, bytes_in_words, counted
from stable_restyle.core.settings import FILM_ENDINGS
from stable_restyle.media import naming

if TYPE_CHECKING:
    from stable_restyle.backends.base import BackendCheck
    from stable_restyle.core.settings import Settings
    from stable_restyle.imaging.metrics import Stability
    from stable_restyle.report.jumps import Jumps
    from stable_restyle.run.dry_run import Plan
    from stable_restyle.run.measurement import Measurement
    from stable_restyle.run.pipeline import Outcome

JUMPS_SHOWN = 5  # at the end of a run; the report shows all

# Legend of --measure.
FIGURES = (
    "E_warp     change between neighbours after motion compensation: mean square, RGB 0..1",
    "  long-term  the same between each slide and its scene's middle",
    "  ratio      flicker after motion compensation; 1 is as steady as the source",
    "flicker    jumps of the mean lightness that the frames do not have: L*, 0..100",
    "sharpness  1 is that of the middle; less is blurred",
    "style      distance of the palette from that of the middle: levels of 255",
    "  end        the same at the ends of the scene only",
    "structure  how well a slide keeps the edges of its frame: 1 is all of them",
)


def announcement(settings: Settings, mode: str, batch: Path | None) -> str:
    """Return the first line of a command: what is done to which file, in how many steps.

    It is shown before anything heavy is imported. Empty if nothing takes long, or SOURCE is not
    there.
    """
    if batch is not None:
        return f"Restyling the films of {batch}; first, all its lines are checked."
    if mode == "check":
        return "Checking every backend with a small slide."
    if mode or not os.path.exists(naming.located(settings.source)[0]):
        return ""
    steps = list(_steps(settings))
    return f"{settings.source} -> {settings.target}, in {len(steps)} steps: {', '.join(steps)}."


def _steps(settings: Settings) -> Iterator[str]:
    """Yield the steps of a run, as far as its command shows them."""
    if not os.path.isdir(naming.located(settings.source)[0]):
        yield "export its frames" if settings.keep_frames else "look for its scenes"
    if settings.keys > 1:
        yield "choose the keys"
    yield "compose the slides" if settings.drawn else "draw the slides"
    if settings.fill:
        yield "make the windows between keys"
    if settings.deflicker:
        yield "average them with their neighbours"
    if settings.masks_of_part:
        yield "put them into their frames"
    for name in settings.finish:
        yield f"finish them with {os.path.basename(name)}"
    if settings.target.suffix.lower() in FILM_ENDINGS and not os.path.isdir(settings.target):
        yield "join them to a film"
    yield "write the report"


def summary(outcome: Outcome) -> str:
    """Return the last lines of a successful run."""
    drawn = "all of them new" if outcome.drawn == outcome.slides else f"{outcome.drawn} of them new"
    if outcome.drawn == 0:
        drawn = "none of them new"
    done = f"Done: {counted(outcome.slides, 'slide')}, {drawn}, in {outcome.target}"
    done += f" after {clock(outcome.seconds)}."
    if outcome.report is None or outcome.jumps is None:
        return done
    return f"{done}\nReport: {outcome.report} ({_found(outcome.jumps)})"


def _found(jumps: Jumps) -> str:
    """Return how many jumps there are, and between which slides the worst ones are."""
    if not jumps.count:
        return "no jumps"
    shown = sorted([slide for slide in jumps.worst if jumps.severity[slide] >= 1][:JUMPS_SHOWN])
    places = ", ".join(f"{slide}-{slide + 1}" for slide in shown)  # from 1, and the one before
    more = ", ..." if jumps.count > len(shown) else ""
    return f"{counted(jumps.count, 'jump')}: slides {places}{more}"


def describe_plan(plan: Plan) -> str:
    """Return the text of --dry-run."""
    lines = [
        f"{plan.source}: {counted(plan.frames, 'frame')} of {plan.width}x{plan.height} for "
        f"{counted(plan.slides, 'slide')}; {plan.finished} {are(plan.finished)} finished.",
        "scene         frames         slides  middle  chain down, up",
    ]
    for scene in plan.scenes:
        frames = f"{scene.start + 1}-{scene.stop}"
        slides = f"{scene.slides.start + 1}-{scene.slides.stop}"
        down, up = scene.middle - scene.slides.start, scene.slides.stop - 1 - scene.middle
        lines.append(
            f"{scene.number:5} {frames:>14} {slides:>14} {scene.middle + 1:7}  {down:>10}, {up}"
        )
    longest = f"the longest chain still to draw is {counted(plan.longest_chain, 'slide')}"
    if plan.longest_chain == 1 < plan.slides - plan.finished:
        longest = f"all {'keys' if plan.windows else 'slides'} can be drawn at once"
    elif plan.longest_chain == 0:
        longest = "nothing is left for the model to draw"
        if plan.windows:
            longest = "all windows can be made at once"
    lines.append(f"{counted(len(plan.scenes), 'scene')}; {longest}.")
    if plan.asked < plan.slides:
        asked = f"{'' if plan.windows else 'at least '}{counted(plan.asked, 'slide')}"
        lines.append(f"For the model: {asked}; the others are filled.")
    if plan.answers_size:
        what = "The model's windows" if plan.windows else "The model's answers"
        lines.append(f"{what} take about {bytes_in_words(plan.answers_size)} of disk.")
    least = "at least " if plan.asked < plan.slides and plan.drawings and not plan.windows else ""
    sent = "" if plan.uploads is None else f"; about {counted(plan.uploads, 'picture')} to upload"
    left = counted(plan.drawings - plan.windows, "slide")
    if plan.windows:
        left += f" and {counted(plan.windows, 'window')} of {plan.longest_window} slides at most"
    lines.append(f"Still to draw by the model: {least}{left}{sent}.")
    if plan.at_most is not None and plan.drawings > plan.at_most:
        lines.append(f"A run with --at-most {plan.at_most} would stop before it begins.")
    if plan.drawing_s is not None:
        lines.append(f"Drawing takes about {clock(plan.drawing_s)} on these backends.")
    return "\n".join(lines)


def describe_backend(check: BackendCheck) -> str:
    """Return what --check prints about one backend."""
    rows = [("can draw this run", "no: " + check.fault if check.fault else "yes"), *check.about]
    rows += [("missing", problem) for problem in check.problems]
    if check.trial_s is not None:
        width, height = check.size
        rows.append((f"slide of {width}x{height}", f"{check.trial_s:.1f} s"))
    indented = ((what, said.strip().replace("\n", "\n" + " " * 21)) for what, said in rows)
    return "\n".join([check.name, *(f"  {what:18} {said}" for what, said in indented)])


def describe_measurement(measurement: Measurement) -> str:
    """Return the table of --measure."""
    rows = [
        (str(scene.number), f"{scene.slides.start + 1}-{scene.slides.stop}", its)
        for scene, its in measurement.scenes
    ]
    rows.append(("all", counted(measurement.whole.slides, "slide"), measurement.whole))
    return "\n".join(
        [
            "                         E_warp  long-term E_warp",
            "scene       slides   x 1000  ratio   x 1000  ratio   flicker  sharpness  style    end"
            "  structure",
            *(f"{number:>5} {slides:>12} {_measured(its)}" for number, slides, its in rows),
            "",
            *FIGURES,
        ]
    )


def _measured(its: Stability) -> str:
    """Return the figures of a scene in columns; "-" where nothing could be compared."""
    columns = [
        (1000 * its.e_warp, 8, 3),
        (its.e_warp_ratio, 6, 2),
        (1000 * its.e_warp_long, 8, 3),
        (its.e_warp_long_ratio, 6, 2),
        (its.flicker, 9, 3),
        (its.sharpness, 10, 2),
        (its.style, 6, 1),
        (its.style_ends, 6, 1),
        (its.structure, 10, 2),
    ]
    return " ".join(
        f"{'-':>{width}}" if math.isnan(value) else f"{value:{width}.{digits}f}"
        for value, width, digits in columns
    )
