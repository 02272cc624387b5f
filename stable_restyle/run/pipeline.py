"""Restyle one film: frames, scenes, keys, slides, film.

Settings stop in this package: those below receive the two or three values that they need.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stable_restyle.backends import connect
from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core import files, memory
from stable_restyle.core.progress import LockCheckedProgress, Progress, task
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.media.frames import Frames, reading
from stable_restyle.media.join import join_slides
from stable_restyle.media.probe import Film
from stable_restyle.plan import scenes
from stable_restyle.report.jumps import Jumps
from stable_restyle.run import (
    costs,
    deflicker,
    draw,
    drawn,
    dry_run,
    film_source,
    only,
    prepare,
    redo,
    reporting,
)
from stable_restyle.run.draw import Claimed
from stable_restyle.run.inputs import (
    check_before_split,
    check_encoding,
    check_scenes,
    encoding,
    explain_fps,
    explain_tone,
    given_slides,
    keyframe_kind,
    load_workflow,
    needs_no_model,
    result_snapshot,
    run_paths,
    settings_snapshot,
    snapshot_input,
    source_snapshot,
    with_guide,
)
from stable_restyle.run.status import has_all_answers
from stable_restyle.run.team import choose_team
from stable_restyle.workdir import finished, journal, layout, manifest, owner, settings_file
from stable_restyle.workdir.layout import RunPaths
from stable_restyle.workdir.settings_file import SettingsSnapshot

if TYPE_CHECKING:
    from stable_restyle.cluster.scheduler import DaskCluster

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    slides: int
    drawn: int
    target: Path
    report: Path | None = None  # None: it could not be written
    jumps: Jumps | None = None
    seconds: float = 0


def run(settings: Settings, progress: Progress, cluster: DaskCluster | None = None) -> Outcome:
    """Restyle SOURCE into TARGET. Raises RestyleError; SlidesMissing if only some slides failed.

    cluster: a connection shared by several runs, from `team.reach`; without it, the run connects
    on its own.
    """
    began = time.monotonic()
    memory.share()
    paths = run_paths(settings)
    redo_seed, settings = settings.seed, _with_own_seed(settings, paths)
    variants, access = load_workflow(settings)
    redo.check_begun(left := deflicker.as_left(paths), settings.redo)
    if settings.fresh and settings.at_most is not None:  # before slides are discarded
        costs.check(settings.at_most, dry_run.plan(settings, None, progress).drawings)
    settings = with_guide(settings, variants, paths)

    asks = not (needs_no_model(settings) or has_all_answers(settings, variants, left))
    with (
        journal.collect_warnings() as heard,
        choose_team(settings, variants, access, paths, cluster, model=asks) as team,
        layout.locked(paths) as check_lock,
    ):
        guarded = LockCheckedProgress(progress, check_lock)
        engine, drawn_on = team.meet()
        if not asks:
            engine = _noted_engine(settings, variants, access, left)
        decided = settings_snapshot(settings, variants, engine)
        claimed = _claim(settings, variants, decided, paths, guarded)
        count = len(claimed.steps)

        again = redo.choose(
            settings.redo, claimed.steps, claimed.input_snapshot, chain=settings.redo_chain
        )
        redo.check_drawn(paths, settings.redo, again, count)
        if settings.is_composed:
            redo.check_answers(paths, settings.redo, again, claimed.steps)
        costs.check_run(settings, claimed, paths, again)
        finished.forget(paths)

        about = reporting.about(settings, drawn_on, claimed.source)
        with reporting.reported(settings, paths, about, heard, guarded) as kept:
            seeds = redo.take_up(
                paths,
                claimed.steps,
                again,
                redo_seed,
                variants.base.seed or 0,
                answers=settings.is_composed,
            )
            spec = draw.spec_of(settings, claimed, variants, seeds, paths)
            if asks and not (settings.backends or settings.dask):
                log.info("Drawing on %s.", " and ".join(drawn_on))

            made = draw.draw(spec, claimed, team, settings, paths, kept.journal, guarded, asks=asks)
            redo.finish(paths)
            if settings.deflicker or claimed.masks:
                _finish(paths, claimed, settings, guarded)

            slides = sequence.marks(paths.shown, count)
            if paths.result is not None:
                _join(claimed.source, paths, settings, count, guarded)
            ends = result_snapshot(settings, decided, claimed.film)
            check_lock()
            finished.note(paths, ends, claimed.input_snapshot, slides)
    report = paths.report_file if kept.jumps else None
    return Outcome(count, made, settings.target, report, kept.jumps, time.monotonic() - began)


def _claim(
    settings: Settings,
    variants: WorkflowVariants,
    decided: SettingsSnapshot,
    paths: RunPaths,
    progress: Progress,
) -> Claimed:
    """Find frames, scenes and keys, and check that the slides of an earlier run match them."""
    deflicker.finish_move(paths)
    left = deflicker.as_left(paths)
    source = prepare.look(paths, settings.rate, progress)
    explain_fps(source, settings.frames_per_slide)
    explain_tone(source)
    check_before_split(settings, variants, source)
    check_encoding(settings, paths, source)
    film = (
        settings_file.film_marks(source.path, paths, progress) if isinstance(source, Film) else {}
    )
    decides = {**decided, **source_snapshot(source, film)}
    noted, started_over = manifest.claim(left, decides, fresh=settings.fresh)
    threshold, frames_per_slide = settings.scene_threshold, settings.frames_per_slide
    frames = (
        film_source.frames_of(
            source,
            str(film["film_sha256"]),
            paths,
            threshold,
            frames_per_slide,
            progress,
            keep=settings.keep_frames,
        )
        if isinstance(source, Film)
        else source
    )
    bounds = prepare.boundaries(source, frames, paths, threshold, progress)
    its_given = given_slides(settings, frames)
    found = scenes.find_scenes(bounds, frames_per_slide, its_given)
    check_scenes(settings, variants, found)
    kind = keyframe_kind(settings, variants, its_given)
    chosen = prepare.choose_keys(
        frames, found, paths, frames_per_slide, kind, progress, drawn=settings.drawn is not None
    )
    masks = only.find(settings, paths, frames, progress)
    if (its_drawn := drawn.find(settings, paths, frames, progress)) is not None:
        drawn.explain(its_drawn, sum(len(scene.slides) for scene in found))
    input_snapshot = snapshot_input(
        settings, variants, source, frames, bounds, its_given, chosen, masks, its_drawn
    )
    fresh = settings.fresh and not started_over
    manifest.claim_input(left, noted, input_snapshot, frames_per_slide, fresh=fresh)
    prepare.save_keys(chosen, found, paths, kind)
    subject_masks = only.subject_masks(settings, masks)
    deflicker.settle(paths, settings.deflicker, bounds, subject_masks)
    steps = input_snapshot.steps(frames_per_slide)
    return Claimed(
        source, film, frames, found, its_given, input_snapshot, steps, subject_masks, its_drawn
    )


def _finish(paths: RunPaths, claimed: Claimed, settings: Settings, progress: Progress) -> None:
    """Write the slides of TARGET that are missing: deflickered, or composed with their frames."""
    frames, count = claimed.frames, len(claimed.steps)
    size = (frames.width, frames.height)
    finished, _ = sequence.find_slides(paths.shown, count, size)
    if len(finished) == count:
        return
    files.remove_all(paths.interp, [paths.measure_file.name])
    name = "Deflickering" if settings.deflicker else "Composing"
    with reading(frames), task(progress, name, count, "slide", done=len(finished)):
        deflicker.smooth(
            paths,
            claimed.scenes,
            finished,
            frames,
            settings.frames_per_slide,
            settings.deflicker,
            claimed.masks,
            progress.advance,
        )


def _join(
    source: Film | Frames,
    paths: RunPaths,
    settings: Settings,
    slides: int,
    progress: LockCheckedProgress,
) -> None:
    """Join the slides to a film, with the source's sound if it has any."""
    assert paths.result is not None
    film = source if isinstance(source, Film) and not source.webp_places else None
    rate = prepare.frame_rate(source, settings.rate) / settings.frames_per_slide

    def on_whole(made: Path) -> None:
        progress.check()
        owner.claim_result(paths, made)

    with task(progress, "Joining", slides, "slide"):
        join_slides(
            paths.shown,
            slides,
            rate,
            paths.result,
            film,
            progress.advance,
            encoding(settings, paths),
            on_whole,
            owner.maker(paths),
        )


def _noted_engine(
    settings: Settings, variants: WorkflowVariants, access: Access, paths: RunPaths
) -> str:
    """Return the engine of a run that asks no backend: by its options, or as it was noted.

    Workers of a cluster may have backends of their own.
    """
    noted = settings_file.read(paths).get("drawn_by")
    if settings.dask and not settings.backends and isinstance(noted, str):
        return noted
    return connect.engine(settings.backends, variants, access)


def _with_own_seed(settings: Settings, paths: RunPaths) -> Settings:
    """Return settings with the run's own seed: with --redo, --seed is for redrawn slides."""
    if not settings.redo:
        return settings
    seed = settings_file.read(paths).get("seed")
    return replace(settings, seed=seed if isinstance(seed, int) else None)
