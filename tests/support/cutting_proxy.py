"""A proxy that ends every connection after a while, as those before rented machines do."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, suppress
from urllib.parse import urlsplit

from support.loops import LoopServer


class CuttingProxy(LoopServer):
    """Passes bytes on, and counts the connections that it has cut. Used in its own thread."""

    def __init__(self, url: str, after_s: float) -> None:
        super().__init__()
        parts = urlsplit(url)
        self._there = parts.hostname, parts.port
        self._after_s = after_s
        self.cut = 0

    async def _main(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._up.set()
        await self._down.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        ways = [
            asyncio.ensure_future(_pass_on(reader, there_writer)),
            asyncio.ensure_future(_pass_on(there_reader, writer)),
        ]
        try:
            _, cut = await asyncio.wait(
                ways, timeout=self._after_s, return_when=asyncio.FIRST_COMPLETED
            )
            self.cut += len(cut) == len(ways)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (writer, there_writer):
                each.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()


def cutting_proxy(url: str, after_s: float) -> AbstractContextManager[CuttingProxy]:
    """Start a proxy in front of a server. after_s: how long a connection lasts at most."""
    return CuttingProxy(url, after_s).running("cutting proxy")
