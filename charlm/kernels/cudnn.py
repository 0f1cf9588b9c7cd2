"""cuDNN's recurrent layers, their weights cast into one flat piece of memory at each call.

cuDNN reads the weights of a call from one buffer in an order of its own. Where tensors do not lie like that, torch
warns and lets them be packed anew in every call, forward and backward. Here they are packed while they are cast:
one multi-tensor copy from the float32 weights into a fresh buffer, whose layout is asked of cuDNN once for each
shape. Nothing is kept from call to call, so masked weights fit, and averaged ones.

L layers can be one call (`layers`): cuDNN then works on several layers at the same time, which separate calls
cannot. On a CPU the same code runs over torch's own layers; that is how it is tested where there is no GPU.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from charlm.config.cells import GATES
from charlm.kernels.inputs import Inputs, gathered

Tensors = tuple[Tensor, ...]

# cell: the function under torch's layer, and the number that cuDNN knows it by
CELLS: dict[str, tuple[Callable[..., Any], int]] = {
    "elman": (torch._VF.rnn_tanh, 1),
    "elman-relu": (torch._VF.rnn_relu, 0),
    "gru": (torch._VF.gru, 3),
    "lstm": (torch._VF.lstm, 2),
}
# From this version on cuDNN's recurrent layers take bfloat16.
FIRST_WITH_BFLOAT16 = 91300


@functools.cache
def takes_bfloat16(device: torch.device, cell: str, H: int) -> bool:
    """Whether cuDNN has layers of H units in bfloat16 on this device, there and back; else they are slow or missing."""
    version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    if device.type != "cuda" or version is None or version < FIRST_WITH_BFLOAT16:
        return False
    if not torch.cudnn_is_acceptable(torch.empty(1, dtype=torch.bfloat16, device=device)):
        return False
    try:
        # which of its ways cuDNN takes depends on H, and not each of them has every format
        try_layer(device, cell, H, torch.bfloat16)
    except RuntimeError:
        return False
    return True


def try_layer(device: torch.device, cell: str, H: int, dtype: torch.dtype) -> None:
    """A layer there and back over two steps. Raises `RuntimeError` where it cannot be computed."""
    G = GATES[cell]
    shapes = [(G * H, H), (G * H, H), (G * H,), (G * H,)]
    weights = tuple(torch.zeros(shape, dtype=dtype, device=device, requires_grad=True) for shape in shapes)
    states = (torch.zeros(8, H, dtype=dtype, device=device),) * (2 if cell == "lstm" else 1)
    outputs, _ = layers(cell, torch.zeros(8, 2, H, dtype=dtype, device=device), [states], [weights])
    torch.autograd.grad(outputs.sum(), weights)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def layers(
    cell: str, inputs: Tensor, states: Sequence[Tensors], weights: Sequence[Tensors]
) -> tuple[Tensor, list[Tensors]]:
    """L layers over a window, nothing between them. Letters: B, T, H, L, G gates.

    Args:
        cell: a key of `CELLS`.
        inputs: (B, T, in), best time-major in memory.
        states: of each layer, tensors (B, H).
        weights: of each layer (input_weight (GH, in or H), recurrent_weight (GH, H), input_bias and recurrent_bias
            (GH,)), in any format: they are cast to that of autocast, or stay.

    Returns:
        outputs (B, T, H) of the last layer, and the states after the window in the format they came in.
    """
    function, _ = CELLS[cell]
    device = inputs.device
    autocast = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if autocast else weights[0][0].dtype
    carried = [torch.stack(parts).to(dtype) for parts in zip(*states, strict=True)]  # each (L, B, H)
    shapes = tuple(tuple(weight.shape) for weight in itertools.chain(*weights))
    with torch.autocast(device.type, enabled=False):
        flat = _Flatten.apply(_layout(cell, shapes, dtype, device), *itertools.chain(*weights))  # type: ignore[no-untyped-call]
        outputs, *after = function(
            inputs.to(dtype),
            carried if len(carried) > 1 else carried[0],
            flat,
            True,  # has_biases
            len(weights),  # num_layers
            0.0,  # dropout
            torch.is_grad_enabled(),  # train: cuDNN then keeps what its backward pass needs
            False,  # bidirectional
            True,  # batch_first
        )
    before = states[0][0].dtype
    return outputs, [tuple(part[index].to(before) for part in after) for index in range(len(states))]


def layer(cell: str, inputs: Inputs, state: Tensors, weights: Tensors) -> tuple[Tensor, Tensors]:
    """One layer, in the form of a kernel."""
    outputs, states = layers(cell, gathered(inputs), [state], [weights])
    return outputs, states[0]


@dataclass(frozen=True)
class Layout:
    """Where weights lie in a buffer of so many numbers of a format, in the order that they are given in."""

    numbers: int
    offsets: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype
    device: torch.device


@functools.cache
def _layout(cell: str, shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype, device: torch.device) -> Layout:
    if device.type != "cuda":
        ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
        return Layout(ends[-1], (0, *ends[:-1]), shapes, dtype, device)
    # asked with tensors of no other use: cuDNN puts them where it wants them
    with torch.inference_mode(False), torch.no_grad():
        tensors = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
        H, inputs = shapes[1][1], shapes[0][1]
        # weights of a layer, input size, cell, H, no projection, layers, batch_first, bidirectional
        buffer = torch._cudnn_rnn_flatten_weight(
            tensors, 4, inputs, CELLS[cell][1], H, 0, len(shapes) // 4, True, False
        )
    return Layout(buffer.numel(), tuple(int(tensor.storage_offset()) for tensor in tensors), shapes, dtype, device)


class _Flatten(torch.autograd.Function):
    """Copies of weights, cast, in one buffer; the gradients go back in the formats of the weights."""

    @staticmethod
    def forward(ctx: Any, layout: Layout, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.formats = [weight.dtype for weight in weights]
        # zeros: cuDNN may have left gaps, and must not find numbers there that are none
        buffer = torch.zeros(layout.numbers, dtype=layout.dtype, device=layout.device)
        # subtle: tensors over the same memory, not views of it, because autograd has rules of its own for views
        copies = [
            torch.empty(0, dtype=layout.dtype, device=layout.device).set_(
                buffer.untyped_storage(), offset, shape, (*shape[1:], 1)
            )
            for offset, shape in zip(layout.offsets, layout.shapes, strict=True)
        ]
        torch._foreach_copy_(copies, list(weights))
        return tuple(copies)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(gradient.to(dtype) for gradient, dtype in zip(gradients, ctx.formats, strict=True))
