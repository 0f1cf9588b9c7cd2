"""What goes into a layer: a sequence of vectors, or of names of vectors."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Lookup(NamedTuple):
    """Inputs that are rows of a table, as those of the lowest layer are: ``inputs[b, t] = rows[ids[b, t]]``, followed
    by ``beside[b, t]`` where there is that.

    A kernel may multiply each row by the weights once, however often it occurs in the window.
    """

    ids: Tensor  # (B, T) int64
    rows: Tensor  # (V, in), or (V, in - D)
    beside: Tensor | None = None  # (B, T, D)

    @property
    def width(self) -> int:
        """Numbers of an input."""
        return self.rows.shape[1] + (0 if self.beside is None else self.beside.shape[2])

    def gather(self) -> Tensor:
        """The inputs, (B, T, in); time-major in memory, as kernels read them. Raises `IndexError`."""
        found = F.embedding(self.ids.t(), self.rows)
        if self.beside is not None:
            found = torch.cat([found, self.beside.transpose(0, 1)], dim=2)
        return found.transpose(0, 1)


Inputs = Tensor | Lookup


class OutputLayer(NamedTuple):
    """What makes logits of a last layer's outputs y: ``weight y + bias``, and ``beside_weight beside`` where there is
    that."""

    weight: Tensor  # (V, H)
    bias: Tensor  # (V,)
    beside: Tensor | None = None  # (B, T, D)
    beside_weight: Tensor | None = None  # (V, D)


class Coins(NamedTuple):
    """Dropout as it was drawn: a unit is kept, and scaled, where its coin is not below `least`."""

    bits: Tensor  # int16, (T, B, features), or (1, B, features) for all steps
    least: int
    scale: float

    def mask(self, dtype: torch.dtype) -> Tensor:
        """What units are multiplied by."""
        mask = torch.empty(self.bits.shape, dtype=dtype, device=self.bits.device)
        torch.ge(self.bits, self.least, out=mask)
        return mask.mul_(self.scale)


def gathered(inputs: Inputs) -> Tensor:
    """The inputs as one tensor, (B, T, in)."""
    return inputs.gather() if isinstance(inputs, Lookup) else inputs


def number_format() -> torch.dtype:
    """Of products on a CPU: bfloat16 under autocast to it, else float32."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
