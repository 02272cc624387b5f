"""Decide which slides of an earlier run may stay, and note what the slides are made from."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from uuid import uuid4

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, are, counted
from stable_restyle.media import sequence, window_folder
from stable_restyle.workdir import input_file, owner, settings_file
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.settings_file import (
    FILL,
    FILMS,
    MADE_BY,
    SCENES,
    TARGET,
    SettingsSnapshot,
)

_IN_BETWEEN = re.compile(r"\d{6,}(-[bfm])?\.png")  # what --save-interp leaves
log = logging.getLogger(__name__)


def claim(
    paths: RunPaths, decides: SettingsSnapshot, *, fresh: bool
) -> tuple[SettingsSnapshot, bool]:
    """Check that the slides of an earlier run were made with these settings; then note them.

    A working folder of the original program is taken over as it is. Raises UnusableInput for slides
    of other settings or of another working folder; with `fresh` all of them are discarded instead.
    Returns what was noted, and whether slides were discarded. Scenes and frames may still differ:
    `claim_input` compares them.
    """
    earlier = settings_file.read(paths, fresh=fresh)
    if not fresh:
        owner.check_result(paths, earlier)
    owner.check_target(paths, earlier)
    owner_note = owner.read(paths)
    objection = owner.objection(paths, earlier, owner_note)
    if objection and not (fresh and owner_note):
        raise UnusableInput(objection)
    differing = settings_file.differences(earlier, decides)
    if not fresh and settings_file.composing_differs(earlier, decides):
        if gone := _unanswered(paths, earlier):
            differing.append(
                f"{gone} of these slides cannot be composed again: no answers in {paths.answers}"
            )
        elif windows := window_folder.find(paths.windows):
            differing.append(
                f"{counted(len(windows), 'window')} of --fill in {paths.windows} would have to be "
                "made again, as their keys would change"
            )
        else:
            if _slides(paths):
                what = "pictures" if _has_pictures(earlier) else "answers"
                log.info(
                    "Composing the slides again from their %s. %s.", what, "; ".join(differing)
                )
            _discard_slides(paths)
            differing = []
    other_film = bool(earlier) and earlier.get("film_sha256") != decides.get("film_sha256")
    if differing and not fresh and (_slides(paths) or _answers(paths) or other_film):
        raise UnusableInput(_refusal(paths, differing))
    starts_over = fresh and _starts_over(earlier, differing, objection)
    if starts_over:
        _discard(paths, other_film=other_film)
    made_by = earlier.get(MADE_BY) or (
        owner.is_ours(paths, earlier, owner_note) and owner_note.get(MADE_BY)
    )
    if starts_over or differing or not isinstance(made_by, str):
        made_by = uuid4().hex
    noted = {**decides, MADE_BY: made_by, TARGET: owner.path_from(paths.interp, paths.shown)}
    if paths.result is not None:
        noted[FILMS] = owner.with_size(earlier, paths.result)
    changes = {} if starts_over or SCENES not in earlier else {SCENES: earlier[SCENES]}
    settings_file.write(paths, {**noted, **changes})
    owner.write(paths, made_by, owner_note)
    return noted, starts_over


def claim_input(
    paths: RunPaths,
    noted: SettingsSnapshot,
    now: InputSnapshot,
    frames_per_slide: int,
    *,
    fresh: bool,
) -> None:
    """Check that the slides kept show these frames, in these scenes; then note frames and scenes.

    noted: as `claim` returns it. Raises UnusableInput if slides depend on something that has
    changed; with `fresh` these slides are discarded instead and the others stay. If `fresh` finds
    nothing that has changed, all are discarded.
    """
    was = input_file.read(paths, now, fresh=fresh)
    slides = input_file.outdated_slides(paths, was, now, frames_per_slide)
    answers = input_file.outdated_answers(paths, was, now, frames_per_slide)
    gone = input_file.unanswered(paths, was, frames_per_slide)
    only_composed = now.is_composed and gone.isdisjoint(map(sequence.index_of, slides))
    windows = input_file.outdated_windows(paths, was, now, frames_per_slide)
    drawn, what = (answers, "answer") if only_composed else (slides, "slide")
    outdated = len(drawn)
    if windows and not drawn:
        outdated, what = len(windows), "window"
    if outdated and not fresh:
        raise UnusableInput(
            input_file.refusal(paths, was, now, outdated, frames_per_slide, what=what)
        )
    if slides or answers or windows:
        log.info("Starting over in part: %s discarded.", _are(len(slides)))
        files.remove_all(paths.slides, slides)
        files.remove_all(paths.answers, answers)
        window_folder.remove(paths.windows, windows)
    elif fresh:
        _discard(paths, other_film=False)
    input_file.write(paths, now)
    changes = {str(scene): list(its) for scene, its in now.changes.items()}
    fill = {FILL: now.fill_name} if now.fill else {}
    settings_file.write(paths, {**noted, SCENES: changes, **fill})


def earlier_frames_per_slide(paths: RunPaths) -> int:
    """Return the frames per slide of the earlier run. Raises UnusableInput if there was none."""
    path = paths.settings_file
    if not path.exists():
        raise UnusableInput(
            f"There is no run to measure: {path} is not there.\n"
            "Restyle the film first, or name the SOURCE, the TARGET and the --work folder of a run."
        )
    earlier = settings_file.read(paths)
    owner.check(paths)
    if (frames_per_slide := settings_file.frames_per_slide(earlier)) is None:
        raise UnusableInput(f"{path} does not say how many frames make a slide.\nRun once more.")
    return frames_per_slide


def discarded_by_fresh(
    paths: RunPaths, decides: SettingsSnapshot, now: InputSnapshot, frames_per_slide: int
) -> tuple[set[int], set[int], set[range]]:
    """Return the slides, answers and windows that `fresh` would discard.

    Those are what `claim` and `claim_input` discard.
    """
    earlier = settings_file.read(paths, fresh=True)
    every = every_picture(paths)
    objection = owner.objection(paths, earlier, owner.read(paths))
    if _starts_over(earlier, settings_file.differences(earlier, decides), objection):
        return every
    was = input_file.read(paths, now, fresh=True)
    slides = input_file.outdated_slides(paths, was, now, frames_per_slide)
    answers = input_file.outdated_answers(paths, was, now, frames_per_slide)
    windows = input_file.outdated_windows(paths, was, now, frames_per_slide)
    if not (slides or answers or windows):
        return every
    return {*map(sequence.index_of, slides)}, {*map(sequence.index_of, answers)}, {*windows}


def every_picture(paths: RunPaths) -> tuple[set[int], set[int], set[range]]:
    """Return the slides, answers and windows that are there."""
    slides, answers = map(sequence.indices, (paths.slides, paths.answers))
    return slides, answers, window_folder.find(paths.windows)


def _starts_over(earlier: Mapping[str, object], differing: Sequence[str], objection: str) -> bool:
    """Return whether no slide of the earlier run can stay, whatever frames and scenes are."""
    return bool(not earlier or differing or objection)


def _refusal(paths: RunPaths, differing: Iterable[str]) -> str:
    """Return the message for a run with other settings than the earlier one's."""
    names, folder, what = _slides(paths), paths.slides, "slide"
    if not sequence.numbered(folder):
        folder = paths.shown
    if not names:
        names, folder, what = _answers(paths), paths.answers, "answer"
    slides = counted(len(names), what)
    return (
        f"{slides} in {folder} {'was' if len(names) == 1 else 'were'} made with other settings "
        f"({paths.settings_file}):\n"
        + "".join(f"  {line}\n" for line in differing)
        + "Go on with the old settings, or name another TARGET and another folder with --work, "
        f"or add --fresh to start over: it discards {slides}."
    )


