"""Which options exclude each other, and which need another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from click.core import ParameterSource

from stable_restyle.cli.options import DEFAULTS

# What a command can do instead of a run, in the order of the messages.
MODES = ("check", "measure", "dry_run", "report", "batch")
EXCLUSIVE = (
    (*MODES, "redo"),
    ("redo", "fresh"),
    ("only", "only_not"),
    ("fill", "fill_only", "drawn"),
    ("verbose", "quiet"),
)
FROM_FILE = ParameterSource.DEFAULT_MAP
NEEDED = {"seconds": "dry_run", "redo_chain": "redo"}


def is_typed(name: str, context: click.Context) -> bool:
    """Return whether an option or argument was typed, not left to its default or to a file."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def settle(values: Mapping[str, Any], context: click.Context) -> dict[str, Any]:
    """Return the values without what the file says against what is typed.

    With --redo, --seed is the seed of the slides to draw again, so that of the file is not meant.
    """
    in_file = (name for name in values if context.get_parameter_source(name) is FROM_FILE)
    settled = {**values, **_defaults(_excluded(context).intersection(in_file))}
    if values["redo"] and not is_typed("seed", context):
        settled["seed"] = DEFAULTS.seed
    return settled


def of_line(context: click.Context) -> dict[str, Any]:
    """Return what a line of a list says, and defaults for what that excludes."""
    typed = {name: its for name, its in context.params.items() if is_typed(name, context)}
    return {**_defaults(_excluded(context).intersection(context.params)), **typed}


def _excluded(context: click.Context) -> set[str]:
    """Return what is not typed, but excluded by what is."""
    return {
        name
        for group in EXCLUSIVE
        if any(context.params.get(each) and is_typed(each, context) for each in group)
        for name in group
        if not is_typed(name, context)
    }


def _defaults(names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(DEFAULTS, name, False) for name in names}


def check(values: Mapping[str, Any], context: click.Context) -> None:
    """Raise UsageError for all options that exclude each other, or need one that is absent."""
    if faults := list(_faults(values, context)):
        raise click.UsageError("\n".join(faults))


def _faults(values: Mapping[str, Any], context: click.Context) -> Iterator[str]:
    named = {each.name: each for each in context.command.params}
    for group in EXCLUSIVE:
        if len(given := [named[name].opts[-1] for name in group if values[name]]) > 1:
            yield f"{', '.join(given[:-1])} and {given[-1]} exclude each other: give one of them."
    for name, needed in NEEDED.items():
        if values[name] and not values[needed]:
            yield f"{_as_typed(named[name])} goes with {_as_typed(named[needed])}."
    if values["fill"] and values["keys"] == 1:
        yield "--fill WORKFLOW makes the slides between keys: add --keys K."
    if values["seconds"] and not values["backends"]:
        yield "--seconds S needs to know the backends: add --backend."
    if values["batch"] and (is_typed("source", context) or is_typed("target", context)):
        yield "--batch FILE names the films: write SOURCE and TARGET in its lines."


def _as_typed(option: click.Parameter) -> str:
    """Return an option with its placeholder: "--seconds S"; a flag has none."""
    return f"{option.opts[-1]} {option.metavar or ''}".rstrip()
