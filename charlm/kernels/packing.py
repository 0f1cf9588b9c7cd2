"""Weights in the order in which tiles read them; see `charlm.simd.tiles`.

A weight matrix is (planes * H, depth): flat, padded, of int32 that hold a float32 or two bfloat16 of neighbouring
depth. Nothing here computes: numbers only change places.
"""

from __future__ import annotations

from charlm.simd import PANEL, WIDTH, compiled


@compiled
def pack_forward(first, last, weight, panels, planes, H, depth, block):
    """Panels for products with a layer's input: a block of units of every plane side by side.

    weight: (planes, H, depth) -> panels: (H / block, depth, planes, block); all int32, two bfloat16 counting as one.
    Works on the panels from `first` to `last`.
    """
    for panel in range(first, last):
        for plane in range(planes):
            for unit in range(block):
                row = (plane * H + panel * block + unit) * depth
                place = (panel * depth * planes + plane) * block + unit
                for k in range(depth):
                    panels[place + k * planes * block] = weight[row + k]


@compiled
def pack_backward(first, last, weight, panels, rows, columns, pairs):
    """Panels for products with gradients of a layer's planes, which go back through the weights.

    weight: (rows, columns) -> panels: (columns / (PANEL * WIDTH), rows, PANEL * WIDTH), or, of `pairs`, uint16 as
    (..., rows / 2, PANEL * WIDTH, 2). The last panel is filled up with what it holds. Works on the panels from
    `first` to `last`.
    """
    wide = PANEL * WIDTH
    for panel in range(first, last):
        held = min(wide, columns - panel * wide)
        if pairs:
            for row in range(0, rows, 2):
                place = (panel * rows + row) * wide
                for column in range(held):
                    panels[place + 2 * column] = weight[row * columns + panel * wide + column]
                    panels[place + 2 * column + 1] = weight[(row + 1) * columns + panel * wide + column]
        else:
            for row in range(rows):
                place = (panel * rows + row) * wide
                for column in range(held):
                    panels[place + column] = weight[row * columns + panel * wide + column]
