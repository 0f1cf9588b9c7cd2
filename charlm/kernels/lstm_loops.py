"""The LSTM over a window, forward and back.

Planes are the gates i, f, g, o, in the order of the weights. `memory` is the cell state.
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
    load,
    most_rows,
    multiply,
    rows_of_tile,
    sigmoid,
    store,
    tanh,
    there_and_back,
)


@compiled
def forward(first, last, window):
    """One layer, `charlm.kernels.loops.Window`."""
    T, B, H, depth = window.T, window.B, window.H, window.depth
    h, memory, planes = window.h, window.memory, window.planes
    sums = empty_floats(most_rows(h) * 4 * WIDTH)
    tiles, height = begin_products(h, last - first)
    for t in range(T):
        for block in range(0, H, WIDTH):
            unit = there_and_back(t, block, H - WIDTH)
            for tile in range(tiles):
                lane, rows = rows_of_tile(first, last, tile, tiles)
                here = t * B + lane
                multiply(h, here * H, H, 1, rows, height, window.recurrent_panels, unit * 4 * H, H, 4, sums)
                if depth > 0:
                    panel, x = unit * 4 * depth, here * depth
                    accumulate(window.x, x, depth, 1, rows, height, window.input_panels, panel, depth, 4, sums)
                for row in range(rows):
                    begin, start = row * 4 * WIDTH, window.ids[here + row] * 4 * H + unit
                    i = sigmoid(load(sums, begin) + load(window.start, start))
                    f = sigmoid(load(sums, begin + WIDTH) + load(window.start, start + H))
                    g = tanh(load(sums, begin + 2 * WIDTH) + load(window.start, start + 2 * H))
                    o = sigmoid(load(sums, begin + 3 * WIDTH) + load(window.start, start + 3 * H))
                    before = (here + row) * H + unit
                    m = f * load(memory, before) + i * g
                    store(memory, before + B * H, m)
                    store(h, before + B * H, o * tanh(m))
                    place = ((here if window.keep else lane) + row) * 4 * H + unit
                    store(planes, place, i)
                    store(planes, place + H, f)
                    store(planes, place + 2 * H, g)
                    store(planes, place + 3 * H, o)
    end_products(h)


@compiled
def backward(first, last, window, gradients):
    """Its gradients, `charlm.kernels.loops.Gradients`."""
    T, B, H, depth = window.T, window.B, window.H, window.depth
    memory, planes = window.memory, window.planes
    sums = empty_floats(most_rows(planes) * PANEL * WIDTH)
    tiling = begin_products(planes, last - first)
    for t in range(T - 1, -1, -1):
        for lane in range(first, last):
            here = t * B + lane
            for unit in range(0, H, WIDTH):
                place, now, carried = here * 4 * H + unit, here * H + unit, lane * H + unit
                i, f = load(planes, place), load(planes, place + H)
                g, o = load(planes, place + 2 * H), load(planes, place + 3 * H)
                squashed = tanh(load(memory, now + B * H))
                dh = load(gradients.y, now) + load(gradients.h, carried)
                dm = load(gradients.memory, carried) + dh * o * (1.0 - squashed * squashed)
                store(gradients.memory, carried, dm * f)
                di = dm * g * i * (1.0 - i)
                df = dm * load(memory, now) * f * (1.0 - f)
                dg = dm * i * (1.0 - g * g)
                do = dh * squashed * o * (1.0 - o)
                store(planes, place, di)
                store(planes, place + H, df)
                store(planes, place + 2 * H, dg)
                store(planes, place + 3 * H, do)
        begin, panels = t * B * 4 * H, gradients.recurrent_panels
        products(first, last, t, planes, begin, 4 * H, 4 * H, panels, H, gradients.h, sums, tiling)
    if depth > 0:
        x, panels = gradients.x, gradients.input_panels
        window_products(first, last, T, B, planes, 0, 4 * H, 4 * H, panels, depth, x, sums, tiling)
    end_products(planes)
