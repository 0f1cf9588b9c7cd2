"""Vectors and matrix tiles of this machine's processor, compiled by Numba: what charlm's own loops are written in.

A function marked `compiled` may use `Vector` values, `WIDTH` numbers of float32 each, that `load` and `store`
move between registers and flat arrays of float32 or bfloat16 (held as uint16), and `accumulate`, a product of a
few rows with a panel of packed weights that never leaves the registers. Rows do not depend on one another: a
row's result is the same bit for bit, whichever rows stand beside it.

Nothing here knows a cell or a model, and nothing imports torch. The first call of a compiled function takes
seconds; its machine code is kept on disk for every process that comes after.
"""

from charlm.simd.activations import exp, sigmoid, tanh
from charlm.simd.compiling import compiled, telling
from charlm.simd.processor import HAS_BFLOAT16, WIDTH
from charlm.simd.tiles import MOST_ROWS, PANEL, accumulate
from charlm.simd.vectors import fill, largest, load, smallest, store, store_pairs, total, where_at_least, where_positive

__all__ = [
    "HAS_BFLOAT16",
    "MOST_ROWS",
    "PANEL",
    "WIDTH",
    "accumulate",
    "compiled",
    "exp",
    "fill",
    "largest",
    "load",
    "sigmoid",
    "smallest",
    "store",
    "store_pairs",
    "tanh",
    "telling",
    "total",
    "where_at_least",
    "where_positive",
]
