"""The command line: options -> Settings; errors -> message and exit code.

Nothing heavy is imported before a run begins, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import io
import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from stable_restyle.core.errors import (
    NoBackendLeft,
    RestyleError,
    WrongUsage,
    are,
    counted,
    from_system,
)
from stable_restyle.core.records import (
    ANCHOR,
    BACKENDS_VARIABLE,
    DEFAULT_RATE,
    DEFLICKER_MOST,
    FILM_THREAD,
    FLOW_ANCHOR,
    FLOW_MASK_SIZE,
    FLOW_MASK_STRENGTH,
    MASK_SIZE,
    MASK_STRENGTH,
    Settings,
)

if TYPE_CHECKING:
    from tqdm import tqdm

    from stable_restyle.backends.base import BackendCheck
    from stable_restyle.imaging.metrics import Stability
    from stable_restyle.run.measurement import Measurement
    from stable_restyle.run.pipeline import Outcome, Plan

HEADERS_VARIABLE = "VIDEO_RESTYLE_HEADERS"
LOG_EVERY_S = 30.0  # a line of progress where there is no terminal to draw a bar on
INTERRUPTED = 130
MORE_NAMES = (
    "\nPut names with blanks in quotation marks. To restyle several films, list them in a file for "
    "--batch."
)
STALLED_S = 20.0  # without progress, before the time left is no longer shown
STALLED_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]"

NTSC_RATES = [Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120)]

DEFAULTS = Settings()

# What the columns of --measure are.
FIGURES = (
    "E_warp     what neighbouring slides differ once motion is taken out: mean square, RGB 0..1",
    "  long-term  the same of each slide and its scene's middle",
    "  ratio      as a multiple of what their frames differ: 1 is as steady as the film itself",
    "flicker    how much the mean lightness jumps where that of the frames does not: L*, 0..100",
    "sharpness  1 is the middle's; less is blurred",
    "style      how far the palette is from the middle's: levels of 255",
    "  end        the same at the ends of the scene alone",
    "structure  how well a slide keeps the edges of its frame: 1 is all of them",
)

log = logging.getLogger("stable_restyle")


class Number(click.FloatRange):
    """A number between two bounds; "nan" is between none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class AnyPath(click.Path):
    """A path, which need not be there."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "\0" in str(value):
            self.fail(f"{value!r}: no name holds such a character.", param, ctx)
        return super().convert(value, param, ctx)


class Rate(click.ParamType[Fraction]):
    """Frames a second, such as 25 or 30000/1001, kept exact; 23.976 is read as 24000/1001."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if rate <= 0:
            self.fail(f"{value!r} is no frame rate; write 25 or 30000/1001.", param, ctx)
        return next((each for each in NTSC_RATES if str(value) in _rounded(each)), rate)


def _rounded(rate: Fraction) -> set[str]:
    """Return a rate as people write it, with 2 and with 3 digits after the point."""
    return {f"{float(rate):.{digits}f}" for digits in (2, 3)}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("source", type=AnyPath(), default=DEFAULTS.source)
