"""The clock of time budgets, which stands while a machine does what it does once: compile loops, fetch a corpus."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Pauses:
    """Of all threads together: the clock goes on when the last one does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._within = 0
        self._since = self._seconds = 0.0

    def begin(self) -> None:
        with self._lock:
            if not self._within:
                self._since = time.monotonic()
            self._within += 1

    def end(self) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                self._seconds += time.monotonic() - self._since

    def seconds(self, now: float) -> float:
        with self._lock:
            return self._seconds + (now - self._since if self._within else 0.0)


_PAUSES = _Pauses()
# for what is told of a beginning and an end, as listeners are
pause, go_on = _PAUSES.begin, _PAUSES.end


@contextmanager
def paused() -> Iterator[None]:
    """The clock stands in here; it may be nested."""
    pause()
    try:
        yield
    finally:
        go_on()


def counted_time() -> float:
    """Seconds on `time.monotonic`, less those for which the clock stood since the process began."""
    now = time.monotonic()
    return now - _PAUSES.seconds(now)


def paused_seconds() -> float:
    """Seconds for which the clock stood since the process began."""
    return _PAUSES.seconds(time.monotonic())
