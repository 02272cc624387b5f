"""What a worker of a Dask cluster does for a run: it meets the run, draws its tasks, and leaves it.

A worker process has one pool of backends for a run, shared by the tasks that it is given. Which
tasks there are, and what becomes of one that is handed back, is left to `cluster`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
from dask.typing import Key
from distributed import Semaphore, Worker, get_worker
from distributed.core import Status

from stable_restyle.backends import connect
from stable_restyle.backends.base import Backend
from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.core import memory
from stable_restyle.core.errors import (
    NoBackendLeft,
    RestyleError,
    ServerFault,
    UnusableInput,
    WorkflowFault,
    WrongUsage,
)
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.records import BACKENDS_VARIABLE, DrawRecord, Step
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.session import DrawingSession, DrawingSpec
from stable_restyle.media import sequence

SERVERS_S = 5.0  # for one of a worker's servers to come back, before it hands its scene back
REST_S = 2.0  # before a worker that cannot draw gets the next task, which it may hand back too
LEAVE_S = 8.0  # for workers to end what they are at

SAME_ENGINE = f"Name the same with --backend, or with {BACKENDS_VARIABLE} on each worker."

_sessions: dict[str, WorkerSession] = {}  # run -> what this process draws it with
_door = threading.Lock()  # of the stations
_package_log = logging.getLogger("stable_restyle")


@dataclass(frozen=True)
class RunSpec:
    """What a worker must know before it draws for a run."""

    run: str
    backends: Sequence[str] = field(repr=False)  # a URL may hold a password
    variants: WorkflowVariants
    access: Access
    patience_s: float
    token: Path  # a file that says which run this is
    source: Path
    versions: Mapping[str, str]
    is_local: bool  # workers were started by this run, in this terminal
    engine: str | None = None  # what draws the slides, once that is known


@dataclass(frozen=True)
class Met:
    """A worker that can draw."""

    engine: str
    about: Mapping[str, str]  # of its backends, by their names


@dataclass(frozen=True)
class Done:
    """A task that has ended."""

    worker: str  # its address
    name: str
    failures: Sequence[Failure]
    given_up: RestyleError | None  # why the worker cannot go on
    has_begun: bool = True  # before that, it could draw


class OtherVersions(WrongUsage):
    """A worker has other software than the client."""


class _Unwanted(Exception):
    """Nobody waits for this task any more."""


def versions() -> dict[str, str]:
    """The software that must be the same on all machines of a run."""
    return {
        "stable-restyle": version("stable-restyle"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "OpenCV": cv2.__version__,
        "NumPy": np.__version__,
        "Dask": version("dask"),
    }


def named(worker: object) -> str:
    """A worker as the user may read it."""
    return f"worker {worker}"


class _Passer(logging.Handler):
    """Passes warnings on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


class WorkerSession:
    """What a worker process has for a run: one pool of backends, shared by its tasks."""

    def __init__(self, run_spec: RunSpec, worker: Worker) -> None:
        """Raises RestyleError if this process cannot draw for that run."""
        memory.share()
        self._run, self._worker = run_spec.run, worker
        self._semaphores: dict[str, Semaphore] = {}
        self._at_work = 0
        self._idle = threading.Condition()
        self._passer = _Passer(self._warn)
        _check(run_spec, self.name_of_worker)
        listed = os.environ.get(BACKENDS_VARIABLE, "").split(",")
        names = run_spec.backends or [each.strip() for each in listed if each.strip()]
        _check_engine(run_spec, names, self.name_of_worker)
        _package_log.addHandler(self._passer)
        patience_s = min(run_spec.patience_s, SERVERS_S)  # the client waits for the rest of it
        try:
            self.pool = connect.connect(
                names, run_spec.variants, run_spec.access, patience_s, self._lease
            )
        except BaseException:
            _package_log.removeHandler(self._passer)
            raise
        self._tell({})

    @property
    def name_of_worker(self) -> str:
        """As the user may read it."""
        return _name(self._worker)

    @property
    def about(self) -> dict[str, str]:
        """What each backend is, by a name that no other worker's has."""
        return {self._label(name): what for name, what in self.pool.about.items()}

    def draw(
        self, spec: DrawingSpec, steps: Sequence[Step], check: Callable[[], None]
    ) -> list[Failure]:
        """Draw what is not there yet. check: raises when the task is not wanted any more."""
        size = (spec.frames.width, spec.frames.height)
        kept = sequence.find_finished(spec.slides, [step.slide for step in steps], size)
        writer = f"{platform.node()}-{os.getpid()}"
        with self._idle:
            self._at_work += 1
        try:
            session = DrawingSession(spec, self.pool, self._note, writer=writer)
            return session.draw(steps, kept, lambda _: check())
        finally:
            with self._idle:
                self._at_work -= 1
                self._idle.notify_all()

    def close(self) -> None:
        """End what is at work, and let go of the backends."""
        self.pool.close()
        with self._idle:
            self._idle.wait_for(lambda: not self._at_work)
        _package_log.removeHandler(self._passer)
        for semaphore in self._semaphores.values():
            semaphore.refresh_callback.stop()

    def _warn(self, text: str) -> None:
        self._tell({"warning": text})

    def _note(self, slide: int, by: DrawRecord) -> None:
        backend = by.backend and self._label(by.backend)
        self._tell({"slide": slide, "backend": backend, "s": by.seconds})

    def _tell(self, what: Mapping[str, object]) -> None:
        told = {**what, "by": self.name_of_worker, "at": self._worker.address}
        self._worker.log_event(self._run, told)

    def _label(self, backend: str) -> str:
        return backend if _is_shared(backend) else f"{backend} on {self.name_of_worker}"

    def _lease(self, backend: Backend) -> AbstractContextManager[object]:
        """What a draw holds meanwhile: a server of all workers takes no more than from one."""
        if not _is_shared(backend.name):
            return nullcontext()
        with self._idle:
            semaphore = self._semaphores.get(backend.name) or Semaphore(
                max_leases=backend.slots,
                name=f"stable-restyle {backend.name}",
                scheduler_rpc=self._worker.scheduler,
                loop=self._worker.loop,
            )
            self._semaphores[backend.name] = semaphore
        return self._leased(semaphore)

    @contextmanager
    def _leased(self, semaphore: Semaphore) -> Iterator[None]:
        while not semaphore.acquire(timeout=TICK_S):
            if self.pool.is_closed:
                raise ServerFault("the run has ended")
        try:
            yield
        finally:
            semaphore.release()


