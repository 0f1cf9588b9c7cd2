"""What is asked of everything that charlm parses: nothing but a `CharlmError` of one short line may come out.

Where a checksum would stop at the door whatever is tried, it is put right first: who makes hostile files can do that.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlm.errors import CharlmError
from charlm.runs import records

LONGEST_MESSAGE = 2000


@dataclass(frozen=True, kw_only=True)
class Parser:
    """Something that reads bytes.

    Attributes:
        what: it is, in words.
        seeds: inputs that it takes.
        parse: raises `CharlmError` where the bytes are not right; asserts what must hold where they are.
    """

    what: str
    seeds: list[bytes]
    parse: Callable[[bytes], None]


def refusal(error: CharlmError) -> str:
    """The words of an error, which are one short line."""
    message = str(error)
    assert message, "an error without a word"
    assert "\n" not in message, f"an error of several lines: {message[:300]!r}"
    assert len(message) <= LONGEST_MESSAGE, f"an error of {len(message)} characters: {message[:300]!r}"
    return message


def refused(act: Callable[[], object], *kinds: type[CharlmError]) -> str:
    """The words with which `act` is refused, by an error of one of `kinds`; anything else fails."""
    try:
        act()
    except kinds as error:
        return refusal(error)
    raise AssertionError("it was taken for sound")


def judge(parser: Parser, content: bytes) -> bool:
    """Whether `content` was taken. Raises whatever comes out that is no `CharlmError` of one short line."""
    try:
        parser.parse(content)
    except CharlmError as error:
        refusal(error)
        return False
    return True


def sealed(content: bytes) -> bytes | None:
    """A JSON table with the checksum that `records` wants; None where `content` is no table that could have one."""
    try:
        record = json.loads(content)
        record.pop("checksum", None)
        return records.dump(record)
    except (ValueError, AttributeError, RecursionError, TypeError, IndexError):
        return None


def both(path: Path, read: Callable[[], object]) -> Callable[[bytes], None]:
    """Reads a file with a checksum in it as it is given, then with the checksum put right."""

    def parse(content: bytes) -> None:
        right = sealed(content)
        if right is not None:
            path.write_bytes(right)
            with contextlib.suppress(CharlmError):
                read()
        path.write_bytes(content)
        read()

    return parse
