"""A run on a Dask cluster: which slides are a task, who may draw them, and what becomes of workers.

Dask places tasks, moves them from workers that die, and carries what is told. A task is a scene,
drawn by `session` just as on this machine; it takes up what another worker has left of it. A worker
that cannot draw hands its task back, for others, and says so when it can again. The client keeps
journal and folders; workers write slides, and nothing else that is not made again. Which film is
begun when is left to `batch`.

What Dask 2026.8 offers in place of this module was tried and falls short: a task that raises
Reschedule may go back to the same worker for ever; a task that waits for a worker's resource is not
started when one gets it; `allow_other_workers` does not free a task whose worker was the only one;
and a WorkerPlugin, with the passwords in it, stays on the scheduler when the command is killed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.comm.core import connect as connect_to
from distributed.security import Security
from distributed.versions import VersionMismatchWarning

from stable_restyle.backends.comfyui.backend import Access
from stable_restyle.backends.comfyui.overrides import WorkflowVariants
from stable_restyle.cluster import worker
from stable_restyle.cluster.worker import (
    LEAVE_S,
    SAME_ENGINE,
    Done,
    Met,
    OtherVersions,
    RunSpec,
    named,
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
from stable_restyle.core.records import DrawRecord, Step
from stable_restyle.drawing.executor import Failure
from stable_restyle.drawing.session import DrawingSpec, OnSaved
from stable_restyle.media import sequence
from stable_restyle.workdir.layout import RunPaths

LOCAL_WORKERS = 2
AT_ONCE = 2  # scenes that a local worker draws side by side: a middle leaves a server waiting
AHEAD = 2  # tasks for each thread of a worker, one of them waiting: with fewer, it is time for more
LOOK_S = 1.0  # how old what is known of the workers may be
ANSWER_S = 10.0  # for a scheduler to answer
GOODBYE_S = 2.0  # for it to let us go

_NO_WORKERS = "%s has no workers; waiting %.0f seconds for one."
_NONE_ABLE = "No worker of %s can draw; waiting %.0f seconds for one."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """Slides that are one task."""

    steps: Sequence[Step]
    length: int  # slides that the model draws until all that waits for it is there
    then: Sequence[Share] = ()  # what can be drawn once it is
    refused_by: str = ""  # the worker whose servers refused the workflow: another one's is final
    was_handed_back: bool = False
    only: Sequence[str] = ()  # the addresses of the workers that it is for, if not for all


def divide(steps: Sequence[Step], kept: Collection[int], workers: int) -> list[Share]:
    """A share for each scene that is not all kept, the longest first.

    Where a scene is more than an even share of the film for each worker, so that others would wait
    for it, its chains are shares of their own once its middle is drawn.
    """
    by_scene: defaultdict[int, list[Step]] = defaultdict(list)
    for step in steps:
        by_scene[step.scene].append(step)
    unfinished = [its for its in by_scene.values() if any(step.slide not in kept for step in its)]
    even = sum(_asked(its, kept) for its in unfinished) / workers
    shares = [_share(its, kept, split=_asked(its, kept) > even) for its in unfinished]
    return sorted(shares, key=lambda share: -share.length)


def _asked(steps: Sequence[Step], kept: Collection[int]) -> int:
    return sum(step.uses_backend for step in steps if step.slide not in kept)


def _share(steps: Sequence[Step], kept: Collection[int], *, split: bool) -> Share:
    middle, *others = steps
    chains = (
        [step for step in others if step.slide < middle.slide],
        [step for step in others if step.slide > middle.slide],
    )
    lengths = [_asked(chain, kept) for chain in chains]
    if not split or not all(lengths):
        return Share(steps, _asked(steps, kept))
    then = [Share(chain, length) for chain, length in zip(chains, lengths, strict=True)]
    return Share([middle], _asked([middle], kept) + max(lengths), then)


def choose(load: Mapping[str, float], out: Collection[str]) -> list[str]:
    """The workers for a share that was handed back; none where Dask may choose.

    load: tasks for each thread of every worker. out: those that could not draw, the one last that
    was tried last. Left to itself, Dask may give a share to the one that has just handed it back,
    and go on so for ever: of the least busy it takes the first (2026.8).
    """
    able = sorted((who for who in load if who not in out), key=lambda who: load[who])
    tried = [who for who in out if who in load]  # they may be able to draw again
    if free := [who for who in (*able, *tried) if load[who] < 1]:
        return free[:1]
    # All are busy, so that more shares are waiting: let it be the next one that is begun. No more
    # of them than that, or nothing would be left for a worker that can draw again.
    return able if able and load[able[0]] <= AHEAD else []


class DaskCluster:
    """A Dask cluster, as seen by the films that are drawn on it. Thread-safe."""

    def __init__(self, client: Client, address: str, *, is_local: bool) -> None:
        self.client, self.address = client, address
        self._is_local = is_local
        self._lock = threading.Lock()
        self._workers: Mapping[str, Mapping[str, Any]] = {}
        self._looked = -LOOK_S  # time.monotonic()
        self._tasks: dict[str, int] = {}  # run -> those of its tasks that are not done

    @contextmanager
    def joined(
        self,
        names: Sequence[str],
        variants: WorkflowVariants,
        access: Access,
        patience_s: float,
        paths: RunPaths,
    ) -> Iterator[ClusterRun]:
        """The workers, for one run; they have left it when this ends."""
        run = uuid4().hex
        run_spec = RunSpec(
            run=run,
            backends=names,
            variants=variants,
            access=access,
            patience_s=patience_s,
            token=(paths.interp / f"dask-{run}.token").absolute(),
            source=(paths.film or paths.frames).absolute(),
            versions=versions(),
            is_local=self._is_local,
        )
        with ExitStack() as stack:
            run_spec.token.parent.mkdir(parents=True, exist_ok=True)
            files.write_whole(run_spec.token, run.encode())
            stack.callback(files.remove_all, run_spec.token.parent, [run_spec.token.name])
            cluster = ClusterRun(self, run_spec)
            stack.callback(_tidy, paths.slides)
            stack.callback(cluster.leave)
            yield cluster

    def wait(self, patience_s: float) -> None:
        """Until there is a worker. Raises NoBackendLeft."""
        if self.workers():
            return
        log.warning(_NO_WORKERS, self.address, patience_s)
        with self.asking():
            try:
                self.client.wait_for_workers(1, timeout=max(patience_s, TICK_S))
            except TimeoutError as error:
                raise NoBackendLeft(
                    f"The Dask scheduler at {self.address} has no workers.\n"
                    f"Start one with `dask worker {self.address} --nthreads {AT_ONCE}`, and repeat "
                    "the command."
                ) from error

    def workers(self) -> dict[str, str]:
        """The names of all workers, by their addresses."""
        return {address: named(worker["name"]) for address, worker in self._look().items()}

    def load(self) -> dict[str, float]:
        """How many tasks there are for each thread of a worker, by the worker's address."""
        with self.asking():
            tasks = self.client.processing()
        return {
            address: len(tasks.get(address, ())) / worker["nthreads"]
            for address, worker in self._look().items()
        }

    def count(self, run: str, tasks: int) -> None:
        """So many tasks of a run are not done yet."""
        with self._lock:
            self._tasks[run] = tasks

    def wants_more(self) -> bool:
        """Whether the films that are drawn now will soon leave workers without a task."""
        try:
            threads = sum(worker["nthreads"] for worker in self._look().values())
        except NoBackendLeft:
            return True  # the next film says so
        with self._lock:
            return bool(sum(self._tasks.values()) < AHEAD * threads)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Raises NoBackendLeft where the scheduler no longer answers."""
        try:
            yield
        except OSError as error:
            raise self.gone() from error

    def gone(self) -> RestyleError:
        """What to say when the scheduler does not answer."""
        return NoBackendLeft(
            f"The Dask scheduler at {self.address} is gone.\n"
            "Start it again and repeat the command, or go on without --dask; finished slides "
            "are kept."
        )

    def _look(self) -> Mapping[str, Mapping[str, Any]]:
        with self._lock, self.asking():
            if time.monotonic() >= self._looked + LOOK_S:
                self._workers = self.client.sync(self._ask_for_workers)
                self._looked = time.monotonic()
            return self._workers

    async def _ask_for_workers(self) -> Mapping[str, Mapping[str, Any]]:
        # Client.scheduler_info may return what it has fetched meanwhile by itself: without workers.
        if self.client.scheduler is None:
            raise self.gone()
        about = await self.client.scheduler.identity(n_workers=-1)
        workers: Mapping[str, Mapping[str, Any]] = about["workers"]
        return workers


class ClusterRun:
    """The workers of a farm, as seen by the run that they draw for."""

    def __init__(self, farm: DaskCluster, run_spec: RunSpec) -> None:
        self._farm, self._client, self._terms = farm, farm.client, run_spec
        # Workers that cannot draw now -> why; the one that was tried last is the last.
        self._out: dict[str, RestyleError] = {}
        self._tasks = 0
        self._none_since: float | None = None  # time.monotonic()

    def meet(self) -> tuple[str, dict[str, str]]:
        """Have every worker look at the folder and connect its backends.

        Returns what draws and what each backend is. A worker that cannot draw is left out and said
        so. Raises RestyleError if none can, or if one has other software.
        """
        with self._farm.asking():
            answers = self._client.run(worker.meet, self._terms, on_error="return")
        names = self._farm.workers()
        met: list[Met] = []
        for address, answer in answers.items():
            if isinstance(answer, Met):
                met.append(answer)
                continue
            fault = _fault_of(answer)
            if isinstance(fault, OtherVersions):
                raise fault
            self._leave_out(address, names.get(address, address), fault)
        if not met:
            raise self._none_left()
        if len(engines := {each.engine for each in met}) > 1:
            raise WrongUsage(
                f"The workers draw differently, {' and '.join(sorted(engines))}; one run cannot "
                f"mix them.\n{SAME_ENGINE}"
            )
        engine = met[0].engine
        self._terms = replace(self._terms, engine=engine)
        return engine, {name: what for each in met for name, what in each.about.items()}

    def draw(
        self,
        spec: DrawingSpec,
        steps: Sequence[Step],
        kept: Collection[int],
        on_saved: OnSaved,
        tick: Callable[[int], None],
    ) -> list[Failure]:
        """As `DrawingSession.draw` does. on_saved: called in this thread."""
        drawing = _Drawing(spec, set(kept), on_saved)
        _tidy(spec.slides)
        waiting = divide(steps, kept, max(1, len(self._farm.workers())))
        pending: dict[Future[Any], Share] = {}
        news: SimpleQueue[Any] = SimpleQueue()
        self._client.subscribe_topic(self._terms.run, lambda event: news.put(event[1]))
        try:
            while waiting or pending:
                for share in self._placed(waiting):
                    future = self._submit(spec, share)
                    pending[future] = share
                    future.add_done_callback(news.put)
                waiting = []
                every = list(_all_of(news))
                for told in every:
                    if not isinstance(told, Future):
                        self._take_back(told["at"], told["by"])
                        drawing.hear(told)
                    elif told in pending:  # else it was stranded
                        waiting += self._settle(told, pending.pop(told), drawing)
                if self._out or not every:
                    self._look_for_workers()
                    waiting += self._stranded(pending)
                self._farm.count(self._terms.run, len(waiting) + len(pending))
                tick(drawing.take_count())
        except BaseException:
            if self._client.status == "running":
                self._client.cancel(list(pending))
            raise
        finally:
            self._farm.count(self._terms.run, 0)
            self._client.unsubscribe_topic(self._terms.run)
        return drawing.failures

    def leave(self) -> None:
        """Have the workers end what they are at, take back their prompts, and let go."""
        leaving = threading.Thread(target=self._tell_to_leave, name="leave", daemon=True)
        leaving.start()
        leaving.join(LEAVE_S + TICK_S)  # one that hangs is not waited for

    def _tell_to_leave(self) -> None:
        if self._client.status == "running":
            with suppress(OSError):  # the scheduler is gone: its workers end by themselves
                self._client.run(worker.leave, self._terms.run, on_error="ignore")

    def _submit(self, spec: DrawingSpec, share: Share) -> Future[Any]:
        self._tasks += 1
        scene = share.steps[0].scene
        slides = (step.slide for step in share.steps)
        spec = replace(  # no more than this task needs: there may be thousands
            spec,
            frames=replace(spec.frames, marks=()),
            scenes=spec.scenes[scene - 1 : scene + 1],  # with the next, to see the cut
            seeds={slide: spec.seeds[slide] for slide in slides if slide in spec.seeds},
        )
        future: Future[Any] = self._client.submit(
            worker.draw,
            self._terms,
            spec,
            share.steps,
            key=f"scene-{scene}-{self._terms.run}-{self._tasks}",
            priority=share.length,
            workers=share.only or None,
            pure=False,
        )
        return future

    def _settle(self, future: Future[Any], share: Share, drawing: _Drawing) -> Sequence[Share]:
        """Take in what has become of a task; returns what is to be drawn next."""
        if future.cancelled():
            raise self._farm.gone()
        error = future.exception()
        if isinstance(error, KilledWorker):
            drawing.lose(share, _kills(error))
            return ()
        if error is not None:
            raise error
        with self._farm.asking():
            done: Done = future.result()
        if done.given_up is None:
            return drawing.finish(share, done)
        if not isinstance(done.given_up, PoolClosed):  # else another task there says why
            self._leave_out(done.worker, done.name, done.given_up)
        share = replace(share, was_handed_back=True)
        if not (done.has_begun and isinstance(done.given_up, WorkflowFault)):
            return [share]
        if share.refused_by not in ("", done.worker):
            raise done.given_up
        return [replace(share, refused_by=done.worker)]

    def _placed(self, shares: Sequence[Share]) -> Iterator[Share]:
        """Shares, of which those that were handed back are told who may draw them."""
        load = self._farm.load() if any(share.was_handed_back for share in shares) else {}
        for share in shares:
            if share.was_handed_back:
                share = replace(share, only=choose(load, self._out))
                for address in share.only[:1]:
                    load[address] += 1 / AT_ONCE  # about so much, until Dask is asked again
            yield share

    def _stranded(self, pending: dict[Future[Any], Share]) -> list[Share]:
        """Take back the shares whose workers are all gone: Dask would wait for these."""
        bound = {each: share.only for each, share in pending.items() if share.only}
        there = self._farm.workers() if bound else {}
        futures = [each for each, only in bound.items() if not any(who in there for who in only)]
        shares = [pending.pop(each) for each in futures]
        if futures:
            self._client.cancel(futures)
        return shares

    def _leave_out(self, address: str, name: str, why: RestyleError) -> None:
        if self._out.pop(address, None) is None:
            log.warning("%s is left out for now: %s", name, why)
        self._out[address] = why  # the last of them: the others were tried before

    def _take_back(self, address: str, name: str) -> None:
        if self._out.pop(address, None):
            log.info("%s draws again.", name)

    def _look_for_workers(self) -> None:
        """Raises RestyleError once none can draw, and none can be waited for any longer."""
        if self._able():
            self._none_since = None
            return
        now = time.monotonic()
        if self._none_since is None:
            self._none_since = now
            if not self._is_hopeless():
                log.warning(_NONE_ABLE, self._farm.address, self._terms.patience_s)
        if self._is_hopeless() or now - self._none_since >= self._terms.patience_s:
            raise self._none_left()

    def _able(self) -> list[str]:
        """The addresses of the workers that can draw."""
        return [address for address in self._farm.workers() if address not in self._out]

    def _is_hopeless(self) -> bool:
        """Whether there are workers, but none that could draw if only its servers came back."""
        there = [why for address, why in self._out.items() if address in self._farm.workers()]
        return bool(there) and not any(isinstance(why, NoBackendLeft) for why in there)

    def _none_left(self) -> RestyleError:
        names = self._farm.workers()
        there = {names[address]: why for address, why in self._out.items() if address in names}
        if self._is_hopeless():
            return next(iter(there.values()))
        told = "".join(f"  {name}: {why}\n" for name, why in there.items())
        return NoBackendLeft(
            f"No worker of {self._farm.address} can draw:\n"
            f"{told or '  all of them are gone' + chr(10)}"
            "Start one again and repeat the command; finished slides are kept."
        )


class _Drawing:
    """What has been drawn and lost so far."""

    def __init__(self, spec: DrawingSpec, kept: set[int], on_saved: OnSaved) -> None:
        self.failures: list[Failure] = []
        self._spec, self._there, self._on_saved = spec, kept, on_saved
        self._count = 0

    def hear(self, told: Mapping[str, Any]) -> None:
        """A worker can draw, has kept a slide, or warns."""
        if "warning" in told:
            log.warning("%s: %s", told["by"], told["warning"])
        if "slide" not in told:
            return
        began = time.perf_counter() - told["s"]
        drawn = DrawRecord(told["backend"], began, told["s"])
        self._on_saved(told["slide"], drawn)
        self._add({told["slide"]})

    def finish(self, share: Share, done: Done) -> Sequence[Share]:
        """A share is drawn but for its failures; returns what can be drawn now."""
        self.failures += done.failures
        lost = {slide for failure in done.failures for slide in failure.lost}
        self._add({step.slide for step in share.steps} - lost)
        if not lost:
            return share.then
        for following in share.then:
            self.lose(following, done.failures[0].reason)
        return ()

    def lose(self, share: Share, why: RestyleError) -> None:
        """A share cannot be drawn, nor what waits for it, but for slides that are there."""
        slides = [step.slide for step in share.steps]
        size = (self._spec.frames.width, self._spec.frames.height)
        there = sequence.find_finished(self._spec.slides, slides, size)
        self._add(there)
        if lost := sorted(set(slides) - there):
            self.failures.append(Failure(share.steps[0], lost, why))
        for following in share.then:
            self.lose(following, why)

    def take_count(self) -> int:
        """How many slides have been kept since the last time."""
        count, self._count = self._count, 0
        return count

    def _add(self, slides: set[int]) -> None:
        self._count += len(slides - self._there)
        self._there |= slides


@contextmanager
def reach(address: str, patience_s: float) -> Iterator[DaskCluster]:
    """The cluster whose scheduler has this address, or one of local processes.

    Raises WrongUsage, or NoBackendLeft if there is no scheduler or no worker.
    """
    local = re.fullmatch(r"local(?::(.*))?", address)
    opened = _local(local[1] or str(LOCAL_WORKERS)) if local else _client(address)
    with _hushed(), opened as client:
        farm = DaskCluster(client, address, is_local=local is not None)
        farm.wait(patience_s)
        yield farm


@contextmanager
def _hushed() -> Iterator[None]:
    """What Dask tells would tear the bar, and what matters of it is told by us."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)
        yield


