"""Share the slides of a run among backends.

The pool estimates each backend, so that `schedule` can choose one for a slide. It leaves out
backends that fail, gives their slides to others, and keeps checking whether they are back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from statistics import mean, median
from threading import Condition, Thread
from types import TracebackType
from typing import TypeAlias

from stable_restyle.backends.base import Backend
from stable_restyle.core.errors import (
    NoBackendLeft,
    OutOfMemory,
    PoolClosed,
    RestyleError,
    ServerFault,
    WorkflowFault,
    counted,
)
from stable_restyle.core.records import BackendEstimate, DrawRecord, Job, Slide
from stable_restyle.media import images

FIRST_PAUSE_S = 2.0  # before a backend that failed is looked for again; doubled each time
LONGEST_PAUSE_S = 60.0
SLIDE_S = 1.0  # what a slide is expected to take as long as no backend has drawn any
LATEST = 5  # slides by which a backend's speed is judged

log = logging.getLogger(__name__)


Lease: TypeAlias = Callable[[Backend], AbstractContextManager[object]]


@dataclass(eq=False)
class _Sent:
    """A slide that a backend has; changed under the pool's lock only."""

    began: float | None = None  # time.perf_counter(); None: it waits there for those before it
    warm: bool = False  # whether the backend had drawn one by then


@dataclass(eq=False)
class _Member:
    """A backend of the pool and how it fares; changed under the pool's lock only."""

    backend: Backend
    pause_s: float  # before it is looked for after its next fault
    in_flight: int = 0
    sent: list[_Sent] = field(default_factory=list)  # of those in flight, in their order
    warm: bool = False  # whether it has drawn one: the first takes longer, since models are loaded
    took_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATEST))
    fault: str | None = None  # why it is retired; None: it works
    look_again: float = 0.0  # time.monotonic()

    def begin(self) -> None:
        """Note that the first of what was sent are drawn now, as many as are drawn side by side."""
        for each in self.sent[: self.backend.at_once]:
            if each.began is None:
                each.began, each.warm = time.perf_counter(), self.warm

    def busy_s(self) -> float:
        """Return for how long it has been drawing the first of what was sent, in seconds."""
        began = self.sent[0].began if self.sent else None
        return 0.0 if began is None else time.perf_counter() - began


