"""A server that notes which pictures each prompt loads, and the files to compare them with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from support import paths
from support.comfy_server import SDXL, ComfyServer
from support.runs import interp

from stable_restyle.core.records import Pixels, Step
from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.plan import scenes

Tree = dict[str, Any]
Painter = Callable[[Pixels], Pixels]
Loaded = dict[str, Pixels]  # by node
HEIGHT, WIDTH = 50, 66  # of the frames; they are sent as 72x56


def node(class_type: str, **inputs: object) -> Tree:
    return {"class_type": class_type, "inputs": inputs}


def edit_model(pictures: Mapping[str, object], **element: object) -> Tree:
    """A workflow of one node that takes pictures, and no mask unless one of them is."""
    mask = {} if "mask" in pictures.values() else {"mask": None}
    return {
        "stable-restyle": {**mask, "pictures": pictures, "output": "out", **element},
        **{each: node("LoadImage", image="example.png") for each in pictures},
        "edit": node("EditModel", **{f"image{each}": [each, 0] for each in pictures}),
        "out": node("SaveImage", images=["edit", 0], filename_prefix="x"),
    }


def klass(inputs: Mapping[str, Any], output: str) -> Tree:
    return {"input": {"required": inputs}, "output": [output], "output_node": False}


class NotingServer(ComfyServer):
    """A server that notes the pictures of each prompt, by node, and paints the first one's."""

    def __init__(self, paint: Painter, first: str = "1") -> None:
        super().__init__()
        self.paint = paint
        self.first = first
        self.loaded: list[Loaded] = []
        self.painter = self._note
        size = ["INT", {"default": 512, "min": 0, "max": 16384}]
        number = ["FLOAT", {"default": 1.0, "min": 0.0, "max": 100.0}]
        self.classes |= {
            "EditModel": klass({}, "IMAGE"),
            "EmptyLatentImage": klass({"width": size, "height": size}, "LATENT"),
            "ImageScale": klass({"image": ["IMAGE"], "width": size, "height": size}, "IMAGE"),
            "InvertMask": klass({"mask": ["MASK"]}, "MASK"),
            "KSampler": klass({"latent_image": ["LATENT"], "cfg": number}, "LATENT"),
        }

    def _note(self, nodes: Mapping[str, Any], loaded: Mapping[str, Pixels]) -> Pixels:
        self.loaded.append({each: its[:HEIGHT, :WIDTH] for each, its in loaded.items()})
        return self.paint(loaded[self.first])


def negative(picture: Pixels) -> Pixels:
    return np.asarray(255 - picture, np.uint8)


def on(asked: Settings, server: ComfyServer, tree: Tree, **changes: Any) -> Settings:
    """Ask for a run of a workflow on a server."""
    model = asked.source.parent / "flow.json"
    model.write_text(json.dumps(tree), "utf-8")
    return replace(asked, backends=(server.url,), model=str(model), **changes)


def style(folder: Path, name: str, level: int) -> Path:
    """Write a picture of the user's: a plain one, of a size of its own."""
    png.write(folder / name, np.full((20, 30, 3), level, np.uint8))
    return folder / name


def shows(loaded: Pixels, level: int) -> bool:
    return loaded.shape == (20, 30, 3) and bool((loaded == level).all())


class FilmFiles:
    """The files of a run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.frames = sequence.find_frames(settings.source)
        bounds = scenes.read_boundaries(interp(settings) / "scenes.json", self.frames.count)
        self.scenes = scenes.find_scenes(bounds, settings.frames_per_slide)
        self.steps = {step.slide: step for step in scenes.all_steps(self.scenes)}

    def frame(self, slide: int) -> Pixels:
        return self.frames.read(slide * self.settings.frames_per_slide)

    def slide(self, slide: int) -> Pixels:
        return png.read(self.settings.target / sequence.name(slide))

    def guide(self, step: Step) -> Pixels:
        if step.previous is None:
            return self.frame(step.slide)
        return png.read(interp(self.settings) / sequence.name(step.slide))

    def warped(self, step: Step) -> Pixels:
        return self._made(step, "b" if step.sources[0] > step.slide else "f")

    def mask(self, step: Step) -> Pixels:
        if step.previous is None:
            return np.full(self.frame(step.slide).shape[:2], 255, np.uint8)
        return self._made(step, "m")[:, :, 0]

    def _made(self, step: Step, kind: str) -> Pixels:
        stem = Path(sequence.name(step.slide)).stem
        return png.read(interp(self.settings) / f"{stem}-{kind}.png")

    def of_slides(
        self, loaded: list[Loaded], frame_node: str = "1"
    ) -> Iterator[tuple[Step, Loaded]]:
        """Yield each step with the pictures of its prompt, found by the frame that it loads."""
        for step in self.steps.values():
            frame = self.frame(step.slide)
            (found,) = [each for each in loaded if np.array_equal(each["1"], frame)]
            yield step, found


def case(name: str) -> Tree:
    """Return a workflow of tests/data/cases with a checkpoint that the server has."""
    tree: Tree = json.loads((paths.DATA / "cases" / f"{name}.json").read_text("utf-8"))
    for each in tree.values():
        if "ckpt_name" in each.get("inputs", {}):
            each["inputs"]["ckpt_name"] = SDXL
    return tree
