"""Long short-term memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.models.cells.cell import Cell, Weights
from charlm.models.state import LSTMState


class LSTM(Cell[LSTMState]):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997) with forget gate (Gers et al., 2000),
    without peepholes."""

    gates = 4
    state_type = LSTMState
    output_gain = 2.0  # outputs begin at 0.2, root mean square (measured: docs/models.md)

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """i  = sigmoid(W_i x + b_i + U_i h + c_i)
        f  = sigmoid(W_f x + b_f + U_f h + c_f)
        g  = tanh(W_g x + b_g + U_g h + c_g)
        o  = sigmoid(W_o x + b_o + U_o h + c_o)
        m' = f * m + i * g
        h' = o * tanh(m')
        """
        W, U, b, c = self.weights
        h, m = state
        i, f, g, o = (F.linear(x, W, b) + F.linear(h, U, c)).chunk(4, dim=-1)
        m = torch.sigmoid(f) * m + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(m)
        return h, LSTMState(h, m)

    @classmethod
    def initialise(cls, weights: Weights, generator: torch.Generator) -> None:
        """As every cell, but a forget gate that begins open, with bias 1: without it a gradient halves at
        each step (Gers et al., 2000; Jozefowicz et al., 2015)."""
        super().initialise(weights, generator)
        H = weights.recurrent_weight.shape[1]
        weights.input_bias[H : 2 * H] = 1.0
