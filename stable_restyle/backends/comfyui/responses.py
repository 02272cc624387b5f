"""Interpret a server's answers about a prompt: accepted, done, or what failed.

Pure functions of what was submitted and what came back. An answer may be any JSON: every function
returns, or raises ServerFault, WorkflowFault or Lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from stable_restyle.core.errors import OutOfMemory, ServerFault, WorkflowFault, counted

Place = Literal["queue_running", "queue_pending"]


class Lost(Exception):
    """The server has lost a prompt or its pictures: submit it again."""


@dataclass(frozen=True)
class Submission:
    """A prompt as submitted to one server."""

    server: str
    nodes: dict[str, Any]
    output: str  # ID of the node whose picture is the slide
    uploads: Sequence[object]  # our pictures, as nodes name them
    clean: Callable[[object], str]  # makes a server's text fit to be shown
    count: int | None = None  # pictures that the output has to make; None: the first is the slide

    def refused(
        self, answer: Mapping[str, Any], classes: Callable[[], Mapping[str, Any]]
    ) -> WorkflowFault:
        """Return why the server did not accept it. Raises Lost if our pictures are gone.

        answer: of POST /prompt. classes: returns the node classes of the server.
        """
        faulty = items(answer.get("node_errors"))
        if any(self._loads_upload(node) for node, _ in faulty):
            raise Lost("the pictures that it was given are gone")
        complaints = [
            f"{self._label(node)}: {self._complaint(error)}"
            for node, faults in faulty
            for error in sequence(get(faults, "errors"))
        ]
        return self._fault(
            complaints or self._missing(classes) or [self._complaint(answer.get("error"))],
            "Install on the server what it lacks, or change the workflow: --set NODE.INPUT=VALUE.",
        )

    def check_accepted(self, answer: Mapping[str, Any]) -> None:
        """Raise WorkflowFault if the server accepted the prompt, but without our output.

        answer: of POST /prompt.
        """
        for node, faults in items(answer.get("node_errors")):
            if node == self.output or self.output in sequence(get(faults, "dependent_outputs")):
                raise self.refused(answer, dict)

    def pictures(self, entry: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the files that the output made: filename, subfolder and type, as for /view.

        entry: from /history. Raises WorkflowFault if a node failed or the output made no picture,
        or not as many as it has to; OutOfMemory, Lost if our pictures are gone or somebody
        interrupted it, and ServerFault if the entry makes no sense.
        """
        status = entry.get("status")
        for message in reversed(sequence(get(status, "messages"))):
            kind, data = message if isinstance(message, list) and len(message) == 2 else ("", None)
            if kind == "execution_error":
                raise self.failure(data)
            if kind == "execution_interrupted":
                raise Lost("the slide was interrupted there")
        if get(status, "status_str") == "error":
            raise ServerFault("the slide failed there, and it does not say why")
        made = mapping(mapping(entry.get("outputs")).get(self.output, {})).get("images", [])
        if not isinstance(made, list):
            raise malformed()
        self.check_count(len(made))
        keys = ("filename", "subfolder", "type")
        return [{key: name(get(each, key)) for key in keys} for each in made]

    def check_count(self, made: int) -> None:
        """Raise WorkflowFault unless the output made as many pictures as it has to."""
        if made and self.count in (None, made):
            return
        output = self._label(self.output)
        if made:
            raise self._fault(
                [f"{output} made {counted(made, 'picture')} for a window of {self.count}."],
                'Let it make as many as it is asked for: "numbers": {"ID.INPUT": "length"} names '
                'the input that takes the number, and "window" says which numbers are legal.',
            )
        raise self._fault(
            [f"{output} made no picture."],
            "Name the node that shows or saves the slide as the workflow's output.",
        )

    def failure(self, data: object) -> Exception:
        """Return the error for the data of an execution_error, which may lack its type."""
        node, kind = get(data, "node_id"), self.clean(get(data, "exception_type") or "")
        message = self.clean(get(data, "exception_message"))
        if self._loads_upload(node):
            return Lost("it cannot read the pictures that it was given")
        if "OutOfMemory" in kind or "out of memory" in message.lower():
            return OutOfMemory(f"{self._label(node)} ran out of memory: {message}")
        advice = "Run the workflow once in ComfyUI itself: the same node will fail there."
        if kind == "KeyError" and "SDXL" in str(get(self.nodes.get(str(node)), "class_type")):
            advice = (  # it looks for the tokens of a text encoder that only SDXL models have
                "That node is for SDXL models, and the checkpoint seems to be another kind: "
                "name an SDXL one with --set NODE.ckpt_name=FILE."
            )
        said = ": ".join(part for part in (self._label(node), kind, message) if part)
        return self._fault([said], advice)

    def _fault(self, complaints: Sequence[str], advice: str) -> WorkflowFault:
        lines = "".join(f"  {line}\n" for line in complaints)
        return WorkflowFault(f"{self.server} cannot run the workflow:\n{lines}{advice}")

    def _complaint(self, error: object) -> str:
        """Describe a validation error, with what the server offers instead."""
        if not isinstance(error, dict):
            return self.clean(error)
        extra = error.get("extra_info")
        if error.get("type") == "value_not_in_list":
            asked, value = self.clean(get(extra, "input_name")), get(extra, "received_value")
            offered = choices(get(extra, "input_config"))
            return f"{asked}: it has no {self.clean(value)!r}{self._offer(value, offered)}"
        parts = (self.clean(error.get(key, "")) for key in ("message", "details"))
        return ": ".join(part for part in parts if part)

    def _missing(self, classes: Callable[[], Mapping[str, Any]]) -> list[str]:
        """Describe the nodes whose class the server lacks; itself it names only the first."""
        try:
            known = classes()
        except ServerFault:
            return []
        wanted = ((node, get(content, "class_type")) for node, content in self.nodes.items())
        return [
            f"{self._label(node)}: it has no such node{self._offer(kind, list(known))}"
            for node, kind in wanted
            if known and isinstance(kind, str) and kind not in known
        ]

    def _offer(self, wanted: object, offered: Sequence[str]) -> str:
        near = [self.clean(each) for each in nearest(str(wanted), offered)]
        if near:
            return f"; the nearest that it has: {', '.join(near)}"
        return "" if offered else "; it has none at all"

    def _label(self, node: object) -> str:
        """Return a node as the user knows it: node 4 "Load Checkpoint" (CheckpointLoaderSimple)."""
        content = self.nodes.get(str(node))
        title, kind = get(get(content, "_meta"), "title"), get(content, "class_type")
        quoted = f' "{self.clean(title)}"' if title else ""
        return f"node {self.clean(node)}{quoted} ({self.clean(kind)})"

    def _loads_upload(self, node: object) -> bool:
        inputs = get(self.nodes.get(str(node)), "inputs")
        return any(value in self.uploads for _, value in items(inputs))


