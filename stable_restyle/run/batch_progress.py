"""Show the progress of several films as one task.

Each film reports from its own thread. The main thread polls a few times a second and shows all
films that are being drawn as one task, or if none is, the task of the first film. The progress also
shows whether backends have room for another film.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Event

from stable_restyle.core.progress import COMPOSING, DRAWING, Progress

# Without a cluster: one that ends, and one that begins. More would need more memory.
DRAWN_AT_ONCE = 2


class Stopped(BaseException):
    """All films must end now."""


@dataclass(frozen=True)
class _At:
    """The state of a film's task."""

    task: str
    total: int
    done: int
    unit: str


class FilmProgress:
    """The Progress of one film, called in its thread. Raises Stopped once all films must end."""

    def __init__(self, over: Event) -> None:
        self.at: _At | None = None  # None between two tasks; replaced as a whole
        self.is_begun = False  # whether drawing has started
        self.needs_backends = True  # until drawing has ended
        self.dry = Event()  # set while there is less to draw than its backends take
        self.text = ""  # the remark
        self._over = over

    def begin(self, task: str, total: int, done: int, unit: str) -> None:
        self._check()
        self.at = _At(task, total, done, unit)
        self.is_begun |= task == DRAWING
        self.needs_backends &= task != COMPOSING

    def advance(self, count: int) -> None:
        self._check()
        assert self.at is not None
        self.at = replace(self.at, done=self.at.done + count)

    def remark(self, text: str) -> None:
        self._check()
        self.text = text

    def end(self) -> None:
        self.needs_backends &= self.at is None or self.at.task != DRAWING
        self.at = None

    def _check(self) -> None:
        if self._over.is_set():
            raise Stopped


class BatchProgress:
    """The progress of all running films. Called in the main thread only."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lanes: list[FilmProgress] = []
        self._over = Event()
        # The task that is shown, and its films with their totals.
        self._shown: tuple[str, list[tuple[FilmProgress, int]]] | None = None
        self._done = 0  # as shown

    def add(self) -> FilmProgress:
        """Add a film that starts."""
        self._lanes.append(FilmProgress(self._over))
        return self._lanes[-1]

    def remove(self, lane: FilmProgress) -> None:
        """Remove a film that has ended."""
        self._lanes.remove(lane)

    def are_all_begun(self) -> bool:
        """Return whether the drawing of every film has started."""
        return all(lane.is_begun for lane in self._lanes)

    def have_room(self) -> bool:
        """Return whether backends that films use one after the other have room for another one.

        That is so where one film is drawn, and leaves backends idle.
        """
        drawn = [lane for lane in self._lanes if lane.needs_backends]
        return len(drawn) < DRAWN_AT_ONCE and all(lane.dry.is_set() for lane in drawn)

    def show(self) -> None:
        """Show the progress of the films."""
        every = [(lane, at) for lane in self._lanes if (at := lane.at)]
        if not every:
            self._clear()
            return
        first = min((at for _, at in every), key=lambda at: at.task != DRAWING)
        same = [(lane, at) for lane, at in every if at.task == first.task]
        first_lane, _ = same[0]
        shown = first.task, [(lane, at.total) for lane, at in same]
        done = sum(at.done for _, at in same)
        if shown == self._shown:
            self._progress.advance(done - self._done)
        else:
            self._clear()
            task = f"{first.task} {len(same)} films" if len(same) > 1 else first.task
            self._progress.begin(task, sum(at.total for _, at in same), done, first.unit)
        self._progress.remark(first_lane.text if len(same) == 1 else "")  # there is room for one
        self._shown, self._done = shown, done

    def stop(self) -> None:
        """Make every film end at its next tick."""
        self._over.set()
        self._clear()

    def _clear(self) -> None:
        if self._shown:
            self._progress.end()
        self._shown = None
