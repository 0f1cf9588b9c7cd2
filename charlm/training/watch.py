"""Notice a training that goes wrong: a loss that is not finite, or that runs away."""

from __future__ import annotations

import math
from typing import Any

# The running loss is an exponential mean over about 1 / (1 - SMOOTHING) steps.
SMOOTHING = 0.98
FAST_SMOOTHING = 0.8
# A loss has run away when its fast mean lies this far above the lowest mean seen (factor, nats), and above this share
# of the first loss, which the symbols' frequencies alone give: passages of a text may be far harder than others.
RUNAWAY_FACTOR = 1.5
RUNAWAY_NATS = 0.75
RUNAWAY_SHARE = 0.75


class LossWatch:
    """Running means of the training loss, and the verdict on each new one."""

    def __init__(self) -> None:
        self.smoothed: float | None = None
        self._first: float | None = None
        self._fast: float | None = None
        self._lowest = math.inf

    def trouble(self, loss: float, gradient_norm: float) -> str | None:
        """Take in one step. Returns what is wrong in words, or None."""
        if not math.isfinite(loss):
            return f"the loss became {loss}"
        if not math.isfinite(gradient_norm):
            return f"the gradient became {gradient_norm}"
        self._first = loss if self._first is None else self._first
        self.smoothed = _blend(self.smoothed, loss, SMOOTHING)
        self._fast = _blend(self._fast, loss, FAST_SMOOTHING)
        self._lowest = min(self._lowest, self._fast)
        if self._fast > max(RUNAWAY_FACTOR * self._lowest + RUNAWAY_NATS, RUNAWAY_SHARE * self._first):
            return f"the loss rose from {self._lowest:.2f} to {self._fast:.2f} nats"
        return None

    def judge_step(self, before: float, after: float) -> str | None:
        """What is wrong with a step, in words, or None.

        Args:
            before: the loss of a window of it, which is of the weights before it.
            after: that of the same window with the weights that it made.
        """
        if not math.isfinite(after):
            return f"the loss became {after}"
        first = before if self._first is None else self._first
        if after > max(RUNAWAY_FACTOR * before + RUNAWAY_NATS, RUNAWAY_SHARE * first):
            return f"a step raised the loss of its own window from {before:.2f} to {after:.2f} nats"
        return None

    def state_dict(self) -> dict[str, Any]:
        """JSON-ready; infinity as None."""
        lowest = self._lowest if math.isfinite(self._lowest) else None
        return {"smoothed": self.smoothed, "first": self._first, "fast": self._fast, "lowest": lowest}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.smoothed, self._fast = values["smoothed"], values["fast"]
        self._first = values.get("first")  # older checkpoints do not have it
        self._lowest = math.inf if values["lowest"] is None else values["lowest"]


def _blend(mean: float | None, value: float, keep: float) -> float:
    return value if mean is None else keep * mean + (1 - keep) * value
