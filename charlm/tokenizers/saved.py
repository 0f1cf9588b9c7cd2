"""The saved form of a tokenizer: small JSON that a person can read, checked field by field when loaded."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from charlm.errors import OutputError, RunError

FORMAT = 1
#: more than any vocabulary needs: every character of Unicode, each written as two escapes, is 13 MB
LARGEST_JSON = 16 << 20
LARGEST_MODEL = 64 << 20
#: A vocabulary is one string of distinct characters, so a comma stands in it at most once. More commas
#: mean lists or tables, which the parser would blow up to many times the size of the file.
MOST_COMMAS = 16


def dump_json(values: dict[str, Any]) -> bytes:
    """UTF-8 JSON, one key a line; what cannot be seen (controls, marks of direction) is escaped."""
    text = json.dumps(values, indent=1, ensure_ascii=False)
    shown = "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)
    return (shown + "\n").encode("utf-8")


def _escaped(character: str) -> str:
    return json.dumps(character, ensure_ascii=True)[1:-1]


def load_json(path: Path) -> dict[str, Any]:
    """The table in `path`, or a `RunError` that names the file: absent, too large, not strict JSON."""
    data = read_file(path, LARGEST_JSON)
    if data.count(b",") > MOST_COMMAS:
        raise RunError(f"{path}: holds more than a tokenizer does")
    try:
        values = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        raise RunError(f"{path}: not a tokenizer's JSON: {reason}") from None
    if not isinstance(values, dict):
        raise RunError(f"{path}: must hold a table, holds {type(values).__name__}")
    return values


def read_file(path: Path, largest: int) -> bytes:
    """The bytes of a plain file of at most `largest` bytes, or a `RunError` that names it."""
    try:
        if not path.is_file():
            raise RunError(f"{path}: no such file")
        if path.stat().st_size > largest:
            raise RunError(f"{path}: larger than {largest >> 20} MiB, so not a tokenizer of charlm")
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from None


def field(values: dict[str, Any], name: str, kind: type, path: Path) -> Any:
    """``values[name]``, of exactly the type `kind`, or a `RunError` naming file and field."""
    if name not in values:
        raise RunError(f"{path}: {name} is missing")
    value = values[name]
    if type(value) is not kind:
        nouns = {int: "a whole number", str: "text"}
        raise RunError(f"{path}: {name} must be {nouns[kind]}, was {shortened(value)}")
    return value


def no_other_fields(values: dict[str, Any], known: tuple[str, ...], path: Path) -> None:
    """Refuse what this format does not have: it may change what the file means."""
    for name in values:
        if name not in ("format", "tokenizer", *known):
            raise RunError(f"{path}: no field {shortened(name)} in a tokenizer of this format")


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file beside its name, flush it to the disk, then rename it into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            temporary.unlink(missing_ok=True)  # of a killed process that had our number
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise OutputError(f"{path}: not written: {error.strerror}") from None


def shortened(value: object) -> str:
    """A value for an error message: its repr, cut to 40 characters."""
    # subtle: a number of many thousand digits has no repr in Python >= 3.11
    try:
        text = repr(value)
    except ValueError:
        text = "a very long number"
    return text if len(text) <= 40 else text[:37] + "..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{shortened(name)} stands there twice")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no value of JSON")
