"""metrics.jsonl, and logs like it: one line a record, each with its own CRC-32, so that a later change is noticed."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from charlm.errors import OutputError, RunError
from charlm.runs.files import Folder, in_words, write_all
from charlm.runs.manifest import read_if_there
from charlm.runs.records import LARGEST as LARGEST_RECORD
from charlm.runs.records import plain

METRICS = "metrics.jsonl"
LARGEST = 1 << 30
CRC = ',"crc":"'
# Of a record and its checksum.
LONGEST_LINE = LARGEST_RECORD + 64
# A log of another kind has a bad line in each of its lines.
MOST_NOTICES = 100


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The records, oldest first, and what is wrong with the file, in words."""

    records: list[dict[str, Any]]
    notices: list[str]


def append(run: Folder, record: Mapping[str, Any], name: str = METRICS) -> None:
    """Add one line to the log `name`; it is with the kernel when this returns, so it outlives the process.

    Raises:
        OutputError: it cannot be written; the file is then as it was.
    """
    line = _line(record)
    try:
        descriptor = _open_own(run, name)
        try:
            end = os.fstat(descriptor).st_size
            # a line torn by a kill stays a line of its own
            torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
            try:
                write_all(descriptor, b"\n" + line if torn else line)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(f"{name} not written: {in_words(error)}") from None
    except RunError as error:
        raise OutputError(f"not written: {error}") from None


def read(run: Folder, name: str = METRICS) -> Metrics:
    """All good lines. A torn last line is what a kill leaves, and is no news; any other bad line is."""
    records: list[dict[str, Any]] = []
    notices: list[str] = []
    further = 0
    for number, line, ended in _lines(read_if_there(run, name, LARGEST) or b""):
        record = _record(line)
        if record is not None:
            records.append(record)
        elif ended and len(notices) < MOST_NOTICES:
            notices.append(f"{name}: line {number} is damaged, left out")
        elif ended:
            further += 1
    if further:
        notices.append(f"{name}: {further:,} more lines are damaged, left out")
    return Metrics(records=records, notices=notices)


def truncate(run: Folder, step: int) -> int:
    """Take out what came after the checkpoint of `step`; returns the number of lines taken out.

    Lines after the last record of that save go. Where a kill came between the save and its record,
    those with a later step go.

    Raises:
        OutputError: the file cannot be written; it is then as it was.
        RunError: it cannot be read.
    """
    before = read_if_there(run, METRICS, LARGEST)
    if before is None:
        return 0
    content = _until(before, step)
    try:
        if content != before:
            run.replace(METRICS, content)
    except OSError as error:
        raise OutputError(f"{METRICS} not written: {in_words(error)}") from None
    return _count(before) - _count(content)


def _until(content: bytes, step: int) -> bytes:
    """What is kept of a log; its lines are looked at one by one, for there may be millions."""
    end = len(content)
    while end:
        start = content.rfind(b"\n", 0, end - 1) + 1
        record = _record(content[start:end].rstrip(b"\n"))
        if record is not None and record.get("kind") == "save" and record.get("step") == step:
            return content[:end] if content.endswith(b"\n", 0, end) else content[:end] + b"\n"
        end = start
    kept = bytearray()
    for _, line, _ in _lines(content):
        record = _record(line)
        if record is not None and not (isinstance(record.get("step"), int) and record["step"] > step):
            kept += line + b"\n"
    return bytes(kept)


def _lines(content: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """The lines that are not empty: number, from 1, content, and whether the end is there."""
    start = number = 0
    while start < len(content):
        found = content.find(b"\n", start)
        end, number = len(content) if found < 0 else found, number + 1
        if end > start:
            yield number, content[start:end], found >= 0
        start = end + 1


def _count(content: bytes) -> int:
    return sum(1 for _ in _lines(content))


def _open_own(run: Folder, name: str) -> int:
    """The file, opened for appending; a copy of the run made of hard links keeps its own lines."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    status = run.status(name)
    if status is not None and status.st_nlink > 1 and stat.S_ISREG(status.st_mode):
        run.replace(name, run.read(name, LARGEST))
    descriptor = os.open(name, flags, 0o666, dir_fd=run.descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunError(f"{name} is not a plain file")
    return descriptor


def _line(record: Mapping[str, Any]) -> bytes:
    body = plain(record)
    return body[:-1] + f'{CRC}{zlib.crc32(body):08x}"}}\n'.encode("ascii")


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a line, or None where it is not what `_line` made."""
    if len(line) > LONGEST_LINE:
        return None
    body, key, rest = line.rpartition(CRC.encode("ascii"))
    body += b"}"
    if not key or rest != f'{zlib.crc32(body):08x}"}}'.encode("ascii"):
        return None
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
