"""Patterns for the names of archive members, documents and files: ``*``, ``?``, ``[abc]`` and ``**`` over folders."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from charlm.errors import ConfigError


def matches(name: str, pattern: str) -> bool:
    """Whether a ``/``-separated `name` is one that `pattern` describes.

    ``*`` and ``?`` stop at ``/``; ``**/`` stands for any number of folders, none included; a final
    ``**`` for everything below. Case counts.

    Raises:
        ConfigError: no pattern, such as ``[z-a]``.
    """
    return bool(_compiled(pattern).fullmatch(name))


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Whether `name` is described by one of `patterns`."""
    return any(matches(name, pattern) for pattern in patterns)


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    at = 0
    while at < len(pattern):
        piece, at = _piece(pattern, at)
        parts.append(piece)
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ConfigError(f"the pattern {pattern!r} cannot be used: {error}") from None


def _piece(pattern: str, at: int) -> tuple[str, int]:
    """The regular expression for what stands at `at`, and where the next piece starts."""
    if pattern.startswith("**/", at) and (at == 0 or pattern[at - 1] == "/"):
        return "(?:.*/)?", at + 3
    if pattern.startswith("**", at):
        return ".*", at + 2
    if pattern[at] == "*":
        return "[^/]*", at + 1
    if pattern[at] == "?":
        return "[^/]", at + 1
    # subtle: a ] right after [ or [! is a member of the set, as in a shell
    end = pattern.find("]", at + (3 if pattern.startswith("[!", at) else 2))
    if pattern[at] == "[" and end > 0:
        negated = pattern[at + 1] == "!"
        return f"(?!/)[{'^' if negated else ''}{_members(pattern[at + 1 + negated : end])}]", end + 1
    return re.escape(pattern[at]), at + 1


def _members(text: str) -> str:
    """The characters and ranges between brackets, as a regular expression has them."""
    # subtle: nothing but a range has a bare -, for two of them in a row may come to mean something else
    found = re.finditer(r"(.)-(.)|(.)", text, re.DOTALL)
    return "".join(re.escape(one[3]) if one[3] else f"{re.escape(one[1])}-{re.escape(one[2])}" for one in found)
