"""Restyle one film: frames, scenes, keys, slides, film.

Settings stop in this package: those below receive the two or three values that they need.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from stable_restyle.backends import connect
from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core import files, memory
from stable_restyle.core.progress import LockCheckedProgress, Progress, task
from stable_restyle.core.settings import Settings
from stable_restyle.media import sequence
from stable_restyle.media.frames import reading
from stable_restyle.report.jumps import Jumps
from stable_restyle.run import (
    costs,
    deflicker,
    draw,
    dry_run,
    film_writer,
    finish,
    finishing,
    redo,
    reporting,
    stages,
)
from stable_restyle.run.claim import Claimed, Claims, claim_source
from stable_restyle.run.coming import Coming
from stable_restyle.run.finish import Stage
from stable_restyle.run.inputs import (
    load_workflow,
    needs_no_model,
    result_snapshot,
    run_paths,
    settings_snapshot,
    with_guide,
)
from stable_restyle.run.status import has_all_answers, has_all_slides
from stable_restyle.run.team import choose_team
from stable_restyle.workdir import finished, journal, layout, settings_file
from stable_restyle.workdir.layout import RunPaths

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


def run(
    settings: Settings,
    progress: Progress,
    cluster: DaskCluster | None = None,
    dry: Event | None = None,
) -> Outcome:
    """Restyle SOURCE into TARGET. Raises RestyleError; SlidesMissing if only some slides failed.

    cluster: a connection shared by several runs, from `team.reach`; without it, the run connects
    on its own. dry: set while less is left to draw than the backends of this machine take.
    """
    began = time.monotonic()
    memory.share()
    paths = run_paths(settings)
    redo_seed, settings = settings.seed, _with_own_seed(settings, paths)
    variants, access = load_workflow(settings)
    redo.check_begun(left := stages.as_left(paths), settings.redo)
    if settings.fresh and settings.at_most is not None:  # before slides are discarded
        costs.check(settings.at_most, dry_run.plan(settings, None, progress).drawings)
    settings = with_guide(settings, variants, paths)

    draws = _draws(settings, variants, access, left)
    asks = draws or bool(settings.finish)
    asked_for = variants if draws else finish.alone(variants)
    with (
        journal.collect_warnings() as heard,
        choose_team(settings, asked_for, access, paths, cluster, dry, model=asks) as team,
        layout.locked(paths) as check_lock,
        ExitStack() as looking,
    ):
        guarded = LockCheckedProgress(progress, check_lock)
        engine, drawn_on = team.meet()
        if not asks:
            engine = _noted_engine(settings, variants, access, left)
        decided = settings_snapshot(settings, variants, engine)
        of = claim_source(settings, variants, decided, engine, paths, guarded)
        coming = Coming(Claims(settings, variants, of, paths, guarded))
        looking.callback(coming.close)
        claimed = coming.first()

        again = redo.choose(
            settings.redo, claimed.steps, claimed.input_snapshot, chain=settings.redo_chain
        )
        redo.check_drawn(paths, settings.redo, again, len(claimed.steps))
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

            with film_writer.writing(claimed.source, paths, settings) as film:
                claimed, made = draw.draw(
                    spec, claimed, coming, team, settings, paths, kept.journal, guarded, asks=draws
                )
                count = len(claimed.steps)
                redo.finish(paths)
                for stage in claimed.stages[: len(claimed.stages) - len(settings.finish)]:
                    _compose(stage, paths, claimed, settings, guarded)
                finishing.run(spec, claimed, team, paths, kept.journal, guarded)

                slides = sequence.marks(paths.shown, count)
                if film is not None:
                    film.finish(count, guarded)
            ends = result_snapshot(settings, variants, engine, decided, claimed.film)
            check_lock()
            finished.note(paths, ends, claimed.input_snapshot, slides)
    report = paths.report_file if kept.jumps else None
    return Outcome(count, made, settings.target, report, kept.jumps, time.monotonic() - began)


def _draws(settings: Settings, variants: WorkflowVariants, access: Access, left: RunPaths) -> bool:
    """Return whether a model may have to draw slides. left: as the last run left them."""
    if needs_no_model(settings) or has_all_answers(settings, variants, left):
        return False
    return not (settings.finish and has_all_slides(settings, variants, access, left))


def _compose(
    stage: Stage, paths: RunPaths, claimed: Claimed, settings: Settings, progress: Progress
) -> None:
    """Write the slides of a stage that are missing: deflickered, or composed with their frames."""
    assert stage.source is not None and stage.slides is not None  # in a claimed folder
    frames, count = claimed.frames, len(claimed.steps)
    size = (frames.width, frames.height)
    finished, _ = sequence.find_slides(stage.slides, count, size)
    if len(finished) == count:
        return
    stage.slides.mkdir(exist_ok=True)
    files.remove_all(paths.interp, [paths.measure_file.name])
    name = "Deflickering" if settings.deflicker else "Composing"
    with reading(frames), task(progress, name, count, "slide", done=len(finished)):
        deflicker.smooth(
            stage.source,
            stage.slides,
            claimed.scenes,
            finished,
            frames,
            settings.frames_per_slide,
            settings.deflicker,
            claimed.masks,
            progress.advance,
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