def place(queue: object, prompt_id: str) -> Place | None:
    """Return where a prompt is in an answer of GET /queue. Raises ServerFault if malformed."""
    places: tuple[Place, ...] = ("queue_running", "queue_pending")
    for each in places:
        found = mapping(queue).get(each)
        if not isinstance(found, list):
            raise malformed()
        if any(isinstance(item, list) and item[1:2] == [prompt_id] for item in found):
            return each
    return None


def nearest(wanted: str, offered: Sequence[str]) -> list[str]:
    """Return up to three of the names offered that resemble the one wanted, the best first.

    Folders and upper case are ignored: servers sort the same files differently.
    """

    def likeness(other: str) -> float:
        return SequenceMatcher(None, _bare(wanted), _bare(other)).ratio()

    return sorted((each for each in offered if likeness(each) > 0.5), key=likeness, reverse=True)[
        :3
    ]


def choices(config: object) -> list[str]:
    """Return the values of a list input, none for other inputs; config: of /object_info.

    Old servers write [[VALUE, ...], {...}], new ones also ["COMBO", {"options": [VALUE, ...]}].
    """
    parts = sequence(config)
    values = sequence(parts[0]) if parts else []
    if not values and len(parts) > 1:
        values = sequence(get(parts[1], "options"))
    return [str(value) for value in values]


def _bare(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].lower()


def malformed() -> ServerFault:
    """Return the fault for an answer of another form than expected."""
    return ServerFault("its answer makes no sense")


def mapping(value: object) -> dict[str, Any]:
    """Return a JSON object. Raises ServerFault for anything else."""
    if not isinstance(value, dict):
        raise malformed()
    return value


def name(value: object) -> str:
    """Return a name or an ID, fit for a URL. Raises ServerFault for anything else."""
    if not isinstance(value, str) or not value.isprintable():
        raise malformed()
    return value


def whole_number(value: object) -> int | None:
    """Return a number without its decimals; None for anything else."""
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


def get(value: object, key: str) -> Any:
    """Return a member of a JSON object; None if it or the object is missing."""
    return value.get(key) if isinstance(value, dict) else None


def sequence(value: object) -> list[Any]:
    """Return a JSON array, empty for anything else."""
    return value if isinstance(value, list) else []


def items(value: object) -> list[tuple[str, Any]]:
    """Return the members of a JSON object, none for anything else."""
    return list(value.items()) if isinstance(value, dict) else []
