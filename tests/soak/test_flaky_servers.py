"""Draw a film on five servers that fail at random; `make soak` does so for an hour."""

from __future__ import annotations

from pathlib import Path
from random import Random
from secrets import randbits

from soak import flaky_servers


def test_five_servers_that_fail_at_random_draw_every_slide_once(tmp_path: Path) -> None:
    seed = randbits(32)
    print(f"seed {seed}")
    film = flaky_servers.make_film(tmp_path, 9, 14, 5, 12)
    before = flaky_servers.threads_and_handles()
    with flaky_servers.short_waits():
        flaky = flaky_servers.draw_with_failures(film, tmp_path / "work" / "out", Random(seed))
    assert flaky.failures.total() > 0
    assert flaky_servers.threads_and_handles() == before
