"""A scene for every frame, and one long scene; `make soak` takes longer ones."""

from __future__ import annotations

from pathlib import Path

from soak import longfilms


def test_a_scene_for_every_frame(tmp_path: Path) -> None:
    assert longfilms.one_frame_a_scene(tmp_path, 300) <= longfilms.MEMORY_MB


def test_one_scene_without_an_end(tmp_path: Path) -> None:
    assert longfilms.one_scene(tmp_path, 1000, 10) <= longfilms.MEMORY_MB
