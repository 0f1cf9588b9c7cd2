"""Weights and activations as whole numbers, so that products read fewer bytes: the definition, for all engines.

A matrix has one scale a row, chosen so that no sum of products can leave 32 bits, whatever the activations are.
A vector of activations is scaled anew each time, by its largest number. Products are added up exactly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charlm.runtime.state import Array

LARGEST_SUM = 2**31 - 1


class Format(NamedTuple):
    """How numbers of one precision are held.

    Attributes:
        weights: dtype of the weights.
        most: the largest weight.
        activations: what the largest activation of a vector becomes.
        group: neighbouring numbers of a row that a processor multiplies at once.
    """

    weights: type[np.integer[Any]]
    most: int
    activations: int
    group: int


FORMATS = {
    # 12 bits and a sign: as much as leaves the weights as many, in the sum of a few hundred products
    "int16": Format(np.int16, 32767, 4095, 2),
    "int8": Format(np.int8, 127, 127, 4),
}
PRECISIONS = ("exact", *FORMATS)
"""Number formats of the products, most exact first."""

HALVES = "halves"
"""The precision of `charlm.simd.halves`: what scores takes it for ``exact`` where the processor has matrix tiles."""


def quantise_rows(matrix: Array, form: Format) -> tuple[npt.NDArray[Any], Array]:
    """matrix: (rows, columns) -> whole numbers (rows, columns), and the scales (rows,) that give the matrix again."""
    size = np.abs(matrix)
    # rounding adds up to half a unit to each weight; int8 never comes near
    room = LARGEST_SUM // form.activations - matrix.shape[1] / 2
    scales = np.maximum(size.max(axis=1) / form.most, size.sum(axis=1, dtype=np.float64) / room).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = np.rint(matrix / scales[:, None])
    whole = np.clip(np.where(scales[:, None] > 0, whole, 0), -form.most, form.most)
    return whole.astype(form.weights), scales
