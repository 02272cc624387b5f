"""--guide frame: answers drawn of frames alone and kept, slides composed from them."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import clips
from support.comfy_server import ComfyServer
from support.noting_server import NotingServer, edit_model, negative, on
from support.runs import Silent, Stopping, files, interp, run

from stable_restyle.backends.preview.engine import Preview
from stable_restyle.core.errors import NoBackendLeft, UnusableInput, WrongUsage
from stable_restyle.core.records import Job, Slide
from stable_restyle.core.settings import FRAME, WARPED, Settings
from stable_restyle.imaging import arrays
from stable_restyle.media import png, sequence
from stable_restyle.run import dry_run, pipeline, status
from stable_restyle.run.failures import SlidesMissing
from stable_restyle.workdir import journal

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Seven slides in two scenes: the middles are 3 and 6, as their files are numbered."""
    return Settings(make_frames(8, 5), tmp_path / "out", backends=("preview:clay",), guide=FRAME)


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What the preview engine is asked for."""
    jobs: list[Job] = []
    draw = Preview.draw

    def noted(self: Preview, job: Job) -> Slide:
        jobs.append(job)
        return draw(self, job)

    monkeypatch.setattr(Preview, "draw", noted)
    return jobs


def answers(asked: Settings) -> Path:
    return interp(asked) / "answers"


def elsewhere(asked: Settings) -> Settings:
    return replace(asked, target=asked.target.parent / "elsewhere" / "out")


def test_every_slide_is_drawn_from_its_frame_alone(asked: Settings, asks: list[Job]) -> None:
    progress = Silent()
    assert pipeline.run(asked, progress).drawn == 7
    assert dict(zip(progress.tasks, progress.counted, strict=True))["Drawing", 7, 0] == 7
    assert sorted(job.slide for job in asks) == [*range(7)]
    for job in asks:
        assert (job.mask == 255).all()
        assert np.array_equal(job.guide, png.read(asked.source / sequence.name(2 * job.slide)))
        assert job.middle == (job.slide in (2, 5))
    drawn, shown = files(answers(asked)), files(asked.target)
    assert drawn.keys() == shown.keys()
    for middle in ("000003.png", "000006.png"):
        assert np.array_equal(png.read(answers(asked) / middle), png.read(asked.target / middle))
    assert drawn["000001.png"] != shown["000001.png"]  # composed into the warped slide


def test_all_slides_are_at_the_servers_at_once(asked: Settings) -> None:
    with ComfyServer() as first, ComfyServer() as second:
        run(replace(asked, backends=(first.url, second.url)))
        counts = [len(server.prompts) for server in (first, second)]
    assert sum(counts) == 7 and min(counts) >= 2


@pytest.mark.parametrize("change", [{"mask_strength": 3}, {"anchor": 0.9}, {"keys": 3}])
def test_other_options_of_composing_ask_the_model_for_nothing(
    asked: Settings, asks: list[Job], change: dict[str, float]
) -> None:
    run(asked)
    before, drawn = files(asked.target), files(answers(asked))
    asks.clear()
    other = replace(asked, **change)  # type: ignore[arg-type]
    progress = Silent()
    pipeline.run(other, progress)
    assert not asks and files(answers(asked)) == drawn
    assert "Composing" in [name for name, _, _ in progress.tasks]
    assert files(asked.target) != before
    run(replace(elsewhere(asked), **change))  # type: ignore[arg-type]
    assert files(elsewhere(asked).target) == files(asked.target)
    assert status.is_finished(other) and not status.is_finished(asked)


@pytest.mark.parametrize("change", [{"mask_strength": 3}, {"keys": 3}, {"deflicker": 1}, {}])
def test_composing_needs_no_server(asked: Settings, change: dict[str, int]) -> None:
    with ComfyServer() as server:
        asked = replace(asked, backends=(server.url,), patience_min=0)
        run(asked)
        for slide in (1, 2, 7):
            (asked.target / f"00000{slide}.png").unlink()
    run(replace(asked, **change))  # type: ignore[arg-type]
    assert sequence.indices(asked.target) == {*range(7)}
    noted = json.loads((interp(asked) / "settings.json").read_text())
    assert noted["drawn_by"] == "ComfyUI"
    (answers(asked) / "000001.png").unlink()
    (asked.target / "000001.png").unlink()
    with pytest.raises(NoBackendLeft):
        run(replace(asked, **change))  # type: ignore[arg-type]


def test_answers_of_other_settings_are_refused_even_without_slides(asked: Settings) -> None:
    run(asked)
    for path in asked.target.glob("*.png"):
        path.unlink()
    with pytest.raises(UnusableInput, match=r"7 answers in .*\n  seed: none then, 7 now"):
        run(replace(asked, seed=7))


def test_deflicker_is_done_again_alone(asked: Settings, asks: list[Job]) -> None:
    run(asked)
    plain = files(asked.target)
    asks.clear()
    run(replace(asked, deflicker=1))
    assert files(interp(asked) / "drawn") == plain and files(asked.target) != plain
    run(asked)
    assert files(asked.target) == plain and not asks


def test_other_options_of_the_model_are_refused_as_ever(asked: Settings) -> None:
    run(asked)
    with pytest.raises(UnusableInput, match="seed: none then, 7 now"):
        run(replace(asked, seed=7, mask_strength=3))
    with pytest.raises(UnusableInput, match="guide: frame then, warped now"):
        run(replace(asked, guide=WARPED))
    before = files(answers(asked))
    run(replace(asked, guide=WARPED, fresh=True))
    assert before and not files(answers(asked))


def test_without_answers_slides_are_not_silently_drawn_again(asked: Settings) -> None:
    run(asked)
    shutil.rmtree(answers(asked))
    assert status.is_finished(asked)
    with pytest.raises(UnusableInput, match=r"mask strength: 8\.0 then, 3 now"):
        run(replace(asked, mask_strength=3))


def test_slides_whose_answers_are_gone_are_not_discarded_unasked(
    asked: Settings, asks: list[Job]
) -> None:
    run(asked)
    (answers(asked) / "000001.png").unlink()
    whole = files(asked.target)
    asks.clear()
    with pytest.raises(UnusableInput, match=r"1 of these slides cannot be composed again"):
        run(replace(asked, mask_strength=3))
    scenes_file = interp(asked) / "scenes.json"
    scenes_file.write_text("[0, 6, 13]")
    with pytest.raises(UnusableInput, match=r"7 of the 7 slides in .*\n  other scenes in"):
        run(asked)
    assert files(asked.target) == whole and not asks
    run(replace(asked, fresh=True))
    assert [job.slide for job in asks] == [0]


def test_the_same_film_with_another_time_or_name_is_only_composed_again(
    asked: Settings, asks: list[Job], tmp_path: Path
) -> None:
    film = tmp_path / "film.mkv"
    clips.run_ffmpeg("-i", asked.source / "%06d.png", "-c:v", "ffv1", film)
    asked = replace(asked, source=film)
    run(asked)
    asks.clear()
    os.utime(film, (1, 1))
    run(replace(asked, mask_strength=3))
    renamed = replace(asked, source=film.rename(tmp_path / "renamed.mkv"))
    run(replace(renamed, mask_strength=4))
    assert not asks


def test_fresh_keeps_answers_if_only_composing_differs(asked: Settings, asks: list[Job]) -> None:
    run(asked)
    drawn = files(answers(asked))
    asks.clear()
    (interp(asked) / "scenes.json").write_text("[0, 6, 13]")
    again = replace(asked, fresh=True)
    planned = dry_run.plan(again, None, Silent())
    run(again)
    assert files(answers(asked)) == drawn and not asks
    assert (planned.finished, planned.drawings) == (0, 0)
    assert dry_run.plan(again, None, Silent()).drawings == 7
    run(again)
    assert len(asks) == 7


def test_answers_outlast_keys_that_do_not_need_them_but_not_their_frames(
    asked: Settings, asks: list[Job]
) -> None:
    run(asked)
    whole, keyed = files(asked.target), replace(asked, keys=3)
    run(keyed)  # slide 2 is filled
    asks.clear()
    run(asked)
    assert files(asked.target) == whole and not asks
    run(keyed)
    frame = asked.source / "000003.png"
    png.write(frame, 255 - png.read(frame))
    with pytest.raises(UnusableInput, match=r"1 of the 7 answers in"):
        run(keyed)
    run(replace(keyed, fresh=True))
    run(asked)
    assert [job.slide for job in asks] == [1]
    run(elsewhere(asked))
    assert files(asked.target) == files(elsewhere(asked).target)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_run_that_is_stopped_goes_on(asked: Settings, asks: list[Job], after: int) -> None:
    run(elsewhere(asked))
    asks.clear()
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(asked, Stopping(after))
    run(asked)
    assert files(asked.target) == files(elsewhere(asked).target)
    assert files(answers(asked)) == files(answers(elsewhere(asked)))
    assert len(asks) == 7  # nothing was drawn twice


def test_lost_slides_are_composed_again_and_lost_answers_drawn(
    asked: Settings, asks: list[Job]
) -> None:
    run(asked)
    whole = files(asked.target)
    asks.clear()
    (asked.target / "000001.png").unlink()
    run(asked)
    assert files(asked.target) == whole and not asks
    for folder in (asked.target, answers(asked)):
        (folder / "000002.png").unlink()
    run(asked)
    assert files(asked.target) == whole and [job.slide for job in asks] == [1]


def test_a_redo_draws_one_answer_and_composes_its_chain_again(
    asked: Settings, asks: list[Job]
) -> None:
    run(asked)
    before, drawn = files(asked.target), files(answers(asked))
    asks.clear()
    run(replace(asked, redo="2"))
    after = files(asked.target)
    assert [job.slide for job in asks] == [1] and asks[0].seed is not None
    assert {name for name in before if before[name] != after[name]} <= {"000001.png", "000002.png"}
    assert before["000002.png"] != after["000002.png"]
    assert files(interp(asked) / "redone") == {"000002.png": drawn["000002.png"]}
    run(asked)
    assert files(asked.target) == after


def test_a_redo_without_answers_draws_no_more_than_it_says(
    asked: Settings, asks: list[Job]
) -> None:
    run(asked)
    whole = files(asked.target)
    for name in ("000002.png", "000003.png"):
        (answers(asked) / name).unlink()
    asks.clear()
    with pytest.raises(
        WrongUsage, match=r"slides that follow, such as 2, cannot be composed again"
    ):
        run(replace(asked, redo="3"))
    assert files(asked.target) == whole and not asks
    run(replace(asked, redo="2"))
    assert files(interp(asked) / "redone") == {"000002.png": whole["000002.png"]}
    (answers(asked) / "000002.png").unlink()
    asks.clear()
    run(replace(asked, redo="3", redo_chain=True))
    assert sorted(job.slide for job in asks) == [0, 1, 2, 3]


def test_a_redo_that_is_stopped_goes_on(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def draw(self: Preview, job: Job) -> Slide:
        raise Killed

    for each in (asked, elsewhere(asked)):
        run(each)
    run(replace(elsewhere(asked), redo="3"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Preview, "draw", draw)
        run(replace(asked, redo="3"))
    run(asked)
    assert files(asked.target) == files(elsewhere(asked).target)


def test_a_changed_frame_is_drawn_again_and_a_moved_cut_only_composed(
    asked: Settings, asks: list[Job]
) -> None:
    run(asked)
    scenes_file = interp(asked) / "scenes.json"
    assert json.loads(scenes_file.read_text()) == [0, 8, 13]
    scenes_file.write_text("[0, 6, 13]")
    asks.clear()
    run(asked)
    assert not asks
    frame = asked.source / "000003.png"
    png.write(frame, 255 - png.read(frame))
    with pytest.raises(UnusableInput, match=r"1 of the 7 answers in .*answers were made of"):
        run(asked)
    run(replace(asked, fresh=True))
    assert [job.slide for job in asks] == [1]


def test_the_journal_has_who_drew_each_answer(asked: Settings) -> None:
    run(asked)
    (noted,) = journal.read(interp(asked) / "journal.jsonl")
    assert sorted(each.slide for each in noted.slides) == [*range(7)]
    assert {each.backend for each in noted.slides} == {"preview:clay"}
    assert noted.made == {*range(7)}
    run(replace(asked, mask_strength=3, keys=3))
    again = journal.read(interp(asked) / "journal.jsonl")[-1]
    assert again.made == {*range(7)} > again.composed
    assert not any(each.backend for each in again.slides)  # filled ones


def test_a_slide_that_fails_loses_its_chain_alone(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Preview.draw

    def failing(self: Preview, job: Job) -> Slide:
        if job.slide == 1:
            raise UnusableInput("no.")
        return draw(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(Preview, "draw", failing)
        with pytest.raises(SlidesMissing, match="2 of 7 slides are missing"):
            run(asked)
    assert sequence.indices(asked.target) == {2, 3, 4, 5, 6}
    assert sequence.indices(answers(asked)) == {0, 2, 3, 4, 5, 6}
    assert run(asked).drawn == 2


def test_a_damaged_answer_is_named_and_drawn_again_once_it_is_removed(asked: Settings) -> None:
    run(asked)
    whole = files(asked.target)
    damaged = answers(asked) / "000002.png"
    damaged.write_bytes(damaged.read_bytes()[:200] + bytes(60) + damaged.read_bytes()[260:])
    (asked.target / "000002.png").unlink()
    with pytest.raises(SlidesMissing, match=r"answers.000002\.png is damaged.*\n.*emove"):
        run(asked)
    damaged.unlink()
    run(asked)
    assert files(asked.target) == whole


def test_the_disk_that_answers_take_is_told(
    asked: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run(asked)
    assert "about 46.2 kB" in caplog.text


def test_the_plan_draws_all_at_once(asked: Settings) -> None:
    planned = dry_run.plan(replace(asked, backends=("preview:clay",) * 7), 2.0, Silent())
    assert (planned.asked, planned.longest_chain, planned.drawing_s) == (7, 1, 2.0)
    run(asked)
    planned = dry_run.plan(replace(asked, mask_strength=3), 2.0, Silent())
    assert (planned.finished, planned.longest_chain, planned.drawing_s) == (0, 0, 0.0)


def test_the_guide_is_the_frame_by_flow_and_warped_by_codec(asked: Settings) -> None:
    for motion, guide in (("flow", FRAME), ("codec", WARPED)):
        there = replace(elsewhere(asked), motion=motion, guide=None, fresh=True)
        run(there)
        assert json.loads((interp(there) / "settings.json").read_text())["guide"] == guide


def test_a_run_goes_on_as_it_was_begun(asked: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(replace(asked, guide=WARPED))
    whole = files(asked.target)
    (asked.target / "000001.png").unlink()
    run(replace(asked, guide=None))
    assert files(asked.target) == whole
    assert "Going on with --guide warped, as this run was begun." in caplog.text


def test_a_folder_of_an_earlier_version_goes_on_warped(asked: Settings) -> None:
    run(replace(asked, guide=WARPED))
    whole, noted = files(asked.target), interp(asked) / "settings.json"
    settings = json.loads(noted.read_text())
    del settings["guide"]
    noted.write_text(json.dumps(settings))
    (asked.target / "000001.png").unlink()
    run(replace(asked, guide=None))
    assert files(asked.target) == whole


def test_a_workflow_that_loads_the_previous_slide_is_drawn_warped(asked: Settings) -> None:
    with NotingServer(negative) as server:
        there = on(asked, server, edit_model({"1": ["previous", "frame"]}))
        with pytest.raises(WrongUsage, match=r"--guide frame: .* loads previous"):
            run(there)
        run(replace(there, guide=None))
    assert not answers(asked).exists()


def test_answers_that_load_the_middle_are_drawn_after_it(asked: Settings) -> None:
    with NotingServer(negative) as server:
        run(on(asked, server, edit_model({"1": "frame", "2": ["middle", "frame"]})))
    middle = png.read(answers(asked) / "000003.png")
    assert sum(np.array_equal(each["2"], middle) for each in server.loaded) == 3
    assert len(server.loaded) == 7


def test_answers_load_the_given_middle_not_what_was_drawn_before(
    asked: Settings, tmp_path: Path
) -> None:
    painted = tmp_path / "painted"
    painted.mkdir()
    given = np.full((50, 66, 3), 90, np.uint8)
    png.write(painted / "000005.png", given)  # the middle
    with NotingServer(negative) as server:
        there = on(asked, server, edit_model({"1": "frame", "2": ["middle", "frame"]}))
        run(there)
        server.loaded.clear()
        run(replace(there, given=painted, fresh=True))
    assert sum(np.array_equal(each["2"], given) for each in server.loaded) == 3


def test_slides_are_composed_at_the_size_that_the_workflow_returns(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Preview.draw

    def larger(self: Preview, job: Job) -> Slide:
        pixels = draw(self, job).pixels
        height, width = pixels.shape[:2]
        return Slide(arrays.fit(pixels, 2 * width, 2 * height))

    with monkeypatch.context() as patch:
        patch.setattr(Preview, "draw", larger)
        run(asked)
    sizes = {png.read_header(asked.target / sequence.name(each)).size for each in range(7)}
    assert sizes == {(132, 100)}
    first, answer = (png.read(folder / "000001.png") for folder in (asked.target, answers(asked)))
    assert not np.array_equal(first, answer)


def test_beyond_the_subject_slides_are_their_frames(asked: Settings, tmp_path: Path) -> None:
    left = np.zeros((50, 66, 3), np.uint8)
    left[:, :33] = 255
    masks = clips.write_folder(tmp_path / "masks", [left] * 13)
    run(replace(asked, only=masks))
    for slide in range(7):
        shown = png.read(asked.target / sequence.name(slide))
        frame = png.read(asked.source / sequence.name(2 * slide))
        assert np.array_equal(shown[:, 33:], frame[:, 33:])
        assert not np.array_equal(shown[:, :33], frame[:, :33])


def test_scenes_start_from_given_slides(asked: Settings, asks: list[Job], tmp_path: Path) -> None:
    painted = tmp_path / "painted"
    painted.mkdir()
    png.write(painted / "000001.png", 255 - png.read(asked.source / "000001.png"))
    run(replace(asked, given=painted))
    assert sorted(job.slide for job in asks) == [1, 2, 3, 4, 5, 6]
    given = png.read(painted / "000001.png")
    assert np.array_equal(png.read(asked.target / "000001.png"), given)
    following = png.read(asked.target / "000002.png").astype(int)
    answer = png.read(answers(asked) / "000002.png").astype(int)
    assert np.abs(following - given).mean() < np.abs(answer - given).mean()


@pytest.mark.parametrize("fill_only", [False, True])
def test_only_keys_are_drawn(asked: Settings, asks: list[Job], fill_only: bool) -> None:
    run(replace(asked, keys=3, fill_only=fill_only))
    assert {job.slide for job in asks} >= {0, 2, 3, 4, 5, 6} - {1}
    assert sequence.indices(answers(asked)) == {job.slide for job in asks}
    assert sequence.indices(asked.target) == {*range(7)}


def test_pictures_between_frame_and_slide_are_saved(asked: Settings) -> None:
    run(replace(asked, save_interp=True))
    saved = {path.name for path in interp(asked).glob("*.png")}
    assert saved == {
        f"{name}{what}.png"
        for name, direction in (
            ("000001", "b"),
            ("000002", "b"),
            ("000004", "f"),
            ("000005", "b"),
            ("000007", "f"),
        )
        for what in (f"-{direction}", "-m")
    }
