"""Run one simulated ComfyUI server as a program; `servers` starts it.

It is the tests' server, but it neither reads nor paints pictures: every slide is one of those that
it was started with, compressed as ComfyUI compresses previews. Drawing thus takes the given time,
and hardly any processor time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from support.comfy_server import ComfyServer, Run

from stable_restyle.core.records import Pixels

BLANK = np.zeros((8, 8, 3), np.uint8)


class Server(ComfyServer):
    """Answer with pictures made beforehand, and record when a prompt ran."""

    def __init__(self, draw_s: float, slides: Sequence[bytes]) -> None:
        super().__init__(draw_s=draw_s)
        self.spans: list[tuple[float, float]] = []  # time.monotonic(), the same in all processes
        self._slides = cycle(slides)

    def _painted(self, item: Any) -> list[Pixels]:
        return [BLANK]

    def _keep(self, item: Any, data: bytes) -> dict[str, str]:
        return super()._keep(item, next(self._slides))

    async def _run(self, item: Any, run: Run) -> None:
        began = time.monotonic()
        await super()._run(item, run)
        self.spans.append((began, time.monotonic()))


def main() -> None:
    """Run a server. Arguments: seconds per slide, pictures.

    Print its URL, and at the end of standard input what it did, as JSON.
    """
    draw_s, *pictures = sys.argv[1:]
    slides = [_compressed(Path(picture)) for picture in pictures]
    server = Server(float(draw_s), slides)
    with server:
        began = time.process_time()
        print(server.url, flush=True)
        sys.stdin.read()
        print(
            json.dumps(
                {
                    "spans": server.spans,
                    "busy_s": server.busy_s,
                    "idle_s": server.idle_s,
                    "prompts_run": server.prompts_run,
                    "cpu_s": time.process_time() - began,
                }
            )
        )


def _compressed(picture: Path) -> bytes:
    """Compress a picture as ComfyUI's PreviewImage does."""
    data = BytesIO()
    with Image.open(picture) as image:
        image.save(data, "PNG", compress_level=1)
    return data.getvalue()


if __name__ == "__main__":
    main()
