"""Memory that window after window computes in: to ask for pages anew each time takes as long as products."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# of every piece: a cache line, a vector
ALIGNED = 64


class Scratch:
    """Pieces of one large piece of memory, which hold until `begin` is called again.

    The first window finds out how much it takes; until then, and beyond that, pieces are allocated one by one. It is
    for one window at a time.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)
        self._used = 0
        self._parts: list[Scratch] = []

    def begin(self) -> None:
        """All pieces are free again."""
        if self._used > len(self._memory):
            self._memory = torch.empty(self._used, dtype=torch.uint8)
        self._used = 0

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor that holds anything."""
        size = math.prod(shape) * dtype.itemsize
        begin, self._used = self._used, self._used + -(-size // ALIGNED) * ALIGNED
        if self._used > len(self._memory):
            return torch.empty(shape, dtype=dtype)
        return self._memory[begin : begin + size].view(dtype).view(shape)

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor of zeros."""
        return self.empty(*shape, dtype=dtype).zero_()

    def parts(self, count: int) -> list[Scratch]:
        """Scratch for each of `count` threads, begun by themselves."""
        self._parts += [Scratch() for _ in range(count - len(self._parts))]
        return self._parts[:count]
