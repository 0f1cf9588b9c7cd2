"""Ctrl-C and its kin during a training: the first asks it to finish the step and save, the second stops at once.

Where there is no step to finish, because all of them are done and saved, the first stops at once as well.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class Received:
    """The first signal that came, or None."""

    number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number; 0 without one."""
        return 0 if self.number is None else 128 + self.number


@contextmanager
def stop_requests(request_stop: Callable[[], bool]) -> Iterator[Received]:
    """While in here, the first signal calls `request_stop`, and the second ends the process.

    Args:
        request_stop: returns whether there is something to finish; where not, the first signal ends the process.
    """
    received = Received()

    def handle(number: int, frame: FrameType | None) -> None:
        again = received.number is not None
        received.number = received.number or number
        if again or not request_stop():
            sys.exit(128 + number)

    known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    # an ignored signal stays ignored: nohup means it
    heeded = [number for number in known if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
