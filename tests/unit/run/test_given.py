"""--given: the user's own pictures are slides, and scenes start from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.comfy_server import ComfyServer, Run
from support.paths import WORKFLOWS
from support.runs import Silent, files, interp, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.records import Keys, Pixels
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.media import png, sequence
from stable_restyle.media.probe import probe_film
from stable_restyle.plan import scenes
from stable_restyle.run import reporting, status
from stable_restyle.run.dry_run import plan

MakeFrames = Callable[..., Path]
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@given(LENGTHS, st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)), st.booleans())
@settings(deadline=None)
def test_every_slide_is_made_once_after_what_it_is_made_from(
    lengths: list[int], given: set[int], keys: set[int], open_ends: bool
) -> None:
    bounds = [0, *accumulate(lengths)]
    for chosen in (None, Keys(frozenset(keys), frozenset(), open_ends)):
        made: list[int] = []
        for step in scenes.all_steps(scenes.find_scenes(bounds, 1, given), chosen):
            assert set(step.sources) <= set(made)
            assert not (step.slide in given and step.sources)
            assert not (step.slide in given and step.uses_backend)
            made.append(step.slide)
        assert sorted(made) == list(range(bounds[-1]))


def test_chains_start_from_the_nearest_given_slide() -> None:
    (scene,) = scenes.find_scenes([0, 10], 1, {2, 7})
    assert scene.middle == 7  # of the scene it is 5
    starts = {step.slide: step.start for step in scenes.steps(scene)}
    assert starts == {slide: 2 if slide <= 4 else 7 for slide in range(10)}


def test_between_two_given_slides_keys_fill_from_both() -> None:
    (scene,) = scenes.find_scenes([0, 8], 1, {2, 6})
    steps = {step.slide: step for step in scenes.steps(scene, Keys(frozenset(), frozenset()))}
    assert steps[3].sources == steps[5].sources == (2, 6)
    assert steps[0].uses_backend and steps[0].sources == (2,)  # the end of a scene is a key
    assert steps[1].sources == (2, 0)
    open_ends = Keys(frozenset(), frozenset(), open_ends=True)
    filled = {step.slide: step for step in scenes.steps(scene, open_ends)}
    assert filled[0].sources == filled[1].sources == (2,) and not filled[0].uses_backend


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Scenes of 12 and 8 frames, 2 a slide: slides 1-6 and 7-10; 2 and 9 are given, in red."""
    painted = tmp_path / "painted"
    painted.mkdir()
    frames = make_frames(12, 8)
    for frame in (3, 17):
        paint(painted / sequence.name(frame - 1), frames, red=200)
    return Settings(frames, tmp_path / "out", given=painted, guide=WARPED)


def paint(path: Path, frames: Path, red: int) -> None:
    picture = png.read(frames / path.name).copy()
    picture[..., 0] = red
    png.write(path, picture)


def slide(asked: Settings, number: int) -> bytes:
    return (asked.target / sequence.name(number - 1)).read_bytes()


@pytest.mark.parametrize("motion", ["flow", "codec"])
def test_given_pictures_are_slides_and_the_model_draws_the_others(
    asked: Settings, motion: str
) -> None:
    with ComfyServer() as server:
        wanted = replace(asked, backends=(server.url,), motion=motion)
        run(wanted)
        assert server.prompts_run == 8
        assert run(wanted).drawn == 0 and status.is_finished(wanted)
    assert asked.given is not None
    for number, frame in ((2, 3), (9, 17)):
        given = png.read(asked.given / sequence.name(frame - 1))
        assert np.array_equal(png.read(asked.target / sequence.name(number - 1)), given)
    reporting.write_report(asked, Silent())
    block = (interp(asked) / "report" / "slides-0.js").read_text()
    assert '"given":[1,8]' in block


def test_without_a_model_no_server_is_needed(asked: Settings) -> None:
    filled = replace(asked, fill_only=True, backends=("http://127.0.0.1:9",))
    assert run(filled).drawn == 8
    assert run(filled).drawn == 0 and status.is_finished(filled)
    reds = [png.read(path)[..., 0].mean() for path in sorted(asked.target.glob("*.png"))]
    assert min(reds) > 150  # all of them are made from the painted ones
    assert plan(filled, None, Silent()).asked == 0


def test_every_scene_needs_a_picture_without_a_model(asked: Settings) -> None:
    assert asked.given is not None
    (asked.given / sequence.name(16)).unlink()
    for attempt in (lambda s: run(s), lambda s: plan(s, None, Silent())):
        with pytest.raises(WrongUsage, match=r"scene 2 \(frames 13 to 20\) has no picture"):
            attempt(replace(asked, fill_only=True))
    assert not files(asked.target)


