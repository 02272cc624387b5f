"""The help: options in groups. `-h` shows the daily ones, `--help` all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

IN_OUT = "Input and output"
STYLE = "Style"
SERVERS = "Servers"
STEADINESS = "Steadiness"
INSTEAD = "Instead of a run"
REPAIR = "Repair a run"
MESSAGES = "Messages"
GROUPS = (IN_OUT, STYLE, SERVERS, STEADINESS, INSTEAD, REPAIR, MESSAGES)
OF_ONE_COMMAND = (INSTEAD, REPAIR)  # groups of options that are for one command, not for a project

EXAMPLES = (
    "video-restyle film.mp4 film-clay.mp4 --backend preview",
    'video-restyle film.mp4 film-anime.mp4 --model anime.json --prompt "anime, night, rain"',
    "video-restyle film.mp4 film-clay.mp4 --backend http://gpu1:8188 --backend http://gpu2:8188",
    "video-restyle film.mp4 film-clay.mp4 --backend preview --redo 2,4-5",
)


class Option(click.Option):
    """An option in a group of the help.

    Flags of a project have a second name, `--no-...`, which the help leaves out.
    """

    def __init__(
        self, names: list[str], *, group: str, daily: bool = False, **attributes: Any
    ) -> None:
        """Make an option. daily: whether `-h` shows it; attributes: those of click."""
        self.group, self.daily = group, daily
        self.of_project = group not in OF_ONE_COMMAND and attributes.get("expose_value", True)
        if attributes.get("is_flag") and self.of_project:
            names = [f"{n}/--no-{n[2:]}" if n.startswith("--") else n for n in names]
        super().__init__(names, **attributes)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0].partition(" / ")[0], record[1])


def option(group: str, *names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Return a decorator that adds an option to a command."""
    return click.option(*names, cls=Option, group=group, **attributes)


def _show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_DAILY] = param is not _ALL
        click.echo(ctx.get_help())
        ctx.exit()


_DAILY = f"{__name__}.daily"
_SHOWN: Mapping[str, Any] = {
    "group": MESSAGES,
    "is_flag": True,
    "is_eager": True,
    "expose_value": False,
    "callback": _show,
}
_ALL = Option(["--help"], help="Show all options.", **_SHOWN)
daily_help = click.option(
    "-h", cls=Option, help="Show the options that are needed daily.", **_SHOWN
)


class Command(click.Command):
    """A command whose help shows options in groups."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        return _ALL if self.add_help_option else None

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            for example in EXAMPLES:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(ctx) if isinstance(each, Option)]
        groups = [(group, [each for each in options if each.group == group]) for group in GROUPS]
        if daily := ctx.meta.get(_DAILY):
            groups = [("Options", [each for each in options if each.daily])]
        for group, its in groups:
            records = [record for each in its if (record := each.get_help_record(ctx))]
            with formatter.section(group):
                formatter.write_dl(records)
        if daily:
            formatter.write(f"\n--help shows all {len(options)} options, in groups.\n")
