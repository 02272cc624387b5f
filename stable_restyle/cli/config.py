"""Settings of a project in a file: `restyle.toml` in the current folder, or that of --config.

Its names are those of the options. What is typed wins; click asks for the rest here.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from stable_restyle.cli.help import IN_OUT, Option
from stable_restyle.cli.types import AnyPath, Number, Rate
from stable_restyle.core.errors import UnusableInput, WrongUsage, cannot_read
from stable_restyle.core.settings import MOTIONS

FILE = "restyle.toml"
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True)
class Config:
    """The settings of a file."""

    path: Path | None = None  # None: there is no file
    named: bool = False  # by --config
    values: Mapping[str, Any] = field(default_factory=dict)  # by the name of their parameter


NO_CONFIG = Config()


def _load(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if not ctx.resilient_parsing:
        ctx.obj = read(value, ctx)
        ctx.default_map = dict(ctx.obj.values)


config_option = click.option(
    "--config",
    cls=Option,
    group=IN_OUT,
    type=AnyPath(),
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_load,
    help="Take settings from a TOML file, under the names of these options; what is typed wins.  "
    f"[default: {FILE} in the current folder, if it is there]",
)


def read(path: Path | None, ctx: click.Context) -> Config:
    """Return the settings of a file; without a path those of `restyle.toml`, if there is one.

    Raises WrongUsage naming everything in it that cannot be used, UnusableInput if it cannot be
    read.
    """
    if path is None and not os.path.lexists(FILE):
        return NO_CONFIG
    if path is None and not os.path.isfile(FILE):  # a pipe would be waited for
        raise UnusableInput(
            f"{FILE} is not a file, but settings would be read from it.\n"
            "Move it away, or name another file with --config."
        )
    file = path or Path(FILE)
    known = {_name(each): each for each in ctx.command.params if each.name}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in _parse(file).items():
        try:
            param = _known(key, known)
            values[param.name or ""] = _checked(param, value, ctx, found=path is None)
        except ValueError as fault:
            faults.append(f"\n  {key}: {fault}")
    if faults:
        raise WrongUsage(
            f"{file} cannot be used:{''.join(faults)}\nCorrect it and run the command again."
        )
    return Config(file, path is not None, values)


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except OSError as error:
        raise cannot_read(file, error) from error
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise WrongUsage(
            f'{file} is no TOML: {why}.\nWrite a line for each setting, such as prompt = "clay".'
        ) from error


def _name(param: click.Parameter) -> str:
    return max(param.opts, key=len).lstrip("-")


def _known(key: str, known: Mapping[str, click.Parameter]) -> click.Parameter:
    """Return the parameter of a name. Raises ValueError if it is unknown, or for one command."""
    param = known.get(key)
    if param is None:
        usable = [name for name, each in known.items() if _is_of_project(each)]
        nearest = difflib.get_close_matches(key, usable, 1)
        hint = f" Did you mean {nearest[0]}?" if nearest else " `video-restyle --help` lists them."
        raise ValueError(f"there is no such setting.{hint}")
    if not _is_of_project(param):
        raise ValueError("this is for one command: write it on the command line.")
    return param


def _is_of_project(param: click.Parameter) -> bool:
    return isinstance(param, click.Argument) or (isinstance(param, Option) and param.of_project)


def _checked(param: click.Parameter, value: object, ctx: click.Context, *, found: bool) -> object:
    """Return a value as click takes it. found: whether no one named the file.

    Raises ValueError for another type, or a value that the option refuses.
    """
    kinds = _kinds(param)
    listed = value if isinstance(value, list) and param.multiple else [value]
    if not all(type(each) in kinds for each in listed):
        wanted = _WORDS[kinds[0]]
        wrong = next(each for each in listed if type(each) not in kinds)
        raise ValueError(f"it must be {wanted}, not {_WORDS.get(type(wrong), 'a date or a time')}.")
    typed = [str(each) if isinstance(param.type, Rate) else each for each in listed]
    if param.name == "motion" and found and value not in MOTIONS:
        raise ValueError(
            f"a program is started only if --motion or the file of --config names it, not {FILE}."
        )
    try:
        for each in typed:
            param.type(each, param, ctx)
    except click.BadParameter as error:
        raise ValueError(error.message) from error
    return typed if param.multiple else typed[0]


def _kinds(param: click.Parameter) -> tuple[type, ...]:
    """Return the types of TOML that a parameter takes; the first is the one to name."""
    if isinstance(param, click.Option) and param.is_flag:
        return (bool,)
    if isinstance(param.type, click.IntRange):
        return (int,)
    if isinstance(param.type, Number):
        return (float, int)
    return (float, int, str) if isinstance(param.type, Rate) else (str,)


def check_servers(values: Mapping[str, Any], ctx: click.Context) -> None:
    """Raise WrongUsage if servers of a file that no one named would get secrets from elsewhere.

    Such a file may have come with a film, from the Internet.
    """
    config: Config = ctx.obj
    if config.named or ctx.get_parameter_source("backends") is not ParameterSource.DEFAULT_MAP:
        return
    headers = {*values["headers"]} - {*config.values.get("headers", ())}
    key = values["api_key"] and any("comfy-api" in each for each in values["backends"])
    if headers or key:
        raise WrongUsage(
            f"{FILE} names the servers, which would get a header or a key that stands elsewhere.\n"
            f"If you trust it, name the file, --config {FILE}, or its servers with --backend."
        )


def used_settings(ctx: click.Context) -> Iterable[str]:
    """Return the settings that come from the file."""
    for each in ctx.command.params:
        if each.name and ctx.get_parameter_source(each.name) is ParameterSource.DEFAULT_MAP:
            yield _name(each)
