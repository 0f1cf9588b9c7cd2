"""A prompt read by an engine, and its last step handed out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.runtime.checking import check_ids
from charlm.runtime.state import Array, State, select

Ids = npt.NDArray[Any]


class Priming(ABC):
    """What an engine is that reads a text in its own way, and goes on from it step by step."""

    vocab_size: int

    @abstractmethod
    def read(self, ids: Ids) -> State:
        """The state of one row after ids (T,), T >= 0, from the beginning. Memory is flat in T."""

    @abstractmethod
    def step(self, ids: Ids, state: State) -> tuple[Array, State]:
        """ids: (N,), state of N rows -> logits (N, V) of the id that follows, state after."""

    def prime(self, ids: Ids, n: int = 1) -> tuple[Array, State]:
        """Read a text and hand out its last step n times over; equal, bit for bit, to one `step` an id.

        Args:
            ids: (T,), at least one.

        Returns:
            logits (n, V) of the id that follows the last one, and the state of n equal rows.

        Raises:
            RunError: no ids, or one outside the vocabulary.
        """
        ids = check_ids(ids, self.vocab_size)
        logits, after = self.step(ids[-1:], self.read(ids[:-1]))
        return np.repeat(logits, n, axis=0), select(after, [0] * n)
