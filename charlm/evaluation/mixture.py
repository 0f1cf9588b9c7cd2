"""A model's probabilities interpolated with those of the n-gram that is its baseline.

p(x) = (1 - w) p_model(x) + w p_ngram(x), Jelinek and Mercer (1980, Pattern Recognition in Practice:381-397). The two
err in different places, so a mixture is often better than both, and never worse than the worse of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from charlm.evaluation.additions import Addition, best_weight
from charlm.evaluation.ngram import NGramModel
from charlm.evaluation.predictions import Ids
from charlm.evaluation.reading import Advance, Block

ORDER = 5
MOST_AT_ONCE = 2**20


class NGramMixture(Addition):
    """The n-gram learns from the training text; for tuning, from what of it is not tuned on."""

    weight = 0.0

    @property
    def tuned(self) -> Mapping[str, float]:
        """`weight`: of the n-gram."""
        return {"weight": self.weight}

    @property
    def words(self) -> str:
        """What is done, with the weight."""
        return f"interpolated with a {ORDER}-gram of the training text, of weight {self.weight:.3f}"

    def tune(self, advance: Advance = None) -> None:
        """Find the weight of the least loss, of an n-gram that has not read the text."""
        text, V = self.learning.text, self.learning.vocab_size
        ngram = NGramModel(text.before_ids, V, ORDER)
        p, q = [], []
        for block in self.before.read(text.ids, advance):
            p.append(np.exp(-block.nats[block.counted]))
            q.append(np.exp(-ngram.nats_at(text.ids, block.places[block.counted])))
        self.weight = best_weight(np.concatenate(p), np.concatenate(q))
        unread = len(text.before_ids) < len(text.train_ids)
        self._ngram = NGramModel(text.train_ids, V, ORDER) if unread else ngram

    def read(self, ids: Ids, advance: Advance = None, /) -> Iterator[Block]:
        for block in self.before.read(ids, advance):
            nats = np.empty(block.nats.size)
            for start in range(0, nats.size, MOST_AT_ONCE):  # of a long piece, some at a time
                part = slice(start, start + MOST_AT_ONCE)
                p = np.exp(-block.nats.reshape(-1)[part])
                q = np.exp(-self._ngram.nats_at(ids, block.places.reshape(-1)[part]))
                with np.errstate(divide="ignore"):
                    nats[part] = -np.log((1 - self.weight) * p + self.weight * q)
            yield dataclasses.replace(block, nats=nats.reshape(block.nats.shape))
