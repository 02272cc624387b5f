"""Remove from one server what a run no longer needs there."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any
from urllib.parse import quote

import numpy as np

from stable_restyle.backends.comfyui import responses
from stable_restyle.backends.comfyui.http import HttpClient, parse
from stable_restyle.media import png

EMPTIED_KNOWN = 2048  # pictures; a server answers an equal prompt by one that it made not long ago
EMPTY = png.encode(np.zeros((1, 1, 3), np.uint8))


class Cleanup:
    """Finished prompts, prompts that were given up, and fetched slides. Thread-safe.

    No server deletes a file of its temp folder before it starts again, but it overwrites one.
    """

    def __init__(
        self,
        http: HttpClient,
        parsed: Callable[[int, bytes], Any],
        upload: Callable[[str, str, bytes], object],
        stop_s: float,
    ) -> None:
        """Prepare to clean up.

        parsed: returns the JSON of an answer. upload: puts a file into a subfolder of the temp
        folder. stop_s: how long a prompt may take to stop.
        """
        self._http, self._parsed, self._upload, self._stop_s = http, parsed, upload, stop_s
        self._lock = Lock()
        self._done: list[str] = []  # prompts that may be in the history
        self._fetched: list[Mapping[str, str]] = []  # slides in the temp folder
        self._emptied: deque[Mapping[str, str]] = deque(maxlen=EMPTIED_KNOWN)

    def add_done(self, prompt_id: str) -> None:
        """Note a prompt that is over."""
        with self._lock:
            self._done.append(prompt_id)

    def add_fetched(self, picture: Mapping[str, str]) -> None:
        """Note a slide that is not needed there any more, by filename, subfolder and type."""
        if picture["type"] == "temp":
            with self._lock:
                self._fetched.append(picture)

    def is_emptied(self, picture: Mapping[str, str]) -> bool:
        """Return whether a slide was emptied: the server has answered from its cache."""
        with self._lock:
            return picture in self._emptied

    def tidy(self) -> None:
        """Delete finished prompts from the history; empty fetched slides. Raises ServerFault."""
        with self._lock:
            done, self._done = self._done, []
            fetched, self._fetched = self._fetched, []
            self._emptied.extend(fetched)
        if done:
            self._http.post("/history", {"delete": done})
        for picture in fetched:
            self._upload(picture["subfolder"], picture["filename"], EMPTY)

    def withdraw(self, ids: Sequence[str]) -> None:
        """Remove our prompts from the queue, including the running one. Raises ServerFault."""
        if not ids:
            return
        if left := [each for each in ids if not self._cancel(each)]:
            self._http.post("/queue", {"delete": left})
            for each in self._running(left):  # old servers interrupt any prompt that is running
                self._http.post("/interrupt", {"prompt_id": each})
        running = self._running(ids)
        deadline = time.monotonic() + self._stop_s
        while running and time.monotonic() < deadline:
            time.sleep(0.02)
            running = self._running(ids)
        for each in ids:
            self._add_made(each)
        self._http.post("/history", {"delete": list(ids)})

    def _cancel(self, prompt_id: str) -> bool:
        """Cancel a prompt, queued or running; return whether the server can, as from mid 2026 on.

        Where it cannot, another prompt may begin to run before an interrupt arrives.
        """
        path = f"/api/jobs/{quote(prompt_id, safe='')}/cancel"
        status, body = self._http.request("POST", path, json={})
        return status == 200 and responses.get(parse(body), "cancelled") is not None

    def _add_made(self, prompt_id: str) -> None:
        """Note the slide of a prompt that was given up after it had been drawn."""
        answer = self._http.request("GET", f"/history/{quote(prompt_id, safe='')}")
        entry = responses.get(self._parsed(*answer), prompt_id)
        for _, made in responses.items(responses.get(entry, "outputs")):
            for picture in responses.sequence(responses.get(made, "images")):
                keys = ("filename", "subfolder", "type")
                self.add_fetched({key: responses.name(responses.get(picture, key)) for key in keys})

    def _running(self, ids: Sequence[str]) -> list[str]:
        queue = self._parsed(*self._http.request("GET", "/queue"))
        return [each for each in ids if responses.place(queue, each) == "queue_running"]

    def close(self) -> None:
        """Close every connection."""
        self._http.close()
