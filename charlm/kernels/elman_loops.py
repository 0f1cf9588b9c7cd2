"""The Elman network over a window, forward and back, with tanh or rectified.

One plane, for going back alone. Its panels hold PANEL vectors of units, so that a tile has enough to add up.
"""

from __future__ import annotations

from charlm.kernels.loops import products, window_products
from charlm.simd import (
    PANEL,
    WIDTH,
    accumulate,
    begin_products,
    compiled,
    empty_floats,
    end_products,
    fill,
    largest,
    load,
    most_rows,
    multiply,
    rows_of_tile,
    store,
    tanh,
    there_and_back,
    where_positive,
)


@compiled
def forward_tanh(first, last, window):
    """One layer, `charlm.kernels.loops.Window`."""
    _forward(first, last, window, False)


@compiled
def forward_rectified(first, last, window):
    """One layer, `charlm.kernels.loops.Window`."""
    _forward(first, last, window, True)


@compiled
def backward_tanh(first, last, window, gradients):
    """Its gradients, `charlm.kernels.loops.Gradients`."""
    _backward(first, last, window, gradients, False)


@compiled
def backward_rectified(first, last, window, gradients):
    """Its gradients, `charlm.kernels.loops.Gradients`."""
    _backward(first, last, window, gradients, True)


@compiled
def _forward(first, last, window, rectified):
    T, B, H, depth, h = window.T, window.B, window.H, window.depth, window.h
    wide = PANEL * WIDTH
    sums = empty_floats(most_rows(h) * wide)
    tiles, height = begin_products(h, last - first)
    for t in range(T):
        for block in range(0, H, wide):
            unit = there_and_back(t, block, H - wide)
            for tile in range(tiles):
                lane, rows = rows_of_tile(first, last, tile, tiles)
                here = t * B + lane
                multiply(h, here * H, H, 1, rows, height, window.recurrent_panels, unit * H, H, PANEL, sums)
                if depth > 0:
                    panel, x = unit * depth, here * depth
                    accumulate(window.x, x, depth, 1, rows, height, window.input_panels, panel, depth, PANEL, sums)
                for row in range(rows):
                    start, after = window.ids[here + row] * H + unit, (here + row + B) * H + unit
                    for place in range(0, wide, WIDTH):
                        value = load(sums, row * wide + place) + load(window.start, start + place)
                        if rectified:
                            store(h, after + place, largest(fill(0.0), value))
                        else:
                            store(h, after + place, tanh(value))
    end_products(h)


@compiled
def _backward(first, last, window, gradients, rectified):
    T, B, H, depth = window.T, window.B, window.H, window.depth
    planes = window.planes
    sums = empty_floats(most_rows(planes) * PANEL * WIDTH)
    tiling = begin_products(planes, last - first)
    for t in range(T - 1, -1, -1):
        for lane in range(first, last):
            here = t * B + lane
            for unit in range(0, H, WIDTH):
                now = here * H + unit
                output = load(window.h, now + B * H)
                dh = load(gradients.y, now) + load(gradients.h, lane * H + unit)
                dh = where_positive(output, dh) if rectified else dh * (1.0 - output * output)
                store(planes, now, dh)
        products(first, last, t, planes, t * B * H, H, H, gradients.recurrent_panels, H, gradients.h, sums, tiling)
    if depth > 0:
        x, panels = gradients.x, gradients.input_panels
        window_products(first, last, T, B, planes, 0, H, H, panels, depth, x, sums, tiling)
    end_products(planes)
