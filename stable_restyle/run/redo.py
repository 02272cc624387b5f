"""Draw slides again: choose them and their seeds, and keep the earlier versions.

`interp/redo.json` notes a redo before any slide is moved, so that a stopped one continues when the
command is repeated. A slide that was drawn again keeps its own seed from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, WrongUsage, counted, reason
from stable_restyle.core.ranges import parse_ranges
from stable_restyle.core.records import Step, StepKind
from stable_restyle.media import sequence, window_folder
from stable_restyle.plan import windows
from stable_restyle.workdir import redo_notes
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.redo_notes import RedoNotes

REDONE = "redone"  # in interp: the earlier versions of slides

log = logging.getLogger(__name__)


def choose(
    listed: str, steps: Sequence[Step], made_from: InputSnapshot, *, chain: bool
) -> list[int]:
    """Return the slides that "12,40-46" names; with `chain` also those that depend on them.

    Raises WrongUsage.
    """
    if not listed:
        return []
    wanted = {number - 1 for number in parse_ranges(listed, f"--redo {listed}", "slide")}
    if beyond := [slide for slide in wanted if slide >= len(steps)]:
        raise WrongUsage(
            f"--redo {listed}: there is no slide {min(beyond) + 1}; the film has {len(steps)}."
        )
    if fixed := wanted.intersection(made_from.given):
        raise WrongUsage(
            f"--redo {listed}: slide {min(fixed) + 1} is a picture of --given; it is not drawn "
            "again.\nChange that picture and repeat the run with --fresh."
        )
    by_slide = {step.slide: step for step in steps}
    filled = next((by_slide[s] for s in sorted(wanted) if by_slide[s].kind is StepKind.FILL), None)
    if filled is not None:
        keys = " and ".join(str(source + 1) for source in sorted(filled.sources))
        raise WrongUsage(
            f"--redo {listed}: slide {filled.slide + 1} is filled from its keys, {keys}.\n"
            f'Redo these with --redo-chain; or add {filled.slide} to "keys" in keys.json, where '
            "slides count from 0, and repeat the run with --fresh: then the model draws it."
        )
    if chain:
        all_slides = made_from.film_middle in wanted
        wanted = set(range(len(steps)) if all_slides else dependents(steps, wanted))
    return sorted({_drawn(by_slide[slide]) for slide in wanted})


def _drawn(step: Step) -> int:
    """Return what a backend draws again for a slide: itself, or the first one of its window."""
    return step.between[1] if step.kind is StepKind.FROM_WINDOW else step.slide


def dependents(steps: Sequence[Step], slides: Iterable[int]) -> list[int]:
    """Return these slides, and those that are made from them."""
    found = set(slides)
    for step in steps:  # each after those that it is made from
        if not found.isdisjoint(step.sources):
            found.add(step.slide)
    return sorted(found)


def remade(steps: Sequence[Step], slides: Iterable[int], *, answers: bool) -> set[int]:
    """Return the slides that are made again where these are drawn again, themselves included.

    answers: whether slides are composed from answers; then those that depend on them are composed
    again. With windows, following keys stay as they are: otherwise all of their windows would have
    to be made again too.
    """
    slides = set(slides)
    if not any(step.kind is StepKind.FROM_WINDOW for step in steps):
        return set(dependents(steps, slides)) if answers else slides
    return slides.union(*(gap[1:-1] for gap in windows.remade(steps, slides)))


def check_begun(paths: RunPaths, listed: str) -> None:
    """Raise WrongUsage if no slide was ever drawn that could be drawn again."""
    if listed and not (sequence.numbered(paths.slides) or redo_notes.read(paths.redo_file).slides):
        raise WrongUsage(
            f"--redo {listed}: there are no slides in {paths.slides} to draw again.\n"
            "Leave --redo out to draw them first; or name the SOURCE, the TARGET and the --work "
            "folder of their run."
        )


def check_drawn(paths: RunPaths, listed: str, wanted: Sequence[int], count: int) -> None:
    """Raise WrongUsage if slides to draw again have not been drawn yet, nor have others.

    If only slides to draw again are missing, the user may have removed them.
    """
    existing = sequence.indices(paths.slides)
    missing = set(range(count)).difference(existing, redo_notes.read(paths.redo_file).slides)
    if (absent := missing.intersection(wanted)) and not absent >= missing:
        raise WrongUsage(
            f"--redo {listed}: slide {min(absent) + 1} is not drawn yet, and others are missing "
            "too.\nLeave --redo out to draw them first."
        )


def check_answers(
    paths: RunPaths, listed: str, wanted: Sequence[int], steps: Sequence[Step]
) -> None:
    """Raise WrongUsage if slides that follow from `wanted` would be drawn again by the model.

    steps: of all slides; those that backends would draw are composed from answers.
    """
    needed = {step.slide for step in steps if step.uses_backend}
    following = needed.intersection(remade(steps, wanted, answers=True)).difference(wanted)
    there = sequence.indices(paths.slides)
    if gone := following & there - sequence.indices(paths.answers):
        raise WrongUsage(
            f"--redo {listed}: slides that follow, such as {min(gone) + 1}, "
            f"cannot be composed again: no answers in {paths.answers}.\n"
            "Put the answers back, or add --redo-chain to have these slides drawn again too."
        )


def take_up(
    paths: RunPaths,
    steps: Sequence[Step],
    wanted: Sequence[int],
    seed: int | None,
    base: int,
    *,
    answers: bool,
) -> dict[int, int]:
    """Start a redo, or continue one that was stopped: move the earlier slides to interp/redone.

    wanted: the slides to draw again, of a window its first; none to only continue. seed: None for
    one that differs from the slide's last one. base: the seed of slides that were never drawn
    again. answers: whether slides are composed from answers; then these are moved, or the slides
    whose answers are gone, and the slides that depend on them removed. Windows are moved as well.
    Returns the seed of every slide that has its own. Raises UnusableInput.
    """
    folder = paths.answers if answers else paths.slides
    notes = redo_notes.read(paths.redo_file)
    if wanted and not _is_same(notes, wanted, seed):
        seeds = {
            slide: _next_seed(notes, slide, base) if seed is None else seed for slide in wanted
        }
        left = notes.slides if not notes.moved else ()
        slides = sorted({*wanted, *left})
        notes = RedoNotes({**notes.seeds, **seeds}, slides, moved=False)
        redo_notes.write(paths.redo_file, notes)
    if not notes.moved:
        gaps = windows.remade(steps, notes.slides)
        between = {slide for gap in gaps for slide in gap[1:-1]}
        drawn = sorted({*notes.slides} - between)
        gone = sorted({*drawn} - sequence.indices(folder))
        try:
            moved = 0
            if answers:
                moved = _move(paths.slides, paths.interp / REDONE, gone)
            made = remade(steps, notes.slides, answers=True) if answers else between
            there = {*sequence.numbered(paths.slides)}
            files.remove_all(paths.slides, sorted(there.intersection(map(sequence.name, made))))
            moved += _move(folder, paths.interp / REDONE, drawn)
            _move_windows(paths, gaps)
        except OSError as error:
            raise UnusableInput(
                f"{error.filename or folder} cannot be moved to {paths.interp / REDONE}: "
                f"{reason(error)}.\nFix this and run the command again; it continues from there."
            ) from error
        what = [counted(moved, "answer" if answers and not gone else "slide")] if drawn else []
        what += [counted(len(gaps), "window")] if gaps else []
        log.info("Kept in %s: %s as drawn earlier.", paths.interp / REDONE, " and ".join(what))
        notes = replace(notes, moved=True)
        redo_notes.write(paths.redo_file, notes)
    return dict(notes.seeds)


def finish(paths: RunPaths) -> None:
    """Note that all slides are drawn: the same --redo would draw them once more."""
    notes = redo_notes.read(paths.redo_file)
    if notes.slides:
        redo_notes.write(paths.redo_file, replace(notes, slides=()))


def _is_same(notes: RedoNotes, wanted: Sequence[int], seed: int | None) -> bool:
    """Return whether this is the redo that was stopped."""
    seeds = {notes.seeds.get(slide) for slide in wanted}
    return sorted(notes.slides) == list(wanted) and (seed is None or seeds == {seed})


def _next_seed(notes: RedoNotes, slide: int, base: int) -> int:
    """Return the seed that follows a slide's last one: 32 bits, which all nodes accept."""
    before = notes.seeds.get(slide, base)
    return int.from_bytes(sha256(f"{before} {slide + 1}".encode()).digest()[:4], "big")


def _move(folder: Path, redone: Path, slides: Iterable[int]) -> int:
    """Move the pictures that exist to interp/redone, under unused names; return how many.

    Raises OSError.
    """
    redone.mkdir(exist_ok=True)
    moved = 0
    for slide in slides:
        path = folder / sequence.name(slide)
        if path.exists():
            files.move(path, _free(redone, path.stem))  # TARGET may be on another drive
            moved += 1
    return moved


def _move_windows(paths: RunPaths, gaps: Iterable[range]) -> None:
    """Move the windows that exist to interp/redone, under unused names. Raises OSError."""
    for name in map(window_folder.name, gaps):
        if (folder := paths.windows / name).is_dir():
            (paths.interp / REDONE).mkdir(exist_ok=True)
            files.replace(folder, _free(paths.interp / REDONE, name, ""))


def _free(folder: Path, stem: str, ending: str = ".png") -> Path:
    path, number = folder / f"{stem}{ending}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path
