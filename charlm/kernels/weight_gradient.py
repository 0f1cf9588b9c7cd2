"""The gradient of a weight matrix: no step waits for it, so it is one product over the window, lanes by lanes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from charlm.kernels.loops import sum_products
from charlm.kernels.panels import Array, flat, pack_rows, round_up
from charlm.kernels.scratch import Scratch
from charlm.simd import PANEL, WIDTH

WIDE = PANEL * WIDTH


def packed(numbers: Array, T: int, B: int, first: int, last: int, columns: int, block: int, scratch: Scratch) -> Array:
    """What the lanes from `first` to `last` hold in all steps, (T, B, columns), packed in panels of `block` vectors.

    They are the depth of a product then; see `charlm.kernels.packing`.
    """
    pairs = numbers.dtype == np.uint16
    rows, dtype = round_up(T * (last - first), 2 if pairs else 1), torch.bfloat16 if pairs else torch.float32
    panels = flat(scratch.empty(rows * round_up(columns, block * WIDTH), dtype=dtype))
    pack_rows(numbers)(first, last, T, B, numbers, 0, columns, columns, block, panels)
    return panels


class WeightGradient:
    """The sum of `planes.T @ values`, (rows, columns). Each part finds its share, that no thread waits for another."""

    def __init__(self, parts: int, rows: int, columns: int, scratch: Scratch) -> None:
        """`rows` must be whole vectors."""
        self.rows, self.columns = rows, round_up(columns, WIDE)
        self.totals = scratch.empty(parts, self.columns // WIDE, rows, WIDE)

    def find(self, part: int, planes: Array, begin: int, values: Array) -> None:
        """A part's share: the product of what its lanes have.

        Args:
            planes: packed by single vectors; those of this weight begin with plane number `begin`.
            values: packed by PANEL vectors.
        """
        depth = len(values) // self.columns
        unit = 2 if planes.dtype == np.uint16 else 1
        blocks = self.rows // WIDTH
        sum_products(depth, planes, begin * depth, blocks, unit, values, self.columns, flat(self.totals[part]))

    def total(self) -> Tensor:
        """Of all parts: (rows, columns), the columns filled up to whole panels."""
        found = torch.empty(self.rows, self.columns // WIDE, WIDE, dtype=torch.float32)
        torch.sum(self.totals.transpose(1, 2), 0, out=found)
        return found.view(self.rows, self.columns)
