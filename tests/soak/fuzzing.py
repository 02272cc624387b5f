"""Try wrong input of every kind: a target takes a case and checks that it is accepted or refused
with an error meant for users.

`test_fuzzing.py` tries a few cases of each target, `make soak` a million together. The same seed
and salt always make the same cases.
"""

from __future__ import annotations

import copy
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from secrets import randbits
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from support import paths, pngs
from support.comfy_server import RECORDINGS, recorded

from stable_restyle.backends.comfyui import responses, validate, workflow, workflow_file
from stable_restyle.backends.comfyui.address import Address
from stable_restyle.backends.comfyui.client import ComfyUI
from stable_restyle.backends.comfyui.events import _Socket
from stable_restyle.backends.comfyui.http import HttpClient, parse
from stable_restyle.backends.comfyui.prompt import Prompt
from stable_restyle.backends.comfyui.responses import Submission
from stable_restyle.backends.comfyui.slides import Request
from stable_restyle.backends.comfyui.timeouts import Allowance
from stable_restyle.core.errors import ServerFault, UnusableInput, WorkflowFault
from stable_restyle.core.records import Keys
from stable_restyle.media import png, sequence
from stable_restyle.plan import keyframes, scenes
from stable_restyle.workdir import manifest, settings_file
from stable_restyle.workdir.input_file import InputSnapshot
from stable_restyle.workdir.layout import RunPaths

Attempt = Callable[[Random], None]  # raises an exception that no user should ever see
ROUND = 2000  # cases in a row: hypothesis remembers each seed of a row
CASES_A_SEED = 20  # cases come by multiples of it

JUNK: list[Any] = [
    *(None, True, 0, -1, 2**70, 0.5, float("inf"), float("nan"), "", "x", "\ud800", "../x\0"),
    *([], {}, [[]], [None], {"": None}, {"images": [1]}, [["execution_error", None]], "y" * 5000),
]
SCRAPS = [b"", b"\0", b"{", b"}", b"[" * 3000, b"]", b",", b'"', b"NaN", b"null", b"1e999"]
SCRAPS += [b"\\ud800", b'"3"', b"\xff\xfe", b"-1", b"9" * 5000, b"\r\n\r\n", b"0x7fffffff"]


@dataclass(frozen=True)
class Target:
    """A reader of data that others wrote."""

    name: str
    begun: Callable[[Path], Any]  # a context manager that gives an Attempt; in an empty folder

    def __str__(self) -> str:
        return self.name


def run_cases(attempt: Attempt, cases: int, until: float = float("inf")) -> int:
    """Try cases until time.monotonic() passes `until`. Return how many were tried."""
    tried = 0
    while tried < cases and time.monotonic() < until:
        tried += _run_round(attempt, min(ROUND, cases - tried))
    return tried


def _run_round(attempt: Attempt, cases: int) -> int:
    tried, salt = 0, randbits(64)  # hypothesis likes small seeds, and these again and again

    @settings(
        max_examples=cases // CASES_A_SEED,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a seed cannot be made simpler
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64 - 1))
    def try_it(seed: int) -> None:
        nonlocal tried
        note(f"salt: {salt}")
        chance = Random(salt ^ seed)
        for _ in range(CASES_A_SEED):  # to choose a seed takes longer than to try one
            tried += 1
            attempt(Random(chance.getrandbits(64)))

    try_it()
    return tried


# What is wrong with it


def spoiled(whole: Any, chance: Random) -> Any:
    """Return JSON with a value replaced or removed."""
    if not isinstance(whole, dict | list) or not whole or chance.random() < 0.1:
        return chance.choice(JUNK)
    value = copy.copy(whole)
    key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if chance.random() < 0.1:
        del value[key]
    else:
        value[key] = spoiled(value[key], chance)
    return value


