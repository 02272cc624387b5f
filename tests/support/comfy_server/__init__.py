"""Simulate a ComfyUI server for tests and benchmarks; it fails on command.

HTTP and WebSocket on port 0 of 127.0.0.1, in a thread of its own, one prompt at a time. It answers
as real servers were seen to, with their recorded messages and histories (tests/data/comfyui/).
Prompts are checked against the classes in `classes` as ComfyUI checks them, and drawn by `paint`,
so that the same guides, masks and settings always give the same slides.

    with ComfyServer() as server:
        server.on("GET /view", halved)            # how the next such request is answered
        server.runs.append(Run(error={...}))      # what the next prompt does
        ... ComfyUI(server.url, ...) ...
        assert server.prompts_run == 3
"""

from __future__ import annotations

from support.comfy_server.faults import (
    Day,
    Handler,
    answer,
    answer_lost,
    broken_off,
    deaf,
    dropped,
    endless,
    halved,
    mangled,
    redirected,
    silent,
    slow,
    trickled,
    usual,
)
from support.comfy_server.node_classes import SDXL
from support.comfy_server.prompts import CUT, Message, Run, paint, settings_of
from support.comfy_server.recordings import RECORDINGS, recorded
from support.comfy_server.server import CERTIFICATE, ComfyServer
from support.comfy_server.windows import window_workflow

__all__ = [
    "CERTIFICATE",
    "CUT",
    "RECORDINGS",
    "SDXL",
    "ComfyServer",
    "Day",
    "Handler",
    "Message",
    "Run",
    "answer",
    "answer_lost",
    "broken_off",
    "deaf",
    "dropped",
    "endless",
    "halved",
    "mangled",
    "paint",
    "recorded",
    "redirected",
    "settings_of",
    "silent",
    "slow",
    "trickled",
    "usual",
    "window_workflow",
]
