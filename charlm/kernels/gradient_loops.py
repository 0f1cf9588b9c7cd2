"""Gradients of weights over a window: no step waits for them, so they are sums over all of its places.

A place is a lane at a step. The gradients of the planes lie in columns, one for each row of the weights. Who has some
columns sums over all places, always in the same order. So it does not matter who that is, and who had which lanes.
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


class Summed(NamedTuple):
    """What the gradients are sums of. Arrays are flat."""

    planes: Any  # (places, columns): the gradient of each plane, as `charlm.kernels.loops.Gradients` leaves it
    places: int
    columns: int
    piece: int  # places that are summed at a time, a multiple of `unit`
    unit: int  # a piece is filled up to a multiple of this
    group: int  # columns that are multiplied together
    ids: Any  # (places,) int64: the row of `start` that each place began with
    start: Any  # float32, (names, columns): the gradient of what the planes' sums began with


class Applied(NamedTuple):
    """A weight: what it was applied to, and where its gradient goes. Arrays are flat."""

    packed: Any  # what it was applied to, by `pack_pieces`
    wide: int  # the width of that, filled up to whole panels
    begin: int  # the first column that is the weight's own
    own: int  # how many are: `begin` and this are multiples of `group`
    found: Any  # float32, (own, wide)


@compiled
def pack_pieces(places, piece, unit, values, width, wide, packed):
    """values: (places, width) -> packed: for each piece (wide / (PANEL * WIDTH), its places, PANEL * WIDTH)."""
    for begin in range(0, places, piece):
        end, room = min(begin + piece, places), packed[begin * wide :]
        pack_rows(begin, end, values, 0, width, width, PANEL, room)


@compiled
def sum_columns(first, last, summed, weights, across, totals):
    """The gradients of the columns from `first` to `last`, multiples of `group`.

    weights: a tuple of `Applied`, all that add to these planes; across: room for a piece, (columns, places); totals:
    room for what each weight has of these columns, (columns, wide) one after the other.
    """
    for row in range(0, len(summed.start), summed.columns):
        for column in range(row + first, row + last, WIDTH):
            store(summed.start, column, fill(0.0))
    for begin in range(0, summed.places, summed.piece):
        end = min(begin + summed.piece, summed.places)
        depth = (end - begin + summed.unit - 1) // summed.unit * summed.unit
        _add_to_start(first, last, begin, end, summed)
        pack_columns(begin, end, summed.planes, first, summed.columns, last - first, across)
        room = totals
        for weight in weights:
            low, high = _own(first, last, weight)
            if low < high:
                packed = weight.packed[begin * weight.wide :]
                _add_products(
                    depth, summed.group, across, low - first, high - low, packed, weight.wide, room, begin == 0
                )
                room = room[(high - low) * weight.wide :]
    room = totals
    for weight in weights:
        low, high = _own(first, last, weight)
        if low < high:
            _put_in_rows(high - low, weight.wide, room, weight.found[(low - weight.begin) * weight.wide :])
            room = room[(high - low) * weight.wide :]


@compiled
def _own(first, last, weight):
    """Which of the columns are a weight's own, as a range."""
    return max(first, weight.begin), min(last, weight.begin + weight.own)


@compiled
def _add_to_start(first, last, begin, end, summed):
    """start[ids[place]] += planes[place], for some columns of the places from `begin` to `end`."""
    for place in range(begin, end):
        here, to = place * summed.columns, summed.ids[place] * summed.columns
        for column in range(first, last, WIDTH):
            value = load(summed.start, to + column) + load(summed.planes, here + column)
            store(summed.start, to + column, value)


@compiled
def _add_products(depth, group, across, begin, count, packed, wide, totals, fresh):
    """totals += across.T @ packed, sums over a piece. From zero where `fresh`.

    depth: its places, as they were filled up; across: from `pack_columns`, the weight's own columns from number
    `begin`, `count` of them; packed: (wide / (PANEL * WIDTH), depth, PANEL * WIDTH); totals: float32, (the same panels,
    count, PANEL * WIDTH).
    """
    panel = PANEL * WIDTH
    tiles, height = begin_products(across, group)
    for block in range(0, count, group):
        for vector in range(0, wide, panel):
            for tile in range(tiles):
                column, rows = rows_of_tile(block, block + group, tile, tiles)
                sums = totals[vector * count + column * panel :]
                place, stride, step = column_of(across, begin + column, depth)
                if fresh:
                    multiply(across, place, stride, step, rows, height, packed, vector * depth, depth, PANEL, sums)
                else:
                    accumulate(across, place, stride, step, rows, height, packed, vector * depth, depth, PANEL, sums)
    end_products(across)


@compiled
def _put_in_rows(count, wide, totals, found):
    """totals, panel after panel, as rows: (wide / (PANEL * WIDTH), count, PANEL * WIDTH) -> (count, wide)."""
    panel = PANEL * WIDTH
    for row in range(count):
        for begin in range(0, wide, panel):
            for vector in range(0, panel, WIDTH):
                value = load(totals, begin * count + row * panel + vector)
                store(found, row * wide + begin + vector, value)
