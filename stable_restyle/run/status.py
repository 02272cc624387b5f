"""What can be known of a run before it starts: can its settings be used, is it finished.

Nothing is written.
"""

from __future__ import annotations

from dataclasses import replace

from stable_restyle.backends import connect
from stable_restyle.backends.base import TRIAL_SIZE, BackendCheck, trial_size
from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core.errors import RestyleError, UnusableInput
from stable_restyle.core.records import StepKind
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence, window_folder
from stable_restyle.plan import scenes
from stable_restyle.run import costs, drawn, only, prepare
from stable_restyle.run.inputs import (
    given_slides,
    keyframe_kind,
    load_workflow,
    result_snapshot,
    run_paths,
    settings_snapshot,
    snapshot_input,
    with_guide,
)
from stable_restyle.workdir import finished, input_file, redo_notes, settings_file
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.layout import RunPaths


def check_settings(settings: Settings) -> RunPaths:
    """Check that these settings can be used; return the paths of the run.

    No server is asked. Raises RestyleError.
    """
    connect.engine(settings.backends, *load_workflow(settings))
    return run_paths(settings)


def check_backends(settings: Settings) -> list[BackendCheck]:
    """Check each backend for a run with these settings: have it draw a slide of SOURCE's aspect.

    Raises RestyleError if the settings cannot be used.
    """
    models = 1 + bool(settings.middle_model) + bool(settings.fill)
    trials = models * max(len(settings.backends), 1)
    costs.check(settings.at_most, trials)
    return connect.check(settings.backends, *load_workflow(settings), _trial_size(settings))


def _trial_size(settings: Settings) -> tuple[int, int]:
    """Return width and height of a small slide; a check does not depend on SOURCE being there."""
    try:
        source = prepare.look(run_paths(settings), settings.rate)
    except RestyleError:
        return TRIAL_SIZE
    return trial_size(source.width, source.height)


def is_finished(settings: Settings) -> bool:
    """Return whether a run with these settings has ended, and nothing has changed since.

    False if the settings ask for slides to be drawn again, or if the film would have to be read
    to see that it is the same. No server is asked. Raises RestyleError.
    """
    paths = run_paths(settings)
    if settings.fresh or settings.redo or not paths.finished_file.exists():
        return False
    if settings.keep_frames and not paths.frames.exists():
        return False
    variants, access = load_workflow(settings)
    settings = with_guide(settings, variants, paths)
    engine = connect.engine(settings.backends, variants, access)
    marks = settings_file.known_marks(paths.film, paths) if paths.film else {}
    if marks is None:
        return False
    decided = settings_snapshot(settings, variants, engine)
    settled = result_snapshot(settings, variants, engine, decided, marks)
    foreseen = _foresee(settings, variants, paths)
    if foreseen is None:
        return False
    try:
        count = len(foreseen.steps(settings.frames_per_slide))
        return finished.holds(paths, settled, foreseen, sequence.marks(paths.shown, count))
    except UnusableInput:
        return False  # the run reports what is wrong, or repairs it


def has_all_answers(settings: Settings, variants: WorkflowVariants, paths: RunPaths) -> bool:
    """Return whether a run only composes slides: the answers that it needs are there.

    paths: as the last run left them. False in any doubt. No server is asked. Raises UnusableInput.
    """
    redone = settings.redo or not redo_notes.read(paths.redo_file).moved
    if not settings.is_composed or settings.fresh or redone or settings.drawn:
        return False
    earlier = settings_file.read(paths)
    if (foreseen := _foresee(settings, variants, paths)) is None:
        return False
    if (earlier.get("keys"), earlier.get("fill_only")) != (settings.keys, settings.fill_only):
        if foreseen.fill:
            return False
        foreseen = replace(foreseen, keys=None)  # others are chosen: any slide may be one
    steps = foreseen.steps(settings.frames_per_slide)
    there_now = window_folder.find(paths.windows)
    if any(step.kind is StepKind.FROM_WINDOW and step.between not in there_now for step in steps):
        return False
    frames = prepare.unchecked_frames(paths)  # `_foresee` has checked them
    assert frames is not None
    needed = {step.slide for step in foreseen.answers(settings.frames_per_slide)}
    there = sequence.find_finished(paths.answers, needed, (frames.width, frames.height))
    return needed == there


def has_all_slides(
    settings: Settings, variants: WorkflowVariants, access: Access, paths: RunPaths
) -> bool:
    """Return whether all slides are drawn as this run would draw them.

    paths: as the last run left them. False in any doubt. No server is asked. Raises UnusableInput.
    """
    if settings.redo or settings.fresh or not redo_notes.read(paths.redo_file).moved:
        return False
    earlier, foreseen = settings_file.read(paths), _foresee(settings, variants, paths)
    if not earlier or foreseen is None or (settings.dask and not settings.backends):
        return False
    engine = connect.engine(settings.backends, variants, access)
    if settings_file.differences(earlier, settings_snapshot(settings, variants, engine)):
        return False
    if input_file.read(paths, foreseen, fresh=False) != foreseen:
        return False
    frames = prepare.unchecked_frames(paths)  # `_foresee` has checked them
    assert frames is not None
    needed = {step.slide for step in foreseen.steps(settings.frames_per_slide)}
    size = (frames.width, frames.height)
    return needed == sequence.find_finished(paths.slides, needed, size)


def _foresee(
    settings: Settings, variants: WorkflowVariants, paths: RunPaths
) -> InputSnapshot | None:
    """Return what the slides depend on; None if the run has yet to split or detect something."""
    if not paths.scenes_file.exists():  # a first run, whose frames need not be read for that
        return None
    try:
        frames = prepare.existing_frames(paths)
        bounds = scenes.read_boundaries(paths.scenes_file, frames.count)
        given = given_slides(settings, frames)
        found = scenes.find_scenes(bounds, settings.frames_per_slide, given)
        chosen = prepare.foresee_keys(found, paths, keyframe_kind(settings, variants, given))
        source = prepare.look(paths, settings.rate) if variants.timed else frames
        masks = only.find_split(settings, paths)
        its_drawn = drawn.find_split(settings, paths, frames)
        if (settings.masks_of_part and masks is None) or (settings.drawn and its_drawn is None):
            return None  # the film of masks or pictures has changed
        return snapshot_input(
            settings, variants, source, frames, bounds, given, chosen, masks, its_drawn
        )
    except UnusableInput:
        return None  # the run reports what is wrong, or repairs it
