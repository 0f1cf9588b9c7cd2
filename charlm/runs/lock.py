"""One writer to a run: an flock on the file `lock`, with the owner's name in it for the others to read.

The kernel drops the lock with the process, so nothing is stale after a kill -9. The text in the file is
for messages only.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from charlm.errors import OutputError, RunInUseError
from charlm.runs.files import Folder, in_words, shown, write_all

LOCK = "lock"
Clock = Callable[[], float]  # seconds since 1970

# `owner_of` holds a shared lock for an instant: a writer that meets it tries again.
ATTEMPTS = 5
PAUSE = 0.02
LONGEST_OWNER = 1000  # bytes of the owner's name


class Held:
    """A lock that this process holds, by its open file, on a folder that is known by its number."""

    def __init__(self, folder: Folder) -> None:
        """Raises `RunInUseError` where another live process holds it."""
        self.descriptor = _acquire(folder)
        self._folder = _number(folder)

    def check(self, folder: Folder) -> None:
        """Make sure that what lies at the path is what was locked; a lock that somebody removed is taken again.

        Raises:
            RunInUseError: it is another folder, made anew at its path, or somebody else has locked it meanwhile.
        """
        if _number(folder) == self._folder:
            if _is_in(folder, self.descriptor):
                return
            if folder.status(LOCK) is None:
                before, self.descriptor = self.descriptor, _acquire(folder)
                with suppress(OSError):  # a courtesy, as the first time
                    write_all(self.descriptor, os.pread(before, LONGEST_OWNER, 0))
                os.close(before)
                return
        raise RunInUseError(
            f"{shown(folder.path.name)} is not the folder that was locked: it was made anew, or locked by another "
            "process; nothing more is written there"
        )


def _number(folder: Folder) -> tuple[int, int]:
    """What the system knows a folder by, wherever it lies."""
    status = os.fstat(folder.descriptor)
    return status.st_dev, status.st_ino


@contextmanager
def hold(path: Path, clock: Clock) -> Iterator[Held]:
    """Hold the run folder at `path` for writing.

    Raises:
        RunInUseError: another live process holds it; the message names it.
        OutputError: the folder cannot be written to.
    """
    try:
        with Folder.open(path) as folder:
            held = Held(folder)
    except OSError as error:
        raise OutputError(f"run folder {shown(path)} cannot be written: {in_words(error)}") from None
    try:
        # the text is a courtesy: a disk too full for it is found out, and said, by the first save
        with suppress(OSError):
            os.ftruncate(held.descriptor, 0)
            write_all(held.descriptor, json.dumps(_myself(clock)).encode("ascii"))
        yield held
    finally:
        # whatever close says, the kernel has let go of the lock
        with suppress(OSError):
            os.close(held.descriptor)


def owner_of(path: Path) -> str | None:
    """Who writes to the run at `path`, in words, or None when nobody does."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with Folder.open(path) as folder:
            descriptor = os.open(LOCK, flags, dir_fd=folder.descriptor)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_owner(descriptor)
    except OSError:  # a file system without locks: what the file says may be of long ago
        return None
    finally:
        os.close(descriptor)
    return None


def _acquire(folder: Folder) -> int:
    owner = ""
    for _ in range(ATTEMPTS):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(LOCK, flags, 0o666, dir_fd=folder.descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            in_place, alone = _is_in(folder, descriptor), os.fstat(descriptor).st_nlink == 1
        except BlockingIOError:
            owner = _read_owner(descriptor)
            os.close(descriptor)
            time.sleep(PAUSE)
            continue
        except OSError:
            os.close(descriptor)
            raise
        if in_place and alone:
            return descriptor
        # subtle: a copy of the run made of hard links shares this file, and would share the lock
        if in_place:
            folder.discard(LOCK)
        os.close(descriptor)
    raise RunInUseError(f"run {shown(folder.path.name)} is in use by {owner or 'another process'}")


def _is_in(folder: Folder, descriptor: int) -> bool:
    """Whether the lock of that folder is the open file."""
    mine, there = os.fstat(descriptor), folder.status(LOCK)
    return there is not None and (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _myself(clock: Clock) -> dict[str, str | int]:
    since = datetime.fromtimestamp(clock(), tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _read_owner(descriptor: int) -> str:
    """``PID on HOST since TIME`` from an open lock file; it may be half-written, or not ours at all."""
    try:
        owner = json.loads(os.pread(descriptor, LONGEST_OWNER, 0))
        pid, host, since = owner["pid"], owner["host"], owner["since"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"
    text = f"{pid} on {host} since {since}"
    return text if isinstance(pid, int) and text.isprintable() and len(text) < 200 else "another process"
