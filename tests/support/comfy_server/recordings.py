"""Replay the websocket messages and histories that were recorded from real servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from support import paths
from support.comfy_server.prompts import Item, Message

RECORDINGS = paths.DATA / "comfyui"


def recorded(story: str) -> list[Message]:
    """Return the websocket messages of a recording, in order."""
    messages: list[Message] = []
    for line in (RECORDINGS / f"{story}.ws.jsonl").read_text("utf-8").splitlines():
        message = json.loads(line)
        binary = message.get("BINARY_base64")
        messages.append(base64.b64decode(binary) if binary else json.dumps(message))
    return messages


@cache
def _history_of(story: str) -> tuple[str, str]:
    """Return the recorded ID, and the history's entry as JSON."""
    whole = json.loads((RECORDINGS / f"{story}.history.json").read_text("utf-8"))
    [(prompt_id, entry)] = whole.items()
    return prompt_id, json.dumps(entry)


_recorded = cache(recorded)


def retold(
    story: str,
    prompt_id: str,
    output: str,
    pictures: Sequence[Mapping[str, str]],
    error: Mapping[str, Any] | None,
) -> list[Message]:
    """Return recorded messages, changed to those of another prompt."""
    old_id, _ = _history_of(story)
    messages: list[Message] = []
    for message in _recorded(story)[1:]:  # the first one greets a new connection
        if isinstance(message, str):
            message = message.replace(old_id, prompt_id)
            if '"executed"' in message or '"execution_error"' in message:
                message = _edited(message, output, pictures, error)
        messages.append(message)
    return messages


def _edited(
    message: str,
    output: str,
    pictures: Sequence[Mapping[str, str]],
    error: Mapping[str, Any] | None,
) -> str:
    content = json.loads(message)
    if content["type"] == "executed":
        content["data"] |= {"node": output, "output": {"images": list(pictures)}}
    else:
        content["data"] |= error or {}
    return json.dumps(content)


def history_entry(
    story: str, item: Item, outputs: Mapping[str, Any], error: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a recorded entry of the history, changed to that of another prompt."""
    old_id, text = _history_of(story)
    entry: dict[str, Any] = json.loads(text.replace(old_id, item.id))
    for kind, data in entry["status"]["messages"]:
        if kind == "execution_error":
            data |= error or {}
    return entry | {"prompt": item.as_json(), "outputs": outputs}
