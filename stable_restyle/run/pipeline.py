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

from stable_restyle.backends import pool
from stable_restyle.backends.comfyui import served, workflow
from stable_restyle.backends.comfyui.overrides import Variants, vary
from stable_restyle.backends.comfyui.served import Access, Report
from stable_restyle.backends.pool import Pool
from stable_restyle.core import memory
from stable_restyle.core.errors import RestyleError, UnusableInput, WrongUsage, are, counted
from stable_restyle.core.progress import DRAWING, Guarded, Progress, task
from stable_restyle.core.records import DEFAULT_RATE, Keys, Scene, Settings, Step
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.session import DrawingSession, DrawingSpec, OnSaved
from stable_restyle.media import images, video
from stable_restyle.media.images import Frames
from stable_restyle.media.video import Film
from stable_restyle.motion.choose import choose
from stable_restyle.plan import keyframes, scenes
from stable_restyle.plan.schedule import Schedule, estimate
from stable_restyle.report import page
from stable_restyle.report.thumbnails import Thumbnails
from stable_restyle.run import deflicker, measurement, prepare, redo
from stable_restyle.run.measurement import Survey
from stable_restyle.workdir import finished, journal, layout
from stable_restyle.workdir.journal import About, Journal, Warnings
from stable_restyle.workdir.layout import Decides, Input, Places
from stable_restyle.workdir.lock import FolderLost

if TYPE_CHECKING:
    from stable_restyle.cluster.client import Farm

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
        in_order = sorted(failures, key=lambda failure: failure.lost[0])
        reasons = [
            f"  scene {failure.step.scene}, {_numbers(failure.lost)}: "
            + str(failure.reason).replace("\n", "\n    ")
            for failure in in_order[:REASONS_SHOWN]
        ]
        if len(in_order) > REASONS_SHOWN:
            reasons.append(f"  and {counted(len(in_order) - REASONS_SHOWN, 'more chain')}")
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
    film: Decides  # the film's marks, as it was when the run began; empty for frames
    frames: Frames
    scenes: Sequence[Scene]
    made_of: Input
    steps: Sequence[Step]


@contextmanager
def reach(settings: Settings) -> Iterator[Farm]:
    """The cluster that runs with these settings are drawn on. Raises WrongUsage, NoBackendLeft."""
    try:
        from stable_restyle.cluster import client
    except ImportError as error:
        raise WrongUsage(
            f"--dask needs Dask, which is not installed ({error}).\n"
            "In the folder of stable-restyle, run `pip install '.[dask]'`."
        ) from error
    with client.reach(settings.dask, _patience_s(settings)) as farm:
        yield farm


def run(settings: Settings, progress: Progress, farm: Farm | None = None) -> Outcome:
    """Restyle SOURCE into TARGET. Raises RestyleError, SlidesMissing where only some failed.

    farm: as `reach` gives it, for several runs; without it, each of these reaches for its own.
    """
    memory.share()
    places = layout.find_places(settings)
    redo.check_begun(deflicker.as_left(places), settings.redo)
    redo_seed, settings = settings.seed, _with_own_seed(settings, places)
    variants, access = _drawn_with(settings)
    with (
        journal.hearing() as heard,
        _team(settings, variants, access, places, farm) as team,
        layout.locked(places) as check_lock,
    ):
        guarded = Guarded(progress, check_lock)
        engine, drawn_on = team.meet()
        decided = _what_decides(settings, variants, engine)
        claimed = _claim(settings, variants, decided, places, guarded)
        count = len(claimed.steps)
        again = redo.choose(settings.redo, claimed.steps, chain=settings.redo_chain)
        redo.check_drawn(places, settings.redo, again, count)
        finished.forget(places)
        about = page.about(settings, drawn_on, _rate(claimed.source, settings))
        with _reported(settings, places, about, heard, guarded) as notes:
            seeds = redo.take_up(places, again, redo_seed, variants.base.seed or 0)
            spec = _brief(settings, claimed, seeds, places)
            if not (settings.backends or settings.dask):
                log.info("Drawing on %s.", " and ".join(drawn_on))
            drawn = _draw(spec, claimed.steps, team, settings, places, notes, guarded)
            redo.finish(places)
            if settings.deflicker:
                _deflicker(places, claimed.scenes, claimed.frames, settings, guarded)
            slides = images.marks(places.shown, count)
            if places.result is not None:
                _join(claimed.source, places, settings, count, guarded)
            ends = _what_ends(settings, decided, claimed.film)
            check_lock()
            finished.note(places, ends, claimed.made_of, slides)
    return Outcome(count, drawn, settings.target)


