"""--only: a part of the picture is restyled, and the rest is the frames to the bit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from support import clips
from support.comfy_server import ComfyServer
from support.noting_server import HEIGHT, WIDTH, NotingServer, edit_model, negative, node, on
from support.runs import Silent, Stopping, files, interp, run

from stable_restyle.cli import main
from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.records import Pixels
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.imaging import metrics
from stable_restyle.imaging import subject as subjects
from stable_restyle.imaging.arrays import Flags
from stable_restyle.media import png, sequence
from stable_restyle.run import dry_run, measurement, pipeline, reporting, status
from stable_restyle.workdir import journal

FRAMES, RADIUS = 10, 12


def disc(frame: int) -> Pixels:
    """The subject: a disc that moves by two pixels a frame. (H, W)."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (18 + 2 * frame, 25), RADIUS, 255, -1)
    return mask


def picture(frame: int) -> Pixels:
    """A textured ground at rest, and the disc with a texture that moves with it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ground = 120 + 40 * np.sin(rows / 3) * np.cos(columns / 4)
    ball = 150 + 60 * np.cos(rows / 2) * np.sin((columns - 2 * frame) / 3)
    grey = np.where(disc(frame) > 0, ball, ground)
    return np.stack([grey, grey * 0.8, grey * 0.5], axis=2).astype(np.uint8)


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    """A scene of 10 frames, a frame a slide; slide 5 is its middle."""
    frames = clips.write_folder(tmp_path / "in", map(picture, range(FRAMES)))
    masks = clips.write_folder(tmp_path / "masks", map(disc, range(FRAMES)))
    (tmp_path / "interp").mkdir()
    (tmp_path / "interp" / "scenes.json").write_text(f"[0, {FRAMES}]")
    return Settings(
        frames,
        tmp_path / "out",
        frames_per_slide=1,
        only=masks,
        backends=("preview",),
        guide=WARPED,
    )


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as server:
        yield server


def slide(asked: Settings, index: int) -> Pixels:
    return png.read(asked.target / sequence.name(index))


def outside_is_the_frame(asked: Settings, inside: Callable[[int], Pixels] = disc) -> bool:
    return all(
        np.array_equal(slide(asked, each)[inside(each) == 0], picture(each)[inside(each) == 0])
        for each in range(FRAMES)
    )


def changed(asked: Settings, index: int, where: Flags) -> float:
    """Return the mean change of a slide from its frame, in levels."""
    difference = np.abs(slide(asked, index).astype(int) - picture(index))
    return float(difference[where].mean())


@pytest.mark.parametrize("motion", ["flow", "flow:fast", "codec"])
@pytest.mark.parametrize("drawn_by", ["preview", "server"])
def test_outside_of_the_subject_slides_are_their_frames(
    asked: Settings, server: ComfyServer, motion: str, drawn_by: str
) -> None:
    backend = "preview" if drawn_by == "preview" else server.url
    asked = replace(asked, motion=motion, backends=(backend,))
    assert run(asked).drawn == FRAMES
    assert outside_is_the_frame(asked)
    core = [cv2.erode(disc(each), np.ones((9, 9))) > 0 for each in range(FRAMES)]
    assert all(changed(asked, each, core[each]) > 4 for each in range(FRAMES))


@pytest.mark.parametrize("deflicker", [0, 1])
def test_other_runs_make_the_same_slides(asked: Settings, deflicker: int) -> None:
    asked = replace(asked, deflicker=deflicker)
    run(asked)
    again = replace(asked, target=asked.target.parent / "again" / "out")
    (again.target.parent / "interp").mkdir(parents=True)
    (interp(again) / "scenes.json").write_text(f"[0, {FRAMES}]")
    run(again)
    assert files(asked.target) == files(again.target)


def test_keys_deflickering_and_given_pictures_leave_the_outside_alone(asked: Settings) -> None:
    painted = asked.source.parent / "painted"
    painted.mkdir()
    png.write(painted / sequence.name(2), np.full((HEIGHT, WIDTH, 3), 9, np.uint8))
    asked = replace(asked, keys=3, deflicker=2, given=painted)
    run(asked)
    assert outside_is_the_frame(asked)
    assert (slide(asked, 2)[25, 22] == 9).all()


def test_only_not_restyles_the_black_part(asked: Settings) -> None:
    asked = replace(asked, only=None, only_not=asked.only)
    run(asked)
    assert outside_is_the_frame(asked, lambda frame: 255 - disc(frame))
    assert changed(asked, 3, cv2.dilate(disc(3), np.ones((9, 9))) == 0) > 4


def test_an_enlarged_slide_is_composed_with_the_enlarged_frame(asked: Settings) -> None:
    def doubled(guide: Pixels) -> Pixels:
        return negative(guide.repeat(2, axis=0).repeat(2, axis=1))

    with NotingServer(doubled) as server:
        run(on(asked, server, edit_model({"1": "guide"})))
    for each in range(FRAMES):
        size = 2 * WIDTH, 2 * HEIGHT
        enlarged = cv2.resize(picture(each), size, interpolation=cv2.INTER_LANCZOS4)
        outside = cv2.resize(cv2.dilate(disc(each), np.ones((3, 3))), size) == 0
        assert np.array_equal(slide(asked, each)[outside], enlarged[outside])


def masks_sent(asked: Settings, motion: str = "flow") -> dict[int, Pixels]:
    """Return the mask that the server received for each slide."""
    pictures = {"1": "frame", "2": "guide", "3": "mask", "4": "only"}
    tree = edit_model(pictures)
    tree["edit"]["inputs"] = {"image": ["1", 0], "guide": ["2", 0], "subject": ["4", 0]}
    tree["to mask"] = node("ImageToMask", image=["3", 0], channel="red")
    tree["edit"]["inputs"]["mask"] = ["to mask", 0]
    received = {}
    with NotingServer(negative, first="2") as server:
        run(replace(on(asked, server, tree), motion=motion, save_interp=True))
        for loaded in server.loaded:
            (index,) = [
                each for each in range(FRAMES) if np.array_equal(loaded["1"], picture(each))
            ]
            assert np.array_equal(loaded["4"][..., 0], disc(index))
            received[index] = loaded["3"][..., 0]
    return received


@pytest.mark.parametrize("motion", ["flow", "codec"])
def test_masks_lie_within_the_surroundings_of_the_subject(asked: Settings, motion: str) -> None:
    sent = masks_sent(asked, motion)
    assert sorted(sent) == list(range(FRAMES))
    for index, mask in sent.items():
        assert not mask[subjects.surrounded(disc(index)) == 0].any()
    assert np.array_equal(sent[5], subjects.surrounded(disc(5)))  # the middle


def test_what_the_subject_newly_covers_is_freed(asked: Settings) -> None:
    """From slide 7 on, the mask is a second disc too, on ground that does not move."""
    assert asked.only is not None
    second = np.zeros((HEIGHT, WIDTH), np.uint8)
    second[36:44, 2:9] = 255
    for index in range(7, FRAMES):
        png.write(asked.only / sequence.name(index), disc(index) | second)
    assert not masks_of(asked, 6)[second > 0].any()
    assert masks_of(asked, 7)[second > 0].min() == 255
    assert not masks_of(asked, 8)[second > 0].any()  # that shows what was painted there


def masks_of(asked: Settings, index: int) -> Pixels:
    """Return the mask of a slide as --save-interp wrote it."""
    path = interp(asked) / f"{index + 1:06d}-m.png"
    if not path.exists():
        run(replace(asked, save_interp=True))
    return png.read(path)[..., 0]


def test_a_mask_that_has_changed_outdates_its_slide_and_those_that_follow(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    assert asked.only is not None
    png.write(asked.only / sequence.name(7), np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(UnusableInput, match=r"3 of the 10 slides.*\n  other masks: 000008\.png\n"):
        run(asked)
    assert files(asked.target) == before
    assert not status.is_finished(asked)
    assert dry_run.plan(replace(asked, fresh=True), None, Silent()).finished == 7
    assert run(replace(asked, fresh=True)).drawn == 3
    after = files(asked.target)
    assert next(name for name in before if before[name] != after[name]) == "000008.png"
    assert np.array_equal(slide(asked, 7), picture(7))
    assert status.is_finished(asked)


def test_masks_of_frames_that_no_slide_shows_do_not_count(asked: Settings) -> None:
    asked = replace(asked, frames_per_slide=2)
    run(asked)
    assert asked.only is not None
    png.write(asked.only / sequence.name(7), np.zeros((HEIGHT, WIDTH), np.uint8))
    assert run(asked).drawn == 0


@pytest.mark.parametrize("turned", [{"only": None}, {"only": None, "only_not": True}])
def test_another_part_is_another_setting(asked: Settings, turned: dict[str, object]) -> None:
    other = {**turned, **({"only_not": asked.only} if "only_not" in turned else {})}
    run(asked)
    now = "black" if "only_not" in turned else "none"
    with pytest.raises(UnusableInput, match=f"only: white then, {now} now"):
        run(replace(asked, **other))  # type: ignore[arg-type]
    assert run(replace(asked, fresh=True, **other)).drawn == FRAMES  # type: ignore[arg-type]


def test_folders_of_earlier_versions_go_on(asked: Settings) -> None:
    whole = replace(asked, only=None)
    run(whole)
    path = interp(asked) / "settings.json"
    noted = json.loads(path.read_text())
    del noted["only"]
    path.write_text(json.dumps(noted))
    assert run(whole).drawn == 0
    with pytest.raises(UnusableInput, match="only: none then, white now"):
        path.write_text(json.dumps(noted))
        run(asked)


@pytest.mark.parametrize("after", range(1, 2 * FRAMES, 3))
def test_stopped_at_any_moment_it_goes_on_to_the_same_slides(asked: Settings, after: int) -> None:
    run(asked)
    whole = files(asked.target)
    run(replace(asked, only=None, fresh=True))
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(replace(asked, fresh=True), Stopping(after))
    run(asked)
    assert files(asked.target) == whole


def test_a_film_of_masks_is_split_once(asked: Settings) -> None:
    def film(*pictures: Pixels) -> Path:
        rgb = np.stack([np.stack([each] * 3, axis=2) for each in pictures])
        return clips.make(asked.source.parent / "masks.mkv", rgb, "-c:v", "ffv1")

    asked = replace(asked, only=film(*map(disc, range(FRAMES))))
    progress = Silent()
    pipeline.run(asked, progress)
    assert next(task for task, _, _ in progress.tasks) == "Splitting masks"
    assert outside_is_the_frame(asked) and status.is_finished(asked)
    (asked.target / "000004.png").unlink()
    progress = Silent()
    pipeline.run(asked, progress)
    assert "Splitting masks" not in [task for task, _, _ in progress.tasks]
    film(*(disc(min(each, 6)) for each in range(FRAMES)))
    assert not status.is_finished(asked)
    with pytest.raises(UnusableInput, match=r"other masks: 000008\.png, 000009\.png, 000010\.png"):
        run(asked)
    run(replace(asked, fresh=True))
    assert outside_is_the_frame(asked, lambda frame: disc(min(frame, 6)))


def test_a_split_of_masks_that_was_stopped_is_made_again(asked: Settings) -> None:
    pictures = np.stack([np.stack([disc(each)] * 3, axis=2) for each in range(FRAMES)])
    masks = clips.make(asked.source.parent / "masks.mkv", pictures, "-c:v", "ffv1")
    asked = replace(asked, only=masks)
    part = interp(asked) / "only.part-1"
    clips.write_folder(part, map(disc, range(3)))
    (interp(asked) / "only").mkdir()  # without its note
    run(asked)
    assert outside_is_the_frame(asked) and not part.exists()


@pytest.mark.parametrize("dry", [False, True])
@pytest.mark.parametrize(
    ("masks", "told"),
    [
        ([disc(0)] * 9, r"has 9 masks, but the film has 10 frames\.\nAdd a mask for each frame"),
        ([disc(0)[1:]] * 10, r"the masks are 66x49, but the frames are 66x50\.\nScale them"),
        ([], r"--only: There are no masks in .*other: it is empty"),
    ],
)
def test_masks_that_do_not_fit_are_refused_before_the_run(
    asked: Settings, masks: list[Pixels], told: str, dry: bool
) -> None:
    run(asked)
    before = files(asked.target)
    other = clips.write_folder(asked.source.parent / "other", masks)
    asked = replace(asked, only=other, fresh=True)
    with pytest.raises(UnusableInput, match=told):
        if dry:
            dry_run.plan(asked, None, Silent())
        else:
            run(asked)
    assert files(asked.target) == before


def test_a_film_with_too_few_masks_is_refused(asked: Settings) -> None:
    pictures = np.stack([np.stack([disc(0)] * 3, axis=2)] * 9)
    masks = clips.make(asked.source.parent / "masks.mkv", pictures, "-c:v", "ffv1")
    with pytest.raises(UnusableInput, match="has 9 masks, but the film has 10 frames"):
        run(replace(asked, only=masks))


def test_what_names_no_masks_is_refused(asked: Settings) -> None:
    with pytest.raises(UnusableInput, match=r"--only-not: there is no .*gone\.\nName a folder"):
        status.check_settings(replace(asked, only=None, only_not=asked.source / "gone"))
    with pytest.raises(WrongUsage, match="--only and --only-not exclude each other"):
        status.check_settings(replace(asked, only_not=asked.only))
    with pytest.raises(WrongUsage, match="--only and TARGET are both"):
        status.check_settings(replace(asked, only=asked.target))


def test_a_workflow_that_loads_the_subject_needs_it(asked: Settings) -> None:
    with NotingServer(negative) as server:
        whole = replace(on(asked, server, edit_model({"1": "guide", "2": "only"})), only=None)
        with pytest.raises(WrongUsage, match=r"loads only, which .*\nAdd --only DIR"):
            run(whole)
        assert not server.loaded


def test_redone_slides_leave_the_outside_alone(asked: Settings) -> None:
    run(asked)
    before = files(asked.target)
    assert run(replace(asked, redo="4")).drawn == 1
    after = files(asked.target)
    assert [name for name in before if before[name] != after[name]] == ["000004.png"]
    assert outside_is_the_frame(asked)


def test_only_the_restyled_part_is_measured(asked: Settings) -> None:
    run(asked)
    measured = measurement.measure_run(replace(asked, only=None), Silent())
    shown = metrics.Shown(picture(3), slide(asked, 3), subjects.share(disc(3)) >= 0.5)
    assert measured.slides[3].structure == metrics.measure_slide(shown, None, None).structure
    everything = metrics.measure_slide(shown._replace(inside=None), None, None)
    assert measured.slides[3].structure < everything.structure
    assert reporting.write_report(asked, Silent()).exists()


def test_a_slide_without_a_subject_is_its_frame_and_has_no_figures(asked: Settings) -> None:
    assert asked.only is not None
    for index in (5, 6):  # the middle too
        png.write(asked.only / sequence.name(index), np.zeros((HEIGHT, WIDTH), np.uint8))
    run(asked)
    assert np.array_equal(slide(asked, 5), picture(5))
    measured = measurement.measure_run(asked, Silent())
    assert np.isnan(measured.slides[5].structure) and np.isnan(measured.slides[7].e_warp)
    assert not np.isnan(measured.slides[8].e_warp)


def test_the_workers_of_a_cluster_draw_the_same(asked: Settings) -> None:
    run(asked)
    alone = files(asked.target)
    run(replace(asked, fresh=True, dask="local:2"))
    assert files(asked.target) == alone


def test_a_line_of_a_list_restyles_a_part(asked: Settings) -> None:
    films = asked.source.parent / "films.txt"
    films.write_text(f"{asked.source} {asked.target} -- --only {asked.only}\n")
    words = ["--batch", str(films), "--backend", "preview", "--fps", "1"]
    done = CliRunner().invoke(main.command, words)
    assert done.exit_code == 0, done.output
    assert outside_is_the_frame(asked)
    (done_by,) = journal.read(interp(asked) / "journal.jsonl")
    assert ("--only", str(asked.only)) in pairwise(done_by.about.command)


def test_frames_may_be_fewer_than_masks(asked: Settings) -> None:
    assert asked.only is not None
    png.write(asked.only / sequence.name(FRAMES), disc(0))
    run(asked)
    assert outside_is_the_frame(asked)


def test_a_film_is_restyled_in_part(asked: Settings) -> None:
    pictures = np.stack([picture(each) for each in range(FRAMES)])
    film = clips.make(asked.source.parent / "film.mkv", pictures, "-c:v", "ffv1", rate="12")
    target = asked.source.parent / "film-part.mkv"
    run(replace(asked, source=film, target=target))
    assert target.exists()
    work = asked.source.parent / "film-part.restyle"
    assert len(files(work / "out")) == FRAMES
    os.utime(film)
    assert run(replace(asked, source=film, target=target)).drawn == 0
