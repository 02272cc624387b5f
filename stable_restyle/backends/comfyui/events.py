"""Listen to a server's websocket, bounded in time and size."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from threading import Event, Lock, Thread
from uuid import uuid4

import websocket

from stable_restyle.backends.comfyui.adapter import abort_socket
from stable_restyle.backends.comfyui.address import Address
from stable_restyle.backends.comfyui.http import JSON_MAX, parse
from stable_restyle.backends.comfyui.timeouts import Timeouts
from stable_restyle.core.film_threads import named
from stable_restyle.core.parallel import TICK_S

log = logging.getLogger(__name__)


class EventListener:
    """Listen on the server's websocket in one thread, and reconnect when the connection is lost.

    Each connection has a client ID of its own. Under the old one the server might go on sending to
    the lost socket; prompts that were submitted under it are polled instead.

    WebSocketApp of websocket-client is not used: it follows redirects and sends our headers along,
    reads a message however large, and waits three seconds for an answer when it closes.
    """

    def __init__(
        self,
        address: Address,
        ca_bundle: str,
        timeouts: Timeouts,
        on_message: Callable[[object], None],
        on_change: Callable[[], None],
    ) -> None:
        """Open no connection yet.

        on_message: called with every message, parsed. on_change: called when `client_id` has
        changed. Both are called in the listening thread.
        """
        self.client_id: str | None = None  # None: not connected
        self._address = address
        self._ca_bundle = ca_bundle
        self._timeouts = timeouts
        self._on_message = on_message
        self._on_change = on_change
        self._lock = Lock()
        self._socket: _Socket | None = None
        self._tried = Event()
        self._closed = Event()
        self._thread: Thread | None = None

    def wait(self) -> None:
        """Start listening. Returns when the first attempt to connect has succeeded or failed."""
        with self._lock:
            if self._thread is None and not self._closed.is_set():
                name = named(f"listen to {self._address.base}")
                self._thread = Thread(target=self._run, name=name, daemon=True)
                self._thread.start()
        self._tried.wait(2 * self._timeouts.socket_s)

    def reconnect(self, client_id: str) -> None:
        """Replace the connection of that client ID, because it missed a message."""
        with self._lock:
            if self.client_id == client_id and self._socket is not None:
                log.info("%s: its websocket is silent; reconnecting.", self._address.base)
                self._socket.abort()

    def try_out(self) -> bool:
        """Return whether a new connection receives a message; blocks."""
        connection = _Socket(self._ca_bundle)
        try:
            connection.open(self._address, uuid4().hex, self._timeouts.socket_s)
            return connection.next_text() is not None
        except Exception:  # websocket-client raises nearly anything on mangled bytes
            return False
        finally:
            connection.leave()

    def close(self) -> None:
        """Stop listening. Returns within `connect_s`."""
        self._closed.set()
        self._tried.set()
        deadline = time.monotonic() + self._timeouts.connect_s
        while self._thread and self._thread.is_alive() and time.monotonic() < deadline:
            with self._lock:
                if self._socket is not None:
                    self._socket.abort()
            self._thread.join(0.05)

    def _run(self) -> None:
        shortest, longest = self._timeouts.retry_s
        pause_s = shortest
        while not self._closed.is_set():
            with closing(self._listen()) as messages:
                for message in messages:
                    pause_s = shortest
                    self._on_message(message)
            self._closed.wait(pause_s)
            pause_s = min(2 * pause_s, longest)

    def _listen(self) -> Generator[object, None, None]:
        """Yield the parsed messages of one connection until it is lost or replaced."""
        connection, client_id = _Socket(self._ca_bundle), uuid4().hex
        with self._lock:
            self._socket = connection
        try:
            connection.open(self._address, client_id, self._timeouts.socket_s)
            self._set(client_id)
            for text in connection.texts(self._timeouts.ping_s):
                yield parse(text)
        except Exception as error:  # websocket-client raises nearly anything on mangled bytes
            if not self._closed.is_set():
                log.debug("%s: websocket: %s", self._address.base, self._address.clean(error))
        finally:
            self._set(None)
            connection.leave()

    def _set(self, client_id: str | None) -> None:
        self.client_id = client_id
        self._tried.set()
        self._on_change()


class _Socket(websocket.WebSocket):
    """A websocket with a bound on its messages. On mangled bytes it raises nearly anything."""

    def __init__(self, ca_bundle: str) -> None:
        kind = "ca_cert_path" if os.path.isdir(ca_bundle) else "ca_certs"
        # Its UTF-8 check is in Python, and takes longer than the rest of a message.
        super().__init__(sslopt={kind: ca_bundle}, skip_utf8_validation=True)
        self._unread = 0  # bytes of the message that is coming in
        self._aborted = False

    def open(self, address: Address, client_id: str, timeout_s: float) -> None:
        """Connect as this client ID, to which the server then sends messages."""
        self.settimeout(timeout_s)
        self.connect(  # type: ignore[no-untyped-call]
            address.socket_url(client_id),
            header=[f"{name}: {value}" for name, value in address.headers.items()],
            suppress_origin=True,  # ComfyUI refuses any that is not exactly its Host
            redirect_limit=0,
        )

    def texts(self, ping_s: float) -> Iterator[str]:
        """Yield text messages until `abort`, or until a ping stays unanswered for ping_s."""
        look_s = min(ping_s, TICK_S)  # on Windows, `abort` wakes no reader
        self.settimeout(look_s)
        quiet_s, pinged = 0.0, False
        while not self._aborted:
            try:
                text = self.next_text()
            except websocket.WebSocketTimeoutException:
                quiet_s += look_s
                if quiet_s < ping_s:
                    continue
                if pinged:
                    return
                self.ping()
                quiet_s, pinged = 0.0, True
            else:
                quiet_s, pinged = 0.0, False
                if text is not None:
                    yield text

    def next_text(self) -> str | None:
        """Return the next message; None if it is a binary preview, a ping or a pong."""
        opcode, frame = self.recv_data_frame(control_frame=True)
        self._unread = 0
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise websocket.WebSocketConnectionClosedException("closed by the server")
        return str(frame.data, "utf-8") if opcode == websocket.ABNF.OPCODE_TEXT else None

    def abort(self) -> None:
        """Wake the thread that waits for a message; called from another one."""
        self._aborted = True
        abort_socket(self.sock)

    def leave(self) -> None:
        """Close without waiting for an answer."""
        self.close(timeout=0)
        self.shutdown()  # type: ignore[no-untyped-call]  # close() does nothing before the handshake

    def _recv(self, bufsize: int) -> bytes:
        data: bytes = super()._recv(bufsize)  # type: ignore[no-untyped-call]
        self._unread += len(data)
        if self._unread > JSON_MAX:
            raise websocket.WebSocketPayloadException("too large a message")
        return data
