"""Cache the values that were used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """The values used last, by number; others are computed when needed. Thread-safe."""

    def __init__(self, compute: Callable[[int], Value], size: int) -> None:
        """Hold at most `size` values of `compute`."""
        self._compute = compute
        self._size = size
        self._values: OrderedDict[int, Future[Value]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: int) -> Value:
        """Return the cached value or compute it; concurrent callers share one computation."""
        with self._lock:
            known = self._values.get(key)
            if known is not None:
                self._values.move_to_end(key)
            else:
                pending = self._add(key)
        if known is not None:
            return known.result()
        try:
            pending.set_result(self._compute(key))
        except BaseException as error:
            with self._lock:
                if self._values.get(key) is pending:
                    del self._values[key]
            pending.set_exception(error)
        return pending.result()

    def put(self, key: int, value: Value) -> None:
        """Add a value that was computed elsewhere."""
        with self._lock:
            self._add(key).set_result(value)

    def _add(self, key: int) -> Future[Value]:
        added = self._values[key] = Future[Value]()
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return added
