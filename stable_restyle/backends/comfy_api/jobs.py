"""Interpret what a server says of a job: where it stands, what it made, or what failed.

Pure functions of what was submitted and what came back. An answer may be any JSON: every function
returns, or raises ServerFault, WorkflowFault or Lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from stable_restyle.backends.comfyui import responses
from stable_restyle.backends.comfyui.responses import Submission
from stable_restyle.core.errors import OutOfMemory, ServerFault, WorkflowFault

STARTED = ("running", "canceling")
EXPIRED = "expired"
_ENDINGS = {"canceled": "the job was canceled there", EXPIRED: "the job expired there"}
ENDED = ("succeeded", "failed", *_ENDINGS)
_MARK = "submission"  # in a node's _meta, which no server reads


@dataclass(frozen=True)
class JobState:
    """A job as the server describes it."""

    id: str
    status: str
    outputs: list[Any]
    error: object
    links: object  # by name

    @classmethod
    def of(cls, said: object) -> JobState:
        """Read a job. Raises ServerFault."""
        job = responses.mapping(said)
        return cls(
            responses.name(job.get("id")),
            responses.name(job.get("status")),
            responses.sequence(job.get("outputs")),
            job.get("error"),
            job.get("urls"),
        )

    @property
    def ended(self) -> bool:
        """Return whether it will not change any more."""
        return self.status in ENDED

    def pictures(self, submission: Submission) -> list[tuple[object, str]]:
        """Return the address of each picture made, which may be anything, and its asset ID.

        It has ended. Raises WorkflowFault if a node failed, or the output made no picture or not
        as many as it has to, Lost if our pictures are gone, and ServerFault if the job ended in
        another way.
        """
        if self.status == "failed":
            raise self._failure(submission)
        if self.status != "succeeded":
            raise ServerFault(f"{_ENDINGS[self.status]}{self._words(submission)}")
        made = [
            each
            for each in self.outputs
            if responses.get(each, "node_id") == submission.output
            and responses.get(each, "type") == "image"
        ]
        submission.check_count(len(made))
        return [
            (responses.get(each, "url"), responses.name(responses.get(each, "id"))) for each in made
        ]

    def _failure(self, submission: Submission) -> Exception:
        node = responses.get(self.error, "node_id")
        if node is None:
            return ServerFault(f"the job failed there{self._words(submission)}")
        found = submission.failure(
            {"node_id": node, "exception_message": responses.get(self.error, "message")}
        )
        if isinstance(found, OutOfMemory):  # which is for servers whose memory can be freed
            return WorkflowFault(
                f"{submission.server} cannot run the workflow:\n  {found}\n"
                "Use smaller frames or a smaller model."
            )
        return found

    def _words(self, submission: Submission) -> str:
        said = [responses.get(self.error, key) for key in ("code", "message")]
        text = ": ".join(each for each in said if isinstance(each, str) and each)
        return f": {submission.clean(text)}" if text else ""


def reference(asset_id: str) -> dict[str, Any]:
    """Return the value by which a node loads an uploaded asset."""
    return {"__type": "core/ASSET", "info": {"id": asset_id}}


def marked(nodes: Mapping[str, Any], output: str, key: str) -> dict[str, Any]:
    """Return the nodes with a mark by which their job can be told from others."""
    found = deepcopy(dict(nodes))
    found[output]["_meta"] = {**dict(responses.items(found[output].get("_meta"))), _MARK: key}
    return found


def refusal(error: object) -> dict[str, Any]:
    """Return the error of a refused workflow as ComfyUI itself would put it."""

    def of_node(said: object) -> object:
        if isinstance(said, dict):  # ComfyUI's own, passed on
            return said
        return {
            "errors": [
                {"message": responses.get(each, "field"), "details": responses.get(each, "reason")}
                for each in responses.sequence(said)
            ]
        }

    faulty = responses.items(responses.get(responses.get(error, "details"), "node_errors"))
    return {"error": error, "node_errors": {node: of_node(said) for node, said in faulty}}


def is_marked(workflow: object, key: str) -> bool:
    """Return whether a job's workflow has that mark."""
    return any(
        responses.get(responses.get(node, "_meta"), _MARK) == key
        for _, node in responses.items(workflow)
    )
