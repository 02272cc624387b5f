"""HTTP requests to one server, bounded in time and size.

How long to wait, how much to read and what to send along is decided here; what to ask, and what an
answer means, in `client`. Users, passwords and headers go to the server alone: no message, log or
repr made here holds them.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit
from weakref import WeakSet

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from stable_restyle.core.errors import ServerFault, WrongUsage

JSON_MAX = 2**26  # bytes of an answer or a message
TRIES = 3  # to connect

_CHUNK = 2**18  # bytes
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)  # at DEBUG it shows whole URLs


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for a server, and how often to ask it."""

    connect_s: float = 1.5  # each of TRIES
    answer_s: float = 60.0  # silence in an answer; a server that loads a model may need as long
    socket_s: float = 5.0  # silence while the websocket is opened
    ping_s: float = 10.0  # silence before a ping, and again before reconnecting
    retry_s: tuple[float, float] = (0.25, 5.0)  # between attempts to connect: first, longest
    poll_s: tuple[float, float] = (0.25, 2.0)  # between polls without a websocket: first, longest
    quiet_s: float = 5.0  # between polls of a prompt without messages
    queue_s: float = 3600.0  # the longest wait in the server's queue
    cleanup_s: float = 1.0  # for an answer while cleaning up
    stop_s: float = 3.0  # for a prompt that was interrupted to go into the history


class ConnectionLost(ServerFault):
    """A connection failed: the server may have heard the request, or not."""


