"""Windows on ComfyUI servers that really run, where COMFYUI_URL names one; no model is needed.

Stock nodes mix the frames of a window with the slides that are known, where the mask is white.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stable_restyle.backends.comfyui import workflow_file
from stable_restyle.backends.comfyui.backend import Access, ComfyBackend
from stable_restyle.backends.comfyui.overrides import apply_overrides
from stable_restyle.core.errors import WorkflowFault
from stable_restyle.core.records import Pixels, Window, WindowJob

URL = os.environ.get("COMFYUI_URL", "").partition(",")[0].strip()
WIDTH, HEIGHT = 90, 50  # no multiples of 16
SLIDES, LENGTH = range(3, 9), 9
ENDS = frozenset({3, 8})

pytestmark = [
    pytest.mark.comfyui,
    pytest.mark.skipif(not URL, reason="COMFYUI_URL names no ComfyUI server to try"),
]


def frame(number: int) -> Pixels:
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def known(number: int) -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), 20 * number if number in ENDS else 128, np.uint8)


def mask(number: int) -> Pixels:
    return np.full((HEIGHT, WIDTH), 0 if number in ENDS else 255, np.uint8)


def node(class_type: str, **inputs: object) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


NODES = {
    "1": node("LoadImage", image="example.png"),
    "2": node("LoadImage", image="example.png"),
    "3": node("LoadImageMask", image="example.png", channel="red"),
    "4": node(
        "ImageBlend", image1=["1", 0], image2=["2", 0], blend_factor=0.5, blend_mode="normal"
    ),
    "5": node(
        "ImageCompositeMasked",
        destination=["2", 0],
        source=["4", 0],
        mask=["3", 0],
        x=0,
        y=0,
        resize_source=False,
    ),
    "6": node("ImageFromBatch", image=["5", 0], batch_index=0, length=1),
    "7": node("SaveImage", images=["6", 0], filename_prefix="x"),
    "stable-restyle": {
        "window": {"step": 4, "plus": 1, "most": 17},
        "pictures": {"1": "frames", "2": "known", "3": "known-mask"},
        "numbers": {"6.length": "length"},
        "output": "7",
    },
}


@pytest.fixture
def backend(tmp_path: Path, one_at_a_real_server: None) -> Iterator[ComfyBackend]:
    path = tmp_path / "window.json"
    path.write_text(json.dumps(NODES), "utf-8")
    windows = {"fill": workflow_file.load_window(str(path))}
    variants = replace(apply_overrides(windows["fill"], None, []), windows=windows)
    connected = ComfyBackend(URL, variants, Access())
    connected.fit()
    yield connected
    connected.close()


def job(**changes: Any) -> WindowJob:
    found = WindowJob(
        Window(SLIDES, LENGTH),
        1,
        (WIDTH, HEIGHT),
        Fraction(24),
        ENDS,
        {"frames": frame, "known": known, "known-mask": mask},
    )
    return replace(found, **changes)


def test_a_window_is_mixed_where_its_mask_is_white(backend: ComfyBackend) -> None:
    for _ in range(2):  # the second time, the server has cached pictures that are emptied
        with backend.draw_window(job()) as pictures:
            made = [each.pixels for each in pictures]
    assert len(made) == len(SLIDES)
    for number, picture in zip(SLIDES, made, strict=True):
        if number in ENDS:
            assert np.array_equal(picture, known(number))
        else:
            mixed = (frame(number).astype(float) + known(number)) / 2
            assert np.abs(picture - mixed).max() <= 1


def test_a_window_of_another_length_is_refused(backend: ComfyBackend) -> None:
    with (
        pytest.raises(WorkflowFault, match=r"node 7 \(PreviewImage\) made 5 pictures for a window"),
        backend.draw_window(job(changes=["6.length=5"])),
    ):
        pass
