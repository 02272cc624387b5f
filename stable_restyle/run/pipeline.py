"""The story of one run: frames, scenes, schedule, slides, film.

Options stop here: the modules below receive the two or three values that they need.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stable_restyle.backends import connect
from stable_restyle.backends.base import BackendCheck
from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.backend import Access, parse_headers
from stable_restyle.backends.comfyui.overrides import WorkflowVariants, apply_overrides
from stable_restyle.backends.pool import Pool
from stable_restyle.core import files, memory
from stable_restyle.core.errors import RestyleError, UnusableInput, WrongUsage, are, counted
from stable_restyle.core.progress import DRAWING, LockCheckedProgress, Progress, task
from stable_restyle.core.records import DEFAULT_RATE, Keys, Scene, Settings, Step
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.session import DrawingSession, DrawingSpec, OnSaved
from stable_restyle.media import png, sequence
from stable_restyle.media.join import join_slides
from stable_restyle.media.probe import Film
from stable_restyle.media.sequence import Frames
from stable_restyle.motion.choose import choose
from stable_restyle.plan import keyframes, scenes
from stable_restyle.plan.schedule import Schedule, estimate
from stable_restyle.report import page
from stable_restyle.report.thumbnails import Thumbnails
from stable_restyle.run import deflicker, measurement, prepare, redo
from stable_restyle.run.measurement import Measurement
from stable_restyle.workdir import finished, journal, layout
from stable_restyle.workdir.journal import Journal, RunInfo, WarningCollector
from stable_restyle.workdir.layout import InputSnapshot, RunPaths, SettingsSnapshot
from stable_restyle.workdir.lock import FolderLost

if TYPE_CHECKING:
    from stable_restyle.cluster.client import DaskCluster

REASONS_SHOWN = 12
FPS_USUAL = 8  # frames per slide; more than that is rarely meant

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a run did."""

    slides: int
    drawn: int
    target: Path


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
    longest_chain: int
    drawing_s: float | None  # estimated, if a time a slide was given


class SlidesMissing(RestyleError):
    """The run ended, but some slides could not be drawn."""

    exit_code = 1

    def __init__(self, failures: Sequence[Failure], slides: int) -> None:
        map_in_order = sorted(failures, key=lambda failure: failure.lost[0])
        reasons = [
            f"  scene {failure.step.scene}, {_numbers(failure.lost)}: "
            + str(failure.reason).replace("\n", "\n    ")
            for failure in map_in_order[:REASONS_SHOWN]
        ]
        if len(map_in_order) > REASONS_SHOWN:
            reasons.append(f"  and {counted(len(map_in_order) - REASONS_SHOWN, 'more chain')}")
        missing = sum(len(failure.lost) for failure in failures)
        super().__init__(
            f"{missing} of {counted(slides, 'slide')} {are(missing)} missing:\n"
            + "\n".join(reasons)
            + "\n"
            "Mend that and repeat the command; finished slides are kept."
        )


@dataclass(frozen=True)
class _Claimed:
    """What a run draws and of what; the working folder says so, and nobody else changes it."""

    source: Film | Frames
    film: SettingsSnapshot  # the film's marks, as it was when the run began; empty for frames
    frames: Frames
    scenes: Sequence[Scene]
    input_snapshot: InputSnapshot
    steps: Sequence[Step]


@contextmanager
def reach(settings: Settings) -> Iterator[DaskCluster]:
    """The cluster that runs with these settings are drawn on. Raises WrongUsage, NoBackendLeft."""
    try:
        from stable_restyle.cluster import client
    except ImportError as error:
        raise WrongUsage(
            f"--dask needs Dask, which is not installed ({error}).\n"
            "In the folder of stable-restyle, run `pip install '.[dask]'`."
        ) from error
    with client.reach(settings.dask, _patience_s(settings)) as cluster:
        yield cluster


