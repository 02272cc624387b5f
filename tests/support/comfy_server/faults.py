"""Answer requests wrongly, late or not at all, as servers and networks do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Day = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]  # handler: the usual answer


def answer(status: int, text: str = "", kind: str = "text/plain") -> Day:
    """Answer every request by this instead."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.read()
        return web.Response(status=status, text=text, content_type=kind)

    return day


def mangled(change: Callable[[bytes], bytes]) -> Day:
    """Answer as usual, but with a changed body."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        usual = await handler(request)
        body = usual.body if isinstance(usual, web.Response) else b""
        assert isinstance(body, bytes) or body is None
        return web.Response(
            status=usual.status, body=change(body or b""), content_type=usual.content_type
        )

    return day


def slow(seconds: float) -> Day:
    """Answer as usual, but late."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await handler(request)

    return day


def redirected(to: str) -> Day:
    """Redirect to another address."""

    async def day(request: web.Request, handler: Handler) -> web.StreamResponse:
        await request.read()
        return web.Response(status=307, headers={"Location": to}, text="x" * 1000)

    return day


async def usual(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer as usual, between failures."""
    return await handler(request)


async def dropped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Break the connection before the request is read."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def answer_lost(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle the request, but break the connection before the answer."""
    await handler(request)
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def broken_off(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Break the connection in the middle of the answer."""
    usual = await handler(request)
    body = usual.body if isinstance(usual, web.Response) else None
    assert isinstance(body, bytes | None)
    half = web.StreamResponse(headers={"Content-Length": str(len(body or b"more"))})
    await half.prepare(request)
    await half.write((body or b"")[: len(body or b"") // 2])
    assert request.transport is not None
    request.transport.abort()
    return half


async def endless(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send an answer that never ends."""
    stream = web.StreamResponse()
    await stream.prepare(request)
    with suppress(ConnectionError):
        while True:
            await stream.write(bytes(2**20))
    return stream


async def trickled(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send an answer byte by byte, with pauses."""
    stream = web.StreamResponse(headers={"Content-Length": "1000000"})
    await stream.prepare(request)
    with suppress(ConnectionError):
        while True:
            await stream.write(b" ")
            await asyncio.sleep(0.02)
    return stream


async def silent(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Open a websocket that only answers pings, as if a second client had the same ID."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for _ in ws:
        pass
    return ws


async def deaf(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Open a websocket that answers nothing, not even pings."""
    ws = web.WebSocketResponse(autoping=False)
    await ws.prepare(request)
    async for _ in ws:
        pass
    return ws


halved = mangled(lambda body: body[: len(body) // 2])
