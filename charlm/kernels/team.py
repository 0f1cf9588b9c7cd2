"""Threads that share the lanes of a window: each has its own from the first step to the last, and nobody waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import torch


def shares(count: int, threads: int) -> list[tuple[int, int]]:
    """`count` things in at most `threads` ranges (first, last), none of them empty, that differ by at most one."""
    parts = max(1, min(threads, count))
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def together(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run all tasks at the same time, the last of them in the calling thread, and wait.

    They must let other threads run, as compiled functions do.
    """
    *others, own = tasks
    running: list[Future[Any]] = []
    try:
        for task in others:
            running.append(_pool(len(others)).submit(task))
        own()
    finally:
        _finish(running)
    for each in running:
        each.result()


def _finish(running: list[Future[Any]]) -> None:
    """Wait, even where this thread is interrupted: nothing else may use the memory that others still compute in."""
    interrupted: BaseException | None = None
    while not all(each.done() for each in running):
        try:
            wait(running)
        except BaseException as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    # denormal numbers slow a recurrent layer up to 20 times; each thread has its own setting
    return ThreadPoolExecutor(threads, "charlm", initializer=torch.set_flush_denormal, initargs=(True,))
