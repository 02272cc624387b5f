"""Runs on five ComfyUI servers that fail at random: every slide is drawn, each of them once.

`test_flaky_servers.py` draws one short film, `make soak` draws films for as long as it may.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from unittest.mock import patch

from aiohttp import web
from support import clips
from support.comfy_server import (
    CUT,
    ComfyServer,
    Day,
    Handler,
    Message,
    Run,
    answer,
    answer_lost,
    broken_off,
    deaf,
    dropped,
    halved,
    mangled,
    redirected,
    silent,
    slow,
)
from support.programs import LONGEST_S
from support.runs import Silent, files

from stable_restyle.backends import pool
from stable_restyle.backends.comfyui import client
from stable_restyle.backends.comfyui.timeouts import Timeouts
from stable_restyle.core.settings import Settings
from stable_restyle.run import pipeline

SERVERS = 5
TIMEOUTS = Timeouts(
    connect_s=LONGEST_S,
    answer_s=LONGEST_S,
    socket_s=0.5,
    ping_s=0.2,
    retry_s=(0.01, 0.2),
    poll_s=(0.01, 0.1),
    quiet_s=0.3,
    cleanup_s=LONGEST_S,
    stop_s=LONGEST_S,
)
BAD_ANSWERS: list[Day] = [
    answer(500, "Internal Server Error"),
    answer(502, "<html>a proxy</html>", "text/html"),
    answer(200, "<html>a proxy</html>", "text/html"),
    answer(200, "null", "application/json"),
    answer(404),
    redirected("http://127.0.0.1:9/"),
    dropped,
    answer_lost,
    broken_off,
    halved,
    mangled(lambda body: body[::-1]),
]
BAD_SOCKETS: list[Day] = [silent, deaf, dropped, answer(404), answer(500)]
BAD_RUNS = [
    Run(restart=True),
    Run(interrupted=True),
    Run(cached=True),
    Run(error={"exception_type": "torch.cuda.OutOfMemoryError"}),
    Run(seconds=0.1),
]


@dataclass
class FlakyServers:
    """Makes servers fail at random, and counts failures. Methods run in the servers' threads."""

    chance: Random
    share: float  # of the requests that fail, 0..1
    failures: Counter[str] = field(default_factory=Counter)  # by route
    pictures: int = 0  # sent whole

    def affect(self, server: ComfyServer) -> None:
        """Make a server fail at random from now on."""
        for route in (
            *("POST /upload/image", "POST /prompt", "GET /queue", "GET /history/{id}"),
            *("POST /queue", "POST /history", "GET /view", "GET /system_stats", "POST /free"),
        ):
            days = BAD_ANSWERS if route == "GET /view" else [*BAD_ANSWERS, slow(0.1)]
            server.always(route, partial(self._day, route, days))
        server.always("GET /ws", partial(self._day, "GET /ws", BAD_SOCKETS))
        for _ in range(300):
            bad = self.chance.random() < self.share
            run = self.chance.choice(BAD_RUNS) if bad else Run()
            server.runs.append(replace(run, told=partial(self._told, run)))

    async def _day(
        self, route: str, days: list[Day], request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if self.chance.random() < self.share:
            self.failures[route] += 1
            return await self.chance.choice(days)(request, handler)
        response = await handler(request)
        if route == "GET /view" and response.status == 200:
            self.pictures += 1
        return response

    def _told(self, run: Run, messages: list[Message]) -> list[Message]:
        if run != Run():
            self.failures["a prompt"] += 1
        if self.chance.random() < self.share:
            self.failures["a message"] += 1
            how = self.chance.randrange(4)
            place = self.chance.randrange(len(messages))
            if how == 0:
                messages.insert(place, CUT)
            elif how == 1:
                messages.insert(place, self.chance.randbytes(40))
            elif how == 2:
                messages.insert(place, messages[place])
            else:
                self.chance.shuffle(messages)
        return messages


@contextmanager
def short_waits() -> Iterator[None]:
    """Shorten our pauses and timeouts: a simulated server needs none of them."""
    with (
        patch.object(pool, "FIRST_PAUSE_S", 0.02),
        patch.object(pool, "LONGEST_PAUSE_S", 0.2),
        patch.object(client, "Timeouts", lambda: TIMEOUTS),
    ):
        yield


@dataclass(frozen=True)
class Film:
    """A film, and its slides as drawn without failures."""

    settings: Settings
    slides: dict[str, bytes]


def make_film(folder: Path, *lengths: int) -> Film:
    """Write a film of scenes of these lengths, a frame a slide, and draw it without failures."""
    frames = clips.write_folder(folder / "in", clips.scenes(*lengths))
    settings = Settings(frames, folder / "reference" / "out", frames_per_slide=1)
    with ComfyServer() as server:
        pipeline.run(replace(settings, backends=(server.url,)), Silent())
    return Film(settings, files(settings.target))


def draw_with_failures(
    film: Film, target: Path, chance: Random, share: float = 0.1
) -> FlakyServers:
    """Draw the film on five servers that fail. target: does not exist yet.

    Raises AssertionError if a slide is missing, differs or was fetched twice.
    """
    flaky = FlakyServers(chance, share)
    with ExitStack() as stack:
        servers = [stack.enter_context(ComfyServer(draw_s=0.005)) for _ in range(SERVERS)]
        urls = tuple(server.url for server in servers)
        for server in servers:
            flaky.affect(server)
        progress = Silent()
        settings = replace(film.settings, target=target, backends=urls, timeout_s=LONGEST_S)
        outcome = pipeline.run(settings, progress)
        assert files(target) == film.slides
        assert outcome.drawn == progress.counted[-1] == len(film.slides)
        assert flaky.pictures == len(film.slides)  # each was fetched once
    return flaky


def threads_and_handles() -> tuple[int, int]:
    """Count threads and open files of this process; 0 files if the system does not list them."""
    gc.collect()
    handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return threading.active_count(), handles
