"""When the machine fails: full disks, no handles left, folders gone or read-only, closed terminals.

Each time: a message that names the path and the remedy, no traceback, no half file; and when it is
mended, the same command goes on to the same end.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support import clips
from support.comfy_server import ComfyServer
from support.programs import LONGEST_S, Program, until
from support.runs import Silent, files, run

from stable_restyle.core.errors import RestyleError, UnusableInput
from stable_restyle.core.settings import Settings
from stable_restyle.media import png
from stable_restyle.run import pipeline

POSIX = pytest.mark.skipif(os.name != "posix", reason="there are no such limits elsewhere")
# The check before splitting would refuse: here the disk fills up while FFmpeg writes.
COMMAND = """
import stable_restyle.media.split, stable_restyle.run.pipeline, sys, tqdm
stable_restyle.media.split._BYTES_PER_PIXEL = 0
from stable_restyle.cli.main import main
{before}
main()
"""


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return clips.write_folder(tmp_path / "in", clips.scenes(9, 6, 8))


@pytest.fixture
def calm(frames: Path, tmp_path: Path) -> dict[str, bytes]:
    """Return the slides of an undisturbed run."""
    run(Settings(frames, tmp_path / "calm" / "out", frames_per_slide=1, backends=("preview:clay",)))
    return files(tmp_path / "calm" / "out")


def command(*arguments: object, before: str = "") -> list[str]:
    program = COMMAND.format(before=before)
    options = ("--backend", "preview:clay", "--fps", "1")
    return [sys.executable, "-c", program, *map(str, arguments), *options]


def finish(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=LONGEST_S)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def assert_nothing_half(folder: Path) -> None:
    assert not list(folder.rglob("*.part*"))
    for path in folder.rglob("*.png"):
        png.read(path)


# The disk


@functools.cache
def has_small_disks() -> bool:
    """Return whether this user may mount a file system of a chosen size in its own namespace."""
    if shutil.which("unshare") is None:
        return False
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp"]
    return subprocess.run(mount, capture_output=True).returncode == 0


def on_a_small_disk(words: Sequence[str], disk: Path, kilobytes: int, then: str = "") -> list[str]:
    """Run the command on a disk of that size; its final content is copied to disk.saved."""
    disk.mkdir()
    script = (
        f'mount -t tmpfs -o size={kilobytes}k tmpfs "$0" && cd "$0" && {then or ":"} && "$@"; '
        'rc=$?; cp -a "$0" "$0.saved"; exit $rc'
    )
    return ["unshare", "-rm", "sh", "-c", script, str(disk), *words]


@pytest.mark.skipif(not has_small_disks(), reason="this user may mount nothing")
@pytest.mark.parametrize(
    "kilobytes",
    [8, *(pytest.param(size, marks=pytest.mark.long) for size in (12, 32, 80))],
)
def test_a_disk_that_fills_up_while_slides_are_drawn(
    frames: Path, calm: dict[str, bytes], tmp_path: Path, kilobytes: int
) -> None:
    disk = tmp_path / "disk"
    done = finish(on_a_small_disk(command(frames, "out"), disk, kilobytes), tmp_path)
    assert done.returncode == 3
    assert "cannot be written: No space left on device.\nIt needs " in done.stderr
    saved = tmp_path / "disk.saved"
    assert_nothing_half(saved)
    assert len(files(saved / "out")) < len(calm)
    assert finish(command(frames, "out"), saved).returncode == 0
    assert files(saved / "out") == calm


@pytest.mark.skipif(not has_small_disks(), reason="this user may mount nothing")
@pytest.mark.parametrize("kilobytes", [60, pytest.param(230, marks=pytest.mark.long)])
def test_a_disk_that_fills_up_while_a_film_is_split_or_drawn(
    calm: dict[str, bytes], tmp_path: Path, kilobytes: int
) -> None:
    film = clips.make(tmp_path / "film.mp4", clips.scenes(9, 6, 8))
    done = finish(
        on_a_small_disk(command(film, "clay.mp4"), tmp_path / "disk", kilobytes), tmp_path
    )
    assert done.returncode == 3
    assert "cannot be written: No space left on device." in done.stderr
    assert "clay.restyle/" in done.stderr
    saved = tmp_path / "disk.saved"
    assert_nothing_half(saved)
    assert finish(command(film, "clay.mp4"), saved).returncode == 0
    assert len(files(saved / "clay.restyle" / "out")) == 23


@pytest.mark.skipif(not has_small_disks(), reason="this user may mount nothing")
def test_a_disk_that_is_read_only(frames: Path, tmp_path: Path) -> None:
    read_only = 'mkdir out interp && mount -o remount,ro "$0"'
    words = on_a_small_disk(command(frames, "out"), tmp_path / "disk", 64, read_only)
    done = finish(words, tmp_path)
    assert done.returncode == 3
    assert "out/.restyle cannot be written: Read-only file system.\nMake it writable" in done.stderr


@POSIX
def test_a_quota_on_the_size_of_files(frames: Path, calm: dict[str, bytes], tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3600, 3600))"
    done = finish(command(frames, "out", before=limited), tmp_path)
    assert done.returncode == 3
    assert "cannot be written: File too large.\nIt needs " in done.stderr
    assert_nothing_half(tmp_path)
    assert finish(command(frames, "out"), tmp_path).returncode == 0
    assert files(tmp_path / "out") == calm


@POSIX
@pytest.mark.skipif(
    sys.platform != "win32" and os.getuid() == 0, reason="root may write everywhere"
)
def test_a_folder_that_may_not_be_written(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o500)
    with pytest.raises(UnusableInput, match="Make it writable for this user"):
        run(Settings(frames, out, backends=("preview:clay",)))
    out.chmod(0o700)


# Handles


@POSIX
@pytest.mark.parametrize("spare", [1, pytest.param(2, marks=pytest.mark.long), 3])
def test_no_more_open_files(
    frames: Path, calm: dict[str, bytes], tmp_path: Path, spare: int
) -> None:
    """Scenes are known, so that FFmpeg is not run and the handles run out while drawing.

    On a slow disk two slides are written at the same moment: for these, three are too few.
    """
    (tmp_path / "interp").mkdir()
    (tmp_path / "interp" / "scenes.json").write_text("[0, 9, 15, 23]")
    limited = (
        "import os, resource, time; fsync = os.fsync; "
        "os.fsync = lambda handle: (time.sleep(0.1), fsync(handle)); os.closerange(3, 4096); "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (3 + {spare}, 3 + {spare}))"
    )
    done = finish(command(frames, "out", before=limited), tmp_path)
    assert done.returncode != 0
    assert "Too many open files.\n" in done.stderr
    assert "Allow more open files (`ulimit -n 1024`)" in done.stderr
    assert_nothing_half(tmp_path)
    assert finish(command(frames, "out"), tmp_path).returncode == 0
    assert files(tmp_path / "out") == calm


# Folders that vanish


class After(Silent):
    """Do something once a number of slides is saved."""

    def __init__(self, slides: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._slides, self._act = slides, act

    def advance(self, count: int) -> None:
        super().advance(count)
        if self.tasks[-1][0] == "Drawing" and self.counted[-1] >= self._slides:
            self._slides = 10**9
            self._act()


@POSIX
@pytest.mark.parametrize("again", [False, True])
def test_slides_removed_in_mid_run(
    frames: Path, calm: dict[str, bytes], tmp_path: Path, again: bool
) -> None:
    """Without the folder nothing can be saved; in a new one the first slides are missing."""
    settings = Settings(frames, tmp_path / "out", frames_per_slide=1, backends=("preview:clay",))

    def remove() -> None:
        for _ in range(100):  # a slide may be written there at this moment
            with suppress(OSError):
                shutil.rmtree(settings.target)
                break
        if again:
            settings.target.mkdir()

    with pytest.raises(RestyleError) as error:
        pipeline.run(settings, After(3, remove))
    assert "out" in str(error.value) and "un the command again" in str(error.value)
    assert run(settings).slides == 23
    assert files(settings.target) == calm


@POSIX
def test_frames_removed_in_mid_run(frames: Path, calm: dict[str, bytes], tmp_path: Path) -> None:
    settings = Settings(frames, tmp_path / "out", frames_per_slide=1, backends=("preview:clay",))
    away = frames.with_name("away")
    with pytest.raises(RestyleError, match="No such file or directory"):
        pipeline.run(settings, After(1, lambda: os.rename(frames, away)))
    away.rename(frames)
    assert run(settings).slides == 23
    assert files(settings.target) == calm


# Time


def test_no_clock_changes_a_result(
    frames: Path, calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system clock jumps in both directions, as when a laptop wakes up or time is set."""
    jumps = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: (-1) ** next(jumps) * 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: (-1) ** next(jumps) * 10**18)
    with ComfyServer() as server:
        for backend in ("preview:clay", server.url):
            settings = Settings(
                frames, tmp_path / backend[:4] / "out", frames_per_slide=1, backends=(backend,)
            )
            assert run(settings).drawn == 23
    assert files(tmp_path / "prev" / "out") == calm


