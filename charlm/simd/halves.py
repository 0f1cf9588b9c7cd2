"""Products of float32 in the processor's matrix tiles, which multiply nothing but bfloat16: of halves.

A number's upper half is the nearest bfloat16, its lower half the one nearest to what is left: together they have 16 of
its 24 bits. A product of two numbers is the sum of three, all but that of the lower halves, each exact, added up in
float32. It is off by 2^-15 of its size at most, and three products in tiles take less time than one in vectors.
Tiles take numbers below 2^-126, halves too, for zero; one above 3.39e38 has no upper half, and makes nan.

Halves of a row lie one behind the other, (2, depth), upper first. A panel is (depth / TILE_DEPTH, vectors, 2,
TILE_DEPTH / 2, WIDTH, 2): what one instruction reads lies in one piece, and the panel is read from end to end. Depths
are filled up with zeros to a multiple of TILE_DEPTH.

Source: Henry, Tang, Heinecke: Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
Computations (2019, arXiv:1904.06376).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from charlm.simd.processor import TILE_DEPTH, WIDTH

HALVES_PANEL = 2
"""Vectors across a panel."""


def halves_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bits of both halves of float32 numbers: (...) -> (2, ...)"""
    upper = _nearest(values)
    lower = _nearest(values - (upper.astype(np.uint32) << 16).view(np.float32))
    return np.stack([upper, lower])


def _nearest(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The nearest bfloat16, of two the even one."""
    bits = values.view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype(np.uint16)


def pack_halves(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """A matrix (columns, depth) as panels (panels, ...), each as this module says; the last is filled up with zeros."""
    wide = HALVES_PANEL * WIDTH
    filled = np.zeros((-(-matrix.shape[0] // wide) * wide, filled_depth(matrix.shape[1])), dtype=np.float32)
    filled[: matrix.shape[0], : matrix.shape[1]] = matrix
    # halves, panels, vectors, columns of a vector, depths, pairs, numbers of a pair
    parts = halves_of(filled).reshape(2, -1, HALVES_PANEL, WIDTH, filled.shape[1] // TILE_DEPTH, TILE_DEPTH // 2, 2)
    panels: npt.NDArray[np.uint16] = parts.transpose(1, 4, 2, 0, 5, 3, 6)
    return panels


def filled_depth(depth: int) -> int:
    """A depth with what fills it up."""
    return -(-depth // TILE_DEPTH) * TILE_DEPTH
