"""Look a name up in a literal table, or say what the table holds."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from charlm.errors import UnknownNameError

T = TypeVar("T")

LONGEST_NAME = 200


def lookup(table: Mapping[str, T], name: str, kind: str) -> T:
    """Return ``table[name]``.

    Raises:
        UnknownNameError: the table has no such name; the message reads
            ``no cell 'lsmt': choose elman, gru, lstm (did you mean lstm?)``.
    """
    if name in table:
        return table[name]
    raise UnknownNameError(f"no {kind} {name!r:.60}: choose {', '.join(sorted(table))}{suggestion(name, table)}")


def suggestion(name: str, choices: Iterable[str], prefix: str = "") -> str:
    """`` (did you mean lstm?)`` for the nearest of `choices`, shown behind `prefix`, or an empty string."""
    # what is far longer than any name is none mistyped, and to compare it would take long
    near = difflib.get_close_matches(name, list(choices), n=1) if len(name) <= LONGEST_NAME else []
    return f" (did you mean {prefix}{near[0]}?)" if near else ""
