"""Gradients of weights over the lanes of a window: no step waits for them, so they are products over all of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from charlm.kernels.packing import pack_rows
from charlm.simd import MOST_ROWS, PANEL, WIDTH, accumulate, compiled, fill, store


class Applied(NamedTuple):
    """What a weight was applied to, and where its gradient goes. Arrays are flat, `planes` as below."""

    values: Any  # (T, B, columns)
    columns: int
    begin: int  # the number of its first plane
    rows: int  # how many planes are its own: whole vectors
    wide: int  # columns filled up to whole panels
    totals: Any  # float32, (wide / (PANEL * WIDTH), rows, PANEL * WIDTH)


@compiled
def sum_window(first, last, T, B, some, unit, planes, width, weights, gates, room):
    """A part's shares of the gradients of some weights whose gates are in the same planes, (T, B, width).

    some: steps that are packed at a time; unit: rows of a product that are packed together, 2 of bfloat16, else 1;
    weights: a tuple of `Applied`; gates, room: for what is packed of the planes and of the widest values.
    """
    for t in range(0, T, some):
        steps = min(some, T - t)
        rows = steps * (last - first)
        rows += rows % unit
        pack_rows(first, last, steps, B, planes, t * B * width, width, width, 1, gates)
        for weight in weights:
            begin = t * B * weight.columns
            pack_rows(first, last, steps, B, weight.values, begin, weight.columns, weight.columns, PANEL, room)
            blocks = weight.rows // WIDTH
            sum_products(rows, gates, weight.begin * rows, blocks, unit, room, weight.wide, weight.totals, t == 0)


@compiled
def sum_products(rows, planes, begin, blocks, unit, values, columns, totals, fresh):
    """totals += planes.T @ values, the gradient of weights: sums over some rows of a window. From zero where `fresh`.

    planes: packed by vectors, (..., rows, WIDTH), those of the weights from number `begin`; unit: how many numbers of a
    plane stand together, 1, or 2 of bfloat16 (then `rows` is even); values: packed, (columns / (PANEL * WIDTH), rows,
    PANEL * WIDTH); totals: float32, (the same panels, blocks * WIDTH, PANEL * WIDTH).
    """
    wide = PANEL * WIDTH
    tiles = (WIDTH + MOST_ROWS - 1) // MOST_ROWS
    for block in range(blocks):
        for column in range(0, columns, wide):
            for tile in range(tiles):
                top = WIDTH * tile // tiles
                height = WIDTH * (tile + 1) // tiles - top
                sums = totals[(column * blocks + block * wide + top * PANEL) * WIDTH :]
                if fresh:
                    for vector in range(0, height * wide, WIDTH):
                        store(sums, vector, fill(0.0))
                place = begin + block * rows * WIDTH + top * unit
                accumulate(planes, place, unit, WIDTH, height, values, column * rows, rows, PANEL, sums)