@click.argument("target", type=AnyPath(), default=DEFAULTS.target)
@click.option(
    "--model",
    metavar="FILE",
    default=DEFAULTS.model,
    show_default=True,
    help="Workflow to draw with: a ComfyUI API file, or the name of one that is shipped.",
)
@click.option(
    "--backend",
    "backends",
    metavar="BACKEND",
    multiple=True,
    help="What draws the slides: http://HOST:8188 (a ComfyUI server), or preview, preview:clay, "
    "preview:anime (the embedded preview engine). Repeat it for more servers, or write commas "
    "between.  [default: "
    f"${BACKENDS_VARIABLE}; else the servers on this machine]",
)
@click.option(
    "--set",
    "changes",
    metavar="[SCENES:]ID.INPUT=VALUE",
    multiple=True,
    help='Change an input of a node of the workflow, for the run or for some scenes: 6.text="clay '
    'rabbit", 3,5-7:6.text="clay fox". Scenes are numbered as --dry-run shows them.',
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    metavar="N",
    help="Every seed in the workflow.  [default: what the file has]",
)
@click.option(
    "--header",
    "headers",
    metavar="'NAME: VALUE'",
    multiple=True,
    help="Sent with every request to every server, such as a token. Also from "
    f"${HEADERS_VARIABLE}, a line each. Shown nowhere.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Number(0, min_open=True),
    metavar="SECONDS",
    default=DEFAULTS.timeout_s,
    show_default=True,
    help="How long a server may take for a slide once it has started on it.",
)
@click.option(
    "--patience",
    "patience_min",
    type=Number(0),
    metavar="MINUTES",
    default=DEFAULTS.patience_min,
    show_default=True,
    help="How long to wait for a server to come back when none is left.",
)
@click.option(
    "--keep-on-server",
    is_flag=True,
    help="Leave the workflow's output node as it is, so that the server keeps every slide too.",
)
@click.option(
    "--mask-strength",
    type=Number(0, 8),
    metavar="NUMBER",
    help="0 frees the whole picture, 8 only what cannot be carried (by codec: what moves).  "
    f"[default: {FLOW_MASK_STRENGTH:g}; by codec {MASK_STRENGTH:g}]",
)
@click.option(
    "--mask-size",
    type=click.IntRange(0),
    metavar="PIXELS",
    help="How far the mask reaches around what moves.  "
    f"[default: {FLOW_MASK_SIZE}; by codec {MASK_SIZE}]",
)
@click.option(
    "--anchor",
    type=Number(0, 1),
    metavar="SHARE",
    help="How much of what the colours have drifted from those of the scene's middle is taken back "
    "at each slide; light that changes in the frames stays.  "
    f"[default: {FLOW_ANCHOR:g}; by codec {ANCHOR:g}]",
)
@click.option(
    "--deflicker",
    type=click.IntRange(0, DEFLICKER_MOST),
    metavar="N",
    default=DEFAULTS.deflicker,
    show_default=True,
    help="Once all slides are drawn, make each the mean of those up to N slides away, moved to "
    "where it is; 0 does not. The slides as drawn are kept in the working folder.",
)
@click.option(
    "--fps",
    "frames_per_slide",
    type=click.IntRange(1),
    metavar="N",
    default=DEFAULTS.frames_per_slide,
    show_default=True,
    help="Frames per slide.",
)
@click.option(
    "--motion",
    metavar="flow|flow:fast|codec|COMMAND",
    default=DEFAULTS.motion,
    show_default=True,
    help="How slides are carried: by optical flow; by the same in half the time; by the "
    "motion-transfer library, as the original did; or by a program with motion-transfer's command "
    "line, run once a slide.",
)
@click.option(
    "--keys",
    type=click.IntRange(1),
    metavar="K",
    default=DEFAULTS.keys,
    show_default=True,
    help="Have the model draw only every K-th slide, and more where the film changes faster; those "
    "between are filled from these keys. Needs optical flow. The choice is kept in keys.json in "
    "the working folder.",
)
@click.option(
    "--fill-only",
    is_flag=True,
    help="With --keys: also fill the slides of which the keys show too little, without the model.",
)
@click.option(
    "--scene-threshold",
    type=Number(0, 100),
    metavar="NUMBER",
    default=DEFAULTS.scene_threshold,
    show_default=True,
    help="How different two frames must be for a cut (FFmpeg's scdet). Scenes once found are kept "
    "in scenes.json in the working folder; remove it to have them found again.",
)
@click.option(
    "--rate",
    type=Rate(),
    metavar="RATE",
    help=f"Frames a second of a SOURCE folder whose TARGET is a film.  [default: {DEFAULT_RATE}]",
)
@click.option(
    "--work",
    type=AnyPath(file_okay=False),
    metavar="DIR",
    help="Working folder.  [default: interp beside a TARGET folder, NAME.restyle beside a film]",
)
@click.option(
    "--save-interp",
    is_flag=True,
    help="Keep carried pictures, masks and guides in the working folder.",
)
@click.option(
    "--fresh", is_flag=True, help="Start over: discard the slides of an earlier run, then draw."
)
@click.option(
    "--redo",
    metavar="SLIDES",
    default=DEFAULTS.redo,
    help="Draw these slides again, such as 12,40-46, with another seed unless --seed names one. "
    "What was there is kept in redone/ in the working folder.",
)
@click.option(
    "--redo-chain", is_flag=True, help="With --redo: also what hangs on these in their chains."
)
@click.option(
    "--report",
    is_flag=True,
    help="Write the report page, report.html in the working folder, as things are now, also while "
    "a run goes on; nothing else.",
)
@click.option("--dry-run", is_flag=True, help="Show scenes, slides and chains; write nothing.")
@click.option(
    "--seconds",
    type=Number(0, min_open=True),
    metavar="S",
    help="With --dry-run: estimate the time if each slide takes S seconds on each backend.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Look at every backend, draw a small slide on each, tell what is missing; nothing else.",
)
@click.option(
    "--measure",
    is_flag=True,
    help="Tell how steady the slides of a run are, and write it to measure.json in the working "
    "folder; nothing else. Settings and scenes are the run's.",
)
@click.option(
    "--dask",
    metavar="ADDRESS|local[:N]",
    default=DEFAULTS.dask,
    help="Draw on the workers of a Dask cluster, such as tcp://HOST:8786; local starts one of N "
    "processes on this machine, to try it. localhost in a --backend is then each worker's own.",
)
@click.option(
    "--batch",
    type=AnyPath(),
    metavar="FILE",
    help="Restyle the films that a list names, a line a film: SOURCE TARGET -- OPTIONS. Options "
    "given here hold for all of them, unless a line has the same one. Films that are finished are "
    "passed over.",
)
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
@click.version_option(package_name="stable-restyle", message="%(prog)s %(version)s")
def command(
    *,
    dry_run: bool,
    seconds: float | None,
    check: bool,
    measure: bool,
    report: bool,
    batch: Path | None,
    verbose: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Restyle a film with Stable Diffusion.

    SOURCE is a folder of frames called 000001.png, 000002.png, ... [default: in] or a film. TARGET
    is a folder for the slides [default: out] or a film (.mp4, .mkv, .mov, .webm), which keeps the
    sound. A run that was stopped goes on where it stopped when the command is repeated.

    \b
    Exit codes: 0 all slides are drawn; 1 some are missing; 2 wrong usage; 3 unusable input;
    4 no backend is left; 130 interrupted.
    """
    # The programs that we start need not know what these hold.
    backends, headers = (os.environ.pop(each, "") for each in (BACKENDS_VARIABLE, HEADERS_VARIABLE))
    named = [name for each in options["backends"] for name in _listed(each)]
    options["backends"] = tuple(named or filter(None, _listed(backends)))
    sent = (line.strip() for line in headers.splitlines())
    options["headers"] = (*filter(None, sent), *options["headers"])
    settings = Settings(**options)
    in_place_of_a_run = {
        "--check": check,
        "--measure": measure,
        "--dry-run": dry_run,
        "--report": report,
    }
    for one_of in (
        {**in_place_of_a_run, "--batch": batch, "--redo": settings.redo},
        {"--redo": settings.redo, "--fresh": settings.fresh},
        {"--verbose": verbose, "--quiet": quiet},
    ):
        if len(given := [option for option, value in one_of.items() if value]) > 1:
            raise click.UsageError(
                f"{', '.join(given[:-1])} and {given[-1]} exclude each other: give one of them."
            )
    if seconds is not None and not dry_run:
        raise click.UsageError("--seconds S goes with --dry-run.")
    if seconds is not None and not settings.backends:
        raise click.UsageError("--seconds S needs to know the backends: add --backend.")
    if settings.redo_chain and not settings.redo:
        raise click.UsageError("--redo-chain goes with --redo SLIDES.")
    if batch and (_is_given("source") or _is_given("target")):
        raise click.UsageError(
            "--batch FILE names the films: SOURCE and TARGET stand in its lines."
        )
    console = Console(verbose=verbose, quiet=quiet)

    from stable_restyle.run import pipeline

    if check:
        checks = pipeline.check(settings)
        click.echo(visible("\n".join(describe_backend(each) for each in checks)))
        if all(each.fault for each in checks):
            raise NoBackendLeft("No backend could draw this run. Mend what is said above.")
    elif measure:
        click.echo(visible(describe_survey(pipeline.measure(settings, console))))
    elif dry_run:
        click.echo(visible(describe(pipeline.plan(settings, seconds, console))))
    elif report:
        click.echo(visible(str(pipeline.write_report(settings, console))))
    elif batch:
        run_batch(batch, options, console)
    elif pipeline.is_finished(settings):
        log.info("%s is finished, and nothing has changed since.", settings.target)
    else:
        log.info(summary(pipeline.run(settings, console)))


def run_batch(path: Path, options: Mapping[str, Any], console: Console) -> None:
    """Restyle the films of a list. options: those that hold for all of them."""
    from stable_restyle.run import batch

    own = {each.name for each in fields(Settings)} - {"redo", "redo_chain", "dask"}
    params = [each for each in command.params if each.name in own]
    line = click.Command("line", params=params, add_help_option=False)

    def settle(source: str, target: str, words: Sequence[str]) -> Settings:
        try:
            context = line.make_context("line", [*words, "--", source, target])
        except click.ClickException as error:
            raise WrongUsage(error.format_message()) from error
        given = {name: value for name, value in context.params.items() if _is_given(name, context)}
        return Settings(**{**options, **given})

    batch.run(batch.read(path, settle), console, lambda outcome: log.info(summary(outcome)))


def _is_given(name: str, context: click.Context | None = None) -> bool:
    """Whether an option or argument was typed, not left to its default."""
    context = context or click.get_current_context()
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def main() -> None:
    """The command `video-restyle`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be Unicode
    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupted)
    try:
        command.main(standalone_mode=False, windows_expand_args=False)
        _flush()
        sys.stdout.flush()
    except RestyleError as error:
        _end(f"Error: {error}", error.exit_code)
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        hint = MORE_NAMES if "unexpected extra argument" in error.message else ""
        _end(usage.getvalue().rstrip() + hint, error.exit_code)
    except _Ended:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)  # while Python ends, another would kill it
        _end("Interrupted. Finished slides are kept; repeat the command to go on.", INTERRUPTED)
    except MemoryError:
        _end("Error: This machine has not enough memory left. Finished slides are kept.", 1)
    except OSError as error:
        if _is_closed_pipe(error):  # who read what we told has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if (told := from_system(error)) is None:
            raise
        _end(f"Error: {told}", told.exit_code)