@contextmanager
def _local(workers: str) -> Iterator[Client]:
    if not re.fullmatch(r"0*[1-9]\d{0,3}", workers):
        raise WrongUsage(f"--dask local:{workers}: write how many workers, such as local:4.")
    with (
        LocalCluster(
            n_workers=int(workers),
            threads_per_worker=AT_ONCE,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _client(address: str) -> Iterator[Client]:
    try:
        # A Client that cannot connect is left half open, and the next one may wait for it for ever.
        asyncio.run(_greet(address))
        client = Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NoBackendLeft(
            f"No Dask scheduler answers at {address}: {error}.\n"
            "Start one with `dask scheduler`, correct --dask, or try --dask local."
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=GOODBYE_S)


async def _greet(address: str) -> None:
    security = Security().get_connection_args("client")
    comm = await connect_to(address, timeout=ANSWER_S, **security)
    await comm.close()


def _tidy(slides: Path) -> None:
    """Remove what workers that died have left half written."""
    files.remove_all(slides, [path.name for path in slides.glob("*.png.*.part")])


def _all_of(news: SimpleQueue[Any]) -> Iterator[Any]:
    """What there is of news, waited for."""
    with suppress(Empty):
        yield news.get(timeout=TICK_S)
        while True:
            yield news.get_nowait()


def _fault_of(answer: BaseException) -> RestyleError:
    """Why a worker could not be met. Raises what is a bug."""
    if isinstance(answer, RestyleError):
        return answer
    if isinstance(answer, ImportError):
        return UnusableInput(
            f"stable-restyle is not installed there ({answer}).\n"
            "Install it there as it is here: from the same folder, with `pip install '.[dask]'`."
        )
    if isinstance(answer, OSError):
        return NoBackendLeft(f"it cannot be reached: {answer}")
    raise answer


def _kills(error: KilledWorker) -> RestyleError:
    return RestyleError(
        f"{error.allowed_failures + 1} workers died while they drew it, at last "
        f"{error.last_worker.address}; look into that worker's log, and at its memory."
    )
