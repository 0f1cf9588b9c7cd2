"""The 5-gram of `charlm eval`, written with as a model is: `charlm.generation` asks it for logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.evaluation.ngram import NGramModel
from charlm.runtime import State

Ids = npt.NDArray[Any]
ORDER = 5


class NGramEngine:
    """Interpolated Kneser-Ney behind the interface of an engine. Its state are the last `ORDER` - 1 ids."""

    def __init__(self, ids: Ids, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self._model = NGramModel(ids, vocab_size, ORDER)
        self._before = ORDER - 1
        self._known: dict[bytes, npt.NDArray[np.float32]] = {}

    def step(self, ids: Ids, state: State) -> tuple[npt.NDArray[np.float32], State]:
        """ids: (N,), state of N rows -> logits (N, V) of the id that follows, state after."""
        contexts = np.concatenate([state[0][0][:, 1:], np.asarray(ids, dtype=np.float32)[:, None]], axis=1)
        return np.stack([self._logits(context.astype(np.int64)) for context in contexts]), ((contexts,),)

    def prime(self, ids: Ids, n: int = 1) -> tuple[npt.NDArray[np.float32], State]:
        """ids: (T,), at least one -> logits (n, V) after the last id, the state of n equal rows.

        A text shorter than a context is taken to have begun with its first id several times over.
        """
        context = np.concatenate([np.repeat(ids[:1], self._before), ids])[-self._before :].astype(np.float32)
        state = np.repeat(context[None], n, axis=0)
        return np.repeat(self._logits(context.astype(np.int64))[None], n, axis=0), ((state,),)

    def _logits(self, context: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """(V,) log p of every id after a context (ORDER - 1,)."""
        key = context.tobytes()
        if key not in self._known:
            rows = np.empty((self.vocab_size, self._before + 1), dtype=np.int64)
            rows[:, :-1], rows[:, -1] = context, np.arange(self.vocab_size)
            ends = np.arange(self._before, rows.size, self._before + 1)
            self._known[key] = -self._model.nats_at(rows.reshape(-1), ends).astype(np.float32)
        return self._known[key]
