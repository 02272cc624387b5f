"""Whole films: which picture arrives at which node, and when slides may stay.

The server notes what each prompt loads, and paints the negative of its first picture. The pictures
are compared with the files of the run: frames, slides, guides, masks and warped slides.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.noting_server import (
    HEIGHT,
    WIDTH,
    FilmFiles,
    NotingServer,
    Tree,
    case,
    edit_model,
    negative,
    on,
    shows,
    style,
)
from support.programs import COMMAND, LONGEST_S, Program, until
from support.runs import files, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.imaging import arrays, compose
from stable_restyle.media import sequence

pytestmark = pytest.mark.usefixtures("short_pauses")

SLIDES = 11  # of `asked`


# Which picture arrives at which node.


@pytest.mark.parametrize("motion", ["flow", "codec"])
def test_each_node_gets_the_picture_of_its_role(
    asked: Settings, server: NotingServer, tmp_path: Path, motion: str
) -> None:
    tree = edit_model(
        {
            "1": "frame",
            "2": ["guide"],
            "3": ["warped", "frame"],
            "4": ["previous", "middle", "film", "style"],
            "5": ["middle", "frame"],
            "6": ["film", "style"],
            "7": "style",
            "8": ["night", "frame"],
            "9": "mask",
        }
    )
    given = (
        f"style={style(tmp_path, 'style.png', 90)}",
        f"2:style={style(tmp_path, 'other.png', 60)}",
        f"3:night={style(tmp_path, 'night.png', 30)}",
    )
    settings = on(asked, server, tree, pictures=given, motion=motion)
    assert run(settings).drawn == SLIDES
    made = FilmFiles(settings)
    assert len(server.loaded) == SLIDES and len(made.scenes) == 3
    first = made.scenes[0].middle
    for step, loaded in made.of_slides(server.loaded):
        frame, middle = made.frame(step.slide), made.scenes[step.scene - 1].middle
        level = 60 if step.scene == 2 else 90
        assert np.array_equal(loaded["2"], made.guide(step))
        assert np.array_equal(loaded["9"][:, :, 0], made.mask(step))
        assert shows(loaded["7"], level)
        assert shows(loaded["8"], 30) if step.scene == 3 else np.array_equal(loaded["8"], frame)
        if step.previous is None:
            assert np.array_equal(loaded["3"], frame)
            assert np.array_equal(loaded["5"], frame)
        else:
            assert np.array_equal(loaded["3"], made.warped(step))
            assert np.array_equal(loaded["4"], made.slide(step.previous))
            assert np.array_equal(loaded["5"], made.slide(middle))
        if step.slide == first:
            assert shows(loaded["4"], level) and shows(loaded["6"], level)
        else:
            assert np.array_equal(loaded["6"], made.slide(first))
        if step.previous is None and step.slide != first:
            assert np.array_equal(loaded["4"], made.slide(first))


def test_the_middle_of_the_film_is_drawn_before_all_that_load_it(
    asked: Settings, server: NotingServer
) -> None:
    settings = on(asked, server, edit_model({"1": "frame", "2": ["film", "frame"]}))
    run(settings)
    made = FilmFiles(settings)
    (first,) = [each for each in server.loaded if np.array_equal(each["1"], each["2"])]
    assert first is server.loaded[0]
    assert np.array_equal(first["1"], made.frame(made.scenes[0].middle))


def test_a_cluster_draws_the_same_slides(
    asked: Settings, server: NotingServer, tmp_path: Path
) -> None:
    pictures = {"1": "frame", "2": ["film", "frame"], "3": ["previous", "frame"], "4": "style"}
    given = (f"style={style(tmp_path, 'style.png', 90)}",)
    settings = on(asked, server, edit_model(pictures), pictures=given, save_interp=False)
    run(settings)
    count = len(server.loaded)
    spread = replace(settings, target=tmp_path / "spread" / "out", dask="local:2")
    assert run(spread).drawn == SLIDES
    assert files(spread.target) == files(settings.target)
    assert len(server.loaded) == 2 * count
    assert np.array_equal(server.loaded[count]["1"], server.loaded[count]["2"])


def test_the_workflow_of_middles_draws_middles_alone(
    asked: Settings, server: NotingServer, tmp_path: Path
) -> None:
    middles = tmp_path / "middles.json"
    middles.write_text(json.dumps(edit_model({"1": "frame", "7": "style"})), "utf-8")
    given = (f"style={style(tmp_path, 'style.png', 90)}",)
    settings = on(
        asked,
        server,
        edit_model({"1": "frame", "2": "previous", "3": "middle"}),
        middle_model=str(middles),
        pictures=given,
        seed=5,
    )
    assert run(settings).drawn == SLIDES
    for step, loaded in FilmFiles(settings).of_slides(server.loaded):
        assert loaded.keys() == ({"1", "7"} if step.previous is None else {"1", "2", "3"})
    assert run(settings).drawn == 0
    with pytest.raises(UnusableInput, match="other settings"):
        run(replace(settings, middle_model="", model=str(middles)))


# Masks.


def no_mask() -> Tree:
    return edit_model({"1": "guide"}, register=False)


@pytest.mark.parametrize("motion", ["flow", "codec"])
def test_without_a_mask_the_slide_is_composed(
    asked: Settings, server: NotingServer, motion: str
) -> None:
    settings = on(asked, server, no_mask(), motion=motion, mask_strength=8.0, guide=WARPED)
    run(settings)
    made = FilmFiles(settings)
    kept = freed = 0
    for step in made.steps.values():
        slide, mask = made.slide(step.slide), made.mask(step)
        if step.previous is None:
            assert np.array_equal(slide, negative(made.frame(step.slide)))
            continue
        warped = made.warped(step)
        assert np.array_equal(slide[mask == 0], warped[mask == 0])
        kept += int((mask == 0).sum())
        freed += int((mask == 255).sum())
        if motion == "codec":
            answer = negative(made.guide(step))
            assert np.array_equal(slide, compose.compose(answer, warped, mask))
    assert kept and freed


def test_an_enlarged_answer_without_a_mask_is_composed_at_its_size(
    asked: Settings, server: NotingServer
) -> None:
    server.paint = lambda picture: negative(np.repeat(np.repeat(picture, 2, 0), 2, 1))
    settings = on(asked, server, no_mask(), guide=WARPED)
    run(settings)
    made = FilmFiles(settings)
    for step in made.steps.values():
        slide = made.slide(step.slide)
        assert slide.shape == (2 * HEIGHT, 2 * WIDTH, 3)
        if step.previous is not None:
            keeps = arrays.enlarge(made.mask(step), slide.shape) == 0
            warped = arrays.fit(made.warped(step), 2 * WIDTH, 2 * HEIGHT)
            assert keeps.any() and np.array_equal(slide[keeps], warped[keeps])
    assert run(settings).drawn == 0


@pytest.mark.parametrize(
    ("name", "guide", "mask"),
    [
        ("wf-img2img-no-mask", "10", "mask"),
        ("wf-inpaint-alpha-of-the-picture", "10", "10-mask"),
        ("wf-mask-inverted", "10", "12-loaded"),
        ("several-outputs", "2", "3"),
    ],
)
def test_the_mask_reaches_the_sampler(
    asked: Settings, server: NotingServer, name: str, guide: str, mask: str
) -> None:
    server.first = guide
    settings = on(asked, server, case(name), motion="codec")
    run(settings)
    made = FilmFiles(settings)
    guides = {made.guide(step).tobytes(): step for step in made.steps.values()}
    assert len(server.loaded) == SLIDES
    for loaded in server.loaded:
        assert loaded.keys() == {guide, mask}
        step = guides[loaded[guide].tobytes()]
        assert np.array_equal(loaded[mask][:, :, 0], made.mask(step))
        # The model composes where it has a mask; the slide is its answer.
        assert np.array_equal(made.slide(step.slide), negative(loaded[guide]))


def test_a_mask_that_is_put_in_is_mentioned_once(
    asked: Settings, server: NotingServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.first = "10"
    with caplog.at_level(logging.INFO):
        run(on(asked, server, case("wf-img2img-no-mask")))
    assert caplog.text.count("a Set Latent Noise Mask is put before node 3 (KSampler)") == 1


# Whether slides may stay.


def test_another_style_is_another_film(
    asked: Settings, server: NotingServer, tmp_path: Path
) -> None:
    picture = style(tmp_path, "style.png", 90)
    tree = edit_model({"1": "frame", "2": "style"})
    settings = on(asked, server, tree, pictures=(f"style={picture}",))
    run(settings)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    picture.rename(moved / "style.png")
    settings = replace(settings, pictures=(f"style={moved / 'style.png'}",))
    assert run(settings).drawn == 0
    style(moved, "style.png", 91)
    with pytest.raises(UnusableInput, match="other settings") as refusal:
        run(settings)
    assert "style=style.png (" in str(refusal.value)
    assert len(files(settings.target)) == SLIDES
    assert run(replace(settings, fresh=True)).drawn == SLIDES
    assert all(shows(each["2"], 91) for each in server.loaded[-SLIDES:])


def test_another_style_of_a_scene_draws_that_scene(
    asked: Settings, server: NotingServer, tmp_path: Path
) -> None:
    given = (
        f"style={style(tmp_path, 'style.png', 90)}",
        f"2:style={style(tmp_path, 'other.png', 60)}",
    )
    settings = on(asked, server, edit_model({"1": "frame", "2": "style"}), pictures=given)
    run(settings)
    before = files(settings.target)
    style(tmp_path, "other.png", 61)
    count = len(FilmFiles(settings).scenes[1].slides)
    with pytest.raises(
        UnusableInput, match=rf"{count} of the 11 answers in .* were made of something else"
    ):
        run(settings)
    assert run(replace(settings, fresh=True)).drawn == count
    assert all(shows(each["2"], 61) for each in server.loaded[-count:])
    after = files(settings.target)
    scene = {sequence.name(slide) for slide in FilmFiles(settings).scenes[1].slides}
    assert all(after[name] == before[name] for name in before if name not in scene)


def test_a_scene_that_the_film_lacks(asked: Settings, server: NotingServer, tmp_path: Path) -> None:
    tree = edit_model({"1": "frame", "2": ["style", "frame"]})
    given = (f"2,7:style={style(tmp_path, 'style.png', 90)}",)
    with pytest.raises(WrongUsage, match="there is no scene 7; the film has 3"):
        run(on(asked, server, tree, pictures=given))
    assert not server.loaded and not list(asked.target.glob("*.png"))


def test_a_role_that_a_middle_lacks(asked: Settings, server: NotingServer) -> None:
    with pytest.raises(WrongUsage, match=r"loads previous, which .* middle slide does not have"):
        run(on(asked, server, edit_model({"1": "frame", "2": "previous"})))
    assert not server.loaded and not list(asked.target.glob("*.png"))


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGKILL")
def test_kills_in_between_change_nothing(
    asked: Settings, server: NotingServer, tmp_path: Path
) -> None:
    pictures = {
        "1": "frame",
        "2": ["previous", "middle", "film", "frame"],
        "3": ["middle", "frame"],
        "4": ["film", "frame"],
        "5": "style",
    }
    given = (f"style={style(tmp_path, 'style.png', 90)}",)
    settings = on(asked, server, edit_model(pictures), pictures=given, save_interp=False)
    calm = replace(settings, target=tmp_path / "calm" / "out")
    run(calm)
    server.draw_s = 0.05
    command = [*COMMAND, "--model", settings.model, "--backend", server.url, "--picture", given[0]]
    for prompts in (1, 4, 3):
        wanted = server.prompts_run + prompts
        with Program(command, cwd=asked.source.parent, stderr=subprocess.PIPE) as process:
            until(lambda wanted=wanted: server.prompts_run >= wanted, process)  # type: ignore[misc]
            process.kill()
            process.communicate(timeout=LONGEST_S)
    server.wait_for(lambda: server.running is None and not server.pending)
    run(settings)
    assert files(settings.target) == files(calm.target)
