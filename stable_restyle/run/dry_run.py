"""What a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from stable_restyle.backends import connect
from stable_restyle.backends.comfyui.backend import ComfyBackend
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core.progress import Progress
from stable_restyle.core.records import Keys, Scene, Step, answer_key
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.media.frames import Frames
from stable_restyle.media.probe import Film
from stable_restyle.media.split import size_of
from stable_restyle.plan import answers, scenes
from stable_restyle.plan.schedule import Schedule, estimate
from stable_restyle.run import costs, deflicker, drawn, only, prepare
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
    answers_size: int  # bytes that the answers still to draw take on disk, estimated
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
    chosen = prepare.foresee_keys(found, paths, keyframe_kind(settings, given))
    steps = scenes.all_steps(found, chosen)
    left = deflicker.as_left(paths)
    rate = prepare.frame_rate(source, settings.rate)
    check_scenes(settings, variants, found)
    variants.slide_changes(found, settings.frames_per_slide, frame_count, rate)
    finished, _ = sequence.find_slides(left.slides, len(steps), (source.width, source.height))
    there = sequence.indices(left.answers)
    decided = settings_snapshot(settings, variants, engine)
    if settings.fresh:
        slides, drawn_of_frames = _discarded(
            settings, variants, decided, source, left, bounds, chosen
        )
        finished, there = finished - slides, there - drawn_of_frames
    if settings.drawn is not None:
        drawn.check_count(settings, frame_count)
    elif not settings.fresh and settings_file.composing_differs(settings_file.read(left), decided):
        finished = set()
    todo, done = _split(settings, steps, finished.union(given), there)
    schedule = Schedule(todo, done)
    asked = costs.drawings(todo, done)
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
        size_of(len(asked) if settings.is_composed else 0, source.width, source.height),
        schedule.longest_chain,
        None if seconds is None else estimate(schedule, [seconds] * len(settings.backends)),
        len(asked),
        costs.uploads(asked, variants, found, only=partly)
        if engine == ComfyBackend.engine
        else None,
        settings.at_most,
    )


def _split(
    settings: Settings, steps: Sequence[Step], finished: Collection[int], there: set[int]
) -> tuple[Sequence[Step], Collection[int]]:
    """Return the steps of a run, answers included, and the keys of those that are done.

    there: the slides whose answers are.
    """
    if not settings.is_composed:
        return steps, finished
    if settings.drawn is not None:
        there = {step.slide for step in steps}
    done = {*finished, *map(answer_key, there.union(finished))}
    return answers.split(steps), done


def _discarded(
    settings: Settings,
    variants: WorkflowVariants,
    decided: SettingsSnapshot,
    source: Film | Frames,
    left: RunPaths,
    bounds: Sequence[int],
    chosen: Keys | None,
) -> tuple[set[int], set[int]]:
    """Return the slides and answers that --fresh would discard; all if there are no frames yet.

    left: as returned by `deflicker.as_left`. A film is not read to see whether it is the same.
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
    return sequence.indices(left.slides), sequence.indices(left.answers)
