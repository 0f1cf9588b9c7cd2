"""The cells, compiled: planes, which are gates before they are squashed, and a state to the next state.

Planes begin at `planes` and states at `begin`, each row `stride` or `state_stride` after the one before; `size` is
the padded H. The order of the planes is that of `charlm.runtime.layout.PLANES`, the equations are those of
`charlm.models.cells`.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from numba.extending import register_jitable

from charlm.runtime.layout import CELL_NUMBERS
from charlm.simd import WIDTH, fill, largest, load, sigmoid, store, tanh

ELMAN, ELMAN_RELU, GRU, GRU_RESET_BEFORE, LSTM = CELL_NUMBERS.values()


@register_jitable
def reset(rows, size, vectors, planes, stride, state, begin, state_stride, to, to_stride):
    """r * h of a GRU whose reset gate comes before the product."""
    for row in range(rows):
        for place in range(0, size, WIDTH):
            r = sigmoid(load(vectors, planes + row * stride + place))
            store(vectors, to + row * to_stride + place, r * load(state, begin + row * state_stride + place))


@register_jitable
def squash(rows, cell, size, vectors, planes, stride, state, begin, state_stride):
    """The next state of each row, in the place of the last."""
    for row in range(rows):
        for place in range(0, size, WIDTH):
            at, h_at = planes + row * stride + place, begin + row * state_stride + place
            h = load(state, h_at)
            if cell == LSTM:
                i, f = sigmoid(load(vectors, at)), sigmoid(load(vectors, at + size))
                g, o = tanh(load(vectors, at + 2 * size)), sigmoid(load(vectors, at + 3 * size))
                m = f * load(state, h_at + size) + i * g
                store(state, h_at + size, m)
                h = o * tanh(m)
            elif cell == GRU:
                r, z = sigmoid(load(vectors, at + size)), sigmoid(load(vectors, at + 2 * size))
                n = tanh(load(vectors, at) + r * load(vectors, at + 3 * size))
                h = n + z * (h - n)
            elif cell == GRU_RESET_BEFORE:
                z, n = sigmoid(load(vectors, at + size)), tanh(load(vectors, at + 2 * size))
                h = n + z * (h - n)
            elif cell == ELMAN:
                h = tanh(load(vectors, at))
            elif cell == ELMAN_RELU:
                h = largest(fill(0.0), load(vectors, at))
            store(state, h_at, h)
