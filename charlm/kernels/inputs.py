"""What goes into a layer: a sequence of vectors, or of names of vectors."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class Lookup(NamedTuple):
    """Inputs that are rows of a table, as those of the lowest layer are: ``inputs[b, t] = rows[ids[b, t]]``.

    A kernel may multiply each row by the weights once, however often it occurs in the window.
    """

    ids: Tensor  # (B, T) int64
    rows: Tensor  # (V, in)

    def gather(self) -> Tensor:
        """The inputs, (B, T, in); time-major in memory, as kernels read them. Raises `IndexError`."""
        return F.embedding(self.ids.t(), self.rows).transpose(0, 1)


Inputs = Tensor | Lookup


def gathered(inputs: Inputs) -> Tensor:
    """The inputs as one tensor, (B, T, in)."""
    return inputs.gather() if isinstance(inputs, Lookup) else inputs
