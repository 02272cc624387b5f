"""Write docs/options.md from the command line: `make options`. A test holds the file equal."""

from __future__ import annotations

import re
from inspect import cleandoc

import click
from support import paths

from stable_restyle.cli import help
from stable_restyle.cli.main import command

PAGE = paths.ROOT / "docs" / "options.md"
HEAD = """# Options

`video-restyle [OPTIONS] [SOURCE] [TARGET]`. `make options` writes this page from its help.
`video-restyle -h` shows the options that are needed daily, `--help` all of them, in these groups.
Settings of a project can also stand [in a file](command-line.md#settings-in-a-file).

"""
TABLE = "| option | default | what it does |\n| --- | --- | --- |\n"

_BRACKET = re.compile(r"\s*\[([^\[\]]*[^\[\]\s])\]\s*$")
_RANGE = re.compile(r"(?P<least>[\d.]+<=?)?x(?P<bound>[<>]=?[\d.]+)?")
_IN_WORDS = {">=": "at least ", ">": "more than ", "<=": "at most ", "<": "less than "}


def page() -> str:
    """Return the whole page, in Markdown."""
    context = click.Context(command, info_name="video-restyle")
    about = re.sub(r" {2,}", " ", cleandoc(command.help or "").replace("\b\n", ""))
    options = [each for each in command.get_params(context) if isinstance(each, help.Option)]
    tables = (
        "".join([f"\n## {group}\n\n{TABLE}", *(_row(each, context) for each in its)])
        for group in help.GROUPS
        if (its := [each for each in options if each.group == group])
    )
    return f"{HEAD}{about}\n{''.join(tables)}"


def _row(option: click.Option, context: click.Context) -> str:
    """Return the row of an option; what its help holds in brackets at its end has a column."""
    names, text = option.get_help_record(context) or ("", "")
    default, allowed = "", ""
    while bracket := _BRACKET.search(text):
        text = text[: bracket.start()]
        *rest, last = bracket[1].split("; ")
        if _RANGE.fullmatch(last):
            allowed = f" {_in_words(last)}."
        else:
            rest.append(last)
        default = "; ".join(rest).removeprefix("default: ") or default
    return f"| `{_cell(names)}` | {_cell(default)} | {_cell(text)}{allowed} |\n"


def _in_words(bounds: str) -> str:
    """Return what click writes as "0<=x<=8" in words: "0 to 8"."""
    least, _, most = bounds.partition("<=x<=")
    if most:
        return f"{least} to {most}"
    sign, number = re.fullmatch(r"x([<>]=?)(.*)", bounds, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{_IN_WORDS[sign]}{number}".capitalize()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
