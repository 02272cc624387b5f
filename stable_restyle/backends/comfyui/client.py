"""One ComfyUI server: upload, submit, listen, fetch.

Whatever a server does, `ComfyUI.draw` ends in a slide, in a ServerFault (this server failed) or in
a WorkflowFault (the workflow did); so does `ComfyUI.window`. `pool` then chooses another server;
`backend` makes the prompts.

Messages of the websocket only trigger a look at the server's history, which alone says what became
of a prompt: a message that is lost, late, doubled or forged costs time and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from stable_restyle.backends.comfyui import responses
from stable_restyle.backends.comfyui.address import Address
from stable_restyle.backends.comfyui.attempts import Attempts
from stable_restyle.backends.comfyui.cleanup import Cleanup
from stable_restyle.backends.comfyui.events import EventListener
from stable_restyle.backends.comfyui.http import ConnectionLost, HttpClient, parse
from stable_restyle.backends.comfyui.prompt import Prompt
from stable_restyle.backends.comfyui.responses import Lost, Place, Submission
from stable_restyle.backends.comfyui.slides import Request
from stable_restyle.backends.comfyui.timeouts import Allowance, Timeouts
from stable_restyle.backends.comfyui.uploads import TempFolder, Uploads
from stable_restyle.core.errors import ServerFault
from stable_restyle.core.records import Job, Slide

SUBFOLDER = "stable-restyle"  # of the server's temp folder


@dataclass(frozen=True)
class Server:
    """What a server says about itself; None where it says nothing."""

    version: str | None
    device: str | None
    memory_free: int | None  # bytes
    memory_total: int | None  # bytes


class ComfyUI:
    """Client of one server. Thread-safe."""

    engine = "ComfyUI"
    at_once = 1
    slots = 2  # one is drawn while the other is transferred

    def __init__(
        self,
        url: str,
        make_request: Callable[[Job], Request],
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 300.0,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Send nothing to the server yet. Raises WrongUsage for an invalid URL or header.

        url: http or https; may have a user and a password, a path and a query. headers: sent with
        every request. timeout_s: how long the server may take for a slide, from when it starts on
        it.
        """
        self._address = Address.parse(url, headers or {})
        self._make_request = make_request
        self._timeout_s = timeout_s
        self._timeouts = timeouts = timeouts or Timeouts()
        answer_s = min(timeouts.answer_s, timeout_s)
        self._http = HttpClient(self._address, timeouts.connect_s, answer_s, timeout_s)
        quick = HttpClient(
            self._address, timeouts.cleanup_s, timeouts.cleanup_s, timeouts.cleanup_s
        )
        self._cleanup = Cleanup(
            quick, self._json, TempFolder(self.name, quick, self._json).put, timeouts.stop_s
        )
        self._listener = EventListener(
            self._address, self._http.ca_bundle, timeouts, self._on_message, self._wake_draws
        )
        self._attempts = Attempts(self.name)
        put = partial(TempFolder(self.name, self._http, self._json).put, SUBFOLDER)
        self._uploads = Uploads(put)
        self._changed = Condition()  # guards what follows
        self._prompts: dict[str, Prompt] = {}  # those that may be in the server's queue
        self._drawing = 0
        self._closed = False

    @property
    def name(self) -> str:
        """Return the URL without user, password and query."""
        return self._address.base

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size or the scale of it that the workflow makes; blocks.

        Raises ServerFault (or OutOfMemory), WorkflowFault or OtherShape.
        """
        with self._at_work():
            request = self._make_request(job)
            return self._attempts.draw(job, lambda: self._attempt(request)[1], self._uploads.forget)

    @contextmanager
    def window(self, request: Request) -> Iterator[Callable[[int], bytes]]:
        """Make a window; yield what fetches the file of one of its pictures, and free them after.

        Raises ServerFault (or OutOfMemory) or WorkflowFault, also while fetching.
        """
        with self._at_work():
            attempt = partial(self._attempt, request)
            made, first = self._attempts.make("window", attempt, self._uploads.forget)

            def fetch(place: int) -> bytes:
                try:
                    return first if place == 0 else self._view(made[place], request.limit)
                except Lost as loss:
                    raise ServerFault(str(loss)) from None

            try:
                yield fetch
            finally:
                for picture in made:
                    self._cleanup.add_fetched(picture)

    def note_scaled(self, sizes: str) -> None:
        """Warn, once, that slides are scaled."""
        self._attempts.note_scaled(sizes)

    def inspect(self) -> Server:
        """Return the server's description. Raises ServerFault where ComfyUI does not answer."""
        stats = self._ask("GET", "/system_stats")
        system, devices = responses.get(stats, "system"), responses.get(stats, "devices")
        if not isinstance(system, dict):
            raise ServerFault("something answers there, but it is not ComfyUI")
        device = (responses.sequence(devices) or [None])[0]
        return Server(
            self._text(responses.get(system, "comfyui_version")),
            self._text(responses.get(device, "name")),
            responses.whole_number(responses.get(device, "vram_free")),
            responses.whole_number(responses.get(device, "vram_total")),
        )

    def answers(self) -> bool:
        """Return whether ComfyUI answers there."""
        try:
            self.inspect()
        except ServerFault:
            return False
        return True

    def node_classes(self) -> dict[str, Any]:
        """Return all node classes of the server, as in /object_info. Raises ServerFault."""
        return responses.mapping(self._ask("GET", "/object_info"))

    def node_class(self, name: str) -> dict[str, Any] | None:
        """Return a node class as in /object_info, or None. Raises ServerFault."""
        found = responses.mapping(self._ask("GET", f"/object_info/{quote(name, safe='')}"))
        return responses.mapping(found[name]) if name in found else None

    def websocket_works(self) -> bool:
        """Return whether its websocket works; without it, the client polls."""
        return self._listener.try_out()

    def free_memory(self) -> None:
        """Have the server unload its models. Raises ServerFault."""
        self._http.post("/free", {"unload_models": True, "free_memory": True})

    def close(self) -> None:
        """Abandon what is in flight: draws raise ServerFault, and the server is asked to stop."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._http.abort()
        self._listener.close()
        deadline = time.monotonic() + self._timeouts.connect_s
        with self._changed:
            while self._drawing and time.monotonic() < deadline:
                self._changed.wait(0.05)
                self._http.abort()  # one that was connecting has a socket only now
            unfinished = list(self._prompts)
        with suppress(ServerFault):
            self._cleanup.withdraw(unfinished)
            self._cleanup.tidy()
        self._http.close()
        self._cleanup.close()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise ServerFault("the run has ended")
            self._drawing += 1
        try:
            yield
        finally:
            with self._changed:
                self._drawing -= 1
                self._changed.notify_all()

    def _attempt(self, request: Request) -> tuple[list[dict[str, str]], bytes]:
        """Submit a slide or window once; return the pictures made, and the file of the first.

        Raises Lost where another attempt may succeed.
        """
        self._listener.wait()  # connect before the first message: none is repeated
        with (
            self._uploads.hold(request.pictures) as names,
            self._registered(Allowance.of(self._timeout_s, request.count)) as prompt,
        ):
            nodes, uploads = request.prompt(names), list(names.values())
            submission = Submission(
                self.name, nodes, request.output, uploads, self._address.clean, request.count
            )
            self._submit(prompt, submission)
            with suppress(ServerFault):
                self._cleanup.tidy()  # while the server draws
            entry = self._outcome(prompt)
            try:
                made = submission.pictures(entry)
                if any(map(self._cleanup.is_emptied, made)):
                    raise Lost("it had drawn an equal slide before, whose picture is gone")
                first = self._view(made[0], request.limit)
            finally:
                prompt.on_server = False
                self._cleanup.add_done(prompt.id)
            if request.count is None:
                self._cleanup.add_fetched(made[0])
            return made, first

    @contextmanager
    def _registered(self, allowance: Allowance) -> Iterator[Prompt]:
        """Yield a prompt that receives its messages; withdraw it if it is left unfinished."""
        client_id = self._listener.client_id or uuid4().hex
        prompt = Prompt(str(uuid4()), client_id, allowance)
        with self._changed:
            self._prompts[prompt.id] = prompt
        try:
            yield prompt
        finally:
            with self._changed:
                left_to_close = self._closed and prompt.on_server
                if not left_to_close:
                    self._prompts.pop(prompt.id, None)
            if prompt.on_server and not left_to_close:
                with suppress(ServerFault):
                    self._cleanup.withdraw([prompt.id])

    def _submit(self, prompt: Prompt, submission: Submission) -> None:
        """Put a prompt into the server's queue."""
        request = {
            "prompt": submission.nodes,
            "prompt_id": prompt.id,
            "client_id": prompt.client_id,
        }
        prompt.on_server = True
        try:
            status, body = self._http.request("POST", "/prompt", tries=1, json=request)
        except ConnectionLost as fault:
            if self._queue_place(prompt) is None and self._entry(prompt) is None:
                raise Lost(str(fault)) from None
            return  # only the answer was lost
        if status == 400 and isinstance(refusal := parse(body), dict):
            prompt.on_server = False
            raise submission.refused(refusal, self.node_classes)
        answer = responses.mapping(self._json(status, body))
        self._rename(prompt, answer.get("prompt_id"))
        submission.check_accepted(answer)

    def _rename(self, prompt: Prompt, answered: object) -> None:
        """Take the ID that the server answered: old servers choose their own."""
        prompt_id = responses.name(answered)
        if prompt_id != prompt.id:
            with self._changed:
                self._prompts.pop(prompt.id, None)
                prompt.id = prompt_id
                prompt.poll_now = True  # its messages so far were ignored
                self._prompts[prompt.id] = prompt

    def _outcome(self, prompt: Prompt) -> dict[str, Any]:
        """Wait until a prompt is over; return its entry in the history.

        Raises ServerFault when it takes too long, Lost when the server has forgotten it.
        """
        while True:
            self._await_message(prompt)
            entry = self._entry(prompt)
            if entry is None:
                place = self._queue_place(prompt)
                # It may have moved from the queue to the history between the two requests.
                entry = self._entry(prompt) if place is None else None
                if place is None and entry is None:
                    prompt.on_server = False
                    raise Lost("it does not know the slide's prompt any more")
                if place == "queue_running":
                    with self._changed:
                        prompt.start()
            if entry is not None:
                if not prompt.over:
                    self._listener.reconnect(prompt.client_id)
                return entry
            prompt.check_overdue(self._timeouts)

    def _await_message(self, prompt: Prompt) -> None:
        """Return when a message says that a prompt is over, or when it is time to poll."""
        with self._changed:
            while not self._closed and not prompt.poll_now:
                poll_at = prompt.next_poll(self._timeouts, self._listener.client_id)
                pause_s = poll_at - time.monotonic()
                if pause_s <= 0:
                    break
                self._changed.wait(pause_s)
            if self._closed:
                raise ServerFault("the run has ended")
            prompt.note_poll()

    def _entry(self, prompt: Prompt) -> dict[str, Any] | None:
        """Return a prompt's entry in the history, None if there is none (yet)."""
        history = responses.mapping(self._ask("GET", f"/history/{quote(prompt.id, safe='')}"))
        return responses.mapping(history[prompt.id]) if prompt.id in history else None

    def _queue_place(self, prompt: Prompt) -> Place | None:
        return responses.place(self._ask("GET", "/queue"), prompt.id)

    def _view(self, picture: Mapping[str, str], limit: int) -> bytes:
        """Return a file that the server made, by filename, subfolder and type."""
        status, body = self._http.request("GET", "/view", params=picture, limit=limit)
        if status == 404:
            raise Lost("the picture that it made is gone")
        return self._http.check_status(status, body)

    def _on_message(self, message: object) -> None:
        """Process a message of the websocket; called in the listening thread."""
        kind, data = responses.get(message, "type"), responses.get(message, "data")
        with self._changed:
            prompt = self._prompts.get(str(responses.get(data, "prompt_id")))
            if prompt is not None and prompt.hear(kind, responses.get(data, "node")):
                self._changed.notify_all()

    def _wake_draws(self) -> None:
        """Have waiting draws reconsider when to poll: the websocket was opened or lost."""
        with self._changed:
            self._changed.notify_all()

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        """Return the JSON of an answer. Raises ServerFault."""
        return self._json(*self._http.request(method, path, **body))

    def _json(self, status: int, body: bytes) -> Any:
        answer = parse(self._http.check_status(status, body))
        if answer is None:
            raise ServerFault("something answers there, but not in JSON as ComfyUI does")
        return answer

    def _text(self, value: object) -> str | None:
        return self._address.clean(value) if isinstance(value, str) else None
