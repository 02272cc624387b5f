"""Keep slides as drawn and the finished ones apart, and move them where this run wants them.

Chains continue from slides as they were drawn. With `--deflicker`, `--only` or `--finish`, these
are in the working folder, and TARGET has what was made of them in one or several stages: averaged,
or composed with their frames; then each `--finish`. Between two stages, slides are in the working
folder too. Without these options, TARGET has the drawn ones. `deflicker.json` names the stages of
TARGET's slides, and does not exist if these are as drawn. Each step can be interrupted at any
moment and repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.media import sequence
from stable_restyle.media.naming import OWN, Naming
from stable_restyle.workdir import owner, settings_file
from stable_restyle.workdir.layout import RunPaths

FINISH = "finish"  # in deflicker.json: what each --finish depends on


@dataclass(frozen=True)
class Wanted:
    """The stages that a run asks for."""

    reach: int  # of --deflicker
    bounds: Sequence[int]  # of the scenes
    masks: SubjectMasks | None  # of --only
    finishes: Sequence[str]  # what each --finish depends on


@dataclass(frozen=True)
class _Stage:
    """What was made of the slides before; the first stage is as they were drawn."""

    slides: Path  # where its slides are, unless it is the last: those are in TARGET
    made: str  # what it depends on besides the slides before


def as_left(paths: RunPaths) -> RunPaths:
    """Return the paths with `slides` as the folder where the last run left its drawn slides."""
    return replace(paths, slides=paths.drawn if paths.deflicker_file.exists() else paths.shown)


def finish_move(paths: RunPaths) -> None:
    """Move the slides of the last stage into TARGET if a move of them was stopped."""
    sequence.move(_stages(paths, _noted(paths))[-1].slides, paths.shown)


def settle(paths: RunPaths, wanted: Wanted) -> list[Path]:
    """Move the slides to this run's folders for them; discard those that are outdated.

    Return these folders: of the drawn slides, and of each stage.
    """
    note = _note(paths, wanted)
    was, now = _stages(paths, _noted(paths)), _stages(paths, note)
    kept = _in_common(was, now)
    if kept < len(was):
        files.remove_all(paths.shown, sequence.numbered(paths.shown))
        for stage in was[kept:]:
            files.remove_folder(stage.slides)
    elif kept < len(now):
        sequence.move(paths.shown, _made(was[-1].slides))
    if len(now) > 1:
        files.write_json(paths.deflicker_file, note)
    else:
        files.remove_all(paths.interp, [paths.deflicker_file.name])
    finish_move(paths)
    if kept == len(now):
        with suppress(OSError):  # it does not exist, or holds other files
            files.remove_empty(now[-1].slides)
    return [*(stage.slides for stage in now[:-1]), paths.shown]


def find(paths: RunPaths, wanted: Wanted) -> list[Path | None]:
    """Return where slides are that `settle` would keep, as it does; None for a stage without."""
    was, now = _stages(paths, _noted(paths)), _stages(paths, _note(paths, wanted))
    there: list[Path | None] = [*(stage.slides for stage in was[:-1]), paths.shown]
    kept = there[: _in_common(was, now)]
    return [*kept, *[None] * (len(now) - len(kept))]


def masks_of(paths: RunPaths) -> SubjectMasks | None:
    """Return the masks that the slides in TARGET were composed with; None without."""
    made = _noted(paths)
    folder = made.get("only")
    if not isinstance(folder, str):
        return None
    names = made.get("names")
    return SubjectMasks(
        paths.interp.absolute() / folder,
        bool(made.get("inverted")),
        Naming(*names) if isinstance(names, list) else OWN,
    )


def _note(paths: RunPaths, wanted: Wanted) -> dict[str, object]:
    """Return what deflicker.json says of these stages."""
    reach, masks = wanted.reach, wanted.masks
    # Slides that were averaged before there was "detail" are softer, and are made again.
    made: dict[str, object] = {"slides": reach, "scenes": list(wanted.bounds)} | (
        {"detail": True} if reach else {}
    )
    if masks:
        folder = owner.path_from(paths.interp, masks.folder)
        made |= {"only": folder, "inverted": masks.inverted}
        if masks.names != OWN:
            made["names"] = list(astuple(masks.names))
    return made | ({FINISH: list(wanted.finishes)} if wanted.finishes else {})


def _noted(paths: RunPaths) -> dict[str, object]:
    """Return what deflicker.json says; that its slides are unknown if it cannot be read."""
    if not paths.deflicker_file.exists():
        return {}
    try:
        return files.read_json(paths.deflicker_file, settings_file.as_object, "")
    except UnusableInput:
        return {"slides": "unknown"}


def _stages(paths: RunPaths, made: Mapping[str, object]) -> list[_Stage]:
    """Return the stages that deflicker.json describes."""
    found = [_Stage(paths.drawn, "")]
    composing = {name: its for name, its in made.items() if name != FINISH}
    if made.get("slides") or "only" in made:
        found.append(_Stage(paths.unfinished, json.dumps(composing)))
    finishes = made.get(FINISH)
    for number, digest in enumerate(finishes if isinstance(finishes, list) else [], 1):
        found.append(_Stage(paths.finish(number), str(digest)))
    return found


def _in_common(was: Sequence[_Stage], now: Sequence[_Stage]) -> int:
    """Return how many stages both begin with."""
    same = [one.made == other.made for one, other in zip(was, now, strict=False)]
    return [*same, False].index(False)


def _made(folder: Path) -> Path:
    """Make a folder for slides."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
