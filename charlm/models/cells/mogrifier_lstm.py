"""Long short-term memory whose input and state change each other before each step."""

from __future__ import annotations

from itertools import zip_longest
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.models.cells.cell import Weights
from charlm.models.cells.lstm import LSTM
from charlm.models.initialisation import scaled_uniform_
from charlm.models.state import LSTMState


class MogrifierWeights(NamedTuple):
    """The weights of one layer, r rounds. Of rank K, each matrix is wide (rows, K) times narrow (K, columns)."""

    input_weight: Tensor  # (4H, in)
    recurrent_weight: Tensor  # (4H, H)
    input_bias: Tensor  # (4H,)
    recurrent_bias: Tensor  # (4H,)
    input_modulation: Tensor  # (in, H) or (in, K) for each round 1, 3, ..., one above the other
    hidden_modulation: Tensor | None  # (H, in) or (H, K) for each round 2, 4, ...
    input_modulation_narrow: Tensor | None  # (K, H) each, only of rank K
    hidden_modulation_narrow: Tensor | None  # (K, in) each, only of rank K


class MogrifierLSTM(LSTM):
    """Mogrifier LSTM (Melis et al., 2019, arXiv:1909.01792)."""

    weights_type = MogrifierWeights
    weights: MogrifierWeights  # type: ignore[assignment]

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """x <- 2 sigmoid(Q_1 h) * x
        h <- 2 sigmoid(R_2 x) * h
        x <- 2 sigmoid(Q_3 h) * x    and so on, r rounds; then the equations of the LSTM over x and h
        """
        h, m = state
        for Q, R in self._rounds:
            x = modulation(Q, h) * x
            if R:
                h = modulation(R, x) * h
        return LSTM(Weights(*self.weights[:4])).step(x, LSTMState(h, m))

    def __init__(self, weights: MogrifierWeights) -> None:
        super().__init__(weights)  # type: ignore[arg-type]
        inputs, H = weights.input_weight.shape[1], weights.recurrent_weight.shape[1]
        Q = _matrices(weights.input_modulation, weights.input_modulation_narrow, inputs)
        R = _matrices(weights.hidden_modulation, weights.hidden_modulation_narrow, H)
        self._rounds = list(zip_longest(Q, R, fillvalue=()))

    @classmethod
    def initialise(cls, weights: MogrifierWeights, generator: torch.Generator) -> None:  # type: ignore[override]
        """As the LSTM; the matrices of the rounds scaled uniform, so that what is multiplied is near 1 (section 2)."""
        super().initialise(Weights(*weights[:4]), generator)
        for matrix in weights[4:]:
            if matrix is not None:
                scaled_uniform_(matrix, generator)


def modulation(matrices: tuple[Tensor, ...], v: Tensor) -> Tensor:
    """2 sigmoid(M v) for M a product of matrices, first the one that is multiplied first."""
    for matrix in matrices:
        v = F.linear(v, matrix)
    return 2 * torch.sigmoid(v)


def _matrices(wide: Tensor | None, narrow: Tensor | None, rows: int) -> list[tuple[Tensor, ...]]:
    """The matrix of each round, or its two factors."""
    if wide is None:
        return []
    if narrow is None:
        return [(each,) for each in torch.split(wide, rows)]
    return list(zip(torch.split(narrow, wide.shape[1]), torch.split(wide, rows), strict=True))
