"""Whole runs over small films with the preview engine: what is made, kept, refused and told."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import conftest
import numpy as np
import pytest
from support import clips
from support.programs import video_restyle
from support.runs import Silent, assert_goes_on, files, run

from stable_restyle.core import files as its_files
from stable_restyle.core.errors import UnusableInput, WrongUsage
from stable_restyle.core.settings import WARPED, Settings
from stable_restyle.media import png, sequence
from stable_restyle.run import dry_run, failures, pipeline, status
from stable_restyle.run.inputs import run_paths
from stable_restyle.workdir import lock

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Thirteen frames in two scenes, restyled two by two."""
    frames = make_frames(8, 5)
    return Settings(frames, tmp_path / "out", backends=("preview:clay",), guide=WARPED)


def test_frames_become_slides(asked: Settings) -> None:
    progress = Silent()
    outcome = pipeline.run(asked, progress)
    assert (outcome.slides, outcome.drawn) == (7, 7)
    assert list(files(asked.target)) == [sequence.name(index) for index in range(7)]
    assert {png.read_header(path).size for path in asked.target.glob("*.png")} == {(66, 50)}
    assert json.loads((asked.target.parent / "interp" / "scenes.json").read_text()) == [0, 8, 13]
    assert progress.tasks == [("Finding scenes", 13, 0), ("Drawing", 7, 0)]
    assert progress.counted == [13, 7]


def test_a_slide_of_a_chain_differs_from_one_drawn_alone(asked: Settings) -> None:
    run(asked)
    slide, alone = asked.target / "000002.png", asked.target.parent / "alone"
    run(replace(asked, target=alone, work=alone.with_name("work"), mask_strength=0))
    assert not np.array_equal(png.read(slide), png.read(alone / slide.name))


def test_the_same_run_makes_the_same_slides(asked: Settings, tmp_path: Path) -> None:
    run(asked)
    run(again := replace(asked, target=tmp_path / "again", work=tmp_path / "work"))
    assert files(again.target) == files(asked.target)


def test_a_finished_run_draws_nothing(asked: Settings) -> None:
    run(asked)
    before = {path: path.stat().st_mtime_ns for path in asked.target.glob("*.png")}
    progress = Silent()
    assert pipeline.run(asked, progress).drawn == 0
    assert {path: path.stat().st_mtime_ns for path in asked.target.glob("*.png")} == before
    assert progress.tasks == [("Drawing", 7, 7)]


@pytest.mark.parametrize("lost", [[0], [2], [3, 4], [6], [0, 1, 2, 3, 4, 5]])
def test_a_run_goes_on_where_it_stopped(asked: Settings, lost: list[int]) -> None:
    assert_goes_on(asked, lost)


@pytest.mark.parametrize("lost", [[2], [0, 2], [3, 5], [0, 1, 2, 3]])
def test_colours_are_held_to_the_middle_that_is_drawn_again(
    asked: Settings, lost: list[int]
) -> None:
    assert_goes_on(replace(asked, anchor=0.5), lost)


