"""What a model computes in whole numbers, in NumPy: the definition, and the engine where there is no Numba.

Letters: N lanes, V H. All arrays are int64 here; every number that a step leaves behind fits into 32 bits. Numbers
are fixed-point with `FRACTION` binary digits after the point; a shift to the right rounds to the nearest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charlm.coding.tables import FRACTION, ONE, TANH_END, TANH_STEPS, tanh_table
from charlm.coding.whole import (
    ACTIVATION_DIGITS,
    LARGEST_ACTIVATION,
    LIMIT,
    NORM_FRACTION,
    Whole,
    WholeLayer,
    WholeMatrix,
    WholeModel,
)
from charlm.runtime.layout import CARRIED
from charlm.streams import rows_of_ngrams

GATE = FRACTION + 1
"""Binary digits of a gate: 1 + tanh(v / 2) is twice a sigmoid."""
NORM_DIGITS = 23
"""A centred vector is shortened to so many digits, and the sum of its squares fits into 62."""
ROOT_DIGITS = 7
"""Digits of a standard deviation beyond those of its vector."""
EPSILON = round(1e-5 * 4**FRACTION)


class ReferenceModel:
    """The language model in whole numbers. A state is one array (N, H) for each thing that each layer carries, and one
    of the last symbols where there are n-grams."""

    def __init__(self, model: WholeModel) -> None:
        self.model = model
        self._carried = CARRIED[model.config.cell]

    def initial_state(self, N: int) -> list[Whole]:
        """Zeros; of the last symbols too, which is `charlm.streams.NO_SYMBOL`."""
        widths = [self.model.config.hidden_size] * (self._carried * len(self.model.layers))
        widths += [] if self.model.ngrams is None else [self.model.config.ngram_order - 1]
        return [np.zeros((N, width), dtype=np.int64) for width in widths]

    def step(self, ids: Whole, state: list[Whole]) -> tuple[Whole, list[Whole]]:
        """ids: (N,) -> logits (N, V) of the id that follows, state after."""
        x, after = self.model.embedding[ids], []
        beside: Whole | int = 0
        share: Whole | int = 0
        symbols: list[Whole] = []
        if self.model.ngrams is not None and self.model.ngram_output is not None:
            ngrams, symbols = self._ngrams(self.model.ngrams, ids, state[-1])
            share = product(ngrams, self.model.ngram_output)
            if self.model.ngram_input is None:
                x = np.concatenate([x, ngrams], axis=1)
            else:
                beside = product(ngrams, self.model.ngram_input)
        for index, layer in enumerate(self.model.layers):
            own = state[index * self._carried : (index + 1) * self._carried]
            next_state = _cell(self.model.config.cell, layer, x, own, 0 if index else beside)
            x = bounded(x + next_state[0], 2 * LIMIT) if layer.residual else next_state[0]
            after += next_state
        if self.model.projection is not None:
            x = product(x, self.model.projection)
        return product(x, self.model.output) + self.model.output_bias + share, after + symbols

    def _ngrams(self, table: Whole, ids: Whole, before: Whole) -> tuple[Whole, list[Whole]]:
        """The sum of the vectors of the n-grams that end at each id, (N, D), and the last symbols after it."""
        symbols = np.concatenate([before, ids[:, None] + 1], axis=1)
        x = np.zeros((len(ids), table.shape[1]), dtype=np.int64)
        for rows in rows_of_ngrams(symbols, self.model.config.ngram_order, self.model.config.ngram_rows):
            x = bounded(x + table[rows[:, 0]], LIMIT)
        return x, [symbols[:, 1:]]


def product(x: Whole, matrix: WholeMatrix) -> Whole:
    """x: (N, columns) -> (N, rows), within `LIMIT`. Each row of x is first rounded to `ACTIVATION_DIGITS` digits."""
    # frexp of whole numbers below 2**53 gives their number of binary digits
    digits = np.frexp(np.abs(x).max(axis=1).astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(digits - ACTIVATION_DIGITS, 0)[:, None]
    short = bounded(rounded(x, shift), LARGEST_ACTIVATION)
    # subtle: in float64 for its speed. The sums are whole numbers below 2**31, so each is exact, in whatever order
    sums = (short.astype(np.float64) @ matrix.weights.T.astype(np.float64)).astype(np.int64)
    return bounded(rounded(sums << shift, matrix.shifts), LIMIT)


def rounded(x: Whole, shift: Whole | int) -> Whole:
    """x / 2**shift, halves upwards."""
    half: Any = np.left_shift(1, shift) >> 1
    found: Whole = (x + half) >> shift
    return found


def bounded(x: Whole, limit: int) -> Whole:
    """x, held between `limit` and its negative."""
    found: Whole = np.clip(x, -limit, limit)
    return found


def tanh(x: Whole, halvings: int = 0) -> Whole:
    """tanh(x / 2**halvings), from the table."""
    table, digits = tanh_table().astype(np.int64), FRACTION - TANH_STEPS + halvings
    size = np.abs(x)
    place = np.minimum(size >> digits, (TANH_END << TANH_STEPS) - 1)
    rest = np.minimum(size - (place << digits), 1 << digits)
    size = table[place] + rounded((table[place + 1] - table[place]) * rest, digits)
    found: Whole = np.where(x < 0, -size, size)
    return found


def gate(x: Whole) -> Whole:
    """sigmoid(x) with `GATE` digits after the point."""
    return ONE + tanh(x, 1)


def layer_norm(x: Whole, weight: Whole, bias: Whole) -> Whole:
    """x: (N, in) -> (N, in), each row with mean 0 and variance 1, then scaled."""
    width = x.shape[1]
    centred = x - (x.sum(axis=1, keepdims=True) + width // 2) // width
    digits = np.frexp(np.abs(centred).max(axis=1, keepdims=True).astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(digits - NORM_DIGITS, 0)
    centred = centred >> shift
    variance = np.square(centred).sum(axis=1, keepdims=True) // width + (EPSILON >> (2 * shift))
    deviation = np.maximum(root(variance << (2 * ROOT_DIGITS)), 1)
    normal = ((centred << (ROOT_DIGITS + FRACTION)) + deviation // 2) // deviation
    return bounded(rounded(normal * weight, NORM_FRACTION) + bias, 2 * LIMIT)


def root(x: Whole) -> Whole:
    """The whole part of the square root of x, below 2**62."""
    # the processor's root is right to its last digit, which is not a whole number's last one
    found = np.sqrt(x.astype(np.float64)).astype(np.int64)
    found = np.where(found * found > x, found - 1, found)
    return np.where((found + 1) * (found + 1) <= x, found + 1, found)


def _cell(cell: str, layer: WholeLayer, x: Whole, state: list[Whole], beside: Whole | int) -> list[Whole]:
    """The next state; its first array is the layer's output. `beside` is what else stands in the input's planes."""
    if layer.norm is not None:
        x = layer_norm(x, *layer.norm)
    early = bounded(product(x, layer.input) + layer.early + beside, 2 * LIMIT)
    late = product(state[0], layer.recurrent)
    return STEPS[cell](layer, early, late, state)


def _elman(layer: WholeLayer, early: Whole, late: Whole, state: list[Whole]) -> list[Whole]:
    return [tanh(early + late)]


def _elman_relu(layer: WholeLayer, early: Whole, late: Whole, state: list[Whole]) -> list[Whole]:
    return [np.clip(early + late, 0, 2 * LIMIT)]


def _gru(layer: WholeLayer, early: Whole, late: Whole, state: list[Whole]) -> list[Whole]:
    (h,), H = state, state[0].shape[1]
    assert layer.late is not None  # a GRU has these biases
    r, z = gate(early[:, H : 2 * H] + late[:, :H]), gate(early[:, 2 * H :] + late[:, H : 2 * H])
    n = tanh(early[:, :H] + rounded(r * (late[:, 2 * H :] + layer.late), GATE))
    return [n + rounded(z * (h - n), GATE)]


def _gru_reset_before(layer: WholeLayer, early: Whole, late: Whole, state: list[Whole]) -> list[Whole]:
    (h,), H = state, state[0].shape[1]
    assert layer.candidate is not None  # this cell has one
    r, z = gate(early[:, :H] + late[:, :H]), gate(early[:, H : 2 * H] + late[:, H:])
    n = tanh(early[:, 2 * H :] + product(rounded(r * h, GATE), layer.candidate))
    return [n + rounded(z * (h - n), GATE)]


def _lstm(layer: WholeLayer, early: Whole, late: Whole, state: list[Whole]) -> list[Whole]:
    (_, m), planes = state, early + late
    i, f, g, o = np.split(planes, 4, axis=1)
    m = bounded(rounded(gate(f) * m + gate(i) * tanh(g), GATE), 2 * LIMIT)
    return [rounded(gate(o) * tanh(m), GATE), m]


STEPS = {
    "elman": _elman,
    "elman-relu": _elman_relu,
    "gru": _gru,
    "gru-reset-before": _gru_reset_before,
    "lstm": _lstm,
}