def test_another_picture_draws_anew_what_follows_from_it(asked: Settings) -> None:
    with ComfyServer() as server:
        wanted = replace(asked, backends=(server.url,))
        run(wanted)
        before = files(asked.target)
        assert asked.given is not None
        paint(asked.given / sequence.name(16), asked.source, red=90)
        with pytest.raises(UnusableInput, match=r"other pictures of --given: 000009\.png"):
            run(wanted)
        assert files(asked.target) == before
        assert run(replace(wanted, fresh=True)).drawn == 3  # the given one is only copied
        after = files(asked.target)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {sequence.name(each - 1) for each in (7, 8, 9, 10)}


def test_given_slides_are_added_to_a_run_and_taken_away(asked: Settings) -> None:
    with ComfyServer() as server:
        wanted = replace(asked, backends=(server.url,))
        run(replace(wanted, given=None))
        before = files(asked.target)
        with pytest.raises(UnusableInput, match="other pictures of --given"):
            run(wanted)
        run(replace(wanted, fresh=True))
        with pytest.raises(UnusableInput, match="other pictures of --given"):
            run(replace(wanted, given=None))
        run(replace(wanted, given=None, fresh=True))
        assert files(asked.target) == before


def test_a_given_slide_is_not_drawn_again(asked: Settings) -> None:
    wanted = replace(asked, backends=("preview:clay",))
    run(wanted)
    with pytest.raises(WrongUsage, match="slide 2 is a picture of --given"):
        run(replace(wanted, redo="2"))
    given = slide(asked, 2)
    run(replace(wanted, redo="1", redo_chain=True))
    assert slide(asked, 2) == given


def test_a_given_slide_that_is_lost_is_copied_again(asked: Settings) -> None:
    wanted = replace(asked, backends=("preview:clay",), deflicker=1)
    run(wanted)
    before = files(asked.target)
    (interp(asked) / "drawn" / sequence.name(1)).unlink()
    (asked.target / sequence.name(1)).unlink()
    run(wanted)
    assert files(asked.target) == before
    assert asked.given is not None  # not averaged with its neighbours either
    picture = png.read(asked.target / sequence.name(1))
    assert np.array_equal(picture, png.read(asked.given / sequence.name(2)))


def test_a_given_slide_that_is_damaged_is_copied_again(asked: Settings) -> None:
    wanted = replace(asked, backends=("preview:clay",))
    run(wanted)
    before = files(asked.target)
    (asked.target / sequence.name(1)).write_bytes(slide(asked, 2)[:100])
    assert run(wanted).drawn == 0
    assert files(asked.target) == before


def test_a_run_with_another_picture_is_not_finished(asked: Settings) -> None:
    wanted = replace(asked, backends=("preview:clay",))
    run(wanted)
    assert asked.given is not None
    paint(asked.given / sequence.name(16), asked.source, red=90)
    assert not status.is_finished(wanted)


def test_another_picture_is_shown_though_nothing_follows_from_it(asked: Settings) -> None:
    assert asked.given is not None
    for frame in range(1, 21, 2):
        paint(asked.given / sequence.name(frame - 1), asked.source, red=200)
    wanted = replace(asked, fill_only=True, deflicker=2)
    run(wanted)
    paint(asked.given / sequence.name(16), asked.source, red=90)
    run(replace(wanted, fresh=True))
    shown = png.read(asked.target / sequence.name(8))
    assert np.array_equal(shown, png.read(asked.given / sequence.name(16)))


def test_values_over_time_do_not_concern_given_slides(asked: Settings) -> None:
    with ComfyServer() as server:
        wanted = replace(asked, backends=(server.url,), model="claymation.json")
        run(replace(wanted, changes=("f3-3:10.cfg=5",)))
        assert run(replace(wanted, changes=("f3-3:10.cfg=6",))).drawn == 0


def test_another_first_given_slide_is_another_style_of_the_film(
    asked: Settings, tmp_path: Path
) -> None:
    """Workflows may load the picture that the film starts from: then all slides follow from it."""
    assert asked.given is not None
    paint(asked.given / sequence.name(6), asked.source, red=200)  # slide 4, as near as slide 2
    model = tmp_path / "film.json"
    model.write_text(json.dumps(with_reference("film")))
    with ComfyServer() as server:
        wanted = replace(asked, backends=(server.url,), model=str(model))
        run(wanted)
        (asked.given / sequence.name(6)).unlink()
        with pytest.raises(UnusableInput, match="10 of the 10 slides"):
            run(wanted)


