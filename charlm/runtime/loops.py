"""The one compiled loop: rows of a model taken step by step, from ids to logits, to what follows.

Letters: N rows, T steps, V H E L. `model` is a `charlm.runtime.layout.Packed`, `room` a `charlm.runtime.call.Room`.
A call works on the rows from `first` to `last`: rows do not meet, so each thread has its own.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from charlm.runtime.call import NUMBERS, READ, WRITE, Room, whole_kind
from charlm.runtime.draws import draw, nats_of
from charlm.runtime.gates import reset, squash
from charlm.runtime.layout import CELL_NUMBERS, LAYER, WIDTHS, Packed
from charlm.runtime.products import add_products
from charlm.simd import WIDTH, fill, load, store
from charlm.simd.words import array

CELL, L, H, V, X, P, S, V_REAL, EMBEDDING, E, PROJECTION, OUTPUT, BIAS = range(len(WIDTHS))
DEPTH, REAL_WIDTH, RESIDUAL, NORM, START, START_STRIDE, LATE, INPUT, RECURRENT, CANDIDATE, STATE = range(len(LAYER))
WIDTHS_COUNT, LAYER_COUNT = len(WIDTHS), len(LAYER)
GRU, GRU_RESET_BEFORE = CELL_NUMBERS["gru"], CELL_NUMBERS["gru-reset-before"]


def entry_of(weights):
    """`run` for `charlm.simd.entries`, for weights of one of NumPy's types."""
    whole = whole_kind(weights)

    def entry(words):
        model = Packed(
            array(words, NUMBERS, 0, np.int64),
            array(words, NUMBERS, 1, np.float32),
            array(words, NUMBERS, 2, np.int64),
            array(words, NUMBERS, 3, weights),
            array(words, NUMBERS, 4, np.float32),
            array(words, NUMBERS, 5, np.int32),
        )
        ids, state = array(words, NUMBERS, 6, np.int64), array(words, NUMBERS, 7, np.float32)
        logits, rules = array(words, NUMBERS, 8, np.float32), array(words, NUMBERS, 9, np.float64)
        uniforms, recent = array(words, NUMBERS, 10, np.float64), array(words, NUMBERS, 11, np.int64)
        written, nats = array(words, NUMBERS, 12, np.int64), array(words, NUMBERS, 13, np.float64)
        right = array(words, NUMBERS, 14, np.uint8)
        room = Room(
            array(words, NUMBERS, 15, np.float32),
            array(words, NUMBERS, 16, np.float32),
            array(words, NUMBERS, 17, np.float64),
            array(words, NUMBERS, 18, np.int64),
            array(words, NUMBERS, 19, np.float32),
            array(words, NUMBERS, 20, np.int32),
            array(words, NUMBERS, 21, whole),
            array(words, NUMBERS, 22, np.float32),
        )
        mode, first, last, T = words[0], words[1], words[2], words[3]
        run(mode, first, last, T, model, ids, state, logits, rules, uniforms, recent, written, nats, right, room)

    return entry


@register_jitable
def run(mode, first, last, T, model, ids, state, logits, rules, uniforms, recent, written, nats, right, room):
    """T steps of some rows. Row n reads ids[n, 0] first. All arrays are flat.

    Args:
        mode: READ: ids (N, T + 1) are given, and `logits` are those after the last step. SCORE: ids are given, and
            every one but the first is weighed. WRITE: every id but the first is drawn.
        state: (N, S), of before the first step; then of after the last.
        logits: (N, V) room; what is in it after is of the last step.
        rules, recent, written: see `charlm.runtime.drawing.Drawing`.
        uniforms: (N, T) float64 from [0, 1) (WRITE).
        nats: (N, T) float64 of the ids but the first under the model itself; nan where it has exploded.
        right: (N, T) uint8: whether that id was the likeliest.
    """
    plan, rows = model.plan, last - first
    for t in range(T):
        advance(first, rows, T, t, model, ids, state, room)
        if mode == READ and t < T - 1:
            continue
        answer(first, rows, model, logits, room)
        for row in range(first, last):
            begin, place = row * plan[V], row * (T + 1) + t + 1
            if mode == WRITE:
                ids[place] = draw(logits, begin, plan[V_REAL], rules, uniforms[row * T + t], recent, row, written, room)
                written[row] += 1
            if mode != READ:
                nats[row * T + t] = nats_of(logits, begin, plan[V], ids[place], right, row * T + t)


