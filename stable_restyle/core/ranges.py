"""Parse the lists of numbers that options take."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stable_restyle.core.errors import WrongUsage

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_NUMBER_MAX = 1_000_000  # a film of 999,999 frames has no more scenes or slides


def parse_ranges(listed: str, option: str, what: str) -> Sequence[int]:
    """Parse numbers such as "3,5-7", counted from 1. Raises WrongUsage; `what` names them."""
    found: set[int] = set()
    for part in listed.split(","):
        match = _RANGE.fullmatch(part.strip())
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else 0
        if not 0 < first <= last <= _NUMBER_MAX:
            raise WrongUsage(
                f"{option}: {part.strip()!r} is not a {what}; write 3,5-7, counted from 1."
            )
        found.update(range(first, last + 1))
    return sorted(found)
