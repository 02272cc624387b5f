"""Pictures go to a server once, under few names, and none is overwritten while it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
import pytest
from support.programs import LONGEST_S

from stable_restyle.backends.comfyui import uploads as module
from stable_restyle.backends.comfyui.http import Content
from stable_restyle.backends.comfyui.uploads import KEPT, Uploads
from stable_restyle.core.errors import ServerFault
from stable_restyle.core.records import Pixels
from stable_restyle.media import png


class Server:
    """Takes uploads, and stores each under a name of its own."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.refuses = False

    def put(self, name: str, data: Content) -> str:
        assert isinstance(data, bytes)
        if self.refuses:
            raise ServerFault("no space")
        self.puts.append(name)
        self.files[f"restyle/{name}"] = data
        return f"restyle/{name}"

    def shows(self, name: str) -> int:
        """Return the level of a plain picture."""
        return int(png.decode(self.files[name])[0, 0, 0])


def plain(level: int, height: int = 8) -> Pixels:
    return np.full((height, 16, 3), level, np.uint8)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def uploads(server: Server) -> Iterator[Uploads]:
    yield Uploads(server.put)


def test_a_picture_is_uploaded_once(server: Server, uploads: Uploads) -> None:
    for _ in range(3):
        with uploads.hold({"middle": plain(1), "frame": plain(2)}) as names:
            assert (server.shows(names["middle"]), server.shows(names["frame"])) == (1, 2)
    assert len(server.puts) == 2


def test_equal_pictures_of_a_slide_share_a_file(server: Server, uploads: Uploads) -> None:
    with uploads.hold({"guide": plain(1), "frame": plain(1), "mask": plain(2)}) as names:
        assert names["guide"] == names["frame"] != names["mask"]
    assert len(server.puts) == 2


def test_pictures_of_equal_bytes_and_other_shapes_are_two(server: Server, uploads: Uploads) -> None:
    tall = plain(1).reshape(16, 8, 3)
    with uploads.hold({"guide": plain(1), "frame": tall}) as names:
        assert names["guide"] != names["frame"]
        assert png.decode(server.files[names["frame"]]).shape == tall.shape


def test_a_whole_film_takes_few_names(server: Server, uploads: Uploads) -> None:
    for level in range(200):
        with uploads.hold({"middle": plain(250), "frame": plain(level)}) as names:
            assert server.shows(names["frame"]) == level
            assert server.shows(names["middle"]) == 250
    assert len(set(server.puts)) <= KEPT + 2
    assert len(server.puts) == 201  # the middle once


def test_what_is_needed_is_never_overwritten(server: Server, uploads: Uploads) -> None:
    with ExitStack() as held:
        names = [
            held.enter_context(uploads.hold({"frame": plain(level)}))["frame"]
            for level in range(KEPT + 10)
        ]
        assert len(set(names)) == len(names)
        assert [server.shows(name) for name in names] == list(range(KEPT + 10))
    with uploads.hold({"frame": plain(100)}) as again:  # now one of these names is free
        assert again["frame"] in names


def test_threads_that_want_one_picture_wait_for_one_upload(
    server: Server, uploads: Uploads
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(name: str, data: Content) -> str:
        begun.set()
        assert go_on.wait(LONGEST_S)
        return server.put(name, data)

    shared = Uploads(slow)

    def use() -> str:
        with shared.hold({"middle": plain(1)}) as names:
            return names["middle"]

    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(use) for _ in range(4)]
        assert begun.wait(LONGEST_S)
        go_on.set()
        assert len({each.result() for each in found}) == 1
    assert len(server.puts) == 1


def test_an_upload_that_fails_is_tried_again(server: Server, uploads: Uploads) -> None:
    server.refuses = True
    for _ in range(2):
        with pytest.raises(ServerFault, match="no space"), uploads.hold({"frame": plain(1)}):
            pass
    server.refuses = False
    with uploads.hold({"frame": plain(1)}) as names:
        assert server.shows(names["frame"]) == 1


def test_a_server_that_forgot_gets_everything_again(server: Server, uploads: Uploads) -> None:
    with uploads.hold({"frame": plain(1)}) as held:
        server.files.clear()
        uploads.forget()
        with uploads.hold({"frame": plain(1)}) as names:
            assert names != held
            assert server.shows(names["frame"]) == 1


def test_an_upload_that_fails_leaves_no_other_waiting(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one was not begun when the first failed; who needs it next would wait for ever."""
    monkeypatch.setattr(module, "ThreadPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    refusals = iter([True])

    def put(name: str, data: Content) -> str:
        if next(refusals, False):
            raise ServerFault("no space")
        return server.put(name, data)

    uploads = Uploads(put)
    with pytest.raises(ServerFault), uploads.hold({"guide": plain(1), "mask": plain(2)}):
        pass
    with ThreadPoolExecutor(1) as threads, uploads.hold({"mask": plain(2)}) as names:
        assert threads.submit(server.shows, names["mask"]).result(LONGEST_S) == 2
