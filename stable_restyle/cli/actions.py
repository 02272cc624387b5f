"""The options of one command: something else than a run, repairs of a run, and messages."""

from __future__ import annotations

import click

from stable_restyle.cli.help import INSTEAD, MESSAGES, REPAIR, Option, daily_help, option
from stable_restyle.cli.types import AnyPath, Number, Numbers

ACTIONS = (
    option(
        REPAIR,
        "--fresh",
        daily=True,
        is_flag=True,
        help="Start over: discard the slides of an earlier run, then draw.",
    ),
    option(
        REPAIR,
        "--redo",
        daily=True,
        type=Numbers(),
        metavar="SLIDES",
        default="",
        help="Draw these slides again, such as 12,40-46, with a new seed or that of --seed. The "
        "earlier ones are kept in redone/ in the working folder.",
    ),
    option(
        REPAIR,
        "--redo-chain",
        is_flag=True,
        help="With --redo: also draw the slides again that follow these in their chains.",
    ),
    option(
        INSTEAD,
        "--report",
        is_flag=True,
        help="Only write the report page, report.html in the working folder, as things are now; "
        "works during a run too.",
    ),
    option(
        INSTEAD,
        "--dry-run",
        daily=True,
        is_flag=True,
        help="Show scenes, slides and chains; write nothing.",
    ),
    option(
        INSTEAD,
        "--seconds",
        type=Number(0, min_open=True),
        metavar="S",
        help="With --dry-run: estimate the time if each slide takes S seconds on each backend.",
    ),
    option(
        INSTEAD,
        "--check",
        daily=True,
        is_flag=True,
        help="Only check every backend: draw a small slide and show what is missing there.",
    ),
    option(
        INSTEAD,
        "--measure",
        is_flag=True,
        help="Only measure how steady the slides of a run are, and save that in measure.json in "
        "the working folder. Settings and scenes are those of the run.",
    ),
    option(
        INSTEAD,
        "--batch",
        daily=True,
        type=AnyPath(),
        metavar="FILE",
        help="Restyle the films of a list, one per line: SOURCE TARGET -- OPTIONS. Options given "
        "here apply to all films; those of a line take precedence. Finished films are skipped.",
    ),
    option(MESSAGES, "-v", "--verbose", is_flag=True, help="Show more messages."),
    option(MESSAGES, "-q", "--quiet", is_flag=True, help="Show only warnings and errors."),
    click.version_option(
        cls=Option,
        group=MESSAGES,
        package_name="stable-restyle",
        message="%(prog)s %(version)s",
        help="Show the version.",
    ),
    daily_help,
)
