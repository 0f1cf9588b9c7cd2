"""Gated recurrent unit, reset gate before the matrix product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.models.cells.cell import Cell
from charlm.models.state import HiddenState


class GRUResetBefore(Cell[HiddenState]):
    """Gated recurrent unit as published (Cho et al., 2014, arXiv:1406.1078, equations 5 to 8): the
    reset gate forgets the state before the matrix product, so the candidate's product has to wait for it."""

    gates = 3
    state_type = HiddenState

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """r  = sigmoid(W_r x + b_r + U_r h + c_r)
        z  = sigmoid(W_z x + b_z + U_z h + c_z)
        n  = tanh(W_n x + b_n + U_n (r * h) + c_n)
        h' = (1 - z) * n + z * h
        """
        W, U, b, c = self.weights
        h = state.hidden
        H = h.shape[1]
        x_r, x_z, x_n = F.linear(x, W, b).chunk(3, dim=-1)
        h_r, h_z = F.linear(h, U[: 2 * H], c[: 2 * H]).chunk(2, dim=-1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + F.linear(r * h, U[2 * H :], c[2 * H :]))
        h = (1 - z) * n + z * h
        return h, HiddenState(h)
