"""What a ComfyUI server's answers say about a prompt: accepted, done, or whose fault it is.

Pure functions of what was submitted and what came back; asking is left to `comfyui`. An answer may
be any JSON: every question ends in an answer, a ServerFault, a WorkflowFault or in Lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from stable_restyle.core.errors import OutOfMemory, ServerFault, WorkflowFault

Place = Literal["queue_running", "queue_pending"]


class Lost(Exception):
    """The server does not know a prompt or its pictures any more: submit it again."""


@dataclass(frozen=True)
class Submission:
    """A prompt as one server was given it."""

    server: str
    nodes: dict[str, Any]
    output: str  # ID of the node whose picture is the slide
    uploads: Sequence[str]  # our pictures, as nodes name them
    clean: Callable[[object], str]  # makes a server's text fit to be shown

    def refused(
        self, answer: Mapping[str, Any], classes: Callable[[], Mapping[str, Any]]
    ) -> WorkflowFault:
        """Why the server did not accept it. Raises Lost if our pictures are gone.

        answer: of POST /prompt. classes: asks the server for the node classes that it has.
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
        """Raise WorkflowFault where the server accepted the prompt, but without our output.

        answer: of POST /prompt.
        """
        for node, faults in items(answer.get("node_errors")):
            if node == self.output or self.output in sequence(get(faults, "dependent_outputs")):
                raise self.refused(answer, dict)

    def picture(self, entry: Mapping[str, Any]) -> dict[str, str]:
        """The file that the output made: filename, subfolder and type, as /view wants them.

        entry: from /history. Raises WorkflowFault if a node failed or the output made no picture,
        OutOfMemory if there was too little, Lost if our pictures are gone or somebody stopped it,
        and ServerFault if the entry makes no sense.
        """
        status = entry.get("status")
        for message in reversed(sequence(get(status, "messages"))):
            kind, data = message if isinstance(message, list) and len(message) == 2 else ("", None)
            if kind == "execution_error":
                raise self._failure(data)
            if kind == "execution_interrupted":
                raise Lost("the slide was interrupted there")
        if get(status, "status_str") == "error":
            raise ServerFault("the slide failed there, and it does not say why")
        made = mapping(mapping(entry.get("outputs")).get(self.output, {})).get("images", [])
        if not isinstance(made, list):
            raise nonsense()
        if not made:
            raise self._fault(
                [f"{self._label(self.output)} made no picture."],
                "Name the node that shows or saves the slide as the workflow's output.",
            )
        return {key: name(get(made[0], key)) for key in ("filename", "subfolder", "type")}

    def _failure(self, data: object) -> Exception:
        """data: of an execution_error."""
        node, kind = get(data, "node_id"), self.clean(get(data, "exception_type"))
        message = self.clean(get(data, "exception_message"))
        if self._loads_upload(node):
            return Lost("it cannot read the pictures that it was given")
        if "OutOfMemory" in kind or "out of memory" in message.lower():
            return OutOfMemory(f"{self._label(node)} ran out of memory: {message}")
        advice = "Run the workflow once in ComfyUI itself: the same node will fail there."
        if kind == "KeyError" and "SDXL" in str(get(self.nodes.get(str(node)), "class_type")):
            advice = (  # it looks for the tokens of a text encoder that only SDXL models have
                "That node is for SDXL models, and the checkpoint seems to be none: "
                "name one that is with --set NODE.ckpt_name=FILE."
            )
        return self._fault([f"{self._label(node)}: {kind}: {message}"], advice)

    def _fault(self, complaints: Sequence[str], advice: str) -> WorkflowFault:
        lines = "".join(f"  {line}\n" for line in complaints)
        return WorkflowFault(f"{self.server} cannot run the workflow:\n{lines}{advice}")

    def _complaint(self, error: object) -> str:
        """One validation error in words, with what the server offers instead."""
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
        """The nodes whose class the server does not have. It names at most the first itself."""
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
        """A node as the user may know it: node 4 "Load Checkpoint" (CheckpointLoaderSimple)."""
        content = self.nodes.get(str(node))
        title, kind = get(get(content, "_meta"), "title"), get(content, "class_type")
        quoted = f' "{self.clean(title)}"' if title else ""
        return f"node {self.clean(node)}{quoted} ({self.clean(kind)})"

    def _loads_upload(self, node: object) -> bool:
        inputs = get(self.nodes.get(str(node)), "inputs")
        return any(value in self.uploads for _, value in items(inputs))


def place(queue: object, prompt_id: str) -> Place | None:
    """Where in an answer of GET /queue a prompt is. Raises ServerFault if it is no such answer."""
    places: tuple[Place, ...] = ("queue_running", "queue_pending")
    for each in places:
        found = mapping(queue).get(each)
        if not isinstance(found, list):
            raise nonsense()
        if any(isinstance(item, list) and item[1:2] == [prompt_id] for item in found):
            return each
    return None


def nearest(wanted: str, offered: Sequence[str]) -> list[str]:
    """Up to three of the names offered that are like the one wanted, the likeliest first.

    Folders and the size of letters do not count: servers sort the same files differently.
    """

    def likeness(other: str) -> float:
        return SequenceMatcher(None, _bare(wanted), _bare(other)).ratio()

    return sorted((each for each in offered if likeness(each) > 0.5), key=likeness, reverse=True)[
        :3
    ]


def choices(config: object) -> list[str]:
    """The values that an input takes, none if it is not one of a list; config: of /object_info.

    Old servers write [[VALUE, ...], {...}], new ones also ["COMBO", {"options": [VALUE, ...]}].
    """
    parts = sequence(config)
    values = sequence(parts[0]) if parts else []
    if not values and len(parts) > 1:
        values = sequence(get(parts[1], "options"))
    return [str(value) for value in values]


def _bare(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].lower()


def nonsense() -> ServerFault:
    """The fault of an answer that has not the form it should have."""
    return ServerFault("its answer makes no sense")


def mapping(value: object) -> dict[str, Any]:
    """A JSON object. Raises ServerFault for anything else."""
    if not isinstance(value, dict):
        raise nonsense()
    return value


def name(value: object) -> str:
    """A name or an ID, fit to go into a URL. Raises ServerFault for anything else."""
    if not isinstance(value, str) or not value.isprintable():
        raise nonsense()
    return value


def get(value: object, key: str) -> Any:
    """A member of a JSON object; None if there is none, or no object."""
    return value.get(key) if isinstance(value, dict) else None


def sequence(value: object) -> list[Any]:
    """A JSON array; an empty one for anything else."""
    return value if isinstance(value, list) else []


def items(value: object) -> list[tuple[str, Any]]:
    """The members of a JSON object; none for anything else."""
    return list(value.items()) if isinstance(value, dict) else []
