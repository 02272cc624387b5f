"""Servers that run an event loop in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from support.programs import LONGEST_S


class LoopServer(ABC):
    """A server with a loop of its own. `_main` sets `url` and `_up`, and waits for `_down`."""

    def __init__(self) -> None:
        self.url = ""
        self._loop = asyncio.SelectorEventLoop()
        self._up = threading.Event()
        self._down = asyncio.Event()

    @abstractmethod
    async def _main(self) -> None:
        """Serve until `_down` is set."""

    @contextmanager
    def running(self, name: str) -> Iterator[Self]:
        """Serve while the context lasts. name: of the thread."""
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        thread.start()
        assert self._up.wait(LONGEST_S)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._down.set)
            thread.join(LONGEST_S)
            assert not thread.is_alive()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
