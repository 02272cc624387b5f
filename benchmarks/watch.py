"""Watch a run from outside: what each step costs, and how long a chain waits for this program.

The package has no code for this: while a `Watch` is entered, some of its functions are wrapped. The
cost of a step is the processor time of its threads, without other steps that it calls. OpenCV's own
threads, the websocket's and what no step covers make up the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from threading import Lock, local
from typing import Any, TypeAlias

import motion_transfer

from stable_restyle.backends import pool
from stable_restyle.backends.comfyui import attempts, events, http
from stable_restyle.core import files
from stable_restyle.drawing import slide
from stable_restyle.imaging import masks
from stable_restyle.media import png
from stable_restyle.motion import codec, flow
from stable_restyle.plan import schedule

Function: TypeAlias = Callable[..., Any]

# Step, and the function that does it: module or class, and name.
WRAPPED: Sequence[tuple[str, Any, str]] = (
    ("read", png, "read"),
    ("motion", codec.CodecMotion, "estimate"),
    ("motion", flow.FlowMotion, "estimate"),
    ("warp", motion_transfer, "apply"),
    ("warp", flow.FlowMotionEstimate, "warp"),
    ("mask", masks, "change"),
    ("mask", masks, "from_change"),
    ("mask", masks, "free_all"),
    ("mask", flow.FlowMotionEstimate, "mask"),
    ("blend", masks, "blend"),
    ("compose", slide, "compose_answer"),
    ("encode", png, "encode"),
    ("network", http.HttpClient, "request"),
    ("network", events.EventListener, "_run"),
    ("decode", attempts, "read_slide"),
    ("write", files, "write_whole"),
)
STEPS = tuple(dict.fromkeys(step for step, _, _ in WRAPPED))
COUNTED = ("read", "encode", "network", "decode", "write")  # one call is one file or request


class Watch:
    """Use as a context manager around one run. Times are in time.monotonic()."""

    def __init__(self) -> None:
        self.cpu_s: Counter[str] = Counter()  # step -> seconds
        self.calls: Counter[str] = Counter()
        self.answered: dict[int, float] = {}  # slide -> when its picture was received
        self.asked: dict[int, float] = {}  # slide -> when its prompt was sent
        self.finished: list[tuple[float, int]] = []  # time, slide that a backend has drawn
        self._lock = Lock()
        self._here = local()  # per thread: its slide, and the time of nested steps
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        for step, place, name in WRAPPED:
            self._wrap(place, name, partial(self._timed, step))
        self._wrap(pool.Pool, "draw", self._with_slide)
        self._wrap(http.HttpClient, "request", self._with_times)
        self._wrap(schedule.Schedule, "finish", self._with_finish)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def waits(self, previous: Mapping[int, int | None]) -> list[float]:
        """Return the seconds from each answer to the requests of its chain that follow it.

        previous: slide -> the one that it is drawn from.
        """
        return [
            asked - self.answered[before]
            for slide, asked in self.asked.items()
            if (before := previous[slide]) is not None and before in self.answered
        ]

    def _wrap(self, place: Any, name: str, wrapper: Callable[[Function], Function]) -> None:
        original = getattr(place, name)
        self._stack.callback(setattr, place, name, original)
        setattr(place, name, wrapper(original))

    def _timed(self, step: str, function: Function) -> Function:
        @wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            with self._timing(step):
                return function(*args, **named)

        return timed

    @contextmanager
    def _timing(self, step: str) -> Iterator[None]:
        outer_s = getattr(self._here, "within_s", 0.0)
        self._here.within_s = 0.0
        began = time.thread_time()
        try:
            yield
        finally:
            took_s = time.thread_time() - began
            with self._lock:
                self.cpu_s[step] += took_s - self._here.within_s
                self.calls[step] += 1
            self._here.within_s = outer_s + took_s

    def _with_slide(self, draw: Function) -> Function:
        """Record which slide a thread works on."""

        @wraps(draw)
        def placed(pool: Any, job: Any, number: int) -> Any:
            self._here.slide = job.slide
            try:
                return draw(pool, job, number)
            finally:
                self._here.slide = None

        return placed

    def _with_times(self, request: Function) -> Function:
        """Record when a prompt is sent and when a picture is received."""

        @wraps(request)
        def overheard(http: Any, method: str, path: str, **named: Any) -> Any:
            slide = getattr(self._here, "slide", None)
            if slide is not None and path == "/prompt":
                self.asked[slide] = time.monotonic()
            answer = request(http, method, path, **named)
            if slide is not None and path == "/view":
                self.answered[slide] = time.monotonic()
            return answer

        return overheard

    def _with_finish(self, finish: Function) -> Function:
        @wraps(finish)
        def noted(of: Any, step: Any) -> Any:
            if step.uses_backend:
                self.finished.append((time.monotonic(), step.slide))
            return finish(of, step)

        return noted
