"""Between torch's tensors and the arrays of compiled loops: padded, flat, and weights in panels."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from charlm.kernels.packing import pack_forward, pack_rows
from charlm.kernels.scratch import Scratch
from charlm.kernels.team import shares, together
from charlm.simd import PANEL, ROUNDED_UNIT, WIDTH

Array = np.ndarray[Any, Any]

# With fewer numbers to put in their places, waking another thread would take longer.
SHARED = 2**18


def round_up(size: int, block: int) -> int:
    """The least multiple of `block` that is not below `size`."""
    return -(-size // block) * block


def padding(dtype: torch.dtype) -> int:
    """What numbers of units, inputs and symbols are rounded up to: whole vectors, and whole depths of products."""
    return ROUNDED_UNIT if dtype == torch.bfloat16 else WIDTH


def flat(tensor: Tensor) -> Array:
    """The numbers of a contiguous tensor, one after the other: float32, bfloat16 as uint16, or integers.

    Raises:
        ValueError: it is not contiguous; what is written would go elsewhere.
    """
    if not tensor.is_contiguous():
        raise ValueError("loops take contiguous tensors")
    # a small window is made of dozens of these, and each of torch's operations takes a microsecond
    if tensor.requires_grad:
        tensor = tensor.detach()
    numbers: Array = (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return numbers.reshape(-1)


def widened(tensor: Tensor, columns: int) -> Tensor:
    """Contiguous, with its last axis filled up with zeros; the tensor itself where that is nothing to do."""
    missing = columns - tensor.shape[-1]
    return F.pad(tensor, (0, missing)) if missing else tensor.contiguous()


def blocks_of(weight: Tensor, gates: int, wide: int, depth: int) -> Tensor:
    """A weight matrix by its gates, float32, filled up with zeros: (GH, in) -> (G, wide, depth)."""
    rows, width = weight.shape
    blocks = weight.detach().float().view(gates, rows // gates, width)
    missing = (0, depth - width, 0, wide - rows // gates)
    return F.pad(blocks, missing) if any(missing) else blocks.contiguous()


def pack(blocks: Tensor, block: int, dtype: torch.dtype, threads: int, scratch: Scratch) -> Array:
    """Panels for going forward, of `block` units each, from (G, wide, depth)."""
    gates, wide, depth = blocks.shape
    panels = flat(scratch.empty(blocks.numel(), dtype=dtype))
    task = partial(pack_forward, weight=flat(blocks), panels=panels, planes=gates, H=wide, depth=depth, block=block)
    together([partial(task, first, last) for first, last in shares(wide // block, _helpers(panels, threads))])
    return panels


def pack_back(blocks: Tensor, dtype: torch.dtype, threads: int, scratch: Scratch) -> Array:
    """Panels for going back, from (G, wide, depth)."""
    rows, columns = blocks.shape[0] * blocks.shape[1], blocks.shape[2]
    numbers, wide = flat(blocks), PANEL * WIDTH
    panels = flat(scratch.empty(round_up(columns, wide) * rows, dtype=dtype))
    tasks = []
    for first, last in shares(round_up(columns, wide) // wide, _helpers(panels, threads)):
        begin, end = first * wide, min(last * wide, columns)
        room = panels[begin * rows :]
        tasks.append(partial(pack_rows, 0, rows, numbers, begin, columns, end - begin, PANEL, room))
    together(tasks)
    return panels


def _helpers(panels: Array, threads: int) -> int:
    return threads if len(panels) >= SHARED else 1
