"""--set over scenes, frames and times: which slides get which value."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from support import clips
from support.comfy_server import ComfyServer
from support.runs import files, run

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.overrides import apply_overrides
from stable_restyle.core.errors import UnusableInput, WorkflowFault, WrongUsage
from stable_restyle.core.settings import Settings
from stable_restyle.plan import scenes
from stable_restyle.run import status

CLAY = workflow_file.load("claymation.json")
FILM = scenes.find_scenes([0, 10, 20], 2)  # slides 0-4 and 5-9, each shows an even frame


def changes_of(*typed: str) -> dict[int, list[str]]:
    """Return the changes of each slide in a film of 20 frames, 10 a second, 2 a slide."""
    return apply_overrides(CLAY, None, typed).slide_changes(FILM, 2, 20, Fraction(10))


@pytest.mark.parametrize(
    "typed, expected",
    [
        ("f3-7:10.cfg=5", {1: "5", 2: "5", 3: "5"}),
        ("f4:10.cfg=5", None),  # no slide shows frame 4
        ("f1-3,19-20:10.cfg=1..2", {0: "1", 1: "2", 9: "1"}),
        ("00:00.5-00:01:10.cfg=3", {3: "3", 4: "3", 5: "3"}),
        ("0:00:01-0:00:01.3:10.cfg=3..4", {5: "3", 6: "4"}),
        ("2:10.cfg=1..3", {5: "1", 6: "1.5", 7: "2", 8: "2.5", 9: "3"}),
        ("f1-9:10.steps=20..22", {0: "20", 1: "20", 2: "21", 3: "22", 4: "22"}),
        ("f1-3:5.text_g=a..b", {0: "a..b", 1: "a..b"}),
        ("f1-3:10.cfg=1.2345678..7", {0: "1.2345678", 1: "7"}),
        (
            "f1-5:10.noise_seed=1..18446744073709551615",
            {0: "1", 1: "9223372036854775808", 2: "18446744073709551615"},
        ),
    ],
)
def test_which_slides_get_which_value(typed: str, expected: dict[int, str] | None) -> None:
    if expected is None:
        with pytest.raises(WrongUsage, match="no slide shows any of this"):
            changes_of(typed)
        return
    target = typed.partition("=")[0].rpartition(":")[2]
    assert changes_of(typed) == {slide: [f"{target}={v}"] for slide, v in expected.items()}


def test_a_range_without_a_place_is_spread_over_the_film() -> None:
    found = changes_of("10.cfg=0..9")
    assert [found[slide] for slide in (0, 1, 9)] == [["10.cfg=0"], ["10.cfg=1"], ["10.cfg=9"]]


def test_changes_of_a_slide_are_made_in_order() -> None:
    assert changes_of("f1-1:10.cfg=5", "f1-3:10.cfg=6")[0] == ["10.cfg=5", "10.cfg=6"]


@pytest.mark.parametrize(
    "typed, message",
    [
        ("f0-3:10.cfg=5", "'0-3' is not a frame"),
        ("f7-3:10.cfg=5", "'7-3' is not a frame"),
        ("f1-21:10.cfg=5", "the film has 20 frames in 2 scenes, 2.0 s"),
        ("00:01-00:03:10.cfg=5", None),
        ("00:02-00:03:10.cfg=5", "no slide shows any of this"),
        ("f21-22:10.cfg=5", "no slide shows all of this"),
        ("00:01-00:01:10.cfg=5", "does not end after its beginning"),
        ("3:10.cfg=1..2", "the film has 20 frames in 2 scenes"),
        ("f1-3:99.cfg=5", "has no such node"),
        ("f1-3:10.cfg=high", "it takes a number"),
        ("f1-3:10.other=5", "has no value of that name"),
    ],
)
def test_what_cannot_be_set(typed: str, message: str | None) -> None:
    if message is None:
        assert list(changes_of(typed)) == [5, 6, 7, 8, 9]  # an end past the film's is the film's
        return
    with pytest.raises(WrongUsage, match=message):
        changes_of(typed)


def test_a_node_whose_id_has_a_colon_is_no_place() -> None:
    nodes = {**CLAY.nodes, "3:10": CLAY.nodes["10"]}
    variants = apply_overrides(replace(CLAY, nodes=nodes), None, ["3:10.cfg=2"])
    assert variants.base.nodes["3:10"]["inputs"]["cfg"] == 2 and not variants.timed


def test_values_over_time_reach_the_server_and_are_guarded_slide_by_slide(tmp_path: Path) -> None:
    frames = clips.write_folder(tmp_path / "in", clips.scenes(12))
    seen: dict[float, int] = {}
    with ComfyServer() as server:
        settings = Settings(
            frames,
            tmp_path / "out",
            backends=(server.url,),
            changes=("f1-12:10.cfg=1..6",),
            motion="codec",
        )
        run(settings)
        for entry in server.prompts:
            cfg = entry["10"]["inputs"]["cfg"]
            seen[cfg] = seen.get(cfg, 0) + 1
        assert seen == dict.fromkeys((1, 2, 3, 4, 5, 6), 1)
        before = files(tmp_path / "out")
        assert run(settings).drawn == 0
        other = replace(settings, changes=("f1-10:10.cfg=1..5", "f11-12:10.cfg=9"))
        with pytest.raises(UnusableInput, match=r"--set over time, first at 000006.png: 10.cfg=6"):
            run(other)
        assert files(tmp_path / "out") == before
        assert run(replace(other, fresh=True)).drawn == 1  # the last slide of its chain
        after = files(tmp_path / "out")
        assert {name for name in after if after[name] != before[name]} == {"000006.png"}


def test_values_over_time_that_a_server_refuses_are_found_before_the_run(tmp_path: Path) -> None:
    frames = clips.write_folder(tmp_path / "in", clips.scenes(12))
    with ComfyServer() as server:
        settings = Settings(frames, tmp_path / "out", backends=(server.url,))
        with pytest.raises(WorkflowFault, match=r"cfg is 900, but must be 0\.0 to 100\.0"):
            run(replace(settings, changes=("f9-12:10.cfg=5..900",)))
        assert not server.prompts_run


def test_a_run_with_other_values_over_time_is_not_finished(tmp_path: Path) -> None:
    frames = clips.write_folder(tmp_path / "in", clips.scenes(12))
    settings = Settings(
        frames, tmp_path / "out", backends=("preview:clay",), changes=("f1-12:10.cfg=1..6",)
    )
    run(settings)
    assert status.is_finished(settings)
    assert not status.is_finished(replace(settings, changes=("f1-12:10.cfg=1..7",)))


def test_what_is_past_the_end_is_refused_before_a_film_is_split(tmp_path: Path) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(12))
    for changes in ("f99-100:10.cfg=1", "01:00-02:00:10.cfg=1"):
        settings = Settings(film, tmp_path / "out.mp4", backends=("preview",), changes=(changes,))
        with pytest.raises(WrongUsage, match="past the end of the film"):
            run(settings)
    assert not list(tmp_path.glob("out.restyle/in"))
