"""The connections of `requests`, with a way to abort the requests of other threads."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakSet

import urllib3
from requests.adapters import HTTPAdapter


class AbortableAdapter(HTTPAdapter):
    """The adapter of `requests`, whose requests can be aborted by another thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: WeakSet[Any] = WeakSet()
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        return self._watch(super().proxy_manager_for(*args, **options))

    def abort(self) -> None:
        """Shut down the connections under the threads that wait for answers."""
        for each in self._all():
            abort_socket(each.sock)

    def close(self) -> None:
        super().close()
        for each in self._all():  # urllib3 leaves that to the garbage collector
            each.close()

    def _all(self) -> list[Any]:
        with self._lock:
            return list(self._connections)

    def _watch(self, manager: Any) -> Any:
        manager.pool_classes_by_scheme = {
            "http": partial(self._pool, urllib3.HTTPConnectionPool),
            "https": partial(self._pool, urllib3.HTTPSConnectionPool),
        }
        return manager

    def _pool(self, make: Callable[..., Any], *args: Any, **options: Any) -> Any:
        pool = make(*args, **options)
        pool.ConnectionCls = partial(self._connection, pool.ConnectionCls)
        return pool

    def _connection(self, make: Callable[..., Any], *args: Any, **options: Any) -> Any:
        connection = make(*args, **options)
        with self._lock:
            self._connections.add(connection)
        return connection


def abort_socket(sock: socket.socket | None) -> None:
    """Wake the threads that wait on a socket, without closing it."""
    if sock is not None:
        with suppress(OSError):
            # That of ssl.SSLSocket would take the encryption away under the reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
