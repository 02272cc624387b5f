"""What turns guide and mask into a slide, and how several of them share the work.

A backend may draw several slides at once, as many as it has slots. The pool gives each slide to the
backend with the fewest in flight, leaves out backends that fail, and looks for them again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Condition, Thread
from types import TracebackType
from typing import Protocol

from stable_restyle import images
from stable_restyle.errors import (
    NoBackendLeft,
    OutOfMemory,
    ServerFault,
    WorkflowFault,
    WrongUsage,
)
from stable_restyle.model import Job, Pixels
from stable_restyle.preview import LOOKS, Preview
from stable_restyle.workflow import Workflow

FIRST_PAUSE_S = 2.0  # before a backend that failed is looked for again; doubled each time
LONGEST_PAUSE_S = 60.0
DEFAULT_LOOK = "clay"
DEFAULT_SEED = 0

log = logging.getLogger(__name__)


class Backend(Protocol):
    """One thing that draws slides: a server, or the preview engine."""

    @property
    def name(self) -> str:
        """As the user may read it."""
        ...

    @property
    def engine(self) -> str:
        """What makes its pictures: "ComfyUI", or the preview engine's look."""
        ...

    @property
    def slots(self) -> int:
        """Slides that it takes at once."""
        ...

    def draw(self, job: Job) -> Pixels:
        """The slide, (H, W, 3) RGB. Blocks; called from several threads.

        Raises ServerFault where another backend may do better, WorkflowFault where none will.
        """
        ...

    def free_memory(self) -> None:
        """Make room after OutOfMemory."""
        ...

    def answers(self) -> bool:
        """Whether it could draw now; asked of one that failed."""
        ...

    def close(self) -> None:
        """Give up what is in flight, soon, and let go of everything."""
        ...


@dataclass(eq=False)
class _Member:
    """A backend of the pool and how it fares; changed under the pool's lock only."""

    backend: Backend
    pause_s: float  # before it is looked for after its next fault
    in_flight: int = 0
    fault: str | None = None  # why it is retired; None: it works
    look_again: float = 0.0  # time.monotonic()


class Pool(AbstractContextManager["Pool"]):
    """Backends that share the slides of a run. Thread-safe."""

    def __init__(self, backends: Sequence[Backend], patience_s: float) -> None:
        """patience_s: how long draws wait for a backend to come back once all have failed."""
        self._members = [_Member(backend, FIRST_PAUSE_S) for backend in backends]
        self._patience_s = patience_s
        self._all_gone_since = 0.0  # time.monotonic()
        self._changed = Condition()
        self._closed = False
        self._searcher = Thread(target=self._search, name="look for backends", daemon=True)
        self._searcher.start()

    @property
    def engine(self) -> str:
        """What draws the slides; backends of different engines do not mix."""
        return self._members[0].backend.engine

    @property
    def slots(self) -> int:
        """Slides that all of them take at once."""
        return sum(member.backend.slots for member in self._members)

    def draw(self, job: Job) -> Pixels:
        """Have a slide drawn by whichever backend has room for it, by others if that one fails.

        Raises WorkflowFault if a second backend, or the only one that works, refuses the workflow;
        NoBackendLeft if all have failed and none came back in time.
        """
        refused_by: _Member | None = None
        refusal: WorkflowFault | None = None
        while True:
            member = self._take(job, avoid=refused_by)
            if member is None:
                assert refusal is not None
                raise refusal
            try:
                slide = _draw(member.backend, job)
            except WorkflowFault as fault:
                if refusal is not None:
                    raise
                refused_by, refusal = member, fault
            except ServerFault as fault:
                self._retire(member, fault)
            else:
                self._praise(member)
                if refused_by is not None and refusal is not None:  # it was that one's fault
                    self._retire(refused_by, refusal)
                return slide
            finally:
                self._give_back(member)

    def close(self) -> None:
        """Close every backend; slides in flight are given up."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for member in self._members:
            member.backend.close()
        self._searcher.join()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _take(self, job: Job, avoid: _Member | None) -> _Member | None:
        """A member with room, waited for; None if nothing works but the one to avoid."""
        with self._changed:
            while True:
                if self._closed:
                    raise NoBackendLeft("The run has ended.")
                working = [m for m in self._members if m.fault is None]
                if working == [avoid]:
                    return None
                free = [m for m in working if m is not avoid and m.in_flight < m.backend.slots]
                if free:
                    chosen = min(free, key=lambda m: m.in_flight)
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

    def _praise(self, member: _Member) -> None:
        with self._changed:
            member.pause_s = FIRST_PAUSE_S

    def _retire(self, member: _Member, fault: Exception) -> None:
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
                    "No backend is left; waiting %.0f minutes for one to come back.",
                    self._patience_s / 60,
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


def _draw(backend: Backend, job: Job) -> Pixels:
    """One more try, with the memory freed, where it ran out."""
    try:
        return backend.draw(job)
    except OutOfMemory:
        backend.free_memory()
        return backend.draw(job)


def connect(names: Sequence[str], workflow: Workflow, patience_s: float) -> Pool:
    """The backends that --backend names. Raises WrongUsage for a name that is none."""
    if not names:
        raise WrongUsage(
            "No backend was given, and nothing else can draw the slides. Add one of:\n"
            "  --backend preview             the embedded preview engine: no server, no model\n"
            "  --backend http://HOST:8188    a ComfyUI server\n"
            "or set VIDEO_RESTYLE_BACKENDS to a list of them with commas between."
        )
    connected = [_connect(name, workflow) for name in names]
    if len(engines := {backend.engine for backend in connected}) > 1:
        raise WrongUsage(
            f"--backend: {' and '.join(sorted(engines))} draw differently; one run cannot mix them."
        )
    return Pool(connected, patience_s)


def _connect(name: str, workflow: Workflow) -> Backend:
    kind, _, look = name.partition(":")
    if kind == "preview":
        seed = DEFAULT_SEED if workflow.seed is None else workflow.seed
        return Preview(look or workflow.preview or DEFAULT_LOOK, seed, workflow.denoise)
    if kind in ("http", "https"):
        raise WrongUsage(
            f"--backend {name}: this version cannot talk to ComfyUI servers yet.\n"
            "Use --backend preview to try the film, its scenes and its settings."
        )
    raise WrongUsage(
        f"--backend {name}: this is no backend.\n"
        f"Write preview, {', '.join(f'preview:{each}' for each in LOOKS)} or http://HOST:8188."
    )
