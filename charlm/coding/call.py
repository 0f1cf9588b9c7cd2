"""How the compiled loop is called: the arrays that it works on, in their order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

NUMBERS = 6
"""decoding, first, last, M, begin, end: whole numbers before all arrays."""


class Room(NamedTuple):
    """What a thread works in; nothing in it means anything from one step to the next.

    Attributes:
        vectors: int32, (lanes, X) twice, then (lanes, P): a layer's input, the same normalised, and its planes.
        logits: int32, (lanes, V).
        shares: int64, (V,).
        sums: int32, one tile of a product.
        short: int16, (lanes, X).
        shifts: int64, (lanes,).
    """

    vectors: Any
    logits: Any
    shares: Any
    sums: Any
    short: Any
    shifts: Any


_MODEL = [np.int64, np.int32, np.int16, np.int64, np.int64, np.int32, np.int32]
_LANES = [np.int64, np.int64, np.int32, np.int64, np.uint8, np.int64]
_ROOM = [np.int32, np.int32, np.int64, np.int32, np.int16, np.int64]

KINDS: list[npt.DTypeLike] = [*_MODEL, *_LANES, *_ROOM]
"""Their types: of a `charlm.coding.layout.Packed`, then those that `run` names, then of a `Room`."""
