"""Muon: momentum with its singular values made equal, for the matrices inside a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from charlm.training import eager

MOMENTUM = 0.95
# of the polynomial a s + b s^3 + c s^5, applied so many times: singular values from 0.01 on end between 0.6 and 1.21
POLYNOMIAL, ROUNDS = (3.4445, -4.7750, 2.0315), 5
# An orthogonal matrix times this and the root of its longer side changes weights as much as a step of Adam does
# (root mean square), so that both take one learning rate.
ADAM_SIZE = 0.2
# The singular values go through the small matrix X X^T where X is so many times longer than wide: fewer products.
LONG = 1.5


class Muon(eager.AdamW):
    """Muon (Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural networks") for some parameters, AdamW
    for the others.

    A matrix moves along its Nesterov momentum, orthogonalised: every direction that the momentum has is taken equally
    far, the rare ones too. Rate and decoupled weight decay are those of AdamW, by the scale of Liu et al. (2025,
    arXiv:2502.16982).
    """

    def __init__(self, matrices: Iterable[Tensor], others: Iterable[Tensor], **settings: Any) -> None:
        """
        Args:
            matrices: two-dimensional, moved by Muon.
            others: moved by AdamW.
            settings: of `torch.optim.AdamW`, which hold for both where they apply.
        """
        super().__init__([{"params": list(matrices)}, {"params": list(others)}], **settings)
        # a fused kernel can leave its own step out, not that of the matrices
        self._step_supports_amp_scaling = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What loading ends with; AdamW's own wants a count of steps of every parameter."""
        torch.optim.Optimizer.__setstate__(self, state)

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Both, from the gradients as they are; parameters without a gradient stay."""
        group = self.param_groups[0]
        matrices = [parameter for parameter in group["params"] if parameter.grad is not None]
        gradients = [matrix.grad for matrix in matrices]
        for matrix, direction in zip(matrices, orthogonalised(self._momenta(matrices, gradients)), strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.sub_(direction * (group["lr"] * ADAM_SIZE * max(matrix.shape) ** 0.5))
        for matrix in matrices:
            matrix.grad = None  # AdamW leaves alone what has no gradient
        super().step()
        for matrix, gradient in zip(matrices, gradients, strict=True):
            matrix.grad = gradient

    def _momenta(self, matrices: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Nesterov momentum: m' = 0.95 m + g, from which the step takes g + 0.95 m'."""
        found = []
        for matrix, gradient in zip(matrices, gradients, strict=True):
            state = self.state[matrix]
            if not state:
                state["momentum"] = torch.zeros_like(matrix)
            momentum = state["momentum"].mul_(MOMENTUM).add_(gradient)
            found.append(gradient.add(momentum, alpha=MOMENTUM))
        return found


def orthogonalised(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Each matrix with its singular vectors kept and its singular values near 1; zero stays zero.

    Matrices of one shape go through the products together.
    """
    found: list[Tensor] = [torch.empty(0)] * len(matrices)
    for shape in dict.fromkeys(matrix.shape for matrix in matrices):
        places = [place for place, matrix in enumerate(matrices) if matrix.shape == shape]
        stacked = torch.stack([matrices[place] for place in places])
        for place, each in zip(places, newton_schulz(stacked), strict=True):
            found[place] = each
    return found


def newton_schulz(matrices: Tensor) -> Tensor:
    """`ROUNDS` times X <- a X + b X X^T X + c (X X^T)^2 X from X of norm 1: (N, rows, columns), each by itself.

    No singular vectors are computed: the polynomial acts on the singular values alone.
    """
    rows, columns = matrices.shape[1:]
    X = matrices.mT.contiguous() if rows > columns else matrices
    # subtle: a number in the place of an epsilon, so that a matrix of tiny numbers is not left small
    norm = X.norm(dim=(1, 2), keepdim=True)
    X = X / torch.where(norm > 0, norm, 1.0)
    X = _through_small(X) if max(rows, columns) > LONG * min(rows, columns) else _directly(X)
    return X.mT if rows > columns else X


def _directly(X: Tensor) -> Tensor:
    a, b, c = POLYNOMIAL
    for _ in range(ROUNDS):
        A = torch.bmm(X, X.mT)
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X


def _through_small(X: Tensor) -> Tensor:
    """The same with what multiplies X gathered first: X_k = P_k X and A_k = X_k X_k^T = P_k A P_k, all small."""
    a, b, c = POLYNOMIAL
    A = torch.bmm(X, X.mT)
    P = None
    for left in reversed(range(ROUNDS)):
        Q = torch.baddbmm(A, A, A, beta=b, alpha=c)
        Q.diagonal(dim1=1, dim2=2).add_(a)
        P = Q if P is None else torch.bmm(Q, P)
        if left:
            A = torch.bmm(torch.bmm(Q, A), Q)
    assert P is not None
    return torch.bmm(P, X)
