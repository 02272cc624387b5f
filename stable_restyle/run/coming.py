"""Claim further scenes in the background, while those that are claimed are drawn."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Event, Lock, Thread

from stable_restyle.core.film_threads import named
from stable_restyle.media.marking import NotSought
from stable_restyle.run.claim import Claimed, Claims


class Coming:
    """What is claimed of a run as its film is looked through, in a thread of its own.

    Nothing more is claimed once it is closed.
    """

    def __init__(self, claims: Claims) -> None:
        self.looked_at = 0  # frames
        self._claims, self._stop = claims, Event()
        self._found = claims.found(self._stop.is_set)
        self._lock = Lock()
        self._arrived: Future[None] = Future()
        self._latest: Claimed | None = None  # that is not taken yet
        self._error: BaseException | None = None
        self._is_over = False
        self._thread = Thread(target=self._go_on, name=named("look through the film"))

    def close(self) -> None:
        """Stop looking, and wait until that has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._found.close()

    def first(self) -> Claimed:
        """Wait for the first claim, and begin to look for more. Raises RestyleError."""
        try:
            claimed = next(each for each in self._found if isinstance(each, Claimed))
        except NotSought as error:
            return self.exported(error)
        self.looked_at = claimed.input_snapshot.bounds[-1]
        if not claimed.is_whole:
            self._thread.start()
        return claimed

    def exported(self, why: NotSought) -> Claimed:
        """Return all that can be drawn, from frames that are exported for that."""
        return self._claims.exported(why)

    @property
    def arrived(self) -> Future[None]:
        """Return what is done as soon as there is something to take."""
        return self._arrived

    def take(self) -> Claimed | None:
        """Return the latest claim, which has those before; None if no more come.

        Called once `arrived` is done. Raises the error that ended them, such as NotSought.
        """
        with self._lock:
            latest, self._latest = self._latest, None
            if not self._is_over:
                self._arrived = Future()
        if latest is None and self._error is not None:
            raise self._error
        return latest

    def _go_on(self) -> None:
        try:
            for each in self._found:
                if self._stop.is_set():
                    break
                if isinstance(each, Claimed):
                    self._announce(each)
                else:
                    self.looked_at = each
        except BaseException as error:  # raised where claims are taken
            self._error = error
        finally:
            self._found.close()
            self._is_over = True
            self._announce(None)

    def _announce(self, claimed: Claimed | None) -> None:
        with self._lock:
            self._latest = claimed or self._latest
            if not self._arrived.done():
                self._arrived.set_result(None)
