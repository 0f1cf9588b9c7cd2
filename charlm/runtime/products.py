"""`add_products`: rows times a packed matrix, of the precision that the matrix has."""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable

from charlm.runtime.packing import PLACE
from charlm.runtime.quantised import FORMATS
from charlm.simd import (
    MOST_ROWS,
    PANEL,
    WIDTH,
    accumulate,
    begin_products,
    end_products,
    fill,
    largest,
    load,
    rows_of_tile,
    store,
    there_and_back,
    total,
)
from charlm.simd.halves import HALVES_PANEL
from charlm.simd.integers import accumulate_integers, greatest, load_whole, magnitude, store_rounded
from charlm.simd.tiles_of_halves import accumulate_halves, filled_depth, store_halves

WIDE, HALVES_WIDE = PANEL * WIDTH, HALVES_PANEL * WIDTH
ENTRIES = len(PLACE)
ACTIVATIONS_16, ACTIVATIONS_8 = FORMATS["int16"].activations, FORMATS["int8"].activations
SHIFT_8 = 128


def add_products(
    rows: int,
    x: Any,
    x_begin: int,
    x_stride: int,
    model: Any,
    matrix: int,
    result: Any,
    begin: int,
    stride: int,
    room: Any,
    t: int,
) -> None:
    """result[row] += x[row] @ matrix, inside compiled functions only. Row r is the same, whatever the others are.

    Args:
        x: flat float32; row r begins at ``x_begin + r * x_stride``.
        matrix: its number among those of `model`.
        result: flat float32; row r begins at ``begin + r * stride``.
        t: the step; odd ones read the matrix from its end. The result is the same.
    """
    raise NotImplementedError("a compiled function calls this")


@overload(add_products)
def _add_products(rows, x, x_begin, x_stride, model, matrix, result, begin, stride, room, t):
    weights = dict(zip(model.fields, model.types, strict=True))["weights"]
    if weights.dtype == types.uint16:
        return _of_halves
    return _of_floats if weights.dtype == types.float32 else _of_integers


def _of_floats(rows, x, x_begin, x_stride, model, matrix, result, begin, stride, room, t):
    at, sums = matrix * ENTRIES, room.sums
    offset, columns, depth = model.places[at], model.places[at + 2], model.places[at + 3]
    tiles, height = begin_products(x, rows)
    for block in range(0, columns, WIDE):
        column = there_and_back(t, block, (columns - 1) // WIDE * WIDE)
        wide, panel = min(WIDE, columns - column), offset + column * depth
        for tile in range(tiles):
            first, count = rows_of_tile(0, rows, tile, tiles)
            to = begin + first * stride + column
            for row in range(count):
                for place in range(0, wide, WIDTH):
                    store(sums, row * WIDE + place, load(result, to + row * stride + place))
            from_ = x_begin + first * x_stride
            accumulate(x, from_, x_stride, 1, count, height, model.weights, panel, depth, PANEL, sums)
            for row in range(count):
                for place in range(0, wide, WIDTH):
                    store(result, to + row * stride + place, load(sums, row * WIDE + place))
    end_products(x)


def _of_halves(rows, x, x_begin, x_stride, model, matrix, result, begin, stride, room, t):
    at, halves = matrix * ENTRIES, room.whole
    offset, columns, depth = model.places[at], model.places[at + 2], model.places[at + 3]
    deep = filled_depth(depth)
    for row in range(rows):
        store_halves(x, x_begin + row * x_stride, depth, halves, row * 2 * deep)
    tiles, height = begin_products(halves, rows)
    for block in range(0, columns, HALVES_WIDE):
        column = there_and_back(t, block, (columns - 1) // HALVES_WIDE * HALVES_WIDE)
        panel = offset + column * 2 * deep
        for tile in range(tiles):
            first, count = rows_of_tile(0, rows, tile, tiles)
            to, here = begin + first * stride + column, first * 2 * deep
            if columns - column > WIDTH:
                accumulate_halves(halves, here, count, height, model.weights, panel, deep, 2, result, to, stride)
            else:
                accumulate_halves(halves, here, count, height, model.weights, panel, deep, 1, result, to, stride)
    end_products(halves)


def _of_integers(rows, x, x_begin, x_stride, model, matrix, result, begin, stride, room, t):
    at, sums = matrix * ENTRIES, room.whole_sums
    offset, own, columns, depth = model.places[at], model.places[at + 1], model.places[at + 2], model.places[at + 3]
    tiles = (rows + MOST_ROWS - 1) // MOST_ROWS
    is_bytes = model.weights.itemsize == 1
    for row in range(rows):
        room.scales[row] = quantise(x, x_begin + row * x_stride, depth, room.whole, row * depth, is_bytes)
    for block in range(0, columns, WIDE):
        column = there_and_back(t, block, (columns - 1) // WIDE * WIDE)
        wide, panel = min(WIDE, columns - column), offset + column * depth
        for tile in range(tiles):
            first, count = rows_of_tile(0, rows, tile, tiles)
            for row in range(count):
                for place in range(WIDE):
                    corrected = is_bytes and place < wide
                    sums[row * WIDE + place] = model.corrections[own + column + place] if corrected else 0
            accumulate_integers(room.whole, first * depth, depth, count, model.weights, panel, depth, PANEL, sums)
            for row in range(count):
                to = begin + (first + row) * stride + column
                for place in range(0, wide, WIDTH):
                    scale = load(model.scales, own + column + place) * room.scales[first + row]
                    store(result, to + place, load(result, to + place) + load_whole(sums, row * WIDE + place) * scale)


@register_jitable
def quantise(x, begin, depth, whole, to, bytes_):
    """Round a vector to whole numbers; returns what one of them is worth: nan, where a number is not finite."""
    most, broken = fill(0.0), fill(0.0)
    for place in range(begin, begin + depth, WIDTH):
        most = largest(most, magnitude(load(x, place)))
        broken = broken + load(x, place) * 0.0
    size = greatest(most)
    steps = np.float32(ACTIVATIONS_8 if bytes_ else ACTIVATIONS_16)
    factor = steps / size if size > 0 else np.float32(0)
    shift = np.int32(SHIFT_8 if bytes_ else 0)
    for place in range(0, depth, WIDTH):
        store_rounded(whole, to + place, load(x, begin + place) * factor, shift)
    return size / steps + total(broken)
