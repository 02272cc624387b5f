"""Find the program `ffmpeg`, ask what it can do, and run it.

At least version 5.1 is needed; tried with 5.1, 7.0 and 9.0.

FFmpeg gives many names another meaning: a pattern (`%03d`), a protocol (`concat:`), an option
(`-x`). So a film is passed as its absolute path behind `file:`, and FFmpeg is started in the folder
of pictures that it reads or writes, whose path it never sees.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import av

from stable_restyle.core import shell
from stable_restyle.core.errors import ProgramFailed, RestyleError, cannot_write, from_system

T = TypeVar("T")

_NEEDS = frozenset({"scdet", "libx264", "png", "-fps_mode"})

_NICER = 10  # of 19: a tenth of a busy core
_LAST_ON_WINDOWS: int = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)

PICTURES = "%06d.png"  # what sequence.name gives, as FFmpeg spells it
# A film may refer to other sources: read none of them over a network.
FILES_ONLY = {"protocol_whitelist": "file"}
# Placeholders in a command line: ffmpeg-python fails on file names that are not Unicode.
FILM, TARGET = "<film>", "<target>"


def find_ffmpeg(*extra: str, task: str = "Reading and writing films") -> str:
    """Return the FFmpeg on PATH if it can do all that is needed, otherwise imageio-ffmpeg's.

    extra: filters and encoders needed besides those of every run. task: what needs them, as the
    beginning of a message. Raises RestyleError naming what each of the two lacks.
    """
    needs = _NEEDS.union(extra)
    shortcomings = []
    for program in programs():
        missing = needs - abilities(program)
        if not missing:
            return program
        shortcomings.append(f"  {program} lacks {', '.join(sorted(missing))}\n")
    raise RestyleError(
        f"{task} needs an FFmpeg with {', '.join(sorted(needs))}; none was found.\n"
        f"{''.join(shortcomings)}"
        "Install a full build of FFmpeg (https://ffmpeg.org/download.html) or the newest "
        "imageio-ffmpeg from the Python package index."
    )


def programs() -> Iterator[str]:
    """Yield the FFmpeg on PATH and that of imageio-ffmpeg, where there is one."""
    if on_path := shell.find("ffmpeg"):
        yield os.path.abspath(on_path)  # it runs in another folder
    if shell.IS_WINDOWS:  # the package may search for one as the system does
        os.environ.setdefault("NODEFAULTCURRENTDIRECTORYINEXEPATH", "1")
    try:
        import imageio_ffmpeg

        yield imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # some platforms have no wheel with one
        return


@functools.cache
def abilities(program: str) -> frozenset[str]:
    """Return the names of an FFmpeg's filters, encoders and options; none if it does not start."""
    listed: set[str] = set()
    for what in (["-filters"], ["-encoders"], ["-h", "long"]):
        try:
            answer = subprocess.run(
                [program, "-hide_banner", *what], stdin=subprocess.DEVNULL, capture_output=True
            )
        except OSError as error:
            if known := from_system(error):
                raise known from error
            return frozenset()
        # " T. scdet  V->V  ...", " V....D png  ...", "-fps_mode[:<stream_spec>]  set ..."
        for line in answer.stdout.decode(errors="replace").splitlines():
            listed.update(word.partition("[")[0] for word in line.split()[:2])
    return frozenset(listed)


