"""Find the frames, scenes and keys of SOURCE once, and save them in the working folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput, WrongUsage, counted
from stable_restyle.core.progress import Progress, task
from stable_restyle.core.records import Keys, Scene, StepKind
from stable_restyle.core.settings import DEFAULT_RATE
from stable_restyle.media import naming, pictures, sequence
from stable_restyle.media.frames import Frames, reading
from stable_restyle.media.naming import OWN
from stable_restyle.media.probe import Film, probe_film
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.media.split import detect_cuts, detect_film_cuts, split_film
from stable_restyle.plan import keyframes, scenes, windows
from stable_restyle.run import film_source
from stable_restyle.run.film_source import Found
from stable_restyle.workdir import settings_file
from stable_restyle.workdir.layout import RunPaths

FILM_NOTE = "film.json"  # in a folder of `split_once`: the film that was split there
_NO_CUTS = 100.0  # threshold of scene detection

log = logging.getLogger(__name__)


def look(paths: RunPaths, rate: Fraction | None, progress: Progress | None = None) -> Film | Frames:
    """Return the film, or the frames if SOURCE is a folder."""
    if paths.film is None:
        if rate is not None and paths.result is None:
            raise WrongUsage("--rate is for a TARGET that is a film; a folder of slides has none.")
        return existing_frames(paths, progress)
    if rate is not None:
        raise WrongUsage(f"--rate is for a folder of frames; {paths.film} has a rate of its own.")
    return probe_film(paths.film)


def existing_frames(paths: RunPaths, progress: Progress | None = None) -> Frames:
    """Return the frames that are there: the user's, or those of a film, which is not decoded.

    Raises UnusableInput.
    """
    if paths.film is not None:
        if paths.frames.exists():
            return sequence.find_frames(paths.frames)
        if (noted := film_source.as_noted(paths.film, paths)) is None:
            raise UnusableInput(
                f"{paths.film} has not been looked through yet: its run was stopped before that.\n"
                "Run the command again, without this option."
            )
        return noted
    return folder_frames(paths.frames, paths.pattern, progress)


def look_at(path: Path, what: str) -> Film | FrameFolder:
    """Return pictures of the user's for the frames: a folder, a pattern of names, or a film.

    what: they are, for messages. Raises UnusableInput.
    """
    folder, pattern = naming.located(path)
    return folder_frames(folder, pattern, what=what) if folder.is_dir() else probe_film(path)


def folder_frames(
    folder: Path, pattern: str, progress: Progress | None = None, what: str = "frames"
) -> FrameFolder:
    """Return the user's frames in a folder. pattern: names one of several sequences.

    what: they are, for messages. Raises UnusableInput.
    """
    names, count = naming.find(folder, pattern, what)
    if progress is None or names.ending == OWN.ending:  # of a PNG only the header is read
        return sequence.check_frames(folder, names, count)
    with task(progress, "Reading frames", count, "frame"):
        return sequence.check_frames(folder, names, count, progress.advance)


def frame_rate(source: Film | Frames, rate: Fraction | None) -> Fraction:
    """Return the frames per second. rate: of --rate, for a folder of frames."""
    return source.rate if isinstance(source, Film) else rate or DEFAULT_RATE


def unchecked_frames(paths: RunPaths) -> Frames | None:
    """Return the frames that a run has drawn from, by the first of them; None if there are none."""
    if paths.film is not None and not paths.frames.exists():
        return film_source.as_noted(paths.film, paths)
    found = OWN, len(sequence.numbered(paths.frames))
    names, count = naming.find(paths.frames, paths.pattern) if paths.film is None else found
    if not count:
        return None
    width, height = pictures.read_header(paths.frames / names.name(0)).size
    return FrameFolder(paths.frames, count, width, height, (), names)


def has_frames(paths: RunPaths) -> bool:
    """Return whether `existing_frames` finds any."""
    return paths.frames.exists() or (paths.film is not None and paths.frames_file.exists())


def split_once(film: Film, folder: Path, what: str, progress: Progress) -> FrameFolder:
    """Return the pictures of a film besides SOURCE, split into a folder unless that is done.

    what: the name of the task, as progress shows it.
    """
    film_source.tidy(folder, ".part")
    if (found := found_split(film, folder)) is not None:
        return found
    files.remove_folder(folder)
    with files.made_whole(folder) as part, task(progress, what, film.frames, "frame"):
        split_film(film, part, _NO_CUTS, progress.advance)
        files.write_json(part / FILM_NOTE, settings_file.unread_marks(film.path))
    return sequence.find_frames(folder)


def found_split(film: Film, folder: Path) -> FrameFolder | None:
    """Return the pictures of this film if `split_once` has split it."""
    try:
        noted = files.read_json(folder / FILM_NOTE, settings_file.as_object, "")
    except UnusableInput:
        return None
    same = noted == settings_file.unread_marks(film.path)
    return sequence.find_frames(folder) if same else None


def boundaries(
    source: Film | Frames, frames: Frames, paths: RunPaths, threshold: float, progress: Progress
) -> Sequence[int]:
    """Return the scenes' boundaries: read from scenes.json, or detected and saved there."""
    if paths.scenes_file.exists():
        return _read_boundaries(paths, frames)
    exported = isinstance(source, Film) and paths.frames.exists()
    _, bounds = _find_boundaries(frames if exported else source, threshold, progress)
    scenes.write_boundaries(paths.scenes_file, bounds)
    return bounds


