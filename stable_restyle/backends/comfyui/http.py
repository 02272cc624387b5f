"""HTTP requests to one server, bounded in time and size.

How long to wait and how much to read is decided here; what to ask, and what an answer means, in
client.py. No message or log made here shows credentials.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

import requests
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from stable_restyle.backends.comfyui.adapter import AbortableAdapter
from stable_restyle.backends.comfyui.address import Address
from stable_restyle.core.errors import ServerFault
from stable_restyle.media.apng import Batch

JSON_MAX = 2**26  # bytes of an answer or a message
TRIES = 3  # to connect
REDIRECTS = 4  # to a result

_CHUNK = 2**18  # bytes

Content: TypeAlias = bytes | Batch  # of a file to upload

logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)  # at DEBUG it shows whole URLs


class ConnectionLost(ServerFault):
    """A connection failed: the server may have received the request, or not."""

    sent = True

    def __init__(self, message: str, *, sent: bool) -> None:
        """Describe the failure. sent: whether the server may have received the request."""
        super().__init__(message)
        self.sent = sent


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    body: bytes = b""  # empty for a redirect
    retry_after_s: float | None = None  # when a busy server wants to be asked again
    location: str | None = field(default=None, repr=False)  # of a redirect; may hold a signature


class Upload:
    """A form with a PNG file. A batch is sent piece by piece, and never in memory as a whole."""

    def __init__(self, fields: Mapping[str, str], key: str, name: str, content: Content) -> None:
        """fields: besides the file, which has this key and name."""
        mark = uuid4().bytes
        form, kind = urllib3.encode_multipart_formdata({**fields, key: (name, mark, "image/png")})
        self.headers = {"Content-Type": kind}
        self._head, self._tail = form.split(mark)
        self._content = content

    def __len__(self) -> int:
        return len(self._head) + len(self._content) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body, from its beginning for each attempt to send it."""
        yield self._head
        yield from [self._content] if isinstance(self._content, bytes) else self._content
        yield self._tail


