"""Draw a film with a scene for every frame, and one long scene; `make soak` draws longer ones."""

from __future__ import annotations

from pathlib import Path

from soak import long_films


def test_a_scene_for_every_frame(tmp_path: Path) -> None:
    assert long_films.one_frame_a_scene(tmp_path, 300) <= long_films.MEMORY_MB


def test_one_long_scene(tmp_path: Path) -> None:
    assert long_films.one_scene(tmp_path, 1000, 10) <= long_films.MEMORY_MB