@functools.cache
def version(program: str) -> str:
    """Return the version of an FFmpeg, such as "ffmpeg version 7.1.1"."""
    answer = subprocess.run(
        [program, "-version"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return " ".join(answer.stdout.decode(errors="replace").split()[:3])


@functools.cache
def media_endings() -> frozenset[str]:
    """Return the suffixes, such as ".avi", of films, pictures and sound files, in lower case."""
    # Not containers, but often used as suffixes.
    known = {"av1", "ffv1", "part", "prores", "tmp", "vp8", "vp9"}
    for name in av.formats_available:
        for mode in ("r", "w"):
            with contextlib.suppress(ValueError):  # it can only be read, or only be written
                known |= av.ContainerFormat(name, mode).extensions
    return frozenset(f".{each.lower()}" for each in known if not each.isdigit())


def file_url(path: Path) -> str:
    """Return a path in a form that FFmpeg and PyAV cannot take for anything else."""
    return f"file:{os.path.abspath(path)}"


def command_line(
    output: Any,
    program: str,
    names: Mapping[str, str] | None = None,
    *more: str,
    progress: bool = True,
) -> list[str]:
    """Return the command line of a graph.

    names: what to put for its placeholders. more: options for all of it. progress: whether FFmpeg
    is to print on its standard output how far it is.
    """
    options = ["-nostdin", "-hide_banner", "-loglevel", "error", *more]
    if progress:
        options += ["-progress", "pipe:1"]
    words = output.global_args(*options).compile(cmd=program, overwrite_output=True)
    return [(names or {}).get(word, word) for word in words]


class Running:
    """An FFmpeg at work."""

    def __init__(self, child: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self.child = child
        self.messages = ""  # what it complained about, once it has ended
        self._complaints = complaints

    def complains(self) -> bool:
        """Return whether it has complained about anything so far."""
        return os.fstat(self._complaints.fileno()).st_size > 0

    def come_last(self) -> None:
        """Let other programs come first from now on, where cores are scarce; not on Windows."""
        _come_last(self.child)


def run(
    task: str,
    command: Sequence[str],
    attend: Callable[[subprocess.Popen[bytes]], T],
    *,
    folder: Path | None = None,
    result: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    last: bool = False,
) -> tuple[T, str]:
    """Run FFmpeg in a folder while `attend` reads or feeds it.

    The arguments are those of `running`. Returns the result of `attend` and what FFmpeg complained
    about. Raises ProgramFailed, UnusableInput.
    """
    with running(
        task, command, folder=folder, result=result, stdin=stdin, stdout=stdout, last=last
    ) as started:
        made = attend(started.child)
    return made, started.messages


@contextlib.contextmanager
def running(
    task: str,
    command: Sequence[str],
    *,
    folder: Path | None = None,
    result: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    last: bool = False,
) -> Iterator[Running]:
    """Run FFmpeg in a folder while the context lasts; then wait for its end.

    result: the file or folder that it makes. last: whether other programs come first where cores
    are scarce. Whatever ends the context early, Ctrl-C included, the program is gone afterwards.
    Raises ProgramFailed if it ended with an error, UnusableInput for a full disk.
    """
    # Complaints go to a file: a pipe could fill up.
    with tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(
            command, bufsize=0 if stdin == subprocess.PIPE else -1, cwd=folder, stdin=stdin,
            stdout=stdout, stderr=complaints, env={**os.environ, "SVT_LOG": "1"},
            creationflags=_LAST_ON_WINDOWS if last else 0,
        ) as child:  # fmt: skip
            started = Running(child, complaints)
            try:
                if last:
                    _come_last(child)
                yield started
            except BaseException:
                child.kill()
                raise
        complaints.seek(0)
        started.messages = complaints.read().decode(errors="replace")
        if child.returncode:
            for full in (errno.ENOSPC, errno.EDQUOT):
                if result and os.strerror(full) in started.messages:
                    raise cannot_write(result, OSError(full, os.strerror(full)))
            killed = f"It was ended by signal {-child.returncode}." if child.returncode < 0 else ""
            raise ProgramFailed(task, command, started.messages + killed)


def _come_last(child: subprocess.Popen[bytes]) -> None:
    """Lower the priority of a program."""
    if sys.platform != "win32":  # there it is lowered at the start
        for thread in _threads(child.pid):
            with contextlib.suppress(OSError):  # it has ended, or the system does not allow it
                os.setpriority(os.PRIO_PROCESS, thread, os.nice(0) + _NICER)


def _threads(process: int) -> list[int]:
    """Return the threads of a process that have priorities of their own; as on Linux."""
    with contextlib.suppress(OSError):
        return [int(thread) for thread in os.listdir(f"/proc/{process}/task")]
    return [process]


def follow(lines: Iterable[bytes] | None, on_frame: Callable[[int], None]) -> tuple[int, list[int]]:
    """Read what -progress and the metadata filter print; return the number of frames and the cuts.

    on_frame: called with the number of further frames, twice a second.
    """
    frames, cuts = 0, []
    for line in lines or ():
        if line.startswith(b"frame="):  # -progress, every half second and at the end
            before, frames = frames, int(line.removeprefix(b"frame="))
            on_frame(frames - before)
        elif line.startswith(b"frame:"):  # "frame:18   pts:18      pts_time:0.75"
            # Its `frame` restarts where FFmpeg rebuilds its filters. The pts counts frames too: its
            # unit is the duration of one.
            cuts.append(int(line.split(b"pts:")[1].split()[0]))
    return frames, cuts
