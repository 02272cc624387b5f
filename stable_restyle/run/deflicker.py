"""Finish the slides of a run: keep drawn and finished slides apart, and make the latter.

Chains continue from slides as they were drawn. With `--deflicker` or `--only`, these are in the
working folder, and TARGET has those that are averaged, or composed with their frames; without
either, TARGET has the drawn ones. TARGET's slides are not the drawn ones as long as
`deflicker.json` exists. Each step can be interrupted at any moment and repeated. How slides are
averaged and composed is left to `imaging.compose` and `imaging.subject`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.cache import LRUCache
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.parallel import cores, map_in_order
from stable_restyle.core.records import Pixels, Scene
from stable_restyle.drawing.slide import pairs_between
from stable_restyle.drawing.subject import SubjectMasks
from stable_restyle.imaging import arrays, compose, optical_flow, subject
from stable_restyle.imaging.optical_flow import FlowEstimate
from stable_restyle.media import png, sequence
from stable_restyle.media.frames import Frames
from stable_restyle.media.naming import OWN, Naming
from stable_restyle.workdir import owner, settings_file
from stable_restyle.workdir.layout import RunPaths

WIDTH = 2 / 3  # of the reach: sigma of the weights


def as_left(paths: RunPaths) -> RunPaths:
    """Return the paths with `slides` as the folder where the last run left its drawn slides."""
    return replace(paths, slides=paths.drawn if paths.deflicker_file.exists() else paths.shown)


def finish_move(paths: RunPaths) -> None:
    """Move all drawn slides into TARGET if a move of them was stopped."""
    if not paths.deflicker_file.exists():
        sequence.move(paths.drawn, paths.shown)


def settle(paths: RunPaths, reach: int, bounds: Sequence[int], masks: SubjectMasks | None) -> None:
    """Move the drawn slides to this run's folder for them; discard outdated finished ones.

    reach: --deflicker. bounds: of the scenes. masks: of --only.
    """
    path = paths.deflicker_file
    # Slides that were averaged before there was "detail" are softer, and are made again.
    made: dict[str, object] = {"slides": reach, "scenes": list(bounds)} | (
        {"detail": True} if reach else {}
    )
    if masks:
        folder = owner.path_from(paths.interp, masks.folder)
        made |= {"only": folder, "inverted": masks.inverted}
        if masks.names != OWN:
            made["names"] = list(astuple(masks.names))
    wanted = json.dumps(made).encode()
    two_kinds = reach or masks
    if path.exists() and (not two_kinds or _read(path) != wanted):
        files.remove_all(paths.shown, sequence.numbered(paths.shown))
    if two_kinds and not path.exists():
        sequence.move(paths.shown, paths.drawn)
    if two_kinds:
        files.write_whole(path, wanted)
    else:
        files.remove_all(paths.interp, [path.name])
        sequence.move(paths.drawn, paths.shown)
        with suppress(OSError):  # it does not exist, or holds other files
            files.remove_empty(paths.drawn)


def _read(path: Path) -> bytes:
    """Return the bytes of a file; none if it cannot be read, and so is written again."""
    with suppress(OSError):
        return path.read_bytes()
    return b""


def masks_of(paths: RunPaths) -> SubjectMasks | None:
    """Return the masks that the slides in TARGET were composed with; None without."""
    try:
        made = files.read_json(paths.deflicker_file, settings_file.as_object, "")
    except UnusableInput:
        return None
    folder = made.get("only")
    if not isinstance(folder, str):
        return None
    names = made.get("names")
    return SubjectMasks(
        paths.interp.absolute() / folder,
        bool(made.get("inverted")),
        Naming(*names) if isinstance(names, list) else OWN,
    )


def discard(paths: RunPaths, found: Sequence[Scene], missing: Collection[int], reach: int) -> None:
    """Remove the deflickered slides that depend on slides about to be drawn.

    missing: the slides that are not drawn.
    """
    outdated = [
        sequence.name(slide)
        for scene in found
        for slide in scene.slides
        if any(near in missing for near in _window(scene, slide, reach))
    ]
    files.remove_all(paths.shown, outdated)


def smooth(
    paths: RunPaths,
    found: Sequence[Scene],
    finished: Collection[int],
    frames: Frames,
    frames_per_slide: int,
    reach: int,
    masks: SubjectMasks | None,
    tick: Callable[[int], None],
) -> None:
    """Write the finished slides that are missing, on all cores. All slides are drawn.

    finished: those that exist. reach: --deflicker; 0 averages nothing. masks: of --only; outside of
    the subject, slides are their frames. tick: called in this thread with the number of slides just
    made, twice a second at least.
    """
    cached = 2 * reach + cores()
    frame_of = LRUCache(lambda slide: frames.read(slide * frames_per_slide), cached)
    slide_of = LRUCache(lambda slide: png.read(paths.drawn / sequence.name(slide)), cached)
    pair_from = LRUCache(  # to the next slide
        lambda slide: optical_flow.estimate_pair(
            frame_of.get(slide), frame_of.get(slide + 1), fast=True
        ),
        cached,
    )

    def neighbour(drawn: Pixels, slide: int, near: int) -> tuple[Pixels, FlowEstimate, int]:
        pairs = pairs_between(pair_from.get, slide, near)
        estimate = optical_flow.estimate_along(
            frame_of.get(near), frame_of.get(slide), pairs, fast=True
        )
        height, width = drawn.shape[:2]
        return arrays.fit(slide_of.get(near), width, height), estimate, abs(near - slide)

    def make(place: tuple[Scene, int]) -> None:
        scene, slide = place
        drawn = picture = slide_of.get(slide)
        if reach and slide not in scene.given:
            window = _window(scene, slide, reach)
            neighbours = [neighbour(drawn, slide, near) for near in window if near != slide]
            picture = compose.deflicker(drawn, neighbours, WIDTH * reach)
        if masks:
            share = subject.share(masks.read(slide * frames_per_slide))
            picture = subject.compose(picture, frame_of.get(slide), share)
        png.write(paths.shown / sequence.name(slide), picture)

    todo = ((scene, slide) for scene in found for slide in scene.slides if slide not in finished)
    for _ in map_in_order(make, todo, tick):
        pass


def _window(scene: Scene, slide: int, reach: int) -> range:
    return range(max(slide - reach, scene.slides.start), min(slide + reach + 1, scene.slides.stop))
