"""Write the film of a run: its parts while slides are drawn, and the film at the end."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread

from stable_restyle.core.errors import ProgramFailed, RestyleError
from stable_restyle.core.film_threads import named
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.progress import LockCheckedProgress, task
from stable_restyle.core.settings import Settings
from stable_restyle.media import parts, sequence
from stable_restyle.media.containers import Encoding
from stable_restyle.media.frames import Frames
from stable_restyle.media.join import join_slides, joining
from stable_restyle.media.parts import FilmParts
from stable_restyle.media.png import Header
from stable_restyle.media.probe import Film
from stable_restyle.run import prepare
from stable_restyle.run.inputs import encoding
from stable_restyle.workdir import owner
from stable_restyle.workdir.layout import RunPaths

PAUSE_S = 1.0  # between two looks at the folder of slides, at least
PAUSES = 50  # times as long as a look takes: folders of long films are large

log = logging.getLogger(__name__)


class _Stopped(Exception):
    """The run has ended early."""


@dataclass
class FilmWriter:
    """Writes the film of a run. Slides are shown as they are when `finish` is called."""

    source: Film | Frames
    paths: RunPaths
    target: Path
    rate: Fraction  # slides a second
    encoding: Encoding
    _drawn: Event = field(default_factory=Event)  # all slides are finished, or the run has ended
    _ended: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Start to write each part whose slides are finished, in a thread of low priority."""
        if self.encoding.container.holds_tracks:
            name = named("write the film")
            self._thread = Thread(target=self._write_parts, name=name, daemon=True)
            self._thread.start()

    def finish(self, count: int, progress: LockCheckedProgress) -> None:
        """Write what is missing of the film; all of its `count` slides are finished.

        Raises RestyleError.
        """

        def on_whole(made: Path) -> None:
            progress.check()
            owner.claim_result(self.paths, made)

        source = self.source
        with task(progress, "Joining", count, "slide"):
            self._drawn.set()
            while self._thread and self._thread.is_alive():
                self._thread.join(TICK_S)
                progress.advance(0)
            join_slides(
                self.paths.shown,
                count,
                self.rate,
                self.target,
                source if isinstance(source, Film) and not source.webp_places else None,
                progress.advance,
                self.encoding,
                on_whole,
                owner.maker(self.paths),
                self.paths.parts,
            )

    def stop(self) -> None:
        """Write nothing more, and wait until nothing is written."""
        self._ended.set()
        self._drawn.set()
        if self._thread:
            self._thread.join()

    def _write_parts(self) -> None:
        film = FilmParts(
            self.paths.shown,
            self.paths.parts,
            self.rate,
            self.encoding,
            joining(self.target),
            owner.maker(self.paths),
        )
        try:
            self._write_finished(film)
        except _Stopped:
            pass
        except (RestyleError, OSError) as error:
            log.warning(
                "%s is not written while slides are drawn, but at the end: %s",
                self.target,
                str(error).partition("\n")[0],
            )

    def _write_finished(self, film: FilmParts) -> None:
        size = (0, 0)  # of the largest slide so far
        written: set[int] = set()
        pause_s = 0.0
        while not self._drawn.wait(pause_s):
            began = time.monotonic()
            finished = Counter(
                slide // parts.LENGTH for slide in sequence.indices(self.paths.shown)
            )
            pause_s = max(PAUSE_S, PAUSES * (time.monotonic() - began))
            whole = {part for part, slides in finished.items() if slides == parts.LENGTH}
            for part in sorted(whole - written):
                if self._drawn.is_set():
                    return
                slides = range(part * parts.LENGTH, (part + 1) * parts.LENGTH)
                headers = parts.read_headers(film.slides, slides)
                if None not in headers:
                    size = max(size, parts.film_size(headers))
                    if self._write(film, slides, headers, size):
                        written.add(part)

    def _write(
        self,
        film: FilmParts,
        slides: range,
        headers: Sequence[Header | None],
        size: tuple[int, int],
    ) -> bool:
        """Write a part; return False if its slides have been removed or replaced meanwhile."""
        try:
            film.write(slides, headers, size, self._check, last=True)
        except ProgramFailed:
            if parts.read_headers(film.slides, slides) == headers:
                raise
            return False
        return True

    def _check(self, _: int) -> None:
        if self._ended.is_set():
            raise _Stopped


@contextmanager
def writing(
    source: Film | Frames, paths: RunPaths, settings: Settings
) -> Iterator[FilmWriter | None]:
    """Yield what writes the film of a run, and works until the context ends.

    None if TARGET is a folder.
    """
    its_encoding = encoding(settings, paths)
    if paths.result is None or its_encoding is None:
        yield None
        return
    rate = prepare.frame_rate(source, settings.rate) / settings.frames_per_slide
    writer = FilmWriter(source, paths, paths.result, rate, its_encoding)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
