"""Sides in processes of their own: none has another's threads, caches or memory, and only one of them is at work.

Libraries that share a process share OpenMP's workers and their settings, too: one can make the other slow.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class Apart:
    """An object that lives in a process of its own. Its methods are asked for by name, one at a time."""

    def __init__(self, make: Callable[..., object], *arguments: object) -> None:
        """`make` and its arguments are handed over by pickle."""
        spawning = multiprocessing.get_context("spawn")  # a copy of this process would have torch's threads half
        self._connection, other = spawning.Pipe()
        self._process = spawning.Process(target=_serve, args=(other, make, arguments), daemon=True)
        self._process.start()
        other.close()

    def ask(self, method: str, *arguments: object) -> Any:
        """What the method gives.

        Raises:
            RuntimeError: what was raised there, in words; or the process is gone.
        """
        self._connection.send((method, arguments))
        try:
            failed, result = self._connection.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"a side's process ended with code {self._process.exitcode}") from None
        if failed:
            raise RuntimeError(result)
        return result

    def __enter__(self) -> Apart:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def _serve(connection: Connection, make: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Make the object, then do what is asked until nobody is there to ask."""
    made: object = None
    while True:
        try:
            method, given = connection.recv()
        except EOFError:
            return
        try:
            made = make(*arguments) if made is None else made
            connection.send((False, getattr(made, method)(*given)))
        except Exception as error:
            connection.send((True, f"{type(error).__name__}: {error}"))
