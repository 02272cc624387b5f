"""Say by the name of a thread which film of a batch it works for.

Messages of threads are shown and noted with their film, where several are restyled at a time.
"""

from __future__ import annotations

from threading import current_thread

_BEGINNING, _END = "film ", " | "  # "film TARGET | draw_0"


def work_for(target: object) -> None:
    """Have this thread, and those that it starts, work for the film of this TARGET."""
    current_thread().name = f"{_BEGINNING}{target}{_END}"


def named(task: str) -> str:
    """Return the name of a thread that works for the same film as this one."""
    film = film_of(current_thread().name)
    return f"{_BEGINNING}{film}{_END}{task}" if film else task


def film_of(thread: str) -> str:
    """Return the TARGET that the thread of this name works for; empty if there is one film."""
    film, end, _ = thread.rpartition(_END)
    return film.removeprefix(_BEGINNING) if end else ""
