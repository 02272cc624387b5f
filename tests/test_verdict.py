"""Every answer of a server ends in the slide's file, or in a fault that says whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from stable_restyle.errors import ServerFault, WorkflowFault
from stable_restyle.verdict import Lost, Submission

NODES: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "guide.png"}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}, "_meta": {"title": "Prompt"}},
    "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
}
SUBMISSION = Submission("http://host", NODES, "6", ["guide.png", "mask.png"], str)
FILE = {"filename": "a.png", "subfolder": "", "type": "temp"}


def entry(*messages: object, **status: object) -> dict[str, Any]:
    """A prompt's entry in the history; its output made a picture all the same."""
    return {
        "status": {"messages": list(messages), **status},
        "outputs": {"6": {"images": [FILE]}},
    }


def failed(**error: object) -> list[object]:
    return ["execution_error", {"node_id": "5", "exception_type": "E", **error}]


def fault_of(entry: dict[str, Any]) -> str:
    with pytest.raises((Lost, ServerFault, WorkflowFault)) as raised:
        SUBMISSION.picture(entry)
    return str(raised.value)


MALFORMED: list[object] = [
    None,
    7,
    "execution_error",
    [],
    ["execution_error"],
    ["execution_interrupted"],
    ["execution_error", {}, "and more"],
    {"execution_error": {}},
    "ab",  # of length two
    [["execution_error"], {}],
]


@pytest.mark.parametrize("message", MALFORMED, ids=str)
def test_a_message_without_its_form_hides_neither_picture_nor_failure(message: object) -> None:
    assert SUBMISSION.picture(entry(message)) == FILE
    assert "node 5" in fault_of(entry(failed(), message))


@pytest.mark.parametrize("messages", [None, {}, "execution_error", 3])
def test_messages_that_are_no_list_do_not_hide_the_picture(messages: object) -> None:
    assert SUBMISSION.picture({**entry(), "status": {"messages": messages}}) == FILE


def test_the_last_word_about_a_prompt_counts() -> None:
    stopped = ["execution_interrupted", {}]
    assert fault_of(entry(failed(), stopped)) == "the slide was interrupted there"
    assert "node 5" in fault_of(entry(stopped, failed()))


def test_a_failure_without_a_reason_is_the_servers_fault() -> None:
    with pytest.raises(ServerFault, match="failed there, and it does not say why"):
        SUBMISSION.picture(entry(status_str="error"))
    assert SUBMISSION.picture(entry(status_str="success")) == FILE


@pytest.mark.parametrize("outputs", [{}, {"5": {"images": [FILE]}}, {"6": {"images": []}}], ids=str)
def test_an_output_without_a_picture_says_what_to_name_instead(outputs: object) -> None:
    with pytest.raises(WorkflowFault) as fault:
        SUBMISSION.picture({"outputs": outputs})
    assert str(fault.value) == (
        "http://host cannot run the workflow:\n"
        "  node 6 (PreviewImage) made no picture.\n"
        "Name the node that shows or saves the slide as the workflow's output."
    )
