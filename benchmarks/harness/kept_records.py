"""Records of work that takes hours, kept as they come: a line of JSON each. What is there is not done again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Key = Mapping[str, Any]
Record = dict[str, Any]


class KeptRecords:
    """Records by key; the last one of a key holds.

    Args:
        path: of the file; None keeps them in memory alone. A line that was cut when its writer was killed is dropped.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[str, Record] = {}
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            path.write_bytes(whole)
        for line in whole.decode().splitlines():
            kept = json.loads(line)
            self._found[_name(kept["key"])] = kept["record"]

    def get(self, key: Key) -> Record | None:
        """The record of `key`, or None."""
        return self._found.get(_name(key))

    def add(self, key: Key, record: Record) -> None:
        """Keep a record, on the disk before this returns."""
        self._found[_name(key)] = record
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": dict(key), "record": record}) + "\n")


def _name(key: Key) -> str:
    return json.dumps(key, sort_keys=True)
