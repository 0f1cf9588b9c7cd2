"""What a scorer hands on: the loss of each prediction, and whether the likeliest symbol was right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """One entry for each predicted symbol, in text order; a text of N symbols has N - 1.

    Attributes:
        nats: (N - 1,) float32, -log p(target | the text before it).
        correct: (N - 1,) bool, whether the target was the likeliest symbol.
    """

    nats: npt.NDArray[np.float32]
    correct: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.nats)

    @property
    def total_nats(self) -> float:
        """Sum of the losses, added up in float64."""
        return float(self.nats.sum(dtype=np.float64))

    @property
    def nats_per_token(self) -> float | None:
        """Mean loss; None for no predictions."""
        return self.total_nats / len(self) if len(self) else None


def join_predictions(pieces: Iterable[Predictions]) -> Predictions:
    """All the pieces, one after the other."""
    parts = list(pieces)
    return Predictions(
        nats=np.concatenate([np.empty(0, np.float32), *(part.nats for part in parts)]),
        correct=np.concatenate([np.empty(0, np.bool_), *(part.correct for part in parts)]),
    )
