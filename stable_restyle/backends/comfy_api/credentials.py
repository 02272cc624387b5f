"""Where the key of the environment is sent, and what to do where it opens nothing."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from stable_restyle.core.errors import WrongUsage
from stable_restyle.core.settings import API_KEY_VARIABLE

_HERE = ("localhost", "127.0.0.1", "::1")


def credentials(url: str, headers: Mapping[str, str], api_key: str) -> tuple[dict[str, str], str]:
    """Return the header for the key, and what to do if access is denied.

    There is no header where the user names another one, or where anybody could read the key.
    Raises WrongUsage.
    """
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise WrongUsage(f"The key in {API_KEY_VARIABLE} has characters that cannot be sent.")
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https" or parts.hostname in _HERE
    except ValueError:  # `Address.parse` says so
        return {}, ""
    if "@" in parts.netloc or "authorization" in map(str.lower, headers):
        return {}, "Correct the password in the URL, or the key in --header"
    if not api_key:
        return {}, (
            f"Put its key into {API_KEY_VARIABLE}, or add --header 'Authorization: Bearer KEY'"
        )
    if not secure:
        return {}, (
            f"The key in {API_KEY_VARIABLE} is only sent over https, or to this machine: write "
            "comfy-api+https://, or --header 'Authorization: Bearer KEY' for a network you trust"
        )
    return {"Authorization": f"Bearer {api_key}"}, f"Correct the key in {API_KEY_VARIABLE}"
