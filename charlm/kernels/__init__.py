"""Fast paths of cells over a whole window, each proven equal to its readable cell by a test.

A kernel knows arrays, not models: ``(inputs (B, T, in), state, weights) -> (outputs (B, T, H), state)``,
where `state` is a tuple of tensors (B, H) and `weights` are (input_weight (GH, in), recurrent_weight (GH, H),
input_bias (GH,), recurrent_bias (GH,)). Inputs may also be a `Lookup`. A cell without a kernel is stepped through
time as it reads.

Kernels come in families. Which one computes is said by `using`; `charlm.training.device` measures which is the
fastest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from charlm.kernels import cudnn, torch_layers
from charlm.kernels.inputs import Coins, Inputs, Lookup, OutputLayer, gathered, number_format
from charlm.kernels.scratch import Scratch
from charlm.kernels.words import Words, words

Tensors = tuple[Tensor, ...]
Kernel = Callable[[Inputs, Tensors, Tensors], tuple[Tensor, Tensors]]
WindowLoss = Callable[..., tuple[Tensor, list[Tensors]]]


def _compiled(cell: str, *arguments: Any) -> tuple[Tensor, Tensors]:
    # Numba is imported when it is needed
    from charlm.kernels.compiled_layers import run

    return run(cell, *arguments)


KERNELS: dict[str, dict[str, Kernel]] = {
    # under torch's own layers, on any device
    "torch": {
        "elman": torch_layers.elman,
        "elman-relu": torch_layers.elman_relu,
        "gru": torch_layers.gru,
        "lstm": torch_layers.lstm,
    },
    # the same with weights in one flat piece, as cuDNN wants them: what computes on CUDA
    "cudnn": {cell: partial(cudnn.layer, cell) for cell in cudnn.CELLS},
    # charlm's own loops in machine code: float32 weights on a CPU
    "compiled": {
        "elman": partial(_compiled, "elman"),
        "elman-relu": partial(_compiled, "elman-relu"),
        "gru": partial(_compiled, "gru"),
        "lstm": partial(_compiled, "lstm"),
    },
    # none: every cell as it reads
    "readable": {},
}


@dataclass(frozen=True, eq=False)
class _Asked:
    """A family that somebody asked for; equal to no other, however many ask for it."""

    family: str


_in_use = [_Asked("torch")]


@contextlib.contextmanager
def using(family: str) -> Iterator[None]:
    """While in here, layers compute with this family; where it does not fit, with torch's, which on CUDA is cuDNN's.

    For the whole process.
    """
    asked = _Asked(family)
    _in_use.append(asked)
    try:
        yield
    finally:
        _in_use.remove(asked)  # whoever asked later may still be at work


def find_kernel(cell: str, weight: Tensor) -> Kernel | None:
    """The kernel in use for a cell with weights like this one, or None: step it as it reads."""
    family = _in_use[-1].family
    if family == "compiled" and not _compiled_fits(weight):
        family = "torch"
    if family == "torch" and weight.device.type == "cuda":
        family = "cudnn"
    return KERNELS[family].get(cell)


def find_window_loss(weight: Tensor) -> WindowLoss | None:
    """What computes a whole window of compiled cells and its loss in one go, gradients along with it; None where
    kernels work alone.

    `charlm.kernels.compiled_window.window_loss` says what it takes.
    """
    if _in_use[-1].family != "compiled" or not torch.is_grad_enabled() or not _compiled_fits(weight):
        return None
    from charlm.kernels.compiled_window import window_loss

    return window_loss


def random_words(seed: int, count: int) -> Words:
    """`charlm.kernels.words.words`, by the kernels in use."""
    if _in_use[-1].family == "compiled":
        from charlm.kernels import word_loops

        return word_loops.words(seed, count)
    return words(seed, count)


def _compiled_fits(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    if not torch.is_autocast_enabled("cpu"):
        return True
    from charlm.simd import HAS_BFLOAT16

    return HAS_BFLOAT16 and torch.get_autocast_dtype("cpu") == torch.bfloat16


__all__ = [
    "KERNELS",
    "Coins",
    "Inputs",
    "Kernel",
    "Lookup",
    "OutputLayer",
    "Scratch",
    "WindowLoss",
    "find_kernel",
    "find_window_loss",
    "gathered",
    "number_format",
    "random_words",
    "using",
]
