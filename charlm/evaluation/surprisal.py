"""How surprising each symbol of a text was: its own part of the total."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charlm.evaluation.predictions import Ids
from charlm.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Surprisal:
    """One symbol.

    Attributes:
        position: its number in the text that was scored, from 0.
        text: the characters that end with it, so that all texts together are the text, less a character that it
            ends within; empty within a character that is written as several bytes.
        nats: its loss, -log p; None for the first symbol, which is only read.
    """

    position: int
    text: str
    nats: float | None


Watch = Callable[[Surprisal], None]


class Surprisals:
    """Makes them of a text that comes in pieces, from its beginning."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._stream = tokenizer.stream()
        self._position = 0

    def first(self, ids: Ids) -> Iterator[Surprisal]:
        """The first of `ids`, if there is one."""
        return self._of(ids[:1], [None])

    def following(self, ids: Ids, nats: npt.NDArray[np.floating]) -> Iterator[Surprisal]:
        """The next symbols (n,), and their losses (n,)."""
        return self._of(ids, nats.tolist())

    def _of(self, ids: Ids, nats: list[float | None]) -> Iterator[Surprisal]:
        for index, loss in zip(ids.tolist(), nats, strict=False):
            yield Surprisal(self._position, self._stream.feed(index), loss)
            self._position += 1
