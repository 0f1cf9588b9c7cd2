"""Gated recurrent unit, reset gate after the matrix product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.models.cells.cell import Cell
from charlm.models.state import HiddenState


class GRU(Cell[HiddenState]):
    """Gated recurrent unit (Cho et al., 2014, arXiv:1406.1078), with the reset gate applied after the
    matrix product, as in version 1 of that paper, in cuDNN and in torch: all products of a step are then one."""

    gates = 3
    state_type = HiddenState

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """r  = sigmoid(W_r x + b_r + U_r h + c_r)
        z  = sigmoid(W_z x + b_z + U_z h + c_z)
        n  = tanh(W_n x + b_n + r * (U_n h + c_n))
        h' = (1 - z) * n + z * h
        """
        W, U, b, c = self.weights
        h = state.hidden
        x_r, x_z, x_n = F.linear(x, W, b).chunk(3, dim=-1)
        h_r, h_z, h_n = F.linear(h, U, c).chunk(3, dim=-1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        h = (1 - z) * n + z * h
        return h, HiddenState(h)
