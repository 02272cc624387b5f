"""The pictures of ours that lie on one server: each content once, under few names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Any
from uuid import uuid4

from stable_restyle.backends.comfyui import responses
from stable_restyle.backends.comfyui.http import Content, HttpClient, Upload, parse
from stable_restyle.core.errors import WorkflowFault, bytes_in_words
from stable_restyle.core.film_threads import named
from stable_restyle.core.records import Pixels
from stable_restyle.media import png
from stable_restyle.media.apng import Batch

KEPT = 16  # pictures that stay there although no prompt needs them
BATCHES_KEPT = 3  # batches that do: as many as a window loads
TOO_LARGE = 413  # the status of an answer


@dataclass(eq=False)
class _Place:
    """A file on the server, and what is in it; changed under the lock of `Uploads`."""

    name: str  # that we ask for
    is_batch: bool
    digest: bytes = b""
    stored: Future[str] = field(default_factory=Future)  # the name by which nodes load it
    users: int = 0  # prompts that load it


class Uploads:
    """Pictures, or batches of them, on one server. Thread-safe.

    A file is overwritten only while no prompt needs it: that would change prompts in the queue.
    """

    def __init__(self, put: Callable[[str, Content], str]) -> None:
        """put: uploads a PNG under a name, over what is there; returns the name for nodes."""
        self._put = put
        self._lock = Lock()
        self._places: list[_Place] = []  # the one that was needed last comes last

    @contextmanager
    def hold(self, pictures: Mapping[str, Pixels | Batch]) -> Iterator[dict[str, str]]:
        """Yield the names by which nodes load these pictures, by role; upload what is missing.

        Raises what `put` raises.
        """
        taken = [self._take(picture) for picture in pictures.values()]
        try:
            # All run, whatever fails.
            with ThreadPoolExecutor(max(len(taken), 1), named("upload")) as threads:
                stored = [
                    threads.submit(self._store, each, picture)
                    for each, picture in zip(taken, pictures.values(), strict=True)
                ]
            yield {role: each.result() for role, each in zip(pictures, stored, strict=True)}
        finally:
            with self._lock:
                for place, _ in taken:
                    place.users -= 1

    def forget(self) -> None:
        """Upload everything again, under new names: the server has lost what it had."""
        with self._lock:
            self._places.clear()

    def _take(self, picture: Pixels | Batch) -> tuple[_Place, bool]:
        """Return the place of a picture, and whether it has to be uploaded there."""
        digest = _digest(picture)
        with self._lock:
            place = next((each for each in self._places if each.digest == digest), None)
            is_new = place is None
            if place is None:
                place = self._free_place(isinstance(picture, Batch))
                place.digest, place.stored = digest, Future()
            else:
                self._places.remove(place)
            self._places.append(place)
            place.users += 1
            return place, is_new

    def _free_place(self, is_batch: bool) -> _Place:
        """Return a place that no prompt needs: the one not needed for longest, or a new one."""
        idle = [each for each in self._places if not each.users and each.is_batch == is_batch]
        if len(idle) < (BATCHES_KEPT if is_batch else KEPT):
            return _Place(f"{uuid4().hex}.png", is_batch)
        self._places.remove(idle[0])
        return idle[0]

    def _store(self, taken: tuple[_Place, bool], picture: Pixels | Batch) -> str:
        place, is_new = taken
        if is_new:
            try:
                content = picture if isinstance(picture, Batch) else png.encode(picture)
                place.stored.set_result(self._put(place.name, content))
            except BaseException as error:
                with self._lock:
                    place.digest = b""
                place.stored.set_exception(error)
        return place.stored.result()


def _digest(picture: Pixels | Batch) -> bytes:
    if isinstance(picture, Batch):
        return picture.digest
    return sha256(picture.data).digest() + repr(picture.shape).encode()


class TempFolder:
    """The temp folder of a server, which it empties when it starts."""

    def __init__(self, server: str, http: HttpClient, parsed: Callable[[int, bytes], Any]) -> None:
        """server: its name. parsed: returns the JSON of an answer."""
        self._server, self._http, self._parsed = server, http, parsed

    def put(self, folder: str, name: str, content: Content) -> str:
        """Put a PNG into a subfolder; return the name by which nodes load it.

        Raises ServerFault; WorkflowFault where the server does not take so much.
        """
        most = self._most() if isinstance(content, Batch) else None
        if most is not None and len(content) > most:
            raise too_large(self._server, content, most)
        fields = {"subfolder": folder, "type": "temp", "overwrite": "true"}
        upload = Upload(fields, "image", name, content)
        status, body = self._http.request(
            "POST", "/upload/image", data=upload, headers=upload.headers
        )
        if status == TOO_LARGE:
            raise too_large(self._server, content)
        stored = self._parsed(status, body)
        keys = ("subfolder", "name", "type")
        folder, name, place = (responses.name(responses.get(stored, key)) for key in keys)
        return f"{folder}/{name} [{place}]" if folder else f"{name} [{place}]"

    def _most(self) -> int | None:
        """Return how many bytes the server takes at once; None where it does not say.

        It may close the connection before a batch that is too large has arrived: what it answers
        is then lost.
        """
        status, body = self._http.request("GET", "/features")
        features = parse(body) if status == 200 else None
        return responses.whole_number(responses.get(features, "max_upload_size"))


def too_large(server: str, content: Content, most: int | None = None) -> WorkflowFault:
    """Return the fault for an upload that a server refuses. most: bytes that it takes."""
    takes = f", which takes {bytes_in_words(most)}" if most else ""
    smaller = "use smaller frames"
    if isinstance(content, Batch):
        smaller = 'set a smaller width and height, or a smaller "most", in the workflow'
    return WorkflowFault(
        f"An upload of {bytes_in_words(len(content))} is too large for {server}{takes}.\n"
        f"Start ComfyUI with --max-upload-size {-(-len(content) // 2**20) + 1}, and let a proxy in "
        f"front of it take as much; or {smaller}."
    )
