"""Send messages to the websockets of clients, and cut them off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web
from support.comfy_server.prompts import CUT, Message


@dataclass(frozen=True)
class _Socket:
    ws: web.WebSocketResponse
    transport: asyncio.Transport


class Sockets:
    """The open websockets by client ID."""

    def __init__(self) -> None:
        self._sockets: dict[str, _Socket] = {}

    def add(self, client_id: str, ws: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        """Send messages for this client to a websocket from now on."""
        self._sockets[client_id] = _Socket(ws, transport)

    def remove(self, client_id: str, ws: web.WebSocketResponse) -> None:
        """Forget a websocket that is closed, unless the client has opened another since."""
        if client_id in self._sockets and self._sockets[client_id].ws is ws:
            del self._sockets[client_id]

    async def send(self, client_id: str, messages: Sequence[Message]) -> None:
        """Send messages, as long as the client is connected; CUT ends the connection."""
        for message in messages:
            if (socket := self._sockets.get(client_id)) is None:
                return
            if message is CUT:
                self._sockets.pop(client_id).transport.abort()
                return
            with suppress(ConnectionError):
                if isinstance(message, str):
                    await socket.ws.send_str(message)
                else:
                    await socket.ws.send_bytes(message)

    def cut_all(self) -> None:
        """Cut every websocket off without a closing handshake."""
        for socket in self._sockets.values():
            socket.transport.abort()
        self._sockets.clear()
