"""Find the frames of a film: they are read from it as they are wanted, or exported to a folder.

They are exported where the film cannot be sought exactly, and with --keep-frames; and those that an
earlier run exported are used.
"""

from __future__ import annotations

import glob
import logging
from contextlib import suppress
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.progress import Progress, task
from stable_restyle.media import convert, ffmpeg, film_frames, sequence
from stable_restyle.media.film_frames import FilmFrames
from stable_restyle.media.frames import Frames
from stable_restyle.media.probe import Film
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.media.split import check_disk, mark_film, split_film
from stable_restyle.plan import scenes
from stable_restyle.workdir import frames_file, input_file
from stable_restyle.workdir.frames_file import DecodedFilm
from stable_restyle.workdir.layout import RunPaths

log = logging.getLogger(__name__)


def frames_of(
    film: Film,
    digest: str,
    paths: RunPaths,
    threshold: float,
    frames_per_slide: int,
    progress: Progress,
    *,
    keep: bool,
) -> Frames:
    """Return the frames of a film, which is decoded once for that; cuts go to scenes.json.

    digest: of the film. threshold: of scene detection, 0..100. keep: --keep-frames.
    """
    tidy(paths.frames, ".part")
    tidy(paths.interp / film_frames.SCRATCH)
    if not paths.frames.exists():
        export = keep or _were_exported(paths)
        check_disk(film, paths.frames, frames_per_slide, exported=export)
        if not export:
            found = _to_be_sought(film, digest, paths, threshold, progress)
            if isinstance(found, FilmFrames):
                return found
            log.info(
                "The frames of %s are exported to %s, since they cannot be found exactly by "
                "seeking: %s.",
                *(film.path.name, paths.frames, found),
            )
            check_disk(film, paths.frames, frames_per_slide, exported=True)
        _export(film, paths, threshold, progress)
    exported = sequence.find_frames(paths.frames)
    _take_over(exported, paths)
    return exported


def as_noted(source: Path, paths: RunPaths) -> FilmFrames | None:
    """Return the frames of a film as its run noted them; None without a note. Decode nothing."""
    noted = frames_file.read(paths)
    return None if noted is None else _frames(source, noted, paths)


def tidy(folder: Path, ending: str = "") -> None:
    """Remove what a killed run has left: the folders whose names begin with this one and an ending.

    Its FFmpeg may still be at work there, and put new files beside those that are removed: then the
    next run tidies up, and this one writes into a folder of another name.
    """
    for part in folder.parent.glob(f"{glob.escape(folder.name)}{ending}*"):
        with suppress(OSError):
            files.remove_tree(part)


def _to_be_sought(
    film: Film, digest: str, paths: RunPaths, threshold: float, progress: Progress
) -> FilmFrames | str:
    """Return the frames of a film, or why they cannot be found exactly by seeking."""
    if why_not := film_frames.why_not_sought(film):
        return why_not
    version = ffmpeg.version(convert.program(film, f"Reading {film.path.name}"))
    noted = frames_file.read(paths)
    if noted is not None and (noted.film_sha256, noted.ffmpeg) == (digest, version):
        return _frames(film, noted, paths)
    with task(progress, "Finding scenes", film.frames, "frame"):
        marked = mark_film(film, threshold, progress.advance)
    if marked is None:
        return "the film is damaged, or its time stamps are wrong"
    marks, cuts = marked
    decoded = DecodedFilm(digest, version, film.width, film.height, cuts, marks)
    found = _frames(film, decoded, paths)
    if not film_frames.is_exact(found):
        return "some are decoded differently then"
    _note_cuts(paths, cuts, len(marks))
    frames_file.write(paths, decoded)
    return found


def _frames(source: Film | Path, decoded: DecodedFilm, paths: RunPaths) -> FilmFrames:
    count = len(decoded.marks)
    return FilmFrames(
        source=source,
        width=decoded.width,
        height=decoded.height,
        count=count,
        marks=decoded.marks,
        bounds=scenes.boundaries(decoded.cuts, count),
        scratch=paths.interp,
    )


def _export(film: Film, paths: RunPaths, threshold: float, progress: Progress) -> None:
    with files.made_whole(paths.frames) as part:
        with task(progress, "Splitting", film.frames, "frame"):
            cuts = split_film(film, part, threshold, progress.advance)
            count = sequence.find_frames(part).count
        _note_cuts(paths, cuts, count)


def _note_cuts(paths: RunPaths, cuts: list[int], count: int) -> None:
    """Write scenes.json unless there is one."""
    if not paths.scenes_file.exists():
        scenes.write_boundaries(paths.scenes_file, scenes.boundaries(cuts, count))


def _were_exported(paths: RunPaths) -> bool:
    """Return whether slides were made from exported frames, which have other marks."""
    return any(len(mark) != film_frames.MARK_DIGITS for mark in input_file.frame_marks(paths)[:1])


def _take_over(exported: FrameFolder, paths: RunPaths) -> None:
    """Note that slides made from the frames of a film were made from these, which are the same."""
    noted = frames_file.read(paths)
    if noted is not None and input_file.frame_marks(paths) == list(noted.marks):
        input_file.replace_frame_marks(paths, exported.marks)
