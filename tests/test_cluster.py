"""Runs on a Dask cluster of real processes: the same slides as on this machine, whatever dies."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import clips
import pytest
from comfy_server import ComfyServer, broken_off
from distributed import Client
from runs import Silent, files, run
from test_cli import COMMAND

from stable_restyle import cluster, journal, pipeline, scenes
from stable_restyle.errors import NoBackendLeft, UnusableInput, WrongUsage
from stable_restyle.model import BACKENDS_VARIABLE, Settings

LONGEST_S = 60  # what takes longer hangs
LENGTHS = (18, 8, 6, 8, 4)  # frames of the film's scenes, two a slide


class Yard:
    """A scheduler and its workers, each a process with a server of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.servers: dict[str, ComfyServer] = {}
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._folder, self._stack = folder, stack
        self._known = folder / "scheduler.json"
        where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._start("scheduler", *where)
        self.until(self._known.exists)
        self.address = json.loads(self._known.read_text())["address"]

    def add(self, name: str, *, draw_s: float = 0.0, preload: str = "") -> ComfyServer:
        """A worker. preload: what it runs before all else."""
        server = self._stack.enter_context(ComfyServer(draw_s=draw_s))
        options = ["--name", name, "--nthreads", "2", "--no-nanny", "--no-dashboard"]
        if preload:
            script = self._folder / f"{name}.py"
            script.write_text(preload)
            options += ["--preload", str(script)]
        self.servers[name] = server
        self.workers[name] = self._start("worker", *options, backends=server.url)
        return server

    def wait(self) -> None:
        """Until every worker is there."""
        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(len(self.workers), timeout=LONGEST_S)

    def until(self, condition: Callable[[], bool]) -> None:
        over_by = time.monotonic() + LONGEST_S
        while not condition():
            assert time.monotonic() < over_by
            assert self.scheduler.poll() is None
            time.sleep(0.02)

    def _start(self, what: str, *options: str, backends: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self._known)]
        log = self._stack.enter_context((self._folder / f"{what}.log").open("ab"))
        environment = {**os.environ, BACKENDS_VARIABLE: backends}
        process = subprocess.Popen([*command, *options], stderr=log, env=environment)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process


@contextmanager
def yard(folder: Path, *workers: str, draw_s: float = 0.0) -> Iterator[Yard]:
    folder.mkdir()
    with ExitStack() as stack:
        made = Yard(folder, stack)
        for name in workers:
            made.add(name, draw_s=draw_s)
        made.wait()
        yield made


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with frames, and their slides as this machine alone draws them."""
    folder = tmp_path_factory.mktemp("calm")
    frames = clips.write_folder(folder / "in", clips.scenes(*LENGTHS))
    with ComfyServer() as server:
        run(Settings(frames, folder / "out", backends=(server.url,)))
    return folder


@pytest.fixture
def asked(calm: Path, tmp_path: Path) -> Settings:
    return Settings(calm / "in", tmp_path / "out", patience_min=0)


def start(asked: Settings, address: str, *more: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    words = [str(asked.source), str(asked.target), "--dask", address, "--patience", "0", *more]
    return subprocess.Popen(
        [*COMMAND, *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, BACKENDS_VARIABLE: ""},
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and what was said."""
    with process:
        _, said = process.communicate(timeout=LONGEST_S)
    return process.returncode, said


def slides(asked: Settings) -> int:
    return len(list(asked.target.glob("*.png")))


def shares(lengths: Sequence[int], kept: Sequence[int], workers: int) -> list[list[int]]:
    """The slides of each share, those that wait for it behind it."""
    bounds = [sum(lengths[:count]) for count in range(len(lengths) + 1)]
    steps = scenes.all_steps(scenes.find_scenes(bounds, 1))
    found = cluster.divide(steps, kept, workers)
    every = [each for share in found for each in (share, *share.then)]
    return [sorted(step.slide for step in share.steps) for share in every]


