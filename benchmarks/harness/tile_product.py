"""charlm's own matrix product, from the tiles that its loops are made of: one more candidate for the machine's peak."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch

# 1.0 in bfloat16, held as uint16
ONE = 0x3F80
# Rows of a part that stay in the nearest caches while the panels pass.
BLOCK = 96


def tile_product(dtype: torch.dtype, shape: tuple[int, int, int]) -> Callable[[int], object] | None:
    """So many products, each thread with its own rows; None without Numba, or bfloat16 that the processor lacks."""
    try:
        from charlm.simd import DEPTH_UNIT, HAS_BFLOAT16, PANEL, WIDTH
    except ImportError:
        return None
    M, K, N = shape
    columns = PANEL * WIDTH
    if N % columns or (dtype == torch.bfloat16 and (not HAS_BFLOAT16 or K % DEPTH_UNIT)):
        return None
    one, kind = (ONE, np.uint16) if dtype == torch.bfloat16 else (1, np.float32)
    threads = torch.get_num_threads()
    # subtle: all numbers are ones, so packed weights are the weights
    weights = np.full(K * N, one, dtype=kind)
    parts = [np.full(len(rows) * K, one, dtype=kind) for rows in np.array_split(np.arange(M), threads)]
    results = [np.empty(len(part) // K * N, dtype=np.float32) for part in parts]
    multiply = _compiled()

    def run(count: int) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part, out: multiply(part, weights, out, K, N, count), parts, results))

    run.results = results
    return run


@cache
def _compiled() -> Any:
    import numba

    from charlm.simd import (
        PANEL,
        WIDTH,
        begin_products,
        empty_floats,
        end_products,
        load,
        most_rows,
        multiply,
        rows_of_tile,
        store,
    )

    columns = PANEL * WIDTH

    def products(x: Any, weights: Any, out: Any, K: int, N: int, count: int) -> None:
        """out = x @ weights, `count` times. x: (M, K), weights: (N / columns, K, columns), out: (M, N), all flat."""
        M = len(x) // K
        sums = empty_floats(most_rows(x) * columns)
        for _ in range(count):
            for block in range(0, M, BLOCK):
                end = min(block + BLOCK, M)
                tiles, height = begin_products(x, end - block)
                for panel in range(N // columns):
                    for tile in range(tiles):
                        row, rows = rows_of_tile(block, end, tile, tiles)
                        multiply(x, row * K, K, 1, rows, height, weights, panel * columns * K, K, PANEL, sums)
                        for r in range(rows):
                            for place in range(0, columns, WIDTH):
                                store(out, (row + r) * N + panel * columns + place, load(sums, r * columns + place))
        end_products(x)

    return numba.njit(nogil=True, error_model="numpy")(products)
