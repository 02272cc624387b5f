"""Read and write settings.json: with which settings, and from which film, slides were made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias

from stable_restyle.core import files
from stable_restyle.core.errors import UnusableInput
from stable_restyle.core.progress import Progress, task
from stable_restyle.core.settings import FRAME, WARPED
from stable_restyle.workdir.layout import RunPaths

# What decides the pictures, under the names of settings.json.
SettingsSnapshot: TypeAlias = Mapping[str, object]
# In settings.json beside "film": no reason to refuse a run, but it saves reading the film again.
FILM_TIME = "film_mtime_ns"
TARGET = "target"  # in settings.json: the folder of slides, as seen from the one beside it
MADE_BY = "made_by"  # in settings.json and owner.json: whose slides these are
FILMS = "film_sizes"  # in settings.json: of films that this run made, or may overwrite, in bytes
SCENES = "set_in_scenes"  # in settings.json: the changes that scenes have to themselves
MASK_DECIDES = "mask_decides"  # in settings.json: whether pixels show one of two pictures
FILL = "fill"  # in settings.json: the workflow of --fill; input.json has its hash
FINISH = "finish"  # in settings.json: the workflows of --finish
GUIDE = "guide"  # in settings.json: what the model starts from
PICTURES = "pictures"  # in settings.json, as "drawn_by": those of --drawn
# In settings.json: what answers do not depend on, only the slides that are composed from them.
OF_COMPOSING = {
    "mask_strength",
    "mask_size",
    MASK_DECIDES,
    "anchor",
    "motion",
    "keys",
    "fill_only",
}
# What runs of earlier versions, whose settings.json does not name these, were made with.
UNNAMED: Mapping[str, object] = {
    MASK_DECIDES: False,
    GUIDE: WARPED,
    "middle_model": None,
    "middle_model_sha256": None,
    "prompt": None,
    "negative_prompt": None,
    "pictures": [],
    "only": None,
}
READ_AT_ONCE = 8 * 10**6  # bytes


def read(paths: RunPaths, *, fresh: bool = False) -> dict[str, object]:
    """Return the content of settings.json; empty if it is not there, or unreadable with `fresh`.

    Raises UnusableInput.
    """
    if not paths.settings_file.exists():
        return {}
    try:
        return files.read_json(
            paths.settings_file,
            as_object,
            "It says with which settings the slides were made. Remove it if you know that they "
            "were the same as now, or add --fresh to start over.",
        )
    except UnusableInput:
        if fresh:
            return {}
        raise


def as_object(tree: object) -> dict[str, object]:
    """Return what was read from a JSON file if it is an object, else an empty one."""
    return tree if isinstance(tree, dict) else {}


def write(paths: RunPaths, settings: Mapping[str, object]) -> None:
    """Write settings.json. Raises UnusableInput."""
    files.write_json(paths.settings_file, settings, indent=2)


def frames_per_slide(settings: Mapping[str, object]) -> int | None:
    """Return the frames per slide of the run that wrote settings.json; None if it does not say."""
    number = settings.get("fps")
    return number if type(number) is int and number > 0 else None


def film_marks(film: Path, paths: RunPaths, progress: Progress) -> SettingsSnapshot:
    """Return what identifies a film: its name, size, time and hash.

    Its content is read only if name, size or time differ from the earlier run's, and then in
    full: an edit in place may leave the size and most of the bytes as they were.
    """
    if (marks := known_marks(film, paths)) is None:
        marks = {**unread_marks(film), "film_sha256": _digest(film, progress)}
    return marks


def known_marks(film: Path, paths: RunPaths) -> SettingsSnapshot | None:
    """Return what the earlier run noted of a film; None if it may be another one by now."""
    seen = unread_marks(film)
    earlier = read(paths, fresh=True)
    if not earlier.get("film_sha256") or any(earlier.get(name) != seen[name] for name in seen):
        return None
    return {**seen, "film_sha256": earlier["film_sha256"]}


def unread_marks(film: Path) -> SettingsSnapshot:
    """Return what identifies a film without reading it."""
    found = film.stat()
    return {"film": f"{film.name}, {found.st_size} bytes", FILM_TIME: found.st_mtime_ns}


def differences(earlier: Mapping[str, object], now: SettingsSnapshot) -> list[str]:
    """Return a line for each setting that both name and that differs.

    A workflow and a film are compared by content where it is known.
    """
    earlier = {**UNNAMED, **earlier} if earlier else earlier
    differing = _differing(earlier, now)
    lines = []
    for name in differing:
        if name == MASK_DECIDES:
            if "mask_strength" in differing or GUIDE in differing:
                continue
            lines.append(
                "mask strength below 8: an earlier version showed a mixture of two pictures there, "
                "this one decides between them; only --fresh can go on"
            )
        elif (what := name.removesuffix("_sha256")) == name:
            then, here = in_words(earlier[name]), in_words(now[name])
            lines.append(f"{name.replace('_', ' ')}: {then} then, {here} now")
        elif what not in differing:
            lines.append(f"{what}: {in_words(now[what])} has other contents now")
    return lines


def composing_differs(earlier: Mapping[str, object], now: SettingsSnapshot) -> bool:
    """Return whether both runs have the same answers, and only compose their slides differently."""
    differing = _differing(earlier, now)
    both = earlier.get(GUIDE) == now.get(GUIDE) == FRAME
    return both and bool(differing) and OF_COMPOSING.issuperset(differing)


def _differing(earlier: Mapping[str, object], now: SettingsSnapshot) -> list[str]:
    """Return the names of the settings that both name and that differ.

    Not those of a workflow or a film with the same content, whatever its name and time are.
    """
    names = [name for name in now if name in earlier and earlier[name] != now[name]]

    def is_same(name: str) -> bool:
        hashed = f"{name}_sha256"
        return hashed in earlier and hashed in now and hashed not in names

    return [name for name in names if name != FILM_TIME and not is_same(name)]


def in_words(setting: object) -> str:
    """Return a value of settings.json in plain words."""
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    if setting is None or setting == []:
        return "none"
    if isinstance(setting, list):
        return ", ".join(map(str, setting))
    return re.sub(r"\d+(?= bytes$)", lambda digits: f"{int(digits[0]):,}", str(setting))


def _digest(film: Path, progress: Progress) -> str:
    """Return the SHA-256 of a film."""
    digest = sha256()
    size = film.stat().st_size
    with film.open("rb") as file, task(progress, "Reading film", _megabytes(size), "megabyte"):
        while block := file.read(READ_AT_ONCE):
            digest.update(block)
            progress.advance(_megabytes(len(block)))
    return digest.hexdigest()


def _megabytes(size: int) -> int:
    return -(-size // 10**6)
