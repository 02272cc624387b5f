"""--finish: a model of windows works over the slides once they are drawn."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.comfy_server import ComfyServer, window_workflow
from support.comfy_server.windows import NOISE, OFF
from support.runs import Silent, files, interp, run

from stable_restyle.core.errors import WorkflowFault, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.media import png, sequence
from stable_restyle.run import dry_run, finish, finishing, pipeline, status

MakeFrames = Callable[..., Path]
SLIDES = 12  # two scenes of 9 and 3
WINDOWS = 4  # of 5 slides at most, 2 of which neighbours share at least: three over the first scene


def workflow(folder: Path, mode: str = "identity", name: str = "", **window: int) -> str:
    """Write a workflow that makes windows of the slides; return its path."""
    tree = window_workflow(mode)
    tree["stable-restyle"] |= {
        "window": window or {"step": 4, "plus": 1, "most": 5, "overlap": 2},
        "pictures": {"1": "known", "2": "known", "3": "known-mask"},
    }
    path = folder / f"{name or mode}.json"
    path.write_text(json.dumps(tree), "utf-8")
    return str(path)


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as started:
        yield started


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path, server: ComfyServer) -> Settings:
    (tmp_path / "interp").mkdir()
    (tmp_path / "interp" / "scenes.json").write_text("[0, 9, 12]")
    return Settings(
        make_frames(9, 3),
        tmp_path / "out",
        backends=(server.url,),
        frames_per_slide=1,
        guide=WARPED,
        fill_only=True,
        keys=9,
    )


def prompts(server: ComfyServer, asked: Settings) -> int:
    """Return how many prompts a run takes."""
    before = server.prompts_run
    run(asked)
    return server.prompts_run - before


def picture(folder: Path, slide: int) -> Pixels:
    return png.read(folder / sequence.name(slide))


def test_an_identity_leaves_slides_as_they_are(asked: Settings, server: ComfyServer) -> None:
    run(asked)
    drawn = files(asked.target)
    finished = replace(asked, finish=(workflow(asked.target.parent),))
    assert prompts(server, finished) == WINDOWS
    assert files(asked.target) == files(interp(asked) / "drawn") == drawn
    assert not (interp(asked) / "finish-1" / "windows").exists()
    assert status.is_finished(finished) and not status.is_finished(asked)
    assert prompts(server, finished) == 0


def test_windows_are_blended_where_they_overlap(
    asked: Settings,
    make_frames: MakeFrames,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The tests' model adds a colour of its own to each window, and noise."""
    monkeypatch.setattr(finishing, "APART", 0.5)
    (interp(asked) / "scenes.json").write_text("[0, 22, 27]")
    mix = workflow(tmp_path, "mix", step=4, plus=1, most=17, overlap=12)
    asked = replace(asked, source=make_frames(22, 5, name="long"), finish=(mix,))
    run(asked)
    steps = []
    for slide in range(27):
        off = picture(asked.target, slide) - picture(interp(asked) / "drawn", slide).astype(float)
        steps.append(off.mean(axis=(0, 1)))
        assert np.abs(off).max() <= OFF + NOISE + 1
    assert np.abs(steps[0] - steps[21]).max() > 2  # both windows of the scene are off otherwise
    assert np.abs(np.diff(steps[:22], axis=0)).max() <= 1
    film = film_of(asked)
    assert [each["windows"] for each in film["backends"]] == [3]
    assert (film["joins"], film["blends"]) == (0, 1)
    [[slide, in_all, by_slide]] = film["worst_blends"]
    assert slide == 5 and 1 < in_all <= 2 * (OFF + NOISE)
    assert by_slide == pytest.approx(in_all / 13, abs=0.01)
    assert ["Finish (--finish)", mix] in film["settings"]
    assert "at 1 of 1 join, neighbouring windows show the same slides differently" in caplog.text


def film_of(asked: Settings) -> Any:
    """Return what the report holds."""
    page = (interp(asked) / "report.html").read_text("utf-8")
    [held] = re.findall(r'<script id="film" type="application/json">(.*?)</script>', page)
    return json.loads(held)