def mangled(data: bytes, chance: Random) -> bytes:
    """Return bytes with up to three changes, insertions, repetitions or cuts."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(data) + 1)
        length = chance.choice([0, 1, 4, 30, len(data)])
        scrap = chance.choice(
            [chance.choice(SCRAPS), chance.randbytes(chance.randrange(9)), data[at : at + length]]
        )
        data = data[:at] + scrap + data[at + chance.choice([0, len(scrap), length]) :]
    return data


def mangled_json(tree: Any, chance: Random) -> bytes:
    """Return a JSON file with wrong values, or that is not valid JSON."""
    for _ in range(chance.randint(0, 3)):
        tree = spoiled(tree, chance)
    data = json.dumps(tree).encode()
    return mangled(data, chance) if chance.random() < 0.4 else data


# PNG


SMALL = [pngs.write(kind, pngs.samples_of(kind, 7, 5)) for kind in pngs.KINDS]


def mangled_png(chance: Random) -> bytes:
    """Return a PNG with wrong chunks and right checksums, or with wrong bytes."""
    whole = chance.choice(SMALL)
    if chance.random() < 0.4:
        return mangled(whole, chance)
    chunks = list(_chunks(whole))
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(chunks))
        kind, data = chunks[place]
        how = chance.randrange(6)
        if how == 0 and kind == b"IDAT":
            with suppress(zlib.error):
                data = zlib.compress(mangled(zlib.decompress(data), chance))
            chunks[place] = kind, data
        elif how == 1:
            chunks[place] = chance.choice([b"tEXt", b"tRNS", b"gAMA", b"acTL", b"iCCP"]), data
        elif how == 2:
            chunks.insert(place, chance.choice(chunks))
        elif how == 3 and len(chunks) > 1:
            del chunks[place]
        elif how == 4 and kind == b"IHDR" and len(data) == 13:
            sides = [chance.choice([0, 1, 5, 8, 2**13, 2**14, 2**31 - 1, 2**32 - 1])] * 2
            chunks[place] = kind, struct.pack(">II", *sides) + data[8:]
        else:
            chunks[place] = kind, mangled(data, chance)
    return pngs.SIGNATURE + b"".join(pngs.chunk(kind, data) for kind, data in chunks)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(pngs.SIGNATURE)
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += length + 12


@contextmanager
def _png(folder: Path) -> Iterator[Attempt]:
    path = folder / "000001.png"

    def attempt(chance: Random) -> None:
        path.write_bytes(mangled_png(chance))
        try:
            picture = png.read(path)
        except UnusableInput as error:
            assert str(path) in str(error)
        else:
            width, height = png.read_header(path).size
            assert picture.shape == (height, width, 3) and picture.dtype == np.uint8

    yield attempt


# Files of the working folder


SLIDES, WINDOWS = (
    [json.loads((paths.WORKFLOWS / f"{name}.json").read_text()) for name in names]
    for names in (("anime", "claymation"), ("wan-vace-fill", "seedvr2-finish"))
)


@contextmanager
def _workflow(folder: Path) -> Iterator[Attempt]:
    path = folder / "flow.json"

    def attempt(chance: Random) -> None:
        load, shipped = chance.choice(
            [(workflow_file.load, SLIDES), (workflow_file.load_window, WINDOWS)]
        )
        path.write_bytes(mangled_json(chance.choice(shipped), chance))
        try:
            loaded = load(str(path))
        except UnusableInput as error:
            assert str(path) in str(error)
            str(error).encode()  # nothing that a terminal cannot print
        else:
            assert_sound(loaded)

    yield attempt


def assert_sound(loaded: workflow.Workflow) -> None:
    """Check that a workflow can be filled and sent."""
    assert 0 <= loaded.denoise <= 1
    assert len(loaded.sha256) == 64
    told = {"length": 5, "width": 640, "height": 368, "rate": 24.0}
    loaded = workflow.with_numbers(loaded, told)
    for keep in (None, "out/000001"):
        names = {role: role for role in loaded.roles}
        prompt = workflow.fill(workflow.with_seed(loaded, 3), names, keep=keep)
        json.dumps(prompt, allow_nan=False)
        for node in prompt.values():
            taken = (value for value in node["inputs"].values() if isinstance(value, list))
            assert all(link[0] in prompt for link in taken)
        assert prompt.keys() == workflow.upstream(loaded.output, prompt)
        for node_id, roles in loaded.pictures.items():
            assert node_id in prompt
            if roles not in (("mask",), ("known-mask",)):
                assert prompt[node_id]["inputs"] == {"image": roles[0]}


@contextmanager
def _scenes(folder: Path) -> Iterator[Attempt]:
    path = folder / "scenes.json"

    def attempt(chance: Random) -> None:
        frames = chance.randint(1, 60)
        bounds = sorted({0, frames, *(chance.randrange(frames) for _ in range(4))})
        path.write_bytes(mangled_json(bounds, chance))
        try:
            found = scenes.find_scenes(scenes.read_boundaries(path, frames), 2)
        except UnusableInput as error:
            assert str(path) in str(error)
        else:
            drawn = [step.slide for scene in found for step in scenes.steps(scene)]
            assert sorted(drawn) == list(range(scenes.slide_count(frames, 2)))

    yield attempt


@contextmanager
def _keys(folder: Path) -> Iterator[Attempt]:
    path = folder / "keys.json"
    kind = keyframes.Kind(6, fill_only=False)

    def attempt(chance: Random) -> None:
        frames = chance.randint(1, 60)
        keys, assisted = (
            frozenset(chance.sample(range(frames), chance.randint(0, frames))) for _ in range(2)
        )
        chosen = Keys(keys, assisted)
        path.write_bytes(mangled_json({**asdict(kind), **keyframes.noted(chosen)}, chance))
        try:
            read = keyframes.from_file(path, frames, kind)
        except UnusableInput as error:
            assert str(path) in str(error)
        else:
            (scene,) = scenes.find_scenes([0, frames], 1)
            made = [step.slide for step in scenes.steps(scene, read)]
            assert sorted(made) == list(range(frames))

    yield attempt


DECIDES: dict[str, object] = {
    "model": "claymation.json",
    "model_sha256": "0" * 64,
    "seed": None,
    "set": ["6.text=clay"],
    "guide": "frame",
    "mask_strength": 2.0,
    "fps": 2,
    "film": "film.mp4, 4711 bytes",
    "film_sha256": "0" * 64,
}
NOTED = {
    **DECIDES,
    settings_file.FILM_TIME: 17,
    settings_file.SCENES: {"1": ["6.text=fox"], "2": []},
    settings_file.TARGET: "out",
}
INPUT = {"frames": ["a1", "b2", "c3", "d4", "e5", "f6"], "scenes": [0, 2, 6]}


@contextmanager
def _settings(folder: Path) -> Iterator[Attempt]:
    """Read settings.json and input.json."""
    mine = folder / "mine"
    mine.write_text("the user's own")
    out = folder / "out"
    places = RunPaths(None, folder / "in", folder / "interp", out, out, None)
    places.slides.mkdir()
    places.interp.mkdir()
    for slide in range(3):
        (places.slides / sequence.name(slide)).touch()
    now = InputSnapshot(["a1", "b2", "c3", "d4", "e5", "f6"], [0, 2, 6], {1: ["6.text=fox"]})

    def attempt(chance: Random) -> None:
        places.settings_file.write_bytes(mangled_json(NOTED, chance))
        places.input_file.write_bytes(mangled_json(INPUT, chance))
        try:
            manifest.claim(places, DECIDES, fresh=False)
            manifest.claim_input(places, DECIDES, now, 2, fresh=False)
        except UnusableInput as error:
            assert "\n" in str(error)  # what is wrong, and what to do
            str(error).encode("utf-8", "backslashreplace")
        assert len(sequence.numbered(places.slides)) == 3
        assert mine.read_text() == "the user's own"

    yield attempt


# What a server says


def _recorded_json(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))


ENTRIES = [
    {key: value for key, value in entry.items() if key in ("outputs", "status")}
    for story in ("success", "cached", "error", "interrupted", "websocket_image")
    for entry in _recorded_json(f"{story}.history").values()
]
REFUSAL = _recorded_json("validation_error.post")["body"]
QUEUE = _recorded_json("queue_running")
PROMPT = "20315e62-4194-474c-82c2-b09009fdb070"  # runs in QUEUE
CLASS_INFO = _recorded_json("object_info_KSamplerAdvanced")
NODES = {"6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}, "_meta": {}}}
SUBMISSION = Submission("http://host", NODES, "1501", ["pictures"], str)
CLAY = workflow_file.load("claymation.json")


@contextmanager
def _answers(folder: Path) -> Iterator[Attempt]:
    """Read the JSON of answers: history, refusal, queue and node classes."""

    def attempt(chance: Random) -> None:
        chance.choice([_history, _refusal, _queue, _classes])(chance)

    yield attempt


def _history(chance: Random) -> None:
    entry = spoiled(chance.choice(ENTRIES), chance)
    try:
        made = SUBMISSION.pictures(responses.mapping(entry))
    except (ServerFault, WorkflowFault, responses.Lost):
        return
    assert all(isinstance(value, str) for picture in made for value in picture.values())


def _refusal(chance: Random) -> None:
    refusal, classes = spoiled(REFUSAL, chance), spoiled({"LoadImage": {}}, chance)
    if isinstance(refusal, dict):
        fault = SUBMISSION.refused(refusal, lambda: classes if isinstance(classes, dict) else {})
        assert str(fault).startswith("http://host cannot run the workflow")


def _queue(chance: Random) -> None:
    try:
        found = responses.place(spoiled(QUEUE, chance), PROMPT)
    except ServerFault:
        return
    assert found in ("queue_running", None)


def _classes(chance: Random) -> None:
    needed: Any = {name: {"input": {"required": {}}} for name in validate.classes_of(CLAY)}
    classes = spoiled({**needed, **CLASS_INFO}, chance)
    if not isinstance(classes, dict):
        return
    sound = {name: info if isinstance(info, dict) else None for name, info in classes.items()}
    validate.incompatibilities(validate.complete(CLAY, sound)[0], sound)


STORIES = [
    message for story in ("success", "error") for message in recorded(story) if message
]  # text and binary
ALLOWED = Allowance.of(60.0, None)
FRAME_KINDS = [0x1, 0x2, 0x0, 0x8, 0x9, 0xA, 0x3, 0xF]  # text, binary, the rest of one, close ...


@contextmanager
def _socket(folder: Path) -> Iterator[Attempt]:
    """Read the websocket frame by frame, and its messages."""
    client = ComfyUI("http://127.0.0.1:9", lambda _: Request({}, lambda _: {}, "6", 2**20))

    def attempt(chance: Random) -> None:
        ours, theirs = socket.socketpair()
        client._prompts[PROMPT] = Prompt(PROMPT, "me", ALLOWED)
        with closing(ours), closing(theirs):
            theirs.sendall(b"".join(_frame(chance) for _ in range(chance.randint(1, 4)))[:60_000])
            theirs.shutdown(socket.SHUT_WR)
            connection = _Socket("/dev/null")
            connection.sock, connection.connected = ours, True
            # websocket-client raises nearly anything on mangled bytes; EventListener takes it all.
            with suppress(Exception):
                for text in connection.texts(5.0):
                    _heard(client, parse(text))

    with closing(client):
        yield attempt


class Deaf(BaseException):
    """A message crashed the listening thread."""


def _heard(client: ComfyUI, message: object) -> None:
    try:
        client._on_message(message)
    except Exception as error:
        raise Deaf(repr(message)[:200]) from error


def _frame(chance: Random) -> bytes:
    """Return a websocket frame with a wrong message, or a wrong frame (RFC 6455, 5.2)."""
    message = chance.choice(STORIES)
    if isinstance(message, str) and (value := parse(message)) is not None:
        data = json.dumps(spoiled(value, chance)).encode()
        if chance.random() < 0.5:
            data = data.replace(b"bdc56259-471c-4643-a408-fd6288d2ea88", PROMPT.encode())
    else:
        data = mangled(message if isinstance(message, bytes) else message.encode(), chance)
    kind = 0x1 if chance.random() < 0.6 else chance.choice(FRAME_KINDS)
    head = bytes([chance.choice([0x80, 0x80, 0x80, 0x00, 0xF0]) | kind])
    said = len(data) if chance.random() < 0.9 else chance.choice([0, 2**16, 2**31, 2**63])
    if said < 126:
        head += bytes([said])
    else:
        head += b"\x7e" + said.to_bytes(2) if said < 2**16 else b"\x7f" + said.to_bytes(8)
    frame = head + data
    return mangled(frame, chance) if chance.random() < 0.2 else frame


HEADERS = [b"Content-Type: application/json", b"Transfer-Encoding: chunked", b"Location: http://a"]
HEADERS += [b"Content-Encoding: gzip", b"Content-Encoding: br", b"Connection: close", b"Set-Cookie"]
HEADERS += [b"Content-Length: -1", b"Content-Length: 99999999999", b"Content-Length: 3", b": x"]


@contextmanager
def _http(folder: Path) -> Iterator[Attempt]:
    """Read answers that are hardly HTTP: each gives a status and a body, or a fault."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answers: list[bytes] = []
        server = threading.Thread(target=_serve, args=(listener, answers), daemon=True)
        server.start()
        port = listener.getsockname()[1]
        address = Address.parse(f"http://127.0.0.1:{port}", {})
        http = HttpClient(address, 2.0, 2.0, 5.0)

        def attempt(chance: Random) -> None:
            answers[:] = [_http_answer(chance)]
            try:
                status, body = http.request("GET", "/queue", tries=1, limit=10**6)
                assert isinstance(status, int) and len(body) <= 10**6
                responses.place(parse(http.check_status(status, body)), PROMPT)
            except ServerFault as fault:
                assert str(fault).isprintable()

        try:
            yield attempt
        finally:
            http.close()
            answers[:] = []
            with socket.create_connection(("127.0.0.1", port)):
                server.join(10)


