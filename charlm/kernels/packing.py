"""Weights in the order in which tiles read them; see `charlm.simd.tiles`.

A weight matrix is (planes * H, depth): flat, padded, in float32; panels of it are float32 or bfloat16. Nothing here
computes: numbers only change places, and format.
"""

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.extending import overload

from charlm.simd import (
    DEPTH_UNIT,
    HAS_AMX,
    WIDTH,
    compiled,
    copy_pairs,
    empty_shorts,
    fill,
    load,
    store,
    store_pairs,
    turn,
)


@compiled
def pack_forward(first, last, weight, panels, planes, H, depth, block):
    """Panels for products with a layer's input: a block of units of every plane side by side.

    weight: (planes, H, depth) float32 -> panels: (H / block, depth, planes, block), numbers in the order of
    `charlm.simd.tiles`. Works on the panels from `first` to `last`; `block` is whole vectors.
    """
    for panel in range(first, last):
        for plane in range(planes):
            for unit in range(0, block, WIDTH):
                row = (plane * H + panel * block + unit) * depth
                turn_rows(
                    weight, row, depth, panels, panel * depth * planes * block, planes * block, plane * block + unit
                )


def turn_rows(weight, row, depth, panels, begin, wide, column):
    """WIDTH rows of a weight as columns of a panel that is so wide; in compiled functions."""
    raise NotImplementedError("a compiled function calls this")


@overload(turn_rows)
def _turn_rows(weight, row, depth, panels, begin, wide, column):
    return _turn_pairs if panels.dtype == types.uint16 else _turn_singly


def _turn_singly(weight, row, depth, panels, begin, wide, column):
    for k in range(0, depth, WIDTH):
        turn(weight, row + k, depth, panels, begin + k * wide + column, wide)