def _slides(paths: RunPaths) -> list[str]:
    """Return the slides of the earlier run; with --deflicker, those before deflickering."""
    return sequence.numbered(paths.slides) or sequence.numbered(paths.shown)


def _are(slides: int) -> str:
    return f"{counted(slides, 'slide')} {are(slides)}"


def _discard(paths: RunPaths, *, other_film: bool) -> None:
    """Remove what an earlier run made; scenes.json, which people edit, stays with its film."""
    if slides := _slides(paths):
        log.info("Starting over: %s discarded.", _are(len(slides)))
    _discard_slides(paths)
    files.remove_all(paths.answers, _answers(paths))
    window_folder.remove(paths.windows, window_folder.find(paths.windows))
    files.remove_all(paths.interp, filter(_IN_BETWEEN.fullmatch, os.listdir(paths.interp)))
    derived = (paths.redo_file, paths.journal_file, paths.report_file)
    files.remove_all(paths.interp, [each.name for each in derived])
    files.remove_folder(paths.report_folder)
    files.remove_all(paths.interp, [paths.settings_file.name, paths.input_file.name])
    if paths.film is not None and other_film:
        files.remove_folder(paths.frames)
        of_film = (paths.scenes_file, paths.keys_file, paths.frames_file, paths.looking_file)
        files.remove_all(paths.interp, [each.name for each in of_film])


def _discard_slides(paths: RunPaths) -> None:
    """Remove the slides, not their answers."""
    for folder in (paths.shown, paths.drawn):
        files.remove_all(folder, sequence.numbered(folder))
    for folder in (paths.unfinished, *paths.finishes):
        files.remove_folder(folder)
    files.remove_all(paths.interp, [paths.deflicker_file.name, paths.measure_file.name])


def _unanswered(paths: RunPaths, earlier: SettingsSnapshot) -> int:
    """Return how many slides of the earlier run only a model could draw again."""
    if _has_pictures(earlier):
        return 0
    return len(input_file.noted_unanswered(paths, settings_file.frames_per_slide(earlier) or 1))


def _has_pictures(earlier: SettingsSnapshot) -> bool:
    """Return whether the earlier run had pictures of --drawn in place of answers."""
    return earlier.get("drawn_by") == settings_file.PICTURES


def _answers(paths: RunPaths) -> list[str]:
    return sequence.numbered(paths.answers)
