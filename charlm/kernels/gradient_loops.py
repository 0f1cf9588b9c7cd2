"""Gradients of weights over a window: no step waits for them, so they are sums over all of its rows, lanes times steps.

They are found plane by plane: who has some planes sums over all rows, always in the same order. So it does not matter
who that is, and how the lanes were shared.
"""

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
    fill,
    load,
    multiply,
    rows_of_tile,
    store,
)


class Sums(NamedTuple):
    """What the gradients are sums of. Arrays are flat."""

    planes: Any  # (rows, width): the gradient of each plane, as `charlm.kernels.loops.Gradients` leaves it
    rows: int
    width: int
    piece: int  # rows that are summed at a time, a multiple of `unit`
    unit: int  # a piece's rows are filled up to a multiple of this
    group: int  # planes that are multiplied together
    ids: Any  # (rows,) int64: the row of `start` that each row began with
    start: Any  # float32, (names, width): the gradient of what the planes' sums began with


class Applied(NamedTuple):
    """A weight: what it was applied to, and where its gradient goes. Arrays are flat."""

    values: Any  # packed by `pack_pieces`
    wide: int  # columns filled up to whole panels
    begin: int  # the number of its first plane
    rows: int  # how many planes are its own: `begin` and this are multiples of `group`
    found: Any  # float32, (rows, wide)


@compiled
def pack_pieces(rows, piece, unit, values, columns, wide, panels):
    """values: (rows, columns) -> panels: for each piece (wide / (PANEL * WIDTH), its rows, PANEL * WIDTH)."""
    for begin in range(0, rows, piece):
        end, room = min(begin + piece, rows), panels[begin * wide :]
        pack_rows(begin, end, values, 0, columns, columns, PANEL, room)


@compiled
def sum_planes(first, last, sums, weights, gates, totals):
    """The gradients of the planes from `first` to `last`, multiples of `group`.

    weights: a tuple of `Applied`, all that add to these planes; gates: room for a piece, (planes, piece); totals: room
    for what each weight has of these planes, (planes, wide) one after the other.
    """
    for row in range(0, len(sums.start), sums.width):
        for plane in range(row + first, row + last, WIDTH):
            store(sums.start, plane, fill(0.0))
    for begin in range(0, sums.rows, sums.piece):
        end = min(begin + sums.piece, sums.rows)
        depth = (end - begin + sums.unit - 1) // sums.unit * sums.unit
        _add_to_start(first, last, begin, end, sums)
        pack_columns(begin, end, sums.planes, first, sums.width, last - first, gates)
        place = 0
        for weight in weights:
            low, high = _of_weight(first, last, weight)
            if low < high:
                values, room = weight.values[begin * weight.wide :], totals[place:]
                _add_products(depth, sums.group, gates, low - first, high - low, values, weight.wide, room, begin == 0)
                place += (high - low) * weight.wide
    place = 0
    for weight in weights:
        low, high = _of_weight(first, last, weight)
        if low < high:
            _put_in_rows(high - low, weight.wide, totals[place:], weight.found[(low - weight.begin) * weight.wide :])
            place += (high - low) * weight.wide


@compiled
def _of_weight(first, last, weight):
    """Which of the planes are a weight's own, as a range."""
    return max(first, weight.begin), min(last, weight.begin + weight.rows)


@compiled
def _add_to_start(first, last, begin, end, sums):
    """start[ids[row]] += planes[row], for some planes of the rows from `begin` to `end`."""
    for row in range(begin, end):
        here, to = row * sums.width, sums.ids[row] * sums.width
        for plane in range(first, last, WIDTH):
            store(sums.start, to + plane, load(sums.start, to + plane) + load(sums.planes, here + plane))


@compiled
def _add_products(depth, group, gates, begin, count, values, wide, totals, fresh):
    """totals += gates.T @ values, sums over the rows of a piece. From zero where `fresh`.

    depth: how many rows, as they were filled up; gates: from `pack_columns`, those of the weight from number `begin`,
    `count` of them; values: packed, (wide / (PANEL * WIDTH), depth, PANEL * WIDTH); totals: float32, (the same panels,
    count, PANEL * WIDTH).
    """
    panel = PANEL * WIDTH
    tiles, height = begin_products(gates, group)
    for block in range(0, count, group):
        for column in range(0, wide, panel):
            for tile in range(tiles):
                plane, rows = rows_of_tile(block, block + group, tile, tiles)
                sums = totals[column * count + plane * panel :]
                place, stride, step = column_of(gates, begin + plane, depth)
                if fresh:
                    multiply(gates, place, stride, step, rows, height, values, column * depth, depth, PANEL, sums)
                else:
                    accumulate(gates, place, stride, step, rows, height, values, column * depth, depth, PANEL, sums)
    end_products(gates)


@compiled
def _put_in_rows(count, wide, totals, found):
    """totals, panel after panel, as rows: (wide / (PANEL * WIDTH), count, PANEL * WIDTH) -> (count, wide)."""
    panel = PANEL * WIDTH
    for row in range(count):
        for column in range(0, wide, panel):
            for place in range(0, panel, WIDTH):
                value = load(totals, column * count + row * panel + place)
                store(found, row * wide + column + place, value)