def run(settings: Settings, progress: Progress, cluster: DaskCluster | None = None) -> Outcome:
    """Restyle SOURCE into TARGET. Raises RestyleError, SlidesMissing where only some failed.

    farm: as `reach` gives it, for several runs; without it, each of these reaches for its own.
    """
    memory.share()
    paths = layout.find_paths(settings)
    redo.check_begun(deflicker.as_left(paths), settings.redo)
    redo_seed, settings = settings.seed, _with_own_seed(settings, paths)
    variants, access = _drawn_with(settings)
    with (
        journal.collect_warnings() as heard,
        _team(settings, variants, access, paths, cluster) as team,
        layout.locked(paths) as check_lock,
    ):
        guarded = LockCheckedProgress(progress, check_lock)
        engine, drawn_on = team.meet()
        decided = _what_decides(settings, variants, engine)
        claimed = _claim(settings, variants, decided, paths, guarded)
        count = len(claimed.steps)
        again = redo.choose(settings.redo, claimed.steps, chain=settings.redo_chain)
        redo.check_drawn(paths, settings.redo, again, count)
        finished.forget(paths)
        about = page.about(settings, drawn_on, _rate(claimed.source, settings))
        with _reported(settings, paths, about, heard, guarded) as notes:
            seeds = redo.take_up(paths, again, redo_seed, variants.base.seed or 0)
            spec = _brief(settings, claimed, seeds, paths)
            if not (settings.backends or settings.dask):
                log.info("Drawing on %s.", " and ".join(drawn_on))
            drawn = _draw(spec, claimed.steps, team, settings, paths, notes, guarded)
            redo.finish(paths)
            if settings.deflicker:
                _deflicker(paths, claimed.scenes, claimed.frames, settings, guarded)
            slides = sequence.marks(paths.shown, count)
            if paths.result is not None:
                _join(claimed.source, paths, settings, count, guarded)
            ends = _what_ends(settings, decided, claimed.film)
            check_lock()
            finished.note(paths, ends, claimed.input_snapshot, slides)
    return Outcome(count, drawn, settings.target)


def _claim(
    settings: Settings,
    variants: WorkflowVariants,
    decided: SettingsSnapshot,
    paths: RunPaths,
    progress: Progress,
) -> _Claimed:
    """Find frames, scenes and keys, and see that the slides of an earlier run are made of them."""
    deflicker.mend(paths)
    left = deflicker.as_left(paths)
    source = prepare.look(paths, settings.rate)
    _tell_fps(source, settings.frames_per_slide)
    film = layout.film_marks(source.path, paths, progress) if isinstance(source, Film) else {}
    decides = {**decided, "frame_size": f"{source.width}x{source.height}", **film}
    noted, anew = layout.claim(left, decides, fresh=settings.fresh)
    threshold, frames_per_slide = settings.scene_threshold, settings.frames_per_slide
    frames = prepare.frames_of(source, paths, threshold, frames_per_slide, progress)
    bounds = prepare.boundaries(frames, paths, threshold, progress)
    found = scenes.find_scenes(bounds, frames_per_slide)
    _check_scenes(variants.scene_changes, found)
    chosen = prepare.choose_keys(frames, found, paths, frames_per_slide, _kind(settings), progress)
    input_snapshot = InputSnapshot(frames.marks, bounds, variants.scene_changes, chosen)
    fresh = settings.fresh and not anew
    layout.claim_input(left, noted, input_snapshot, frames_per_slide, fresh=fresh)
    deflicker.settle(paths, settings.deflicker, bounds)
    return _Claimed(
        source, film, frames, found, input_snapshot, input_snapshot.steps(frames_per_slide)
    )


def _draw(
    spec: DrawingSpec,
    steps: Sequence[Step],
    team: _Team,
    settings: Settings,
    paths: RunPaths,
    notes: Journal,
    progress: Progress,
) -> int:
    """Draw every slide that is missing; returns how many were. Raises SlidesMissing."""
    kept = _kept(paths, len(steps), spec.frames)
    missing = {step.slide for step in steps} - kept
    if missing:
        files.remove_all(paths.interp, [paths.measure_file.name])  # it tells of other slides
    if settings.deflicker:
        deflicker.discard(paths, spec.scenes, missing, settings.deflicker)
    with task(progress, DRAWING, len(steps), "slide", done=len(kept)):
        failures = team.draw(spec, steps, kept, notes.drawn, progress.advance)
    for failure in failures:
        notes.failed(failure.lost, str(failure.reason))
    if failures:
        raise SlidesMissing(failures, len(steps))
    _check_slides(paths, len(steps))
    return len(missing)


def look_over(settings: Settings) -> RunPaths:
    """Where a run would work, after a look whether these settings can be used.

    Nothing is written, and nothing is asked of servers. Raises RestyleError.
    """
    connect.engine(settings.backends, *_drawn_with(settings))
    return layout.find_paths(settings)


