"""A user's own texts: files, folders, gzip, pipes and standard input become documents."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from charlm.corpora.patterns import matches
from charlm.corpora.reading import BLOCK, reading
from charlm.errors import CorpusError, OutputError

# What charlm's own folders hold: a run's, whatever is below it, and a sweep's.
_OWN = (("run.json", "tokenizer.json"), ("sweep.json", "lock"))


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Something that can be read from the start as often as needed."""

    name: str
    open: Callable[[], BinaryIO]


def find_files(folder: str, include: Sequence[str], notices: list[str]) -> list[str]:
    """The files of a folder and the folders in it, in name order.

    Left out are hidden files and folders, runs and sweeps of charlm's, and what links to folders lead to.

    Args:
        include: patterns; a file is taken if its name (or, for a pattern with ``/``, its path below
            the folder) matches one of them. Empty: every file.
        notices: gets a line about what was left out that is not hidden.

    Raises:
        CorpusError: the folder cannot be read, or holds no such file.
    """
    found: list[str] = []
    own: list[str] = []
    links: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=_cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += [path for name in folders if os.path.islink(path := os.path.join(parent, name))]
        if any(set(files) <= set(names) for files in _OWN):
            own.append(parent)
            folders.clear()
            continue
        for name in names:
            path = os.path.join(parent, name)
            below = os.path.relpath(path, folder).replace(os.sep, "/")
            if _wanted(name, below, include) and os.path.isfile(path):
                found.append(path)
    if not found:
        which = f" that matches {' or '.join(map(repr, include))}" if include else ""
        raise CorpusError(f"no file in folder {folder!r}{which}")
    if own:
        notices.append(f"left out, for charlm wrote it: {_first(own)}")
    if links:
        notices.append(f"links to folders are not followed, name what they lead to: {_first(links)}")
    return sorted(found, key=name_order)


def _first(paths: Sequence[str]) -> str:
    """The first of some paths, and how many there are beside it."""
    return f"{min(paths)!r}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}"


def _wanted(name: str, below: str, include: Sequence[str]) -> bool:
    if not include:
        return not name.startswith(".")
    # as in a shell, a hidden file must be meant
    meant = [p for p in include if not name.startswith(".") or p.rpartition("/")[2].startswith(".")]
    return any(matches(below if "/" in pattern else name, pattern) for pattern in meant)


def _cannot_list(error: OSError) -> None:
    raise CorpusError(f"cannot read folder {error.filename!r}: {error.strerror}") from None


def name_order(path: str) -> list[bytes]:
    """Sorts paths folder by folder, by the bytes of their names: the same on every machine."""
    return os.fsencode(path).split(os.fsencode(os.sep))


def open_path(path: str) -> Opened:
    """A file, or a pipe (read to its end into a temporary file); ``.gz`` is unpacked on the way.

    Raises:
        CorpusError: there is no such file, it cannot be read, or it is a device.
    """
    with reading(path):
        try:
            status = os.stat(path)
        except ValueError as error:  # a NUL in the name
            raise CorpusError(f"cannot read {path!r}: {error}") from None
        refuse_device(path, status)
        if stat.S_ISREG(status.st_mode):
            raw: Callable[[], BinaryIO] = _RegularFile(path, status)
            raw().close()
        else:
            with open(path, "rb") as pipe:
                raw = spool(path, pipe)
    return Opened(name=path, open=_unpacked(raw) if path.endswith(".gz") else raw)


def refuse_device(path: str, status: os.stat_result) -> None:
    """Let files, pipes and terminals pass: /dev/zero and its like never end.

    Raises:
        CorpusError: `path` is a device.
        OSError: it cannot be opened.
    """
    if stat.S_ISCHR(status.st_mode):
        # a terminal is what /dev/stdin is when nothing is piped
        with open(path, "rb", buffering=0) as device:
            if device.isatty():
                return
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise CorpusError(f"{path!r} is a device, not a text")


def spool(name: str, stream: BinaryIO) -> Callable[[], BinaryIO]:
    """Copy a stream that can be read only once to a temporary file without a name, gone when charlm ends.

    Raises:
        CorpusError: the stream cannot be read.
        OutputError: the temporary file cannot be written.
    """
    with _keeping(name):
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - kept open as long as somebody reads it
    with reading(name):
        while block := stream.read(BLOCK):
            with _keeping(name):
                while block:
                    block = block[file.write(block) :]
    return lambda: cast(BinaryIO, io.BufferedReader(_Again(file), BLOCK))


@contextlib.contextmanager
def _keeping(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = "" if tempfile.tempdir is None else f" in {tempfile.tempdir!r}"
        raise OutputError(f"cannot keep {name!r}{place} while reading it: {error.strerror}") from None


class _Again(io.RawIOBase):
    """Reads an open file from its start, whoever else is reading it."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._offset = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: os.fstat(self._file.fileno()).st_size}
        self._offset = begin[whence] + offset
        return self._offset

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = os.pread(self._file.fileno(), len(buffer), self._offset)
        buffer[: len(content)] = content
        self._offset += len(content)
        return len(content)


class _RegularFile:
    """Opens a file and makes sure that it is still the one first seen."""

    def __init__(self, path: str, status: os.stat_result) -> None:
        self._path = os.path.abspath(path)
        self._name = path
        self._seen = (status.st_size, status.st_mtime_ns, status.st_ino)

    def __call__(self) -> BinaryIO:
        # subtle: unbuffered; whole blocks are asked for, and a buffer would copy each of them
        file = open(self._path, "rb", buffering=0)  # noqa: SIM115
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns, status.st_ino) != self._seen:
            file.close()
            raise CorpusError(f"{self._name!r} was changed while charlm was reading it: start again")
        return cast(BinaryIO, file)


def _unpacked(raw: Callable[[], BinaryIO]) -> Callable[[], BinaryIO]:
    return lambda: cast(BinaryIO, _Gzip(raw()))


class _Gzip(gzip.GzipFile):
    """A gzip file that closes the file under it, too."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._raw = raw

    def close(self) -> None:
        super().close()
        self._raw.close()
