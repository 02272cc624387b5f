"""Runs on a Dask cluster of real processes: the same slides as on this machine, whatever dies."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from soak.yards import Run, Yard, draw_among_deaths, ended, start, yard
from support import clips
from support.comfy_server import ComfyServer
from support.programs import LONGEST_S
from support.runs import Silent, files, run

from stable_restyle.cluster import scheduler
from stable_restyle.core.errors import NoBackendLeft, UnusableInput, WrongUsage
from stable_restyle.core.settings import Settings
from stable_restyle.run import pipeline
from stable_restyle.workdir import journal

LENGTHS = (18, 8, 6, 8, 4)  # frames of the film's scenes, two a slide


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with frames, and their slides as this machine alone draws them."""
    folder = tmp_path_factory.mktemp("calm")
    frames = clips.write_folder(folder / "in", clips.scenes(*LENGTHS))
    with ComfyServer() as server:
        run(Settings(frames, folder / "out", backends=(server.url,)))
    return folder


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A cluster of two workers that outlives a test."""
    with yard(tmp_path_factory.mktemp("standing") / "yard", "a", "b") as made:
        yield made


@pytest.fixture
def usual(standing: Yard) -> Iterator[Yard]:
    """That cluster, whose servers are all well, and are so again when a test has failed."""
    yield standing
    for name in standing.servers:
        standing.bring_server(name)


@pytest.fixture
def asked(calm: Path, tmp_path: Path) -> Settings:
    return Settings(calm / "in", tmp_path / "out", patience_min=0)


def slides(asked: Settings) -> int:
    return len(list(asked.target.glob("*.png")))


def counts(made: Yard) -> dict[str, int]:
    """The slides that each worker's server has drawn."""
    return {name: server.prompts_run for name, server in made.servers.items()}


def test_three_workers_draw_the_same_slides(
    calm: Path, asked: Settings, usual: Yard, tmp_path: Path
) -> None:
    usual.add("c")
    usual.add("blind", preload=BLIND)
    usual.wait()
    usual.draws_at(0.05)
    before = counts(usual)
    progress = Silent()
    outcome = pipeline.run(replace(asked, dask=usual.address), progress)
    assert outcome.drawn == outcome.slides == 22
    assert progress.counted[-1] == 22
    drawn = {name: count - before[name] for name, count in counts(usual).items()}
    assert sum(drawn.values()) == 22 and drawn["blind"] == 0
    assert all(drawn[name] for name in "abc")
    assert files(asked.target) == files(calm / "out")
    (told,) = journal.read(asked.target.parent / "interp" / "journal.jsonl")
    url = usual.servers["a"].url
    assert f"{url} on worker a" in told.about.backends
    assert sum(each.backend == f"{url} on worker a" for each in told.slides) == drawn["a"]
    assert any("worker blind does not see" in text for _, text in told.warnings)
    assert not list((tmp_path / "interp").glob("*.token"))
    assert not list(asked.target.glob("*.part"))
    usual.kill("blind")
    usual.kill("c")


def test_a_cluster_whose_workers_see_nothing(asked: Settings, tmp_path: Path) -> None:
    with yard(tmp_path / "yard") as made:
        made.add("blind", preload=BLIND)
        made.add("other", preload=OTHER)
        made.wait()
        with pytest.raises(WrongUsage, match=r"OpenCV: .* here, 4\.12\.0 on worker other"):
            run(replace(asked, dask=made.address))
        made.kill("other")
        made.wait()
        with pytest.raises(UnusableInput, match="worker blind does not see"):
            run(replace(asked, dask=made.address))


# A machine that mounts other file systems.
BLIND = """
from pathlib import Path
def read_text(path, *options, read=Path.read_text, **named):
    if path.suffix == ".token":
        raise FileNotFoundError(path)
    return read(path, *options, **named)
Path.read_text = read_text
"""

OTHER = """
import cv2
cv2.__version__ = "4.12.0"
"""

OTHERWISE = """
import os
os.environ["VIDEO_RESTYLE_BACKENDS"] = "preview:clay"
"""


def test_a_worker_that_dies_and_those_that_join(calm: Path, asked: Settings, usual: Yard) -> None:
    usual.draws_at(0.2)
    usual.add("mortal", draw_s=0.2)
    usual.wait()
    before = sum(counts(usual).values())
    with start(asked, usual.address) as told:
        usual.until(lambda: usual.servers["mortal"].prompts_run > 1, told)
        drawn = usual.servers["mortal"].prompts_run
        usual.kill("mortal")
        usual.add("late", draw_s=0.2)
        _, said = told.communicate(timeout=LONGEST_S)
    assert told.returncode == 0, said
    assert files(asked.target) == files(calm / "out")
    assert drawn + sum(counts(usual).values()) - before <= 22 + 4
    assert not list(asked.target.glob("*.part"))
    usual.kill("late")