def is_finished(settings: Settings) -> bool:
    """Whether a run with these settings came to its end, and nothing has changed since.

    It is not if the settings ask for slides to be drawn again, nor where the film must be read to
    see that it is the same. Nothing is written, and nothing is asked of servers. Raises
    RestyleError.
    """
    paths = layout.find_paths(settings)
    if settings.fresh or settings.redo or not paths.finished_file.exists():
        return False
    variants, access = _drawn_with(settings)
    engine = connect.engine(settings.backends, variants, access)
    marks = layout.known_marks(paths.film, paths) if paths.film else {}
    if marks is None:
        return False
    settled = _what_ends(settings, _what_decides(settings, variants, engine), marks)
    try:
        frames = sequence.find_frames(paths.frames)
        bounds = scenes.read_boundaries(paths.scenes_file, frames.count)
        found = scenes.find_scenes(bounds, settings.frames_per_slide)
        count = scenes.slide_count(frames.count, settings.frames_per_slide)
        chosen = prepare.foresee_keys(found, paths, _kind(settings))
        input_snapshot = InputSnapshot(frames.marks, bounds, variants.scene_changes, chosen)
        return finished.holds(paths, settled, input_snapshot, sequence.marks(paths.shown, count))
    except UnusableInput:
        return False  # the run says what is wrong, or mends it


def write_report(settings: Settings, progress: Progress) -> Path:
    """Write interp/report.html as things are now, also while a run goes on; returns where it is.

    Raises UnusableInput where nothing was restyled.
    """
    paths = layout.find_paths(settings)
    _report(settings, paths, progress, make=True)
    return paths.report_file


def check(settings: Settings) -> list[BackendCheck]:
    """What each backend is, and whether it could draw a run with these settings.

    Raises RestyleError where the settings cannot be used.
    """
    return connect.check(settings.backends, *_drawn_with(settings))


def plan(settings: Settings, seconds: float | None, progress: Progress) -> Plan:
    """What `run` would do, without writing anything. seconds: what a slide takes on a server."""
    paths = look_over(settings)
    source = prepare.look(paths, settings.rate)
    _tell_fps(source, settings.frames_per_slide)
    frame_count, bounds = prepare.foresee(source, paths, settings.scene_threshold, progress)
    found = scenes.find_scenes(bounds, settings.frames_per_slide)
    chosen = prepare.foresee_keys(found, paths, _kind(settings))
    steps = scenes.all_steps(found, chosen)
    left = deflicker.as_left(paths)
    finished, _ = sequence.find_slides(left.slides, len(steps), (source.width, source.height))
    if settings.fresh:
        finished -= _discarded(settings, left, bounds, chosen)
    schedule = Schedule(steps, finished)
    return Plan(
        settings.source,
        frame_count,
        source.width,
        source.height,
        found,
        len(steps),
        len(finished),
        sum(step.uses_backend for step in steps),
        schedule.longest_chain,
        None if seconds is None else estimate(schedule, [seconds] * len(settings.backends)),
    )


def _discarded(
    settings: Settings, left: RunPaths, bounds: Sequence[int], chosen: Keys | None
) -> set[int]:
    """The slides that a run with --fresh would discard; all of them if there are no frames yet.

    left: as `deflicker.as_left` gives it. A film is not read to see whether it is the same.
    """
    names: Iterable[str] = sequence.numbered(left.slides)
    if left.frames.exists():
        variants, access = _drawn_with(settings)
        engine = connect.engine(settings.backends, variants, access)
        frames = sequence.find_frames(left.frames)
        marks = layout.unread_marks(left.film) if left.film else {}
        size = {"frame_size": f"{frames.width}x{frames.height}"}
        decides = {**_what_decides(settings, variants, engine), **size, **marks}
        now = InputSnapshot(frames.marks, bounds, variants.scene_changes, chosen)
        names = layout.discarded_by_fresh(left, decides, now, settings.frames_per_slide)
    return {int(name[:-4]) - 1 for name in names}


def _tell_fps(source: Film | Frames, frames_per_slide: int) -> None:
    """Say what --fps means where it looks as if the film's rate was meant."""
    if frames_per_slide > FPS_USUAL:
        frames = source.frames if isinstance(source, Film) else source.count
        log.info(
            "--fps %d is how many frames make a slide, not the rate of the film: %s make %s.",
            frames_per_slide,
            counted(frames, "frame"),
            counted(scenes.slide_count(frames, frames_per_slide), "slide"),
        )


