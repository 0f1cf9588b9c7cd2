"""Adagrad with one sum a row: for a table of which a step reads few rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.training import eager

# Against 0/0 where a row has no gradient: nothing beside any other.
EPSILON = 1e-10
# Each row moves as if it had occurred in so large a share of the steps more, each time with a usual gradient;
# docs/recipes.md has what that was found on.
PRIOR_SHARE = 0.1
# All rows decay together, for as many steps at once: each step would read and write the whole table.
DECAY_EVERY = 16


class RowAdagrad(eager.Optimizer):
    """Adagrad (Duchi et al., 2011, "Adaptive subgradient methods for online learning and stochastic optimization") that
    adds squared gradients up for a row in place of each number; with decoupled decay.

        s[r] <- s[r] + mean of g[r]^2
        u    <- u + mean of that over all rows that have a gradient
        w[r] <- w[r] - rate * g[r] / sqrt(s[r] + `PRIOR_SHARE` * u)
        w    <- (1 - lr * decay)^`DECAY_EVERY` w, every so many steps

    A row without a gradient does not move by itself, so with a sparse gradient a step costs what it reads, however
    large the table is; and a row that occurs often moves less each time. Without u, one that occurs once would move as
    far by that as another ever does: what it holds is that one place of the text, learnt by heart.
    """

    def __init__(self, table: Tensor, *, lr: float | Tensor, times: float, decay: float) -> None:
        """
        Args:
            table: (rows, numbers of each).
            lr: the learning rate of all else, a number or a tensor on the device.
            times: how many times that the rate of the table is.
            decay: what a row loses in a step at an `lr` of 1.
        """
        super().__init__([table], {"lr": lr, "times": times, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """From the gradient as it is, dense or sparse."""
        (group,) = self.param_groups
        (table,) = group["params"]
        if table.grad is None:
            return
        state, rate = self.state[table], group["lr"] * group["times"]
        if not state:
            # subtle: not called step, which torch would leave on the CPU when it loads it
            state["count"] = torch.zeros((), dtype=torch.float32, device=table.device)
            state["usual"] = torch.zeros((), dtype=torch.float32, device=table.device)
            state["sum"] = torch.zeros(len(table), 1, dtype=table.dtype, device=table.device)
        if table.grad.is_sparse:
            # what `coalesce` does, in less than half the time
            ordered, order = table.grad._indices()[0].sort(stable=True)
            rows, counts = ordered.unique_consecutive(return_counts=True)
            gradients = F.embedding_bag(order, table.grad._values(), counts.cumsum(0) - counts, mode="sum")
            squares = gradients.square().mean(1, keepdim=True)
            usual = state["usual"].add_(_mean_of_rows(squares))
            sums = squares.add_(state["sum"][rows])
            state["sum"][rows] = sums
            table.index_add_(0, rows, gradients.div_((sums + PRIOR_SHARE * usual).sqrt_().add_(EPSILON).div_(-rate)))
        else:
            squares = table.grad.square().mean(1, keepdim=True)
            usual = state["usual"].add_(_mean_of_rows(squares))
            sums = state["sum"].add_(squares)
            table.sub_(table.grad / ((sums + PRIOR_SHARE * usual).sqrt_() + EPSILON) * rate)
        due = state["count"].add_(1) % DECAY_EVERY == 0
        left = (1 - group["lr"] * group["decay"]) * torch.ones((), device=table.device)
        if table.device.type != "cpu":  # where nobody waits for a number
            table.mul_(torch.where(due, left.clamp(min=0) ** DECAY_EVERY, 1.0))
        elif due:
            table.mul_(left.clamp(min=0) ** DECAY_EVERY)


def _mean_of_rows(squares: Tensor) -> Tensor:
    """Of those that are not zero; 0 where all are."""
    return squares.sum() / (squares > 0).sum().clamp(min=1)
