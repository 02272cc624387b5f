"""Requests to one server of the Comfy API, repeated while it is busy or out of order.

What to ask, and what an answer means, is for `client` and `jobs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any
from urllib.parse import quote, urljoin

from stable_restyle.backends.comfy_api.timeouts import Timeouts
from stable_restyle.backends.comfyui import responses
from stable_restyle.backends.comfyui.address import Address
from stable_restyle.backends.comfyui.http import (
    TRIES,
    Answer,
    ConnectionLost,
    HttpClient,
    parse,
)
from stable_restyle.core.errors import ServerFault

ROOT = "/api/v2"
BUSY = 429
CREATED = (200, 201, 202)
FETCHES = 3  # of one result, whose signed address may have expired
_NOT_IMPLEMENTED = 501


class Unanswered(ServerFault):
    """A request failed again and again, and the server may have carried it out."""


class Api:
    """One server of the Comfy API. Thread-safe."""

    def __init__(self, address: Address, timeouts: Timeouts, timeout_s: float, hint: str) -> None:
        """timeout_s: how long an answer may take. hint: what to do where access is denied."""
        self.address = address
        self.timeouts = timeouts
        self._hint = hint
        answer_s = min(timeouts.answer_s, timeout_s)
        self._http = HttpClient(address, timeouts.connect_s, answer_s, timeout_s)
        self._ended = Event()

    def ask(
        self,
        method: str,
        path: str,
        *,
        fails_s: float,
        once: bool = False,
        on_busy: Callable[[Answer], None] = lambda _: None,
        **request: Any,
    ) -> Answer:
        """Return the answer to a request; it may be of any status but 429 and most above 500.

        fails_s: how long it is repeated while it fails. once: whether it must not be carried out
        twice; it is then repeated for longer if the server may have received it, which knows it
        by its Idempotency-Key. on_busy: called with each answer of status 429. request: as for
        `HttpClient.ask`. Raises ServerFault, Unanswered.
        """
        began = time.monotonic()
        failing_since, sent = None, False
        for pause_s in self._pauses():
            asked_for_s: float | None = None
            self.pause(0)
            try:
                answer = self._http.ask(method, path, tries=1 if once else TRIES, **request)
            except ConnectionLost as lost:
                failure: ServerFault = lost
                sent = sent or lost.sent
            else:
                if answer.status == BUSY:
                    on_busy(answer)
                elif answer.status < 500 or answer.status == _NOT_IMPLEMENTED:
                    return answer
                failure, asked_for_s = self.fault(answer), answer.retry_after_s
                sent = sent or answer.status != BUSY
                if answer.status == BUSY:
                    failing_since = None
                    if time.monotonic() > began + self.timeouts.queue_s:
                        raise failure
                    self.pause(self._granted(asked_for_s, pause_s))
                    continue
            failing_since = failing_since or time.monotonic()
            patience_s = max(fails_s, self.timeouts.outage_s) if once and sent else fails_s
            if time.monotonic() >= failing_since + patience_s:
                raise Unanswered(str(failure)) if once and sent else failure
            self.pause(self._granted(asked_for_s, pause_s))
        raise AssertionError("pauses do not end")

    def ask_once(self, method: str, path: str, **request: Any) -> Answer:
        """Return the answer to a request that is not repeated where the server fails."""
        return self._http.ask(method, path, **request)

    def result(self, url: object, asset_id: str, limit: int) -> bytes:
        """Return the bytes of a result, `limit` at most; follow its redirects without our key.

        url: as the server gives it. Raises ServerFault.
        """
        content = f"{ROOT}/assets/{quote(asset_id, safe='')}/content"
        path = self.path(url, content)
        pauses = self._pauses()
        for tries_left in reversed(range(FETCHES)):
            try:
                answer = self.ask("GET", path, fails_s=self.timeouts.outage_s, limit=limit)
                words = self.words(answer)
                if answer.location is not None:  # words from there could show its signature
                    answer = self._http.fetch(path, answer.location, limit)
                if answer.status == 200:
                    return answer.body
                reason = f"HTTP {answer.status}{words}"
            except ConnectionLost as lost:
                reason = str(lost)
            if tries_left:
                path = content  # which leads to an address that is signed only now
                self.pause(next(pauses))
        raise ServerFault(f"what it made cannot be fetched: {reason}")

    def path(self, link: object, default: str) -> str:
        """Return the path below our address that a link leads to; `default` if it leads elsewhere.

        Behind a proxy a server may not know its own address, and our key goes to no other.
        """
        base = self.address.base
        try:
            url = urljoin(f"{base}/", link) if isinstance(link, str) else ""
        except ValueError:
            return default
        return url.removeprefix(base) if url.startswith(f"{base}/") else default

    def json(self, answer: Answer) -> dict[str, Any]:
        """Return the JSON object of an answer. Raises ServerFault."""
        if answer.status not in CREATED:
            raise self.fault(answer)
        return responses.mapping(parse(answer.body))

    def fault(self, answer: Answer) -> ServerFault:
        """Return the fault for an answer of a status that was not expected, with its words."""
        status = answer.status
        if answer.location is not None:
            return ServerFault(self._http.redirect_message(answer.location))
        words = self.words(answer)
        if status in (401, 403):
            return ServerFault(f"it denies access (HTTP {status}){words}. {self._hint}")
        if status == 402:
            return ServerFault(f"it asks to be paid (HTTP 402){words}")
        if status == BUSY:
            return ServerFault(f"it is busy (HTTP 429){words}")
        if status in (404, 405) and not words:
            return not_the_api(status)
        return ServerFault(f"it answered HTTP {status}{words}")

    def words(self, answer: Answer) -> str:
        """Return what the server says of an error, after ": "; empty without."""
        error = responses.get(parse(answer.body), "error")
        said = [responses.get(error, key) for key in ("code", "message")]
        text = self.address.clean(
            ": ".join(each for each in said if isinstance(each, str) and each)
        )
        return f": {text.rstrip('.')}" if text else ""

    def pause(self, seconds: float) -> None:
        """Wait. Raises ServerFault if the run ends meanwhile."""
        if self._ended.wait(seconds):
            raise ServerFault("the run has ended")

    def end(self) -> None:
        """Wake all that wait between two requests, and have them fail."""
        self._ended.set()

    def abort(self) -> None:
        """Abort all requests, and refuse further ones."""
        self._http.abort()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _granted(self, asked_for_s: float | None, pause_s: float) -> float:
        return pause_s if asked_for_s is None else min(asked_for_s, self.timeouts.busy_s)

    def _pauses(self) -> Iterator[float]:
        return growing(*self.timeouts.retry_s)


def not_the_api(status: int) -> ServerFault:
    """Return the fault for a server of something else."""
    return ServerFault(
        f"something answers there, but not the Comfy API v2 (HTTP {status}); for a plain ComfyUI "
        "leave comfy-api+ out"
    )


def error_code(answer: Answer) -> object:
    """Return the code of an error; None for an answer that is not the Comfy API's."""
    return responses.get(responses.get(parse(answer.body), "error"), "code")


def growing(first: float, longest: float) -> Iterator[float]:
    """Yield longer and longer pauses, in seconds, without end."""
    pause_s = first
    while True:
        yield pause_s
        pause_s = min(1.5 * pause_s, longest)
