"""The gradient of a weight matrix: no step waits for it, so it is one product over the window, lanes by lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from charlm.kernels.loops import sum_products
from charlm.kernels.panels import Array, flat, pack_rows, round_up
from charlm.kernels.scratch import Scratch
from charlm.simd import PANEL, WIDTH

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
    """The sum of `planes.T @ values`, (rows, columns). Each part finds its share, that no thread waits for another."""

    def __init__(self, parts: int, rows: int, columns: int, scratch: Scratch) -> None:
        """`rows` must be whole vectors."""
        self.rows, self.columns = rows, round_up(columns, WIDE)
        self.totals = scratch.empty(parts, self.columns // WIDE, rows, WIDE)

    def add(self, part: int, planes: Array, begin: int, values: Array, *, fresh: bool) -> None:
        """Add a product to a part's share, or begin with it.

        Args:
            planes: packed by single vectors; those of this weight begin with plane number `begin`.
            values: packed by PANEL vectors.
        """
        depth = len(values) // self.columns
        unit = 2 if planes.dtype == np.uint16 else 1
        blocks = self.rows // WIDTH
        sum_products(depth, planes, begin * depth, blocks, unit, values, self.columns, flat(self.totals[part]), fresh)

    def total(self) -> Tensor:
        """Of all parts: (rows, columns), the columns filled up to whole panels."""
        found = torch.empty(self.rows, self.columns // WIDE, WIDE, dtype=torch.float32)
        torch.sum(self.totals.transpose(1, 2), 0, out=found)
        return found.view(self.rows, self.columns)


class Applied(NamedTuple):
    """What a weight was applied to, and where the planes of its gates begin."""

    gradient: WeightGradient
    begin: int
    values: Array  # (T, B, columns)
    columns: int


def find_gradients(lanes: Lanes, planes: Array, width: int, weights: Sequence[Applied]) -> None:
    """A part's shares of the gradients of some weights whose gates are in the same planes, (T, B, width)."""
    steps = max(1, ROWS // (lanes.last - lanes.first))
    for t in range(0, lanes.T, steps):
        some = min(steps, lanes.T - t)
        lanes.scratch.begin()
        gates = _packed(lanes, t, some, planes, width, 1)
        for weight in weights:
            values = _packed(lanes, t, some, weight.values, weight.columns, PANEL)
            weight.gradient.add(lanes.part, gates, weight.begin, values, fresh=t == 0)


def _packed(lanes: Lanes, t: int, steps: int, numbers: Array, columns: int, block: int) -> Array:
    """What the lanes hold in some steps from t on, (T, B, columns), packed in panels of `block` vectors.

    They are the depth of a product then; see `charlm.kernels.packing`.
    """
    pairs = numbers.dtype == np.uint16
    rows = round_up(steps * (lanes.last - lanes.first), 2 if pairs else 1)
    dtype = torch.bfloat16 if pairs else torch.float32
    panels = flat(lanes.scratch.empty(rows * round_up(columns, block * WIDTH), dtype=dtype))
    begin = t * lanes.B * columns
    pack_rows(numbers)(lanes.first, lanes.last, steps, lanes.B, numbers, begin, columns, columns, block, panels)
    return panels
