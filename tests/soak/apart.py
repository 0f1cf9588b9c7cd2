"""An act in a process of its own, forked from this one: a crash is told, and how much memory it took at the highest."""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from counting import Count, NotHereError, resident
from judging import refusal

from charlm.errors import CharlmError

MB = 2**20
# What reading a file may take beside twice its size.
ALLOWED = 64 * MB
# Seconds of the processor, many times what any of the acts takes.
TOO_LONG = 60.0
_UNIT = 1 if sys.platform == "darwin" else 1024


def attempt(count: Count, name: str, act: Callable[[], Any], size: int | None) -> None:
    """One attempt at `act`, which may raise a `CharlmError` of one line and nothing else."""

    def judged() -> None:
        try:
            act()
        except CharlmError as error:
            refusal(error)

    with count.attempt(name):
        apart(judged, size)


def apart(act: Callable[[], None], size: int | None = None) -> None:
    """Do it. Whatever it raises, a signal that ends it, and too much memory are an AssertionError here.

    Args:
        size: bytes of what is read: at most twice that and 64 MB more may be held at any time; None for any memory.
    """
    said, says = os.pipe()
    child = os.fork()
    if not child:
        os.close(said)
        _child(act, size, says)
    os.close(says)
    with os.fdopen(said, "rb") as pipe:
        words = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code >= 0, f"ended by {signal.Signals(-code).name}: {words}"
    assert code == 0, words


def _child(act: Callable[[], None], size: int | None, says: int) -> None:
    words = ""
    try:
        signal.setitimer(signal.ITIMER_PROF, TOO_LONG)
        before = _held()
        act()
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT - before
        if size is not None and taken > 2 * size + ALLOWED:
            words = f"{taken / MB:.0f} MB were taken for a file of {size / MB:.1f} MB"
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        words = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}: {str(error)[:300]}"
    finally:
        os.write(says, words.encode("utf-8", "replace")[:4000])
        os._exit(bool(words))


def _held() -> int:
    """Bytes in memory now (Linux); elsewhere the most that ever were, and then what is taken is told too low."""
    try:
        return resident()
    except NotHereError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
