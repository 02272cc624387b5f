"""Restyle the films of a list: each begins when those before it leave backends idle.

The whole list is read and checked before any work. A film that fails does not stop the others;
finished films are skipped. The options of a line are parsed by `cli`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from stable_restyle.core import film_threads, shell
from stable_restyle.core.errors import (
    RestyleError,
    UnusableInput,
    WrongUsage,
    are,
    counted,
    from_system,
    reason,
)
from stable_restyle.core.parallel import TICK_S
from stable_restyle.core.progress import Progress
from stable_restyle.core.settings import Settings
from stable_restyle.run import pipeline, status, team
from stable_restyle.run.batch_progress import BatchProgress, FilmProgress
from stable_restyle.run.pipeline import Outcome
from stable_restyle.workdir.layout import identity

if TYPE_CHECKING:
    from stable_restyle.cluster.scheduler import DaskCluster

LINES_SHOWN = 20  # lines with faults that a message lists

# The settings of a film: its source, its target and its own options. Raises WrongUsage.
ParseLine: TypeAlias = Callable[[str, str, Sequence[str]], Settings]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A film of the list."""

    line: str  # "films.txt, line 3"
    settings: Settings


class FilmsMissing(RestyleError):
    """The batch ended, but some films are not finished."""

    def __init__(self, failures: Sequence[tuple[Entry, RestyleError]], films: int) -> None:
        """Take the exit code that all failures have in common, otherwise 1."""
        codes = {error.exit_code for _, error in failures}
        self.exit_code = codes.pop() if len(codes) == 1 else RestyleError.exit_code
        lines = (
            f"  {entry.line}, {entry.settings.target}: {_indented(error)}\n"
            for entry, error in failures
        )
        super().__init__(
            f"{len(failures)} of {counted(films, 'film')} {are(len(failures))} not finished:\n"
            f"{''.join(lines)}Fix this and run the command again; finished films are skipped."
        )


