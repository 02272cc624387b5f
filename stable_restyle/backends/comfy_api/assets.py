"""The pictures of ours that lie on one server as assets, until they are deleted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from urllib.parse import quote

from stable_restyle.backends.comfy_api.api import ROOT, Api
from stable_restyle.backends.comfyui import responses
from stable_restyle.backends.comfyui.http import Content, HttpClient, Upload
from stable_restyle.backends.comfyui.uploads import TOO_LARGE, too_large
from stable_restyle.core.errors import ServerFault, counted
from stable_restyle.core.film_threads import named

KEPT_S = 24 * 3600  # until the server forgets an asset, should this program not come to delete it
AT_ONCE = 8  # requests
_IN_USE = 409

log = logging.getLogger(__name__)


class Assets:
    """Uploaded pictures, each under a name that `Uploads` chooses and uses again. Thread-safe."""

    def __init__(self, server: str, api: Api, quick: HttpClient) -> None:
        """server: its name. quick: for what must not take long."""
        self._server, self._api, self._quick = server, api, quick
        self._lock = Lock()
        self._ids: dict[str, str] = {}  # by the name
        self._unneeded: list[str] = []  # IDs
        self._cannot_delete = ""  # why

    def put(self, name: str, data: Content) -> str:
        """Upload a PNG under a name; return its ID. Raises ServerFault.

        What had the name before is deleted the next time.
        """
        about = {"file_path": name, "content_type": "image/png", "expires_in": str(KEPT_S)}
        upload = Upload(about, "file", name, data)
        answer = self._api.ask(
            "POST",
            f"{ROOT}/assets",
            fails_s=self._api.timeouts.fails_s,
            data=upload,
            headers=upload.headers,
        )
        if answer.status == TOO_LARGE:
            raise too_large(self._server, data)
        asset_id = responses.name(self._api.json(answer).get("id"))
        with self._lock:
            if (before := self._ids.get(name)) is not None:
                self._unneeded.append(before)
            self._ids[name] = asset_id
        return asset_id

    def forget(self) -> None:
        """Delete all of them the next time: the server has lost some."""
        with self._lock:
            self._unneeded += self._ids.values()
            self._ids.clear()

    def tidy(self) -> None:
        """Delete what no job needs any more; what cannot be deleted now is kept for later."""
        with self._lock:
            ids, self._unneeded = self._unneeded, []
            # The same bytes may have been uploaded again: a server may give both the same ID.
            held = set(self._ids.values())
        left = self._delete([each for each in ids if each not in held], lambda: False)
        with self._lock:
            self._unneeded += left

    def delete_all(self, until: float) -> None:
        """Delete all assets; warn if some stay. until: time.monotonic()."""
        self.forget()
        with self._lock:
            ids, self._unneeded = self._unneeded, []
        if left := self._delete(ids, lambda: time.monotonic() > until):
            why = f": {self._cannot_delete}" if self._cannot_delete else ""
            log.warning(
                "%s: %s that this run uploaded could not be deleted there%s.",
                self._server,
                counted(len(left), "picture"),
                why,
            )

    def _delete(self, ids: Iterable[str], stopped: Callable[[], bool]) -> list[str]:
        """Delete assets; return those that are left."""
        wanted = list(dict.fromkeys(ids))
        with ThreadPoolExecutor(AT_ONCE, named("delete")) as threads:
            gone = threads.map(lambda each: not stopped() and self._delete_one(each), wanted)
            return [each for each, is_gone in zip(wanted, gone, strict=True) if not is_gone]

    def _delete_one(self, asset_id: str) -> bool:
        """Delete an asset; return whether it is gone."""
        try:
            answer = self._quick.ask("DELETE", f"{ROOT}/assets/{quote(asset_id, safe='')}", tries=1)
        except ServerFault as fault:
            self._cannot_delete = str(fault)
            return False
        if answer.status in (200, 204, 404):
            return True
        self._cannot_delete = str(self._api.fault(answer))
        return False
