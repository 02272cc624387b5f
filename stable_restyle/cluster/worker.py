"""Work for a run on a Dask cluster: join the run, draw its tasks, leave it.

A worker process has one pool of backends for each run, shared by its tasks. The tasks come from
`client`, which also places those that a worker hands back.
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
from stable_restyle.core.records import DrawRecord, Step
from stable_restyle.core.settings import BACKENDS_VARIABLE
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.session import DrawingSession, DrawingSpec, find_done
from stable_restyle.workdir.journal import WarningCollector

RECONNECT_S = 5.0  # how long a worker waits for one of its servers before it hands its task back
HAND_BACK_DELAY_S = 2.0  # how long a worker that cannot draw holds a task before it hands it back
LEAVE_TIMEOUT_S = 8.0  # how long a worker may take to stop its draws

SAME_ENGINE = f"Name the same with --backend, or with {BACKENDS_VARIABLE} on each worker."

_sessions: dict[str, WorkerSession] = {}  # by run
_sessions_lock = threading.Lock()
_package_log = logging.getLogger("stable_restyle")


@dataclass(frozen=True)
class RunSpec:
    """What a worker needs to know to draw for a run."""

    run: str
    backends: Sequence[str] = field(repr=False)  # a URL may hold a password
    variants: WorkflowVariants
    access: Access
    patience_s: float
    token: Path  # a file that holds `run`: who reads it there shares the file system
    source: Path
    versions: Mapping[str, str]
    is_local: bool  # the workers were started by this run, in this terminal
    engine: str | None = None  # what draws the slides; None until the workers have joined


@dataclass(frozen=True)
class JoinedWorker:
    """A worker that can draw."""

    engine: str
    backends: Mapping[str, str]  # name -> description


@dataclass(frozen=True)
class TaskResult:
    """How a task ended on a worker."""

    address: str  # of the worker
    worker: str  # its display name
    failures: Sequence[Failure]
    error: RestyleError | None  # why the worker cannot go on: it hands the task back
    was_started: bool = True  # whether the worker had connected its backends


class VersionMismatch(WrongUsage):
    """A worker has other versions of the software than the client."""


class _TaskCancelled(Exception):
    """The client no longer waits for this task."""


def versions() -> dict[str, str]:
    """Return the versions of the software that must be the same on all machines of a run."""
    return {
        "stable-restyle": version("stable-restyle"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "OpenCV": cv2.__version__,
        "NumPy": np.__version__,
        "Dask": version("dask"),
    }


def display_name(worker: object) -> str:
    """Return how messages call the worker of a name or number that Dask gives it."""
    return f"worker {worker}"


class WorkerSession:
    """One run on this worker process: a pool of backends, shared by its tasks. Thread-safe."""

    def __init__(self, run_spec: RunSpec, worker: Worker) -> None:
        """Connect the backends. Raises RestyleError if this process cannot draw for that run."""
        memory.share()
        self._run, self._worker = run_spec.run, worker
        self._name = display_name(worker.name)
        self._semaphores: dict[str, Semaphore] = {}
        self._draws = 0  # in progress
        self._idle = threading.Condition()
        self._warnings = WarningCollector()
        self._warnings.forward_to(lambda text: self._send({"warning": text}))
        _check_versions(run_spec, self._name)
        _check_folders(run_spec, self._name)
        listed = os.environ.get(BACKENDS_VARIABLE, "").split(",")
        names = run_spec.backends or [each.strip() for each in listed if each.strip()]
        _check_engine(run_spec, names, self._name)
        _package_log.addHandler(self._warnings)
        patience_s = min(run_spec.patience_s, RECONNECT_S)  # the client waits for the rest of it
        try:
            self.pool = connect.connect(
                names, run_spec.variants, run_spec.access, patience_s, self._lease
            )
        except BaseException:
            _package_log.removeHandler(self._warnings)
            raise
        self._send({})  # this worker can draw

    @property
    def backends(self) -> dict[str, str]:
        """Return the description of each backend, by a name that is unique in the cluster."""
        return {self._label(name): about for name, about in self.pool.about.items()}

    def draw(
        self, spec: DrawingSpec, steps: Sequence[Step], check: Callable[[], None]
    ) -> list[Failure]:
        """Make the pictures that do not exist yet. check: raises if the task was cancelled."""
        kept = find_done(spec, steps)
        writer = f"{platform.node()}-{os.getpid()}"
        with self._idle:
            self._draws += 1
        try:
            session = DrawingSession(spec, self.pool, self._send_saved, writer=writer)
            return session.draw(steps, kept, lambda _: check())
        finally:
            with self._idle:
                self._draws -= 1
                self._idle.notify_all()

    def close(self) -> None:
        """Stop all draws and disconnect from the backends."""
        self.pool.close()
        with self._idle:
            self._idle.wait_for(lambda: not self._draws)
        _package_log.removeHandler(self._warnings)
        for semaphore in self._semaphores.values():
            semaphore.refresh_callback.stop()

    def _send_saved(self, key: int, drawn: DrawRecord) -> None:
        backend = drawn.backend and self._label(drawn.backend)
        self._send({"saved": key, "backend": backend, "seconds": drawn.seconds})

    def _send(self, message: Mapping[str, object]) -> None:
        """Send a message to the client."""
        # Not "worker": Dask overwrites that key.
        sender = {"name": self._name, "address": self._worker.address}
        self._worker.log_event(self._run, {**message, **sender})

    def _label(self, backend: str) -> str:
        return backend if _is_shared(backend) else f"{backend} on {self._name}"

    def _lease(self, backend: Backend) -> AbstractContextManager[object]:
        """Return the lease for a draw: all workers share the slots of a shared server."""
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


async def join(run_spec: RunSpec, dask_worker: Worker) -> JoinedWorker:
    """Connect this worker's backends for a run. Raises RestyleError if it cannot draw."""
    if run_spec.is_local:  # Ctrl-C reaches all processes of a terminal; the client stops these
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    session = await asyncio.to_thread(_session, run_spec, dask_worker)
    return JoinedWorker(session.pool.engine, session.backends)


