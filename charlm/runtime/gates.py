"""The cells, compiled: planes, which are gates before they are squashed, and a state to the next state.

Planes of the input begin at `planes`, those of the state at `shares`, states at `begin`, each row so many numbers after
the one before as the stride that follows says; `size` is the padded H. Which planes these are and in what order is said
in `charlm.runtime.layout`, the equations are those of `charlm.models.cells`.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from numba.extending import register_jitable

from charlm.runtime.layout import ELMAN, ELMAN_RELU, GRU, GRU_RESET_BEFORE, LSTM
from charlm.simd import WIDTH, fill, largest, load, sigmoid, store, tanh


@register_jitable
def reset(rows, size, vectors, planes, stride, shares, shares_stride, state, begin, state_stride, to, to_stride):
    """r * h of a GRU whose reset gate comes before the product."""
    for row in range(rows):
        for place in range(0, size, WIDTH):
            share = load(vectors, shares + row * shares_stride + place)
            r = sigmoid(load(vectors, planes + row * stride + place) + share)
            store(vectors, to + row * to_stride + place, r * load(state, begin + row * state_stride + place))


@register_jitable
def squash(rows, cell, size, vectors, planes, stride, shares, shares_stride, state, begin, state_stride):
    """The next state of each row, in the place of the last."""
    for row in range(rows):
        for place in range(0, size, WIDTH):
            at, share = planes + row * stride + place, shares + row * shares_stride + place
            h_at = begin + row * state_stride + place
            h = load(state, h_at)
            if cell == LSTM:
                i = sigmoid(load(vectors, at) + load(vectors, share))
                f = sigmoid(load(vectors, at + size) + load(vectors, share + size))
                g = tanh(load(vectors, at + 2 * size) + load(vectors, share + 2 * size))
                o = sigmoid(load(vectors, at + 3 * size) + load(vectors, share + 3 * size))
                m = f * load(state, h_at + size) + i * g
                store(state, h_at + size, m)
                h = o * tanh(m)
            elif cell == GRU:
                r = sigmoid(load(vectors, at + size) + load(vectors, share))
                z = sigmoid(load(vectors, at + 2 * size) + load(vectors, share + size))
                n = tanh(load(vectors, at) + r * load(vectors, share + 2 * size))
                h = n + z * (h - n)
            elif cell == GRU_RESET_BEFORE:
                z = sigmoid(load(vectors, at + size) + load(vectors, share + size))
                n = tanh(load(vectors, at + 2 * size))
                h = n + z * (h - n)
            elif cell == ELMAN:
                h = tanh(load(vectors, at) + load(vectors, share))
            elif cell == ELMAN_RELU:
                h = largest(fill(0.0), load(vectors, at) + load(vectors, share))
            store(state, h_at, h)