def _is_closed_pipe(error: OSError) -> bool:
    """Whether nobody reads any more what we write to a pipe, which Windows calls invalid."""
    closed = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
    return error.errno in closed and error.filename is None


def _end(said: str, exit_code: int) -> NoReturn:
    _flush()
    _tell(said)
    sys.exit(exit_code)


def _flush() -> None:
    """Say what other threads have logged since the main thread looked last."""
    for handler in log.handlers:
        handler.flush()


def _tell(text: str) -> None:
    """Say something on stderr; once a terminal is closed, nobody hears it, and the run goes on."""
    with suppress(OSError):
        click.echo(visible(text), err=True)


def visible(text: str) -> str:
    """What is said, as it may be shown: no password of a mistyped URL, and no control characters,
    which a file name or a film can hold and a terminal would obey.
    """
    without_users = re.sub(r"(https?:/+)[^/\s]*@", r"\1***@", text)
    return "".join(
        c if c.isprintable() or c in "\n\t" or "\udc80" <= c <= "\udcff" else ascii(c)[1:-1]
        for c in without_users
    )


class _Ended(BaseException):
    """A signal has ended the run.

    No KeyboardInterrupt: at that click writes to the terminal, which may be gone.
    """


def _interrupted(number: int, frame: object) -> None:
    """The first Ctrl-C ends the run in good order; the second leaves at once."""
    for each in _ENDINGS:
        signal.signal(each, lambda *_: os._exit(INTERRUPTED))
    raise _Ended


