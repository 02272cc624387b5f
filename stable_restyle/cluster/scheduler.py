"""Connect to a Dask scheduler, or start one on this machine, and ask it about its workers."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distributed import Client, LocalCluster
from distributed.comm.core import connect as connect_comm
from distributed.security import Security
from distributed.versions import VersionMismatchWarning

from stable_restyle.cluster.shares import TASKS_PER_THREAD, THREADS_PER_WORKER
from stable_restyle.cluster.worker import display_name
from stable_restyle.core.errors import NoBackendLeft, WrongUsage
from stable_restyle.core.parallel import TICK_S

LOCAL_WORKERS = 2
REFRESH_S = 1.0  # maximum age of what is known about the workers
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0

log = logging.getLogger(__name__)


class DaskCluster:
    """A Dask cluster, shared by all films that are drawn on it. Thread-safe."""

    def __init__(self, client: Client, address: str, *, is_local: bool) -> None:
        self.client, self.address, self.is_local = client, address, is_local
        self._lock = threading.Lock()
        self._workers: Mapping[str, Mapping[str, Any]] = {}
        self._refreshed = -REFRESH_S  # time.monotonic()
        self._tasks: dict[str, int] = {}  # run -> its unfinished tasks

    def wait_for_worker(self, patience_s: float) -> None:
        """Return once there is a worker. Raises NoBackendLeft."""
        if self.workers():
            return
        log.warning("%s has no workers; waiting %.0f seconds for one.", self.address, patience_s)
        with self.errors_translated():
            try:
                self.client.wait_for_workers(1, timeout=max(patience_s, TICK_S))
            except TimeoutError as error:
                raise NoBackendLeft(
                    f"The Dask scheduler at {self.address} has no workers.\n"
                    f"Start one with `dask worker {self.address} --nthreads {THREADS_PER_WORKER}` "
                    "and run the command again."
                ) from error

    def workers(self) -> dict[str, str]:
        """Return the display names of all workers, by their addresses."""
        return {
            address: display_name(info["name"]) for address, info in self._worker_info().items()
        }

    def load(self) -> dict[str, float]:
        """Return the number of tasks per thread of each worker, by its address."""
        with self.errors_translated():
            tasks = self.client.processing()
        return {
            address: len(tasks.get(address, ())) / info["nthreads"]
            for address, info in self._worker_info().items()
        }

    def set_task_count(self, run: str, tasks: int) -> None:
        """Note how many tasks of a run are unfinished."""
        with self._lock:
            self._tasks[run] = tasks

    def wants_more(self) -> bool:
        """Return whether the films in progress will soon leave workers without a task."""
        try:
            threads = sum(info["nthreads"] for info in self._worker_info().values())
        except NoBackendLeft:
            return True  # the next film reports it
        with self._lock:
            return bool(sum(self._tasks.values()) < TASKS_PER_THREAD * threads)

    @contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Raise NoBackendLeft for an OSError: the scheduler no longer answers."""
        try:
            yield
        except OSError as error:
            raise self.scheduler_gone() from error

    def scheduler_gone(self) -> NoBackendLeft:
        """Return the error to raise when the scheduler no longer answers."""
        return NoBackendLeft(
            f"The Dask scheduler at {self.address} is gone.\n"
            "Restart it and run the command again, or run it without --dask; finished slides are "
            "kept."
        )

    def _worker_info(self) -> Mapping[str, Mapping[str, Any]]:
        with self._lock, self.errors_translated():
            if time.monotonic() >= self._refreshed + REFRESH_S:
                self._workers = self.client.sync(self._fetch_workers)
                self._refreshed = time.monotonic()
            return self._workers

    async def _fetch_workers(self) -> Mapping[str, Mapping[str, Any]]:
        # Client.scheduler_info may return what the client last fetched by itself, without workers.
        if self.client.scheduler is None:
            raise self.scheduler_gone()
        identity = await self.client.scheduler.identity(n_workers=-1)
        workers: Mapping[str, Mapping[str, Any]] = identity["workers"]
        return workers


@contextmanager
def connect(address: str, patience_s: float) -> Iterator[DaskCluster]:
    """Connect to the scheduler at an address; "local" or "local:N" starts N worker processes.

    Raises WrongUsage, or NoBackendLeft if there is no scheduler or no worker.
    """
    local = re.fullmatch(r"local(?::(.*))?", address)
    opened = _start_local(local[1] or str(LOCAL_WORKERS)) if local else _open_client(address)
    with _dask_silenced(), opened as client:
        cluster = DaskCluster(client, address, is_local=local is not None)
        cluster.wait_for_worker(patience_s)
        yield cluster


@contextmanager
def _dask_silenced() -> Iterator[None]:
    """Silence Dask's log, which would break the progress bar; what matters is reported here."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)
        yield


@contextmanager
def _start_local(workers: str) -> Iterator[Client]:
    if not re.fullmatch(r"0*[1-9]\d{0,3}", workers):
        raise WrongUsage(f"--dask local:{workers}: give a number of workers, such as local:4.")
    with (
        LocalCluster(
            n_workers=int(workers),
            threads_per_worker=THREADS_PER_WORKER,
            dashboard_address="127.0.0.1:0",  # None would take port 8787, which may be in use
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _open_client(address: str) -> Iterator[Client]:
    try:
        # A Client that cannot connect stays half open, and the next one may wait for it forever.
        asyncio.run(_try_connection(address))
        client = Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NoBackendLeft(
            f"No Dask scheduler answers at {address}: {error}.\n"
            "Start one with `dask scheduler`, correct --dask, or try --dask local."
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=CLOSE_TIMEOUT_S)


async def _try_connection(address: str) -> None:
    security = Security().get_connection_args("client")
    comm = await connect_comm(address, timeout=CONNECT_TIMEOUT_S, **security)
    await comm.close()
