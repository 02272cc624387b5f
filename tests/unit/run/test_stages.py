"""Where the slides of each stage are: after any change of options, and when a move is stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import permutations
from pathlib import Path

import pytest

from stable_restyle.core import files
from stable_restyle.media import sequence
from stable_restyle.run import stages
from stable_restyle.run.stages import Wanted
from stable_restyle.workdir.layout import RunPaths

SLIDES = 3
KINDS = [
    Wanted(0, (0, SLIDES), None, ()),
    Wanted(2, (0, SLIDES), None, ()),
    Wanted(0, (0, SLIDES), None, ("a",)),
    Wanted(0, (0, SLIDES), None, ("a", "b")),
    Wanted(0, (0, SLIDES), None, ("c", "b")),
    Wanted(2, (0, SLIDES), None, ("a", "b")),
]


def contents(wanted: Wanted) -> list[str]:
    """Return what a slide of each stage says: all that was done to it."""
    done = ["drawn"]
    if wanted.reach:
        done.append(f"drawn {wanted.reach}")
    for digest in wanted.finishes:
        done.append(f"{done[-1]} {digest}")
    return done


def make(paths: RunPaths, wanted: Wanted) -> None:
    """Do as a run does: settle, then make the slides that are missing."""
    stages.finish_move(paths)
    for folder, content in zip(stages.settle(paths, wanted), contents(wanted), strict=True):
        folder.mkdir(exist_ok=True)
        for slide in range(SLIDES):
            path = folder / sequence.name(slide)
            if not path.exists():
                path.write_text(content)
            assert path.read_text() == content


def run_paths(folder: Path) -> RunPaths:
    paths = RunPaths(None, folder, folder / "interp", folder / "out", folder / "out", None)
    for each in (paths.interp, paths.shown):
        each.mkdir(parents=True)
    return paths


@pytest.mark.parametrize(("before", "after"), [*permutations(range(len(KINDS)), 2)])
def test_slides_that_still_hold_are_kept(before: int, after: int, tmp_path: Path) -> None:
    paths = run_paths(tmp_path)
    make(paths, KINDS[before])
    found = stages.find(paths, KINDS[after])
    settled = stages.settle(paths, KINDS[after])
    was, now = contents(KINDS[before]), contents(KINDS[after])
    for number, folder in enumerate(settled):
        kept = was[: number + 1] == now[: number + 1]
        assert (found[number] is not None) == kept
        assert len(sequence.numbered(folder)) == (SLIDES if kept else 0)
    make(paths, KINDS[after])


@pytest.mark.parametrize(("before", "after"), [*permutations(range(len(KINDS)), 2)])
def test_a_move_that_is_stopped_goes_on(
    before: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it, the run may also go back to what it was."""
    monkeypatch.setattr(files, "sync", lambda _: None)  # a hundred times as fast
    for back, count in ((False, 0), (True, 1), (False, 2), (True, 4), (False, 7)):
        paths = run_paths(tmp_path / f"{back} {count}")
        make(paths, KINDS[before])
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            _stop_after(count, patch)
            stages.settle(paths, KINDS[after])
        make(paths, KINDS[before if back else after])
        make(paths, KINDS[after])


def _stop_after(count: int, patch: pytest.MonkeyPatch) -> None:
    """Interrupt what moves and removes files, once it has done so this often."""
    left = [count]

    def stopping(act: Callable[..., None]) -> Callable[..., None]:
        def may_stop(*paths: Path) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            act(*paths)

        return may_stop

    for name in ("replace", "remove", "remove_tree"):
        patch.setattr(files, name, stopping(getattr(files, name)))