def measure(settings: Settings, progress: Progress) -> Measurement:
    """How steady the slides of a run are; its settings and scenes are those that it left."""
    paths = layout.find_paths(settings)
    frames_per_slide = layout.fps_of(paths)
    with layout.locked(paths):
        frames = sequence.find_frames(paths.frames)
        bounds = scenes.read_boundaries(paths.scenes_file, frames.count)
        found = scenes.find_scenes(bounds, frames_per_slide)
        count = scenes.slide_count(frames.count, frames_per_slide)
        finished, unfit = sequence.find_slides(paths.shown, count, (frames.width, frames.height))
        for line in unfit:
            log.warning("%s It is not measured.", line)
        if not finished:
            raise UnusableInput(
                f"There are no slides in {paths.shown}.\nRepeat the run, then measure it."
            )
        with task(progress, "Measuring", len(finished), "slide"):
            done = measurement.measure(
                found, finished, frames, frames_per_slide, paths.shown, progress.advance
            )
        measurement.write(done, paths.measure_file)
    if done.missing:
        log.warning("Missing, and so not measured: %s of %d.", _numbers(done.missing), count)
    return done


def _drawn_with(settings: Settings) -> tuple[WorkflowVariants, Access]:
    """Return the workflow with its changes, and how servers are reached.

    Raises RestyleError where these, the motion or the keys cannot be used.
    """
    choose(settings.motion)
    _check_keys(settings)
    variants = apply_overrides(workflow_file.load(settings.model), settings.seed, settings.changes)
    headers = parse_headers(settings.headers)
    return variants, Access(headers, settings.timeout_s, settings.keep_on_server)


def _what_decides(settings: Settings, variants: WorkflowVariants, engine: str) -> SettingsSnapshot:
    """What the pictures of a run depend on beside its source, as settings.json keeps it."""
    return {
        "model": variants.original.name,
        "model_sha256": variants.original.sha256,
        "seed": settings.seed,
        "set": list(variants.changes),
        "drawn_by": engine,
        "mask_strength": settings.mask[0],
        "mask_size": settings.mask[1],
        "anchor": settings.anchor_share,
        "fps": settings.frames_per_slide,
        "motion": settings.motion,
        "keys": settings.keys,
        "fill_only": settings.fill_only,
    }


def _what_ends(
    settings: Settings, decided: SettingsSnapshot, film: SettingsSnapshot
) -> SettingsSnapshot:
    """All that the result of a run depends on beside its frames and scenes.

    film: its marks; empty where SOURCE is a folder of frames.
    """
    marks = {name: value for name, value in film.items() if name != layout.FILM_TIME}
    return {**decided, **marks, "deflicker": settings.deflicker, "rate": str(settings.rate)}


def _check_scenes(changes: Iterable[int], found: Sequence[Scene]) -> None:
    """Raises WrongUsage where --set names a scene that the film does not have."""
    if unknown := [scene for scene in changes if scene > len(found)]:
        raise WrongUsage(
            f"--set: there is no scene {', '.join(map(str, unknown))}; the film has "
            f"{len(found)}, as --dry-run shows."
        )


def _check_keys(settings: Settings) -> None:
    """Raises WrongUsage where keys were asked for that cannot be."""
    if settings.keys > 1 and not settings.by_flow:
        raise WrongUsage(
            f"--keys {settings.keys}: slides between keys are filled by optical flow.\n"
            f"Write --motion flow or flow:fast in place of --motion {settings.motion}."
        )
    if settings.fill_only and settings.keys == 1:
        raise WrongUsage("--fill-only says how to fill slides between keys: add --keys K.")


def _kind(settings: Settings) -> keyframes.Kind | None:
    """Which slides go to the model; None if all do."""
    return keyframes.Kind(settings.keys, settings.fill_only) if settings.keys > 1 else None


def _kept(paths: RunPaths, count: int, frames: Frames) -> set[int]:
    finished, unfit = sequence.find_slides(paths.slides, count, (frames.width, frames.height))
    for line in unfit:
        log.warning("%s It is drawn again.", line)
    if finished:
        kept, whole = len(finished), counted(count, "slide")
        log.info("%d of %s %s finished and kept.", kept, whole, are(kept))
    return finished