def test_light_that_falls_in_the_frames_falls_in_slides_carried_by_flow(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(17):
        dusk = conftest.frame(0, (200, 170, 90)) * (1 - 0.03 * index)
        png.write(tmp_path / "in" / sequence.name(index), dusk.astype(np.uint8))
    asked = Settings(
        tmp_path / "in", tmp_path / "out", frames_per_slide=1, motion="flow", backends=("preview",)
    )
    alike = [[0, 17], list(range(18))]  # as a scene, and each frame drawn by itself
    ends = []
    for bounds, anchor in ((alike[0], 0), (alike[0], None), (alike[1], None)):
        (tmp_path / "interp").mkdir(exist_ok=True)
        (tmp_path / "interp" / "scenes.json").write_text(json.dumps(bounds))
        run(replace(asked, anchor=anchor, fresh=True))
        ends.append([png.read(asked.target / sequence.name(end)).mean() for end in (0, 16)])
    carried, anchored, truth = (bright - dark for bright, dark in ends)
    assert carried < 0.1 * truth and anchored > 0.6 * truth


def test_damaged_slides_are_named_and_drawn_again(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked)
    whole = files(asked.target)
    (asked.target / "000002.png").write_bytes(whole["000002.png"][:100])
    (asked.target / "000005.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert run(asked).drawn == 2
    assert files(asked.target) == whole
    assert [record.getMessage().split()[0] for record in caplog.records] == [
        str(asked.target / "000002.png"),
        str(asked.target / "000005.png"),
    ]


@pytest.mark.parametrize(
    ("change", "then", "now"),
    [
        ({"mask_strength": 5.0}, "mask strength: 8.0 then, 5.0 now", "strength"),
        ({"mask_size": 16}, "mask size: 4 then, 16 now", "size"),
        ({"anchor": 0.5}, "anchor: 0.3 then, 0.5 now", "anchor"),
        ({"frames_per_slide": 3}, "fps: 2 then, 3 now", "fps"),
        ({"model": "anime.json"}, "model: claymation.json then, anime.json now", "model"),
        ({"backends": ("preview:anime",)}, "preview:clay then, preview:anime now", "drawn by"),
    ],
)
def test_other_settings_are_refused_with_both_values(
    asked: Settings, change: dict[str, object], then: str, now: str
) -> None:
    run(asked)
    whole = files(asked.target)
    with pytest.raises(UnusableInput, match=then) as refusal:
        run(replace(asked, **change))  # type: ignore[arg-type]
    assert "--fresh" in str(refusal.value) and "discards 7 slides" in str(refusal.value)
    assert files(asked.target) == whole


def test_fresh_starts_over_and_says_what_it_discards(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked)
    whole = files(asked.target)
    mine = asked.target / "notes.txt"
    mine.write_text("the user's own")
    with caplog.at_level(logging.INFO):
        outcome = run(replace(asked, mask_strength=6.0, fresh=True))
    assert outcome.drawn == 7
    assert "7 slides are discarded" in caplog.text
    assert mine.read_text() == "the user's own"
    mine.unlink()
    assert files(asked.target) != whole


def test_a_folder_of_the_original_program_is_taken_over(asked: Settings) -> None:
    asked.target.mkdir()
    interp = asked.target.parent / "interp"
    interp.mkdir()
    (interp / "scenes.json").write_text("[0,4,13]")
    drawn = png.encode(np.full((50, 66, 3), 77, np.uint8))
    for name in ("000002.png", "000005.png"):
        (asked.target / name).write_bytes(drawn)
    assert run(asked).drawn == 5
    assert (interp / "scenes.json").read_text() == "[0,4,13]"
    kept = files(asked.target)
    assert kept["000002.png"] == kept["000005.png"] == drawn
    assert (interp / "settings.json").exists()


def test_edited_scenes_are_read_back(asked: Settings) -> None:
    interp = asked.target.parent / "interp"
    interp.mkdir()
    (interp / "scenes.json").write_text("[0, 2, 4, 13]")
    plan = dry_run.plan(asked, None, Silent())
    assert [(scene.start, scene.stop) for scene in plan.scenes] == [(0, 2), (2, 4), (4, 13)]
    (interp / "scenes.json").write_text("[0, 2, 4, 14]")
    with pytest.raises(UnusableInput, match="does not fit these frames"):
        run(asked)


def test_one_bad_frame_costs_its_chain_only(asked: Settings) -> None:
    run(asked)
    whole = files(asked.target)
    shutil.rmtree(asked.target)
    path = asked.source / "000003.png"
    good = path.read_bytes()
    path.write_bytes(good[:60] + b"?" * 20 + good[80:])
    with pytest.raises(failures.SlidesMissing) as missing:
        run(asked)
    message = str(missing.value)
    assert "2 of 7 slides are missing" in message
    assert "scene 1, slides 1-2" in message and str(path) in message
    assert len(files(asked.target)) == 5
    path.write_bytes(good)
    assert run(asked).drawn == 2
    assert files(asked.target) == whole


def test_a_damaged_frame_is_refused_before_any_work(asked: Settings) -> None:
    path = asked.source / "000006.png"
    path.write_bytes(path.read_bytes()[:-60] + b"?" * 48 + path.read_bytes()[-12:])
    with pytest.raises(UnusableInput, match=r"000006\.png is damaged"):
        run(asked)
    assert files(asked.target) == {}


def test_two_runs_do_not_share_a_working_folder(asked: Settings) -> None:
    interp = asked.target.parent / "interp"
    interp.mkdir()
    with (
        lock.hold(interp),
        pytest.raises(UnusableInput, match=rf"Another run is at work .*process {os.getpid()} on"),
    ):
        run(asked)
    assert run(asked).drawn == 7


def test_in_between_pictures_are_kept_under_the_originals_names(asked: Settings) -> None:
    run(replace(asked, save_interp=True))
    interp = asked.target.parent / "interp"
    pngs = sorted(path.name for path in interp.glob("*.png"))
    down = [f"{slide:06}{what}.png" for slide in (1, 2, 5) for what in ("", "-b", "-m")]
    up = [f"{slide:06}{what}.png" for slide in (4, 7) for what in ("", "-f", "-m")]
    assert pngs == sorted(down + up)


def test_an_outside_program_carries_as_the_library_does(asked: Settings, tmp_path: Path) -> None:
    run(replace(asked, motion="codec"))
    outside = replace(
        asked,
        target=tmp_path / "outside",
        work=tmp_path / "work",
        motion=f'"{sys.executable}" -m motion_transfer',
    )
    run(outside)
    assert files(outside.target) == files(asked.target)


@pytest.mark.parametrize("motion", ["flow", "flow:fast"])
def test_slides_are_carried_by_flow(asked: Settings, tmp_path: Path, motion: str) -> None:
    run(replace(asked, motion="codec"))
    flowing = replace(asked, target=tmp_path / motion[-4:], work=tmp_path / "work", motion=motion)
    run(flowing)
    whole = files(flowing.target)
    middles = {"000003.png", "000006.png"}
    by_codec = files(asked.target)
    assert {name for name in whole if whole[name] == by_codec[name]} == middles
    for name in ("000002.png", "000004.png", "000007.png"):
        (flowing.target / name).unlink()
    assert run(flowing).drawn == 3
    assert files(flowing.target) == whole


def test_a_motion_program_that_is_not_there(asked: Settings) -> None:
    with pytest.raises(WrongUsage, match="there is no such program"):
        run(replace(asked, motion="no-such-program --fast"))


def test_a_plan_tells_all_and_writes_nothing(asked: Settings) -> None:
    before = sorted(asked.source.parent.rglob("*"))
    servers = ("http://a:8188", "http://b:8188")
    plan = dry_run.plan(replace(asked, backends=servers), 3.0, Silent())
    assert (plan.frames, plan.slides, plan.finished, plan.longest_chain) == (13, 7, 0, 3)
    assert [(scene.slides, scene.middle) for scene in plan.scenes] == [
        (range(0, 4), 2),
        (range(4, 7), 5),
    ]
    assert plan.drawing_s == 12.0
    assert sorted(asked.source.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"backends": ("http://127.0.0.1:8188", "preview")}, "cannot mix"),
        ({"backends": ("preview:clay", "preview:anime")}, "cannot mix"),
        ({"backends": ("preview:oil",)}, "oil"),
        ({"backends": ("ftp://x",)}, "no such backend"),
    ],
)
def test_backends_that_cannot_be_used(
    asked: Settings, change: dict[str, object], reason: str
) -> None:
    with pytest.raises((WrongUsage, UnusableInput), match=reason):
        run(replace(asked, **change))  # type: ignore[arg-type]


