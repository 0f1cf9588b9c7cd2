"""Every system call that a run folder is written with, and the rules that all of them keep.

A `Folder` is held open by descriptor and its members are named by one component each, so nothing
planted in a run (a link in the place of a file, of a step or of a temporary name) can lead a read or
a write out of it. New files are made with O_EXCL and mode 0666 less the umask, and are on the disk
(fsync) before `write` returns. Failures are plain `OSError`s; those who call give them words.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from charlm.errors import RunError

BUFFER = 1 << 20
# A name that is tried again with a number when something that is not ours sits on it.
TRIES = 100
# What file systems say that know no such request, of a folder or as macOS has it.
NO_SYNC = frozenset((errno.EINVAL, errno.ENOTSUP, errno.ENOTTY, errno.ENOSYS))
TEMPORARY = re.compile(r"(.+)\.tmp(?:-\d+)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Size in bytes and SHA-256 (hexadecimal) of a file's content."""

    size: int
    sha256: str


class Folder:
    """A folder held open by descriptor. `path` is for messages only."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def open(cls, path: Path) -> Folder:
        """Open `path`, which the user named: links in it are followed, once, here."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path)

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # nothing is written through it, so there is nothing that a failing close could lose
        with suppress(OSError):
            os.close(self.descriptor)

    def child(self, name: str) -> Folder:
        """Open the folder `name` in this one; a link there is refused."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        return Folder(os.open(name, flags, dir_fd=self.descriptor), self.path / name)

    def make(self, name: str) -> None:
        """Make the folder `name`; whatever already has that name is an error."""
        os.mkdir(name, 0o777, dir_fd=self.descriptor)

    def make_temporary(self, stem: str) -> str:
        """Make a fresh folder ``STEM.tmp`` (``STEM.tmp-2``, ... where that name is taken) and return its name."""
        name = self.free_name(f"{stem}.tmp")
        self.make(name)
        return name

    def free_name(self, stem: str) -> str:
        """`stem`, or ``STEM-2``, ``STEM-3``, ...: whichever has nothing there yet."""
        for attempt in range(1, TRIES):
            name = stem if attempt == 1 else f"{stem}-{attempt}"
            if self.status(name) is None:
                return name
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), stem)

    def names(self) -> list[str]:
        """What is in the folder, sorted."""
        return sorted(os.listdir(self.descriptor))

    def status(self, name: str) -> os.stat_result | None:
        """What `name` is (links are not followed), or None where there is nothing."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def is_folder(self, name: str) -> bool:
        """Whether `name` is a folder, and no link to one."""
        status = self.status(name)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def write(self, name: str, pieces: Iterable[bytes | memoryview]) -> FileFacts:
        """Make the file `name` of `pieces`, hashed on the way, and wait until the disk has it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o666, dir_fd=self.descriptor)
        digest, size = hashlib.sha256(), 0
        try:
            for piece in pieces:
                digest.update(piece)
                size += write_all(descriptor, piece)
            flush(descriptor)
        finally:
            os.close(descriptor)
        return FileFacts(size=size, sha256=digest.hexdigest())

    def replace(self, name: str, content: bytes) -> None:
        """Make `content` the file `name` in one step: a reader sees the old or the new one, whole."""
        temporary = self.free_name(f"{name}.tmp")
        try:
            self.write(temporary, [content])
            self.rename(temporary, name)
        except OSError as error:
            # what somebody else put there meanwhile is not ours to remove
            if error.errno != errno.EEXIST:
                self.discard(temporary)
            raise
        self.sync()

    def read(self, name: str, limit: int) -> bytes:
        """The content of the plain file `name`, read once.

        Raises:
            RunError: it is no plain file, or larger than `limit` bytes.
        """
        descriptor = self._open_plain(name)
        try:
            size = os.fstat(descriptor).st_size
            if size > limit:
                raise RunError(f"{name} has {size:,} bytes, at most {limit:,} are expected")
            # subtle: one byte more than it should have, so that a file growing meanwhile is noticed
            pieces, left = [], size + 1
            while left and (piece := os.read(descriptor, left)):
                pieces.append(piece)
                left -= len(piece)
        except (MemoryError, OverflowError):
            raise RunError(f"{name} ({size:,} bytes) does not fit into memory") from None
        finally:
            os.close(descriptor)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def facts(self, name: str) -> FileFacts:
        """Size and SHA-256 of the plain file `name`, in constant memory."""
        descriptor = self._open_plain(name)
        digest, size = hashlib.sha256(), 0
        try:
            while piece := os.read(descriptor, BUFFER):
                digest.update(piece)
                size += len(piece)
        finally:
            os.close(descriptor)
        return FileFacts(size=size, sha256=digest.hexdigest())

    def _open_plain(self, name: str) -> int:
        # O_NONBLOCK: a pipe in the place of a file must not make us wait for a writer
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, dir_fd=self.descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise RunError(f"{name} is not a plain file")
        return descriptor

    def rename(self, old: str, new: str) -> None:
        """Give `old` the name `new`; atomic."""
        os.rename(old, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def sync(self) -> None:
        """Wait until the disk has the folder's names, where the file system can."""
        try:
            flush(self.descriptor)
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise

    def discard(self, name: str) -> None:
        """Remove the file or link `name` if that can be done."""
        try:
            os.unlink(name, dir_fd=self.descriptor)
        except OSError:
            return

    def remove(self, name: str, known: Collection[str], first: str = "") -> bool:
        """Remove the folder `name` if it holds plain files of `known` names only, `first` before the others.

        Returns:
            False, with nothing removed, where it holds anything else.
        """
        with self.child(name) as folder:
            names = folder.names()
            if not all(known_name in known and not folder.is_folder(known_name) for known_name in names):
                return False
            for member in sorted(names, key=lambda member: member != first):
                os.unlink(member, dir_fd=folder.descriptor)
        os.rmdir(name, dir_fd=self.descriptor)
        return True


