"""Gradients of weights over the lanes of a window: no step waits for them, so they are products over all of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from charlm.kernels.packing import column_of, pack_columns, pack_rows
from charlm.simd import (
    PANEL,
    WIDTH,
    accumulate,
    begin_products,
    compiled,
    end_products,
    load,
    multiply,
    rows_of_tile,
    store,
)


class Applied(NamedTuple):
    """What a weight was applied to, and where its gradient goes. Arrays are flat, `planes` as below."""

    values: Any  # (T, B, columns)
    columns: int
    begin: int  # the number of its first plane
    rows: int  # how many planes are its own: a multiple of `group`
    wide: int  # columns filled up to whole panels
    totals: Any  # float32, (wide / (PANEL * WIDTH), rows, PANEL * WIDTH)


@compiled
def sum_window(first, last, T, B, some, depth_unit, group, planes, width, weights, gates, room):
    """A part's shares of the gradients of some weights whose gates are in the same planes, (T, B, width).

    some: steps that are packed at a time; depth_unit: their rows are filled up to a multiple of this; group: planes
    that are multiplied together; weights: a tuple of `Applied`; gates, room: for what is packed of the planes and of
    the widest values.
    """
    for t in range(0, T, some):
        steps = min(some, T - t)
        depth = (steps * (last - first) + depth_unit - 1) // depth_unit * depth_unit
        pack_columns(first, last, steps, B, planes, t * B * width, width, width, gates)
        for weight in weights:
            begin = t * B * weight.columns
            pack_rows(first, last, steps, B, weight.values, begin, weight.columns, weight.columns, PANEL, room)
            sum_products(depth, group, gates, weight.begin, weight.rows, room, weight.wide, weight.totals, t == 0)


@compiled
def sum_products(depth, group, planes, begin, count, values, columns, totals, fresh):
    """totals += planes.T @ values, the gradient of weights: sums over some rows of a window. From zero where `fresh`.

    depth: how many rows, as they were filled up; group: as above; planes: from `pack_columns`, those of the weights
    from number `begin`, `count` of them; values: packed, (columns / (PANEL * WIDTH), depth, PANEL * WIDTH); totals:
    float32, (the same panels, count, PANEL * WIDTH).
    """
    wide = PANEL * WIDTH
    tiles, height = begin_products(planes, group)
    for block in range(0, count, group):
        for column in range(0, columns, wide):
            for tile in range(tiles):
                plane, rows = rows_of_tile(block, block + group, tile, tiles)
                sums = totals[column * count + plane * wide :]
                place, stride, step = column_of(planes, begin + plane, depth)
                if fresh:
                    multiply(planes, place, stride, step, rows, height, values, column * depth, depth, PANEL, sums)
                else:
                    accumulate(planes, place, stride, step, rows, height, values, column * depth, depth, PANEL, sums)
    end_products(planes)


@compiled
def add_shares(first, last, rows, columns, totals, found):
    """found = the sum of all parts' shares, for the rows from `first` to `last`.

    totals: (parts, columns / (PANEL * WIDTH), rows, PANEL * WIDTH); found: (rows, columns); both flat, float32.
    """
    wide, share = PANEL * WIDTH, rows * columns
    for row in range(first, last):
        for column in range(0, columns, wide):
            begin, to = column * rows + row * wide, row * columns + column
            for place in range(0, wide, WIDTH):
                value = load(totals, begin + place)
                for part in range(share, len(totals), share):
                    value = value + load(totals, part + begin + place)
                store(found, to + place, value)