# Ctrl-C, a polite kill, a closed terminal, which Windows does not have, and Windows' Ctrl-Break.
_ENDINGS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
]


class Console(logging.Handler):
    """Progress and log, on stderr: a bar on a terminal, elsewhere a line now and then.

    Records of other threads wait until the main thread looks: it alone touches the bar.
    """

    def __init__(self, *, verbose: bool, quiet: bool) -> None:
        super().__init__()
        self._quiet = quiet
        self._waiting: SimpleQueue[str] = SimpleQueue()
        self._bar: tqdm[Any] | None = None
        self._lines: LogProgress | None = None
        self._flow = Flow(0.0)
        log.handlers = [self]
        log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
        log.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if (thread := record.threadName or "").startswith(FILM_THREAD):
            text = f"{thread.removeprefix(FILM_THREAD)}: {text}"
        self._waiting.put(f"Warning: {text}" if record.levelno >= logging.WARNING else text)
        if current_thread() is main_thread():
            self.flush()

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        if self._quiet:
            return
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=task, total=total, initial=done, unit=f" {unit}", dynamic_ncols=True
            )
            self._flow = Flow(time.monotonic())
        else:
            self._lines = LogProgress(task, total, done, unit)

    def advance(self, count: int) -> None:
        self.flush()
        if self._bar is not None:
            goes_on = self._flow.advance(count, time.monotonic())
            self._bar.bar_format = None if goes_on else STALLED_BAR
            with suppress(OSError):
                self._bar.update(count)
                self._bar.refresh()
        elif self._lines is not None and (line := self._lines.advance(count, time.monotonic())):
            _tell(line)

    def end(self) -> None:
        self.flush()
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
        self._bar = self._lines = None

    def flush(self) -> None:
        """Say what waits. Called in the main thread only."""
        while not self._waiting.empty():
            text = self._waiting.get()
            if self._bar is not None:
                with suppress(OSError):
                    self._bar.write(visible(text), file=sys.stderr)
            else:
                _tell(text)


