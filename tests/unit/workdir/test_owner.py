"""A TARGET contains the unchanged slides of one working folder, and no others."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import clips
from support.runs import Silent, files, interp, run

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.run import measurement, pipeline
from stable_restyle.run.inputs import run_paths
from stable_restyle.workdir import lock

MakeFrames = Callable[..., Path]


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Return a run of seven slides in two scenes."""
    (tmp_path / "film").mkdir()
    frames = make_frames(8, 5, name="film/in")
    return Settings(frames, tmp_path / "film" / "out", backends=("preview:clay",))


@pytest.fixture
def other(asked: Settings, tmp_path: Path) -> Settings:
    """Return a run into the same TARGET, with other settings in its own working folder."""
    return replace(asked, work=tmp_path / "other", backends=("preview:anime",))


def of_an_earlier_version(asked: Settings) -> None:
    """Make a working folder like versions that did not record an owner."""
    shutil.rmtree(run_paths(asked).hidden)
    path = run_paths(asked).settings_file
    noted = json.loads(path.read_text("utf-8"))
    del noted["made_by"]
    path.write_text(json.dumps({**noted, "target": run_paths(asked).shown.name}), "utf-8")


def test_slides_of_another_working_folder_are_refused(asked: Settings, other: Settings) -> None:
    run(asked)
    whole = files(asked.target)
    with pytest.raises(
        UnusableInput, match=r"7 slides in .*out were made by a run with"
    ) as refusal:
        run(other)
    assert f"another working folder, {interp(asked)}." in str(refusal.value)
    assert f"--work {interp(asked)}" in str(refusal.value)
    assert files(asked.target) == whole
    assert run(replace(asked, work=interp(asked))).drawn == 0


def test_they_are_refused_where_the_other_folder_has_settings_too(
    asked: Settings, other: Settings, tmp_path: Path
) -> None:
    run(replace(other, target=tmp_path / "elsewhere"))
    shutil.rmtree(tmp_path / "elsewhere")
    run(asked)
    with pytest.raises(UnusableInput, match="another working folder"):
        run(other)


def test_fresh_takes_them_from_the_other_working_folder(asked: Settings, other: Settings) -> None:
    run(asked)
    assert run(replace(other, fresh=True)).drawn == 7
    drawn = files(asked.target)
    with pytest.raises(UnusableInput, match=rf"another working folder, {other.work}\."):
        run(asked)
    assert files(asked.target) == drawn
    assert run(other).drawn == 0


def test_fresh_takes_them_from_the_folder_that_it_is_a_copy_of(
    asked: Settings, other: Settings, tmp_path: Path
) -> None:
    run(asked)
    shutil.copytree(interp(asked), tmp_path / "other")
    with pytest.raises(UnusableInput, match="were made with other settings"):
        run(other)
    assert run(replace(other, fresh=True)).drawn == 7
    with pytest.raises(UnusableInput, match=rf"another working folder, {other.work}\."):
        run(asked)