def _http_answer(chance: Random) -> bytes:
    body = mangled_json(QUEUE, chance) if chance.random() < 0.5 else json.dumps(QUEUE).encode()
    if chance.random() < 0.2:
        packer = zlib.compressobj(wbits=31)
        body = packer.compress(body * chance.choice([1, 1000])) + packer.flush()
    status = chance.choice([b"200 OK", b"200", b"304", b"100 Continue", b"999", b"-1", b"404 x"])
    lines = [b"HTTP/1.1 " + status, *chance.sample(HEADERS, chance.randint(0, 3))]
    if chance.random() < 0.7:
        lines.append(b"Content-Length: %d" % len(body))
    whole = b"\r\n".join(lines) + b"\r\n\r\n" + body
    return mangled(whole, chance) if chance.random() < 0.5 else whole


def _serve(listener: socket.socket, answers: list[bytes]) -> None:
    """Answer each connection with the current data, until there is none."""
    while True:
        connection, _ = listener.accept()
        with closing(connection), suppress(OSError):
            if not answers:
                return
            connection.settimeout(5)
            connection.recv(2**16)
            connection.sendall(answers[0])


TARGETS = [
    Target("PNG", _png),
    Target("workflow", _workflow),
    Target("scenes.json", _scenes),
    Target("keys.json", _keys),
    Target("settings.json", _settings),
    Target("server JSON", _answers),
    Target("websocket", _socket),
    Target("HTTP", _http),
]
