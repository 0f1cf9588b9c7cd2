"""The gated recurrent unit over a window, forward and back; reset gate after the product.

Planes: n, the candidate; the gates r and z; s, the former output's share of the candidate. The input's product
adds to the first three, the former output's to the last three. `memory` holds the outputs in float32: what is
handed on from step to step must not be rounded at each of them.
"""

from __future__ import annotations

from charlm.kernels.loops import products, window_products
from charlm.simd import (
    PANEL,
    WIDTH,
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
    above = empty_floats(most_rows(h) * 3 * WIDTH)  # n, r, z
    beside = empty_floats(most_rows(h) * 3 * WIDTH)  # r, z, s
    tiles, height = begin_products(h, last - first)
    for t in range(T):
        for block in range(0, H, WIDTH):
            unit = there_and_back(t, block, H - WIDTH)
            for tile in range(tiles):
                lane, rows = rows_of_tile(first, last, tile, tiles)
                here = t * B + lane
                if depth > 0:
                    panel, x = unit * 3 * depth, here * depth
                    multiply(window.x, x, depth, 1, rows, height, window.input_panels, panel, depth, 3, above)
                multiply(h, here * H, H, 1, rows, height, window.recurrent_panels, unit * 3 * H, H, 3, beside)
                for row in range(rows):
                    place, start = row * 3 * WIDTH, window.ids[here + row] * 4 * H + unit
                    n, r = load(window.start, start), load(window.start, start + H) + load(beside, place)
                    z = load(window.start, start + 2 * H) + load(beside, place + WIDTH)
                    s = load(window.start, start + 3 * H) + load(beside, place + 2 * WIDTH)
                    if depth > 0:
                        n, r = n + load(above, place), r + load(above, place + WIDTH)
                        z = z + load(above, place + 2 * WIDTH)
                    r, z = sigmoid(r), sigmoid(z)
                    n = tanh(n + r * s)
                    before = (here + row) * H + unit
                    output = n + z * (load(memory, before) - n)
                    store(memory, before + B * H, output)
                    store(h, before + B * H, output)
                    kept = ((here if window.keep else lane) + row) * 4 * H + unit
                    store(planes, kept, n)
                    store(planes, kept + H, r)
                    store(planes, kept + 2 * H, z)
                    store(planes, kept + 3 * H, s)
    end_products(h)


@compiled
def backward(first, last, window, gradients):
    """Its gradients, `charlm.kernels.loops.Gradients`. That of the state is the sum of `h` and `memory`."""
    T, B, H, depth = window.T, window.B, window.H, window.depth
    planes = window.planes
    sums = empty_floats(most_rows(planes) * PANEL * WIDTH)
    tiling = begin_products(planes, last - first)
    for t in range(T - 1, -1, -1):
        for lane in range(first, last):
            here = t * B + lane
            for unit in range(0, H, WIDTH):
                place, now, carried = here * 4 * H + unit, here * H + unit, lane * H + unit
                n, r = load(planes, place), load(planes, place + H)
                z, s = load(planes, place + 2 * H), load(planes, place + 3 * H)
                dh = load(gradients.y, now) + load(gradients.h, carried) + load(gradients.memory, carried)
                store(gradients.memory, carried, dh * z)
                dn = dh * (1.0 - z) * (1.0 - n * n)
                dz = dh * (load(window.memory, now) - n) * z * (1.0 - z)
                dr = dn * s * r * (1.0 - r)
                ds = dn * r
                store(planes, place, dn)
                store(planes, place + H, dr)
                store(planes, place + 2 * H, dz)
                store(planes, place + 3 * H, ds)
        begin, panels = t * B * 4 * H + H, gradients.recurrent_panels
        products(first, last, t, planes, begin, 4 * H, 3 * H, panels, H, gradients.h, sums, tiling)
    if depth > 0:
        x, panels = gradients.x, gradients.input_panels
        window_products(first, last, T, B, planes, 0, 4 * H, 3 * H, panels, depth, x, sums, tiling)
    end_products(planes)