def _claim(
    settings: Settings, variants: Variants, decided: Decides, places: Places, progress: Progress
) -> _Claimed:
    """Find frames, scenes and keys, and see that the slides of an earlier run are made of them."""
    deflicker.mend(places)
    left = deflicker.as_left(places)
    source = prepare.look(places, settings.rate)
    _tell_fps(source, settings.fps)
    film = layout.film_marks(source.path, places, progress) if isinstance(source, Film) else {}
    decides = {**decided, "frame_size": f"{source.width}x{source.height}", **film}
    noted, anew = layout.claim(left, decides, fresh=settings.fresh)
    threshold, fps = settings.scene_threshold, settings.fps
    frames = prepare.frames_of(source, places, threshold, fps, progress)
    bounds = prepare.boundaries(frames, places, threshold, progress)
    found = scenes.find_scenes(bounds, fps)
    _check_scenes(variants.scene_changes, found)
    chosen = prepare.choose_keys(frames, found, places, fps, _kind(settings), progress)
    made_of = Input(frames.marks, bounds, variants.scene_changes, chosen)
    fresh = settings.fresh and not anew
    layout.claim_input(left, noted, made_of, fps, fresh=fresh)
    deflicker.settle(places, settings.deflicker, bounds)
    return _Claimed(source, film, frames, found, made_of, made_of.steps(fps))


def _draw(
    spec: DrawingSpec,
    steps: Sequence[Step],
    team: _Team,
    settings: Settings,
    places: Places,
    notes: Journal,
    progress: Progress,
) -> int:
    """Draw every slide that is missing; returns how many were. Raises SlidesMissing."""
    kept = _kept(places, len(steps), spec.frames)
    missing = {step.slide for step in steps} - kept
    if missing:
        images.remove(places.interp, [places.measure_file.name])  # it tells of other slides
    if settings.deflicker:
        deflicker.discard(places, spec.scenes, missing, settings.deflicker)
    with task(progress, DRAWING, len(steps), "slide", done=len(kept)):
        failures = team.draw(spec, steps, kept, notes.drawn, progress.advance)
    for failure in failures:
        notes.failed(failure.lost, str(failure.reason))
    if failures:
        raise SlidesMissing(failures, len(steps))
    _check_slides(places, len(steps))
    return len(missing)


def look_over(settings: Settings) -> Places:
    """Where a run would work, after a look whether these settings can be used.

    Nothing is written, and nothing is asked of servers. Raises RestyleError.
    """
    pool.engine(settings.backends, *_drawn_with(settings))
    return layout.find_places(settings)


def is_finished(settings: Settings) -> bool:
    """Whether a run with these settings came to its end, and nothing has changed since.

    It is not if the settings ask for slides to be drawn again, nor where the film must be read to
    see that it is the same. Nothing is written, and nothing is asked of servers. Raises
    RestyleError.
    """
    places = layout.find_places(settings)
    if settings.fresh or settings.redo or not places.finished_file.exists():
        return False
    variants, access = _drawn_with(settings)
    engine = pool.engine(settings.backends, variants, access)
    marks = layout.known_marks(places.film, places) if places.film else {}
    if marks is None:
        return False
    settled = _what_ends(settings, _what_decides(settings, variants, engine), marks)
    try:
        frames = images.find_frames(places.frames)
        bounds = scenes.read_boundaries(places.scenes_file, frames.count)
        found = scenes.find_scenes(bounds, settings.fps)
        count = scenes.slide_count(frames.count, settings.fps)
        chosen = prepare.foresee_keys(found, places, _kind(settings))
        made_of = Input(frames.marks, bounds, variants.scene_changes, chosen)
        return finished.holds(places, settled, made_of, images.marks(places.shown, count))
    except UnusableInput:
        return False  # the run says what is wrong, or mends it


