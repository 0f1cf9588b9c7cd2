"""What the lowest sums of a layer begin with: a table of input products, or biases and an input to multiply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.kernels.inputs import Inputs, Lookup, gathered
from charlm.kernels.loop_table import LOOPS, Loops

Tensors = tuple[Tensor, ...]

# With fewer rows in a table there is little to gain by leaving some out.
FEW = 128


class LayerInput(NamedTuple):
    """A layer's input as its loops take it, time first."""

    ids: Tensor  # (T, B) int64: the row of `start` for each symbol
    x: Tensor | None  # (T, B, in): what of the input is left to multiply; None where `start` has all of its product
    start: Tensor  # (rows, planes, H): what each plane's sum begins with
    weight: Tensor  # (GH, in), of x; not read without it


def input_of(cell: str, inputs: Inputs, weights: Tensors) -> LayerInput:
    """The input of a layer with these weights; a table where that needs fewer products.

    Args:
        inputs: (B, T, in), or names of rows.
        weights: as in a `charlm.kernels.Kernel`.
    """
    if isinstance(inputs, Lookup):
        ids, rows = inputs.ids.t().contiguous(), inputs.rows
        if len(rows) > FEW:
            ids, rows = _occurring(ids, rows)
        if len(rows) <= ids.numel():
            x, looked_up, multiplied = None, weights[0], weights[0]
            if inputs.beside is not None:
                x = inputs.beside.transpose(0, 1)
                looked_up, multiplied = weights[0].tensor_split([rows.shape[1]], dim=1)
            product = F.linear(rows, looked_up).float()  # (rows, GH)
            return LayerInput(ids, x, start_of(cell, weights, product), multiplied)
    x = gathered(inputs).transpose(0, 1)
    return LayerInput(torch.zeros(x.shape[:2], dtype=torch.int64), x, start_of(cell, weights), weights[0])


def _occurring(ids: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The same look-up in a table of those rows alone that occur: most symbols of a large vocabulary do not."""
    there = torch.zeros(len(rows), dtype=torch.bool)
    there[ids] = True
    return (there.cumsum(0) - 1)[ids], rows[there]


def start_of(cell: str, weights: Tensors, product: Tensor | None = None) -> Tensor:
    """Biases, and the input's product (rows, GH) where there is one, by planes: (rows, planes, H)."""
    loops, (_, _, input_bias, recurrent_bias) = LOOPS[cell], weights
    below = input_bias if product is None else product + input_bias
    beside = _planes(recurrent_bias, loops, range(loops.gates), loops.recurrent_plane)
    return _planes(below, loops, loops.input_order, 0) + beside


def _planes(biases: Tensor, loops: Loops, order: Sequence[int], first: int) -> Tensor:
    """What is added to every plane: (..., GH) -> (rows, planes, H)."""
    blocks = biases.view(-1, loops.gates, biases.shape[-1] // loops.gates)
    if list(order) != list(range(loops.gates)):
        blocks = blocks[:, list(order)]
    # subtle: a copy where there is nothing to fill up too, for the two biases must not share one gradient
    return F.pad(blocks, (0, 0, first, loops.planes - loops.gates - first))
