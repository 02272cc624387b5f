"""Five servers failing at random for a film; `make soak` goes on for an hour."""

from __future__ import annotations

from pathlib import Path
from random import Random
from secrets import randbits

from soak import trouble


def test_five_servers_that_fail_at_random_draw_every_slide_once(tmp_path: Path) -> None:
    seed = randbits(32)
    print(f"seed {seed}")
    film = trouble.film(tmp_path, 9, 14, 5, 12)
    before = trouble.threads_and_handles()
    with trouble.hurried():
        met = trouble.run_in_trouble(film, tmp_path / "work" / "out", Random(seed))
    assert met.met.total() > 0
    assert trouble.threads_and_handles() == before