def test_a_slow_disk_changes_nothing_and_is_waited_for(
    frames: Path, calm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def slow(handle: int) -> None:
        time.sleep(0.01)
        fsync(handle)

    monkeypatch.setattr("os.fsync", slow)
    settings = Settings(frames, tmp_path / "out", frames_per_slide=1, backends=("preview:clay",))
    assert run(settings).drawn == 23
    assert files(settings.target) == calm


# Signals


def idle(server: ComfyServer) -> bool:
    return not server.pending and server.running is None


@pytest.mark.parametrize(
    "ending",
    [
        "SIGINT",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("SIGTERM", "SIGHUP")),
        "a closed terminal",
    ],
)
def test_a_run_that_is_ended_leaves_servers_without_prompts_and_goes_on(
    frames: Path, tmp_path: Path, ending: str
) -> None:
    """The run ends without waiting for slides: these servers never finish theirs."""
    if sys.platform == "win32":
        pytest.skip("it has no such signals, nor terminals of this kind")
    import pty

    with ComfyServer() as one, ComfyServer() as two:
        calm = Settings(frames, tmp_path / "calm" / "out", frames_per_slide=1, backends=(one.url,))
        run(calm)
        one.draw_s = two.draw_s = math.inf
        words = [*command(frames, "out")[:-4], "--fps", "1", "--backend", one.url]
        words += ["--backend", two.url]
        master, terminal = pty.openpty()
        with Program(
            words, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True, preexec_fn=_own_terminal,
        ) as process:  # fmt: skip
            os.close(terminal)
            until(lambda: one.running and two.running, process)
            if ending == "a closed terminal":
                os.close(master)
            else:
                process.send_signal(getattr(signal, ending))
            process.wait(LONGEST_S)
        said = ""
        if ending != "a closed terminal":
            with suppress(OSError):  # end of the output of a terminal that is gone
                while data := os.read(master, 2**16):
                    said += data.decode()
            os.close(master)
            assert "run the command again to continue" in said
        assert process.returncode == 130
        assert "Traceback" not in said
        for server in (one, two):
            server.wait_for(functools.partial(idle, server))
            server.draw_s = 0
        asked = replace(calm, target=tmp_path / "out", backends=(one.url, two.url))
        assert run(asked).slides == 23
        assert files(tmp_path / "out") == files(calm.target)


def _own_terminal() -> None:
    """Have the terminal on stdin control this session, so that closing it sends SIGHUP."""
    if sys.platform != "win32":
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