def test_a_worker_whose_servers_are_gone_hands_its_scenes_on(
    calm: Path, asked: Settings, usual: Yard
) -> None:
    usual.draws_at(0.1)
    before = counts(usual)["a"]
    with start(asked, usual.address, "--patience", "60") as told:
        usual.until(lambda: usual.servers["a"].prompts_run > before + 1, told)
        usual.take_server("a")
        _, said = told.communicate(timeout=LONGEST_S)  # far less than the patience
    assert told.returncode == 0, said
    assert "worker a is left out for now: No backend could draw" in said
    assert "worker a: http" in said
    assert files(asked.target) == files(calm / "out")


@pytest.mark.parametrize(("able", "unable"), ["ab", "ba"])
def test_no_scene_goes_for_ever_to_a_worker_that_hands_it_back(
    usual: Yard, tmp_path: Path, able: str, unable: str
) -> None:
    """However many scenes there are: Dask chooses otherwise when they are many for its workers."""
    frames = clips.write_folder(tmp_path / "in", clips.scenes(*[4] * 12))
    asked = Settings(frames, tmp_path / "out")
    usual.draws_at(0.05)
    usual.take_server(unable)
    uses_backend = usual.servers[able].requests
    with start(asked, usual.address, "--patience", "60") as told:
        usual.until(lambda: slides(asked) > 4, told)
        usual.take_server(able)  # none can draw
        tried = uses_backend["GET /system_stats"]
        usual.until(lambda: uses_backend["GET /system_stats"] > tried + 3, told)
        usual.bring_server(able)
        _, said = told.communicate(timeout=LONGEST_S)
    assert told.returncode == 0, said
    assert slides(asked) == 24


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_leaves_no_prompt_behind(calm: Path, asked: Settings, usual: Yard) -> None:
    usual.hangs_after(2)
    with start(asked, usual.address) as told:
        usual.until(lambda: slides(asked) > 2, told)
        told.send_signal(signal.SIGINT)
        _, said = told.communicate(timeout=LONGEST_S)
    assert told.returncode == 130
    assert "run the command again to continue" in said and "Traceback" not in said
    assert usual.is_idle()
    before, asked_for = slides(asked), sum(counts(usual).values())
    usual.draws_at(0)
    assert run(replace(asked, dask=usual.address)).drawn == 22 - before > 0
    assert files(asked.target) == files(calm / "out")
    assert sum(counts(usual).values()) == asked_for + 22 - before


def test_when_no_worker_can_draw_one_is_waited_for(
    calm: Path, asked: Settings, tmp_path: Path
) -> None:
    with yard(tmp_path / "yard", "a", draw_s=0.1) as made:
        with start(asked, made.address, "--patience", "60") as told:
            made.until(lambda: slides(asked) > 2, told)
            made.take_server("a")
            uses_backend = made.servers["a"].requests["GET /system_stats"]
            made.until(
                lambda: made.servers["a"].requests["GET /system_stats"] > uses_backend + 3, told
            )
            made.bring_server("a")
            drawn = slides(asked)
            made.until(lambda: slides(asked) > drawn + 2, told)
            made.kill("a")
            made.add("b")
            _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 0, said
        assert "can draw; waiting 3600 seconds for one" in said and "worker a draws again" in said
        made.hangs_after(0)
        with start(asked, made.address, "--fresh") as told:
            made.until(lambda: not made.is_idle(), told)
            made.kill("b")
            _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 4 and "all of them are gone" in said, said
        made.add("c")
        made.hangs_after(0)
        made.wait()
        with start(asked, made.address, "--fresh") as told:
            made.until(lambda: not made.is_idle(), told)
            made.add("otherwise", preload=OTHERWISE)
            made.wait()
            made.kill("c")
            _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 2, said
        assert "worker otherwise draws by preview:clay, the others by ComfyUI" in said
    assert files(asked.target).items() <= files(calm / "out").items()


def test_a_run_that_is_killed_leaves_the_workers_free(
    calm: Path, asked: Settings, usual: Yard
) -> None:
    usual.hangs_after(2)
    with start(asked, usual.address) as told:
        usual.until(lambda: slides(asked) > 2, told)
        told.kill()
    usual.wait_until_free()
    before = slides(asked)
    usual.draws_at(0)
    assert run(replace(asked, dask=usual.address)).drawn == 22 - before > 0
    assert files(asked.target) == files(calm / "out")


