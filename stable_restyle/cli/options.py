"""The options of the command line, their types, and what environment variables add to them."""

from __future__ import annotations

import re
from collections.abc import Callable

import click

from stable_restyle.cli.actions import ACTIONS
from stable_restyle.cli.config import config_option
from stable_restyle.cli.help import (
    IN_OUT,
    SERVERS,
    STEADINESS,
    STYLE,
    option,
)
from stable_restyle.cli.types import FOR_SLIDES, FOR_WINDOWS, AnyPath, Number, Rate, Suggested
from stable_restyle.core.settings import (
    ANCHOR,
    API_KEY_VARIABLE,
    BACKENDS_VARIABLE,
    CRF_MOST,
    DEFAULT_RATE,
    DEFLICKER_MOST,
    FLOW_ANCHOR,
    FLOW_MASK_SIZE,
    FLOW_MASK_STRENGTH,
    FRAME,
    MASK_SIZE,
    MASK_STRENGTH,
    MOTIONS,
    VIDEO_CODECS,
    WARPED,
    Settings,
)

LOOKS = ("preview", "preview:clay", "preview:anime")
HEADERS_VARIABLE = "VIDEO_RESTYLE_HEADERS"
DEFAULTS = Settings()

SETTINGS = (
    click.argument("source", type=AnyPath(), default=DEFAULTS.source),
    click.argument("target", type=AnyPath(), default=DEFAULTS.target),
    option(
        STYLE,
        "--model",
        daily=True,
        type=Suggested(FOR_SLIDES, files=True),
        metavar="FILE",
        default=DEFAULTS.model,
        show_default=True,
        help="Workflow that draws the slides: a ComfyUI API file, or the name of a shipped one.",
    ),
    option(
        STYLE,
        "--middle-model",
        type=Suggested(FOR_SLIDES, files=True),
        metavar="FILE",
        default=DEFAULTS.middle_model,
        help="Another workflow for the middle slide of each scene; --model draws the others.",
    ),
    option(
        STYLE,
        "--prompt",
        daily=True,
        metavar="TEXT",
        default=DEFAULTS.prompt,
        help="What the model draws, in place of the workflow's prompt.",
    ),
    option(
        STYLE,
        "--negative-prompt",
        metavar="TEXT",
        default=DEFAULTS.negative_prompt,
        help="What it avoids, in place of the workflow's negative prompt.",
    ),
    option(
        STYLE,
        "--picture",
        "pictures",
        metavar="[SCENES:]NAME=FILE",
        multiple=True,
        help="Give a picture to the workflow: to the Load Image node with this title, or with this "
        "name in the file. For the whole run or for some scenes: style=clay.png, "
        "3,5-7:style=night.png.",
    ),
    option(
        SERVERS,
        "--backend",
        "backends",
        daily=True,
        type=Suggested(lambda: LOOKS),
        metavar="BACKEND",
        multiple=True,
        help="Where slides are drawn: http://HOST:8188 (a ComfyUI server), "
        "comfy-api+https://HOST (Comfy Cloud, or another server of the Comfy API v2), or preview, "
        "preview:clay, preview:anime (the built-in preview engine). Repeat the option or separate "
        f"by commas for several.  [default: ${BACKENDS_VARIABLE}, or the servers on this machine]",
    ),
    option(
        STYLE,
        "--set",
        "changes",
        metavar="[WHERE:]ID.INPUT=VALUE",
        multiple=True,
        help="Change an input of a workflow node, for the whole run, for scenes, frames or times: "
        '6.text="clay rabbit", 3,5-7:6.text="clay fox", f240-480:6.text=rain, '
        "00:10-00:20:6.text=snow. A range of numbers is spread over the slides: "
        "f240-480:3.denoise=0.4..0.6. --dry-run shows the numbers of scenes.",
    ),
    option(
        STYLE,
        "--seed",
        type=click.IntRange(0, 2**64 - 1),
        metavar="N",
        help="Replace every seed in the workflow.  [default: the workflow's]",
    ),
    option(
        SERVERS,
        "--header",
        "headers",
        metavar="'NAME: VALUE'",
        multiple=True,
        help="HTTP header for every request to every server, such as a token. "
        f"${HEADERS_VARIABLE} adds one per line. Never shown or saved. ${API_KEY_VARIABLE} is the "
        "key of servers of the Comfy API, and is sent to no others.",
    ),
    option(
        SERVERS,
        "--jobs",
        type=click.IntRange(1),
        metavar="N",
        default=DEFAULTS.jobs,
        show_default=True,
        help="How many jobs each server of the Comfy API runs at once: the number of your plan.",
    ),
    option(
        SERVERS,
        "--at-most",
        type=click.IntRange(0),
        metavar="N",
        help="Stop before anything is sent if the model would have to draw more than N slides of "
        "the film. A window of --fill counts as one. --dry-run shows their number.",
    ),
    option(
        SERVERS,
        "--timeout",
        "timeout_s",
        type=Number(0, min_open=True),
        metavar="SECONDS",
        default=DEFAULTS.timeout_s,
        show_default=True,
        help="How long a server may take for one slide once it has started on it, or for each four "
        "pictures of a window.",
    ),
    option(
        SERVERS,
        "--patience",
        "patience_min",
        type=Number(0),
        metavar="MINUTES",
        default=DEFAULTS.patience_min,
        show_default=True,
        help="How long to wait for a server to come back when all have failed.",
    ),
    option(
        SERVERS,
        "--keep-on-server",
        is_flag=True,
        help="Also keep every slide on the server: leave the workflow's output node unchanged.",
    ),
    option(
        STEADINESS,
        "--guide",
        type=click.Choice([WARPED, FRAME]),
        help="What the model starts from: the previous slide, warped to the frame and mixed with "
        "it; or the frame alone, so that all slides can be drawn at once and are composed from the "
        "model's answers afterwards.  [default: frame; warped with codec, for workflows that load "
        "the previous slide, and where a run was begun with it]",
    ),
    option(
        STYLE,
        "--drawn",
        type=AnyPath(),
        metavar="DIR|FILM",
        help="Compose slides from pictures that were restyled elsewhere, frame by frame: no server "
        "is asked. One picture for each frame, or one for each slide.",
    ),
    option(
        STEADINESS,
        "--mask-strength",
        type=Number(0, 8),
        metavar="NUMBER",
        help="How much is kept from the previous slide: 8 all that can be tracked (with codec: all "
        f"that does not move), 0 nothing.  [default: {FLOW_MASK_STRENGTH:g}; "
        f"with codec {MASK_STRENGTH:g}]",
    ),
    option(
        STEADINESS,
        "--mask-size",
        type=click.IntRange(0),
        metavar="PIXELS",
        help="How far the mask extends around moving parts.  "
        f"[default: {FLOW_MASK_SIZE}; with codec {MASK_SIZE}]",
    ),
    option(
        STEADINESS,
        "--anchor",
        type=Number(0, 1),
        metavar="SHARE",
        help="Pull colours at each slide towards those of its answer, or with --guide warped of "
        "the scene's middle: 0 not at all, 1 fully. Changes of light in the frames are kept.  "
        f"[default: {FLOW_ANCHOR:g}; with codec {ANCHOR:g}]",
    ),
    option(
        STEADINESS,
        "--deflicker",
        type=click.IntRange(0, DEFLICKER_MOST),
        metavar="N",
        default=DEFAULTS.deflicker,
        show_default=True,
        help="Average each slide with up to N neighbours on each side, motion-compensated; 0 turns "
        "this off. The slides as drawn stay in the working folder.",
    ),
    option(
        IN_OUT,
        "--fps",
        "frames_per_slide",
        daily=True,
        type=click.IntRange(1),
        metavar="N",
        default=DEFAULTS.frames_per_slide,
        show_default=True,
        help="Frames per slide.",
    ),
    option(
        STEADINESS,
        "--motion",
        type=Suggested(lambda: MOTIONS, files=True),
        metavar="flow|flow:fast|codec|COMMAND",
        default=DEFAULTS.motion,
        show_default=True,
        help="How slides follow the motion: flow is optical flow; flow:fast takes half the time; "
        "codec uses the motion-transfer library, as the original did; a program with "
        "motion-transfer's command line is run once per slide.",
    ),
    option(
        STEADINESS,
        "--keys",
        daily=True,
        type=click.IntRange(1),
        metavar="K",
        default=DEFAULTS.keys,
        show_default=True,
        help="Let the model draw only every K-th slide, more where the film changes faster, and "
        "fill those between from these keys. Needs optical flow. The choice is saved in keys.json "
        "in the working folder.",
    ),
    option(
        STEADINESS,
        "--fill-only",
        is_flag=True,
        help="With --keys or --given: fill all other slides without the model, even where keys "
        "show too little of them.",
    ),
    option(
        STEADINESS,
        "--fill",
        type=Suggested(FOR_WINDOWS, files=True),
        metavar="WORKFLOW",
        default=DEFAULTS.fill,
        help="With --keys: have a model of video make the slides between two keys, all of them at "
        "once: a ComfyUI API file that makes windows of frames, or the name of a shipped one. "
        "--prompt, --negative-prompt, --seed and --picture apply to it where it takes them; --set "
        "does not.",
    ),
    option(
        STEADINESS,
        "--finish",
        type=Suggested(FOR_WINDOWS, files=True),
        metavar="WORKFLOW",
        multiple=True,
        help="Finish the slides once they are drawn: a model of video restores, smooths or "
        "enlarges windows of them, which are blended where they overlap: a ComfyUI API file that "
        "makes windows of frames, or the name of a shipped one. Repeat the option for several, one "
        "after the other. The slides as drawn stay in the working folder. Prompts, seed and "
        "pictures apply as with --fill.",
    ),
    option(
        STYLE,
        "--given",
        type=AnyPath(file_okay=False),
        metavar="DIR",
        help="Use your own pictures as slides, called as the frames that they show "
        "(DIR/000123.png): scenes start from them. With --fill-only, all other slides are filled "
        "from them, and no server is needed.",
    ),
    option(
        STYLE,
        "--only",
        type=AnyPath(),
        metavar="DIR|FILM",
        help="Restyle only a part of the picture: the white part of a mask for each frame, in a "
        "folder of numbered pictures, or a film. The rest stays as the frames are.",
    ),
    option(
        STYLE,
        "--only-not",
        type=AnyPath(),
        metavar="DIR|FILM",
        help="The same, but the black part is restyled.",
    ),
    option(
        STEADINESS,
        "--scene-threshold",
        type=Number(0, 100),
        metavar="NUMBER",
        default=DEFAULTS.scene_threshold,
        show_default=True,
        help="How different two frames must be for a cut (FFmpeg's scdet). Scenes are saved in "
        "scenes.json in the working folder; remove it to detect them again.",
    ),
    option(
        IN_OUT,
        "--rate",
        type=Rate(),
        metavar="RATE",
        help="Frames per second of a SOURCE folder when TARGET is a film.  "
        f"[default: {DEFAULT_RATE}]",
    ),
    option(
        IN_OUT,
        "--video-codec",
        type=click.Choice(VIDEO_CODECS),
        help="Codec of a TARGET film. prores is ProRes 422 HQ (.mov, .mkv), ffv1 is lossless "
        "(.mkv).  [default: h264; for .webm VP9]",
    ),
    option(
        IN_OUT,
        "--crf",
        type=click.IntRange(0, CRF_MOST),
        metavar="N",
        help="Quality of a TARGET film: lower is better and larger.  [default: 16; for av1 12, for "
        "VP9 14]",
    ),
    option(
        IN_OUT,
        "--work",
        type=AnyPath(file_okay=False),
        metavar="DIR",
        help="Working folder.  [default: interp next to a TARGET folder, NAME.restyle next to a "
        "film]",
    ),
    option(
        IN_OUT,
        "--save-interp",
        is_flag=True,
        help="Keep warped pictures, masks and guides in the working folder.",
    ),
    option(
        IN_OUT,
        "--keep-frames",
        is_flag=True,
        help="Export the frames of a film to the working folder, and leave them there.",
    ),
    config_option,
    option(
        SERVERS,
        "--dask",
        metavar="ADDRESS|local[:N]",
        default=DEFAULTS.dask,
        help="Draw on the workers of a Dask cluster, such as tcp://HOST:8786. local starts N "
        "workers on this machine, to try it. localhost in --backend then means each worker's own.",
    ),
)


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Decorate a function with all arguments and options."""
    for each in reversed((*SETTINGS, *ACTIONS)):
        function = each(function)
    return function


def split_backends(backends: str) -> list[str]:
    """Split a list of backends at its commas; a comma may also be part of a URL."""
    following = r"\s*(?:preview\b|[\w+-]+://|[\w.-]+:\d+(?:[/,]|$))"
    return [each.strip() for each in re.split(f",(?={following})", backends)]