def test_a_working_folder_belongs_to_one_target(asked: Settings, tmp_path: Path) -> None:
    run(asked)
    for fresh in (False, True):
        with pytest.raises(UnusableInput, match="belongs to the run into"):
            run(replace(asked, target=tmp_path / "second", fresh=fresh))
    shutil.rmtree(asked.target)
    assert run(replace(asked, target=tmp_path / "second", mask_strength=5.0)).drawn == 7


def test_places_that_would_overwrite_each_other(asked: Settings, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="SOURCE and TARGET"):
        run(replace(asked, target=asked.source))
    with pytest.raises(WrongUsage, match="TARGET and the working folder"):
        run(replace(asked, work=asked.target))


@pytest.mark.parametrize(
    "name", ["film.mpg", "film.wmv", "film.mp4.part", "film.prores", "film.mp3", "film.mp5"]
)
def test_a_target_that_no_film_can_be_written_to(
    name: str, asked: Settings, tmp_path: Path
) -> None:
    with pytest.raises(WrongUsage, match="neither a folder nor a film"):
        run(replace(asked, target=tmp_path / name))
    (tmp_path / name).mkdir()
    assert run_paths(replace(asked, target=tmp_path / name)).result is None


@pytest.mark.parametrize("name", ["out.v2", "2024.05.01", "night.clay", "shot.302"])
def test_a_folder_may_have_a_dot_in_its_name(name: str, asked: Settings, tmp_path: Path) -> None:
    assert run_paths(replace(asked, target=tmp_path / name)).shown == tmp_path / name