def _read_boundaries(paths: RunPaths, frames: Frames) -> Sequence[int]:
    log.debug("The scenes are those of %s.", paths.scenes_file)
    return scenes.read_boundaries(paths.scenes_file, frames.count)


def _find_boundaries(
    source: Film | Frames, threshold: float, progress: Progress
) -> tuple[int, Sequence[int]]:
    """Return the number of frames and the scenes' boundaries."""
    count = source.frames if isinstance(source, Film) else source.count
    with task(progress, "Finding scenes", count, "frame"):
        if isinstance(source, Film):
            count, cuts = detect_film_cuts(source, threshold, progress.advance)
        else:
            pictures = (source.read(index) for index in range(count))
            cuts = detect_cuts(pictures, threshold, progress.advance)
    return count, scenes.boundaries(cuts, count)


def foresee(
    source: Film | Frames, paths: RunPaths, threshold: float, progress: Progress
) -> tuple[int, Sequence[int]]:
    """Return the number of frames and the scenes' boundaries; write nothing."""
    known: Frames | None = None
    if not isinstance(source, Film):
        known = source
    elif has_frames(paths):
        known = existing_frames(paths)
    if known is not None and paths.scenes_file.exists():
        return known.count, scenes.read_boundaries(paths.scenes_file, known.count)
    exported = known is not None and paths.frames.exists()
    return _find_boundaries(known if known and exported else source, threshold, progress)


def find(
    source: Film | Frames,
    digest: str,
    paths: RunPaths,
    threshold: float,
    frames_per_slide: int,
    progress: Progress,
    *,
    keep: bool,
    whole: bool,
) -> Iterator[Found]:
    """Yield the frames and scenes of SOURCE, as far as they are known; the last time all of them.

    digest: of a film. keep: --keep-frames. whole: whether scenes are wanted only once all are
    known. Raises NotSought if the frames of a film have to be exported, see `film_source.export`.
    """
    frames: Frames | None
    if isinstance(source, Film):
        frames = film_source.known_frames(
            source, digest, paths, frames_per_slide, progress, keep=keep
        )
        if frames is None:
            for found in film_source.look(source, digest, paths, threshold, whole=whole):
                if found.is_whole and whole:  # scenes.json may have others
                    found = replace(found, bounds=_read_boundaries(paths, found.frames))
                yield found
            return
    else:
        frames = source
    bounds = boundaries(source, frames, paths, threshold, progress)
    yield Found(frames, bounds, frames.count, is_whole=True)


