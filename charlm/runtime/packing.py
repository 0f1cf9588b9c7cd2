"""Weight matrices in the order in which `charlm.simd` reads them; see `charlm.simd.tiles`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charlm.runtime.quantised import FORMATS, HALVES, quantise_rows
from charlm.runtime.state import Array

PLACE = ("weights", "columns_begin", "columns", "depth")


class Matrices:
    """Matrices of one precision, packed one behind the other.

    Attributes (complete after `finish`):
        weights: flat; float32, int16 or int8. (columns / panel, depth / group, panel, group) for each matrix, the
            last panel filled up with zeros; or uint16, panels of halves.
        scales: (sum of columns,) float32, of whole numbers.
        corrections: (sum of columns,) int32: what a sum of int8 products begins with, as activations are stored
            128 too high.
        places: int64, the entries `PLACE` for each matrix.
    """

    def __init__(self, precision: str, panel: int) -> None:
        """
        Args:
            precision: one of `charlm.runtime.PRECISIONS`, or `HALVES`.
            panel: columns of a panel, of all but halves.
        """
        self._precision, self._panel = precision, panel
        self._format = FORMATS.get(precision)
        self._packed: list[npt.NDArray[Any]] = []
        self._scales: list[Array] = []
        self._corrections: list[npt.NDArray[np.int32]] = []
        self._places: list[tuple[int, int, int, int]] = []
        self._size = self._columns = 0

    def add(self, matrix: Array) -> int:
        """Pack one, (columns, depth), a product's outputs by its inputs; returns its number."""
        packed = _in_halves(matrix) if self._precision == HALVES else self._in_panels(matrix)
        self._packed.append(packed)
        self._places.append((self._size, self._columns, *matrix.shape))
        self._size += packed.size
        self._columns += len(matrix)
        return len(self._places) - 1

    def _in_panels(self, matrix: Array) -> npt.NDArray[Any]:
        """In its panels; where the format is one of integers, its scales and corrections are kept."""
        columns, depth = matrix.shape
        group, whole = 1, matrix
        if self._format is not None:
            group = self._format.group
            whole, scales = quantise_rows(matrix, self._format)
            self._scales.append(scales)
            self._corrections.append(-128 * whole.sum(axis=1, dtype=np.int32))
        filled = -(-columns // self._panel) * self._panel
        if filled > columns:
            whole = np.concatenate([whole, np.zeros((filled - columns, depth), dtype=whole.dtype)])
        panels: npt.NDArray[Any] = whole.reshape(-1, self._panel, depth // group, group).transpose(0, 2, 1, 3)
        return panels

    def finish(self) -> None:
        """Copy all of them to their places."""
        self.weights = aligned(self._size, self._packed[0].dtype)
        begin = 0
        for packed in self._packed:
            # one pass of copying, from the order of the matrix to that of the panels
            np.copyto(self.weights[begin : begin + packed.size].reshape(packed.shape), packed)
            begin += packed.size
        self._packed.clear()
        self.scales: Array = np.concatenate([np.zeros(0, np.float32), *self._scales])
        self.corrections = np.concatenate([np.zeros(0, np.int32), *self._corrections])
        self.places = np.array(self._places, dtype=np.int64).reshape(-1)


def _in_halves(matrix: Array) -> npt.NDArray[np.uint16]:
    from charlm.simd.halves import pack_halves  # asks the processor, which no other engine has to

    return pack_halves(matrix)


def aligned(count: int, dtype: Any) -> npt.NDArray[Any]:
    """Room for so many numbers that begins at a cache line; what it holds is not said."""
    size = np.dtype(dtype).itemsize
    memory = np.empty(count * size + 64, dtype=np.uint8)
    skipped = -memory.ctypes.data % 64
    return memory[skipped : skipped + count * size].view(dtype)