class Flow:
    """Whether a task goes on, so that it can be told how long it still takes."""

    def __init__(self, now: float) -> None:
        """now: time.monotonic()."""
        self._began = self._moved = now
        self._done = 0

    def advance(self, count: int, now: float) -> bool:
        """Count on. False if nothing has been done for long: three times what a unit takes."""
        if count:
            self._done, self._moved = self._done + count, now
        unit_s = (self._moved - self._began) / max(self._done, 1)
        return now - self._moved <= max(STALLED_S, 3 * unit_s)


class LogProgress:
    """Progress as lines for a log file: the first after LOG_EVERY_S, then as far apart."""

    def __init__(self, task: str, total: int, done: int, unit: str) -> None:
        self._task, self._total, self._unit = task, total, unit
        self._done = self._done_before = done
        self._began = self._last = time.monotonic()
        self._flow = Flow(self._began)

    def advance(self, count: int, now: float) -> str | None:
        """Count on; returns the line to show, if it is time for one. now: time.monotonic()."""
        self._done += count
        goes_on = self._flow.advance(count, now)
        if now - self._last < LOG_EVERY_S:
            return None
        self._last = now
        rate = (self._done - self._done_before) / (now - self._began)
        left = f", {clock((self._total - self._done) / rate)} left" if rate and goes_on else ""
        return (
            f"{self._task}: {self._done} of {self._total} {self._unit}s, {rate:.2f} a second{left}"
        )