class _Team(Protocol):
    """Who draws the slides of a run: backends of this machine, or a cluster."""

    def meet(self) -> tuple[str, dict[str, str]]:
        """What draws the slides, and what each backend is, by its name. Raises RestyleError."""
        ...

    def draw(
        self,
        spec: DrawingSpec,
        steps: Sequence[Step],
        kept: Collection[int],
        on_saved: OnSaved,
        tick: Callable[[int], None],
    ) -> list[Failure]:
        """As `DrawingSession.draw` does. on_saved: told of every slide that is kept."""
        ...


@dataclass(frozen=True)
class _Alone:
    """The team that is this machine."""

    pool: Pool

    def meet(self) -> tuple[str, dict[str, str]]:
        return self.pool.engine, self.pool.about

    def draw(
        self,
        spec: DrawingSpec,
        steps: Sequence[Step],
        kept: Collection[int],
        on_saved: OnSaved,
        tick: Callable[[int], None],
    ) -> list[Failure]:
        return DrawingSession(spec, self.pool, on_saved).draw(steps, kept, tick)


@contextmanager
def _team(
    settings: Settings,
    variants: WorkflowVariants,
    access: Access,
    paths: RunPaths,
    cluster: DaskCluster | None,
) -> Iterator[_Team]:
    given = settings.backends, variants, access, _patience_s(settings)
    with ExitStack() as stack:
        if settings.dask:
            cluster = cluster or stack.enter_context(reach(settings))
            yield stack.enter_context(cluster.joined(*given, paths))
        else:
            yield _Alone(stack.enter_context(connect.connect(*given)))


def _patience_s(settings: Settings) -> float:
    return 60 * settings.patience_min


def _brief(
    settings: Settings, claimed: _Claimed, seeds: Mapping[int, int], paths: RunPaths
) -> DrawingSpec:
    """What is to be drawn; paths are whole, since a worker may be in another folder."""
    frames = claimed.frames
    mask_strength, mask_size = settings.mask
    return DrawingSpec(
        frames=replace(frames, folder=frames.folder.absolute()),
        frames_per_slide=settings.frames_per_slide,
        motion=settings.motion,
        mask_strength=mask_strength,
        mask_size=mask_size,
        anchor=settings.anchor_share,
        keys=settings.keys,
        scenes=claimed.scenes,
        seeds=seeds,
        slides=paths.slides.absolute(),
        report=paths.report_folder.absolute(),
        steps_folder=paths.interp.absolute() if settings.save_interp else None,
    )


def _deflicker(
    paths: RunPaths,
    found: Sequence[Scene],
    frames: Frames,
    settings: Settings,
    progress: Progress,
) -> None:
    """Make what is missing of the deflickered slides."""
    size = (frames.width, frames.height)
    count = found[-1].slides.stop
    finished, _ = sequence.find_slides(paths.shown, count, size)
    if len(finished) == count:
        return
    files.remove_all(paths.interp, [paths.measure_file.name])
    with task(progress, "Deflickering", count, "slide", done=len(finished)):
        deflicker.smooth(
            paths,
            found,
            finished,
            frames,
            settings.frames_per_slide,
            settings.deflicker,
            progress.advance,
        )


def _join(
    source: Film | Frames,
    paths: RunPaths,
    settings: Settings,
    slides: int,
    progress: LockCheckedProgress,
) -> None:
    """Make the film of the slides, with the source's sound if it has any."""
    assert paths.result is not None
    film = source if isinstance(source, Film) else None
    rate = _rate(source, settings) / settings.frames_per_slide

    def on_whole(made: Path) -> None:
        progress.check()
        layout.claim_result(paths, made)

    with task(progress, "Joining", slides, "slide"):
        join_slides(
            paths.shown,
            slides,
            rate,
            paths.result,
            film,
            progress.advance,
            on_whole,
            layout.maker(paths),
        )


def _rate(source: Film | Frames, settings: Settings) -> Fraction:
    """Frames a second."""
    return source.rate if isinstance(source, Film) else settings.rate or DEFAULT_RATE


@contextmanager
def _reported(
    settings: Settings, paths: RunPaths, about: RunInfo, heard: WarningCollector, progress: Progress
) -> Iterator[Journal]:
    """Keep the journal of a run, and write the report at its end, however it ends."""
    notes = Journal(paths.journal_file, about)
    heard.tell(notes.warn)
    try:
        yield notes
    except FolderLost:
        raise  # what is there now is another run's to report on
    except BaseException as error:
        outcome = str(error) if isinstance(error, RestyleError) else "it was interrupted"
        _end(notes, outcome, settings, paths, progress, make=isinstance(error, SlidesMissing))
        raise
    _end(notes, "", settings, paths, progress, make=True)