def test_stopped_while_it_takes_them_it_still_vouches_for_none(
    asked: Settings, other: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(asked)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("stable_restyle.core.files.remove_all", stop)
        run(replace(other, fresh=True))
    with pytest.raises(UnusableInput, match="another working folder"):
        run(other)


def test_slides_that_no_settings_vouch_for_are_refused_and_kept(asked: Settings) -> None:
    asked.target.mkdir()
    path = asked.target / "000002.png"
    png.write(path, np.zeros((50, 66, 3), np.uint8))
    for fresh in (False, True):
        with pytest.raises(
            UnusableInput, match="Nobody knows with which settings 1 slide"
        ) as error:
            run(replace(asked, fresh=fresh))
        assert "--work" in str(error.value) and "--fresh" not in str(error.value)
    assert path.exists()
    path.unlink()
    assert run(asked).drawn == 7


def test_without_its_working_folder_a_run_starts_over_only_if_asked_to(asked: Settings) -> None:
    run(asked)
    shutil.rmtree(interp(asked))
    with pytest.raises(UnusableInput, match=r"7 slides .*settings\.json\.\n.* add --fresh"):
        run(asked)
    assert run(replace(asked, fresh=True)).drawn == 7


def test_a_lost_settings_file_is_taken_to_have_said_the_same(asked: Settings) -> None:
    run(asked)
    run_paths(asked).settings_file.unlink()
    assert run(asked).drawn == 0


def test_a_working_folder_of_an_earlier_version_goes_on(asked: Settings, other: Settings) -> None:
    run(asked)
    of_an_earlier_version(asked)
    (asked.target / "000002.png").unlink()
    with pytest.raises(UnusableInput, match="Nobody knows with which settings 6 slides"):
        run(other)
    assert run(asked).drawn == 1
    with pytest.raises(UnusableInput, match="another working folder"):
        run(other)
    of_an_earlier_version(asked)
    with pytest.raises(UnusableInput, match="belongs to the run into"):
        run(replace(asked, target=asked.target.with_name("second")))


def test_a_project_that_was_moved_goes_on(asked: Settings, tmp_path: Path) -> None:
    run(asked)
    asked.source.parent.rename(tmp_path / "moved")
    moved = replace(asked, source=tmp_path / "moved" / "in", target=tmp_path / "moved" / "out")
    assert run(moved).drawn == 0
    (tmp_path / "moved" / "interp").rename(tmp_path / "work")
    assert run(replace(moved, work=tmp_path / "work")).drawn == 0


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
def test_a_project_under_another_path_goes_on(
    asked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(asked)
    (tmp_path / "mount").symlink_to(asked.source.parent)
    there = replace(asked, source=tmp_path / "mount" / "in", target=tmp_path / "mount" / "out")
    assert run(there).drawn == 0
    monkeypatch.chdir(tmp_path / "mount")
    assert run(replace(asked, source=Path("in"), target=Path("out"))).drawn == 0


def test_a_target_that_the_user_emptied_is_free(asked: Settings, other: Settings) -> None:
    run(asked)
    for path in asked.target.glob("*.png"):
        path.unlink()
    assert run(other).drawn == 7


def test_two_targets_side_by_side_with_a_working_folder_each(
    asked: Settings, other: Settings
) -> None:
    beside = replace(other, target=asked.target.with_name("second"))
    assert [run(each).drawn for each in (asked, beside)] == [7, 7]
    assert [run(each).drawn for each in (asked, beside)] == [0, 0]


def test_a_working_folder_serves_one_target_wherever_that_is(
    asked: Settings, tmp_path: Path
) -> None:
    first = replace(asked, work=tmp_path / "work")
    run(first)
    with pytest.raises(UnusableInput, match=rf"belongs to the run into {asked.target}\."):
        run(replace(first, target=tmp_path / "second" / "out"))


def test_slides_of_another_working_folder_are_not_measured(
    asked: Settings, other: Settings, tmp_path: Path
) -> None:
    run(asked)
    run(replace(other, target=tmp_path / "second" / "out"))
    with pytest.raises(UnusableInput, match="belongs to the run into"):
        measurement.measure_run(other, Silent())
    shutil.rmtree(tmp_path / "second")
    with pytest.raises(UnusableInput, match="another working folder"):
        measurement.measure_run(other, Silent())


def test_two_runs_into_one_target_are_kept_apart(asked: Settings, other: Settings) -> None:
    hidden = asked.target / lock.HIDDEN
    hidden.mkdir(parents=True)
    refusal = rf"Another run is at work in {asked.target}: process {os.getpid()} on"
    with lock.hold(hidden), pytest.raises(UnusableInput, match=refusal):
        run(other)
    assert run(other).drawn == 7


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
def test_no_link_leads_out_of_target(asked: Settings, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    asked.target.mkdir()
    (asked.target / lock.HIDDEN).symlink_to(tmp_path / "mine")
    run(asked)
    assert list((tmp_path / "mine").iterdir()) == []


def test_scripts_that_list_slides_see_nothing_else(asked: Settings) -> None:
    run(asked)
    seen = [path.name for path in asked.target.iterdir() if not path.name.startswith(".")]
    assert sorted(seen) == [sequence.name(slide) for slide in range(7)]


@pytest.mark.parametrize("first", [{}, {"deflicker": 1}])
@pytest.mark.parametrize("then", [{}, {"deflicker": 1}])
def test_fresh_leaves_no_slide_of_the_run_before(
    asked: Settings, first: dict[str, int], then: dict[str, int]
) -> None:
    run(replace(asked, frames_per_slide=1, **first))  # type: ignore[arg-type]
    (asked.target / "mine.png").write_bytes(b"the user's own")
    run(replace(asked, fresh=True, **then))  # type: ignore[arg-type]
    slides = [sequence.name(slide) for slide in range(7)]
    assert sorted(files(asked.target)) == [*slides, "mine.png"]
    drawn = run_paths(asked).drawn
    assert not drawn.exists() or sorted(files(drawn)) == slides
    alone = replace(asked, target=asked.target.parent / "alone" / "out", **then)  # type: ignore[arg-type]
    run(alone)
    (asked.target / "mine.png").unlink()
    assert files(asked.target) == files(alone.target)


def test_deflickered_slides_of_other_settings_are_refused_without_those_that_were_drawn(
    asked: Settings,
) -> None:
    steady = replace(asked, deflicker=1)
    run(steady)
    shutil.rmtree(run_paths(asked).drawn)
    with pytest.raises(UnusableInput, match=r"7 slides in .*out were made with other settings"):
        run(replace(steady, frames_per_slide=1))


@pytest.fixture
def film(asked: Settings) -> Settings:
    return replace(asked, target=asked.target.with_name("clay.mp4"))


def test_a_film_that_another_working_folder_made_is_not_overwritten(
    film: Settings, other: Settings
) -> None:
    run(film)
    made = film.target.read_bytes()
    beside = replace(other, target=film.target.with_name("anime.mp4"))
    run(beside)
    with pytest.raises(UnusableInput, match=r"clay\.mp4 is there already, and this run did not"):
        run(replace(beside, target=film.target))
    assert film.target.read_bytes() == made
    run(replace(beside, target=film.target, fresh=True))
    assert film.target.read_bytes() != made


def test_a_film_is_made_again_where_this_working_folder_made_it(film: Settings) -> None:
    run(film)
    for target in (film.target.with_suffix(".mkv"), film.target):
        run(replace(film, target=target, deflicker=1))
    os.utime(film.target, ns=(5, 5))  # as in a copy
    assert run(film).drawn == 0


def test_a_film_of_an_earlier_version_is_made_again(film: Settings) -> None:
    run(film)
    of_an_earlier_version(film)
    path = run_paths(film).settings_file
    noted = json.loads(path.read_text("utf-8"))
    del noted["film_sizes"]
    path.write_text(json.dumps(noted), "utf-8")
    assert run(replace(film, deflicker=1)).drawn == 0


def test_a_film_that_appears_meanwhile_is_not_overwritten(film: Settings, other: Settings) -> None:
    class Racing(Silent):
        def begin(self, task: str, total: int, done: int, unit: str) -> None:
            super().begin(task, total, done, unit)
            if task == "Joining":
                run(replace(other, target=film.target))

    with pytest.raises(UnusableInput, match=r"clay\.mp4 is there already, and this run did not"):
        pipeline.run(film, Racing())
    made = film.target.read_bytes()
    with pytest.raises(UnusableInput, match=r"clay\.mp4 is there already, and this run did not"):
        run(film)
    assert film.target.read_bytes() == made
    assert list(film.target.parent.glob("*.part")) == []
    assert (
        run(
            replace(
                film,
                target=film.target.with_name("second.mp4"),
                work=interp(film).parent / "clay.restyle",
            )
        ).drawn
        == 0
    )


def test_a_film_that_was_renamed_or_touched_is_the_same(tmp_path: Path) -> None:
    source = clips.make(tmp_path / "film.mp4", clips.scenes(6))
    settings = Settings(source, tmp_path / "clay.mp4", backends=("preview:clay",))
    run(settings)
    again = replace(settings, source=source.rename(tmp_path / "the film.mp4"))
    progress = Silent()
    assert pipeline.run(again, progress).drawn == 0
    assert ("Reading film", 1, 0) in progress.tasks
    progress = Silent()
    assert pipeline.run(again, progress).drawn == 0
    assert "Reading film" not in [task for task, _, _ in progress.tasks]
