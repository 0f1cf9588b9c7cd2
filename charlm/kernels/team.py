"""Threads that share a window: the lanes, of which each has its own from the first step to the last, and other jobs.

They are as many as torch has, but for `torch_alone`.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, partial
from typing import Any

import torch


class _Apart(threading.local):
    """What is asked of the calling thread, as torch's number of threads is."""

    size: int | None = None


_apart = _Apart()


def team_size() -> int:
    """How many threads share the lanes."""
    return _apart.size or torch.get_num_threads()


@contextlib.contextmanager
def torch_alone() -> Iterator[None]:
    """While in here torch's own operations stay in the calling thread; the lanes have as many threads as before.

    For where those operations are small: to wake a sleeping thread takes longer than what it would do.
    """
    outside, threads = _apart.size, torch.get_num_threads()
    _apart.size = team_size()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _apart.size = outside
        torch.set_num_threads(threads)


def shares(count: int, threads: int) -> list[tuple[int, int]]:
    """`count` things in at most `threads` ranges (first, last), none of them empty, that differ by at most one."""
    parts = max(1, min(threads, count))
    return [(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


Job = Callable[[int], None]

# Seconds until somebody who waits looks again.
LONGEST_WAIT = 1.0


class Work:
    """Jobs that threads take one after the other, whoever has time.

    A job may need what jobs before it give; who takes it too early waits. So what is waited for is being done.
    """

    def __init__(self) -> None:
        self._jobs: list[tuple[Job, list[Hashable]]] = []
        self._left: Counter[Hashable] = Counter()
        # subtle: entered and left as a lock, in C, so that no signal's exception can leave it locked
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._failure: BaseException | None = None

    def add(self, job: Job, *, needs: Iterable[Hashable] = (), gives: Iterable[Hashable] = ()) -> None:
        """One more job, which is called with the number of the thread that does it.

        Args:
            needs: each has to be given first, by all jobs that give it.
            gives: what the job says to `given` once it is there.

        Raises:
            ValueError: no job before this one gives what it needs.
        """
        needs = list(needs)
        if any(what not in self._left for what in needs):
            raise ValueError("a job can only need what jobs before it give")
        self._jobs.append((job, needs))
        self._left.update(gives)

    def given(self, what: Hashable) -> None:
        """A job has given this."""
        with self._lock:
            self._left[what] -= 1
            self._changed.notify_all()

    def run(self, threads: int) -> None:
        """Do all jobs. An exception of one is raised once no thread works any more."""
        # jobs know this work and what they compute in: kept here, they would stay until Python looks for circles
        jobs, self._jobs = iter(self._jobs), []
        try:
            together([partial(self._run, jobs, thread) for thread in range(threads)])
        finally:
            self._left.clear()
            self._failure = None

    def _run(self, jobs: Iterator[tuple[Job, list[Hashable]]], thread: int) -> None:
        try:
            # subtle: threads may share a list's iterator, which gives each item once
            for job, needs in jobs:
                self._wait(needs)
                job(thread)
        except BaseException as error:
            self._failure = error
            with self._lock:
                self._changed.notify_all()
            raise

    def _wait(self, needs: Sequence[Hashable]) -> None:
        with self._lock:
            while not self._failure and any(self._left[what] > 0 for what in needs):
                # a signal may have come between a change and its being told
                self._changed.wait(LONGEST_WAIT)
            if self._failure:
                raise self._failure


def together(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run all tasks at the same time, the last of them in the calling thread, and wait.

    They must let other threads run, as compiled functions do, and must not call operations of torch that it shares
    among threads: each caller gets workers of its own, and with more of those than processors OpenMP lets all of them
    sleep at once where they would spin (`nn.GRU` of 2 x 128 then takes 81 ms a step in that process, else 43).
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
