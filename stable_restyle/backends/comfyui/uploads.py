"""The pictures of ours that lie on one server: each content once, under few names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from uuid import uuid4

from stable_restyle.core.records import Pixels
from stable_restyle.media import png

KEPT = 16  # pictures that stay there although no prompt needs them


@dataclass(eq=False)
class _Place:
    """A file on the server, and what is in it; changed under the lock of `Uploads`."""

    name: str  # that we ask for
    digest: bytes = b""
    stored: Future[str] = field(default_factory=Future)  # the name by which nodes load it
    users: int = 0  # prompts that load it


class Uploads:
    """Pictures on one server. Thread-safe.

    A file is overwritten only while no prompt needs it: that would change prompts in the queue.
    """

    def __init__(self, put: Callable[[str, bytes], str]) -> None:
        """put: uploads a PNG under a name, over what is there; returns the name for nodes."""
        self._put = put
        self._lock = Lock()
        self._places: list[_Place] = []  # the one that was needed last comes last

    @contextmanager
    def hold(self, pictures: Mapping[str, Pixels]) -> Iterator[dict[str, str]]:
        """Yield the names by which nodes load these pictures, by role; upload what is missing.

        Raises what `put` raises.
        """
        taken = [self._take(picture) for picture in pictures.values()]
        try:
            with ThreadPoolExecutor(len(taken), "upload") as threads:  # all run, whatever fails
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

    def _take(self, picture: Pixels) -> tuple[_Place, bool]:
        """Return the place of a picture, and whether it has to be uploaded there."""
        digest = sha256(picture.data).digest() + repr(picture.shape).encode()
        with self._lock:
            place = next((each for each in self._places if each.digest == digest), None)
            is_new = place is None
            if place is None:
                place = self._free_place()
                place.digest, place.stored = digest, Future()
            else:
                self._places.remove(place)
            self._places.append(place)
            place.users += 1
            return place, is_new

    def _free_place(self) -> _Place:
        """Return a place that no prompt needs: the one not needed for longest, or a new one."""
        idle = [each for each in self._places if not each.users]
        if len(idle) < KEPT:
            return _Place(f"{uuid4().hex}.png")
        self._places.remove(idle[0])
        return idle[0]

    def _store(self, taken: tuple[_Place, bool], picture: Pixels) -> str:
        place, is_new = taken
        if is_new:
            try:
                place.stored.set_result(self._put(place.name, png.encode(picture)))
            except BaseException as error:
                with self._lock:
                    place.digest = b""
                place.stored.set_exception(error)
        return place.stored.result()
