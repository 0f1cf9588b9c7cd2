"""Ctrl-C and its kin during a training: the first asks it to finish the step and save, the second stops at once.

Where there is no step to finish, because all of them are done and saved, the first stops at once as well.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
AGAIN = 0.05  # seconds after which a signal that came too early comes again


def postponed(number: int, frame: FrameType | None) -> bool:
    """Whether a signal struck while a module was imported; then it comes again.

    Native code of a half-loaded module dies of an exception, or a bare except takes it.
    """
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    if frame is None:
        return False
    again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()
    return True


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
        if (again or not request_stop()) and not postponed(number, frame):
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
