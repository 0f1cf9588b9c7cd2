"""No more than so many characters in a row out of the training text."""

from __future__ import annotations

import codecs
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.errors import ConfigError
from charlm.generation.quotes import POWERS, Hashes, Quotes, codes_of, hash_of
from charlm.generation.transform import Learnt, Logits, Transform

# Bytes of a character that may stand unfinished at either end of what is looked at.
UNFINISHED = 3
# What ids write is kept for so many unfinished characters at once.
MOST_PENDING = 64


class Ways(NamedTuple):
    """How a text may go on from here: all beginnings of what the ids would write, each once (M of them).

    Attributes:
        texts: at most N + 1 characters of each, the last ones.
        lengths, hashes: of those, (M,).
        ids, way: (K,) the id `ids[k]` writes, among others, the way `way[k]`.
    """

    texts: list[str]
    lengths: npt.NDArray[np.intp]
    hashes: Hashes
    ids: npt.NDArray[np.intp]
    way: npt.NDArray[np.intp]


class MaxCopy(Transform):
    """Rules out every symbol that would make more than N characters in a row a quotation from the training text,
    prompt included, unless none would be left.

    Characters are compared, not ids, so that another spelling of a text in sub-words or bytes is a copy as well.
    """

    field = "max_copy"

    def __init__(self, value: Any, learnt: Learnt | None = None) -> None:
        super().__init__(value)
        if learnt is None or learnt.text is None:
            raise ConfigError("max_copy needs the text that the model was trained on")
        self.history = 4 * self.value + 2 * UNFINISHED
        self._tokenizer = learnt.tokenizer
        self._pieces = [self._tokenizer.piece_bytes(index) for index in range(self._tokenizer.vocab_size)]
        self._quotes = Quotes(learnt.text, self.value + 1)
        self._ways: dict[bytes, Ways] = {}

    def __call__(self, logits: Logits, recent: Collection[int]) -> Logits:
        data = b"".join([self._pieces[index] for index in list(recent)[-self.history :]])
        text, used = decoded(data)
        ways = self._ways_from(data[used:])
        kept: Logits = logits.copy()
        kept[ways.ids[self._copies(text[-self.value :], ways)[ways.way]]] = -np.inf
        return kept if np.isfinite(kept).any() else logits

    def _copies(self, before: str, ways: Ways) -> npt.NDArray[np.bool_]:
        """(M,) whether the last N + 1 characters are in the training text, where the text went on that way."""
        taken = self.value + 1 - ways.lengths
        found: npt.NDArray[np.bool_] = taken <= len(before)
        reached = np.flatnonzero(found)
        # hash of the last 0, 1, 2, ... characters
        ends = np.zeros(len(before) + 1, dtype=np.uint64)
        np.cumsum(codes_of(before)[::-1] * POWERS[1 : len(before) + 1], out=ends[1:])
        hashes = ends[taken[reached]] * POWERS[ways.lengths[reached]] + ways.hashes[reached]
        found[reached] = self._quotes.contain(
            hashes, lambda at: before[len(before) - taken[reached[at]] :] + ways.texts[reached[at]]
        )
        return found

    def _ways_from(self, pending: bytes) -> Ways:
        """`pending`: the bytes of a character that is not complete yet."""
        if pending not in self._ways:
            if len(self._ways) >= MOST_PENDING:
                self._ways.clear()
            self._ways[pending] = ways_of(self._pieces, pending, self.value + 1)
        return self._ways[pending]


def ways_of(pieces: list[bytes], pending: bytes, longest: int) -> Ways:
    """How a text may go on by one of the pieces, after the bytes of an unfinished character."""
    numbers: dict[str, int] = {}
    ids, way = [], []
    for index, piece in enumerate(pieces):
        text, _ = decoded(pending + piece)
        for end in range(1, len(text) + 1):
            ids.append(index)
            way.append(numbers.setdefault(text[max(0, end - longest) : end], len(numbers)))
    return Ways(
        texts=list(numbers),
        lengths=np.array([len(text) for text in numbers], dtype=np.intp),
        hashes=np.array([hash_of(text) for text in numbers], dtype=np.uint64),
        ids=np.array(ids, dtype=np.intp),
        way=np.array(way, dtype=np.intp),
    )


def decoded(data: bytes) -> tuple[str, int]:
    """The characters of UTF-8, and of how many bytes; a byte that is no part of one is a character of its own."""
    return codecs.utf_8_decode(data, "surrogateescape", False)
