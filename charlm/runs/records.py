"""JSON files that carry their own checksum: a change of any bit is noticed, hostile content refused."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from charlm.errors import RunError

# Parsed JSON takes up to thirty times its text; this keeps the parse of a hostile file below 64 MB.
LARGEST = 2 << 20
LAST_KEY = ',\n "checksum": "'
DIGITS = 64
END = b'"\n}\n'


def dump(record: Mapping[str, Any]) -> bytes:
    """`record` (not empty) as a JSON text whose last entry, `checksum`, is the SHA-256 of all before it."""
    _check(record, "")
    text = json.dumps(record, indent=1, allow_nan=False).removesuffix("\n}") + LAST_KEY
    content = text.encode("ascii")
    return _bounded(content + hashlib.sha256(content).hexdigest().encode("ascii") + END)


def plain(record: Mapping[str, Any]) -> bytes:
    """`record` as compact JSON.

    Raises:
        ValueError: a value that JSON would change or lose (a key that is no text, a number that is not
            finite, an array), with its place; or more than `LARGEST` bytes.
    """
    _check(record, "")
    return _bounded(json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii"))


def _bounded(content: bytes) -> bytes:
    if len(content) > LARGEST:
        raise ValueError(f"a record of {len(content):,} bytes is larger than the {LARGEST:,} that are read back")
    return content


def parse(content: bytes, where: str) -> dict[str, Any]:
    """Read what `dump` wrote, but leave the checksum to `verify`.

    Raises:
        RunError: not JSON, not a table, too large, too deep, a key twice, or a number out of range.
    """
    if len(content) > LARGEST:
        raise RunError(f"{where} has {len(content):,} bytes, at most {LARGEST:,} are expected")
    try:
        record = json.loads(content, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise RunError(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise RunError(f"{where} is damaged: {error}") from None
    if not isinstance(record, dict):
        raise RunError(f"{where} is damaged: not a table")
    return record


def verify(record: Mapping[str, Any], content: bytes, where: str) -> dict[str, Any]:
    """Return `record` less its checksum if `content`, byte for byte, is what `dump` made."""
    tail = DIGITS + len(END)
    digest = hashlib.sha256(content[:-tail]).hexdigest().encode("ascii")
    if not content[:-tail].endswith(LAST_KEY.encode("ascii")) or content[-tail:] != digest + END:
        raise RunError(f"{where} is damaged: changed after it was written")
    return {key: value for key, value in record.items() if key != "checksum"}


def load(content: bytes, where: str) -> dict[str, Any]:
    """`parse` and `verify`."""
    return verify(parse(content, where), content, where)


def _check(value: Any, place: str) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{place or 'record'}: the key {key!r} is not text")
            _check(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{place}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}, which JSON does not have")
    elif value is not None and not isinstance(value, str | int):
        raise ValueError(f"{place} is of type {type(value).__name__}, which JSON does not have")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands in it twice")
    return table


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is out of range")
    return value
