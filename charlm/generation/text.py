"""From ids to characters: whole characters only, up to a length or a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from charlm.errors import ConfigError

# How Python carries bytes that are not UTF-8.
_BYTES = "".join(map(chr, range(0xDC80, 0xDD00)))


class Growth(NamedTuple):
    """Where a text stands: a value, so that beam search can go on from it twice.

    Attributes:
        characters: given out so far.
        pending: bytes of a character that is not complete yet, at most three.
        tail: the last characters, as many as a stop string may have begun in.
        given: bytes at the prompt's end that begin a character, which the text may complete; they come before
            `pending`.
    """

    characters: int = 0
    pending: bytes = b""
    tail: str = ""
    given: bytes = b""


def cut_prompt(prompt: str) -> tuple[str, bytes]:
    """A prompt without the bytes at its end that begin a character, and those bytes, at most three."""
    whole = prompt.rstrip(_BYTES)
    run = prompt[max(len(whole), len(prompt) - 3) :].encode("utf-8", "surrogateescape")
    for length in range(len(run), 0, -1):
        begun = run[len(run) - length :]
        _, used = codecs.utf_8_decode(begun, "replace", False)
        if not used:  # what is begun is not decoded yet
            return prompt[: len(prompt) - length], begun
    return prompt, b""


class Rules:
    """When a text ends: at `length` characters, or after the first of the `stop` strings, which is kept.

    A character counts when its last byte is there; bytes that are not UTF-8 count as the U+FFFD they become.
    The prompt counts for nothing, and no stop string begins in it.
    """

    def __init__(self, length: int, stop: Sequence[str] = ()) -> None:
        """Raises `ConfigError` for an empty stop string."""
        if "" in stop:
            raise ConfigError("stop must not be an empty text: every text ends after it")
        self.length = length
        self.stop = tuple(stop)
        self._tail = max(map(len, stop), default=1) - 1

    def grow(self, growth: Growth, piece: bytes) -> tuple[str, Growth, str | None]:
        """Add the bytes of one id: the characters it completes, where the text stands, and why it ends, if it does."""
        if not growth.given:
            return self._grown(growth, growth.pending + piece)
        data = growth.given + growth.pending + piece
        text, used = codecs.utf_8_decode(data, "replace", False)
        if not used:
            return "", growth._replace(pending=growth.pending + piece), None
        begun = growth._replace(given=b"", pending=b"")
        if text[0].encode() == data[: len(text[0].encode())]:
            return self._grown(begun, data)
        # the prompt ends in bytes that begin no character: they stay what they are, and count for nothing
        text, after, reason = self._grown(begun, growth.pending + piece)
        return growth.given.decode("utf-8", "surrogateescape") + text, after, reason

    def _grown(self, growth: Growth, data: bytes) -> tuple[str, Growth, str | None]:
        """`grow` by bytes of which none was decoded yet."""
        text, used = codecs.utf_8_decode(data, "replace", False)
        reason = None
        if self.stop and text:
            seen = growth.tail + text
            ends = [at + len(stop) for stop in self.stop if (at := seen.find(stop)) >= 0]
            if ends:
                text, reason = text[: min(ends) - len(growth.tail)], "stop"
        if growth.characters + len(text) >= self.length:
            # a stop string that ends exactly at the length is still a stop
            reason = reason if growth.characters + len(text) == self.length and reason else "length"
            text = text[: self.length - growth.characters]
        tail = (growth.tail + text)[-self._tail :] if self._tail else ""
        return text, Growth(growth.characters + len(text), data[used:], tail), reason