def choose_keys(
    frames: Frames,
    found: Sequence[Scene],
    paths: RunPaths,
    frames_per_slide: int,
    kind: keyframes.Kind | None,
    progress: Progress,
) -> Keys | None:
    """Return the slides that go to the model: read from keys.json, or chosen.

    kind: None if all slides go to the model; None is returned then.
    """
    if kind is None:
        return None
    if kind.given and kind.fill_only:
        return keyframes.given_only(found)
    slides = sum(len(scene.slides) for scene in found)
    chosen = _noted_keys(slides, paths, kind)
    if kind.longest:
        chosen = _keys_for_windows(found, chosen, kind.every, kind.longest)
    elif chosen is None:
        with reading(frames), task(progress, "Choosing keys", slides, "slide"):
            chosen = keyframes.choose(frames.read, found, frames_per_slide, kind, progress.advance)
    return chosen


def save_keys(
    chosen: Keys | None,
    found: Sequence[Scene],
    paths: RunPaths,
    kind: keyframes.Kind | None,
    *,
    drawn: bool,
) -> None:
    """Write keys.json, which people edit, if it does not hold the chosen keys; log how many.

    Not before the run is known to go on: one that is refused leaves the file as it is. drawn:
    whether --drawn has pictures in place of the model's.
    """
    if kind is None or chosen is None or (kind.given and kind.fill_only):
        return
    if _noted_keys(sum(len(scene.slides) for scene in found), paths, kind) is None:
        if chosen.windows:
            _tell_windows(found, chosen)
        else:
            what = "use their pictures" if drawn else "go to the model"
            _tell_keys(found, chosen, kind.every, what)
        keyframes.write(paths.keys_file, chosen, kind)


def _tell_keys(found: Sequence[Scene], chosen: Keys, every: int, what: str) -> None:
    """Log how many slides go to the model, and why. what: they do."""
    asked, fewest = (
        sum(step.uses_backend for step in scenes.all_steps(found, each))
        for each in (chosen, keyframes.at_least(found, every))
    )
    assisted = len(chosen.assisted)
    log.info(
        "%d of %s %s: %s at most %s apart, %d more where the film changes faster, %d "
        "because their keys show too little of them.",
        asked,
        counted(sum(len(scene.slides) for scene in found), "slide"),
        what,
        counted(fewest, "key"),
        counted(every, "slide"),
        asked - fewest - assisted,
        assisted,
    )


def foresee_keys(
    found: Sequence[Scene], paths: RunPaths, kind: keyframes.Kind | None
) -> Keys | None:
    """Return the chosen keys, or the fewest possible; None if all slides go to the model."""
    if kind is None:
        return None
    if kind.given and kind.fill_only:
        return keyframes.given_only(found)
    slides = sum(len(scene.slides) for scene in found)
    noted = _noted_keys(slides, paths, kind)
    if kind.longest:
        return _keys_for_windows(found, noted, kind.every, kind.longest)
    return noted or keyframes.at_least(found, kind.every)


def _keys_for_windows(found: Sequence[Scene], noted: Keys | None, every: int, longest: int) -> Keys:
    """Return keys for windows: those that were noted, or others at equal distances.

    A model of windows follows motion by itself, so that frames are not looked at. every: slides
    from one key to the next, at most. longest: slides of a window.
    """
    if noted is None:
        return windows.with_keys(found, Keys(frozenset(), frozenset()), min(every + 1, longest))
    return windows.with_keys(found, noted, longest)


def _tell_windows(found: Sequence[Scene], chosen: Keys) -> None:
    """Log how many keys and windows there are."""
    steps = list(windows.with_windows(scenes.all_steps(found, chosen)))
    made = [step.pictures for step in steps if step.pictures]
    keys = sum(step.is_slide and step.kind is not StepKind.FROM_WINDOW for step in steps)
    log.info(
        "%s, and between them %s for --fill, of %s at most, both keys included.",
        *(counted(keys, "key"), counted(len(made), "window")),
        counted(max(made, default=0), "slide"),
    )


def _noted_keys(slides: int, paths: RunPaths, kind: keyframes.Kind) -> Keys | None:
    """Return the keys of keys.json; None without one, or if it is of another kind."""
    return keyframes.from_file(paths.keys_file, slides, kind) if paths.keys_file.exists() else None
