"""What the loops of all cells share: their arrays, and products that go back through the weights.

Letters are those of the models. Arrays are flat; `H` and `depth`, the width of the layer's input, are padded as
`charlm.kernels.panels.padding` says. Numbers that are multiplied, `x`, `h` and `planes`, are all float32 or all
bfloat16, held as uint16.

A loop works on the lanes from `first` to `last`: lanes do not meet, so each thread has its own for a whole window.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from charlm.simd import PANEL, WIDTH, compiled, load, multiply, rows_of_tile, store, there_and_back, where_at_least


class Window(NamedTuple):
    """A layer's window on its way forward."""

    T: int
    B: int
    H: int
    depth: int  # 0 where there is no x
    keep: bool  # keep the planes of all steps, for going back; else there is room for one step
    ids: Any  # (T, B) int64: the row of `start` that a lane begins a step with; zeros where it has one row
    start: Any  # (rows, planes, H) float32: biases, or a table with the whole input product as well
    x: Any  # (T, B, depth)
    input_panels: Any  # packed weights, see `charlm.kernels.packing`
    recurrent_panels: Any
    h: Any  # (T + 1, B, H): the state before the window, then the outputs
    memory: Any  # (T + 1, B, H) float32: what is carried on beside `h`, where the cell does
    planes: Any  # (T, B, planes, H): what going back needs


class Gradients(NamedTuple):
    """The same window on its way back. The gradient of each plane takes the plane's place.

    Those of the weights and of `start` are sums of these over the whole window: `charlm.kernels.weight_gradient`.
    """

    x: Any  # (T, B, depth)
    y: Any  # (T, B, H): of the outputs
    h: Any  # (B, H) float32: of the state after the window; in the end of that before it
    memory: Any  # (B, H) float32: likewise
    input_panels: Any  # packed for going back
    recurrent_panels: Any


@compiled
def products(first, last, t, values, begin, stride, depth, panels, columns, result, sums, tiling):
    """result[lane] = values[lane] @ panels for some lanes, in step `t`.

    values: lane b begins at ``begin + b * stride``, with `depth` numbers; result: (B, columns); sums: room for one
    tile; tiling: of these lanes, from `begin_products`.
    """
    wide = PANEL * WIDTH
    for block in range(0, columns, wide):
        column = there_and_back(t, block, (columns - 1) // wide * wide)
        some, panel = min(wide, columns - column), column * depth
        _panel_products(
            first, last, values, begin, stride, depth, panels, panel, some, result, column, columns, sums, tiling
        )


@compiled
def window_products(first, last, T, B, values, begin, stride, depth, panels, columns, result, sums, tiling):
    """`products` of all steps, result: (T, B, columns). A panel is read by one step after the other, while it is near.

    values: lane b of step t begins at ``begin + (t * B + b) * stride``.
    """
    wide = PANEL * WIDTH
    for column in range(0, columns, wide):
        some = min(wide, columns - column)
        for t in range(T):
            step = t * B
            _panel_products(
                first,
                last,
                values,
                begin + step * stride,
                stride,
                depth,
                panels,
                column * depth,
                some,
                result,
                step * columns + column,
                columns,
                sums,
                tiling,
            )


@compiled
def _panel_products(
    first, last, values, begin, stride, depth, panels, panel, columns, result, result_begin, result_stride, sums, tiling
):
    """`products` with one panel, which begins at `panel` and has so many columns that count."""
    tiles, height = tiling
    for tile in range(tiles):
        lane, rows = rows_of_tile(first, last, tile, tiles)
        multiply(values, begin + lane * stride, stride, 1, rows, height, panels, panel, depth, PANEL, sums)
        for row in range(rows):
            to = result_begin + (lane + row) * result_stride
            for vector in range(0, columns, WIDTH):
                store(result, to + vector, load(sums, row * PANEL * WIDTH + vector))


@compiled
def drop_lanes(first, last, T, B, H, values, coins, least, scale, result):
    """result = values * scale where a coin is not below `least`, else 0, each (T, B, H), for some lanes.

    coins: int16, (T, B, H), or (1, B, H) for all steps.
    """
    for t in range(T):
        step = t * B * H
        thrown = step if len(coins) > B * H else 0
        for place in range(first * H, last * H, WIDTH):
            store(
                result, step + place, where_at_least(coins, thrown + place, least, load(values, step + place) * scale)
            )