def test_every_scene_is_a_share_and_the_longest_comes_first() -> None:
    assert shares([2, 5, 3], [], 1) == [[2, 3, 4, 5, 6], [7, 8, 9], [0, 1]]
    assert shares([2, 5, 3], [0, 1, 7], 1) == [[2, 3, 4, 5, 6], [7, 8, 9]]


def test_a_scene_that_others_would_wait_for_is_divided_at_its_middle() -> None:
    assert shares([9, 2, 2], [], 2) == [[4], [0, 1, 2, 3], [5, 6, 7, 8], [9, 10], [11, 12]]
    assert shares([9, 2, 2], [0, 1, 2, 3], 2) == [[*range(9)], [9, 10], [11, 12]]
    assert shares([2, 2], [], 2) == [[0, 1], [2, 3]]


def test_three_workers_draw_the_same_slides(calm: Path, asked: Settings, tmp_path: Path) -> None:
    with yard(tmp_path / "yard", "a", "b", "c", draw_s=0.05) as made:
        made.add("d", preload=BLIND)
        made.wait()
        progress = Silent()
        outcome = pipeline.run(replace(asked, dask=made.address), progress)
        assert outcome.drawn == outcome.slides == 22
        assert progress.counted[-1] == 22
        counts = {name: server.prompts_run for name, server in made.servers.items()}
        assert sum(counts.values()) == 22 and counts["d"] == 0
        assert all(counts[name] for name in "abc")
        assert files(asked.target) == files(calm / "out")
        (told,) = journal.read(asked.target.parent / "interp" / "journal.jsonl")
        url = made.servers["a"].url
        assert f"{url} on worker a" in told.about.backends
        assert sum(each.backend == f"{url} on worker a" for each in told.slides) == counts["a"]
        assert any("worker d does not see" in text for _, text in told.warnings)
        assert not list((tmp_path / "interp").glob("*.token"))
        assert not list(asked.target.glob("*.part"))
        made.workers["a"].kill()
        made.workers["b"].kill()
        made.workers["c"].kill()
        made.until(lambda: all(made.workers[each].poll() is not None for each in "abc"))
        with pytest.raises(UnusableInput, match="worker d does not see"):
            run(replace(asked, dask=made.address, target=tmp_path / "x" / "out"))


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


def test_a_worker_that_dies_and_one_that_joins(calm: Path, asked: Settings, tmp_path: Path) -> None:
    with yard(tmp_path / "yard", "a", "b", draw_s=0.1) as made, start(asked, made.address) as told:
        made.until(lambda: made.servers["a"].prompts_run > 2)
        made.workers["a"].kill()
        made.add("c", draw_s=0.1)
        _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 0, said
        assert files(asked.target) == files(calm / "out")
        assert sum(server.prompts_run for server in made.servers.values()) <= 22 + 4
        assert not list(asked.target.glob("*.part"))


