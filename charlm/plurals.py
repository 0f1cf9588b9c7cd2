"""How many there are of something, in words."""

from __future__ import annotations


def counted(count: int, one: str, several: str = "") -> str:
    """``1 byte``, ``2,000 bytes``; `several` where an s at the end does not make it."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"
