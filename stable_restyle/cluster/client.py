"""Draw a film on a Dask cluster: submit shares as tasks, and cope with workers that come and go.

Dask places tasks, moves them away from workers that die, and transports messages. A worker draws a
share with a `DrawingSession`, as this machine would, and keeps the slides that another worker has
left. A worker that cannot draw hands its task back, for other workers, and reports when it can draw
again. This process alone keeps the journal and the working folder; workers only write slides and
what can be made again. When the next film of a list begins is decided in `batch`.

Dask 2026.8 has features that could replace this module; each was tried and falls short. A task that
raises Reschedule may return to the same worker for ever. A task that waits for a worker's resource
does not start when a worker gets it. `allow_other_workers` does not free a task whose only worker
has died. A WorkerPlugin, with the passwords in it, stays on the scheduler if the command is killed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from distributed import Future, KilledWorker

from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.cluster import worker
from stable_restyle.cluster.results import Results
from stable_restyle.cluster.scheduler import DaskCluster
from stable_restyle.cluster.shares import THREADS_PER_WORKER, Share, choose, divide
from stable_restyle.cluster.worker import (
    LEAVE_TIMEOUT_S,
    SAME_ENGINE,
    JoinedWorker,
    RunSpec,
    TaskResult,
    VersionMismatch,
    versions,
)
from stable_restyle.core import files
from stable_restyle.core.errors import (
    NoBackendLeft,
    PoolClosed,
    RestyleError,
    UnusableInput,
    WorkflowFault,
    WrongUsage,
)
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.records import Step
from stable_restyle.drawing.executor import Failure, MoreSteps
from stable_restyle.drawing.session import DrawingSpec, OnSaved
from stable_restyle.workdir.layout import RunPaths

log = logging.getLogger(__name__)


@contextmanager
def open_run(
    cluster: DaskCluster,
    backends: Sequence[str],
    variants: WorkflowVariants,
    access: Access,
    patience_s: float,
    paths: RunPaths,
) -> Iterator[ClusterRun]:
    """Yield a run on the workers of a cluster; when the context ends, they have left it."""
    run = uuid4().hex
    run_spec = RunSpec(
        run=run,
        backends=backends,
        variants=variants,
        access=access,
        patience_s=patience_s,
        token=(paths.interp / f"dask-{run}.token").absolute(),
        source=(paths.film or paths.frames).absolute(),
        versions=versions(),
        is_local=cluster.is_local,
    )
    with ExitStack() as stack:
        run_spec.token.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(run_spec.token, run.encode())
        stack.callback(files.remove_all, run_spec.token.parent, [run_spec.token.name])
        cluster_run = ClusterRun(cluster, run_spec)
        for folder in (paths.slides, paths.answers):
            stack.callback(_remove_partial, folder)
        stack.callback(cluster_run.leave)
        yield cluster_run


class ClusterRun:
    """A run on the workers of a cluster."""

    def __init__(self, cluster: DaskCluster, run_spec: RunSpec) -> None:
        self._cluster, self._client, self._run_spec = cluster, cluster.client, run_spec
        # Workers that cannot draw now -> why, in the order in which they were tried.
        self._suspended: dict[str, RestyleError] = {}
        self._submitted = 0
        self._none_able_since: float | None = None  # time.monotonic()

    def meet(self) -> tuple[str, dict[str, str]]:
        """Have every worker check the folders and connect its backends.

        Return the engine that draws and the description of each backend. A worker that cannot draw
        is suspended with a warning. Raises RestyleError if none can draw, or if a worker has other
        versions of the software.
        """
        with self._cluster.errors_translated():
            answers = self._client.run(worker.join, self._run_spec, on_error="return")
        names = self._cluster.workers()
        joined: list[JoinedWorker] = []
        for address, answer in answers.items():
            if isinstance(answer, JoinedWorker):
                joined.append(answer)
                continue
            error = _join_error(answer)
            if isinstance(error, VersionMismatch):
                raise error
            self._suspend(address, names.get(address, address), error)
        if not joined:
            raise self._none_able()
        if len(engines := {each.engine for each in joined}) > 1:
            raise WrongUsage(
                f"The workers draw differently, {' and '.join(sorted(engines))}; one run cannot "
                f"mix them.\n{SAME_ENGINE}"
            )
        engine = joined[0].engine
        self._run_spec = replace(self._run_spec, engine=engine)
        return engine, {name: about for each in joined for name, about in each.backends.items()}

    def draw(
        self,
        spec: DrawingSpec,
        steps: Sequence[Step],
        kept: Collection[int],
        on_saved: OnSaved,
        tick: Callable[[int], None],
        more: MoreSteps | None,
    ) -> list[Failure]:
        """Draw as `DrawingSession.draw` does. on_saved: called in this thread.

        Where steps break off, those that were submitted are drawn nevertheless.
        """
        results = Results(spec, set(kept), on_saved)
        for folder in filter(None, (spec.slides, spec.answers)):
            _remove_partial(folder)
        waiting = divide(steps, kept, max(1, len(self._cluster.workers())))
        pending: dict[Future[Any], Share] = {}
        events: SimpleQueue[Any] = SimpleQueue()  # finished futures, and messages of workers
        self._client.subscribe_topic(self._run_spec.run, lambda event: events.put(event[1]))
        try:
            while waiting or pending or more:
                while more and more.arrived.done():
                    if (coming := more.take()) is None:
                        more = None
                    else:
                        waiting += divide(coming, (), max(1, len(self._cluster.workers())))
                for share in self._placed(waiting):
                    future = self._submit(spec, share)
                    pending[future] = share
                    future.add_done_callback(events.put)
                waiting = []
                received = _receive(events)
                for event in received:
                    if not isinstance(event, Future):
                        self._resume(event["address"], event["name"])
                        results.add_message(event)
                    elif event in pending:  # otherwise it was stranded
                        waiting += self._handle_done(event, pending.pop(event), results)
                if self._suspended or not received:
                    self._check_workers()
                    waiting += self._take_stranded(pending)
                self._cluster.set_task_count(self._run_spec.run, len(waiting) + len(pending))
                tick(results.take_count())
        except BaseException:
            if self._client.status == "running":
                self._client.cancel(list(pending))
            raise
        finally:
            self._cluster.set_task_count(self._run_spec.run, 0)
            self._client.unsubscribe_topic(self._run_spec.run)
        return results.failures

    def leave(self) -> None:
        """Have the workers stop, withdraw their prompts and disconnect from the backends."""
        leaving = threading.Thread(target=self._dismiss_workers, name="leave", daemon=True)
        leaving.start()
        leaving.join(LEAVE_TIMEOUT_S + TICK_S)  # do not wait for one that hangs

    def _dismiss_workers(self) -> None:
        if self._client.status == "running":
            with suppress(OSError):  # the scheduler is gone: its workers stop by themselves
                self._client.run(worker.leave, self._run_spec.run, on_error="ignore")

    def _submit(self, spec: DrawingSpec, share: Share) -> Future[Any]:
        self._submitted += 1
        scene = share.steps[0].scene
        slides = [step.slide for step in share.steps]
        spec = replace(  # only what this task needs: there may be thousands
            spec,
            frames=spec.frames.part(spec.scenes[scene - 1].frames),
            drawn=spec.drawn and spec.drawn.without_marks(),
            scenes=spec.scenes[scene - 1 : scene + 1],  # with the next one, to show the cut
            seeds={slide: spec.seeds[slide] for slide in slides if slide in spec.seeds},
            changes={slide: spec.changes[slide] for slide in slides if slide in spec.changes},
        )
        future: Future[Any] = self._client.submit(
            worker.draw,
            self._run_spec,
            spec,
            share.steps,
            key=f"scene-{scene}-{self._run_spec.run}-{self._submitted}",
            priority=share.length,
            workers=share.only or None,
            pure=False,
        )
        return future

    def _handle_done(self, future: Future[Any], share: Share, results: Results) -> Sequence[Share]:
        """Record the result of a task. Return the shares to draw next."""
        if future.cancelled():
            raise self._cluster.scheduler_gone()
        error = future.exception()
        if isinstance(error, KilledWorker):
            results.fail(share, _killed(error))
            return ()
        if error is not None:
            raise error
        with self._cluster.errors_translated():
            result: TaskResult = future.result()
        if result.error is None:
            return results.add(share, result)
        if not isinstance(result.error, PoolClosed):  # otherwise another task there has the reason
            self._suspend(result.address, result.worker, result.error)
        share = replace(share, was_handed_back=True)
        if not (result.was_started and isinstance(result.error, WorkflowFault)):
            return [share]
        if share.refused_by not in ("", result.address):  # the servers of two workers agree
            raise result.error
        return [replace(share, refused_by=result.address)]

    def _placed(self, shares: Sequence[Share]) -> Iterator[Share]:
        """Yield the shares; those that were handed back name the workers that may draw them."""
        load = self._cluster.load() if any(share.was_handed_back for share in shares) else {}
        for share in shares:
            if share.was_handed_back:
                share = replace(share, only=choose(load, self._suspended))
                for address in share.only[:1]:
                    load[address] += 1 / THREADS_PER_WORKER  # estimated, until Dask is asked again
            yield share

    def _take_stranded(self, pending: dict[Future[Any], Share]) -> list[Share]:
        """Take back the shares whose workers are all gone: Dask would wait for these workers."""
        bound = {future: share.only for future, share in pending.items() if share.only}
        present = self._cluster.workers() if bound else {}
        stranded = [future for future, only in bound.items() if not present.keys() & only]
        shares = [pending.pop(future) for future in stranded]
        if stranded:
            self._client.cancel(stranded)
        return shares

    def _suspend(self, address: str, name: str, reason: RestyleError) -> None:
        if self._suspended.pop(address, None) is None:
            log.warning("%s is left out for now: %s", name, reason)
        self._suspended[address] = reason  # at the end: the others were tried before

    def _resume(self, address: str, name: str) -> None:
        if self._suspended.pop(address, None):
            log.info("%s draws again.", name)

    def _check_workers(self) -> None:
        """Raise RestyleError if no worker can draw and it is no use to wait longer."""
        if any(address not in self._suspended for address in self._cluster.workers()):
            self._none_able_since = None
            return
        now = time.monotonic()
        patience_s = self._run_spec.patience_s
        if self._none_able_since is None:
            self._none_able_since = now
            if not self._is_hopeless():
                log.warning(
                    "No worker of %s can draw; waiting %.0f seconds for one.",
                    *(self._cluster.address, patience_s),
                )
        if self._is_hopeless() or now - self._none_able_since >= patience_s:
            raise self._none_able()

    def _present_suspended(self) -> dict[str, RestyleError]:
        """Return why each worker that is still there cannot draw, by its name."""
        names = self._cluster.workers()
        return {names[each]: why for each, why in self._suspended.items() if each in names}

    def _is_hopeless(self) -> bool:
        """Return whether there are workers, but none that could draw once its servers are back."""
        reasons = self._present_suspended().values()
        return bool(reasons) and not any(isinstance(why, NoBackendLeft) for why in reasons)

    def _none_able(self) -> RestyleError:
        """Return the error to raise when no worker can draw."""
        suspended = self._present_suspended()
        if self._is_hopeless():
            return next(iter(suspended.values()))
        reasons = "".join(f"  {name}: {why}\n" for name, why in suspended.items())
        return NoBackendLeft(
            f"No worker of {self._cluster.address} can draw:\n"
            f"{reasons or '  all of them are gone' + chr(10)}"
            "Restart one and run the command again; finished slides are kept."
        )


def _remove_partial(folder: Path) -> None:
    """Remove the partly written files of workers that died."""
    files.remove_all(folder, [path.name for path in folder.glob("*.png.*.part")])


def _receive(events: SimpleQueue[Any]) -> list[Any]:
    """Wait up to TICK_S for an event. Return all that have arrived."""
    received: list[Any] = []
    with suppress(Empty):
        received.append(events.get(timeout=TICK_S))
        while True:
            received.append(events.get_nowait())
    return received


def _join_error(answer: BaseException) -> RestyleError:
    """Return why a worker could not join the run. Raise it if it is a bug."""
    if isinstance(answer, RestyleError):
        return answer
    if isinstance(answer, ImportError):
        return UnusableInput(
            f"stable-restyle is not installed there ({answer}).\n"
            "Install it there as here: from the same folder, with `pip install '.[dask]'`."
        )
    if isinstance(answer, OSError):
        return NoBackendLeft(f"it cannot be reached: {answer}")
    raise answer


def _killed(error: KilledWorker) -> RestyleError:
    return RestyleError(
        f"{error.allowed_failures + 1} workers died while they drew it, the last one "
        f"{error.last_worker.address}; check that worker's log and its memory."
    )
