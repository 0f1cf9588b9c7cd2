"""The gradient of a weight matrix: between torch's tensors and `charlm.kernels.gradient_loops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from charlm.kernels.gradient_loops import Applied, add_shares, sum_window
from charlm.kernels.panels import Array, flat, padding, round_up
from charlm.kernels.scratch import Scratch
from charlm.simd import DEPTH_UNIT, PANEL, WIDTH

WIDE = PANEL * WIDTH

# Rows of a window, lanes times steps, that a product takes at a time: what it reads again and again stays in cache, and
# what is packed for it stays small.
ROWS = 512


class Lanes(NamedTuple):
    """A part's lanes of a window, and the scratch of the thread that computes them."""

    part: int
    first: int
    last: int
    T: int
    B: int
    scratch: Scratch


class WeightGradient:
    """The sum of `planes.T @ values`, (rows, columns).

    Each part finds its share, so that no thread waits for another; when all have, the shares are added up.

    Attributes:
        total: of all parts: (rows, columns), the columns filled up to whole panels.
    """

    def __init__(self, parts: int, rows: int, columns: int, scratch: Scratch) -> None:
        """`rows` must be a multiple of what `charlm.kernels.panels.padding` says for the format of the planes."""
        self.rows, self.columns, self.wide = rows, columns, round_up(columns, WIDE)
        self._shares = scratch.empty(parts, self.wide // WIDE, rows, WIDE)
        self.total = torch.empty(rows, self.wide, dtype=torch.float32)

    def applied(self, part: int, begin: int, values: Array) -> Applied:
        """A part's share, to be found.

        Args:
            begin: the number of the weight's first plane.
            values: what it was applied to, (T, B, columns).
        """
        return Applied(values, self.columns, begin, self.rows, self.wide, flat(self._shares[part]))

    def add_up(self, part: int, parts: int) -> None:
        """One part's rows of the total; there may be other parts than those that found shares."""
        first, last = self.rows * part // parts, self.rows * (part + 1) // parts
        add_shares(first, last, self.rows, self.wide, flat(self._shares), flat(self.total))


def find_gradients(lanes: Lanes, planes: Array, width: int, weights: Sequence[Applied]) -> None:
    """A part's shares of the gradients of some weights whose gates are in the same planes, (T, B, width)."""
    unit, dtype = (DEPTH_UNIT, torch.bfloat16) if planes.dtype == np.uint16 else (1, torch.float32)
    group = padding(dtype)
    if any(weight.rows % group for weight in weights):
        raise ValueError(f"planes of a weight must be a multiple of {group}: the loops look at no bounds")
    count = lanes.last - lanes.first
    steps = min(max(1, ROWS // count), lanes.T)
    rows, wide = round_up(steps * count, unit), max(weight.wide for weight in weights)
    lanes.scratch.begin()
    gates = flat(lanes.scratch.empty(rows * width, dtype=dtype))
    room = flat(lanes.scratch.empty(rows * wide, dtype=dtype))
    first, last, T, B = lanes.first, lanes.last, lanes.T, lanes.B
    sum_window(first, last, T, B, steps, unit, group, planes, width, tuple(weights), gates, room)
