"""A model of video for the tests' server: a node that makes all pictures of a window at once.

It mixes the slides that are known at both ends of a gap, and forgets them a little: all of a window
is off by a colour and by noise that its content alone decides. Other modes are those of models
that do as they like.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from stable_restyle.core.records import Pixels

WINDOW_MODEL = "WindowModel"
OFF, NOISE = 6, 2  # levels, at most, by which a window is off, and each of its pixels
MODES = ("mix", "identity", "twice as large", "one too few", "one too many", "mixed sizes")
Tree = dict[str, Any]


def window_class() -> Tree:
    """Return the class of the node, as in /object_info."""
    size = ["INT", {"default": 832, "min": 16, "max": 16384, "step": 16}]
    optional = {
        "frames": ["IMAGE"],
        "known": ["IMAGE"],
        "mask": ["MASK"],
        "reference": ["IMAGE"],
        "width": size,
        "height": size,
        "length": ["INT", {"default": 81, "min": 1, "max": 16384, "step": 4}],
        "fps": ["FLOAT", {"default": 24.0, "min": 0.01, "max": 1000.0}],
        "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
    }
    return {
        "input": {"required": {"mode": [list(MODES)]}, "optional": optional},
        "output": ["IMAGE"],
        "output_node": False,
    }


def window_workflow(mode: str = "mix", *, sized: bool = True, **window: int) -> Tree:
    """Return a workflow that makes windows.

    sized: whether it is told the size; otherwise it draws in that of what it is given. window: the
    element's, lengths of 4n + 1 up to 17 if it is not given.
    """
    sides = ("width", "height") if sized else ()
    return {
        "stable-restyle": {
            "window": window or {"step": 4, "plus": 1, "most": 17},
            "pictures": {"1": "frames", "2": "known", "3": "known-mask"},
            "numbers": {"5.length": "length", "5.fps": "rate"} | {f"5.{s}": s for s in sides},
            "output": "6",
        },
        **{each: _node("LoadImage", image="example.png") for each in "123"},
        "4": _node("ImageToMask", image=["3", 0], channel="red"),
        "5": _node(
            WINDOW_MODEL,
            mode=mode,
            frames=["1", 0],
            known=["2", 0],
            mask=["4", 0],
            length=17,
            fps=24.0,
            seed=1,
            **dict.fromkeys(sides, 64),
        ),
        "6": _node("SaveImage", images=["5", 0], filename_prefix="x"),
    }


def _node(class_type: str, **inputs: object) -> Tree:
    return {"class_type": class_type, "inputs": inputs}


def play(nodes: Mapping[str, Any], batches: Mapping[str, Sequence[Pixels]]) -> list[Pixels] | None:
    """Return what the model makes; None if a prompt has none. batches: by the node that loads."""
    model = next((each for each in nodes.values() if each["class_type"] == WINDOW_MODEL), None)
    if model is None:
        return None
    inputs = model["inputs"]

    def loaded(name: str) -> list[Pixels]:
        node = inputs[name][0]
        while node not in batches:
            node = next(its[0] for its in nodes[node]["inputs"].values() if isinstance(its, list))
        return _resized(batches[node], inputs)

    made = loaded("frames") if inputs["mode"] != "mix" else _mixed(loaded("known"), loaded("mask"))
    if len(made) != inputs.get("length", len(made)):
        raise AssertionError(f"{len(made)} pictures for a window of {inputs['length']}")
    if inputs["mode"] == "mix":
        return _forgotten(made, inputs)
    return _altered(made, inputs["mode"])


def _resized(pictures: Sequence[Pixels], inputs: Mapping[str, Any]) -> list[Pixels]:
    """Scale as models do whose node has a width and a height."""
    height, width = pictures[0].shape[:2]
    size = inputs.get("width", width), inputs.get("height", height)
    return [np.asarray(Image.fromarray(each).resize(size)) for each in pictures]


def _mixed(known: Sequence[Pixels], masks: Sequence[Pixels]) -> list[Pixels]:
    """Mix the known slides before and after each, by how far these are."""
    there = [place for place, mask in enumerate(masks) if not mask.any()]

    def at(place: int) -> Pixels:
        before = max((each for each in there if each <= place), default=there[0])
        after = min((each for each in there if each >= place), default=there[-1])
        share = (place - before) / max(after - before, 1)
        mixed = known[before] * (1 - share) + known[after] * share
        return np.asarray(np.rint(mixed), np.uint8)

    return [at(place) for place in range(len(known))]


def _forgotten(pictures: Sequence[Pixels], inputs: Mapping[str, Any]) -> list[Pixels]:
    """Add a colour and noise, which the content of the window decides."""
    content = zlib.crc32(b"".join(each.tobytes() for each in pictures), inputs.get("seed", 0))
    chance = np.random.default_rng(content)
    off = chance.integers(-OFF, OFF + 1, 3)
    return [
        np.clip(each + off + chance.integers(-NOISE, NOISE + 1, each.shape), 0, 255).astype(
            np.uint8
        )
        for each in pictures
    ]


def _altered(pictures: list[Pixels], mode: str) -> list[Pixels]:
    height, width = pictures[0].shape[:2]
    if mode == "twice as large":
        return [each.repeat(2, 0).repeat(2, 1) for each in pictures]
    if mode == "one too few":
        return pictures[:-1]
    if mode == "one too many":
        return [*pictures, pictures[-1]]
    if mode == "mixed sizes":
        return [*pictures[:-1], np.zeros((2 * height, 2 * width, 3), np.uint8)]
    return pictures
