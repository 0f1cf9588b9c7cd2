"""Gradients of weights over a window: between torch's tensors and `charlm.kernels.gradient_loops`."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from charlm.kernels.gradient_loops import Applied, Sums, pack_pieces, sum_planes
from charlm.kernels.panels import Array, flat, padding, round_up
from charlm.kernels.scratch import Scratch
from charlm.kernels.team import Work
from charlm.simd import DEPTH_UNIT, PANEL, WIDTH

WIDE = PANEL * WIDTH

# What is read again and again has to stay in cache: rows of a window that are summed at a time, and planes of a job.
PIECE = 512
PLANES = 128


class WeightGradients:
    """Of all weights that add to the same planes, and of what the planes' sums begin with.

    Attributes:
        start: (names, width), filled by the jobs.
    """

    def __init__(self, planes: Array, ids: Array, names: int, scratch: Scratch) -> None:
        """
        Args:
            planes: (rows, width), the gradient of each plane once its jobs run.
            ids: (rows,), each below `names`: what a row's sums began with.
        """
        unit, dtype = (DEPTH_UNIT, torch.bfloat16) if planes.dtype == np.uint16 else (1, torch.float32)
        rows = len(ids)
        width, group = len(planes) // rows, padding(dtype)
        self.start = torch.empty(names, width, dtype=torch.float32)
        self._sums = Sums(planes, rows, width, PIECE, unit, group, ids, flat(self.start))
        self._dtype, self._scratch = dtype, scratch
        self._values, self._applied = list[tuple[Array, int]](), list[Applied]()

    def of_weight(self, values: Array, columns: int, begin: int, planes: int) -> Tensor:
        """The gradient of one of the weights, to be filled by the jobs: (planes, columns filled up to whole panels).

        Args:
            values: what it is applied to, (rows, columns).
            begin: the number of its first plane.
            planes: how many are its own.
        """
        sums, wide = self._sums, round_up(columns, WIDE)
        if begin % sums.group or planes % sums.group or not 0 <= begin <= begin + planes <= sums.width:
            raise ValueError(f"planes of a weight must be a multiple of {sums.group}: the loops look at no bounds")
        found = torch.empty(planes, wide, dtype=torch.float32)
        panels = flat(self._scratch.empty(round_up(sums.rows, sums.unit) * wide, dtype=self._dtype))
        self._values.append((values, columns))
        self._applied.append(Applied(panels, wide, begin, planes, flat(found)))
        return found

    def pack(self, work: Work, needs: Iterable[Hashable] = ()) -> None:
        """Add the jobs that get ready what the weights are applied to, once that is there."""
        for index in range(len(self._applied)):
            work.add(partial(self._pack, work, index), needs=needs, gives=[self])

    def _pack(self, work: Work, index: int, thread: int) -> None:
        sums, weight, (values, columns) = self._sums, self._applied[index], self._values[index]
        pack_pieces(sums.rows, sums.piece, sums.unit, values, columns, weight.wide, weight.values)
        work.given(self)

    def find(self, work: Work, needs: Iterable[Hashable], threads: int) -> None:
        """Add the jobs that find the gradients, once the planes' are there."""
        width = self._sums.width
        planes = min(PLANES, round_up(-(-width // threads), self._sums.group))
        for first in range(0, width, planes):
            work.add(partial(self._find, first, min(first + planes, width)), needs=[self, *needs])

    def _find(self, first: int, last: int, thread: int) -> None:
        scratch, count = self._scratch.part(thread), last - first
        scratch.begin()
        depth = round_up(min(self._sums.piece, self._sums.rows), self._sums.unit)
        gates = flat(scratch.empty(depth * count, dtype=self._dtype))
        totals = flat(scratch.empty(count * sum(weight.wide for weight in self._applied)))
        sum_planes(first, last, self._sums, tuple(self._applied), gates, totals)
