"""--only and --only-not: a part of the picture is restyled, the rest is the frame to the bit."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import clips
from support.comfy_server import ComfyServer
from support.programs import COMMAND, LONGEST_S, until
from support.runs import Silent, files, interp, run

from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import Settings
from stable_restyle.imaging import subject
from stable_restyle.media import png, sequence
from stable_restyle.run import measurement, reporting, status
from stable_restyle.run.dry_run import plan

FRAMES, HEIGHT, WIDTH = 12, 96, 128


def disc(index: int) -> Pixels:
    """Return the mask of a disc that moves to the right: (HEIGHT, WIDTH, 3), white on black."""
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(mask, (40 + 4 * index, 48), 22, (255, 255, 255), -1)
    return mask


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    """Twelve frames in one scene, six slides, and a disc that moves."""
    (tmp_path / "in").mkdir()
    (tmp_path / "masks").mkdir()
    rng = np.random.default_rng(3)
    noise = cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 2)
    for index in range(FRAMES):
        frame = np.roll(np.asarray(noise, np.uint8), 2 * index, axis=1)
        png.write(tmp_path / "in" / sequence.name(index), frame)
        png.write(tmp_path / "masks" / sequence.name(index), disc(index))
    return Settings(
        tmp_path / "in", tmp_path / "out", backends=("preview:clay",), only=tmp_path / "masks"
    )


def pictures(asked: Settings, slide: int) -> tuple[Pixels, Pixels, Pixels]:
    """Return a slide, its frame and the mask of its subject."""
    frame = sequence.name(slide * asked.frames_per_slide)
    return (
        png.read(asked.target / sequence.name(slide)),
        png.read(asked.source / frame),
        disc(slide * asked.frames_per_slide)[..., 0],
    )


@pytest.mark.parametrize("options", [{}, {"motion": "codec"}, {"deflicker": 1}, {"keys": 3}])
def test_outside_the_subject_slides_are_the_frames_to_the_bit(
    asked: Settings, options: dict[str, object]
) -> None:
    run(replace(asked, **options))  # type: ignore[arg-type]
    for each in range(6):
        slide, frame, mask = pictures(asked, each)
        assert np.array_equal(slide[mask == 0], frame[mask == 0])
        inside = cv2.erode(mask, np.ones((15, 15), np.uint8)) > 0
        assert np.abs(slide.astype(int) - frame)[inside].mean() > 5


def test_the_rest_can_be_restyled_instead(asked: Settings) -> None:
    turned = replace(asked, only=None, only_not=asked.only)
    run(turned)
    for each in range(6):
        slide, frame, mask = pictures(asked, each)
        assert np.array_equal(slide[mask == 255], frame[mask == 255])
    with pytest.raises(UnusableInput, match="only: black then, white now"):
        run(asked)
    with pytest.raises(WrongUsage, match="exclude each other"):
        run(replace(asked, only_not=asked.only))


def test_servers_get_masks_within_the_subject(asked: Settings) -> None:
    """The middle's is all of the subject; what a slide's subject newly covers is freed."""
    received: list[tuple[Pixels, Pixels]] = []

    def painter(nodes: object, loaded: dict[str, Pixels]) -> Pixels:
        received.append((loaded["3"], loaded["4"][..., 0]))
        return 255 - loaded["3"]

    with ComfyServer() as server:
        server.painter = painter  # type: ignore[assignment]
        run(replace(asked, backends=(server.url,)))
    assert len(received) == 6
    for _, mask in received:
        fits = [cv2.subtract(mask, subject.surrounded(disc(2 * s)[..., 0])) for s in range(6)]
        assert any(not each.any() for each in fits)
        assert mask.max() == 255


def test_a_mask_that_changes_outdates_its_slide_and_those_after_it(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    assert run(asked).drawn == 0 and status.is_finished(asked)
    assert asked.only is not None
    png.write(asked.only / sequence.name(1), disc(3))  # no slide shows this frame
    assert run(asked).drawn == 0
    png.write(asked.only / sequence.name(8), disc(0))
    with pytest.raises(UnusableInput, match=r"other masks: 000009\.png"):
        run(asked)
    assert files(asked.target) == before
    assert run(replace(asked, fresh=True)).drawn == 2
    after = files(asked.target)
    assert {name for name in after if after[name] != before[name]} == {
        sequence.name(4),
        sequence.name(5),
    }


def test_turning_it_on_and_off_is_another_setting(asked: Settings) -> None:
    whole = replace(asked, only=None)
    run(whole)
    with pytest.raises(UnusableInput, match="only: none then, white now"):
        run(asked)
    run(replace(asked, fresh=True))
    with pytest.raises(UnusableInput, match="only: white then, none now"):
        run(whole)


def test_a_film_of_masks(asked: Settings, tmp_path: Path) -> None:
    film = tmp_path / "masks.mkv"
    clips.make(film, np.stack([disc(index) for index in range(FRAMES)]), "-c:v", "ffv1")
    filmed = replace(asked, only=film)
    run(filmed)
    slide, frame, mask = pictures(asked, 2)
    far = cv2.dilate(mask, np.ones((5, 5), np.uint8)) == 0
    assert np.array_equal(slide[far], frame[far])
    assert run(filmed).drawn == 0
    clips.make(film, np.stack([disc(2 * index) for index in range(FRAMES)]), "-c:v", "ffv1")
    with pytest.raises(UnusableInput, match="other masks"):
        run(filmed)


def test_masks_that_cannot_be_used(asked: Settings, tmp_path: Path) -> None:
    for attempt in (lambda s: run(s), lambda s: plan(s, None, Silent())):
        with pytest.raises(UnusableInput, match="there is no"):
            attempt(replace(asked, only=tmp_path / "none"))
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UnusableInput, match="there are no masks"):
            attempt(replace(asked, only=tmp_path / "empty"))
        few = tmp_path / "few"
        few.mkdir(exist_ok=True)
        for index in range(5):
            png.write(few / sequence.name(index), disc(index))
        with pytest.raises(UnusableInput, match="has 5 masks, but the film has 12 frames"):
            attempt(replace(asked, only=few))
        png.write(few / sequence.name(0), disc(0)[:50])
        with pytest.raises(UnusableInput):
            attempt(replace(asked, only=few))
    assert not files(asked.target) if asked.target.exists() else True


def test_measure_report_and_redo_know_it(asked: Settings) -> None:
    run(asked)
    reporting.write_report(asked, Silent())
    measured = measurement.measure_run(asked, Silent()).whole
    assert measured.slides == 6
    first, frame, mask = pictures(asked, 3)
    run(replace(asked, redo="4"))
    again, _, _ = pictures(asked, 3)
    assert np.array_equal(again[mask == 0], frame[mask == 0])
    assert not np.array_equal(again, first)


def test_a_run_that_is_killed_goes_on(asked: Settings, tmp_path: Path) -> None:
    calm = replace(asked, target=tmp_path / "calm" / "out")
    run(calm)
    words = ["in", "out", "--only", "masks", "--backend", "preview:clay", "-q"]
    killed = subprocess.Popen([*COMMAND, *words], cwd=tmp_path)
    until(
        lambda: len(list((interp(asked) / "drawn").glob("*.png"))) > 1 or killed.poll() is not None
    )
    killed.kill()
    killed.wait(LONGEST_S)
    run(asked)
    assert files(asked.target) == files(calm.target)


def test_the_edge_is_soft_and_lies_inside() -> None:
    mask = disc(3)[..., 0]
    share = subject.share(mask)
    assert share[mask == 0].max() == 0 and share.max() == 1
    assert ((share > 0) & (share < 1)).sum() > 50


def test_what_is_outside_is_not_measured(asked: Settings) -> None:
    run(asked)
    before = measurement.measure_run(asked, Silent()).whole
    for each in range(6):
        slide, _, mask = pictures(asked, each)
        slide = slide.copy()
        slide[cv2.dilate(mask, np.ones((9, 9), np.uint8)) == 0] = 40 * each
        png.write(asked.target / sequence.name(each), slide)
    assert measurement.measure_run(asked, Silent()).whole == before
