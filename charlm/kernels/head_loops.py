"""The output layer over a window with its loss, there and back."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from charlm.kernels.loops import window_products
from charlm.simd import (
    PANEL,
    WIDTH,
    accumulate,
    begin_products,
    compiled,
    empty_floats,
    end_products,
    exp,
    fill,
    largest,
    load,
    most_rows,
    multiply,
    rows_of_tile,
    store,
    total,
)


class Head(NamedTuple):
    """The arrays; letters, formats and `Window` as in `charlm.kernels.loops`. V is padded as H is."""

    T: int
    B: int
    H: int
    depth: int  # 0 where nothing is beside y
    V: int
    scale: float  # of the gradient of each loss
    targets: Any  # (T, B) int64
    losses: Any  # (B,) float64: the sum over the steps, in nats, written
    y: Any  # (T, B, H): outputs of the layers, read
    panels: Any  # of the weights, by vectors: (V / WIDTH, H, WIDTH), and by PANEL vectors as far as those go
    back_panels: Any  # packed for going back
    beside: Any  # (T, B, depth), with weights of its own
    beside_panels: Any
    beside_back_panels: Any
    beside_gradient: Any  # (T, B, depth): written
    bias: Any  # (V,) float32, very small where V is padded
    logits: Any  # (T, B, V): their gradients, written
    y_gradient: Any  # (T, B, H): written


@compiled
def head(first, last, head):
    """The losses of some lanes, and the gradients; that of the bias is the sum of those of the logits."""
    T, B, H, V = head.T, head.B, head.H, head.V
    sums = empty_floats(most_rows(head.y) * PANEL * WIDTH)
    logits = empty_floats(most_rows(head.y) * V)
    tiling = begin_products(head.y, last - first)
    tiles, height = tiling
    for lane in range(first, last):
        head.losses[lane] = 0.0
    for t in range(T):
        for tile in range(tiles):
            lane, rows = rows_of_tile(first, last, tile, tiles)
            here = t * B + lane
            _logits(head, here, rows, height, sums, logits)
            for row in range(rows):
                target = head.targets[here + row]
                head.losses[lane + row] += _softmax(logits, row * V, V, target, sums)
                for column in range(0, V, WIDTH):
                    store(head.logits, (here + row) * V + column, load(logits, row * V + column) * head.scale)
    window_products(first, last, T, B, head.logits, 0, V, V, head.back_panels, H, head.y_gradient, sums, tiling)
    if head.depth > 0:
        depth, panels, gradient = head.depth, head.beside_back_panels, head.beside_gradient
        window_products(first, last, T, B, head.logits, 0, V, V, panels, depth, gradient, sums, tiling)
    end_products(head.y)


@compiled
def _logits(head, here, rows, height, sums, logits):
    """Logits of some neighbouring lanes of one step: (rows, V)."""
    H, V, depth, wide = head.H, head.V, head.depth, PANEL * WIDTH
    beside, panels = here * depth, head.beside_panels
    for column in range(0, V - V % wide, wide):
        multiply(head.y, here * H, H, 1, rows, height, head.panels, column * H, H, PANEL, sums)
        if depth > 0:
            accumulate(head.beside, beside, depth, 1, rows, height, panels, column * depth, depth, PANEL, sums)
        for row in range(rows):
            for vector in range(column, column + wide, WIDTH):
                value = load(sums, row * wide + vector - column) + load(head.bias, vector)
                store(logits, row * V + vector, value)
    for column in range(V - V % wide, V, WIDTH):
        multiply(head.y, here * H, H, 1, rows, height, head.panels, column * H, H, 1, sums)
        if depth > 0:
            accumulate(head.beside, beside, depth, 1, rows, height, panels, column * depth, depth, 1, sums)
        for row in range(rows):
            store(logits, row * V + column, load(sums, row * WIDTH) + load(head.bias, column))


@compiled
def _softmax(logits, begin, V, target, room):
    """The loss of one target; the logits' gradient, probabilities less 1 at the target, takes their place."""
    most = load(logits, begin)
    for column in range(WIDTH, V, WIDTH):
        most = largest(most, load(logits, begin + column))
    store(room, 0, most)
    highest = room[0]
    for lane in range(1, WIDTH):
        highest = max(highest, room[lane])
    aimed = logits[begin + target] - highest
    whole = fill(np.float32(0.0))
    for column in range(0, V, WIDTH):
        power = exp(load(logits, begin + column) - highest)
        store(logits, begin + column, power)
        whole = whole + power
    sum_of_all = total(whole)
    share = np.float32(1.0) / sum_of_all
    for column in range(0, V, WIDTH):
        store(logits, begin + column, load(logits, begin + column) * share)
    logits[begin + target] -= np.float32(1.0)
    return math.log(sum_of_all) - aimed
