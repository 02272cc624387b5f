"""The node classes of a server, as in the answer to /object_info."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from support.comfy_server.recordings import RECORDINGS
from support.comfy_server.windows import WINDOW_MODEL, window_class

SDXL = "OfficialStableDiffusion/sd_xl_base_1.0.safetensors"


@cache
def node_classes() -> dict[str, Any]:
    """Return the node classes as in /object_info: stock nodes, and two of Swarm's."""
    path = RECORDINGS / "object_info_KSamplerAdvanced.json"
    sampler = json.loads(path.read_text("utf-8"))["KSamplerAdvanced"]
    inputs = sampler["input"]["required"]
    upload = [["example.png"], {"image_upload": True}]
    text, whole = (
        ["STRING", {"multiline": True}],
        ["INT", {"default": 1024, "min": 0, "max": 16384}],
    )
    share = ["FLOAT", {"default": 1.0, "min": -100.0, "max": 100.0}]
    swarm = {
        **inputs,
        "var_seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
        "var_seed_strength": ["FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0}],
        "sigma_max": ["FLOAT", {"default": -1, "min": -1.0, "max": 1000.0}],
        "sigma_min": ["FLOAT", {"default": -1, "min": -1.0, "max": 1000.0}],
        "rho": ["FLOAT", {"default": 7.0, "min": 0.0, "max": 100.0}],
        "previews": [["default", "none", "one", "second", "iterate"]],
        "tile_sample": ["BOOLEAN", {"default": False}],
        "tile_size": ["INT", {"default": 1024, "min": 256, "max": 4096}],
    }
    sizes = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")
    channels = ["red", "green", "blue", "alpha"]
    table: list[tuple[str, dict[str, Any], list[str]]] = [
        ("LoadImage", {"image": upload}, ["IMAGE", "MASK"]),
        ("LoadImageMask", {"image": upload, "channel": [channels]}, ["MASK"]),
        ("SwarmLoadImageB64", {"image_base64": text}, ["IMAGE", "MASK"]),
        ("ImageToMask", {"image": ["IMAGE"], "channel": [channels]}, ["MASK"]),
        ("ImageInvert", {"image": ["IMAGE"]}, ["IMAGE"]),
        (
            "ImageCompositeMasked",
            {
                "destination": ["IMAGE"],
                "source": ["IMAGE"],
                "x": ["INT", {"default": 0, "min": 0, "max": 16384}],
                "y": ["INT", {"default": 0, "min": 0, "max": 16384}],
                "resize_source": ["BOOLEAN", {"default": False}],
            },
            ["IMAGE"],
        ),
        (
            "ImageScaleBy",
            {
                "image": ["IMAGE"],
                "upscale_method": [["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]],
                "scale_by": ["FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0}],
            },
            ["IMAGE"],
        ),
        (
            "CheckpointLoaderSimple",
            {"ckpt_name": [[SDXL, "aamXLAnimeMix_v10.safetensors"]]},
            ["MODEL", "CLIP", "VAE"],
        ),
        (
            "LoraLoader",
            {
                "model": ["MODEL"],
                "clip": ["CLIP"],
                "lora_name": [["CLAYMATE_V2.03_.safetensors"]],
                "strength_model": share,
                "strength_clip": share,
            },
            ["MODEL", "CLIP"],
        ),
        ("DifferentialDiffusion", {"model": ["MODEL"]}, ["MODEL"]),
        ("CLIPTextEncode", {"text": text, "clip": ["CLIP"]}, ["CONDITIONING"]),
        (
            "CLIPTextEncodeSDXL",
            {"clip": ["CLIP"], **dict.fromkeys(sizes, whole), "text_g": text, "text_l": text},
            ["CONDITIONING"],
        ),
        ("VAEEncode", {"pixels": ["IMAGE"], "vae": ["VAE"]}, ["LATENT"]),
        ("VAEDecode", {"samples": ["LATENT"], "vae": ["VAE"]}, ["IMAGE"]),
        ("SetLatentNoiseMask", {"samples": ["LATENT"], "mask": ["MASK"]}, ["LATENT"]),
        ("SwarmKSampler", swarm, ["LATENT"]),
        ("PreviewImage", {"images": ["IMAGE"]}, []),
        ("SaveImage", {"images": ["IMAGE"], "filename_prefix": text}, []),
    ]
    found = {name: _class(name, required, made) for name, required, made in table}
    return found | {"KSamplerAdvanced": sampler, WINDOW_MODEL: window_class()}


def _class(name: str, required: dict[str, Any], made: list[str]) -> dict[str, Any]:
    return {
        "input": {"required": required},
        "input_order": {"required": list(required)},
        "output": made,
        "output_is_list": [False] * len(made),
        "output_name": made,
        "name": name,
        "display_name": name,
        "python_module": "nodes",
        "output_node": not made,
    }