def test_a_worker_whose_servers_are_gone_hands_its_scenes_on(
    calm: Path, asked: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with yard(tmp_path / "yard", "a", "b", draw_s=0.1) as made:
        made.servers["a"].on("GET /view", *[broken_off] * 100)
        with caplog.at_level(logging.WARNING):
            run(replace(asked, dask=made.address))
    assert files(asked.target) == files(calm / "out")
    assert "worker a is left out: No backend could draw" in caplog.text
    assert "worker a: http" in caplog.text and "is left out for now" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_leaves_no_prompt_behind(calm: Path, asked: Settings, tmp_path: Path) -> None:
    with yard(tmp_path / "yard", "a", "b", draw_s=1.0) as made, start(asked, made.address) as told:
        made.until(lambda: slides(asked) > 2)
        told.send_signal(signal.SIGINT)
        _, said = told.communicate(timeout=10)
        assert told.returncode == 130
        assert "repeat the command to go on" in said and "Traceback" not in said
        assert all(not s.pending and not s.running for s in made.servers.values())
        before, asked_for = slides(asked), sum(s.prompts_run for s in made.servers.values())
        time.sleep(1.5)  # longer than a slide takes
        assert slides(asked) == before < 22
        assert sum(s.prompts_run for s in made.servers.values()) == asked_for
        for server in made.servers.values():
            server.draw_s = 0
        assert run(replace(asked, dask=made.address)).drawn == 22 - before
    assert files(asked.target) == files(calm / "out")


def test_when_the_last_worker_dies_another_one_is_waited_for(
    calm: Path, asked: Settings, tmp_path: Path
) -> None:
    with (
        yard(tmp_path / "yard", "a", draw_s=0.1) as made,
        start(asked, made.address, "--patience", "1") as told,
    ):
        made.until(lambda: slides(asked) > 2)
        made.workers["a"].kill()
        made.add("b")
        _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 0, said
        with start(asked, made.address, "--fresh") as told:
            made.until(lambda: made.servers["b"].prompts_run > 22)
            made.workers["b"].kill()
            _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 4 and "all of them are gone" in said, said
    assert files(asked.target).items() <= files(calm / "out").items()


def test_a_run_that_is_killed_leaves_the_workers_free(
    calm: Path, asked: Settings, tmp_path: Path
) -> None:
    with yard(tmp_path / "yard", "a", "b", draw_s=0.3) as made, start(asked, made.address) as told:
        made.until(lambda: slides(asked) > 2)
        told.kill()
        made.until(lambda: all(not s.pending and not s.running for s in made.servers.values()))
        before = slides(asked)
        time.sleep(1)  # longer than slides take
        assert slides(asked) == before < 22
        assert run(replace(asked, dask=made.address)).drawn == 22 - before
    assert files(asked.target) == files(calm / "out")


def test_a_scheduler_that_dies_ends_the_run_and_the_next_one_goes_on(
    calm: Path, asked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with yard(tmp_path / "yard", "a", "b", draw_s=0.3) as made, start(asked, made.address) as told:
        made.until(lambda: slides(asked) > 2)
        made.scheduler.kill()
        _, said = told.communicate(timeout=LONGEST_S)
        assert told.returncode == 4
        assert f"The Dask scheduler at {made.address} is gone" in said and "Traceback" not in said
    with ComfyServer() as server:
        assert 0 < run(replace(asked, backends=(server.url,))).drawn < 22
    assert files(asked.target) == files(calm / "out")
    monkeypatch.setattr(cluster, "ANSWER_S", 0.5)
    with pytest.raises(NoBackendLeft, match="No Dask scheduler answers at tcp://127"):
        run(replace(asked, dask="tcp://127.0.0.1:9"))


def test_a_worker_with_other_software_is_refused(asked: Settings, tmp_path: Path) -> None:
    with yard(tmp_path / "yard", "a") as made:
        made.add("other", preload=OTHER)
        made.wait()
        with pytest.raises(WrongUsage, match=r"OpenCV: .* here, 4\.12\.0 on worker other"):
            run(replace(asked, dask=made.address))
        assert made.servers["a"].prompts_run == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a second name of this machine")
def test_a_server_for_all_workers_gets_no_more_than_from_one(
    calm: Path, asked: Settings, tmp_path: Path
) -> None:
    with yard(tmp_path / "yard", "a", "b", "c") as made, ComfyServer(draw_s=0.05) as server:
        url = server.url.replace("127.0.0.1", "127.1")
        run(replace(asked, dask=made.address, backends=(url,)))
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


@pytest.mark.parametrize("address", ["local:0", "local:x", "nowhere", "ftp://x:1"])
def test_an_address_that_is_none(asked: Settings, address: str) -> None:
    with pytest.raises((WrongUsage, NoBackendLeft), match=f"{address}"):
        run(replace(asked, dask=address, backends=("preview",)))


def test_without_dask_it_says_what_to_install(
    asked: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "stable_restyle.cluster")
    monkeypatch.delattr("stable_restyle.cluster")
    with pytest.raises(WrongUsage, match=r"pip install 'stable-restyle\[dask\]'"):
        run(replace(asked, dask="local"))
