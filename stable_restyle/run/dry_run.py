"""What a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from stable_restyle.backends import connect
from stable_restyle.backends.comfyui.backend import ComfyBackend
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core.progress import Progress
from stable_restyle.core.records import Keys, Scene, Step
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.media.frames import Frames
from stable_restyle.media.probe import Film
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.media.split import size_of
from stable_restyle.plan import answers, scenes, windows
from stable_restyle.plan.schedule import Schedule, estimate
from stable_restyle.run import costs, drawn, finish, only, prepare, stages
from stable_restyle.run.finish import Finish
from stable_restyle.run.inputs import (
    check_scenes,
    explain_fps,
    explain_tone,
    given_slides,
    keyframe_kind,
    load_workflow,
    run_paths,
    settings_snapshot,
    snapshot_input,
    source_snapshot,
    with_guide,
)
from stable_restyle.run.stages import Wanted
from stable_restyle.workdir import manifest, settings_file
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.settings_file import SettingsSnapshot


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    source: Path
    frames: int
    width: int
    height: int
    scenes: Sequence[Scene]
    slides: int
    finished: int
    asked: int  # slides that backends have part in, at least
    answers_size: int  # bytes that answers and windows still to make take on disk, estimated
    windows: int  # still to make; they count as drawings
    longest_window: int  # slides of the longest of these
    longest_chain: int
    drawing_s: float | None  # estimated, if a time a slide was given
    drawings: int  # pictures that backends have yet to draw, at least
    uploads: int | None  # pictures that a server is sent for them, about; None without servers
    at_most: int | None  # drawings that are allowed


def plan(settings: Settings, seconds: float | None, progress: Progress) -> Plan:
    """Return what a run would do. seconds: how long a slide takes on a backend."""
    variants, access = load_workflow(settings)
    engine = connect.engine(settings.backends, variants, access)
    paths = run_paths(settings)
    settings = with_guide(settings, variants, paths)
    source = prepare.look(paths, settings.rate)
    explain_fps(source, settings.frames_per_slide)
    explain_tone(source)
    frame_count, bounds = prepare.foresee(source, paths, settings.scene_threshold, progress)
    if (masks := only.find_split(settings, paths) or only.look(settings)) is not None:
        only.check_size(settings, masks, source)
        count = masks.frames if isinstance(masks, Film) else masks.count
        only.check_count(settings, count, frame_count)
    given = given_slides(settings, source)
    found = scenes.find_scenes(bounds, settings.frames_per_slide, given)
    chosen = prepare.foresee_keys(found, paths, keyframe_kind(settings, variants, given))
    steps = scenes.all_steps(found, chosen)
    left = stages.as_left(paths)
    rate = prepare.frame_rate(source, settings.rate)
    check_scenes(settings, variants, found)
    variants.slide_changes(found, settings.frames_per_slide, frame_count, rate)
    finished, _ = sequence.find_slides(left.slides, len(steps), (source.width, source.height))
    _, there, windows = manifest.every_picture(left)
    decided = settings_snapshot(settings, variants, engine)
    if settings.fresh:
        gone = _discarded(settings, variants, decided, source, left, bounds, chosen)
        finished, there, windows = finished - gone[0], there - gone[1], windows - gone[2]
    if settings.drawn is not None:
        drawn.check_count(settings, frame_count)
    elif not settings.fresh and settings_file.composing_differs(settings_file.read(left), decided):
        finished = set()
    todo, done = _split(settings, steps, finished.union(given), there, windows)
    slides_only = [step for step in todo if not step.pictures]
    asked = costs.drawings(todo, done)
    undrawn = {step.slide for step in steps}.difference(finished, given)
    finishing = _finishing(settings, variants, engine, paths, bounds, source, masks, found, undrawn)
    made = [step for step in asked if step.pictures]
    over_slides = [step for _, windows in finishing for step in windows]
    partly = settings.masks_of_part is not None
    return Plan(
        settings.source,
        frame_count,
        source.width,
        source.height,
        found,
        len(steps),
        len(finished),
        0 if settings.drawn else sum(step.uses_backend for step in steps),
        _size_of(source, len(asked) - len(made) if settings.is_composed else 0, made),
        len(made) + len(over_slides),
        max((step.pictures for step in (*made, *over_slides)), default=0),
        Schedule(slides_only, done).longest_chain,
        None
        if seconds is None
        else _estimate(todo, done, finishing, seconds, len(settings.backends)),
        len(asked) + len(over_slides),
        costs.uploads(asked, variants, found, only=partly) + finish.uploads(finishing)
        if engine == ComfyBackend.engine
        else None,
        settings.at_most,
    )


def _split(
    settings: Settings,
    steps: Sequence[Step],
    finished: Collection[int],
    there: set[int],
    made: set[range],
) -> tuple[Sequence[Step], Collection[int]]:
    """Return the steps of a run, answers and windows included, and the keys of those that are done.

    there: the slides whose answers are. made: the windows that are.
    """
    if settings.is_composed:
        steps = answers.split(steps)
    if settings.drawn is not None:
        there = {step.slide for step in steps}
    done = {*finished, *answers.done(steps, there.union(finished))}
    return list(windows.with_windows(steps)), done | windows.done(steps, finished, made)


def _finishing(
    settings: Settings,
    variants: WorkflowVariants,
    engine: str,
    paths: RunPaths,
    bounds: Sequence[int],
    source: Film | Frames,
    masks: Film | FrameFolder | None,
    found: Sequence[Scene],
    undrawn: set[int],
) -> list[tuple[Finish, list[Step]]]:
    """Return the windows that each --finish has yet to make."""
    its_masks = None if isinstance(masks, Film) else only.subject_masks(settings, masks)
    digests = finish.digests(variants, engine, bounds)
    folders = stages.find(paths, Wanted(settings.deflicker, bounds, its_masks, digests))
    if isinstance(masks, Film):  # it will be split: no slide was composed with it
        folders = [None] * (2 + len(digests))
    planned = finish.stages_of(finish.of(variants), paths, folders, found, settings.deflicker)
    count = sum(len(scene.slides) for scene in found)
    size = (source.width, source.height)
    return list(finish.windows_to_make(planned, undrawn, count, size))


def _estimate(
    steps: Sequence[Step],
    done: Collection[int],
    finishing: Sequence[tuple[Finish, Sequence[Step]]],
    seconds: float,
    backends: int,
) -> float:
    """Return how many seconds backends take. seconds: for a slide, or a picture of a window."""
    schedules = [Schedule(steps, done), *(Schedule(windows) for _, windows in finishing)]
    return sum(estimate(each, [seconds] * backends) for each in schedules)


def _size_of(source: Film | Frames, pictures: int, made: Sequence[Step]) -> int:
    """Return the bytes that so many answers, and these windows, take on disk."""
    pictures += sum(step.pictures for step in made)
    return size_of(pictures, source.width, source.height)


def _discarded(
    settings: Settings,
    variants: WorkflowVariants,
    decided: SettingsSnapshot,
    source: Film | Frames,
    left: RunPaths,
    bounds: Sequence[int],
    chosen: Keys | None,
) -> tuple[set[int], set[int], set[range]]:
    """Return the slides, answers and windows that --fresh would discard; all without frames.

    left: as returned by `stages.as_left`. A film is not read to see whether it is the same.
    """
    masks = only.find_split(settings, left)
    if prepare.has_frames(left) and (masks or not settings.masks_of_part):
        frames = prepare.existing_frames(left)
        its_drawn = drawn.find_split(settings, left, frames)
        marks = settings_file.unread_marks(left.film) if left.film else {}
        decides = {**decided, **source_snapshot(frames, marks)}
        given = given_slides(settings, frames)
        now = snapshot_input(
            settings, variants, source, frames, bounds, given, chosen, masks, its_drawn
        )
        return manifest.discarded_by_fresh(left, decides, now, settings.frames_per_slide)
    return manifest.every_picture(left)