def test_several_are_done_in_their_order(asked: Settings, server: ComfyServer) -> None:
    folder = asked.target.parent
    smooth, enlarge = workflow(folder, "mix"), workflow(folder, "twice as large")
    asked = replace(asked, finish=(smooth, enlarge))
    assert prompts(server, asked) > 2 * WINDOWS
    first, shown = interp(asked) / "finish-1", asked.target
    for slide in range(SLIDES):
        its = picture(first, slide)
        assert its.shape == (50, 66, 3)
        assert np.array_equal(picture(shown, slide), its.repeat(2, 0).repeat(2, 1))
    once, twice = files_of(first), files(shown)

    other = workflow(folder, name="other", step=4, plus=1, most=9, overlap=2)
    assert prompts(server, replace(asked, finish=(smooth, other))) == 2  # of that one alone
    assert files_of(first) == files(shown) == once
    assert prompts(server, replace(asked, finish=(smooth,))) == 0
    assert files(shown) == once and not files_of(first)
    assert prompts(server, asked) == WINDOWS
    assert (files_of(first), files(shown)) == (once, twice)
    drawn = files(interp(asked) / "drawn")
    assert prompts(server, replace(asked, finish=())) == 0
    assert files(shown) == drawn and not (interp(asked) / "drawn").exists()
    assert prompts(server, replace(asked, finish=(enlarge,))) == WINDOWS


def files_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in sequence.numbered(folder)}


def test_an_enlarged_film_is_joined_at_its_size(asked: Settings, tmp_path: Path) -> None:
    from stable_restyle.media.probe import probe_film

    target = tmp_path / "film.mkv"
    work = tmp_path / "film.restyle" / "interp"
    work.mkdir(parents=True)
    (work / "scenes.json").write_text("[0, 9, 12]")
    run(replace(asked, target=target, finish=(workflow(tmp_path, "twice as large"),)))
    film = probe_film(target)
    assert (film.width, film.height, film.frames) == (132, 100, SLIDES)


class StoppingIn(Silent):
    """Is interrupted once a task has done so much."""

    def __init__(self, name: str, after: int) -> None:
        super().__init__()
        self._name, self._after = name, after

    def advance(self, count: int) -> None:
        super().advance(count)
        if self.tasks[-1][0].startswith(self._name) and self.counted[-1] >= self._after:
            raise KeyboardInterrupt


@pytest.mark.long  # `soak.kills` has such a run
def test_a_run_that_is_stopped_goes_on(asked: Settings, tmp_path: Path) -> None:
    """It stops while slides are drawn and averaged, and while windows are made and blended."""
    both = workflow(tmp_path, "mix"), workflow(tmp_path, "twice as large")
    asked = replace(asked, deflicker=1, finish=both)
    calm = replace(asked, target=tmp_path / "calm" / "out")
    interp(calm).mkdir(parents=True)
    shutil.copy(interp(asked) / "scenes.json", interp(calm))
    run(calm)
    for name, after in (
        ("Drawing", 4),
        ("Deflickering", 4),
        ("Finishing with mix", 2),
        ("Blending", 4),
        ("Finishing with twice", 2),
        ("Blending", 8),
    ):
        stopping = StoppingIn(name, after)
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(asked, stopping)
            raise AssertionError(stopping.tasks)
    run(asked)
    assert files(asked.target) == files(calm.target)
    for folder in ("drawn", "unfinished", "finish-1"):
        assert files_of(interp(asked) / folder) == files_of(interp(calm) / folder)


def test_only_what_is_missing_is_made(asked: Settings, server: ComfyServer) -> None:
    asked = replace(asked, finish=(workflow(asked.target.parent, "mix"),))
    run(asked)
    whole = files(asked.target)
    (asked.target / sequence.name(0)).unlink()
    assert prompts(server, asked) == 1  # its window
    (asked.target / sequence.name(3)).unlink()
    assert prompts(server, asked) == 2  # two show it
    assert files(asked.target) == whole