def read(path: Path, settle: ParseLine) -> list[Entry]:
    """Read a list of films. Nothing is written, and no server is asked.

    Raises UnusableInput if it cannot be read, WrongUsage naming every line that cannot be used.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else error
        raise UnusableInput(
            f"{path} cannot be read: {why}.\n"
            "It is a text file in UTF-8 with a line for each film: SOURCE TARGET -- OPTIONS."
        ) from error
    entries: list[Entry] = []
    faults: list[str] = []
    taken: dict[object, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name = f"{path}, line {number}"
        try:
            if found := words(line):
                settings = _settle(found, settle)
                _take(_written(settings), name, taken)
                entries.append(Entry(name, settings))
        except (RestyleError, OSError) as error:
            faults.append(f"{name}: {_indented(_as_restyle_error(error))}")
    if faults:
        more = len(faults) - LINES_SHOWN
        rest = f"\nand {counted(more, 'more line')}" if more > 0 else ""
        shown = "\n".join(faults[:LINES_SHOWN]) + rest
        raise WrongUsage(f"{shown}\nNothing was done. Correct the list and run the command again.")
    if not entries:
        raise WrongUsage(f"{path} names no film.\nWrite a line for each: SOURCE TARGET -- OPTIONS.")
    return entries


def run(entries: Sequence[Entry], progress: Progress, done: Callable[[Outcome], None]) -> None:
    """Restyle every film that is not finished yet. done: called for each one, in this thread.

    Either all films use the same cluster, or none uses one. Raises FilmsMissing at the end if some
    could not be finished.
    """
    batch = _Batch(entries, done)
    if (first := batch.take()) is not None:
        with _cluster(first.entry.settings) as cluster:
            _draw(batch, first, progress, cluster)
    if batch.failures:
        raise FilmsMissing(batch.failures, len(entries))


def _cluster(settings: Settings) -> AbstractContextManager[DaskCluster | None]:
    return team.reach(settings) if settings.dask else nullcontext()


@dataclass(frozen=True)
class _Turn:
    """A film that is not finished, and its number in the list, from 1."""

    number: int
    entry: Entry


class _Batch:
    """The films of a list, and the failures among them."""

    def __init__(self, entries: Sequence[Entry], done: Callable[[Outcome], None]) -> None:
        self.films = len(entries)
        self.failures: list[tuple[Entry, RestyleError]] = []
        self._done = done
        self._left = iter(enumerate(entries, 1))

    def take(self) -> _Turn | None:
        """Return the next film that is not finished; None after the last."""
        for number, entry in self._left:
            with self._ending(entry):
                if not status.is_finished(entry.settings):
                    return _Turn(number, entry)
                log.info(
                    "Film %d of %d: %s is finished.", number, self.films, entry.settings.target
                )
        return None

    def announce(self, turn: _Turn) -> None:
        """Log that a film begins."""
        source, target = turn.entry.settings.source, turn.entry.settings.target
        log.info("Film %d of %d: %s -> %s", turn.number, self.films, source, target)

    def end(self, entry: Entry, run: Callable[[], Outcome]) -> None:
        """Run a film and record its failure. Raise errors that users cannot fix."""
        with self._ending(entry):
            self._done(run())

    @contextmanager
    def _ending(self, entry: Entry) -> Iterator[None]:
        try:
            yield
        except (RestyleError, OSError) as error:
            explained = _as_restyle_error(error)
            self.failures.append((entry, explained))
            first = str(explained).partition("\n")[0]
            log.warning("%s is not finished: %s", entry.settings.target, first)


def _draw(batch: _Batch, first: _Turn, progress: Progress, cluster: DaskCluster | None) -> None:
    """Start each film when the previous ones no longer have work for all backends."""
    films = BatchProgress(progress)
    running: dict[Future[Outcome], tuple[Entry, FilmProgress]] = {}

    def has_room(entry: Entry) -> bool:
        if cluster is not None:
            return films.are_all_begun() and cluster.wants_more()
        if any(each.settings.finish for each, _ in running.values()):
            return False  # its windows come after its slides, and load another model
        drawn = [each for each, lane in running.values() if lane.needs_backends]
        return films.have_room() and all(_same_models(entry, each) for each in drawn)

    turn: _Turn | None = first
    with ThreadPoolExecutor(batch.films) as threads:
        try:
            while turn or running:
                if turn and (not running or has_room(turn.entry)):
                    batch.announce(turn)
                    lane = films.add()
                    task = threads.submit(_restyle, turn.entry, lane, cluster)
                    running[task] = turn.entry, lane
                    turn = batch.take()
                wait(running, TICK_S, FIRST_COMPLETED)
                films.show()
                for task in [task for task in running if task.done()]:
                    ended, lane = running.pop(task)
                    films.remove(lane)
                    batch.end(ended, task.result)
        finally:
            films.stop()


def _same_models(one: Entry, other: Entry) -> bool:
    """Return whether two films ask servers for the same workflow, so that none loads other models.

    A server that draws two films in turn would load the models of each for every slide.
    """
    its, others = one.settings, other.settings
    return (its.model, its.middle_model, its.changes, its.fill) == (
        others.model,
        others.middle_model,
        others.changes,
        others.fill,
    )


def _as_restyle_error(error: RestyleError | OSError) -> RestyleError:
    """Return the failure of a film. Raise errors that users cannot fix."""
    explained = error if isinstance(error, RestyleError) else from_system(error)
    if explained is None:
        raise error
    return explained


def _restyle(entry: Entry, lane: FilmProgress, cluster: DaskCluster | None) -> Outcome:
    film_threads.work_for(entry.settings.target)
    return pipeline.run(entry.settings, lane, cluster, lane.dry)


def words(line: str) -> list[str]:
    """Split a line into words, quoted as in this platform's shell, up to a comment.

    Raises WrongUsage for an unclosed quotation mark.
    """
    try:
        return shell.split(line, comment="#")
    except ValueError as error:
        raise WrongUsage("a quotation mark is not closed.") from error


def _settle(found: Sequence[str], settle: ParseLine) -> Settings:
    named, own = list(found), list[str]()
    if "--" in found:
        named, own = named[: named.index("--")], named[named.index("--") + 1 :]
    options = [word for word in named if word.startswith("-")]
    if len(named) > 2 and options:
        raise WrongUsage(f"write -- before its options: SOURCE TARGET -- {options[0]} ...")
    if len(named) != 2:
        raise WrongUsage(
            f"expected a source and a target, found {counted(len(named), 'name')}.\n"
            "Write SOURCE TARGET -- OPTIONS, and names with blanks in quotation marks."
        )
    return settle(named[0], named[1], own)


def _written(settings: Settings) -> list[Path]:
    """Check that a run can start; return the folders and the film that it would write."""
    paths = status.check_settings(settings)
    return [path for path in (paths.interp, paths.shown, paths.result) if path is not None]


def _take(paths: Iterable[Path], line: str, taken: dict[object, str]) -> None:
    """Raise WrongUsage if another line writes one of these paths."""
    for path in paths:
        if (other := taken.setdefault(identity(path), line)) != line:
            raise WrongUsage(
                f"{path} is written by {other} too.\nName another TARGET, or another --work folder."
            )


def _indented(error: RestyleError) -> str:
    return str(error).replace("\n", "\n    ")
