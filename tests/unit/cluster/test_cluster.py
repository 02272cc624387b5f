"""Runs on a Dask cluster of real processes draw the same slides as others, whatever dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from soak.clusters import (
    Cluster,
    Command,
    draw_with_random_kills,
    finish,
    running_cluster,
    start,
)
from support import clips
from support.comfy_server import ComfyServer, window_workflow
from support.programs import LONGEST_S
from support.runs import Silent, files, run

from stable_restyle.cluster import scheduler, shares
from stable_restyle.cluster.results import Results
from stable_restyle.cluster.worker import TaskResult
from stable_restyle.core.errors import NoBackendLeft, UnusableInput, WrongUsage
from stable_restyle.core.records import DrawRecord
from stable_restyle.core.settings import FRAME, WARPED, Settings
from stable_restyle.plan import answers, scenes
from stable_restyle.run import pipeline
from stable_restyle.workdir import journal

LENGTHS = (18, 8, 6, 8, 4)  # frames of the film's scenes, two per slide


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with frames, and with their slides as drawn without Dask, both ways."""
    folder = tmp_path_factory.mktemp("reference")
    frames = clips.write_folder(folder / "in", clips.scenes(*LENGTHS))
    with ComfyServer() as server:
        for guide, target in ((FRAME, folder / "out"), (WARPED, folder / WARPED / "out")):
            run(Settings(frames, target, backends=(server.url,), guide=guide))
    return folder


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a cluster of two workers that all tests share."""
    with running_cluster(tmp_path_factory.mktemp("cluster") / "cluster", "a", "b") as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """Return that cluster; repair its servers afterwards, for the next test."""
    yield shared_cluster
    for name in shared_cluster.servers:
        shared_cluster.repair_server(name)


@pytest.fixture
def settings(reference: Path, tmp_path: Path) -> Settings:
    return Settings(reference / "in", tmp_path / "out", patience_min=0)


def count_slides(settings: Settings) -> int:
    return len(list(settings.target.glob("*.png")))


def counts(cluster: Cluster) -> dict[str, int]:
    """Return how many slides each worker's server has drawn."""
    return {name: server.prompts_run for name, server in cluster.servers.items()}