@dataclass(frozen=True)
class Address:
    """URL and credentials of a server. Only `base` may be shown."""

    base: str  # without user, password and query; no slash at the end
    query: tuple[tuple[str, str], ...] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secrets: Sequence[str] = field(repr=False)  # the longest first

    @classmethod
    def of(cls, url: str, headers: Mapping[str, str]) -> Address:
        """Parse a URL. Raises WrongUsage, without showing it."""
        try:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
            plain = requests.Request("GET", f"{parts.scheme}://{host}{parts.path}").prepare().url
        except (ValueError, requests.RequestException):
            raise _no_url() from None
        if parts.scheme not in ("http", "https") or not parts.hostname or plain is None:
            raise _no_url()
        sent = {name.strip(): value.strip() for name, value in headers.items()}
        _check_headers(sent)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if user or password:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            sent = {"Authorization": f"Basic {token}", **sent}
        query = tuple(parse_qsl(parts.query, keep_blank_values=True))
        values = [user, password, parts.password or "", *sent.values(), *dict(query).values()]
        last_words = [word for value in values for word in value.split()[-1:]]  # of "Bearer ..."
        secrets = {each for each in (*values, *last_words) if len(each) > 2}
        return cls(plain.rstrip("/"), query, sent, sorted(secrets, key=len, reverse=True))

    def socket_url(self, client_id: str) -> str:
        """Return the URL of its websocket."""
        query = urlencode([*self.query, ("clientId", client_id)])
        return f"ws{self.base.removeprefix('http')}/ws?{query}"

    def clean(self, text: object, longest: int = 300) -> str:
        """Return a text of the server fit to show: one line, printable, without secrets."""
        line = str(text)
        for secret in self.secrets:
            line = line.replace(secret, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        return line if len(line) <= longest else f"{line[: longest - 3]}..."

    def check_status(self, status: int, body: bytes) -> bytes:
        """Return the body of an answer of status 200. Raises ServerFault for any other."""
        if status == 200:
            return body
        if status in (401, 403):
            raise ServerFault(
                f"it denies access (HTTP {status}): write user and password into its URL, "
                "http://USER:PASSWORD@HOST:8188, or add what it asks for with --header"
            )
        if status == 404:
            raise ServerFault("something answers there, but it is not ComfyUI (HTTP 404)")
        text = body[:2000].decode("utf-8", "replace").strip()
        said = "" if text.startswith("<") else self.clean(text, 200)
        raise ServerFault(f"it answered HTTP {status}{f': {said}' if said else ''}")


def _no_url() -> WrongUsage:
    return WrongUsage("A --backend is not the address of a server: write http://HOST:8188.")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise WrongUsage("A --header has an invalid name: write 'Name: value'.")
        if not value.isprintable() or not value.isascii():
            raise WrongUsage(f"The --header {name} has a value that cannot be sent.")


class HttpClient:
    """Send requests to one server. Thread-safe.

    Only the adapter of `requests` is used. Its Session would follow redirects, would read the body
    of one however large, and would send the password of ~/.netrc in place of the user's header.
    """

    def __init__(self, address: Address, connect_s: float, answer_s: float, whole_s: float) -> None:
        """Set the limits for a server; `trusted` is the file or folder of the CA certificates.

        answer_s: the longest silence in an answer. whole_s: the longest time a body takes.
        """
        self._address = address
        self._connect_s, self._answer_s, self._whole_s = connect_s, answer_s, whole_s
        self._adapter = _Adapter()
        self._shut = False
        with requests.Session() as session:  # proxies and certificates of the environment
            chosen = session.merge_environment_settings(address.base, {}, True, None, None)
        self._proxies = chosen["proxies"]
        verify = chosen["verify"]
        self.trusted = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        limit: int = JSON_MAX,
        tries: int = TRIES,
        **body: Any,
    ) -> tuple[int, bytes]:
        """Return status and body of the answer to a request. Raises ServerFault without one.

        limit: bytes of the answer. tries: more than one only for what may be sent twice. body:
        `json`, or `files` and `data`, as for `requests`.
        """
        request = requests.Request(
            method,
            self._address.base + path,
            headers=dict(self._address.headers),
            params=[*self._address.query, *(query or {}).items()],
            **body,
        ).prepare()
        while True:
            if self._shut:
                raise ServerFault("the run has ended")
            tries -= 1
            try:
                return self._exchange(request, limit)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                # Their texts hold the URL, and with it the secrets of its query.
                waited = isinstance(error, requests.ReadTimeout | urllib3.exceptions.TimeoutError)
                if waited or tries == 0:
                    raise ConnectionLost(self._reason(error)) from None

    def post(self, path: str, value: object) -> None:
        """Post JSON and ignore the body of the answer. Raises ServerFault unless it is a 200."""
        self._address.check_status(*self.ask("POST", path, json=value))

    def shut(self) -> None:
        """Abort the requests of all threads, and refuse further ones."""
        self._shut = True
        self._adapter.shut()

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()

    def _exchange(self, request: requests.PreparedRequest, limit: int) -> tuple[int, bytes]:
        answer = self._adapter.send(
            request,
            stream=True,
            timeout=(self._connect_s, self._answer_s),
            verify=self.trusted,
            proxies=self._proxies,
        )
        with closing(answer):
            if 300 <= answer.status_code < 400:
                raise ServerFault(self._redirected(answer.headers.get("Location", "")))
            return answer.status_code, self._read(answer.raw, limit)

    def _read(self, raw: urllib3.BaseHTTPResponse, limit: int) -> bytes:
        deadline = time.monotonic() + self._whole_s
        body = bytearray()
        while chunk := raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > limit:
                raise ServerFault(f"its answer is larger than {limit / 1e6:.1f} MB")
            if time.monotonic() > deadline:
                raise ServerFault(f"its answer had not ended after {self._whole_s:g} s")
        return bytes(body)

    def _redirected(self, location: str) -> str:
        try:
            parts = urlsplit(urljoin(self._address.base + "/", location))
            there = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        except ValueError:
            there = "nowhere"
        return (
            f"it redirects to {self._address.clean(there)}: "
            "give the address where ComfyUI itself answers"
        )

    def _reason(self, error: Exception) -> str:
        if isinstance(error, requests.ConnectTimeout):
            return "no connection: nothing answers at that address"
        if isinstance(error, requests.ReadTimeout | urllib3.exceptions.TimeoutError):
            return f"no answer within {self._answer_s:g} s"
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"its certificate cannot be trusted: {cause.verify_message}"
            if isinstance(cause, ssl.SSLError):
                return "it does not answer over https: write http:// if it is a plain server"
            if isinstance(cause, OSError) and cause.strerror:
                return f"no connection: {cause.strerror}"
            cause = cause.__cause__ or cause.__context__
        return "the connection broke off"


class _Adapter(HTTPAdapter):
    """The adapter of `requests`, whose sockets can be shut while threads wait on them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connections: WeakSet[Any] = WeakSet()
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        return self._watch(super().proxy_manager_for(*args, **options))

    def shut(self) -> None:
        """Shut down the connections under the threads that wait for answers."""
        for each in self._all():
            shut_socket(each.sock)

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


def shut_socket(sock: socket.socket | None) -> None:
    """Wake the threads that wait on a socket, without closing it."""
    if sock is not None:
        with suppress(OSError):
            # That of ssl.SSLSocket would take the encryption away under the reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def parse(text: str | bytes) -> Any:
    """Parse JSON; return None where it is invalid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
