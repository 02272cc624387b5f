"""Share the slides and windows of a run among backends.

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
from typing import TypeAlias, TypeVar

from stable_restyle.backends.base import Backend, WindowPictures
from stable_restyle.core.errors import (
    NoBackendLeft,
    OutOfMemory,
    PoolClosed,
    RestyleError,
    ServerFault,
    WorkflowFault,
    counted,
)
from stable_restyle.core.film_threads import named
from stable_restyle.core.records import BackendEstimate, DrawRecord, Job, Slide, WindowJob
from stable_restyle.media import sequence

FIRST_PAUSE_S = 2.0  # before a backend that failed is checked; doubled each time
LONGEST_PAUSE_S = 60.0
SLIDE_S = 1.0  # expected for a slide, or a picture of a window, before any is drawn
LATEST = 5  # slides, or windows, that a backend's speed is the median of

log = logging.getLogger(__name__)


Lease: TypeAlias = Callable[[Backend], AbstractContextManager[object]]
Made = TypeVar("Made")


@dataclass(eq=False)
class _Sent:
    """A slide or window that was sent to a backend; changed under the pool's lock only."""

    pictures: int  # of a window; 0 for a slide
    began: float | None = None  # time.perf_counter(); None: still queued there
    warm: bool = False  # whether the backend had made one like it before


@dataclass(eq=False)
class _Speed:
    """How fast a backend makes slides, or windows, which are another model's."""

    warm: bool = False  # whether it has made one: the first takes longer, as it loads models
    took_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATEST))