def write_report(settings: Settings, progress: Progress) -> Path:
    """Write interp/report.html as things are now, also while a run goes on; returns where it is.

    Raises UnusableInput where nothing was restyled.
    """
    places = layout.find_places(settings)
    _report(settings, places, progress, make=True)
    return places.report_file


def check(settings: Settings) -> list[Report]:
    """What each backend is, and whether it could draw a run with these settings.

    Raises RestyleError where the settings cannot be used.
    """
    return pool.check(settings.backends, *_drawn_with(settings))


def plan(settings: Settings, seconds: float | None, progress: Progress) -> Plan:
    """What `run` would do, without writing anything. seconds: what a slide takes on a server."""
    places = look_over(settings)
    source = prepare.look(places, settings.rate)
    _tell_fps(source, settings.fps)
    frame_count, bounds = prepare.foresee(source, places, settings.scene_threshold, progress)
    found = scenes.find_scenes(bounds, settings.fps)
    chosen = prepare.foresee_keys(found, places, _kind(settings))
    steps = scenes.all_steps(found, chosen)
    left = deflicker.as_left(places)
    finished, _ = images.find_slides(left.slides, len(steps), (source.width, source.height))
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
        sum(step.asks for step in steps),
        schedule.longest_chain,
        None if seconds is None else estimate(schedule, [seconds] * len(settings.backends)),
    )


def _discarded(
    settings: Settings, left: Places, bounds: Sequence[int], chosen: Keys | None
) -> set[int]:
    """The slides that a run with --fresh would discard; all of them if there are no frames yet.

    left: as `deflicker.as_left` gives it. A film is not read to see whether it is the same.
    """
    names: Iterable[str] = images.numbered(left.slides)
    if left.frames.exists():
        variants, access = _drawn_with(settings)
        engine = pool.engine(settings.backends, variants, access)
        frames = images.find_frames(left.frames)
        marks = layout.unread_marks(left.film) if left.film else {}
        size = {"frame_size": f"{frames.width}x{frames.height}"}
        decides = {**_what_decides(settings, variants, engine), **size, **marks}
        now = Input(frames.marks, bounds, variants.scene_changes, chosen)
        names = layout.discarded_by_fresh(left, decides, now, settings.fps)
    return {int(name[:-4]) - 1 for name in names}


def _tell_fps(source: Film | Frames, fps: int) -> None:
    """Say what --fps means where it looks as if the film's rate was meant."""
    if fps > FPS_USUAL:
        frames = source.frames if isinstance(source, Film) else source.count
        log.info(
            "--fps %d is how many frames make a slide, not the rate of the film: %s make %s.",
            fps,
            counted(frames, "frame"),
            counted(scenes.slide_count(frames, fps), "slide"),
        )


def measure(settings: Settings, progress: Progress) -> Survey:
    """How steady the slides of a run are; its settings and scenes are those that it left."""
    places = layout.find_places(settings)
    fps = layout.fps_of(places)
    with layout.locked(places):
        frames = images.find_frames(places.frames)
        bounds = scenes.read_boundaries(places.scenes_file, frames.count)
        found = scenes.find_scenes(bounds, fps)
        count = scenes.slide_count(frames.count, fps)
        finished, unfit = images.find_slides(places.shown, count, (frames.width, frames.height))
        for line in unfit:
            log.warning("%s It is not measured.", line)
        if not finished:
            raise UnusableInput(
                f"There are no slides in {places.shown}.\nRepeat the run, then measure it."
            )
        with task(progress, "Measuring", len(finished), "slide"):
            done = measurement.measure(found, finished, frames, fps, places.shown, progress.advance)
        measurement.write(done, places.measure_file)
    if done.missing:
        log.warning("Missing, and so not measured: %s of %d.", _numbers(done.missing), count)
    return done