def _end(
    notes: Journal,
    outcome: str,
    settings: Settings,
    paths: RunPaths,
    progress: Progress,
    *,
    make: bool,
) -> None:
    """A run that is well is not spoiled by its report."""
    try:
        notes.end(outcome)
        if paths.scenes_file.exists() and paths.frames.exists():
            _report(settings, paths, progress, make=make)
    except FolderLost:
        raise
    except (RestyleError, OSError) as error:
        log.warning("There is no report of this run: %s", error)


def _report(settings: Settings, paths: RunPaths, progress: Progress, *, make: bool) -> None:
    """Write the report. make: with the small pictures that are lacking, which takes its time."""
    runs = journal.read(paths.journal_file)
    subject = _subject(settings, paths, runs)
    thumbnails = _thumbnails(paths, subject.slides, subject.frames_per_slide, subject.scenes)
    if make and (lacking := thumbnails.lacking()):
        with task(progress, "Small pictures", len(lacking), "slide"):
            thumbnails.make(lacking, progress.advance)
    if make and (unmeasured := thumbnails.unmeasured()):
        with task(progress, "Comparing slides", len(unmeasured), "slide"):
            thumbnails.measure(unmeasured, progress.advance)
    page.write(subject, thumbnails, runs)


def _subject(settings: Settings, paths: RunPaths, runs: Sequence[journal.Run]) -> page.Subject:
    """What there is to report on, as far as it has come. Raises UnusableInput."""
    noted = layout.noted(paths)
    frames = len(sequence.numbered(paths.frames))
    if not frames or not paths.scenes_file.exists():
        raise UnusableInput(
            f"Nothing has been restyled in {paths.interp} yet: it has no frames or no scenes.json."
            "\nRun the command without --report first; or name the SOURCE, the TARGET and the "
            "--work of the run."
        )
    frames_per_slide = noted.get("fps")
    frames_per_slide = (
        frames_per_slide
        if isinstance(frames_per_slide, int) and frames_per_slide > 0
        else settings.frames_per_slide
    )
    width, height = png.read_header(paths.frames / sequence.name(0)).size
    # Until the first slide is deflickered, those that are drawn are what there is to see.
    shown = sequence.numbered(paths.shown)
    return page.Subject(
        paths=paths,
        slides=paths.shown if shown else deflicker.as_left(paths).slides,
        source=settings.source,
        target=settings.target,
        width=width,
        height=height,
        frames_per_slide=frames_per_slide,
        rate=Fraction(runs[-1].about.rate) if runs else settings.rate or DEFAULT_RATE,
        scenes=scenes.find_scenes(
            scenes.read_boundaries(paths.scenes_file, frames), frames_per_slide
        ),
        frames=frames,
        settings=noted,
        command=page.command(settings, ()),
    )


def _thumbnails(
    paths: RunPaths, slides: Path, frames_per_slide: int, found: Sequence[Scene]
) -> Thumbnails:
    return Thumbnails(paths.report_folder, paths.frames, slides, frames_per_slide, found)


def _with_own_seed(settings: Settings, paths: RunPaths) -> Settings:
    """With --redo, --seed is for the slides drawn again; all others keep the seed of their run."""
    if not settings.redo:
        return settings
    seed = layout.noted(paths).get("seed")
    return replace(settings, seed=seed if isinstance(seed, int) else None)


def _check_slides(paths: RunPaths, count: int) -> None:
    """Raises UnusableInput if slides that were finished are gone."""
    gone = {sequence.name(slide) for slide in range(count)}.difference(
        sequence.numbered(paths.slides)
    )
    if gone:
        raise UnusableInput(
            f"{len(gone)} of {counted(count, 'slide')} vanished from {paths.slides} meanwhile, "
            f"such as {min(gone)}.\nRepeat the command to have them drawn again."
        )


def _numbers(slides: Sequence[int]) -> str:
    """Slides as their files are numbered: "slide 7", "slides 7-12" or "5 slides from 7 to 20"."""
    first, last = slides[0] + 1, slides[-1] + 1
    if len(slides) == 1:
        return f"slide {first}"
    if last - first == len(slides) - 1:
        return f"slides {first}-{last}"
    return f"{len(slides)} slides from {first} to {last}"