class HttpClient:
    """Send requests to one server. Thread-safe.

    Only the adapter of `requests` is used. Its Session would follow redirects, would read the body
    of one however large, and would send the password of ~/.netrc in place of the user's header.

        http = HttpClient(Address.parse("http://gpu:8188", {}), 1.5, 60.0, 300.0)
        status, body = http.request("GET", "/queue")
        queue = parse(http.check_status(status, body))
    """

    def __init__(self, address: Address, connect_s: float, answer_s: float, body_s: float) -> None:
        """Set the limits for a server; `ca_bundle` is the file or folder of CA certificates.

        answer_s: the longest time between two bytes of an answer. body_s: the longest time that
        a body takes.
        """
        self._address = address
        self._connect_s, self._answer_s, self._body_s = connect_s, answer_s, body_s
        self._adapter = AbortableAdapter()
        self._aborted = False
        chosen = _environment(address.base)
        self._proxies = chosen["proxies"]
        verify = chosen["verify"]
        self.ca_bundle = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        limit: int = JSON_MAX,
        tries: int = TRIES,
        **body: Any,
    ) -> tuple[int, bytes]:
        """Return status and body of the answer to a request. Raises ServerFault without one.

        limit: bytes of the answer. tries: more than one only for what may be sent twice. body:
        `json` as for `requests`, or `data`, an Upload, with its `headers`.
        """
        answer = self.ask(method, path, params=params, limit=limit, tries=tries, **body)
        if answer.location is not None:
            raise ServerFault(self.redirect_message(answer.location))
        return answer.status, answer.body

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        limit: int = JSON_MAX,
        tries: int = TRIES,
        **body: Any,
    ) -> Answer:
        """Return the answer to a request, which may be a redirect. Raises ServerFault without one.

        headers: besides those of all requests. The other arguments are those of `request`.
        """
        prepared = requests.Request(
            method,
            self._address.base + path,
            headers={**self._address.headers, **(headers or {})},
            params=[*self._address.params, *(params or {}).items()],
            **body,
        ).prepare()
        return self._send(prepared, self._proxies, limit, tries)

    def fetch(self, path: str, location: str, limit: int) -> Answer:
        """Return what is where a redirect of a path leads to, and those that follow.

        Another server may have it. None of our credentials are sent: such an address is signed.
        Raises ServerFault.
        """
        url = self._address.base + path
        for _ in range(REDIRECTS):
            try:
                url = urljoin(url, location)
                scheme = urlsplit(url).scheme
                request = requests.Request("GET", url).prepare()
            except (ValueError, requests.RequestException):
                raise ServerFault("it redirects to an address that is none") from None
            if scheme not in ("https", self._address.base.partition(":")[0]):
                raise ServerFault(f"it redirects to {scheme}, which is neither https nor its own")
            answer = self._send(request, _environment(url)["proxies"], limit, TRIES)
            if answer.location is None:
                return answer
            location = answer.location
        raise ServerFault("it redirects again and again")

    def post(self, path: str, value: object) -> None:
        """Post JSON and ignore the body of the answer. Raises ServerFault unless it is a 200."""
        self.check_status(*self.request("POST", path, json=value))

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
        said = "" if text.startswith("<") else self._address.clean(text, 200)
        raise ServerFault(f"it answered HTTP {status}{f': {said}' if said else ''}")

    def abort(self) -> None:
        """Abort the requests of all threads, and refuse further ones."""
        self._aborted = True
        self._adapter.abort()

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()

    def _send(
        self, request: requests.PreparedRequest, proxies: Any, limit: int, tries: int
    ) -> Answer:
        sent = False
        while True:
            if self._aborted:
                raise ServerFault("the run has ended")
            tries -= 1
            try:
                return self._exchange(request, proxies, limit)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                # Their texts hold the URL, and with it the secrets of its query.
                waited = isinstance(error, requests.ReadTimeout | urllib3.exceptions.TimeoutError)
                sent = sent or _was_connected(error)
                if waited or tries == 0:
                    # Not by a variable: the cycle would keep the connection open for a while.
                    raise ConnectionLost(self._reason(error), sent=sent) from None

    def _exchange(self, request: requests.PreparedRequest, proxies: Any, limit: int) -> Answer:
        answer = self._adapter.send(
            request,
            stream=True,
            timeout=(self._connect_s, self._answer_s),
            verify=self.ca_bundle,
            proxies=proxies,
        )
        with closing(answer):
            status = answer.status_code
            if 300 <= status < 400:
                return Answer(status, location=answer.headers.get("Location", ""))
            retry_after_s = _whole_seconds(answer.headers.get("Retry-After", ""))
            return Answer(status, self._read(answer.raw, limit), retry_after_s)

    def _read(self, raw: urllib3.BaseHTTPResponse, limit: int) -> bytes:
        deadline = time.monotonic() + self._body_s
        body = bytearray()
        while chunk := raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > limit:
                raise ServerFault(f"its answer is larger than {limit / 1e6:.1f} MB")
            if time.monotonic() > deadline:
                raise ServerFault(f"its answer had not ended after {self._body_s:g} s")
        return bytes(body)

    def redirect_message(self, location: str) -> str:
        """Return the message for a redirect that is not followed."""
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


def _environment(url: str) -> Any:
    """Return the proxies and certificates that the environment sets for a URL."""
    with requests.Session() as session:
        return session.merge_environment_settings(url, {}, True, None, None)


def _was_connected(error: Exception) -> bool:
    """Return whether a request that failed may have reached its server."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return not isinstance(
        reason,
        urllib3.exceptions.NewConnectionError
        | urllib3.exceptions.ConnectTimeoutError
        | urllib3.exceptions.SSLError
        | urllib3.exceptions.ProxyError,
    )


def _whole_seconds(text: str) -> float | None:
    """Parse a Retry-After; None for a date, which only matters to those with the same clock."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 7 else None


def parse(text: str | bytes) -> Any:
    """Parse JSON; return None where it is invalid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
