"""A file written beside its place and moved there when it is whole, safe when two processes do so at once."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# A name that nobody else gives, for these files lie in folders of the user's too.
_SUFFIX = ".charlm-tmp"


@contextlib.contextmanager
def replacing(path: Path, *, over: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; at the end of the block it is on the disk and named `path`.

    When the block raises, the temporary file goes and `path` is as it was. What killed processes left
    behind in the same folder goes first. OSError passes through.

    Args:
        over: take the place of a file that is there; else FileExistsError, whenever it came there.
    """
    remove_leftovers(path.parent)
    temporary, file = _create(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            # subtle: renamed while still locked, so that no other process takes it for a leftover
            if sys.platform != "win32":
                _put(temporary, path, over)
        if sys.platform == "win32":
            _put(temporary, path, over)  # an open file cannot be renamed there
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files whose writer is gone: those that nobody holds locked."""
    for path in folder.glob(f".*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                path.unlink()  # there an open file cannot be removed, which is as good as a lock
            else:
                _remove_unlocked(path)


def _put(temporary: Path, path: Path, over: bool) -> None:
    if over:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        # a file system without hard links
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        os.rename(temporary, path)
        return
    with contextlib.suppress(OSError):  # it has its name; the other one is a leftover now
        temporary.unlink()


def _create(path: Path) -> tuple[Path, BinaryIO]:
    """A new locked file beside `path`: never an existing one, never through a link, with the umask's mode."""
    for attempt in range(10_000):
        # without the name of `path`, which may be as long as names can be
        temporary = path.with_name(f".{os.getpid()}-{attempt}{_SUFFIX}")
        try:
            file = temporary.open("xb")
        except FileExistsError:
            continue
        if sys.platform != "win32":
            import fcntl

            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            # subtle: between creation and lock it may have been cleaned up as a leftover
            if os.fstat(file.fileno()).st_nlink == 0:
                file.close()
                continue
        return temporary, file
    raise FileExistsError(17, "too many temporary files", str(path))


def _remove_unlocked(path: Path) -> None:
    """Remove a file, or raise BlockingIOError where somebody holds it."""
    import fcntl

    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # subtle: while it is locked, so that a writer that has just made it sees that it is gone
        path.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system can."""
    if sys.platform != "win32":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        except OSError as error:
            # file systems that have nothing to wait for in a folder
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(number)
