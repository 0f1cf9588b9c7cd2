"""From predictions to totals: what a text of any length leaves behind when it is scored piece by piece."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from charlm.evaluation.bootstrap import block_length, block_starts, bootstrap_interval
from charlm.evaluation.predictions import Ids, Predictions
from charlm.evaluation.score import Score
from charlm.streams import stretches
from charlm.tokenizers import Tokenizer


class Tally:
    """Adds up the predictions of one text as totals and block by block.

    Args:
        tokenizer: says what each predicted symbol amounts to.
        predictions: how many there will be, N - 1.
    """

    def __init__(self, tokenizer: Tokenizer, predictions: int) -> None:
        self.tokenizer = tokenizer
        self.tokens = 0
        self.right = 0
        self._bytes = 0
        self._block, blocks = block_length(predictions), len(block_starts(predictions))
        self._nats = np.zeros(blocks, np.float64)
        self._characters = np.zeros(blocks, np.int64)

    def add(self, predictions: Predictions, targets: Ids) -> None:
        """`targets`: (n,) the ids that the n `predictions`, which follow those of before, are of."""
        self.right += int(predictions.correct.sum())
        self.add_at(np.arange(self.tokens, self.tokens + len(targets)), predictions.nats, targets)

    def add_at(self, places: Ids, nats: npt.NDArray[np.floating], targets: Ids) -> None:
        """Losses in any order: (n,) the numbers of the predictions, from 0; their `nats`; the ids that they are of."""
        blocks = len(self._nats)
        block = np.minimum(places // self._block, blocks - 1)
        self._nats += np.bincount(block, nats, minlength=blocks)
        characters = np.bincount(block, self.tokenizer.characters_per_id[targets], minlength=blocks)
        self._characters += characters.astype(np.int64)
        self._bytes += int(self.tokenizer.bytes_per_id[targets].sum(dtype=np.int64))
        self.tokens += len(targets)

    @property
    def score(self) -> Score:
        """All that was added."""
        return Score(
            total_nats=float(self._nats.sum()),
            tokens=self.tokens,
            characters=int(self._characters.sum()),
            bytes=self._bytes,
        )

    @property
    def accuracy(self) -> float | None:
        """Share of the symbols that were the model's first choice; None for none."""
        return self.right / self.tokens if self.tokens else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of nats per character; None for a text too short for one."""
        return bootstrap_interval(self._nats, self._characters)


def score_of(predictions: Predictions, targets: Ids, tokenizer: Tokenizer) -> Score:
    """The score of `predictions` (n,), which are of the ids `targets` (n,): all of a text's but the first."""
    tally = Tally(tokenizer, len(targets))
    tally.add(predictions, targets)
    return tally.score


def score_of_total(total_nats: float, ids: Ids, tokenizer: Tokenizer) -> Score:
    """The score of something else that gave every symbol of `ids` but the first `total_nats` together."""
    characters = size = 0
    for targets in stretches(ids, first=1):
        characters += int(tokenizer.characters_per_id[targets].sum(dtype=np.int64))
        size += int(tokenizer.bytes_per_id[targets].sum(dtype=np.int64))
    return Score(total_nats=total_nats, tokens=max(0, len(ids) - 1), characters=characters, bytes=size)
