"""Find the frames of a film: they are read from it as they are wanted, or exported to a folder.

They are exported where the film cannot be sought exactly, and with --keep-frames; and those that an
earlier run exported are used. To read them from the film, it is looked through once, which tells
its scenes as well; these can be drawn as they are found.
"""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.parallel import map_in_order
from stable_restyle.core.progress import Progress, task
from stable_restyle.media import convert, ffmpeg, film_frames, scratch, seeking, sequence
from stable_restyle.media.film_frames import FilmFrames
from stable_restyle.media.frames import Frames
from stable_restyle.media.marking import MARK_DIGITS, Marked, NotSought, look_through
from stable_restyle.media.probe import Film
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.media.split import check_disk, split_film
from stable_restyle.plan import scenes
from stable_restyle.workdir import frames_file, input_file
from stable_restyle.workdir.frames_file import DecodedFilm
from stable_restyle.workdir.layout import RunPaths

# Seconds from one time that scenes are handed over to the next, for each frame known by then: what
# is written for that grows with the film.
_PAUSE_S = 1e-4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The frames and scenes of a run, as far as they are known."""

    frames: Frames
    bounds: Sequence[int]  # of the scenes that can be drawn
    looked_at: int  # frames
    is_whole: bool


def known_frames(
    film: Film,
    digest: str,
    paths: RunPaths,
    frames_per_slide: int,
    progress: Progress,
    *,
    keep: bool,
) -> FilmFrames | FrameFolder | None:
    """Return the frames of a film that an earlier run has exported or noted; None without.

    digest: of the film. keep: --keep-frames. Raises NotSought if the frames are to be exported and
    are not, UnusableInput if the disk is too full for slides.
    """
    tidy(paths.frames, ".part")
    tidy(paths.interp / scratch.PREFIX)
    if paths.frames.exists():
        return _exported(paths, progress)
    if keep or _were_exported(paths):
        raise NotSought("")
    check_disk(film, paths.frames, frames_per_slide, exported=False)
    if why_not := seeking.why_not_sought(film):
        raise NotSought(why_not)
    noted = _noted(paths.frames_file, film, digest)
    return None if noted is None else _frames(film, noted, paths)


def export(
    film: Film,
    paths: RunPaths,
    threshold: float,
    frames_per_slide: int,
    progress: Progress,
    why: str,
) -> FrameFolder:
    """Export the frames of a film; cuts go to scenes.json.

    threshold: of scene detection, 0..100. why: they are not read from the film, unless empty.
    """
    if why:
        log.info(
            "The frames of %s are exported to %s, since they cannot be found exactly by "
            "seeking: %s.",
            *(film.path.name, paths.frames, why),
        )
    check_disk(film, paths.frames, frames_per_slide, exported=True)
    with files.made_whole(paths.frames) as part:
        with task(progress, "Splitting", film.frames, "frame"):
            cuts = split_film(film, part, threshold, progress.advance)
            count = sequence.find_frames(part).count
        _note_cuts(paths, cuts, count)
    return _exported(paths, progress)


def why_whole(film: Film, digest: str, paths: RunPaths, left: RunPaths) -> str:
    """Return why scenes cannot be drawn before all are found; empty if they can.

    left: the paths as the last run left them.
    """
    for path in (paths.scenes_file, paths.keys_file):
        if path.exists():
            return f"{path.name} is there already"
    noted = looked(film, digest, paths)
    marks, bounds = input_file.frame_marks(paths), input_file.bounds(paths)
    known = noted is not None and (
        marks == list(noted.marks[: len(marks)]) and bounds == [0, *noted.cuts][: len(bounds)]
    )
    if not known and (marks or sequence.numbered(left.slides) or sequence.numbered(left.answers)):
        return "there are slides of an earlier run"
    return ""


def look(
    film: Film, digest: str, paths: RunPaths, threshold: float, *, whole: bool
) -> Iterator[Found]:
    """Look through a film; yield what is known of its frames and scenes, at the end all of it.

    What an earlier run found is not looked at again. Cuts go to scenes.json at the end. whole:
    whether there are scenes to draw at the end only. Raises NotSought.
    """
    noted = looked(film, digest, paths) or DecodedFilm(
        digest, _version(film), film.width, film.height, [], []
    )
    known, bounds = Marked(list(noted.marks), list(noted.cuts)), [0]
    frames = replace(_frames(film, noted, paths), marks=known.marks, bounds=bounds)
    places = film_frames.trials(film.frames)[:-1]
    due = 0.0  # time.monotonic()
    if not whole:
        bounds += known.cuts
    yield Found(frames, tuple(bounds), len(known.marks), is_whole=False)
    for _ in look_through(film, threshold, known):
        while places and places[0].stop <= len(known.marks):
            _check_exact(frames, places.pop(0))
        cuts = [cut for cut in known.cuts if cut <= len(known.marks)]
        if not whole and len(cuts) >= len(bounds) and time.monotonic() >= due:
            frames_file.write(
                paths.looking_file, replace(noted, marks=known.marks[: cuts[-1]], cuts=cuts)
            )
            bounds += cuts[len(bounds) - 1 :]
            due = time.monotonic() + _PAUSE_S * len(known.marks)
        yield Found(frames, tuple(bounds), len(known.marks), is_whole=False)
    count = len(known.marks)
    _check_exact(frames, film_frames.trials(count)[-1])
    _note_cuts(paths, known.cuts, count)
    frames_file.write(paths.frames_file, replace(noted, marks=known.marks, cuts=known.cuts))
    files.remove_all(paths.interp, [paths.looking_file.name])
    bounds += scenes.boundaries(known.cuts, count)[len(bounds) :]
    yield Found(frames, tuple(bounds), count, is_whole=True)


def as_noted(source: Path, paths: RunPaths) -> FilmFrames | None:
    """Return the frames of a film as its run noted them; None without a note. Decode nothing."""
    noted = frames_file.read(paths.frames_file)
    return None if noted is None else _frames(source, noted, paths)


def as_looked(source: Path, paths: RunPaths) -> FilmFrames | None:
    """Return the frames of a film that is being looked through, as far as that is noted."""
    noted = frames_file.read(paths.looking_file)
    return None if noted is None else _frames(source, noted, paths)


def tidy(folder: Path, ending: str = "") -> None:
    """Remove what a killed run has left: the folders whose names begin with this one and an ending.

    Its FFmpeg may still be at work there, and put new files beside those that are removed: then the
    next run tidies up, and this one writes into a folder of another name.
    """
    for part in folder.parent.glob(f"{glob.escape(folder.name)}{ending}*"):
        with suppress(OSError):
            files.remove_tree(part)


def looked(film: Film, digest: str, paths: RunPaths) -> DecodedFilm | None:
    """Return what an earlier run found of a film before it was stopped; None without."""
    return _noted(paths.looking_file, film, digest)


def _noted(path: Path, film: Film, digest: str) -> DecodedFilm | None:
    """Return what was noted of this film with this FFmpeg; None without."""
    noted = frames_file.read(path)
    if noted is None or (noted.film_sha256, noted.ffmpeg) != (digest, _version(film)):
        return None
    return noted


def _version(film: Film) -> str:
    return ffmpeg.version(convert.program(film, f"Reading {film.path.name}"))


def _check_exact(frames: FilmFrames, wanted: range) -> None:
    """Raise NotSought if seeking does not find these frames."""
    if not frames.finds(wanted):
        raise NotSought("some are decoded differently then")


def _frames(source: Film | Path, decoded: DecodedFilm, paths: RunPaths) -> FilmFrames:
    return FilmFrames(
        source=source,
        width=decoded.width,
        height=decoded.height,
        marks=decoded.marks,
        bounds=scenes.boundaries(decoded.cuts, len(decoded.marks)),
        scratch=paths.interp.absolute(),
    )


def _note_cuts(paths: RunPaths, cuts: Sequence[int], count: int) -> None:
    """Write scenes.json unless there is one."""
    if not paths.scenes_file.exists():
        scenes.write_boundaries(paths.scenes_file, scenes.boundaries(cuts, count))


def _were_exported(paths: RunPaths) -> bool:
    """Return whether slides were made from exported frames, which have other marks."""
    return any(len(mark) != MARK_DIGITS for mark in input_file.frame_marks(paths)[:1])


def _exported(paths: RunPaths, progress: Progress) -> FrameFolder:
    """Return exported frames.

    If slides were made from frames that were read from the film, note that they were made from
    these, which are the same. In a film that is damaged they may differ: they are compared.
    """
    found = sequence.find_frames(paths.frames)
    was = input_file.frame_marks(paths)
    for path in (paths.frames_file, paths.looking_file):
        noted = frames_file.read(path)
        if not was or noted is None or was != list(noted.marks[: len(was)]):
            continue
        marks = list(found.marks[: len(was)])
        if path == paths.looking_file:
            with task(progress, "Comparing frames", len(was), "frame"):
                same = map_in_order(
                    lambda index: film_frames.mark(found.read(index)) == was[index],
                    range(min(len(was), found.count)),
                    progress.advance,
                )
                marks = [
                    new if is_same else old
                    for old, new, is_same in zip(was, marks, same, strict=False)
                ]
        input_file.replace_frame_marks(paths, marks + was[len(marks) :])
    files.remove_all(paths.interp, [paths.looking_file.name])
    return found
