"""The folder that a fetch works in, beside the place of the text, and what earlier fetches left there."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = ".fetching-"
_KEY = re.compile(r"[0-9a-f]{16}")
_MOST = 1000


@contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """A fresh folder in `folder`, which is made; gone at the end of the block, and held locked until then.

    What killed fetches left there goes first. OSError passes through.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    made, descriptor = _make(folder)
    try:
        yield made
    finally:
        try:
            shutil.rmtree(made, ignore_errors=True)
        finally:
            with suppress(OSError):
                os.close(descriptor)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time puts a text into `folder`, for the moment that takes. OSError passes through."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)


def clear_up(folder: Path, key: str) -> None:
    """Remove, where that can be done, what killed fetches left in `folder`, and texts other than that of `key`."""
    _remove_leftovers(folder)
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _KEY.fullmatch(path.name) and path.name != key:
                shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove the folders that nobody holds: the kernel drops a lock with its process, whatever number that had."""
    with suppress(OSError):
        for path in list(folder.glob(f"{_NAME}*")):
            _remove_free(path)


def _remove_free(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _make(folder: Path) -> tuple[Path, int]:
    """A new locked folder, with the umask's mode, and the descriptor that holds the lock."""
    for attempt in range(_MOST):
        path = folder / f"{_NAME}{os.getpid()}-{attempt}"
        with suppress(FileExistsError):
            path.mkdir()
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY)
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                # subtle: between making and lock it may have been cleared up as a leftover
                if path.is_dir():
                    return path, descriptor
                os.close(descriptor)
    raise FileExistsError(17, "too many folders of fetches", str(folder))