def test_windows_are_tasks_of_a_cluster(
    reference: Path, settings: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    fill = tmp_path / "fill.json"
    fill.write_text(json.dumps(window_workflow()), "utf-8")
    finish = tmp_path / "finish.json"
    window = {"step": 4, "plus": 1, "most": 5, "overlap": 2}
    pictures = {"1": "known", "2": "known", "3": "known-mask"}
    tree = window_workflow()
    tree["stable-restyle"] |= {"window": window, "pictures": pictures}
    finish.write_text(json.dumps(tree), "utf-8")
    filled = replace(settings, keys=3, fill=str(fill), guide=WARPED, finish=(str(finish),))
    run(replace(filled, dask=cluster.address))
    (record,) = journal.read(settings.target.parent / "interp" / "journal.jsonl")
    between_keys = [(0, 3), (2, 5), (4, 7), (6, 9), (9, 12), (16, 19)]
    over_slides = [(0, 5), (2, 7), (4, 9), (9, 13), (13, 16), (16, 20), (20, 22)]
    made = [(each.slides.start, each.slides.stop) for each in record.windows]
    assert sorted(made) == sorted(between_keys + over_slides)
    assert len({each.backend for each in record.windows}) == 2
    alone = replace(filled, target=tmp_path / "alone" / "out")
    with ComfyServer() as server:
        run(replace(alone, backends=(server.url,)))
    assert files(settings.target) == files(alone.target)


@pytest.mark.parametrize("guide", [FRAME, WARPED])
def test_three_workers_draw_the_same_slides(
    reference: Path, settings: Settings, cluster: Cluster, tmp_path: Path, guide: str
) -> None:
    cluster.add("c")
    cluster.add("blind", preload=BLIND)
    cluster.wait()
    cluster.set_draw_time(0.05)
    before = counts(cluster)
    progress = Silent()
    outcome = pipeline.run(replace(settings, dask=cluster.address, guide=guide), progress)
    assert outcome.drawn == outcome.slides == 22
    assert progress.counted[-1] == 22
    drawn = {name: count - before[name] for name, count in counts(cluster).items()}
    assert sum(drawn.values()) == 22 and drawn["blind"] == 0
    assert all(drawn[name] for name in "abc")
    whole = reference if guide == FRAME else reference / WARPED
    assert files(settings.target) == files(whole / "out")
    (record,) = journal.read(settings.target.parent / "interp" / "journal.jsonl")
    url = cluster.servers["a"].url
    assert f"{url} on worker a" in record.about.backends
    assert sum(each.backend == f"{url} on worker a" for each in record.slides) == drawn["a"]
    assert any("worker blind does not see" in text for _, text in record.warnings)
    assert not list((tmp_path / "interp").glob("*.token"))
    assert not list(settings.target.glob("*.part"))
    cluster.kill("blind")
    cluster.kill("c")


def test_no_worker_sees_the_folders(settings: Settings, tmp_path: Path) -> None:
    with running_cluster(tmp_path / "cluster") as cluster:
        cluster.add("blind", preload=BLIND)
        cluster.add("other", preload=OTHER)
        cluster.wait()
        with pytest.raises(WrongUsage, match=r"OpenCV: .* here, 4\.12\.0 on worker other"):
            run(replace(settings, dask=cluster.address))
        cluster.kill("other")
        cluster.wait()
        with pytest.raises(UnusableInput, match="worker blind does not see"):
            run(replace(settings, dask=cluster.address))


# Like a machine that does not mount the shared file system.
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


def test_a_worker_that_dies_and_those_that_join(
    reference: Path, settings: Settings, cluster: Cluster
) -> None:
    cluster.set_draw_time(0.2)
    cluster.add("mortal", draw_s=0.2)
    cluster.wait()
    before = sum(counts(cluster).values())
    with start(settings, cluster.address) as process:
        cluster.until(lambda: cluster.servers["mortal"].prompts_run > 1, process)
        drawn = cluster.servers["mortal"].prompts_run
        cluster.kill("mortal")
        cluster.add("late", draw_s=0.2)
        _, stderr = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, stderr
    assert files(settings.target) == files(reference / "out")
    assert drawn + sum(counts(cluster).values()) - before <= 22 + 4
    assert not list(settings.target.glob("*.part"))
    cluster.kill("late")


def test_a_worker_whose_servers_are_gone_hands_its_scenes_on(
    reference: Path, settings: Settings, cluster: Cluster
) -> None:
    cluster.set_draw_time(0.1)
    before = counts(cluster)["a"]
    with start(settings, cluster.address, "--patience", "60") as process:
        cluster.until(lambda: cluster.servers["a"].prompts_run > before + 1, process)
        cluster.break_server("a")
        _, stderr = process.communicate(timeout=LONGEST_S)  # much shorter than --patience
    assert process.returncode == 0, stderr
    assert "worker a is left out for now: No backend could draw" in stderr
    assert "worker a: http" in stderr
    assert files(settings.target) == files(reference / "out")


def test_no_scene_goes_for_ever_to_a_worker_that_hands_it_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Dask places tasks in another way when there are many more than workers: 12 scenes."""
    able, unable = "a", "b"
    frames = clips.write_folder(tmp_path / "in", clips.scenes(*[4] * 12))
    settings = Settings(frames, tmp_path / "out")
    cluster.set_draw_time(0.05)
    cluster.break_server(unable)
    requests = cluster.servers[able].requests
    with start(settings, cluster.address, "--patience", "60") as process:
        cluster.until(lambda: count_slides(settings) > 4, process)
        cluster.break_server(able)  # now no worker can draw
        tried = requests["GET /system_stats"]
        cluster.until(lambda: requests["GET /system_stats"] > tried + 3, process)
        cluster.repair_server(able)
        _, stderr = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 0, stderr
    assert count_slides(settings) == 24


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_leaves_no_prompt_behind(
    reference: Path, settings: Settings, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.hang_after(2)
    with start(settings, cluster.address) as process:
        cluster.until(lambda: count_slides(settings) > 2, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    assert "run the command again to continue" in stderr and "Traceback" not in stderr
    assert cluster.is_idle()
    before, prompts_run = count_slides(settings), sum(counts(cluster).values())
    answers = len(files(tmp_path / "interp" / "answers"))  # one may not be composed yet
    cluster.set_draw_time(0)
    assert run(replace(settings, dask=cluster.address)).drawn == 22 - before > 0
    assert files(settings.target) == files(reference / "out")
    assert sum(counts(cluster).values()) == prompts_run + 22 - answers


@pytest.mark.long
def test_when_no_worker_can_draw_one_is_waited_for(
    reference: Path, settings: Settings, tmp_path: Path
) -> None:
    with running_cluster(tmp_path / "cluster", "a", draw_s=0.1) as cluster:
        with start(settings, cluster.address, "--patience", "60") as process:
            cluster.until(lambda: count_slides(settings) > 2, process)
            cluster.break_server("a")
            requests = cluster.servers["a"].requests
            tried = requests["GET /system_stats"]
            cluster.until(lambda: requests["GET /system_stats"] > tried + 3, process)
            cluster.repair_server("a")
            drawn = count_slides(settings)
            cluster.until(lambda: count_slides(settings) > drawn + 2, process)
            cluster.kill("a")
            cluster.add("b")
            _, stderr = process.communicate(timeout=LONGEST_S)
        assert process.returncode == 0, stderr
        assert "can draw; waiting 3600 seconds for one" in stderr
        assert "worker a draws again" in stderr
        cluster.hang_after(0)
        with start(settings, cluster.address, "--fresh") as process:
            cluster.until(lambda: not cluster.is_idle(), process)
            cluster.kill("b")
            _, stderr = process.communicate(timeout=LONGEST_S)
        assert process.returncode == 4 and "all of them are gone" in stderr, stderr
        cluster.add("c")
        cluster.hang_after(0)
        cluster.wait()
        with start(settings, cluster.address, "--fresh") as process:
            cluster.until(lambda: not cluster.is_idle(), process)
            cluster.add("otherwise", preload=OTHERWISE)
            cluster.wait()
            cluster.kill("c")
            _, stderr = process.communicate(timeout=LONGEST_S)
        assert process.returncode == 2, stderr
        assert "worker otherwise draws by preview:clay, the others by ComfyUI" in stderr
    assert files(settings.target).items() <= files(reference / "out").items()


def test_a_run_that_is_killed_leaves_the_workers_free(
    reference: Path, settings: Settings, cluster: Cluster
) -> None:
    cluster.hang_after(2)
    with start(settings, cluster.address) as process:
        cluster.until(lambda: count_slides(settings) > 2, process)
        process.kill()
    cluster.wait_until_free()
    before = count_slides(settings)
    cluster.set_draw_time(0)
    assert run(replace(settings, dask=cluster.address)).drawn == 22 - before > 0
    assert files(settings.target) == files(reference / "out")


def test_a_scheduler_that_dies_ends_the_run_and_the_next_one_goes_on(
    reference: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_cluster(tmp_path / "cluster", "a") as cluster:
        cluster.hang_after(4)
        with start(settings, cluster.address) as process:
            cluster.until(lambda: count_slides(settings) > 2, process)
            cluster.scheduler.kill()
            _, stderr = process.communicate(timeout=LONGEST_S)
        assert process.returncode == 4
        assert f"The Dask scheduler at {cluster.address} is gone" in stderr
        assert "Traceback" not in stderr
    with ComfyServer() as server:
        assert 0 < run(replace(settings, backends=(server.url,))).drawn < 22
    assert files(settings.target) == files(reference / "out")
    monkeypatch.setattr(scheduler, "CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(NoBackendLeft, match="No Dask scheduler answers at tcp://127"):
        run(replace(settings, dask="tcp://127.0.0.1:9"))


@pytest.mark.skipif(sys.platform != "linux", reason="a second name of this machine")
def test_a_server_for_all_workers_gets_no_more_than_from_one(
    reference: Path, settings: Settings, cluster: Cluster
) -> None:
    with ComfyServer(draw_s=0.05) as server:
        url = server.url.replace("127.0.0.1", "127.1")
        run(replace(settings, dask=cluster.address, backends=(url,)))
        assert server.prompts_run == 22 and server.most_in_queue <= 2
    records = journal.read(settings.target.parent / "interp" / "journal.jsonl")
    assert {each.backend for each in records[0].slides} == {url}
    assert files(settings.target) == files(reference / "out")


def test_what_fails_on_a_worker_fails_the_run_alike(settings: Settings, tmp_path: Path) -> None:
    frames = shutil.copytree(settings.source, tmp_path / "in")
    damaged = frames / "000003.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:60] + b"?" * 20 + whole[80:])
    (tmp_path / "interp").mkdir()
    shutil.copy(settings.source.parent / "interp" / "scenes.json", tmp_path / "interp")
    settings = replace(settings, source=frames)
    code, stderr = finish(start(settings, "local:1", "--backend", "preview", "--anchor", "0.3"))
    assert code == 1 and "scene 1, slides 1-2: " in stderr and "000003.png is damaged" in stderr
    assert count_slides(settings) == 20
    code, stderr = finish(start(settings, "local:1", "--backend", "http://127.0.0.1:9", "--fresh"))
    assert code == 4 and "worker 0: No backend can draw" in stderr and "Traceback" not in stderr


def test_films_of_a_list_are_drawn_side_by_side(
    reference: Path, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.set_draw_time(0.1)
    (tmp_path / "none").mkdir()
    lines = [f"{reference / 'in'} {tmp_path / name / 'out'}\n" for name in "123"]
    lines.insert(1, f"{tmp_path / 'none'} {tmp_path / 'x' / 'out'}\n")
    listed = tmp_path / "films.txt"
    listed.write_text("".join(lines))
    arguments = ("--batch", str(listed), "--dask", cluster.address)
    code, stderr = finish(Command(*arguments))
    assert code == 3 and "1 of 4 films is not finished" in stderr and "Traceback" not in stderr
    runs = []
    for name in "123":
        assert files(tmp_path / name / "out") == files(reference / "out")
        (record,) = journal.read(tmp_path / name / "interp" / "journal.jsonl")
        assert len(record.slides) == 22 and not record.warnings
        runs.append((record.began, record.began + record.last_s))
    assert any(after[0] < before[1] for before, after in pairwise(runs))  # workers never idle
    listed.write_text("".join(line for line in lines if "none" not in line))
    code, stderr = finish(Command(*arguments))
    assert code == 0 and "Film 3 of 3: " in stderr and stderr.count("is finished.") == 3


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_ends_all_films_of_a_list(reference: Path, cluster: Cluster, tmp_path: Path) -> None:
    cluster.set_draw_time(0.5)
    listed = tmp_path / "films.txt"
    listed.write_text("".join(f"{reference / 'in'} {tmp_path / name / 'out'}\n" for name in "12"))
    with Command("--batch", str(listed), "--dask", cluster.address) as process:
        cluster.until(
            lambda: all(any((tmp_path / name / "out").glob("*")) for name in "12"), process
        )
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=LONGEST_S)
    assert process.returncode == 130
    assert "run the command again to continue" in stderr and "Traceback" not in stderr
    assert cluster.is_idle()
    assert not list(tmp_path.rglob("*.token"))


@pytest.mark.long
def test_no_slide_is_lost_where_all_kinds_die(
    reference: Path, settings: Settings, tmp_path: Path
) -> None:
    draw_with_random_kills(
        tmp_path / "clusters", settings, files(reference / "out"), Random(8), most=2
    )


@pytest.mark.parametrize("address", ["local:0", "local:x", "nowhere", "ftp://x:1"])
def test_a_wrong_address_is_refused(settings: Settings, address: str) -> None:
    with pytest.raises((WrongUsage, NoBackendLeft), match=f"{address}"):
        run(replace(settings, dask=address, backends=("preview",)))


def test_without_dask_it_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "stable_restyle.cluster.scheduler")
    monkeypatch.delattr("stable_restyle.cluster.scheduler")
    with pytest.raises(WrongUsage, match=r"pip install '\.\[dask\]'"):
        run(replace(settings, dask="local"))


def test_composing_begins_once_whoever_ends_last() -> None:
    def ignore(key: int, drawn: DrawRecord) -> None:
        pass

    steps = answers.split(scenes.all_steps(scenes.find_scenes([0, 9], 1)))
    first, second, third = shares.divide(steps, [], 3)
    spec: Any = None
    results = Results(spec, set(), ignore)
    done = TaskResult("tcp://a", "worker a", [], None)
    assert results.add(first, done) == []
    for step in (*second.steps, *third.steps):
        results.add_message({"name": "a", "saved": step.key, "backend": "", "seconds": 0.0})
    assert results.add(second, done) == [*second.then]
    assert results.add(third, done) == []
