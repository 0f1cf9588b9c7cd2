"""Vectors and matrix tiles of this machine's processor, compiled by Numba: what charlm's own loops are written in.

A function marked `compiled` may use `Vector` values, `WIDTH` numbers of float32 each, that `load` and `store` move
between registers and flat arrays of float32 or bfloat16 (held as uint16), and `multiply` and `accumulate`, products of
a few rows with a panel of packed weights that never leave the registers. Rows do not depend on one another: a row's
result is the same bit for bit, whichever rows stand beside it.

Nothing here knows a cell or a model, and nothing imports torch. The first call of a compiled function takes
seconds; its machine code is kept on disk for every process that comes after. Of a loop that is opened by
`charlm.simd.entries` it runs without Numba.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from charlm.simd.processor import (
    BFLOAT16_PAYS,
    HAS_AMX,
    HAS_BFLOAT16,
    HAS_INT8,
    MOST_ROWS,
    PANEL,
    WIDTH,
)

if TYPE_CHECKING:
    from charlm.simd.activations import exp, sigmoid, tanh
    from charlm.simd.compiling import compiled, telling
    from charlm.simd.tiles import (
        DEPTH_UNIT,
        MOST_ROUNDED_ROWS,
        ROUNDED_UNIT,
        accumulate,
        begin_products,
        end_products,
        most_rows,
        multiply,
        rows_of_tile,
        there_and_back,
    )
    from charlm.simd.vectors import (
        copy_pairs,
        empty_floats,
        empty_shorts,
        fill,
        largest,
        load,
        smallest,
        store,
        store_pairs,
        total,
        turn,
        where_at_least,
        where_positive,
    )

__all__ = [
    "BFLOAT16_PAYS",
    "DEPTH_UNIT",
    "HAS_AMX",
    "HAS_BFLOAT16",
    "HAS_INT8",
    "MOST_ROUNDED_ROWS",
    "MOST_ROWS",
    "PANEL",
    "ROUNDED_UNIT",
    "WIDTH",
    "accumulate",
    "begin_products",
    "compiled",
    "copy_pairs",
    "empty_floats",
    "empty_shorts",
    "end_products",
    "exp",
    "fill",
    "largest",
    "load",
    "most_rows",
    "multiply",
    "rows_of_tile",
    "sigmoid",
    "smallest",
    "store",
    "store_pairs",
    "tanh",
    "telling",
    "there_and_back",
    "total",
    "turn",
    "where_at_least",
    "where_positive",
]

# Opened on first use: they import Numba.
_MODULES = {
    "activations": ("exp", "sigmoid", "tanh"),
    "compiling": ("compiled", "telling"),
    "tiles": (
        *("DEPTH_UNIT", "MOST_ROUNDED_ROWS", "ROUNDED_UNIT", "accumulate", "begin_products", "end_products"),
        *("most_rows", "multiply", "rows_of_tile", "there_and_back"),
    ),
    "vectors": (
        *("copy_pairs", "empty_floats", "empty_shorts", "fill", "largest", "load", "smallest", "store", "store_pairs"),
        *("total", "turn", "where_at_least", "where_positive"),
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
