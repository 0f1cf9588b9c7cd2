"""The LSTM over a window, forward and back.

Planes are the gates i, f, g, o, in the order of the weights. `memory` is the cell state.
"""

from __future__ import annotations

import numpy as np

from charlm.kernels.loops import add_to, products
from charlm.simd import MOST_ROWS, PANEL, WIDTH, accumulate, compiled, load, sigmoid, store, tanh


@compiled
def forward(first, last, window):
    """One layer, `charlm.kernels.loops.Window`."""
    T, B, H, depth = window.T, window.B, window.H, window.depth
    h, memory, planes = window.h, window.memory, window.planes
    sums = np.empty(MOST_ROWS * 4 * WIDTH, np.float32)
    tiles = (last - first + MOST_ROWS - 1) // MOST_ROWS
    for t in range(T):
        for unit in range(0, H, WIDTH):
            for tile in range(tiles):
                lane = first + (last - first) * tile // tiles
                rows = first + (last - first) * (tile + 1) // tiles - lane
                here = t * B + lane
                for row in range(rows):
                    begin = window.ids[here + row] * 4 * H + unit
                    for gate in range(4):
                        store(sums, (row * 4 + gate) * WIDTH, load(window.start, begin + gate * H))
                if depth > 0:
                    panel = unit * 4 * depth
                    accumulate(window.x, here * depth, depth, 1, rows, window.input_panels, panel, depth, 4, sums)
                accumulate(h, here * H, H, 1, rows, window.recurrent_panels, unit * 4 * H, H, 4, sums)
                for row in range(rows):
                    i = sigmoid(load(sums, row * 4 * WIDTH))
                    f = sigmoid(load(sums, (row * 4 + 1) * WIDTH))
                    g = tanh(load(sums, (row * 4 + 2) * WIDTH))
                    o = sigmoid(load(sums, (row * 4 + 3) * WIDTH))
                    before = (here + row) * H + unit
                    m = f * load(memory, before) + i * g
                    store(memory, before + B * H, m)
                    store(h, before + B * H, o * tanh(m))
                    place = ((here if window.keep else lane) + row) * 4 * H + unit
                    store(planes, place, i)
                    store(planes, place + H, f)
                    store(planes, place + 2 * H, g)
                    store(planes, place + 3 * H, o)


@compiled
def backward(first, last, window, gradients):
    """Its gradients, `charlm.kernels.loops.Gradients`."""
    T, B, H, depth = window.T, window.B, window.H, window.depth
    memory, planes = window.memory, window.planes
    sums = np.empty(MOST_ROWS * PANEL * WIDTH, np.float32)
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
                begin = window.ids[here] * 4 * H + unit
                add_to(gradients.start, begin, di)
                add_to(gradients.start, begin + H, df)
                add_to(gradients.start, begin + 2 * H, dg)
                add_to(gradients.start, begin + 3 * H, do)
        begin = t * B * 4 * H
        products(first, last, planes, begin, 4 * H, 4 * H, gradients.recurrent_panels, H, gradients.h, 0, sums)
        if depth > 0:
            out = t * B * depth
            products(first, last, planes, begin, 4 * H, 4 * H, gradients.input_panels, depth, gradients.x, out, sums)
