"""Entry point of the command line: run what the options ask for; errors -> message and exit code.

Nothing heavy is imported before a run begins, so that `--help` answers at once.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from stable_restyle.cli import tables
from stable_restyle.cli.console import Console, print_error, visible
from stable_restyle.cli.options import DEFAULTS, HEADERS_VARIABLE, options, split_backends
from stable_restyle.core.errors import NoBackendLeft, RestyleError, WrongUsage, from_system
from stable_restyle.core.settings import BACKENDS_VARIABLE, Settings

INTERRUPTED = 130
UNREPEATED = ("source", "target", "seed", "headers", "fresh", "redo", "redo_chain")
MORE_NAMES = (
    "\nPut names with blanks in quotation marks. To restyle several films, list them in a file for "
    "--batch."
)

log = logging.getLogger("stable_restyle")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@options
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
    sound. To resume a run that was stopped, run the same command again.

    \b
    Exit codes: 0 all slides are drawn; 1 some are missing; 2 wrong usage; 3 unusable input;
    4 no backend is left; 130 interrupted.
    """
    # Programs that we start must not see these: they may hold secrets.
    backends, headers = (os.environ.pop(each, "") for each in (BACKENDS_VARIABLE, HEADERS_VARIABLE))
    named = [name for each in options["backends"] for name in split_backends(each)]
    options["backends"] = tuple(named or filter(None, split_backends(backends)))
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
            "--batch FILE names the films: write SOURCE and TARGET in its lines."
        )
    console = Console(verbose=verbose, quiet=quiet)

    from stable_restyle.run import measurement, pipeline, reporting, status
    from stable_restyle.run.dry_run import plan

    settings = with_command(settings)
    if check:
        checks = status.check_backends(settings)
        click.echo(visible("\n".join(tables.describe_backend(each) for each in checks)))
        if all(each.fault for each in checks):
            raise NoBackendLeft("No server can render this. Fix the problems above and try again.")
    elif measure:
        click.echo(visible(tables.describe_measurement(measurement.measure_run(settings, console))))
    elif dry_run:
        click.echo(visible(tables.describe_plan(plan(settings, seconds, console))))
    elif report:
        click.echo(visible(str(reporting.write_report(settings, console))))
    elif batch:
        run_batch(batch, options, console)
    elif status.is_finished(settings):
        log.info("%s is finished, and nothing has changed since.", settings.target)
    else:
        log.info(tables.summary(pipeline.run(settings, console)))


def run_batch(path: Path, options: Mapping[str, Any], console: Console) -> None:
    """Restyle the films of a list. options: those of all films."""
    from stable_restyle.run import batch

    own = {each.name for each in fields(Settings)} - {"redo", "redo_chain", "dask"}
    params = [each for each in command.params if each.name in own]
    line = click.Command("line", params=params, add_help_option=False)

    def parse_line(source: str, target: str, words: Sequence[str]) -> Settings:
        try:
            context = line.make_context("line", [*words, "--", source, target])
        except click.ClickException as error:
            raise WrongUsage(error.format_message()) from error
        given = {name: value for name, value in context.params.items() if _is_given(name, context)}
        return with_command(Settings(**{**options, **given}))

    batch.run(
        batch.read(path, parse_line), console, lambda outcome: log.info(tables.summary(outcome))
    )


def with_command(settings: Settings) -> Settings:
    """Return settings with the command that resumes their run and shows no secrets."""
    from stable_restyle.backends.connect import public_name

    shown = replace(settings, backends=tuple(map(public_name, settings.backends)))
    words = ["video-restyle", str(settings.source), str(settings.target)]
    for each in command.params:
        if not hasattr(shown, name := each.name or "") or name in UNREPEATED:
            continue
        if (value := getattr(shown, name)) == getattr(DEFAULTS, name):
            continue
        for one in value if isinstance(value, tuple) else [value]:
            word = f"{one:g}" if isinstance(one, float) else str(one)
            words += [each.opts[0]] if one is True else [each.opts[0], word]
    return replace(settings, command=tuple(words))


def _is_given(name: str, context: click.Context | None = None) -> bool:
    """Return whether an option or argument was typed, not left to its default."""
    context = context or click.get_current_context()
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def main() -> None:
    """Run the command `video-restyle`."""
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
            signal.signal(number, signal.SIG_IGN)  # another would kill Python while it exits
        _end(
            "Interrupted. Finished slides are kept; run the command again to continue.", INTERRUPTED
        )
    except MemoryError:
        _end("Error: This machine has not enough memory left. Finished slides are kept.", 1)
    except OSError as error:
        if _is_closed_pipe(error):  # the reader, such as head, has stopped
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if (explained := from_system(error)) is None:
            raise
        _end(f"Error: {explained}", explained.exit_code)


def _is_closed_pipe(error: OSError) -> bool:
    """Return whether the reader of our pipe has closed it; Windows reports EINVAL."""
    closed = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
    return error.errno in closed and error.filename is None


def _end(message: str, exit_code: int) -> NoReturn:
    _flush()
    print_error(message)
    sys.exit(exit_code)


def _flush() -> None:
    """Print what other threads have logged."""
    for handler in log.handlers:
        handler.flush()


class _Ended(BaseException):
    """A signal has ended the run.

    Not KeyboardInterrupt: on that, click writes to the terminal, which may be closed.
    """


def _interrupted(number: int, frame: object) -> None:
    """End the run in good order; a second signal exits at once."""
    for each in _ENDINGS:
        signal.signal(each, lambda *_: os._exit(INTERRUPTED))
    raise _Ended


# Ctrl-C, kill, a closed terminal (not on Windows), and Ctrl-Break of Windows.
_ENDINGS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
]