@pytest.mark.skipif(os.name == "nt", reason="paths on Windows have a limit of their own")
def test_a_target_with_too_long_a_name_is_refused_before_any_slide(
    asked: Settings, tmp_path: Path
) -> None:
    target = tmp_path / ("a" * 249 + ".mp4")
    with pytest.raises(WrongUsage, match="the name is too long"):
        run(replace(asked, target=target, work=tmp_path / "work"))
    assert not (tmp_path / "work").exists()


def test_a_source_that_is_not_there(asked: Settings, tmp_path: Path) -> None:
    with pytest.raises(UnusableInput, match=r"There is no .*missing"):
        run(replace(asked, source=tmp_path / "missing"))


@pytest.mark.parametrize("target", ["out", "clay.mp4"])
def test_a_finished_run_is_told_so_without_any_work(asked: Settings, target: str) -> None:
    folder = asked.source.parent
    words = ["in", target, "--backend", "preview:clay"]
    assert video_restyle(*words, folder=folder).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = video_restyle(*words, folder=folder)
    assert done.returncode == 0
    first, last = done.stderr.splitlines()
    assert first.startswith(f"in -> {target}, in ")
    assert last == f"{target} is finished, and nothing has changed since."
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    for more in (["--redo", "3"], ["--deflicker", "1"], ["--deflicker", "1", "--fresh"]):
        done = video_restyle(*words, *more, folder=folder)
        assert done.returncode == 0 and "Done: 7 slides" in done.stderr


def test_a_film_that_was_changed_in_place_is_not_finished(tmp_path: Path) -> None:
    """Its name and its size are the same, and all but one of its bytes."""
    film = clips.make(tmp_path / "film.mp4", clips.scenes(6))
    settings = Settings(film, tmp_path / "clay.mp4", backends=("preview:clay",))
    run(settings)
    assert status.is_finished(settings)
    data = bytearray(film.read_bytes())
    data[data.rindex(b"mdat") + 40] ^= 1
    film.write_bytes(data)
    assert not status.is_finished(settings)


def test_a_film_that_changes_during_the_run_is_not_finished(tmp_path: Path) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(6))
    settings = Settings(film, tmp_path / "clay.mkv", backends=("preview:clay",))

    class Changing(Silent):
        def begin(self, task: str, total: int, done: int, unit: str) -> None:
            super().begin(task, total, done, unit)
            if task == "Drawing":
                clips.make(film, clips.scenes(9))

    with pytest.raises(failures.SlidesMissing, match="is decoded differently now"):
        pipeline.run(settings, Changing())
    clips.make(film, clips.scenes(6))
    pipeline.run(replace(settings, keep_frames=True), Changing())
    assert not status.is_finished(settings)
    with pytest.raises(UnusableInput, match=r"film: film\.mp4, .* bytes then, .* bytes now"):
        run(settings)


class Robbed(Silent):
    """Another run takes the working folder over as a task begins; then it is as that leaves it."""

    def __init__(self, interp: Path, task: str) -> None:
        super().__init__()
        self._interp, self._task = interp, task
        self.left: dict[Path, bytes] = {}

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        super().begin(task, total, done, unit)
        if task == self._task:
            self.rob()

    def rob(self) -> None:
        part = self._interp.parent / "in.part-theirs"
        part.mkdir()
        (part / "000001.png").write_bytes(b"theirs")
        (beating,) = (each for each in threading.enumerate() if each.name == "renew the notes")
        while beating.is_alive():  # it may just be writing
            (self._interp / lock.NOTE).write_text('{"run": "theirs"}', "utf-8")
            beating.join(0.1)
        self.left = everything(self._interp.parent)