def _drawn_with(settings: Settings) -> tuple[Variants, Access]:
    """Return the workflow with its changes, and how servers are reached.

    Raises RestyleError where these, the motion or the keys cannot be used.
    """
    choose(settings.motion)
    _check_keys(settings)
    variants = vary(workflow.load(settings.model), settings.seed, settings.changes)
    headers = served.parse_headers(settings.headers)
    return variants, Access(headers, settings.timeout_s, settings.keep_on_server)


def _what_decides(settings: Settings, variants: Variants, engine: str) -> Decides:
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
        "fps": settings.fps,
        "motion": settings.motion,
        "keys": settings.keys,
        "fill_only": settings.fill_only,
    }


def _what_ends(settings: Settings, decided: Decides, film: Decides) -> Decides:
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


def _kept(places: Places, count: int, frames: Frames) -> set[int]:
    finished, unfit = images.find_slides(places.slides, count, (frames.width, frames.height))
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
    settings: Settings, variants: Variants, access: Access, places: Places, farm: Farm | None
) -> Iterator[_Team]:
    given = settings.backends, variants, access, _patience_s(settings)
    with ExitStack() as stack:
        if settings.dask:
            farm = farm or stack.enter_context(reach(settings))
            yield stack.enter_context(farm.joined(*given, places))
        else:
            yield _Alone(stack.enter_context(pool.connect(*given)))


def _patience_s(settings: Settings) -> float:
    return 60 * settings.patience_min


def _brief(
    settings: Settings, claimed: _Claimed, seeds: Mapping[int, int], places: Places
) -> DrawingSpec:
    """What is to be drawn; paths are whole, since a worker may be in another folder."""
    frames = claimed.frames
    mask_strength, mask_size = settings.mask
    return DrawingSpec(
        frames=replace(frames, folder=frames.folder.absolute()),
        fps=settings.fps,
        motion=settings.motion,
        mask_strength=mask_strength,
        mask_size=mask_size,
        anchor=settings.anchor_share,
        keys=settings.keys,
        scenes=claimed.scenes,
        seeds=seeds,
        slides=places.slides.absolute(),
        report=places.report_folder.absolute(),
        steps_folder=places.interp.absolute() if settings.save_interp else None,
    )


def _deflicker(
    places: Places,
    found: Sequence[Scene],
    frames: Frames,
    settings: Settings,
    progress: Progress,
) -> None:
    """Make what is missing of the deflickered slides."""
    size = (frames.width, frames.height)
    count = found[-1].slides.stop
    finished, _ = images.find_slides(places.shown, count, size)
    if len(finished) == count:
        return
    images.remove(places.interp, [places.measure_file.name])
    with task(progress, "Deflickering", count, "slide", done=len(finished)):
        deflicker.smooth(
            places, found, finished, frames, settings.fps, settings.deflicker, progress.advance
        )


def _join(
    source: Film | Frames, places: Places, settings: Settings, slides: int, progress: Guarded
) -> None:
    """Make the film of the slides, with the source's sound if it has any."""
    assert places.result is not None
    film = source if isinstance(source, Film) else None
    rate = _rate(source, settings) / settings.fps

    def on_whole(made: Path) -> None:
        progress.check()
        layout.claim_result(places, made)

    with task(progress, "Joining", slides, "slide"):
        video.join(
            places.shown,
            slides,
            rate,
            places.result,
            film,
            progress.advance,
            on_whole,
            layout.maker(places),
        )


def _rate(source: Film | Frames, settings: Settings) -> Fraction:
    """Frames a second."""
    return source.rate if isinstance(source, Film) else settings.rate or DEFAULT_RATE


