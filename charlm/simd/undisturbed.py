"""Signals wait while a library is in a state in which no exception may leave it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType


@contextmanager
def undisturbed() -> Iterator[None]:
    """While in here, signals that Python handles, Ctrl-C among them, wait; at the end they are handled.

    A handler may raise wherever it interrupts, and what C code was given a moment before is then given back twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    waiting: list[int] = []
    held = True

    def wait(number: int, frame: FrameType | None) -> None:
        if held:
            waiting.append(number)
        else:  # an exception of another handler has left this one in its place
            handlers[signal.Signals(number)](number, frame)

    handlers = {number: handler for number in signal.valid_signals() if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, wait)
        yield
    finally:
        held = False
        # all of it is done, from the last to the first, whatever one part raises
        with ExitStack() as afterwards:
            for one in reversed(waiting):
                afterwards.callback(signal.raise_signal, one)
            for number, handler in handlers.items():
                afterwards.callback(signal.signal, number, handler)