def temporary_of(name: str) -> str | None:
    """The name that the temporary ``NAME.tmp`` or ``NAME.tmp-2`` was made for; None for any other name."""
    match = TEMPORARY.fullmatch(name)
    return match[1] if match else None


def write_all(descriptor: int, piece: bytes | memoryview) -> int:
    """Write all of `piece` (one byte an item), however many calls that takes; returns its length."""
    view = memoryview(piece)
    written = 0
    while written < len(view):
        written += os.write(descriptor, view[written:])
    return len(view)


def flush(descriptor: int) -> None:
    """Wait until the disk itself has the file, not only the kernel."""
    full = getattr(fcntl, "F_FULLFSYNC", None)  # macOS: fsync alone stops at the drive's cache
    if full is not None:
        try:
            fcntl.fcntl(descriptor, full)
            return
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise
    os.fsync(descriptor)


def make_folders(path: Path) -> None:
    """Make the folder `path` and those above it that are missing; the disk has the names of those made when this
    returns."""
    if path.is_dir():
        return
    make_folders(path.parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():  # or another process was faster
            raise
    # of a folder that may be written to but not read nothing can be waited for
    with suppress(PermissionError), Folder.open(path.parent) as parent:
        parent.sync()


def in_words(error: OSError) -> str:
    """The cause of a failed system call: ``disk full``, ``no permission``, or the system's own words."""
    words = {
        errno.ENOSPC: "disk full",
        errno.EDQUOT: "disk quota used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "no permission",
        errno.EPERM: "no permission",
        errno.ENOENT: "it is not there",
        errno.ELOOP: "a link stands in its place",
        errno.EIO: "the disk reports an input/output error",
    }
    return words.get(error.errno or 0, error.strerror or str(error))


def shown(path: Path | str) -> str:
    """`path` as a message shows it: on one line, whatever is in the name."""
    text = str(path)
    return text if text and text.isprintable() else repr(text)