def _turn_pairs(weight, row, depth, panels, begin, wide, column):
    square = empty_shorts(2 * WIDTH * WIDTH)
    for k in range(0, depth, 2 * WIDTH):
        whole = k + WIDTH < depth
        for unit in range(WIDTH):
            here = row + unit * depth + k
            store(square, 2 * unit * WIDTH, load(weight, here))
            if whole:
                store(square, (2 * unit + 1) * WIDTH, load(weight, here + WIDTH))
        # a square is one depth of tiles, or as many pairs one below the other
        to = begin + k * wide + column * DEPTH_UNIT
        if whole:
            turn(square, 0, 2 * WIDTH, panels, to, 2 * (WIDTH if DEPTH_UNIT > 2 else wide))
        else:
            # half a square is left
            for unit in range(WIDTH):
                for number in range(WIDTH):
                    panels[to + number // 2 * 2 * wide + 2 * unit + number % 2] = square[2 * unit * WIDTH + number]


def pair_rows(values, one, two, panels, place):
    """Two vectors of rows as pairs of bfloat16, rounded where they are float32; in compiled functions."""
    raise NotImplementedError("a compiled function calls this")


@overload(pair_rows)
def _pair_rows(values, one, two, panels, place):
    if values.dtype == types.uint16:
        return lambda values, one, two, panels, place: copy_pairs(values, one, two, panels, place)
    return lambda values, one, two, panels, place: store_pairs(panels, place, load(values, one), load(values, two))


@compiled
def pack_pairs(first, last, values, begin, stride, columns, block, panels):
    """Rows in pairs of bfloat16, for a product in which they are the depth.

    values: row r begins at ``begin + r * stride`` and has `columns` numbers. Those of the rows from `first` to `last`
    go into panels, block * WIDTH columns each; what is over is filled with zeros, and so are rows up to a multiple of
    DEPTH_UNIT.
    """
    rows, wide = last - first, block * WIDTH
    whole = (rows + DEPTH_UNIT - 1) // DEPTH_UNIT * DEPTH_UNIT
    nothing = fill(0.0)
    for row in range(0, whole, 2):
        one = begin + (first + row) * stride
        for panel in range(0, columns, wide):
            begin_of_depths = panel * whole + row // DEPTH_UNIT * DEPTH_UNIT * wide + row % DEPTH_UNIT * WIDTH
            for column in range(panel, panel + wide, WIDTH):
                place = begin_of_depths + (column - panel) * DEPTH_UNIT
                if column < columns and row + 1 < rows:
                    pair_rows(values, one + column, one + stride + column, panels, place)
                elif column < columns and row < rows:
                    store_pairs(panels, place, load(values, one + column), nothing)
                else:
                    store_pairs(panels, place, nothing, nothing)


@compiled
def pack_singly(first, last, values, begin, stride, columns, block, panels):
    """`pack_pairs` for float32, whose rows stay apart: (columns / (block * WIDTH), rows, block * WIDTH)."""
    rows, wide = last - first, block * WIDTH
    for row in range(rows):
        here = begin + (first + row) * stride
        for panel in range(0, columns, wide):
            place = panel * rows + row * wide - panel
            for column in range(panel, panel + wide, WIDTH):
                store(panels, place + column, load(values, here + column) if column < columns else fill(0.0))


def pack_rows(first, last, values, begin, stride, columns, block, panels):
    """`pack_pairs` or `pack_singly`, as the format of the panels asks for; in compiled functions too."""
    pack = pack_pairs if panels.dtype == np.uint16 else pack_singly
    pack(first, last, values, begin, stride, columns, block, panels)


@overload(pack_rows)
def _pack_rows(first, last, values, begin, stride, columns, block, panels):
    pack = pack_pairs if panels.dtype == types.uint16 else pack_singly
    return lambda first, last, values, begin, stride, columns, block, panels: pack(
        first, last, values, begin, stride, columns, block, panels
    )


@compiled
def pack_across(first, last, values, begin, stride, columns, panels):
    """The rows of `pack_pairs` as columns: (columns, rows), filled up with zeros likewise, to whole squares."""
    rows = last - first
    whole = (rows + DEPTH_UNIT - 1) // DEPTH_UNIT * DEPTH_UNIT
    nothing = fill(0.0)
    square = empty_shorts(2 * WIDTH * WIDTH)
    for top in range(0, whole, 2 * WIDTH):
        for column in range(0, columns, WIDTH):
            for row in range(top, top + 2 * WIDTH, 2):
                one = begin + (first + row) * stride + column
                if row + 1 < rows:
                    copy_pairs(values, one, one + stride, square, (row - top) * WIDTH)
                elif row < rows:
                    store_pairs(square, (row - top) * WIDTH, load(values, one), nothing)
                else:
                    store_pairs(square, (row - top) * WIDTH, nothing, nothing)
            turn(square, 0, 2 * WIDTH, panels, column * whole + top, whole)


def pack_columns(first, last, values, begin, stride, columns, panels):
    """Rows for a product in which they are the depth, and their columns what is multiplied; in compiled functions.

    Each of their numbers is found with `column_of`.
    """
    raise NotImplementedError("a compiled function calls this")


@overload(pack_columns)
def _pack_columns(first, last, values, begin, stride, columns, panels):
    if HAS_AMX and values.dtype == types.uint16:
        return lambda first, last, values, begin, stride, columns, panels: pack_across(
            first, last, values, begin, stride, columns, panels
        )
    pack = pack_pairs if values.dtype == types.uint16 else pack_singly
    return lambda first, last, values, begin, stride, columns, panels: pack(
        first, last, values, begin, stride, columns, 1, panels
    )


def column_of(panels, column, rows):
    """Where a column begins that `pack_columns` packed, how far the next one is, and what `accumulate` calls `step`."""
    raise NotImplementedError("a compiled function calls this")


@overload(column_of)
def _column_of(panels, column, rows):
    if HAS_AMX and panels.dtype == types.uint16:
        return lambda panels, column, rows: (column * rows, rows, 1)
    unit = 2 if panels.dtype == types.uint16 else 1
    return lambda panels, column, rows: (column // WIDTH * WIDTH * rows + column % WIDTH * unit, unit, WIDTH)
