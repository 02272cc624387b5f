"""Measure what `--mask-strength` does by flow: how steady and how sharp slides are from 0 to 8.

Clips and looks are those of `benchmarks.stability`, of each the first 14 frames; mask size and
anchor are flow's own, but motion is flow:fast. Codec's figures with its own mask stand beside them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

from benchmarks import stability
from benchmarks.chain import CODEC_METHOD, METHODS, Method, motions
from benchmarks.report import Figure, Report, command
from stable_restyle.backends.preview import engine as preview
from stable_restyle.core.records import Pixels

STRENGTHS = (8, 6, 4, 2, 1, 0)
FRAMES = 14


def measure(out: Path, small: bool) -> Report:
    """Draw every clip in both looks with every strength, and by codec."""
    frames = 4 if small else FRAMES
    clips = [clip[:frames] for clip in stability.scenes(small).values()]
    methods = {
        f"--mask-strength {each}": replace(METHODS["flow:fast"], mask_strength=each)
        for each in (STRENGTHS[-2:] if small else STRENGTHS)
    }
    figures = [
        figure
        for name, method in {**methods, "codec": CODEC_METHOD}.items()
        for figure in _figures(name, method, clips)
    ]
    title = f"Mask strength with {len(clips)} clips of {frames} frames in both looks"
    return Report("strength", title, figures)


def _figures(name: str, method: Method, clips: list[list[Pixels]]) -> tuple[Figure, Figure]:
    found = [
        stability.measured(clip, along, method, look)
        for clip in clips
        for along in [motions(clip, method)]
        for look in preview.LOOKS
    ]
    return (
        Figure(f"E_warp ratio to the input, {name}", fmean(each.e_warp_ratio for each in found)),
        Figure(f"sharpness, {name}", fmean(each.sharpness for each in found)),
    )


def main() -> None:
    command({"strength": measure}, __doc__)


if __name__ == "__main__":
    main()
