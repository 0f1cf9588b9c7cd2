"""What generation takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from charlm.runtime import Drawing, State


class Engine(Protocol):
    """A model that generation can ask, as `charlm.runtime.NumpyModel` is one.

    Row i of a result must be the same, bit for bit, whatever the other rows are and however many.
    """

    vocab_size: int

    def step(self, ids: npt.NDArray[Any], state: Any) -> tuple[npt.NDArray[np.float32], Any]:
        """ids: (N,), state of N rows -> logits (N, V), state after."""

    def prime(self, ids: npt.NDArray[Any], n: int = 1) -> tuple[npt.NDArray[np.float32], Any]:
        """ids: (T,) -> logits (n, V) after the last id and its state, in n equal rows."""


@runtime_checkable
class DrawingEngine(Engine, Protocol):
    """An engine that draws many ids in one go, as those of Numba and torch do."""

    def read(self, ids: npt.NDArray[Any]) -> State:
        """ids: (T,), T >= 0 -> the state of one row after them."""

    def draw(
        self, texts: Drawing, uniforms: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Take texts (N rows) on by a step for each number of uniforms (N, T) -> ids and their nats, (N, T) each."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a sample ended.

    Attributes:
        reason: ``length``, or ``stop`` where a stop string was written.
        characters: of the text, without the prompt.
        tokens: ids drawn for it.
        nats: their negative log-likelihood under the model itself, before temperature and filters.
    """

    reason: str
    characters: int
    tokens: int
    nats: float


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some characters of one sample, whole ones only. The pieces of a sample, joined, are its text.

    Attributes:
        sample: index of the sample, from 0; pieces come in its order.
        is_prompt: this is the prompt, as it was given, and not of the model's making.
        ending: set on a sample's last piece and on no other; that piece's text may be empty.
    """

    sample: int
    text: str
    is_prompt: bool = False
    ending: Ending | None = None
