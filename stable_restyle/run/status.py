"""What can be known of a run before it starts: can its settings be used, is it finished.

Nothing is written.
"""

from __future__ import annotations

from stable_restyle.backends import connect
from stable_restyle.backends.base import TRIAL_SIZE, BackendCheck, trial_size
from stable_restyle.core.errors import RestyleError, UnusableInput
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.plan import scenes
from stable_restyle.run import drawn, only, prepare
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
from stable_restyle.workdir import finished, settings_file
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
    variants, access = load_workflow(settings)
    settings = with_guide(settings, variants, paths)
    engine = connect.engine(settings.backends, variants, access)
    marks = settings_file.known_marks(paths.film, paths) if paths.film else {}
    if marks is None:
        return False
    settled = result_snapshot(settings, settings_snapshot(settings, variants, engine), marks)
    try:
        frames = sequence.find_frames(paths.frames)
        bounds = scenes.read_boundaries(paths.scenes_file, frames.count)
        given = given_slides(settings, frames)
        found = scenes.find_scenes(bounds, settings.frames_per_slide, given)
        count = scenes.slide_count(frames.count, settings.frames_per_slide)
        chosen = prepare.foresee_keys(found, paths, keyframe_kind(settings, given))
        source = prepare.look(paths, settings.rate) if variants.timed else frames
        masks = only.find_split(settings, paths)
        its_drawn = drawn.find_split(settings, paths, frames)
        if (settings.masks_of_part and masks is None) or (settings.drawn and its_drawn is None):
            return False  # the film of masks or pictures has changed
        input_snapshot = snapshot_input(
            settings, variants, source, frames, bounds, given, chosen, masks, its_drawn
        )
        return finished.holds(paths, settled, input_snapshot, sequence.marks(paths.shown, count))
    except UnusableInput:
        return False  # the run reports what is wrong, or repairs it
