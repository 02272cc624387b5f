"""Of two runs in a folder the second is refused and the first one named; dead runs hold no lock."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from filelock import FileLock
from support.programs import LONGEST_S, Program, until

from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.progress import Check
from stable_restyle.workdir import lock

HOLDER = """
import os, sys
from pathlib import Path
from stable_restyle.workdir import lock
lock.BEAT_S = float(sys.argv[3])
lock.platform.node = lambda: sys.argv[2]
with lock.hold(Path(sys.argv[1])):
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, host: str, beat_s: float = 0.02) -> Iterator[Program]:
    """Start a process, on a machine of this name, that holds the folder until its input ends.

    beat_s: between renewals of its note; long for one that is killed, which must not happen while
    it writes.
    """
    command = [sys.executable, "-c", HOLDER, str(folder), host, str(beat_s)]
    with Program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.pid = int(process.stdout.readline())  # on Windows the venv's Python is a launcher
        yield process


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    monkeypatch.setattr(lock, "WATCH_S", 0.5)


def note(folder: Path) -> dict[str, object]:
    while not (said := (folder / lock.NOTE).read_text("utf-8")):
        time.sleep(0.001)  # it is being renewed at this moment
    found: dict[str, object] = json.loads(said)
    return found


def test_a_second_run_is_told_who_is_at_work(tmp_path: Path) -> None:
    with holder(tmp_path, "this-machine") as other:
        refusal = rf"process {other.pid} on this-machine, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
        with pytest.raises(UnusableInput, match=refusal), lock.hold(tmp_path):
            pass


def test_a_run_that_ends_leaves_no_note(tmp_path: Path) -> None:
    with lock.hold(tmp_path):
        assert (note(tmp_path)["pid"], note(tmp_path)["host"]) == (os.getpid(), platform.node())
    assert set(os.listdir(tmp_path)) <= {lock.LOCK}  # on Windows it is removed with its process
    with pytest.raises(ZeroDivisionError), lock.hold(tmp_path):
        _ = 1 / 0
    assert set(os.listdir(tmp_path)) <= {lock.LOCK}  # on Windows it is removed with its process


def test_the_lock_of_a_dead_run_is_taken_over_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holder(tmp_path, platform.node(), beat_s=60) as other:
        other.kill()
        other.wait()
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("there is nothing to wait for"))
    with caplog.at_level(logging.INFO), lock.hold(tmp_path):
        assert note(tmp_path)["pid"] == os.getpid()
    assert f"Taking over from a run that did not end well: process {other.pid}" in caplog.text


def without_its_lock(folder: Path) -> None:
    """Simulate a file system that does not share locks between machines."""
    (folder / lock.LOCK).unlink()


@pytest.mark.skipif(os.name != "posix", reason="Windows removes no file that is open")
def test_a_run_on_another_machine_keeps_us_out_without_any_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WATCH_S", LONGEST_S)  # it ends as soon as a renewal is seen
    with holder(tmp_path, "gpu7") as other:
        without_its_lock(tmp_path)
        refusal = f"process {other.pid} on gpu7"
        with pytest.raises(UnusableInput, match=refusal), lock.hold(tmp_path):
            pass
        assert note(tmp_path)["host"] == "gpu7"


@pytest.mark.skipif(os.name != "posix", reason="Windows removes no file that is open")
def test_a_dead_run_on_another_machine_is_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with holder(tmp_path, "gpu7", beat_s=60) as other:
        without_its_lock(tmp_path)
        other.kill()
        other.wait()
        with caplog.at_level(logging.INFO), lock.hold(tmp_path):
            assert note(tmp_path)["pid"] == os.getpid()
    assert "Watching for" in caplog.text
    assert f"Taking over from a run that did not end well: process {other.pid} on gpu7" in (
        caplog.text
    )


