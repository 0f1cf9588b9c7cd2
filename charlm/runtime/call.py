"""How the compiled loop is called: what it is told to do, and the arrays that it works on, in their order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

READ, SCORE, WRITE = 0, 1, 2

NUMBERS = 4
"""mode, first, last, T: whole numbers before all arrays."""


class Room(NamedTuple):
    """What a thread works in; nothing in it means anything from one call to the next.

    Attributes:
        vectors: float32, (rows, X) twice, (rows, P), (rows, V), (L, rows, R): a layer's input; what else is multiplied;
            its planes of the input; logits; and all layers' planes of the state.
        likelihoods: float32, (V,).
        wide: float64, (V,).
        order: int64, (2 V,).
        sums, whole_sums: float32 and int32, one tile of a product.
        whole: what weights are multiplied with: int16, or uint8 for weights of int8, (rows, X); or uint16, (rows,
            2 * filled_depth(X)), for weights in halves.
        scales: float32, (rows,).
    """

    vectors: Any
    likelihoods: Any
    wide: Any
    order: Any
    sums: Any
    whole_sums: Any
    whole: Any
    scales: Any


def whole_kind(weights: npt.DTypeLike) -> npt.DTypeLike:
    """Of the numbers that weights of integers, or in halves, are multiplied with."""
    if weights == np.uint16:
        return np.uint16
    return np.uint8 if weights == np.int8 else np.int16


def kinds(weights: npt.DTypeLike) -> list[npt.DTypeLike]:
    """The types of all arrays: of a `charlm.runtime.layout.Packed`, those of the text, of a `Room`."""
    model = [np.int64, np.float32, np.int64, weights, np.float32, np.int32]
    text = [np.int64, np.float32, np.float32, np.float64, np.float64, np.int64, np.int64, np.float64, np.uint8]
    room = [np.float32, np.float32, np.float64, np.int64, np.float32, np.int32, whole_kind(weights), np.float32]
    return [*model, *text, *room]
