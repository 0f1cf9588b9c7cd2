"""Gradients of weights over a window: between torch's tensors and `charlm.kernels.gradient_loops`."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from charlm.kernels.gradient_loops import Applied, Summed, pack_pieces, sum_columns
from charlm.kernels.panels import Array, flat, padding, round_up
from charlm.kernels.scratch import Scratch
from charlm.kernels.team import Work
from charlm.simd import DEPTH_UNIT, PANEL, WIDTH

WIDE = PANEL * WIDTH

# What is read again and again has to stay in cache: places of a window that are summed at a time, and a job's sums. Of
# wide weights it has some columns all the same, for each job reads all that they are applied to.
PIECE = 512
SUMS, FEWEST_COLUMNS = 2**17, 128


class WeightGradients:
    """Of all weights that add to the same planes, and of what the planes' sums begin with.

    Name each weight with `of_weight`, add the jobs, run them. Places, columns and names are those of
    `charlm.kernels.gradient_loops`.

    Attributes:
        start: (names, columns), filled by the jobs.
    """

    def __init__(self, planes: Array, ids: Array, names: int, scratch: Scratch) -> None:
        """
        Args:
            planes: (places, columns), the gradient of each plane once the jobs run.
            ids: (places,), each below `names`: what a place's sums began with.
        """
        unit, dtype = (DEPTH_UNIT, torch.bfloat16) if planes.dtype == np.uint16 else (1, torch.float32)
        places = len(ids)
        columns, group = len(planes) // places, padding(dtype)
        self.start = torch.empty(names, columns, dtype=torch.float32)
        self._summed = Summed(planes, places, columns, PIECE, unit, group, ids, flat(self.start))
        self._dtype, self._scratch = dtype, scratch
        self._values, self._applied = list[tuple[Array, int]](), list[Applied]()

    def of_weight(self, values: Array, width: int, begin: int, count: int) -> Tensor:
        """The gradient of one of the weights, to be filled by the jobs: (count, width filled up to whole panels).

        Args:
            values: what it is applied to, (places, width); not written again before the jobs run.
            begin: the first column that is the weight's own.
            count: how many are.
        """
        summed, wide = self._summed, round_up(width, WIDE)
        if begin % summed.group or count % summed.group or not 0 <= begin <= begin + count <= summed.columns:
            raise ValueError(f"columns of a weight must be a multiple of {summed.group}: the loops look at no bounds")
        found = torch.empty(count, wide, dtype=torch.float32)
        packed = flat(self._scratch.empty(round_up(summed.places, summed.unit) * wide, dtype=self._dtype))
        self._values.append((values, width))
        self._applied.append(Applied(packed, wide, begin, count, flat(found)))
        return found

    def add_packing(self, work: Work, needs: Iterable[Hashable] = ()) -> None:
        """The jobs that get ready what the weights are applied to, once that is there."""
        for index in range(len(self._applied)):
            work.add(partial(self._pack, work, index), needs=needs, gives=[self])

    def _pack(self, work: Work, index: int, thread: int) -> None:
        summed, weight, (values, width) = self._summed, self._applied[index], self._values[index]
        pack_pieces(summed.places, summed.piece, summed.unit, values, width, weight.wide, weight.packed)
        work.given(self)

    def add_finding(self, work: Work, needs: Iterable[Hashable], threads: int) -> None:
        """The jobs that find the gradients, once the planes' are there; those of `add_packing` come first."""
        columns, group = self._summed.columns, self._summed.group
        fitting = SUMS // sum(weight.wide for weight in self._applied)
        some = round_up(min(max(FEWEST_COLUMNS, fitting), -(-columns // threads)), group)
        for first in range(0, columns, some):
            work.add(partial(self._find, first, min(first + some, columns)), needs=[self, *needs])

    def _find(self, first: int, last: int, thread: int) -> None:
        scratch, count = self._scratch.part(thread), last - first
        scratch.begin()
        depth = round_up(min(self._summed.piece, self._summed.places), self._summed.unit)
        across = flat(scratch.empty(depth * count, dtype=self._dtype))
        totals = flat(scratch.empty(count * sum(weight.wide for weight in self._applied)))
        sum_columns(first, last, self._summed, tuple(self._applied), across, totals)