@pytest.mark.skipif(os.name != "posix", reason="Windows removes no file that is open")
@pytest.mark.parametrize(("machines", "dead"), [(5, None), (2, "this-machine"), (2, "gpu7")])
def test_of_machines_that_begin_at_once_without_any_lock_one_has_the_folder(
    tmp_path: Path, machines: int, dead: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All check for other runs before the first of them starts."""
    if dead is not None:
        (tmp_path / lock.NOTE).write_text(json.dumps({"host": dead, "pid": 1, "beat": 1}))
    monkeypatch.setattr(lock, "BEAT_S", LONGEST_S)
    together = threading.Barrier(machines)
    monkeypatch.setattr(platform, "node", lambda: "this-machine")
    monkeypatch.setattr(lock, "FileLock", lambda *_, **__: FileLock(tmp_path / uuid4().hex))
    begin = lock._Note.claim

    def claim(self: lock._Note, found: bytes | None) -> None:
        together.wait(LONGEST_S)
        begin(self, found)

    def machine(_: int) -> str:
        try:
            with lock.hold(tmp_path) as check:
                together.wait(LONGEST_S)
                check()
                return "had it"
        except UnusableInput as error:
            together.wait(LONGEST_S)
            return str(error)

    monkeypatch.setattr(lock._Note, "claim", claim)
    with ThreadPoolExecutor(machines) as pool:
        said = [*pool.map(machine, range(machines))]
    assert said.count("had it") == 1
    assert all("Another run is at work" in each for each in said if each != "had it")
    assert not (tmp_path / lock.NOTE).exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")
def test_a_machine_that_slept_while_another_took_over_stops(tmp_path: Path) -> None:
    with lock.hold(tmp_path) as check:
        check()
        without_its_lock(tmp_path)
        (tmp_path / lock.NOTE).unlink()
        with holder(tmp_path, "gpu7") as other:
            until_refused(check)
            assert note(tmp_path)["pid"] == other.pid


def test_a_run_whose_folder_is_removed_stops(tmp_path: Path) -> None:
    with lock.hold(tmp_path) as check:
        check()
        (tmp_path / lock.NOTE).unlink()
        until_refused(check)


def until_refused(check: Check) -> None:
    """Call a function until it raises."""

    def is_refused() -> bool:
        check()
        return False

    with pytest.raises(UnusableInput, match="no longer this run's"):
        until(is_refused)


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b"null", b"\xff", b'{"host": []}', b"[" * 9999])
def test_a_note_that_makes_no_sense_is_no_hindrance_for_long(tmp_path: Path, said: bytes) -> None:
    (tmp_path / lock.NOTE).write_bytes(said)
    with lock.hold(tmp_path):
        assert note(tmp_path)["pid"] == os.getpid()
        assert {path.name for path in tmp_path.iterdir()} == {lock.LOCK, lock.NOTE}


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
def test_no_link_leads_the_lock_out_of_the_folder(tmp_path: Path) -> None:
    mine, interp = tmp_path / "mine", tmp_path / "interp"
    mine.write_text("the user's own")
    interp.mkdir()
    for name in (lock.LOCK, lock.NOTE):
        (interp / name).symlink_to(mine)
    with lock.hold(interp):
        assert note(interp)["pid"] == os.getpid()
    assert mine.read_text() == "the user's own"


def test_a_full_disk_does_not_lose_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[None] = []

    def full(path: Path, *_: object) -> int:
        path.write_bytes(b"")  # opening it for writing emptied it
        beats.append(None)
        raise OSError(28, "No space left on device")

    with lock.hold(tmp_path) as check:
        monkeypatch.setattr(Path, "write_text", full)

        def three_beats() -> bool:
            check()
            return len(beats) >= 3

        until(three_beats)


def test_a_run_whose_note_another_run_has_overwritten_stops(tmp_path: Path) -> None:
    with lock.hold(tmp_path) as check:
        check()
        theirs = json.dumps({"host": "gpu7", "pid": 1, "run": "another"})
        (tmp_path / lock.NOTE).write_text(theirs, "utf-8")
        until_refused(check)
        assert (tmp_path / lock.NOTE).read_text("utf-8") == theirs
    assert (tmp_path / lock.NOTE).read_text("utf-8") == theirs


def test_a_first_note_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Path, "write_text", full)
        with lock.hold(tmp_path):
            pass
    assert set(os.listdir(tmp_path)) <= {lock.LOCK}  # on Windows it is removed with its process
    with lock.hold(tmp_path):
        assert note(tmp_path)["pid"] == os.getpid()


def test_the_loser_of_a_race_is_told_who_was_quicker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner = {"host": "gpu7", "pid": 4711, "since": "2026-01-02 03:04:05+00:00", "run": "theirs"}
    claim = lock._Note.claim

    def overtaken(self: lock._Note, dead: bytes | None) -> None:
        self.path.write_text(json.dumps(winner), "utf-8")
        claim(self, dead)

    monkeypatch.setattr(lock._Note, "claim", overtaken)
    with (
        pytest.raises(UnusableInput, match="process 4711 on gpu7, since 2026"),
        lock.hold(tmp_path),
    ):
        pass
    assert note(tmp_path) == winner


def test_times_are_those_of_this_machine_s_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(time, "tzset"):
        pytest.skip("Windows takes its time zone from elsewhere")
    monkeypatch.setenv("TZ", "UTC-5:30")
    time.tzset()
    try:
        described = lock._who(b'{"host": "gpu7", "pid": 1, "since": "2026-01-02 20:04:05+00:00"}')
        odd = lock._who(b'{"host": "gpu7", "pid": 1, "since": "of old"}')
    finally:
        monkeypatch.undo()
        time.tzset()
    assert described == "process 1 on gpu7, since 2026-01-03 01:34:05"
    assert odd == "process 1 on gpu7, since of old"


def test_of_two_folders_both_are_held_or_none(tmp_path: Path) -> None:
    work, target = tmp_path / "work", tmp_path / "out" / lock.HIDDEN
    for folder in (work, target):
        folder.mkdir(parents=True)
    refusal = re.escape(f"at work in {target.parent}: ")
    with lock.hold(target), pytest.raises(UnusableInput, match=refusal), lock.hold(work, target):
        pass
    with lock.hold(work, target) as check:
        (target / lock.NOTE).unlink()
        until_refused(check)
        assert note(work)["pid"] == os.getpid()
    assert not (work / lock.NOTE).exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows removes no file that is open")
def test_dead_runs_in_two_folders_are_watched_at_the_same_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("work", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / lock.NOTE).write_text(json.dumps({"host": "gpu7", "pid": 1}), "utf-8")
    slept: list[float] = []
    clock = time.monotonic
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(slept))
    with caplog.at_level(logging.INFO), lock.hold(tmp_path / "work", tmp_path / "out"):
        assert sum(slept) < 2 * lock.WATCH_S
    assert caplog.text.count("Taking over from a run that did not end well") == 1
