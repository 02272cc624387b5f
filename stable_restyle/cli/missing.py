"""What may have been meant where SOURCE is not there."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from stable_restyle.cli.help import EXAMPLES
from stable_restyle.core.errors import UnusableInput
from stable_restyle.media import naming


def check_source(source: Path, *, typed: bool) -> None:
    """Raise UnusableInput if SOURCE is not there and it is clear what to type.

    typed: whether it was named, or is the default. Others are refused by the run, which knows more.
    """
    source, _ = naming.located(source)  # of a pattern, the folder
    if os.path.lexists(source):
        return
    if not typed:
        examples = "\n".join(f"  {each}" for each in EXAMPLES[:2])
        raise UnusableInput(
            f"Which film? None is named, and there is no {source}, the folder of frames that is "
            f"used then.\nName a film or a folder of frames, and what it becomes:\n{examples}\n"
            "`video-restyle -h` shows more."
        )
    if str(source).lower() in ("help", "?", "/?"):
        raise UnusableInput(f"There is no {source}.\nFor help, type `video-restyle --help`.")
    if nearest := _nearest(source):
        raise UnusableInput(f"There is no {source}.\nDid you mean {nearest}?")


def _nearest(path: Path) -> Path | None:
    """Return the path in the same folder with the most similar name; None if none is similar."""
    try:
        found = difflib.get_close_matches(path.name, os.listdir(path.parent), 1)
    except (OSError, ValueError):
        return None
    return path.with_name(found[0]) if found else None
