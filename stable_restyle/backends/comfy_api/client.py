"""One server of the Comfy API v2: upload, submit, poll, fetch.

Whatever a server does, `ComfyApi.draw` ends in a slide, in a ServerFault (this server failed), in a
WorkflowFault (the workflow did), or in AnswerLost, where only a second drawing could help; so does
`ComfyApi.window`.

The contract: https://docs.comfy.org/openapi-v2.yaml. Its events are not used: a poll alone says
what became of a job.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import Condition
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from stable_restyle.backends.comfy_api.api import (
    CREATED,
    ROOT,
    Api,
    Unanswered,
    error_code,
    growing,
    not_the_api,
)
from stable_restyle.backends.comfy_api.assets import AT_ONCE, Assets
from stable_restyle.backends.comfy_api.credentials import credentials
from stable_restyle.backends.comfy_api.jobs import (
    EXPIRED,
    STARTED,
    JobState,
    is_marked,
    marked,
    reference,
    refusal,
)
from stable_restyle.backends.comfy_api.timeouts import Timeouts
from stable_restyle.backends.comfyui import responses
from stable_restyle.backends.comfyui.address import Address
from stable_restyle.backends.comfyui.attempts import Attempts
from stable_restyle.backends.comfyui.http import Answer, Content, HttpClient, parse
from stable_restyle.backends.comfyui.responses import Lost, Submission
from stable_restyle.backends.comfyui.slides import Request
from stable_restyle.backends.comfyui.timeouts import Allowance
from stable_restyle.backends.comfyui.uploads import Uploads
from stable_restyle.core.errors import RestyleError, ServerFault, counted
from stable_restyle.core.film_threads import named
from stable_restyle.core.records import Job, Slide

SCHEME = "comfy-api+"  # in front of the URL
LISTED = 100  # jobs, the most that a server lists
LOOKS = 5  # for a job in that list, and at one that has expired or cannot be read

log = logging.getLogger(__name__)


class AnswerLost(RestyleError):
    """A job was submitted and may have been drawn, but nobody can say which one it is."""

    def __init__(self, server: str) -> None:
        super().__init__(
            f"{server}: the answer to a job was lost. It may have been drawn, and paid for, but "
            "this server does not list its jobs.\n"
            "Run the command again to have the slide drawn again."
        )


class ComfyApi:
    """Client of one server. Thread-safe."""

    def __init__(
        self,
        url: str,
        make_request: Callable[[Job], Request],
        *,
        headers: Mapping[str, str] | None = None,
        api_key: str = "",
        jobs: int = 1,
        timeout_s: float = 300.0,
        timeouts: Timeouts | None = None,
    ) -> None:
        """Send nothing to the server yet. Raises WrongUsage for an invalid URL, header or key.

        url: comfy-api+http or comfy-api+https; may have a user and a password, a path and a query.
        headers: sent with every request. api_key: sent as the Bearer of Authorization if neither
        headers nor URL say otherwise, and the connection is secure. jobs: that the server runs at
        once. timeout_s: how long it may take for a slide, from when it starts on it.
        """
        plain = url[len(SCHEME) :]
        given = dict(headers or {})
        its_key, hint = credentials(plain, given, api_key)
        address = Address.parse(plain, {**given, **its_key})
        self.name = f"{SCHEME}{address.base}"
        self._make_request = make_request
        self._most_jobs, self._timeout_s = jobs, timeout_s
        self._timeouts = timeouts = timeouts or Timeouts()
        self._api = Api(address, timeouts, timeout_s, hint)
        self._quick = HttpClient(address, *[timeouts.cleanup_s] * 3)
        self._assets = Assets(self.name, self._api, self._quick)
        self._uploads = Uploads(self._put)
        self._attempts = Attempts(self.name)
        self._changed = Condition()  # guards what follows
        self._jobs: dict[str, str] = {}  # those that may be under way: their ID, the path to cancel
        self._known: set[str] = set()  # IDs of all our jobs
        self._room = jobs + 1  # for jobs, as of when the queue was full
        self._full_at: float | None = None  # time.monotonic()
        self._drawing = self._sending = 0
        self._doubtful = False  # whether it may be out of order, as answers were lost
        self._closed = False

    @property
    def slots(self) -> int:
        """Return how many slides it accepts at once: one more than it draws, if its queue allows.

        After its queue was full that is what it had accepted by then, then more again by and by.
        """
        with self._changed:
            return self._slots()

    @property
    def at_once(self) -> int:
        """Return how many slides it draws at the same time."""
        return min(self._most_jobs, self.slots)

    def inspect(self) -> None:
        """Check that the Comfy API answers there, and accepts the key. Raises ServerFault."""
        answer = self._api.ask_once("GET", f"{ROOT}/jobs/{uuid4()}")
        if answer.status in (200, 429) or (answer.status == 404 and error_code(answer)):
            return
        if answer.status < 400 and answer.location is None:
            raise not_the_api(answer.status)
        raise self._api.fault(answer)

    def draw(self, job: Job) -> Slide:
        """Return the slide, of the guide's size or the scale of it that the workflow makes; blocks.

        Raises ServerFault, WorkflowFault, OtherShape or AnswerLost.
        """
        with self._at_work():
            request = self._make_request(job)
            return self._attempts.draw(job, lambda: self._attempt(request)[1], self._forget)

    @contextmanager
    def window(self, request: Request) -> Iterator[Callable[[int], bytes]]:
        """Make a window; yield what fetches the file of one of its pictures.

        Raises ServerFault or WorkflowFault, also while fetching, and AnswerLost.
        """
        with self._at_work():
            attempt = partial(self._attempt, request)
            made, first = self._attempts.make("window", attempt, self._forget)
            yield (
                lambda place: first if place == 0 else self._api.result(*made[place], request.limit)
            )

    def note_scaled(self, sizes: str) -> None:
        """Warn, once, that slides are scaled."""
        self._attempts.note_scaled(sizes)

    def close(self) -> None:
        """Abandon what is in flight: draws raise ServerFault, jobs are canceled, assets deleted."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._api.end()
            # What is being sent could not be canceled or deleted before its answer.
            self._changed.wait_for(lambda: not self._sending, self._timeouts.cleanup_s)
        deadline = time.monotonic() + self._timeouts.connect_s
        with self._changed:
            while self._drawing and time.monotonic() < deadline:
                self._api.abort()  # one that was connecting has a socket only now
                self._changed.wait(0.05)
            unfinished = list(self._jobs.values())
        until = time.monotonic() + self._timeouts.closing_s
        with ThreadPoolExecutor(AT_ONCE, named("cancel")) as threads:
            list(threads.map(self._cancel, unfinished))
        self._assets.delete_all(until)
        self._api.abort()
        self._api.close()
        self._quick.close()

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

    @contextmanager
    def _at_sending(self) -> Iterator[None]:
        with self._changed:
            self._sending += 1
        try:
            yield
        finally:
            with self._changed:
                self._sending -= 1
                self._changed.notify_all()

    def _put(self, name: str, data: Content) -> str:
        with self._at_sending():
            return self._assets.put(name, data)

    def _forget(self) -> None:
        """Upload everything again: the server has lost what it had."""
        self._uploads.forget()
        self._assets.forget()
        self._assets.tidy()  # a server that still knows the bytes would give us the same asset

    def _attempt(self, request: Request) -> tuple[list[tuple[object, str]], bytes]:
        """Have a slide or window made once; return its pictures, and the file of the first.

        Raises Lost where another attempt may succeed.
        """
        if self._doubtful:
            self.inspect()  # so that a server out of order costs no more slides
            self._doubtful = False
        with self._uploads.hold(request.pictures) as ids:
            references = {role: reference(each) for role, each in ids.items()}
            key = str(uuid4())
            nodes = marked(request.prompt(references), request.output, key)
            submission = Submission(
                self.name,
                nodes,
                request.output,
                list(references.values()),
                self._api.address.clean,
                request.count,
            )
            with self._submitted(submission, key) as job:
                self._assets.tidy()  # while the server draws
                ended = self._outcome(job, Allowance.of(self._timeout_s, request.count))
            made = ended.pictures(submission)
            return made, self._api.result(*made[0], request.limit)

    @contextmanager
    def _submitted(self, submission: Submission, key: str) -> Iterator[JobState]:
        """Yield a job that is submitted; cancel it if it is left unfinished."""
        with self._at_sending():
            job = self._submit(submission, key)
            with self._changed:
                cancel = self._api.path(responses.get(job.links, "cancel"), f"{_path(job)}/cancel")
                self._jobs[job.id] = cancel
                self._known.add(job.id)
        try:
            yield job
        finally:
            with self._changed:
                left = None if self._closed else self._jobs.pop(job.id, None)
            if left is not None:
                self._cancel(left)

    def _submit(self, submission: Submission, key: str) -> JobState:
        """Submit a job, and only one, whatever happens to the answers."""
        try:
            answer = self._api.ask(
                "POST",
                f"{ROOT}/jobs",
                fails_s=self._timeouts.fails_s,
                once=True,
                on_busy=self._note_busy,
                headers={"Idempotency-Key": key},
                json={"workflow": submission.nodes},
            )
        except Unanswered:
            raise self._answer_lost() from None
        code = error_code(answer)
        if code == "idempotency_key_reuse":  # an earlier answer was lost
            return self._find(key)
        if code == "missing_asset":
            raise Lost("the pictures that it was given are gone")
        if code in ("invalid_workflow", "workflow_format_ui"):
            error = responses.get(parse(answer.body), "error")
            raise submission.refused(refusal(error), dict)
        try:
            return JobState.of(self._api.json(answer))
        except ServerFault:
            if answer.status in CREATED:
                return self._find(key)
            raise

    def _answer_lost(self) -> AnswerLost:
        self._doubtful = True
        return AnswerLost(self.name)

    def _find(self, key: str) -> JobState:
        """Return the job that was submitted under a key. Raises AnswerLost, ServerFault."""
        for pause_s, _ in zip(growing(*self._timeouts.poll_s), range(LOOKS), strict=False):
            answer = self._ask_about_job(f"{ROOT}/jobs", params={"limit": str(LISTED)})
            if answer.status != 200:
                raise self._answer_lost()
            for each in responses.sequence(self._api.json(answer).get("jobs")):
                if self._is_ours(each, key):
                    return JobState.of(each)
            self._api.pause(pause_s)
        raise ServerFault("it has received a job, but does not list it")

    def _is_ours(self, listed: object, key: str) -> bool:
        job_id = responses.name(responses.get(listed, "id"))
        with self._changed:
            if job_id in self._known:
                return False
        answer = self._ask_about_job(f"{ROOT}/jobs/{quote(job_id, safe='')}/workflow")
        return is_marked(responses.get(parse(answer.body), "workflow"), key)

    def _outcome(self, job: JobState, allowance: Allowance) -> JobState:
        """Poll a job until it has ended. Raises ServerFault when it takes too long."""
        path = self._api.path(responses.get(job.links, "self"), _path(job))
        submitted, started = time.monotonic(), None
        pauses, expired, unread = growing(*self._timeouts.poll_s), 0, 0
        # The self-hosted proxy says so of a job that moves from ComfyUI's queue to its history.
        while not job.ended or (job.status == EXPIRED and expired < LOOKS):
            now = time.monotonic()
            if job.status in STARTED:
                started = started or now
            if started and now > started + allowance.seconds:
                raise ServerFault(allowance.overdue)
            if not started:
                allowance.check_queue(now - submitted, self._timeouts.queue_s)
            self._api.pause(next(pauses))
            answer = self._ask_about_job(path)
            if answer.status == 404:
                self._note_over(job)
                raise ServerFault(f"it does not know the job any more{self._api.words(answer)}")
            try:
                job, unread = JobState.of(self._api.json(answer)), 0
            except ServerFault:
                if (unread := unread + 1) == LOOKS:
                    raise
            expired += job.status == EXPIRED
        self._note_over(job)
        return job

    def _ask_about_job(self, path: str, **request: Any) -> Answer:
        return self._api.ask("GET", path, fails_s=self._timeouts.outage_s, **request)

    def _note_over(self, job: JobState) -> None:
        """Note that there is nothing to cancel any more."""
        with self._changed:
            self._jobs.pop(job.id, None)

    def _note_busy(self, answer: Answer) -> None:
        """Send the server fewer jobs at once for a while if its queue is full."""
        if error_code(answer) != "queue_full":
            return
        with self._changed:
            before = self._slots()
            self._room, self._full_at = min(before, max(len(self._jobs), 1)), time.monotonic()
            if self._room < before:
                room = counted(self._room, "job")
                log.info("The queue of %s is full: it gets %s at once for now.", self.name, room)

    def _slots(self) -> int:
        if self._full_at is None:
            return self._most_jobs + 1
        regained = int((time.monotonic() - self._full_at) / self._timeouts.regain_s)
        return min(self._room + regained, self._most_jobs + 1)

    def _cancel(self, path: str) -> None:
        """Ask the server to cancel a job."""
        with suppress(ServerFault):
            self._quick.ask("POST", path, tries=1)


def _path(job: JobState) -> str:
    return f"{ROOT}/jobs/{quote(job.id, safe='')}"