def test_a_scheduler_that_dies_ends_the_run_and_the_next_one_goes_on(
    calm: Path, asked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yard(tmp_path / "yard", "a") as made:
        made.hangs_after(4)
        with start(asked, made.address) as told:
            made.until(lambda: slides(asked) > 2, told)
            made.scheduler.kill()
            _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 4
        assert f"The Dask scheduler at {made.address} is gone" in said and "Traceback" not in said
    with ComfyServer() as server:
        assert 0 < run(replace(asked, backends=(server.url,))).drawn < 22
    assert files(asked.target) == files(calm / "out")
    monkeypatch.setattr(scheduler, "CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(NoBackendLeft, match="No Dask scheduler answers at tcp://127"):
        run(replace(asked, dask="tcp://127.0.0.1:9"))


@pytest.mark.skipif(sys.platform != "linux", reason="a second name of this machine")
def test_a_server_for_all_workers_gets_no_more_than_from_one(
    calm: Path, asked: Settings, usual: Yard
) -> None:
    with ComfyServer(draw_s=0.05) as server:
        url = server.url.replace("127.0.0.1", "127.1")
        run(replace(asked, dask=usual.address, backends=(url,)))
        assert server.prompts_run == 22 and server.most_in_queue <= 2
    told = journal.read(asked.target.parent / "interp" / "journal.jsonl")
    assert {each.backend for each in told[0].slides} == {url}
    assert files(asked.target) == files(calm / "out")


def test_what_fails_on_a_worker_fails_the_run_alike(asked: Settings, tmp_path: Path) -> None:
    frames = shutil.copytree(asked.source, tmp_path / "in")
    damaged = frames / "000003.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:60] + b"?" * 20 + whole[80:])
    (tmp_path / "interp").mkdir()
    shutil.copy(asked.source.parent / "interp" / "scenes.json", tmp_path / "interp")
    asked = replace(asked, source=frames)
    code, said = ended(start(asked, "local:1", "--backend", "preview", "--anchor", "0.3"))
    assert code == 1 and "scene 1, slides 1-2: " in said and "000003.png is damaged" in said
    assert slides(asked) == 20
    code, said = ended(start(asked, "local:1", "--backend", "http://127.0.0.1:9", "--fresh"))
    assert code == 4 and "worker 0: No backend can draw" in said and "Traceback" not in said


def test_films_of_a_list_are_drawn_side_by_side(calm: Path, usual: Yard, tmp_path: Path) -> None:
    usual.draws_at(0.1)
    (tmp_path / "none").mkdir()
    lines = [f"{calm / 'in'} {tmp_path / name / 'out'}\n" for name in "123"]
    lines.insert(1, f"{tmp_path / 'none'} {tmp_path / 'x' / 'out'}\n")
    listed = tmp_path / "films.txt"
    listed.write_text("".join(lines))
    words = ("--batch", str(listed), "--dask", usual.address)
    code, said = ended(Run(*words))
    assert code == 3 and "1 of 4 films is not finished" in said and "Traceback" not in said
    runs = []
    for name in "123":
        assert files(tmp_path / name / "out") == files(calm / "out")
        (told,) = journal.read(tmp_path / name / "interp" / "journal.jsonl")
        assert len(told.slides) == 22 and not told.warnings
        runs.append((told.began, told.began + told.last_s))
    assert any(after[0] < before[1] for before, after in pairwise(runs))  # workers never idle
    listed.write_text("".join(line for line in lines if "none" not in line))
    code, said = ended(Run(*words))
    assert code == 0 and "Film 3 of 3: " in said and said.count("is finished.") == 3


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_ends_all_films_of_a_list(calm: Path, usual: Yard, tmp_path: Path) -> None:
    usual.draws_at(0.5)
    listed = tmp_path / "films.txt"
    listed.write_text("".join(f"{calm / 'in'} {tmp_path / name / 'out'}\n" for name in "12"))
    with Run("--batch", str(listed), "--dask", usual.address) as told:
        usual.until(lambda: all(any((tmp_path / name / "out").glob("*")) for name in "12"), told)
        told.send_signal(signal.SIGINT)
        _, said = told.communicate(timeout=LONGEST_S)
    assert told.returncode == 130
    assert "run the command again to continue" in said and "Traceback" not in said
    assert usual.is_idle()
    assert not list(tmp_path.rglob("*.token"))


def test_no_slide_is_lost_where_all_kinds_die(calm: Path, asked: Settings, tmp_path: Path) -> None:
    draw_among_deaths(tmp_path / "yards", asked, files(calm / "out"), Random(8), most=2)


@pytest.mark.parametrize("address", ["local:0", "local:x", "nowhere", "ftp://x:1"])
def test_an_address_that_is_none(asked: Settings, address: str) -> None:
    with pytest.raises((WrongUsage, NoBackendLeft), match=f"{address}"):
        run(replace(asked, dask=address, backends=("preview",)))


def test_without_dask_it_says_what_to_install(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "stable_restyle.cluster.scheduler")
    monkeypatch.delattr("stable_restyle.cluster.scheduler")
    with pytest.raises(WrongUsage, match=r"pip install '\.\[dask\]'"):
        run(replace(asked, dask="local"))