def test_a_slide_drawn_again_is_finished_again(asked: Settings, server: ComfyServer) -> None:
    asked = replace(asked, keys=1, fill_only=False, finish=(workflow(asked.target.parent),))
    run(asked)
    before = files(asked.target)
    assert prompts(server, replace(asked, redo="11")) == 2  # the slide, and its scene's window
    changed = {name for name, its in files(asked.target).items() if its != before[name]}
    assert changed == {sequence.name(10)}


def test_servers_are_asked_for_windows_alone(asked: Settings, server: ComfyServer) -> None:
    """The model of the slides need not be there any more."""
    run(asked)
    with ComfyServer() as other:
        del other.classes["LoraLoader"]
        with pytest.raises(WorkflowFault):
            run(replace(asked, backends=(other.url,), redo="1"))
        its = (workflow(asked.target.parent),)
        asked = replace(asked, backends=(other.url,), finish=its)
        assert prompts(other, asked) == WINDOWS


def test_outside_of_the_part_slides_are_frames(asked: Settings, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    mask = np.zeros((50, 66, 3), np.uint8)
    mask[:, 33:] = 255
    for slide in range(SLIDES):
        png.write(masks / sequence.name(slide), mask)
    asked = replace(asked, only=masks, finish=(workflow(tmp_path, "mix"),))
    run(asked)
    for slide in (0, 8, 11):
        frame, made = picture(asked.source, slide), picture(asked.target, slide)
        assert np.array_equal(made[:, :33], frame[:, :33])
        assert not np.array_equal(made[:, 40:], frame[:, 40:])
    run(replace(asked, finish=(workflow(tmp_path, "twice as large"),)))
    assert picture(asked.target, 8).shape == (100, 132, 3)


@pytest.mark.parametrize(("mode", "said"), [("one too few", "4.*5"), ("mixed sizes", "160x128")])
def test_a_workflow_that_answers_wrongly_is_named(
    asked: Settings, server: ComfyServer, mode: str, said: str
) -> None:
    asked = replace(asked, finish=(workflow(asked.target.parent, mode),))
    with pytest.raises(WorkflowFault, match=said):
        run(asked)
    assert len(files(interp(asked) / "drawn")) == SLIDES  # nothing is lost
    assert prompts(server, replace(asked, finish=())) == 0


def test_the_plan_counts_windows(asked: Settings, server: ComfyServer) -> None:
    folder = asked.target.parent
    asked = replace(asked, finish=(workflow(folder), workflow(folder, "twice as large")))
    slides = dry_run.plan(replace(asked, finish=()), 2, Silent())
    planned = dry_run.plan(asked, 2, Silent())
    assert (planned.windows, planned.longest_window) == (2 * WINDOWS, 5)
    assert planned.drawings == slides.drawings + 2 * WINDOWS
    assert planned.drawing_s == pytest.approx((slides.drawing_s or 0) + 2 * 2 * (3 * 5 + 3))
    with pytest.raises(WrongUsage, match="at-most"):
        run(replace(asked, at_most=planned.drawings - 1))
    assert prompts(server, replace(asked, at_most=planned.drawings)) == planned.drawings
    assert dry_run.plan(asked, 2, Silent()).drawings == 0
    more = replace(asked, finish=(*asked.finish, asked.finish[0]))
    assert dry_run.plan(more, 2, Silent()).windows == WINDOWS


def test_a_workflow_must_load_slides(tmp_path: Path) -> None:
    path = tmp_path / "frames.json"
    tree = window_workflow("identity")
    tree["stable-restyle"]["pictures"] = {"1": "frames"}
    path.write_text(json.dumps(tree), "utf-8")
    asked = Settings(finish=(str(path),))
    with pytest.raises(WrongUsage, match=re.escape('{"1": "known"}')):
        finish.load(asked, frozenset(), {})
    del tree["stable-restyle"]["pictures"]
    for node in "23":
        del tree[node]
    tree["5"]["inputs"] = {"mode": "identity", "frames": ["1", 0], "length": 5}
    del tree["4"], tree["stable-restyle"]["numbers"]
    path.write_text(json.dumps(tree), "utf-8")
    assert finish.load(asked, frozenset(), {})["finish"].roles == {"known"}