async def meet(run_spec: RunSpec, dask_worker: Worker) -> Met:
    if run_spec.is_local:  # Ctrl-C goes to all processes of a terminal; the client tells these
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    session = await asyncio.to_thread(_session, run_spec, dask_worker)
    return Met(session.pool.engine, session.about)


async def leave(run: str) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(_close, run), LEAVE_S)


def _close(run: str) -> None:
    with _door:
        session = _sessions.pop(run, None)
    if session is not None:
        session.close()


def draw(run_spec: RunSpec, spec: DrawingSpec, steps: Sequence[Step]) -> Done:
    """The task: draw a share on this worker's backends."""
    worker = get_worker()
    done = partial(Done, worker.address, _name(worker))
    check = partial(_check_wanted, worker, worker.get_current_task())
    try:
        session = _session(run_spec, worker)
    except RestyleError as error:
        _rest(check)
        return done([], error, has_begun=False)
    try:
        return done(session.draw(spec, steps, check), None)
    except BaseException as error:  # its pool is closed
        with _door:
            if _sessions.get(run_spec.run) is session:  # else another task has seen to it
                del _sessions[run_spec.run]
                threading.Thread(target=session.close, name="close the backends").start()
        if isinstance(error, NoBackendLeft | WorkflowFault):
            _rest(check)
            return done([], error)
        raise


def _rest(check: Callable[[], None]) -> None:
    """Wait a little before a task is handed back: where no other worker is free, it comes again."""
    over_by = time.monotonic() + REST_S
    while time.monotonic() < over_by:
        check()
        time.sleep(TICK_S)


def _session(run_spec: RunSpec, worker: Worker) -> WorkerSession:
    with _door:
        if run_spec.run not in _sessions:
            _sessions[run_spec.run] = WorkerSession(run_spec, worker)
        return _sessions[run_spec.run]


def _check(run_spec: RunSpec, worker: str) -> None:
    """Raises RestyleError if this machine has other software, or does not see the folders."""
    here = versions()
    if differing := {name: its for name, its in run_spec.versions.items() if here[name] != its}:
        lines = "".join(
            f"  {name}: {its} here, {here[name]} on {worker}\n" for name, its in differing.items()
        )
        raise OtherVersions(
            f"{worker} has other software than this machine:\n{lines}"
            "Install the same on both: slides would differ."
        )
    try:
        seen = run_spec.token.read_text("utf-8") == run_spec.run and run_spec.source.exists()
    except OSError:
        seen = False
    if not seen:
        raise UnusableInput(
            f"{worker} does not see {run_spec.token.parent} and {run_spec.source} as this machine "
            "does.\n"
            "Put source, target and working folder on a file system that all machines share, "
            "under the same path."
        )


def _check_engine(run_spec: RunSpec, names: Sequence[str], worker: str) -> None:
    """Raises WrongUsage if a worker that has joined later would draw otherwise."""
    engine = connect.engine(names, run_spec.variants, run_spec.access)
    if run_spec.engine not in (None, engine):
        raise WrongUsage(
            f"{worker} draws by {engine}, the others by {run_spec.engine}; one run cannot mix "
            f"them.\n{SAME_ENGINE}"
        )


def _check_wanted(worker: Worker, key: Key) -> None:
    task = worker.state.tasks.get(key)
    if (
        task is None
        or task.state == "cancelled"
        or worker.status in (Status.closing, Status.closed)
    ):
        raise _Unwanted


def _name(worker: Worker) -> str:
    return named(worker.name)


def _is_shared(backend: str) -> bool:
    """Whether a backend is the same one for all workers, not each machine's own."""
    return urlsplit(backend).hostname not in (None, "localhost", "127.0.0.1", "::1")
