"""Every answer of a server ends in the slide's file, or in a fault that says whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from stable_restyle.backends.comfyui.responses import Lost, Submission, choices, nearest, place
from stable_restyle.core.errors import OutOfMemory, ServerFault, WorkflowFault

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
        SUBMISSION.pictures(entry)
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
    assert SUBMISSION.pictures(entry(message)) == [FILE]
    assert "node 5" in fault_of(entry(failed(), message))


@pytest.mark.parametrize("messages", [None, {}, "execution_error", 3])
def test_messages_that_are_no_list_do_not_hide_the_picture(messages: object) -> None:
    assert SUBMISSION.pictures({**entry(), "status": {"messages": messages}}) == [FILE]


@pytest.mark.parametrize(
    "pictures", [None, {}, "a.png", [7], *([{**FILE, "filename": name}] for name in (7, "a\n.png"))]
)
def test_pictures_that_make_no_sense_are_the_servers_fault(pictures: object) -> None:
    with pytest.raises(ServerFault, match="makes no sense"):
        SUBMISSION.pictures({"outputs": {"6": {"images": pictures}}})


def test_the_last_word_about_a_prompt_counts() -> None:
    stopped = ["execution_interrupted", {}]
    assert fault_of(entry(failed(), stopped)) == "the slide was interrupted there"
    assert "node 5" in fault_of(entry(stopped, failed()))


def test_a_failure_without_a_reason_is_the_servers_fault() -> None:
    with pytest.raises(ServerFault, match="failed there, and it does not say why"):
        SUBMISSION.pictures(entry(status_str="error"))
    assert SUBMISSION.pictures(entry(status_str="success")) == [FILE]


@pytest.mark.parametrize("outputs", [{}, {"5": {"images": [FILE]}}, {"6": {"images": []}}], ids=str)
def test_an_output_without_a_picture_says_what_to_name_instead(outputs: object) -> None:
    with pytest.raises(WorkflowFault) as fault:
        SUBMISSION.pictures({"outputs": outputs})
    assert str(fault.value) == (
        "http://host cannot run the workflow:\n"
        "  node 6 (PreviewImage) made no picture.\n"
        "Name the node that shows or saves the slide as the workflow's output."
    )


@pytest.mark.parametrize(
    ("kind", "message", "fault"),
    [
        ("torch.OutOfMemoryError", "Allocation on device", OutOfMemory),
        ("RuntimeError", "HIP Out of Memory", OutOfMemory),
        ("RuntimeError", "shapes differ", WorkflowFault),
    ],
)
def test_memory_that_ran_out_is_told_by_the_kind_or_by_the_message(
    kind: str, message: str, fault: type[Exception]
) -> None:
    with pytest.raises(fault, match=f'node 5 "Prompt" .*: .*{message}'):
        SUBMISSION.pictures(entry(failed(exception_type=kind, exception_message=message)))


def test_a_node_that_fails_is_to_be_tried_in_comfyui_itself() -> None:
    assert fault_of(entry(failed(exception_message="no"))) == (
        "http://host cannot run the workflow:\n"
        '  node 5 "Prompt" (CLIPTextEncode): E: no\n'
        "Run the workflow once in ComfyUI itself: the same node will fail there."
    )


def no_answer() -> dict[str, Any]:
    raise ServerFault("nothing answers")


def errors(*errors: object) -> dict[str, Any]:
    return {"node_errors": {"5": {"errors": list(errors)}}}


def not_offered(*offered: str) -> dict[str, Any]:
    extra = {"input_name": "text", "received_value": "b", "input_config": [list(offered)]}
    return {"type": "value_not_in_list", "extra_info": extra}


REFUSALS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "message and details": (
        errors({"message": "Bad value", "details": "text"}, {"message": "Bad", "details": ""}),
        dict,
        "Bad value: text | Bad",
    ),
    "text": (errors("Bad"), dict, "Bad"),
    "a list that is empty": (
        errors(not_offered()),
        dict,
        "text: it has no 'b'; it has none at all",
    ),
    "a list of others": (errors(not_offered("x")), dict, "text: it has no 'b'"),
    "a class is missing": (
        {"error": {"message": "No such node", "details": "5"}},
        lambda: {"LoadImage": {}, "PreviewImage": {}, "ClipTextEncode": {}},
        "it has no such node; the nearest that it has: ClipTextEncode",
    ),
}


@pytest.mark.parametrize(("answer", "classes", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_each_node_with_what_is_wrong(
    answer: dict[str, Any], classes: Any, reason: str
) -> None:
    lines = [f'  node 5 "Prompt" (CLIPTextEncode): {each}' for each in reason.split(" | ")]
    assert str(SUBMISSION.refused(answer, classes)).splitlines() == [
        "http://host cannot run the workflow:",
        *lines,
        "Install on the server what it lacks, or change the workflow: --set NODE.INPUT=VALUE.",
    ]


@pytest.mark.parametrize(
    "classes",
    [dict, no_answer, lambda: dict.fromkeys(each["class_type"] for each in NODES.values())],
)
def test_a_refusal_that_names_no_node_is_passed_on(classes: Any) -> None:
    answer = {"error": {"message": "No outputs"}, "node_errors": []}
    submission = replace(SUBMISSION, nodes={**NODES, "7": {"class_type": 7}, "8": None})
    assert str(submission.refused(answer, classes)).splitlines()[1:-1] == ["  No outputs"]


def test_a_server_that_misses_our_pictures_is_given_them_again() -> None:
    missing = {"node_errors": {"5": {"errors": ["Bad"]}, "1": {"errors": ["Invalid image file"]}}}
    with pytest.raises(Lost, match="pictures that it was given are gone"):
        SUBMISSION.refused(missing, dict)


@pytest.mark.parametrize(
    ("faulty", "is_refused"),
    [
        ({}, False),
        ({"6": {"errors": ["Bad"]}}, True),
        ({"5": {"errors": ["Bad"], "dependent_outputs": ["9", "6"]}}, True),
        ({"5": {"errors": ["Bad"], "dependent_outputs": ["9"]}}, False),
        ({"5": None}, False),
    ],
)
def test_a_prompt_is_accepted_if_our_output_is(faulty: dict[str, Any], is_refused: bool) -> None:
    answer = {"prompt_id": "x", "node_errors": faulty}
    if not is_refused:
        SUBMISSION.check_accepted(answer)
        return
    with pytest.raises(WorkflowFault, match=r"node [56] .*: Bad\n"):
        SUBMISSION.check_accepted(answer)


def test_where_a_prompt_waits() -> None:
    queue = {"queue_running": [[0, "a"], "b"], "queue_pending": [None, [1, "c", {}], [2, "d"]]}
    assert {each: place(queue, each) for each in "abcde"} == {
        "a": "queue_running",
        "b": None,
        "c": "queue_pending",
        "d": "queue_pending",
        "e": None,
    }


@pytest.mark.parametrize("queue", [None, [], {}, {"queue_running": []}, {"queue_pending": []}])
def test_what_is_no_queue_is_the_servers_fault(queue: object) -> None:
    with pytest.raises(ServerFault, match="makes no sense"):
        place(queue, "a")


def test_the_nearest_names_come_likeliest_first() -> None:
    offered = ["dog.ckpt", r"SDXL\Clay_v2.safetensors", "clay.safetensors", "x/clays.safetensors"]
    assert nearest("models/clay.safetensors", [*offered, "play.safetensors"]) == [
        "clay.safetensors",
        "x/clays.safetensors",
        "play.safetensors",
    ]
    assert nearest("CLAY_V2.safetensors", offered)[0] == r"SDXL\Clay_v2.safetensors"
    assert nearest("ab", ["abc", r"x\ab"]) == [r"x\ab", "abc"]
    assert nearest("clay", ["dog.ckpt"]) == []


@pytest.mark.parametrize(
    ("config", "values"),
    [
        ([["a", 2], {"default": "a"}], ["a", "2"]),
        (["COMBO", {"options": ["a", 2]}], ["a", "2"]),
        (["COMBO"], []),
        (["INT", {"default": 1}], []),
        ([[]], []),
        ([], []),
        (None, []),
    ],
)
def test_the_values_that_an_input_takes(config: object, values: list[str]) -> None:
    assert choices(config) == values
