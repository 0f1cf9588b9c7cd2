"""The engine that codes in machine code; one compiled loop for everything."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from charlm.coding.call import KINDS, NUMBERS, Room
from charlm.coding.lanes import Advance, Lanes
from charlm.coding.layout import lay_out
from charlm.coding.whole import WholeModel
from charlm.runtime.numba_model import STEP_WORK
from charlm.runtime.packing import aligned
from charlm.simd import MOST_ROWS, PANEL, WIDTH
from charlm.simd.entries import Entry

# Products of a lane in one call of the compiled loop: about a tenth of a second, in which nothing else is heard.
WORK = 2**30


class CompiledEngine:
    """Lanes coded by Numba's machine code."""

    def __init__(self, model: WholeModel, threads: int = 1, on_compile: Callable[[], None] = lambda: None) -> None:
        """
        Args:
            threads: at most so many share the lanes; what is written does not depend on them.
            on_compile: told when the loop has to be compiled, which takes seconds.

        Raises:
            ImportError: the loop has to be compiled, and Numba cannot be imported.
        """
        self._model, self._threads = lay_out(model, PANEL * WIDTH), threads
        self._pool: ThreadPoolExecutor | None = None
        self._loop = Entry("coding", NUMBERS, KINDS, _entry, on_compile)

    def run(self, lanes: Lanes, advance: Advance) -> None:
        """See `charlm.coding.lanes.CodingEngine`."""
        N, M = lanes.ids.shape
        state = np.zeros(N * self._model.size("S"), dtype=np.int32)
        # reshape gives views: what the loop changes is changed for the caller
        arrays: list[npt.NDArray[Any]] = [*cast("tuple[npt.NDArray[Any], ...]", self._model), lanes.ids.reshape(-1)]
        arrays += [lanes.counts, state, lanes.coders.reshape(-1), lanes.stream, lanes.bounds]
        parts = min(self._threads, N)
        shared = list(itertools.pairwise(N * part // parts for part in range(parts + 1)))
        rooms = [self._room(last - first) for first, last in shared]
        steps = max(1, WORK * parts // ((self._model.weights.size + STEP_WORK) * N))
        for begin in range(0, M, steps):
            end = min(begin + steps, M)

            def task(number: int, begin: int = begin, end: int = end) -> None:
                self._loop([int(lanes.decoding), *shared[number], M, begin, end], [*arrays, *rooms[number]])

            self._share(task, parts)
            advance(int((np.minimum(lanes.counts, end) - begin).clip(min=0).sum()))

    def _share(self, task: Callable[[int], None], parts: int) -> None:
        if parts == 1:
            task(0)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "charlm")
        for future in [self._pool.submit(task, number) for number in range(parts)]:
            future.result()

    def _room(self, rows: int) -> Room:
        X, P, V, tile = *(self._model.size(name) for name in ("X", "P", "V")), MOST_ROWS * PANEL * WIDTH
        return Room(
            vectors=aligned(rows * (2 * X + P), np.int32),
            logits=np.zeros(rows * V, dtype=np.int32),
            shares=np.zeros(V, dtype=np.int64),
            sums=aligned(tile, np.int32),
            short=aligned(rows * X, np.int16),
            shifts=np.zeros(rows, dtype=np.int64),
        )


def _entry() -> Callable[..., None]:
    from charlm.coding.loops import entry

    made: Callable[..., None] = entry
    return made
