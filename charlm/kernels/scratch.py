"""Memory that window after window computes in: to ask for pages anew each time takes as long as products."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from threading import Lock

import torch
from torch import Tensor

# of every piece: a cache line, a vector
ALIGNED = 64


class Scratch:
    """Pieces of one large piece of memory, which hold until `begin` is called again.

    The first window finds out how much it takes; until then, and beyond that, pieces are allocated one by one. It is
    for one window at a time: `taken` sees to that. A copy begins empty.
    """

    def __init__(self, parts: int = 0) -> None:
        """`parts`: threads that have one of their own in it."""
        self._used = 0
        self._ask_for(0)
        self._parts = [Scratch() for _ in range(parts)]
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()

    def release(self) -> None:
        """Give the memory back; it is not to be called while a window is computed."""
        self._ask_for(0)
        for part in self._parts:
            part.release()

    @contextlib.contextmanager
    def taken(self, parts: int) -> Iterator[Scratch]:
        """This scratch, begun, with those of `parts` threads, or another one while somebody else computes in it."""
        own = self._lock.acquire(blocking=False)
        scratch = self if own else Scratch()
        scratch.begin()
        scratch._parts += [Scratch() for _ in range(parts - len(scratch._parts))]
        try:
            yield scratch
        finally:
            if own:
                self._lock.release()

    def begin(self) -> None:
        """All pieces are free again."""
        if self._used > self._size:
            self._ask_for(self._used)
        self._used = 0

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor that holds anything."""
        count, size = math.prod(shape), dtype.itemsize
        begin, self._used = self._used, self._used + -(-count * size // ALIGNED) * ALIGNED
        if self._used > self._size:
            return torch.empty(shape, dtype=dtype)
        # one view of all memory as these numbers, for each piece takes time
        if dtype not in self._numbers:
            self._numbers[dtype] = self._memory.view(dtype)
        return self._numbers[dtype][begin // size : begin // size + count].view(shape)

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor of zeros."""
        return self.empty(*shape, dtype=dtype).zero_()

    def _ask_for(self, size: int) -> None:
        self._memory, self._size = torch.empty(size, dtype=torch.uint8), size
        self._numbers: dict[torch.dtype, Tensor] = {}

    def part(self, number: int) -> Scratch:
        """That of one thread, for what it needs no longer than until it begins it again."""
        return self._parts[number]