class Pool(AbstractContextManager["Pool"]):
    """Backends that share the slides of a run. Thread-safe."""

    def __init__(
        self,
        backends: Sequence[Backend],
        patience_s: float,
        faults: Mapping[str, RestyleError | None] | None = None,
        lease: Lease = lambda _: nullcontext(),
    ) -> None:
        """patience_s: how long draws wait for a backend to come back once all have failed.

        faults: what is wrong, by name, with backends that are left out from the beginning.
        lease: what a draw on a backend holds meanwhile.
        """
        self._members = [_Member(backend, FIRST_PAUSE_S) for backend in backends]
        self._patience_s = patience_s
        self._lease = lease
        self._all_gone_since = 0.0  # time.monotonic()
        self._changed = Condition()
        self._closed = False
        for member in self._members:
            if fault := (faults or {}).get(member.backend.name):
                self._suspend(member, fault)
        self._searcher = Thread(target=self._search, name="look for backends", daemon=True)
        self._searcher.start()

    @property
    def engine(self) -> str:
        """What draws the slides; backends of different engines do not mix."""
        return self._members[0].backend.engine

    @property
    def is_closed(self) -> bool:
        """Whether draws are given up."""
        return self._closed

    @property
    def about(self) -> dict[str, str]:
        """What each backend is, by its name, as far as it has been told."""
        return {m.backend.name: m.backend.about for m in self._members}

    @property
    def slots(self) -> int:
        """Slides that all of them take."""
        return sum(member.backend.slots for member in self._members)

    def estimates(self) -> list[BackendEstimate]:
        """What can be expected of each backend that works; of all while none does."""
        with self._changed:
            working = any(member.fault is None for member in self._members)
            known = [median(member.took_s) for member in self._members if member.took_s]
            usual_s = mean(known) if known else SLIDE_S
            return [
                BackendEstimate(
                    number,
                    member.backend.at_once,
                    member.backend.slots,
                    median(member.took_s) if member.took_s else usual_s,
                    member.busy_s(),
                )
                for number, member in enumerate(self._members)
                if member.fault is None or not working
            ]

    def draw(self, job: Job, number: int) -> Slide:
        """Have a slide drawn by the backend of that number, by others if it has no room or fails.

        Raises WorkflowFault if a second backend, or the only one that works, refuses the workflow;
        NoBackendLeft if all have failed and none came back in time.
        """
        refused_by: _Member | None = None
        refusal: WorkflowFault | None = None
        while True:
            member = self._take(job, number, avoid=refused_by)
            if member is None:
                assert refusal is not None
                raise refusal
            try:
                with self._lease(member.backend), self._at(member) as sent:
                    slide = _draw(member.backend, job)
                    drawn = self._record_success(member, sent)
            except WorkflowFault as fault:
                if refusal is not None:
                    raise
                refused_by, refusal = member, fault
            except ServerFault as fault:
                self._suspend(member, fault)
            else:
                if refused_by is not None and refusal is not None:  # it was that one's fault
                    self._suspend(refused_by, refusal)
                return replace(slide, drawn=drawn)
            finally:
                self._give_back(member)

    def close(self) -> None:
        """Close every backend; slides in flight are given up."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with ThreadPoolExecutor(len(self._members)) as threads:  # each may take seconds
            list(threads.map(lambda member: member.backend.close(), self._members))
        self._searcher.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, job: Job, number: int, avoid: _Member | None) -> _Member | None:
        """A member with room, waited for, the one of that number if it is among them.

        None if nothing works but the one to avoid.
        """
        wanted = self._members[number]
        with self._changed:
            while True:
                if self._closed:
                    raise PoolClosed("The run has ended.")
                working = [m for m in self._members if m.fault is None]
                if working == [avoid]:
                    return None
                free = [m for m in working if m is not avoid and m.in_flight < m.backend.slots]
                if free:
                    chosen = wanted if wanted in free else min(free, key=lambda m: m.in_flight)
                    chosen.in_flight += 1
                    return chosen
                self._changed.wait(None if working else self._patience_left(job))

    def _patience_left(self, job: Job) -> float:
        """Seconds for which a backend may still come back. Raises NoBackendLeft at their end."""
        left = self._all_gone_since + self._patience_s - time.monotonic()
        if left > 0:
            return left
        tried = "\n".join(f"  {m.backend.name}: {m.fault}" for m in self._members)
        raise NoBackendLeft(
            f"No backend could draw {images.name(job.slide)}:\n{tried}\n"
            "Start one again and repeat the command; finished slides are kept."
        )

    def _give_back(self, member: _Member) -> None:
        with self._changed:
            member.in_flight -= 1
            self._changed.notify_all()

    @contextmanager
    def _at(self, member: _Member) -> Iterator[_Sent]:
        """Note that a slide is at a member meanwhile."""
        sent = _Sent()
        with self._changed:
            member.sent.append(sent)
            member.begin()
        try:
            yield sent
        finally:
            with self._changed:
                member.sent.remove(sent)
                member.begin()

    def _record_success(self, member: _Member, sent: _Sent) -> DrawRecord:
        """Note that a member has drawn a slide; returns when, without the time that it waited."""
        now = time.perf_counter()
        with self._changed:
            began = now if sent.began is None else sent.began
            member.pause_s = FIRST_PAUSE_S
            if sent.warm:
                member.took_s.append(now - began)
            member.warm = True
            return DrawRecord(member.backend.name, began, now - began)

    def _suspend(self, member: _Member, fault: Exception) -> None:
        """Give it no more slides until it is found again."""
        with self._changed:
            if member.fault is not None or self._closed:
                return
            member.fault = str(fault)
            member.look_again = time.monotonic() + member.pause_s
            member.pause_s = min(2 * member.pause_s, LONGEST_PAUSE_S)
            log.warning("%s is left out for now: %s", member.backend.name, fault)
            if all(m.fault is not None for m in self._members):
                self._all_gone_since = time.monotonic()
                log.warning(
                    "No backend is left; waiting %s for one to come back.",
                    _duration(self._patience_s),
                )
            self._changed.notify_all()

    def _search(self) -> None:
        """Look for retired members again, each after its pause, until the pool is closed."""
        while member := self._next_to_look_for():
            found = member.backend.answers()
            with self._changed:
                if found:
                    member.fault = None
                    log.info("%s answers again.", member.backend.name)
                    self._changed.notify_all()
                else:
                    member.look_again = time.monotonic() + member.pause_s
                    member.pause_s = min(2 * member.pause_s, LONGEST_PAUSE_S)

    def _next_to_look_for(self) -> _Member | None:
        """The next retired member whose pause is over, waited for; None when the pool closes."""
        with self._changed:
            while not self._closed:
                retired = [m for m in self._members if m.fault is not None]
                member = min(retired, key=lambda m: m.look_again, default=None)
                pause_s = member.look_again - time.monotonic() if member else None
                if pause_s is not None and pause_s <= 0:
                    return member
                self._changed.wait(pause_s)
        return None


def _draw(backend: Backend, job: Job) -> Slide:
    """One more try, with the memory freed, where it ran out."""
    try:
        return backend.draw(job)
    except OutOfMemory:
        backend.free_memory()
        return backend.draw(job)


def _duration(seconds: float) -> str:
    return counted(round(seconds), "second") if seconds < 120 else f"{seconds / 60:.3g} minutes"
