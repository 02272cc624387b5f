"""Entry point of the command line: run what the options ask for.

Nothing heavy is imported before a run begins, so that `--help` answers at once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import click

from stable_restyle.cli import combinations, exits, tables
from stable_restyle.cli.config import NO_CONFIG, Config, check_servers, used_settings
from stable_restyle.cli.console import Console, visible
from stable_restyle.cli.help import Command
from stable_restyle.cli.missing import check_source
from stable_restyle.cli.options import DEFAULTS, HEADERS_VARIABLE, options, split_backends
from stable_restyle.core.errors import NoBackendLeft, WrongUsage
from stable_restyle.core.settings import API_KEY_VARIABLE, BACKENDS_VARIABLE, Settings

SETTINGS = {each.name for each in fields(Settings)}
NOT_IN_RESUME_COMMAND = ("source", "target", "seed", "headers", "fresh", "redo", "redo_chain")

log = logging.getLogger("stable_restyle")


@dataclass(frozen=True)
class Invocation:
    """What was asked for on the command line."""

    settings: Settings
    console: Console
    values: Mapping[str, Any]  # of all options and arguments, by parameter name
    config: Config


def check(asked: Invocation) -> None:
    """Print what each backend can do. Raises NoBackendLeft if none can draw the run."""
    from stable_restyle.run import status

    checks = status.check_backends(asked.settings)
    click.echo(visible("\n".join(tables.describe_backend(each) for each in checks)))
    if all(each.fault for each in checks):
        raise NoBackendLeft("No server can render this. Fix the problems above and try again.")


def measure(asked: Invocation) -> None:
    """Print how steady the slides are."""
    from stable_restyle.run.measurement import measure_run

    measured = measure_run(asked.settings, asked.console)
    click.echo(visible(tables.describe_measurement(measured)))


def dry_run(asked: Invocation) -> None:
    """Print what a run would draw."""
    from stable_restyle.run.dry_run import plan

    planned = plan(asked.settings, asked.values["seconds"], asked.console)
    click.echo(visible(tables.describe_plan(planned)))


def report(asked: Invocation) -> None:
    """Write the report page, and print its path."""
    from stable_restyle.run.reporting import write_report

    click.echo(visible(str(write_report(asked.settings, asked.console))))


def run_batch(asked: Invocation) -> None:
    """Restyle the films of a list, with the options given here and those of each line."""
    from stable_restyle.run import batch

    per_film = SETTINGS - {"redo", "redo_chain", "dask"}
    params = [each for each in command.params if each.name in per_film]
    line = click.Command("line", params=params, add_help_option=False)

    def parse_line(source: str, target: str, words: Sequence[str]) -> Settings:
        try:
            context = line.make_context("line", [*words, "--", source, target])
        except click.ClickException as error:
            raise WrongUsage(error.format_message()) from error
        its = combinations.of_line(context)
        return with_command(replace(asked.settings, **its), asked.config)

    films = batch.read(asked.values["batch"], parse_line)
    batch.run(films, asked.console, lambda outcome: log.info(tables.summary(outcome)))


def run(asked: Invocation) -> None:
    """Restyle one film, unless it is finished."""
    from stable_restyle.run import pipeline, status

    if status.is_finished(asked.settings):
        log.info("%s is finished, and nothing has changed since.", asked.settings.target)
    else:
        log.info(tables.summary(pipeline.run(asked.settings, asked.console)))


# Options that ask for something other than a run of one film.
MODES: Mapping[str, Callable[[Invocation], None]] = {
    "check": check,
    "measure": measure,
    "dry_run": dry_run,
    "report": report,
    "batch": run_batch,
}


@click.command(cls=Command, context_settings={"max_content_width": 100})
@options
def command(**typed: Any) -> None:
    """Restyle a film with Stable Diffusion.

    SOURCE is a folder of numbered frames [default: in], a pattern of their names such as
    frames/shot_%04d.jpg, or a film. TARGET is a folder for the slides [default: out] or a film,
    which keeps the sound (.mp4, .mkv, .mov, .webm, .avi, .ts) or is silent (.gif, .webp). To resume
    a run that was stopped, run the same command again.

    \b
    Exit codes: 0 all slides are drawn; 1 some are missing; 2 wrong usage; 3 unusable input;
    4 no backend is left; 130 interrupted.
    """
    context = click.get_current_context()
    values = combinations.settle(_with_environment(typed), context)
    combinations.check(values, context)
    check_servers(values, context)
    console = Console(verbose=values["verbose"], quiet=values["quiet"])
    config: Config = context.obj
    if used := list(used_settings(context)):
        log.info("Settings from %s: %s.", config.path, ", ".join(used))
    settings = Settings(**{name: value for name, value in values.items() if name in SETTINGS})
    mode = next((name for name in combinations.MODES if values[name]), "")
    if mode not in ("check", "batch"):
        check_source(settings.source, typed=settings.source != DEFAULTS.source)
    if line := tables.announcement(settings, mode, values["batch"]):
        log.info("%s", line)
    MODES.get(mode, run)(Invocation(with_command(settings, config), console, values, config))


def with_command(settings: Settings, config: Config = NO_CONFIG) -> Settings:
    """Return settings with the command that resumes their run and shows no secrets.

    It says everything that `config` does too, since that file may be edited.
    """
    from stable_restyle.backends.connect import public_name

    shown = replace(settings, backends=tuple(map(public_name, settings.backends)))
    words = ["video-restyle", str(settings.source), str(settings.target)]
    if config.named:
        words += ["--config", str(config.path)]
    for each in command.params:
        if (name := each.name or "") not in SETTINGS.difference(NOT_IN_RESUME_COMMAND):
            continue
        value = getattr(shown, name)
        if value is None or (value == getattr(DEFAULTS, name) and name not in config.values):
            continue
        for one in value if isinstance(value, tuple) else [value]:
            word = f"{one:g}" if isinstance(one, float) else str(one)
            names = each.secondary_opts if one is False else each.opts
            words += names[:1] if isinstance(one, bool) else [each.opts[0], word]
    return replace(settings, command=tuple(words))


def main() -> None:
    """Run the command `video-restyle`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be Unicode
    with exits.handled():
        command.main(standalone_mode=False, windows_expand_args=False)


def _with_environment(typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with those of environment variables, and remove these variables.

    Programs that we start must not see them: they may hold secrets.
    """
    backends, headers, api_key = (
        os.environ.pop(name, "") for name in (BACKENDS_VARIABLE, HEADERS_VARIABLE, API_KEY_VARIABLE)
    )
    listed = [backend for each in typed["backends"] for backend in split_backends(each)]
    lines = [line.strip() for line in headers.splitlines()]
    return {
        **typed,
        "backends": tuple(listed or filter(None, split_backends(backends))),
        "headers": (*filter(None, lines), *typed["headers"]),
        "api_key": api_key.strip(),
    }
