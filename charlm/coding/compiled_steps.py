"""Vectors of whole numbers in machine code: products, gates, layer norm, as `charlm.coding.reference` says them.

All arrays are flat; `model` is a `charlm.coding.layout.Packed`, `room` a `charlm.coding.loops.Room`. Planes begin at
`planes` and states at `begin`, one row after the other.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from charlm.coding.plan import CELL, DEPTH, NORM, REAL_WIDTH, H, P, S, X
from charlm.coding.reference import EPSILON, GATE, NORM_DIGITS, ROOT_DIGITS
from charlm.coding.tables import FRACTION, ONE, TANH_END, TANH_STEPS
from charlm.coding.whole import ACTIVATION_DIGITS, LARGEST_ACTIVATION, LIMIT, NORM_FRACTION
from charlm.runtime.layout import ELMAN, ELMAN_RELU, GRU, GRU_RESET_BEFORE, LSTM
from charlm.runtime.packing import PLACE
from charlm.simd import MOST_ROWS, PANEL, WIDTH
from charlm.simd.integers import accumulate_integers

WIDE, PLACES = PANEL * WIDTH, len(PLACE)
TANH_DIGITS, TANH_LAST = FRACTION - TANH_STEPS, (TANH_END << TANH_STEPS) - 1


@register_jitable
def add_products(rows, x, x_begin, x_stride, model, matrix, result, begin, stride, room):
    """result[row] += x[row] @ matrix, as `charlm.coding.reference.product`."""
    at, sums = matrix * PLACES, room.sums
    offset, own, columns, depth = model.places[at], model.places[at + 1], model.places[at + 2], model.places[at + 3]
    for row in range(rows):
        room.shifts[row] = shorten(x, x_begin + row * x_stride, depth, room.short, row * depth)
    tiles = (rows + MOST_ROWS - 1) // MOST_ROWS
    for column in range(0, columns, WIDE):
        wide, panel = min(WIDE, columns - column), offset + column * depth
        for tile in range(tiles):
            from_row = rows * tile // tiles
            count = rows * (tile + 1) // tiles - from_row
            for place in range(count * WIDE):
                sums[place] = 0
            accumulate_integers(room.short, from_row * depth, depth, count, model.weights, panel, depth, PANEL, sums)
            for row in range(count):
                to, shift = begin + (from_row + row) * stride + column, room.shifts[from_row + row]
                for place in range(wide):
                    found = np.int64(sums[row * WIDE + place]) << shift
                    result[to + place] += bound(nearest(found, model.shifts[own + column + place]), LIMIT)


@register_jitable
def shorten(x, begin, depth, short, to):
    """Round a vector to `ACTIVATION_DIGITS` binary digits; returns by how many it was shortened."""
    most = 0
    for place in range(begin, begin + depth):
        most = max(most, abs(np.int64(x[place])))
    shift = 0
    while most >> shift >= 1 << ACTIVATION_DIGITS:
        shift += 1
    for place in range(depth):
        short[to + place] = bound(nearest(np.int64(x[begin + place]), shift), LARGEST_ACTIVATION)
    return shift


@register_jitable
def reset(rows, model, vectors, planes, state, begin, to):
    """r * h of a GRU whose reset gate comes before the product."""
    plan = model.plan
    for row in range(rows):
        for place in range(plan[H]):
            r = gate(vectors[planes + row * plan[P] + place], model.tanh)
            h = np.int64(state[begin + row * plan[S] + place])
            vectors[to + row * plan[X] + place] = nearest(r * h, GATE)


@register_jitable
def squash(rows, model, vectors, planes, state, begin):
    """The next state of each row, in the place of the last."""
    plan, table, size = model.plan, model.tanh, model.plan[H]
    for row in range(rows):
        at, h_at = planes + row * plan[P], begin + row * plan[S]
        if plan[CELL] == LSTM:
            for place in range(size):
                i, f = gate(vectors[at + place], table), gate(vectors[at + size + place], table)
                g, o = bend(vectors[at + 2 * size + place], table, 0), gate(vectors[at + 3 * size + place], table)
                m = bound(nearest(f * state[h_at + size + place] + i * g, GATE), 2 * LIMIT)
                state[h_at + size + place] = m
                state[h_at + place] = nearest(o * bend(m, table, 0), GATE)
        elif plan[CELL] == GRU:
            for place in range(size):
                r, z = gate(vectors[at + size + place], table), gate(vectors[at + 2 * size + place], table)
                share = nearest(r * vectors[at + 3 * size + place], GATE)
                n = bend(vectors[at + place] + share, table, 0)
                state[h_at + place] = n + nearest(z * (state[h_at + place] - n), GATE)
        elif plan[CELL] == GRU_RESET_BEFORE:
            for place in range(size):
                z, n = gate(vectors[at + size + place], table), bend(vectors[at + 2 * size + place], table, 0)
                state[h_at + place] = n + nearest(z * (state[h_at + place] - n), GATE)
        elif plan[CELL] == ELMAN:
            for place in range(size):
                state[h_at + place] = bend(vectors[at + place], table, 0)
        elif plan[CELL] == ELMAN_RELU:
            for place in range(size):
                state[h_at + place] = min(max(vectors[at + place], 0), 2 * LIMIT)


@register_jitable
def bend(x, table, halvings):
    """`charlm.coding.reference.tanh`"""
    digits = TANH_DIGITS + halvings
    size = abs(np.int64(x))
    place = min(size >> digits, TANH_LAST)
    rest = min(size - (place << digits), 1 << digits)
    here = np.int64(table[place])
    found = here + nearest((table[place + 1] - here) * rest, digits)
    return -found if x < 0 else found


@register_jitable
def gate(x, table):
    """`charlm.coding.reference.gate`"""
    return ONE + bend(x, table, 1)


@register_jitable
def nearest(x, shift):
    """`charlm.coding.reference.rounded`"""
    return (x + ((np.int64(1) << shift) >> 1)) >> shift


@register_jitable
def bound(x, limit):
    """`charlm.coding.reference.bounded`"""
    return min(max(x, -limit), limit)


@register_jitable
def normalise(rows, model, at, vectors, normal):
    """`charlm.coding.reference.layer_norm`; what is padding stays zero."""
    plan, numbers = model.plan, model.numbers
    width, depth, norm = plan[at + REAL_WIDTH], plan[at + DEPTH], plan[at + NORM]
    for row in range(rows):
        begin, to = row * plan[X], normal + row * plan[X]
        total, most = 0, 0
        for place in range(begin, begin + width):
            total += vectors[place]
        mean = (total + width // 2) // width
        for place in range(begin, begin + width):
            most = max(most, abs(vectors[place] - mean))
        shift, squares = 0, 0
        while most >> shift >= 1 << NORM_DIGITS:
            shift += 1
        for place in range(begin, begin + width):
            squares += ((vectors[place] - mean) >> shift) ** 2
        deviation = max(root((squares // width + (EPSILON >> (2 * shift))) << (2 * ROOT_DIGITS)), 1)
        for place in range(depth):
            centred = (vectors[begin + place] - mean) >> shift
            value = ((centred << (ROOT_DIGITS + FRACTION)) + deviation // 2) // deviation
            value = nearest(value * numbers[norm + place], NORM_FRACTION) + numbers[norm + depth + place]
            vectors[to + place] = bound(value, 2 * LIMIT) if place < width else 0


@register_jitable
def root(x):
    """`charlm.coding.reference.root`"""
    found = np.int64(np.sqrt(np.float64(x)))
    if found * found > x:
        found -= 1
    return found + 1 if (found + 1) * (found + 1) <= x else found