@dataclass(eq=False)
class _Member:
    """A backend of the pool and its record; changed under the pool's lock only."""

    backend: Backend
    pause_s: float  # before it is checked after its next fault
    in_flight: int = 0
    sent: list[_Sent] = field(default_factory=list)  # in flight, the oldest first
    slides: _Speed = field(default_factory=_Speed)
    windows: _Speed = field(default_factory=_Speed)  # its times are of single pictures
    fault: str | None = None  # why it is suspended; None: it works
    check_at: float = 0.0  # time.monotonic()

    def begin(self) -> None:
        """Note the start of the oldest slides in flight, as many as are drawn at once."""
        for each in self.sent[: self.backend.at_once]:
            if each.began is None:
                each.began, each.warm = time.perf_counter(), self.speed(each).warm

    def speed(self, sent: _Sent) -> _Speed:
        """Return how fast it makes what was sent."""
        return self.windows if sent.pictures else self.slides

    def busy_s(self) -> float:
        """Return for how long it has been drawing the oldest slide in flight, in seconds."""
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

        faults: by name, why backends are left out from the beginning. lease: entered for each
        draw on a backend.
        """
        self._members = [_Member(backend, FIRST_PAUSE_S) for backend in backends]
        self._patience_s = patience_s
        self._lease = lease
        self._all_gone_since = 0.0  # time.monotonic()
        self._has_drawn = True  # any backend, since then
        self._changed = Condition()
        self._closed = False
        for member in self._members:
            if fault := (faults or {}).get(member.backend.name):
                self._suspend(member, fault)
        self._searcher = Thread(target=self._search, name=named("check backends"), daemon=True)
        self._searcher.start()

    @property
    def engine(self) -> str:
        """Return what draws the slides; all backends have the same engine."""
        return self._members[0].backend.engine

    @property
    def is_closed(self) -> bool:
        """Return whether the pool was closed."""
        return self._closed

    @property
    def about(self) -> dict[str, str]:
        """Describe each backend, by its name."""
        return {m.backend.name: m.backend.about for m in self._members}

    @property
    def slots(self) -> int:
        """Return how many slides all backends accept together."""
        return sum(member.backend.slots for member in self._members)

    def estimates(self) -> list[BackendEstimate]:
        """Estimate each backend that works, or all while none does."""
        with self._changed:
            working = any(member.fault is None for member in self._members)
            slide_s = _expected([member.slides.took_s for member in self._members])
            picture_s = _expected([member.windows.took_s for member in self._members])
            return [
                BackendEstimate(
                    number,
                    member.backend.at_once,
                    member.backend.slots,
                    slide_s[number],
                    member.busy_s(),
                    picture_s[number],
                )
                for number, member in enumerate(self._members)
                if member.fault is None or not working
            ]

    def draw(self, job: Job, number: int) -> Slide:
        """Draw a slide on the backend of that number, or on another if it is full or fails.

        Raises WorkflowFault if a second backend, or the only one that works, refuses the workflow;
        NoBackendLeft if all have failed and none came back in time.
        """
        slide, drawn = self._make(job.slide, number, lambda backend: backend.draw(job))
        return replace(slide, drawn=drawn)

    def draw_window(
        self, job: WindowJob, number: int, receive: Callable[[WindowPictures], Made]
    ) -> tuple[Made, DrawRecord]:
        """Make a window as `draw` makes a slide; return what `receive` makes of it.

        receive: fetches the pictures, one at a time. It is called again, with all of them, where a
        backend fails meanwhile and another one makes the window.
        """

        def make(backend: Backend) -> Made:
            with backend.draw_window(job) as pictures:
                return receive(pictures)

        first, length = job.window.slides.start, job.window.length
        return self._make(first, number, make, pictures=length)

    def _make(
        self, slide: int, number: int, make: Callable[[Backend], Made], pictures: int = 0
    ) -> tuple[Made, DrawRecord]:
        """Have a slide or a window made, on the backend of that number or on another.

        slide: to name in messages. pictures: of a window; 0 for a slide.
        """
        refused_by: _Member | None = None
        refusal: WorkflowFault | None = None
        while True:
            member = self._acquire(slide, number, avoid=refused_by)
            if member is None:
                assert refusal is not None
                raise refusal
            try:
                with self._lease(member.backend), self._in_flight(member, pictures) as sent:
                    made = _again(member.backend, make)
                    drawn = self._record_success(member, sent)
            except WorkflowFault as fault:
                if refusal is not None:
                    raise
                refused_by, refusal = member, fault
            except ServerFault as fault:
                self._suspend(member, fault)
            else:
                if refused_by is not None and refusal is not None:  # not the workflow's fault
                    self._suspend(refused_by, refusal)
                return made, drawn
            finally:
                self._release(member)

    def close(self) -> None:
        """Close every backend; slides in flight are abandoned."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        # Each may take seconds.
        with ThreadPoolExecutor(len(self._members), named("close")) as threads:
            list(threads.map(lambda member: member.backend.close(), self._members))
        self._searcher.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _acquire(self, slide: int, number: int, avoid: _Member | None) -> _Member | None:
        """Wait for a member with room, preferably of that number, and reserve a slot there.

        Returns None if only the member to avoid works.
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
                self._changed.wait(None if working else self._patience_left(slide))

    def _patience_left(self, slide: int) -> float:
        """Return for how long to wait for a backend. Raises NoBackendLeft once that is over."""
        left = self._all_gone_since + self._patience_s - time.monotonic()
        if left > 0:
            return left
        tried = "\n".join(f"  {m.backend.name}: {m.fault}" for m in self._members)
        raise NoBackendLeft(
            f"No backend could draw {sequence.name(slide)}:\n{tried}\n"
            "Start one and run the command again; finished slides are kept."
        )

    def _release(self, member: _Member) -> None:
        with self._changed:
            member.in_flight -= 1
            self._changed.notify_all()

    @contextmanager
    def _in_flight(self, member: _Member, pictures: int) -> Iterator[_Sent]:
        """Record a slide or window as in flight."""
        sent = _Sent(pictures)
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
        """Record a slide or window; return when it was made, without the time in the queue."""
        now = time.perf_counter()
        with self._changed:
            began = now if sent.began is None else sent.began
            member.pause_s = FIRST_PAUSE_S
            self._has_drawn = True
            speed = member.speed(sent)
            if sent.warm:
                speed.took_s.append((now - began) / (sent.pictures or 1))
            speed.warm = True
            return DrawRecord(member.backend.name, began, now - began)

    def _suspend(self, member: _Member, fault: Exception) -> None:
        """Send no more slides to a member until it answers again."""
        with self._changed:
            if member.fault is not None or self._closed:
                return
            member.fault = str(fault)
            member.check_at = time.monotonic() + member.pause_s
            member.pause_s = min(2 * member.pause_s, LONGEST_PAUSE_S)
            log.warning("%s is left out for now: %s", member.backend.name, fault)
            # Patience goes on where one came back and failed again, without having drawn.
            if self._has_drawn and all(m.fault is not None for m in self._members):
                self._all_gone_since, self._has_drawn = time.monotonic(), False
                log.warning(
                    "No backend is left; waiting %s for one to come back.",
                    _duration(self._patience_s),
                )
            self._changed.notify_all()

    def _search(self) -> None:
        """Check suspended members, each after its pause, until the pool is closed."""
        while member := self._next_to_check():
            found = member.backend.answers()
            with self._changed:
                if found:
                    member.fault = None
                    log.info("%s answers again.", member.backend.name)
                    self._changed.notify_all()
                else:
                    member.check_at = time.monotonic() + member.pause_s
                    member.pause_s = min(2 * member.pause_s, LONGEST_PAUSE_S)

    def _next_to_check(self) -> _Member | None:
        """Wait for the next suspended member whose pause is over; None when the pool closes."""
        with self._changed:
            while not self._closed:
                suspended = [m for m in self._members if m.fault is not None]
                member = min(suspended, key=lambda m: m.check_at, default=None)
                pause_s = member.check_at - time.monotonic() if member else None
                if pause_s is not None and pause_s <= 0:
                    return member
                self._changed.wait(pause_s)
        return None


def _again(backend: Backend, make: Callable[[Backend], Made]) -> Made:
    """Return what a backend makes; if memory runs out, free it and try once more."""
    try:
        return make(backend)
    except OutOfMemory:
        backend.free_memory()
        return make(backend)


def _expected(took_s: Sequence[Sequence[float]]) -> list[float]:
    """Return the time expected of each backend: of one without any, what is usual."""
    known = [median(each) for each in took_s if each]
    usual_s = mean(known) if known else SLIDE_S
    return [median(each) if each else usual_s for each in took_s]


def _duration(seconds: float) -> str:
    return counted(round(seconds), "second") if seconds < 120 else f"{seconds / 60:.3g} minutes"
