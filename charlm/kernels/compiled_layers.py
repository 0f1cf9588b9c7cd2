"""Cells over a whole window in charlm's own compiled loops: for training on a CPU.

What makes them fast: the lowest layer's input product is a look-up in a table; a step's sums, gates and state
stay in registers and cache; a thread keeps its lanes for a whole window, so none waits for another; weights are
multiplied in bfloat16 and summed up in float32 where the processor can; and what no step waits for, the
gradients of the weights, is one product over the window.

Products are in bfloat16 under autocast to it, else in float32. A gradient goes back once, as in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from charlm.kernels import elman_loops, gru_loops, lstm_loops
from charlm.kernels.inputs import Inputs, Lookup
from charlm.kernels.loops import Gradients, Window
from charlm.kernels.packing import pack_backward, pack_forward
from charlm.kernels.team import shares, together
from charlm.simd import PANEL, WIDTH

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Loops:
    """A cell's loops, and how its weights lie in the planes that they keep.

    Attributes:
        gates: blocks of H rows that each weight matrix has.
        planes: numbers kept for every unit and step.
        input_order: the block of the input weights that adds to plane 0, to plane 1, and so on.
        recurrent_plane: the plane that the first block of the recurrent weights adds to; the others follow.
        block: units are padded to a multiple of this.
        memory: what is carried in float32 beside the output: a ``state`` of its own, the ``output`` itself, ``none``.
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    gates: int
    planes: int
    input_order: tuple[int, ...]
    recurrent_plane: int = 0
    block: int = WIDTH
    memory: str = "none"


LOOPS = {
    "elman": Loops(
        forward=elman_loops.forward_tanh,
        backward=elman_loops.backward_tanh,
        gates=1,
        planes=1,
        input_order=(0,),
        block=PANEL * WIDTH,
    ),
    "elman-relu": Loops(
        forward=elman_loops.forward_rectified,
        backward=elman_loops.backward_rectified,
        gates=1,
        planes=1,
        input_order=(0,),
        block=PANEL * WIDTH,
    ),
    "gru": Loops(
        forward=gru_loops.forward,
        backward=gru_loops.backward,
        gates=3,
        planes=4,
        input_order=(2, 0, 1),
        recurrent_plane=1,
        memory="output",
    ),
    "lstm": Loops(
        forward=lstm_loops.forward,
        backward=lstm_loops.backward,
        gates=4,
        planes=4,
        input_order=(0, 1, 2, 3),
        memory="state",
    ),
}


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


def _planes(biases: Tensor, loops: Loops, order: Any, first: int) -> Tensor:
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
        (T, B), H = ids.shape, recurrent_weight.shape[1]
        ctx.sizes = H, 0 if x is None else x.shape[2]
        wide = _up(H, loops.block)
        h = _first(state[0], T, wide, dtype)
        memory = _first(state[-1], T, wide, torch.float32) if loops.memory != "none" else start.new_empty(1)
        ctx.inputs = None if x is None else F.pad(x.to(dtype), (0, _up(x.shape[2], WIDTH) - x.shape[2])).contiguous()
        depth = 0 if x is None else ctx.inputs.shape[2]
        planes = torch.empty((T if keep else 1) * B * loops.planes * wide, dtype=dtype)
        threads = torch.get_num_threads()
        recurrent = _padded(recurrent_weight, loops.gates, wide, wide, dtype)
        panels = _packed(recurrent, loops, wide, threads)
        ctx.weights = recurrent, None
        if x is not None:
            order = list(loops.input_order)
            given = _padded(input_weight, loops.gates, wide, depth, dtype)[order]
            ctx.weights = recurrent, given
        window = Window(
            T=T,
            B=B,
            H=wide,
            depth=depth,
            keep=keep,
            ids=_flat(ids),
            start=_flat(F.pad(start, (0, wide - H)).contiguous()),
            x=_flat(h if x is None else ctx.inputs),
            input_panels=panels if x is None else _packed(ctx.weights[1], loops, wide, threads),
            recurrent_panels=panels,
            h=_flat(h),
            memory=_flat(memory),
            planes=_flat(planes),
        )
        together([partial(loops.forward, first, last, window) for first, last in shares(B, threads)])
        ctx.loops, ctx.window, ctx.tensors, ctx.threads = loops, window, (h, memory, planes), threads
        ctx.set_materialize_grads(False)
        y = h[1:, :, :H]
        last = [memory[-1] if loops.memory == "output" else h[-1], memory[-1]][: len(state)]
        return y, *(after[:, :H].to(before.dtype, copy=True) for after, before in zip(last, state, strict=True))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_gradient: Tensor | None, *after: Tensor | None) -> tuple[Any, ...]:
        loops, window, (H, width) = ctx.loops, ctx.window, ctx.sizes
        if ctx.tensors is None:
            raise RuntimeError("a layer's gradients were taken already; they can be taken once")
        (h, _, planes), ctx.tensors = ctx.tensors, None
        T, B, wide, depth = window.T, window.B, window.H, window.depth
        dtype = planes.dtype
        given = torch.zeros(T, B, H, dtype=dtype) if y_gradient is None else y_gradient.to(dtype)
        carried = [torch.zeros(B, H) if one is None else one.float() for one in after]
        parts = shares(B, ctx.threads)
        start_gradient = torch.zeros(len(parts), len(window.start))
        x_gradient = torch.empty(T * B * depth, dtype=dtype) if depth else planes
        h_gradient = F.pad(carried[0], (0, wide - H)).contiguous().clone()
        memory_gradient = F.pad(carried[1] if len(after) > 1 else torch.zeros(B, H), (0, wide - H)).contiguous()
        y_given = F.pad(given, (0, wide - H)).contiguous()
        recurrent, inputs = ctx.weights
        panels = _packed_back(recurrent, ctx.threads)
        gradients = Gradients(
            start=start_gradient,
            x=_flat(x_gradient),
            y=_flat(y_given),
            h=_flat(h_gradient),
            memory=_flat(memory_gradient),
            input_panels=_packed_back(inputs, ctx.threads) if depth else panels,
            recurrent_panels=panels,
        )
        together(
            [
                partial(loops.backward, first, last, window, gradients._replace(start=_flat(start_gradient[part])))
                for part, (first, last) in enumerate(parts)
            ]
        )
        rows = planes.view(T * B, loops.planes, wide)
        first = loops.recurrent_plane
        recurrent_rows = rows[:, first : first + loops.gates].flatten(1)
        recurrent_gradient = _unpadded(recurrent_rows.t() @ h[:-1].view(T * B, wide), loops.gates, H, H)
        input_gradient, x_back = None, None
        if depth:
            product = rows[:, : loops.gates].flatten(1).t() @ ctx.inputs.view(T * B, depth)
            back = np.argsort(loops.input_order).tolist()
            input_gradient = _unpadded(product.view(loops.gates, wide, depth)[back], loops.gates, H, width)
            x_back = x_gradient.view(T, B, depth)[:, :, :width]
        if loops.memory == "output":
            h_gradient = h_gradient + memory_gradient
        start_back = start_gradient.sum(0).view(-1, loops.planes, wide)[:, :, :H]
        states = [h_gradient[:, :H], memory_gradient[:, :H]][: len(after)]
        return None, None, None, None, x_back, start_back, input_gradient, recurrent_gradient, *states


