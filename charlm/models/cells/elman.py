"""Simple recurrent units, with tanh or with rectified linear units."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.models.cells.cell import Cell
from charlm.models.state import HiddenState


class Elman(Cell[HiddenState]):
    """Simple recurrent network (Elman, 1990, "Finding structure in time")."""

    gates = 1
    state_type = HiddenState

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """h' = tanh(W x + b + U h + c)"""
        W, U, b, c = self.weights
        h = torch.tanh(F.linear(x, W, b) + F.linear(state.hidden, U, c))
        return h, HiddenState(h)


class ElmanReLU(Cell[HiddenState]):
    """Simple recurrent network of rectified linear units (Le et al., 2015, arXiv:1504.00941).

    It begins orthogonal like the others, not at the paper's identity: that one only adds up, and where the
    state is carried on and never reset the loss reaches millions (docs/models.md).
    """

    gates = 1
    state_type = HiddenState

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """h' = relu(W x + b + U h + c)"""
        W, U, b, c = self.weights
        h = torch.relu(F.linear(x, W, b) + F.linear(state.hidden, U, c))
        return h, HiddenState(h)