@register_jitable
def advance(first, rows, T, t, model, ids, state, room):
    """One step through all layers; the last one's output (rows, X) is then at the beginning of the room."""
    plan, vectors = model.plan, room.vectors
    normal, planes = rows * plan[X], 2 * rows * plan[X]
    for row in range(rows):
        if plan[EMBEDDING] >= 0:
            begin = plan[EMBEDDING] + ids[(first + row) * (T + 1) + t] * plan[E]
            for place in range(0, plan[E], WIDTH):
                store(vectors, row * plan[X] + place, load(model.floats, begin + place))
    for layer in range(plan[L]):
        at = WIDTHS_COUNT + layer * LAYER_COUNT
        begin_planes(first, rows, T, t, model, at, ids, vectors, planes)
        if plan[at + DEPTH] > 0:
            source = 0
            if plan[at + NORM] >= 0:
                normalise(rows, model, at, vectors, normal)
                source = normal
            add_products(rows, vectors, source, plan[X], model, plan[at + INPUT], vectors, planes, plan[P], room)
        # of a GRU, the first plane is of the input alone
        to = planes + (plan[H] if plan[CELL] == GRU else 0)
        begin = first * plan[S] + plan[at + STATE]
        add_products(rows, state, begin, plan[S], model, plan[at + RECURRENT], vectors, to, plan[P], room)
        if plan[CELL] == GRU_RESET_BEFORE:
            reset(rows, plan[H], vectors, planes, plan[P], state, begin, plan[S], normal, plan[X])
            to = planes + 2 * plan[H]
            add_products(rows, vectors, normal, plan[X], model, plan[at + CANDIDATE], vectors, to, plan[P], room)
        squash(rows, plan[CELL], plan[H], vectors, planes, plan[P], state, begin, plan[S])
        for row in range(rows):
            for place in range(0, plan[H], WIDTH):
                y, to = load(state, begin + row * plan[S] + place), row * plan[X] + place
                store(vectors, to, load(vectors, to) + y if plan[at + RESIDUAL] > 0 else y)


@register_jitable
def begin_planes(first, rows, T, t, model, at, ids, vectors, planes):
    """Fill the planes with what the products are added to: biases, or layer 0's whole share of the input."""
    plan = model.plan
    late = plan[H] if plan[at + LATE] >= 0 else 0
    for row in range(rows):
        begin = plan[at + START] + ids[(first + row) * (T + 1) + t] * plan[at + START_STRIDE]
        to = planes + row * plan[P]
        for place in range(0, plan[P] - late, WIDTH):
            store(vectors, to + place, load(model.floats, begin + place))
        for place in range(0, late, WIDTH):
            store(vectors, to + plan[P] - late + place, load(model.floats, plan[at + LATE] + place))


@register_jitable
def normalise(rows, model, at, vectors, normal):
    """Layer norm, as `charlm.runtime.layer.layer_norm`; what is padding stays zero."""
    plan, floats = model.plan, model.floats
    width, depth, norm = plan[at + REAL_WIDTH], plan[at + DEPTH], plan[at + NORM]
    for row in range(rows):
        begin, to = row * plan[X], normal + row * plan[X]
        mean, variance = np.float32(0), np.float32(0)
        for place in range(begin, begin + width):
            mean += vectors[place]
        mean /= np.float32(width)
        for place in range(begin, begin + width):
            variance += (vectors[place] - mean) * (vectors[place] - mean)
        factor = np.float32(1) / np.sqrt(variance / np.float32(width) + np.float32(1e-5))
        for place in range(depth):
            value = (vectors[begin + place] - mean) * factor * floats[norm + place] + floats[norm + depth + place]
            vectors[to + place] = value if place < width else np.float32(0)


@register_jitable
def answer(first, rows, model, logits, room):
    """The output layer: `logits` (N, V) of some rows; symbols that are padding have -inf."""
    plan, vectors, y = model.plan, room.vectors, 0
    if plan[PROJECTION] >= 0:
        y = rows * plan[X]
        for place in range(y, 2 * y, WIDTH):
            store(vectors, place, fill(0.0))
        add_products(rows, vectors, 0, plan[X], model, plan[PROJECTION], vectors, y, plan[X], room)
    begin = first * plan[V]
    for row in range(rows):
        for place in range(0, plan[V], WIDTH):
            store(logits, begin + row * plan[V] + place, load(model.floats, plan[BIAS] + place))
    add_products(rows, vectors, y, plan[X], model, plan[OUTPUT], logits, begin, plan[V], room)
