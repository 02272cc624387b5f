"""Describe prompts: how the next one ends, and the guide and mask that one loads."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stable_restyle.core.records import Pixels
from stable_restyle.media import png

Message = str | bytes  # of the websocket; CUT ends the connection

CUT: Message = "cut the connection here"


@dataclass(frozen=True)
class Run:
    """How one prompt ends, and which messages are sent about it."""

    seconds: float | None = None  # None: as long as the server usually takes
    error: Mapping[str, Any] | None = None  # fields of an execution_error, over the recorded ones
    interrupted: bool = False  # by somebody at the server
    cached: bool = False  # the server thinks that it has the picture, but the file is gone
    restart: bool = False  # the server restarts in the midst of it
    picture: Callable[[Pixels], bytes] = png.encode
    told: Callable[[list[Message]], list[Message]] = list  # the messages -> what is sent


@dataclass
class Item:
    number: int
    id: str
    nodes: dict[str, Any]
    extra: dict[str, Any]
    outputs: list[str]
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def as_json(self) -> list[Any]:
        return [self.number, self.id, self.nodes, self.extra, self.outputs]


def paint(guide: Pixels, mask: Pixels, settings: bytes) -> Pixels:
    """Return what this server draws: where the mask is set, the guide inverted, dark and tinted.

    guide: (H, W, 3). mask: (H, W). settings: the rest of the prompt; decides the tint.
    """
    seed = zlib.crc32(settings)
    tint = np.array([seed & 63, seed >> 6 & 63, seed >> 12 & 63], np.uint16)
    freed = (255 - guide.astype(np.uint16)) * 3 // 4 + tint
    share = mask[:, :, np.newaxis].astype(np.uint16)
    return ((guide * (255 - share) + freed * share + 127) // 255).astype(np.uint8)


def settings_of(nodes: Mapping[str, Any]) -> bytes:
    """Return the content of a prompt except its pictures and the IDs of its nodes."""
    said = {
        node: [content["class_type"], content.get("inputs", {})]
        for node, content in nodes.items()
        if content["class_type"] not in ("LoadImage", "LoadImageMask")
    }
    return json.dumps(said, sort_keys=True).encode()


def upstream(nodes: Mapping[str, Any], node: str) -> list[str]:
    """Return a node and all nodes that it depends on."""
    found: list[str] = []
    todo = [node]
    while todo:
        each = todo.pop()
        if each in nodes and each not in found:
            found.append(each)
            inputs = nodes[each].get("inputs", {}).values()
            todo += [str(value[0]) for value in inputs if isinstance(value, list) and value]
    return found


def feeds_a_mask(nodes: Mapping[str, Any], loader: str) -> bool:
    """Return whether a node is the mask of another, directly or through nodes without a picture."""
    if nodes[loader]["class_type"] == "LoadImageMask":
        return True
    return any(
        isinstance(value, list)
        and value[:1] == [loader]
        and (name == "mask" or content["class_type"] == "ImageToMask")
        for content in nodes.values()
        for name, value in content.get("inputs", {}).items()
    )


def annotated(name: str) -> tuple[str, str, str]:
    """Return the (type, subfolder, filename) that LoadImage reads from "folder/name [temp]"."""
    match = re.fullmatch(r"(?:(.*)/)?([^/]*?)(?: \[(input|output|temp)\])?", name)
    assert match
    return match[3] or "input", match[1] or "", match[2]