def test_where_the_workflow_enlarges_slides_only_given_ones_stay_small(
    asked: Settings, tmp_path: Path
) -> None:
    """What is filled from a large slide is large, and so is the film, whichever slide is first."""
    assert asked.given is not None
    paint(asked.given / sequence.name(0), asked.source, red=200)
    film = tmp_path / "film.mkv"
    with ComfyServer() as server:
        server.runs += [Run(picture=doubled)] * 10
        run(replace(asked, target=film, backends=(server.url,), keys=3))
    slides = tmp_path / "film.restyle" / "out"
    width, height = png.read_header(asked.source / sequence.name(0)).size
    sizes = [png.read_header(slides / sequence.name(slide)).size for slide in range(10)]
    assert {0, 1, 8} == {slide for slide in range(10) if sizes[slide] == (width, height)}
    assert set(sizes) == {(width, height), (2 * width, 2 * height)}
    shown = probe_film(film)
    assert (shown.width, shown.height) == (2 * width, 2 * height)


def doubled(picture: Pixels) -> bytes:
    return png.encode(np.repeat(np.repeat(picture, 2, axis=0), 2, axis=1))


def test_a_middle_that_is_given_needs_no_picture(asked: Settings, tmp_path: Path) -> None:
    model = tmp_path / "middle.json"
    model.write_text(json.dumps(with_reference("middle")))
    with ComfyServer() as server:
        wanted = replace(asked, backends=(server.url,), model=str(model))
        assert run(wanted).drawn == 8
        with pytest.raises(WrongUsage, match="which the film's first middle slide does"):
            run(replace(wanted, given=None, fresh=True))


def with_reference(role: str) -> dict[str, object]:
    """Return a workflow that pastes a picture of this role into its input."""
    nodes = json.loads((WORKFLOWS / "anime.json").read_text())
    nodes["20"] = {"class_type": "LoadImage", "inputs": {"image": "reference.png"}}
    pasted = {"destination": ["2", 0], "source": ["20", 0], "x": 0, "y": 0, "resize_source": False}
    nodes["21"] = {"class_type": "ImageCompositeMasked", "inputs": pasted}
    nodes["6"]["inputs"]["pixels"] = ["21", 0]
    roles = {"input": "2", "mask": "3", "output": "11", "pictures": {"20": role}}
    return {**nodes, "stable-restyle": roles}


def test_keys_run_between_given_slides(asked: Settings) -> None:
    with ComfyServer() as server:
        wanted = replace(asked, backends=(server.url,), keys=3)
        run(wanted)
        assert server.prompts_run < 8
        noted = json.loads((interp(asked) / "keys.json").read_text())
        assert noted["given"] == [1, 8] and {1, 8} <= set(noted["keys"])
        assert run(wanted).drawn == 0


def test_a_run_that_is_refused_leaves_edited_keys_as_they_are(asked: Settings) -> None:
    wanted = replace(asked, backends=("preview:clay",), keys=3)
    run(wanted)
    keys = interp(asked) / "keys.json"
    noted = json.loads(keys.read_text())
    noted["keys"] = sorted({*noted["keys"], 2})
    keys.write_text(json.dumps(noted))
    run(replace(wanted, fresh=True))
    edited = keys.read_text()
    assert asked.given is not None
    paint(asked.given / sequence.name(6), asked.source, red=200)
    with pytest.raises(UnusableInput, match="other pictures of --given: 000004"):
        run(wanted)
    assert keys.read_text() == edited
    (asked.given / sequence.name(6)).unlink()
    assert run(wanted).drawn == 0


@pytest.mark.parametrize(
    "name, message",
    [
        ("000004.png", r"no slide shows the frame (?s:.)*picture of 000003.png or 000005.png"),
        ("000021.png", "is none of the film's 20 frames"),
        ("000000.png", "is none of"),
        ("3.png", "must be a picture that is called as its frame: 000003.png"),
        ("000005.gif", "must be a picture that is called as its frame: 000005.png"),
    ],
)
def test_names_that_are_no_slide(asked: Settings, name: str, message: str) -> None:
    assert asked.given is not None
    (asked.given / sequence.name(2)).rename(asked.given / name)
    with pytest.raises(WrongUsage, match=message):
        run(replace(asked, backends=("preview:clay",)))
    assert not files(asked.target)


def test_a_picture_of_another_size(asked: Settings) -> None:
    assert asked.given is not None
    png.write(asked.given / sequence.name(2), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(UnusableInput, match="is 10x10, but the frames are"):
        run(replace(asked, backends=("preview:clay",)))


def test_a_damaged_picture(asked: Settings) -> None:
    assert asked.given is not None
    path = asked.given / sequence.name(2)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(UnusableInput, match=r"000003\.png is damaged"):
        run(replace(asked, backends=("preview:clay",)))


def test_a_folder_without_pictures(asked: Settings, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    with pytest.raises(UnusableInput, match="cannot be read"):
        run(replace(asked, given=empty, backends=("preview:clay",)))
    empty.mkdir()
    with pytest.raises(WrongUsage, match="there are no pictures in it"):
        run(replace(asked, given=empty, backends=("preview:clay",)))
