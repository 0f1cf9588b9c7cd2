"""The one matrix product of the runtime: fast for one row, and exact whatever else is computed beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.runtime.state import Array

# A matrix-vector product of fewer numbers than this stays on one thread in every OpenBLAS (from 0.3.27 on
# the bound is 50 times higher). A thread's share may end within a vector register and be summed in another
# order there, so a larger product could depend on the thread count in its last bit.
LARGEST_TILE = 9216


class Product:
    """``x @ weight.T`` for rows x, one matrix-vector product a row and tile.

    The rows of the weight are cut in tiles of a few thousand numbers, all of one shape. Each (row, tile) is
    a product of its own, so row i of the result does not depend on the number of rows, nor on BLAS
    threads. (One product of all rows would be 1.6 times faster at 64 rows, and no BLAS promises its order
    of summation.) Tiles are the outer loop: a tile stays in the cache while every row passes it.
    """

    def __init__(self, weight: npt.NDArray[Any]) -> None:
        """weight: (rows, columns), copied."""
        self.rows, self.columns = weight.shape
        height = tile_height(self.rows, self.columns)
        padded = _aligned_zeros(-(-self.rows // height) * height, self.columns)
        padded[: self.rows] = weight
        # (rows, columns) -> (tiles, height, columns)
        self._tiles: Array = padded.reshape(-1, height, self.columns)

    def __call__(self, x: Array) -> Array:
        """x: (N, columns) -> (N, rows)"""
        if len(x) == 1:
            y: Array = np.matmul(self._tiles, x[0]).reshape(1, -1)
        else:
            # (tiles, 1, height, columns) @ (N, columns, 1) -> (tiles, N, height, 1) -> (N, tiles * height)
            columns = np.matmul(self._tiles[:, None], x[:, :, None])
            y = columns[..., 0].transpose(1, 0, 2).reshape(len(x), -1)
        return y[:, : self.rows]


def tile_height(rows: int, columns: int) -> int:
    """Rows in each tile: a multiple of 4, as even as can be, the tile smaller than `LARGEST_TILE`.

    From 2,304 columns on a tile of 4 rows is larger than that.
    """
    most = max(4, (LARGEST_TILE - 1) // columns // 4 * 4)
    tiles = -(-rows // most)
    return -(-rows // (4 * tiles)) * 4


def _aligned_zeros(rows: int, columns: int) -> Array:
    """Zeros that begin at a cache line: 8 % faster to read than where NumPy puts them."""
    memory = np.zeros(rows * columns + 16, dtype=np.float32)
    skipped = -memory.ctypes.data % 64 // 4
    return memory[skipped : skipped + rows * columns].reshape(rows, columns)
