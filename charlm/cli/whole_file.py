"""Files that a command reads or writes as they are: nothing of an output is seen before all of it is there."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from charlm.cli import console
from charlm.corpora.files import refuse_device, spool
from charlm.errors import ConfigError, CorpusError, OutputError
from charlm.runs.files import in_words, shown
from charlm.streams.replacement import replacing

STANDARD = "-"
BUFFER = 2**20


def opened(path: str) -> BinaryIO:
    """A file for reading, from its start as often as one likes; ``-`` is standard input.

    Raises:
        CorpusError: it cannot be read, or is a device.
        OutputError: it can be read once, and there is no room to keep it.
    """
    try:
        if path != STANDARD and os.path.isfile(path):
            return open(path, "rb")
        if path != STANDARD:
            refuse_device(path, os.stat(path))
            with open(path, "rb") as pipe:
                return spool(path, pipe)()
        return io.BytesIO() if sys.stdin is None else spool(path, sys.stdin.buffer)()
    except (OSError, ValueError) as error:
        cause = in_words(error) if isinstance(error, OSError) else str(error)
        raise CorpusError(f"cannot read {shown(path)}: {cause}") from None


@contextlib.contextmanager
def written(
    path: str, *, force: bool = False, text: bool, remedy: str = "--force replaces it, --output names another"
) -> Iterator[BinaryIO]:
    """What is written in here becomes the file `path` when all of it was; ``-`` is standard output.

    Args:
        force: put it in the place of a file that is there.
        text: it may go to a terminal, where it is shown escaped.
        remedy: for where there is such a file.

    Raises:
        ConfigError: a terminal is no place for this, or it is no name.
        OutputError: there is such a file, or it cannot be written.
    """
    if not path:
        raise ConfigError(f"a file to write has a name, was {path!r}; {STANDARD} is standard output")
    if path == STANDARD and not text and console.is_terminal(sys.stdout):
        raise ConfigError("compressed bytes are not for a terminal: name a file with --output")
    if path != STANDARD and os.path.isdir(path):
        raise OutputError(f"{shown(path)} is a folder: name a file in it")
    if path != STANDARD and os.path.lexists(path) and not force and not _is_channel(path):
        raise OutputError(f"{shown(path)} is there already: {remedy}")
    others: OSError | None = None  # of what is done meanwhile
    try:
        with _kept(path) if path == STANDARD or _is_channel(path) else _placed(path, force) as file:
            try:
                yield cast(BinaryIO, _Output(file, path))
            except OSError as error:
                others = error
                raise
    except BrokenPipeError:
        raise
    except OSError as error:
        if error is others:
            raise
        raise _not_written(path, error) from None


@contextlib.contextmanager
def _kept(path: str) -> Iterator[BinaryIO]:
    """A temporary file, copied to where `path` leads when all is in it."""
    with tempfile.TemporaryFile() as kept:
        yield kept
        kept.seek(0)
        _copy(kept, path)


def _placed(path: str, force: bool) -> contextlib.AbstractContextManager[BinaryIO]:
    return replacing(Path(os.path.realpath(path)), over=force)


class _Output:
    """A file to write to. Raises `OutputError` where that fails."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path

    def write(self, content: bytes) -> int:
        """All of `content`; returns its length."""
        try:
            return self._file.write(content)
        except OSError as error:
            raise _not_written(self._path, error) from None


def _not_written(path: str, error: OSError) -> OutputError:
    return OutputError(f"cannot write {shown(path)}: {_why_not_written(path, error)}")


def _why_not_written(path: str, error: OSError) -> str:
    """Why `path` could not be written, in words: what is not there is never the file itself, but its folder."""
    folder = os.path.dirname(path)
    if isinstance(error, FileNotFoundError) and folder and not os.path.exists(folder):
        return f"the folder {shown(folder)} is not there"
    return in_words(error)


def _is_channel(path: str) -> bool:
    """Whether `path` is a pipe or device: something to write into, not to replace."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _copy(kept: BinaryIO, path: str) -> None:
    if path != STANDARD:
        with open(path, "wb") as channel:
            shutil.copyfileobj(kept, channel, BUFFER)
        return
    # exact in a pipe: what is no UTF-8 goes through as Python carries it
    out, decoder = console.DataWriter(), codecs.getincrementaldecoder("utf-8")("surrogateescape")
    while block := kept.read(BUFFER):
        out.write(decoder.decode(block))
    out.write(decoder.decode(b"", final=True))
    out.end_line()