def everything(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name != lock.HIDDEN
    }


@pytest.mark.parametrize(
    "task",
    [
        pytest.param("Reading film", marks=pytest.mark.long),
        "Splitting",
        pytest.param("Finding scenes", marks=pytest.mark.long),
        pytest.param("Choosing keys", marks=pytest.mark.long),
        "Drawing",
        "Composing",
        pytest.param("Deflickering", marks=pytest.mark.long),
        "Joining",
        pytest.param("Thumbnails", marks=pytest.mark.long),
        "Comparing slides",
    ],
)
def test_a_run_that_has_lost_its_folder_touches_nothing_more(
    tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    film = clips.make(tmp_path / "film.mp4", clips.scenes(9, 6))
    target, work = tmp_path / "clay.mp4", tmp_path / "clay.restyle"
    asked = Settings(
        film,
        target,
        frames_per_slide=1,
        keys=3,
        deflicker=1,
        backends=("preview:clay",),
        keep_frames=task == "Splitting",
    )
    run(asked)
    made = target.stat()
    report = work / "interp" / "report"
    lost = {
        "Reading film": [],
        "Splitting": [work / "in"],
        "Finding scenes": [work / "interp" / "scenes.json", work / "interp" / "frames.json"],
        "Choosing keys": [work / "interp" / "keys.json"],
        "Drawing": [work / "interp" / each / "000001.png" for each in ("drawn", "answers")],
        "Composing": [work / "interp" / "drawn" / "000001.png"],
        "Deflickering": [work / "out" / "000008.png"],
        "Joining": [],
        "Thumbnails": [report],
        "Comparing slides": [report / "steadiness.jsonl"],
    }[task]
    for path in lost:
        its_files.remove_folder(path) if path.is_dir() else path.unlink()
    os.utime(film, ns=(5, 5))
    progress = Robbed(work / "interp", task)
    with pytest.raises(lock.FolderLost, match="no longer this run's"):
        pipeline.run(asked, progress)
    is_joined = task in ("Thumbnails", "Comparing slides")
    assert is_joined or target.stat().st_mtime_ns == made.st_mtime_ns
    now = everything(work)
    drawn = {path for path in now if path not in progress.left}
    folders = ("answers", "drawn", "out", "slides", "frames", "report")
    assert all(path.parent.name in folders for path in drawn)
    changed = {path.name for path, data in progress.left.items() if now.get(path) != data}
    draws = task in ("Drawing", "Composing")
    assert changed <= ({"journal.jsonl", "000001.jpg"} if draws else set())


def test_a_run_that_has_lost_its_folder_does_not_replace_the_film(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The film is whole by then, and no task tells of it any more."""
    monkeypatch.setattr(lock, "BEAT_S", 0.01)
    asked = replace(asked, target=asked.target.with_name("clay.mp4"))
    progress = Robbed(asked.target.with_name("clay.restyle") / "interp", "none")
    sync = its_files.sync

    def rob(path: Path) -> None:
        sync(path)
        if path.name.endswith(".part") and "clay.mp4" in path.name:
            progress.rob()

    monkeypatch.setattr(its_files, "sync", rob)
    with pytest.raises(lock.FolderLost, match="no longer this run's"):
        pipeline.run(asked, progress)
    assert not list(asked.target.parent.glob("clay.mp4*"))


def test_slides_of_earlier_versions_whose_masks_mixed_pictures_are_not_taken_over(
    asked: Settings,
) -> None:
    weak = replace(asked, mask_strength=2.0)
    run(weak)
    path = run_paths(weak).settings_file
    noted = json.loads(path.read_text())
    del noted["mask_decides"]  # as an earlier version wrote it
    path.write_text(json.dumps(noted))
    (run_paths(weak).finished_file).unlink()
    with pytest.raises(UnusableInput, match="mask strength below 8: an earlier version"):
        run(weak)
    assert run(replace(weak, fresh=True)).drawn > 0