async def leave(run: str) -> None:
    """Stop the draws of a run and disconnect from its backends, within LEAVE_TIMEOUT_S."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(_close, run), LEAVE_TIMEOUT_S)


def _close(run: str) -> None:
    with _sessions_lock:
        session = _sessions.pop(run, None)
    if session is not None:
        session.close()


def draw(run_spec: RunSpec, spec: DrawingSpec, steps: Sequence[Step]) -> TaskResult:
    """Draw a share on this worker's backends. This is the task that Dask runs."""
    worker = get_worker()
    result = partial(TaskResult, worker.address, display_name(worker.name))
    check = partial(_check_not_cancelled, worker, worker.get_current_task())
    try:
        session = _session(run_spec, worker)
    except RestyleError as error:
        _delay(check)
        return result([], error, was_started=False)
    try:
        return result(session.draw(spec, steps, check), None)
    except BaseException as error:  # its pool is closed
        with _sessions_lock:
            if _sessions.get(run_spec.run) is session:  # otherwise another task closes it
                del _sessions[run_spec.run]
                threading.Thread(target=session.close, name="close the backends").start()
        if isinstance(error, NoBackendLeft | WorkflowFault):
            _delay(check)
            return result([], error)
        raise


def _delay(check: Callable[[], None]) -> None:
    """Wait before a task is handed back: if no other worker is free, it comes straight back."""
    end = time.monotonic() + HAND_BACK_DELAY_S
    while time.monotonic() < end:
        check()
        time.sleep(TICK_S)


def _session(run_spec: RunSpec, worker: Worker) -> WorkerSession:
    with _sessions_lock:
        if run_spec.run not in _sessions:
            _sessions[run_spec.run] = WorkerSession(run_spec, worker)
        return _sessions[run_spec.run]


def _check_versions(run_spec: RunSpec, worker: str) -> None:
    """Raise VersionMismatch if this machine has other versions than the client's."""
    lines = "".join(
        f"  {name}: {expected} here, {own} on {worker}\n"
        for name, own in versions().items()
        if own != (expected := run_spec.versions[name])
    )
    if lines:
        raise VersionMismatch(
            f"{worker} has other versions than this machine:\n{lines}"
            "Install the same versions on both; otherwise their slides would differ."
        )


def _check_folders(run_spec: RunSpec, worker: str) -> None:
    """Raise UnusableInput if this machine does not see the client's files."""
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
    """Raise WrongUsage if this worker would draw with another engine than the others."""
    engine = connect.engine(names, run_spec.variants, run_spec.access)
    if run_spec.engine not in (None, engine):
        raise WrongUsage(
            f"{worker} draws by {engine}, the others by {run_spec.engine}; one run cannot mix "
            f"them.\n{SAME_ENGINE}"
        )


def _check_not_cancelled(worker: Worker, key: Key) -> None:
    task = worker.state.tasks.get(key)
    if (
        task is None
        or task.state == "cancelled"
        or worker.status in (Status.closing, Status.closed)
    ):
        raise _TaskCancelled


def _is_shared(backend: str) -> bool:
    """Return whether a backend is the same for all workers, not each machine's own."""
    return urlsplit(backend).hostname not in (None, "localhost", "127.0.0.1", "::1")
