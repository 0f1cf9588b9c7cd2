"""Cells over a whole window in charlm's own compiled loops: for training on a CPU.

What makes them fast: the lowest layer's input product is a look-up in a table; a step's sums, gates and state
stay in registers and cache; a thread keeps its lanes for a whole window, so no step waits for another thread; weights
are multiplied in bfloat16 and summed up in float32 where the processor can; and what no step waits for, the
gradients of the weights, is one product over the window.

Products are in bfloat16 under autocast to it, else in float32. A gradient goes back once, as in training.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.kernels.inputs import Inputs, number_format
from charlm.kernels.layer_input import LayerInput, input_of
from charlm.kernels.layer_window import LayerWindow
from charlm.kernels.panels import widened
from charlm.kernels.scratch import Scratch
from charlm.kernels.team import Work, team_size, together

Tensors = tuple[Tensor, ...]


def run(cell: str, inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """One layer of the cell over a window; its arguments are those of a `charlm.kernels.Kernel`.

    The outputs are in the format of the products, the state after the window in that of the state before.
    """
    given = input_of(cell, inputs, weights)
    dtype, keep = number_format(), torch.is_grad_enabled()
    with torch.autocast("cpu", enabled=False):
        y, *after = _Layer.apply(  # type: ignore[no-untyped-call]
            cell, dtype, keep, *given, weights[1], *state
        )
    return y.transpose(0, 1), tuple(after)


class _Layer(torch.autograd.Function):
    """A `LayerWindow` for torch. Time comes first: x (T, B, in) -> y (T, B, H)."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        dtype: torch.dtype,
        keep: bool,
        ids: Tensor,
        x: Tensor | None,
        start: Tensor,
        input_weight: Tensor,
        recurrent_weight: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        threads = team_size()
        scratch = Scratch(threads)
        given = LayerInput(ids, x, start, input_weight)
        # asked for on the way back, they tell when somebody has changed what the layer still reads
        ctx.save_for_backward(input_weight, recurrent_weight, *(() if x is None else (x,)))
        layer = LayerWindow(cell, dtype, given, recurrent_weight, state, keep=keep, threads=threads, scratch=scratch)
        together([partial(layer.forward, part) for part in range(len(layer.parts))])
        ctx.layer = layer
        ctx.set_materialize_grads(False)
        return layer.outputs[:, :, : layer.H], *layer.after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y: Tensor | None, *after: Tensor | None) -> tuple[Any, ...]:
        layer: LayerWindow | None = ctx.layer
        if layer is None:
            raise RuntimeError("a layer's gradients were taken already; they can be taken once")
        _ = ctx.saved_tensors
        ctx.layer = None
        dtype = layer.outputs.dtype
        layer.start_back(torch.zeros_like(layer.outputs) if y is None else widened(y.to(dtype), layer.wide), after)
        _go_back(layer)
        found = layer.gradients()
        x = None if found.x is None else found.x[:, :, : layer.width]
        return None, None, None, None, x, found.start, found.input_weight, found.recurrent_weight, *found.state


def _go_back(layer: LayerWindow) -> None:
    """All parts, and the gradients of the weights."""
    work = Work()

    def back(part: int, thread: int) -> None:
        layer.backward(part)
        work.given(layer)

    for part in range(len(layer.parts)):
        work.add(partial(back, part), gives=[layer])
    layer.weight_gradients.add_packing(work)
    layer.weight_gradients.add_finding(work, needs=[layer], threads=layer.threads)
    work.run(layer.threads)
