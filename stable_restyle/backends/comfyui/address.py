"""The address of a server, and the credentials that go with every request to it.

Users, passwords and headers go to the server alone: no message, log or repr made here shows them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import requests

from stable_restyle.core.errors import WrongUsage

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Address:
    """URL and credentials of a server. Only `base` may be shown."""

    base: str  # without user, password and query; no slash at the end
    params: tuple[tuple[str, str], ...] = field(repr=False)  # of its query
    headers: Mapping[str, str] = field(repr=False)
    secrets: Sequence[str] = field(repr=False)  # the longest first

    @classmethod
    def parse(cls, url: str, headers: Mapping[str, str]) -> Address:
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
        sent = {**_basic_auth(parts), **sent}
        params = tuple(parse_qsl(parts.query, keep_blank_values=True))
        return cls(plain.rstrip("/"), params, sent, _secrets(parts, sent, dict(params)))

    def socket_url(self, client_id: str) -> str:
        """Return the URL of its websocket."""
        query = urlencode([*self.params, ("clientId", client_id)])
        return f"ws{self.base.removeprefix('http')}/ws?{query}"

    def clean(self, text: object, longest: int = 300) -> str:
        """Return a text of the server fit to show: one line, printable, without secrets."""
        line = str(text)
        for secret in self.secrets:
            line = line.replace(secret, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _no_url() -> WrongUsage:
    return WrongUsage("A --backend is not the address of a server: write http://HOST:8188.")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise WrongUsage("A --header has an invalid name: write 'Name: value'.")
        if not value.isprintable() or not value.isascii():
            raise WrongUsage(f"The --header {name} has a value that cannot be sent.")


def _user(parts: SplitResult) -> tuple[str, str]:
    """Return user and password of a URL, empty where there are none."""
    return unquote(parts.username or ""), unquote(parts.password or "")


def _basic_auth(parts: SplitResult) -> dict[str, str]:
    """Return the header for user and password of a URL; none without them."""
    user, password = _user(parts)
    if not (user or password):
        return {}
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def _secrets(
    parts: SplitResult, headers: Mapping[str, str], params: Mapping[str, str]
) -> list[str]:
    """Return what no message may show, the longest first."""
    values = [*_user(parts), parts.password or "", *headers.values(), *params.values()]
    last_words = [word for value in values for word in value.split()[-1:]]  # of "Bearer ..."
    secrets = {each for each in (*values, *last_words) if len(each) > 2}
    return sorted(secrets, key=len, reverse=True)