@contextmanager
def _reported(
    settings: Settings, places: Places, about: About, heard: Warnings, progress: Progress
) -> Iterator[Journal]:
    """Keep the journal of a run, and write the report at its end, however it ends."""
    notes = Journal(places.journal_file, about)
    heard.tell(notes.warn)
    try:
        yield notes
    except FolderLost:
        raise  # what is there now is another run's to report on
    except BaseException as error:
        outcome = str(error) if isinstance(error, RestyleError) else "it was interrupted"
        _end(notes, outcome, settings, places, progress, make=isinstance(error, SlidesMissing))
        raise
    _end(notes, "", settings, places, progress, make=True)


def _end(
    notes: Journal,
    outcome: str,
    settings: Settings,
    places: Places,
    progress: Progress,
    *,
    make: bool,
) -> None:
    """A run that is well is not spoiled by its report."""
    try:
        notes.end(outcome)
        if places.scenes_file.exists() and places.frames.exists():
            _report(settings, places, progress, make=make)
    except FolderLost:
        raise
    except (RestyleError, OSError) as error:
        log.warning("There is no report of this run: %s", error)


def _report(settings: Settings, places: Places, progress: Progress, *, make: bool) -> None:
    """Write the report. make: with the small pictures that are lacking, which takes its time."""
    runs = journal.read(places.journal_file)
    subject = _subject(settings, places, runs)
    thumbnails = _thumbnails(places, subject.slides, subject.fps, subject.scenes)
    if make and (lacking := thumbnails.lacking()):
        with task(progress, "Small pictures", len(lacking), "slide"):
            thumbnails.make(lacking, progress.advance)
    if make and (unmeasured := thumbnails.unmeasured()):
        with task(progress, "Comparing slides", len(unmeasured), "slide"):
            thumbnails.measure(unmeasured, progress.advance)
    page.write(subject, thumbnails, runs)


def _subject(settings: Settings, places: Places, runs: Sequence[journal.Run]) -> page.Subject:
    """What there is to report on, as far as it has come. Raises UnusableInput."""
    noted = layout.noted(places)
    frames = len(images.numbered(places.frames))
    if not frames or not places.scenes_file.exists():
        raise UnusableInput(
            f"Nothing has been restyled in {places.interp} yet: it has no frames or no scenes.json."
            "\nRun the command without --report first; or name the SOURCE, the TARGET and the "
            "--work of the run."
        )
    fps = noted.get("fps")
    fps = fps if isinstance(fps, int) and fps > 0 else settings.fps
    width, height = images.size(places.frames / images.name(0))
    # Until the first slide is deflickered, those that are drawn are what there is to see.
    shown = images.numbered(places.shown)
    return page.Subject(
        places=places,
        slides=places.shown if shown else deflicker.as_left(places).slides,
        source=settings.source,
        target=settings.target,
        width=width,
        height=height,
        fps=fps,
        rate=Fraction(runs[-1].about.rate) if runs else settings.rate or DEFAULT_RATE,
        scenes=scenes.find_scenes(scenes.read_boundaries(places.scenes_file, frames), fps),
        frames=frames,
        settings=noted,
        command=page.command(settings, ()),
    )


def _thumbnails(places: Places, slides: Path, fps: int, found: Sequence[Scene]) -> Thumbnails:
    return Thumbnails(places.report_folder, places.frames, slides, fps, found)


def _with_own_seed(settings: Settings, places: Places) -> Settings:
    """With --redo, --seed is for the slides drawn again; all others keep the seed of their run."""
    if not settings.redo:
        return settings
    seed = layout.noted(places).get("seed")
    return replace(settings, seed=seed if isinstance(seed, int) else None)


def _check_slides(places: Places, count: int) -> None:
    """Raises UnusableInput if slides that were finished are gone."""
    gone = {images.name(slide) for slide in range(count)}.difference(images.numbered(places.slides))
    if gone:
        raise UnusableInput(
            f"{len(gone)} of {counted(count, 'slide')} vanished from {places.slides} meanwhile, "
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
