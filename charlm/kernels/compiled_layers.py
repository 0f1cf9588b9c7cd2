"""Cells over a whole window in charlm's own compiled loops: for training on a CPU.

What makes them fast: the lowest layer's input product is a look-up in a table; a step's sums, gates and state
stay in registers and cache; a thread keeps its lanes for a whole window, so none waits for another; weights are
multiplied in bfloat16 and summed up in float32 where the processor can; and what no step waits for, the
gradients of the weights, is one product over the window.

Products are in bfloat16 under autocast to it, else in float32. A gradient goes back once, as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.kernels.inputs import Inputs, Lookup
from charlm.kernels.loop_table import LOOPS, Loops
from charlm.kernels.loops import Gradients, Window
from charlm.kernels.panels import blocks_of, flat, matrix_of, pack, pack_back, round_up, widened
from charlm.kernels.team import shares, together
from charlm.simd import WIDTH

Tensors = tuple[Tensor, ...]


def run(cell: str, inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """One layer of the cell over a window; its arguments are those of a `charlm.kernels.Kernel`.

    The outputs are in the format of the products, the state after the window in that of the state before.
    """
    loops = LOOPS[cell]
    input_weight, recurrent_weight, input_bias, recurrent_bias = weights
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    if isinstance(inputs, Lookup) and len(inputs.rows) <= inputs.ids.numel():
        x, ids = None, inputs.ids.t().contiguous()
        product = F.linear(inputs.rows, input_weight).float()  # (V, GH)
    else:
        x = (inputs.gather() if isinstance(inputs, Lookup) else inputs).transpose(0, 1)  # (T, B, in)
        ids, product = torch.zeros(x.shape[:2], dtype=torch.int64), torch.zeros(1, 1)
    start = _planes(product + input_bias, loops, loops.input_order, 0)
    start = start + _planes(recurrent_bias, loops, range(loops.gates), loops.recurrent_plane)
    with torch.autocast("cpu", enabled=False):
        y, *after = _Layer.apply(  # type: ignore[no-untyped-call]
            loops, dtype, torch.is_grad_enabled(), ids, x, start, input_weight, recurrent_weight, *state
        )
    return y.transpose(0, 1), tuple(after)


def _planes(biases: Tensor, loops: Loops, order: Sequence[int], first: int) -> Tensor:
    """What is added to every plane: (..., GH) -> (rows, planes, H)."""
    blocks = biases.view(-1, loops.gates, biases.shape[-1] // loops.gates)
    if list(order) != list(range(loops.gates)):
        blocks = blocks[:, list(order)]
    return F.pad(blocks, (0, 0, first, loops.planes - loops.gates - first))


class _Layer(torch.autograd.Function):
    """The loops between torch's tensors. Time comes first: x (T, B, in) -> y (T, B, H)."""

    @staticmethod
    def forward(
        ctx: Any,
        loops: Loops,
        dtype: torch.dtype,
        keep: bool,
        ids: Tensor,
        x: Tensor | None,
        start: Tensor,
        input_weight: Tensor,
        recurrent_weight: Tensor,
        *state: Tensor,
    ) -> tuple[Tensor, ...]:
        (T, B), H, threads = ids.shape, recurrent_weight.shape[1], torch.get_num_threads()
        wide = round_up(H, loops.block)
        h = _room(state[0], T, wide, dtype)
        memory = _room(state[-1], T, wide, torch.float32) if loops.memory != "none" else start.new_empty(1)
        planes = torch.empty((T if keep else 1) * B * loops.planes * wide, dtype=dtype)
        recurrent = blocks_of(recurrent_weight, loops.gates, wide, wide, dtype)
        recurrent_panels = pack(recurrent, loops.block, threads)
        if x is None:
            given, inputs, input_panels = None, h, recurrent_panels  # not read
        else:
            inputs = widened(x.to(dtype), round_up(x.shape[2], WIDTH))
            given = blocks_of(input_weight, loops.gates, wide, inputs.shape[2], dtype)[list(loops.input_order)]
            input_panels = pack(given, loops.block, threads)
        window = Window(
            T=T,
            B=B,
            H=wide,
            depth=0 if x is None else inputs.shape[2],
            keep=keep,
            ids=flat(ids),
            start=flat(widened(start, wide)),
            x=flat(inputs),
            input_panels=input_panels,
            recurrent_panels=recurrent_panels,
            h=flat(h),
            memory=flat(memory),
            planes=flat(planes),
        )
        together([partial(loops.forward, first, last, window) for first, last in shares(B, threads)])
        ctx.loops, ctx.window, ctx.threads = loops, window, threads
        ctx.sizes = H, 0 if x is None else x.shape[2]
        ctx.tensors = h, planes, inputs, recurrent, given
        ctx.set_materialize_grads(False)
        last = [memory[-1] if loops.memory == "output" else h[-1], memory[-1]][: len(state)]
        return h[1:, :, :H], *(
            after[:, :H].to(before.dtype, copy=True) for after, before in zip(last, state, strict=True)
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_gradient: Tensor | None, *after: Tensor | None) -> tuple[Any, ...]:
        if ctx.tensors is None:
            raise RuntimeError("a layer's gradients were taken already; they can be taken once")
        loops, window, (H, width) = ctx.loops, ctx.window, ctx.sizes
        (h, planes, inputs, recurrent, given), ctx.tensors = ctx.tensors, None
        T, B, wide, depth = window.T, window.B, window.H, window.depth
        parts = shares(B, ctx.threads)
        start_gradient = torch.zeros(len(parts), len(window.start))
        x_gradient = torch.empty(T * B * depth, dtype=planes.dtype) if depth else planes
        carried = [_carried(after[0], B, wide), _carried(after[1] if len(after) > 1 else None, B, wide)]
        panels = pack_back(recurrent, ctx.threads)
        gradients = Gradients(
            start=start_gradient,
            x=flat(x_gradient),
            y=flat(
                torch.zeros(T, B, wide, dtype=planes.dtype)
                if y_gradient is None
                else widened(y_gradient.to(planes.dtype), wide)
            ),
            h=flat(carried[0]),
            memory=flat(carried[1]),
            input_panels=pack_back(given, ctx.threads) if depth else panels,
            recurrent_panels=panels,
        )
        together(
            [
                partial(loops.backward, first, last, window, gradients._replace(start=flat(start_gradient[part])))
                for part, (first, last) in enumerate(parts)
            ]
        )
        rows = planes.view(T * B, loops.planes, wide)
        beside = rows[:, loops.recurrent_plane :][:, : loops.gates]
        recurrent_gradient = matrix_of(_product(beside, h[:-1]), H, H)
        x_back = input_gradient = None
        if depth:
            order = sorted(range(loops.gates), key=loops.input_order.__getitem__)
            input_gradient = matrix_of(_product(rows[:, : loops.gates], inputs)[order], H, width)
            x_back = x_gradient.view(T, B, depth)[:, :, :width]
        start_back = start_gradient.sum(0).view(-1, loops.planes, wide)[:, :, :H]
        if loops.memory == "output":
            carried[0] = carried[0] + carried[1]
        states = [each[:, :H] for each in carried[: len(after)]]
        return None, None, None, None, x_back, start_back, input_gradient, recurrent_gradient, *states


def _room(state: Tensor, T: int, wide: int, dtype: torch.dtype) -> Tensor:
    """Room for a state over a window, (T + 1, B, wide), that begins with `state`."""
    B, H = state.shape
    room = torch.empty(T + 1, B, wide, dtype=dtype)
    room[0, :, :H] = state
    room[0, :, H:] = 0
    return room


def _carried(gradient: Tensor | None, B: int, wide: int) -> Tensor:
    """The gradient of the state after a window, for the loops to write over: (B, wide) float32."""
    room = torch.zeros(B, wide)
    if gradient is not None:
        room[:, : gradient.shape[1]] = gradient
    return room


def _product(planes: Tensor, values: Tensor) -> Tensor:
    """The gradient of weights, one product over the window: planes (TB, G, wide), values (T, B, depth)."""
    TB, gates, wide = planes.shape
    product = planes.flatten(1).t() @ values.reshape(TB, -1)
    return product.view(gates, wide, -1)