def _up(size: int, block: int) -> int:
    return -(-size // block) * block


def _flat(tensor: Tensor) -> np.ndarray[Any, Any]:
    """A contiguous tensor's numbers as compiled functions take them."""
    tensor = tensor.detach().view(-1)
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _first(state: Tensor, T: int, wide: int, dtype: torch.dtype) -> Tensor:
    """Room for a state over a window, (T + 1, B, wide), that begins with `state`."""
    B, H = state.shape
    room = torch.empty(T + 1, B, wide, dtype=dtype)
    room[0, :, :H] = state
    room[0, :, H:] = 0
    return room


def _padded(weight: Tensor, gates: int, wide: int, depth: int, dtype: torch.dtype) -> Tensor:
    """(GH, in) -> (G, wide, depth)"""
    rows, width = weight.shape
    blocks = weight.detach().to(dtype).view(gates, rows // gates, width)
    return F.pad(blocks, (0, depth - width, 0, wide - rows // gates))


def _unpadded(gradient: Tensor, gates: int, H: int, width: int) -> Tensor:
    """(G * wide, depth) -> (GH, in)"""
    blocks = gradient.view(gates, -1, gradient.shape[-1])
    return blocks[:, :H, :width].reshape(gates * H, width).float()


def _packed(weight: Tensor, loops: Loops, wide: int, threads: int) -> np.ndarray[Any, Any]:
    """(G, wide, depth) -> panels for going forward."""
    numbers = weight.contiguous().view(torch.int32)
    panels = np.empty(numbers.numel(), np.int32)
    task = partial(pack_forward, weight=_flat(numbers), panels=panels)
    sizes = {"planes": loops.gates, "H": wide, "depth": numbers.shape[2], "block": loops.block}
    together([partial(task, first, last, **sizes) for first, last in shares(wide // loops.block, threads)])
    return panels.view(np.uint16 if weight.dtype == torch.bfloat16 else np.float32)


def _packed_back(weight: Tensor, threads: int) -> np.ndarray[Any, Any]:
    """(G, wide, depth) -> panels for going back."""
    rows, columns = weight.shape[0] * weight.shape[1], weight.shape[2]
    numbers = _flat(weight.contiguous())
    count = -(-columns // (PANEL * WIDTH))
    panels = np.zeros(count * rows * PANEL * WIDTH, numbers.dtype)
    sizes = {"rows": rows, "columns": columns, "pairs": weight.dtype == torch.bfloat16}
    task = partial(pack_backward, weight=numbers, panels=panels, **sizes)
    together([partial(task, first, last) for first, last in shares(count, threads)])
    return panels