def summary(outcome: Outcome) -> str:
    """What a run that ended well tells."""
    drawn = "all of them new" if outcome.drawn == outcome.slides else f"{outcome.drawn} of them new"
    if outcome.drawn == 0:
        drawn = "none of them new"
    return f"Done: {counted(outcome.slides, 'slide')}, {drawn}, in {outcome.target}"


def describe(plan: Plan) -> str:
    """What --dry-run tells."""
    lines = [
        f"{plan.source}: {counted(plan.frames, 'frame')} of {plan.width}x{plan.height} for "
        f"{counted(plan.slides, 'slide')}; {plan.finished} {are(plan.finished)} finished.",
        "scene         frames         slides  middle  chain down, up",
    ]
    for scene in plan.scenes:
        frames = f"{scene.start + 1}-{scene.stop}"
        slides = f"{scene.slides.start + 1}-{scene.slides.stop}"
        down, up = scene.middle - scene.slides.start, scene.slides.stop - 1 - scene.middle
        lines.append(
            f"{scene.number:5} {frames:>14} {slides:>14} {scene.middle + 1:7}  {down:>10}, {up}"
        )
    lines.append(
        f"{counted(len(plan.scenes), 'scene')}; "
        f"the longest chain still to draw is {counted(plan.longest_chain, 'slide')}."
    )
    if plan.asked < plan.slides:
        asked = counted(plan.asked, "slide")
        lines.append(f"For the model: at least {asked}; the others are filled.")
    if plan.drawing_s is not None:
        lines.append(f"Drawing takes about {clock(plan.drawing_s)} on these backends.")
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """A time as h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"


def describe_backend(check: BackendCheck) -> str:
    """Return what --check prints about one backend."""
    rows = [("can draw this run", "no: " + check.fault if check.fault else "yes"), *check.about]
    rows += [("missing", problem) for problem in check.problems]
    if check.trial_s is not None:
        rows.append(("slide of 64x64", f"{check.trial_s:.1f} s"))
    indented = ((what, said.strip().replace("\n", "\n" + " " * 21)) for what, said in rows)
    return "\n".join([check.name, *(f"  {what:18} {said}" for what, said in indented)])


def describe_survey(survey: Measurement) -> str:
    """What --measure tells."""
    rows = [
        (str(scene.number), f"{scene.slides.start + 1}-{scene.slides.stop}", its)
        for scene, its in survey.scenes
    ]
    rows.append(("all", counted(survey.whole.slides, "slide"), survey.whole))
    return "\n".join(
        [
            "                         E_warp  long-term E_warp",
            "scene       slides   x 1000  ratio   x 1000  ratio   flicker  sharpness  style    end"
            "  structure",
            *(f"{number:>5} {slides:>12} {_measured(its)}" for number, slides, its in rows),
            "",
            *FIGURES,
        ]
    )


def _measured(its: Stability) -> str:
    """The figures of a scene, as the columns of --measure; "-" where nothing could be compared."""
    columns = [
        (1000 * its.e_warp, 8, 3),
        (its.e_warp_ratio, 6, 2),
        (1000 * its.e_warp_long, 8, 3),
        (its.e_warp_long_ratio, 6, 2),
        (its.flicker, 9, 3),
        (its.sharpness, 10, 2),
        (its.style, 6, 1),
        (its.style_ends, 6, 1),
        (its.structure, 10, 2),
    ]
    return " ".join(
        f"{'-':>{width}}" if math.isnan(value) else f"{value:{width}.{digits}f}"
        for value, width, digits in columns
    )


def _listed(backends: str) -> list[str]:
    """Split a list of backends at its commas. A comma may also be part of a URL."""
    following = r"\s*(?:preview\b|\w+://|[\w.-]+:\d+(?:[/,]|$))"
    return [each.strip() for each in re.split(f",(?={following})", backends)]
