"""The one compiled loop: rows of a model taken step by step, from ids to logits, to what follows.

Letters: N rows, T steps, V H E L; X P R S are widths of the plan (`charlm.runtime.layout`). `model` is a
`charlm.runtime.layout.Packed`, `room` a `charlm.runtime.call.Room`. A call works on the rows from `first` to `last`:
rows do not meet, so each thread has its own.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from charlm.runtime.call import NUMBERS, READ, WRITE, Room, whole_kind
from charlm.runtime.draws import draw, nats_of
from charlm.runtime.gates import reset, squash
from charlm.runtime.layer import EPSILON
from charlm.runtime.layout import LAYER, WIDTHS, Packed
from charlm.runtime.order import CANDIDATE, INPUT, NGRAM_SHARE, OUTPUT, PROJECTION, UPDATE
from charlm.runtime.products import add_products
from charlm.simd import WIDTH, fill, load, store
from charlm.simd.words import array
from charlm.streams.ngrams import MASK, MULTIPLIER, SHIFT

CELL, L, H, V, X, P, R, S, PARTS, V_REAL, EMBEDDING, E, PROJECTION_WEIGHT, OUTPUT_WEIGHT, BIAS = range(15)
NGRAMS, D, N, NGRAM_ROWS, NGRAMS_AT, NGRAM_OUTPUT, SYMBOLS = range(BIAS + 1, len(WIDTHS))
(
    DEPTH,
    REAL_WIDTH,
    RESIDUAL,
    NORM,
    START,
    START_STRIDE,
    LATE,
    INPUT_WEIGHT,
    RECURRENT_WEIGHT,
    CANDIDATE_WEIGHT,
    STATE,
) = range(len(LAYER))
WIDTHS_COUNT, LAYER_COUNT = len(WIDTHS), len(LAYER)

# A call of a function hands over every field of every array by memory: in small models that took longer than the rest.
in_place = register_jitable(forceinline=True)


def entry_of(weights):
    """The loop for `charlm.simd.entries`, for weights of one of NumPy's types: T steps of some rows.

    Row n reads ids[n, 0] first. What the words say, numbers and then flat arrays:
        mode: READ: ids (N, T + 1) are given, and `logits` are those after the last step. SCORE: ids are given, and
            every one but the first is weighed. WRITE: every id but the first is drawn.
        first, last, T
        model: the six arrays of a `charlm.runtime.layout.Packed`.
        ids
        state: (N, S), of before the first step; then of after the last.
        logits: (N, V), after the last step (READ).
        rules, uniforms, recent, written: see `charlm.runtime.drawing.Drawing`; uniforms (N, T) float64 from [0, 1).
        nats: (N, T) float64 of the ids but the first under the model itself; nan where it has exploded.
        right: (N, T) uint8: whether that id was the likeliest.
        room: the eight arrays of a `charlm.runtime.call.Room`.
    """
    whole = whole_kind(weights)

    # subtle: in one piece, for LLVM would compile a function that this one calls for itself first, some seconds more
    def entry(words):
        mode, first, last, T = words[0], words[1], words[2], words[3]
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
        plan, rows, found = model.plan, last - first, room.vectors
        for t in range(-1, T):
            answers = t >= 0 and (mode != READ or t == T - 1)
            advance(first, rows, T, t, answers, model, ids, state, room)
            if not answers:
                continue
            for row in range(first, last):
                begin, place = place_of_logits(rows, plan) + (row - first) * plan[V], row * (T + 1) + t + 1
                if mode == WRITE:
                    uniform = uniforms[row * T + t]
                    ids[place] = draw(found, begin, plan[V_REAL], rules, uniform, recent, row, written, room)
                    written[row] += 1
                if mode == READ:
                    for symbol in range(0, plan[V], WIDTH):
                        store(logits, row * plan[V] + symbol, load(found, begin + symbol))
                else:
                    nats[row * T + t] = nats_of(found, begin, plan[V], ids[place], right, row * T + t)

    return entry


@in_place
def advance(first, rows, T, t, answers, model, ids, state, room):
    """One step through all layers, and to the logits where it `answers`.

    Its parts are those of the plan (`charlm.runtime.order`). Recurrent products behind their layer's update are those
    of the step that follows: step -1 is these alone, and the last step leaves them out.
    """
    plan, vectors, layer = model.plan, room.vectors, 0
    operand, planes, logits = rows * plan[X], 2 * rows * plan[X], place_of_logits(rows, plan)
    if t >= 0 and plan[EMBEDDING] >= 0:
        for row in range(rows):
            begin = plan[EMBEDDING] + ids[(first + row) * (T + 1) + t] * plan[E]
            copy(vectors, row * plan[X], model.floats, begin, plan[E])
    if t >= 0 and plan[NGRAMS] >= 0:
        for row in range(rows):
            symbol = ids[(first + row) * (T + 1) + t] + 1
            read_ngrams(model, symbol, state, (first + row) * plan[S] + plan[SYMBOLS], vectors, row * plan[X])
    if answers:
        for row in range(rows):
            copy(vectors, logits + row * plan[V], model.floats, plan[BIAS], plan[V])
    parts = WIDTHS_COUNT + plan[L] * LAYER_COUNT + t % 2 * plan[PARTS]
    for place in range(parts, parts + plan[PARTS]):
        part = plan[place]
        of_this_step, of_the_next = part < 0 or part >= layer, 0 <= part < layer
        if part == UPDATE:
            layer += 1
        of_the_answer = part in (NGRAM_SHARE, PROJECTION, OUTPUT)
        if (of_this_step and t < 0) or (of_the_next and t == T - 1) or (of_the_answer and not answers):
            continue
        own = part if part >= 0 else layer
        at = WIDTHS_COUNT + own * LAYER_COUNT
        matrix, source, to, stride = -1, operand, 0, 0
        if part >= 0:
            matrix, to, stride = plan[at + RECURRENT_WEIGHT], place_of_shares(part, rows, plan), plan[R]
            begin_shares(first, rows, model, at, state, vectors, operand, to)
        elif part == INPUT:
            matrix, to, stride = plan[at + INPUT_WEIGHT], planes, plan[P]
            begin_planes(first, rows, T, t, model, at, ids, vectors, planes)
            if plan[at + NORM] >= 0:
                normalise(rows, model, at, vectors, operand)
            else:
                source = 0
        elif part == CANDIDATE:
            matrix, to, stride = plan[at + CANDIDATE_WEIGHT], planes + 2 * plan[H], plan[P]
            shares, begin = place_of_shares(layer, rows, plan), first * plan[S] + plan[at + STATE]
            reset(rows, plan[H], vectors, planes, plan[P], shares, plan[R], state, begin, plan[S], operand, plan[X])
        elif part == UPDATE:
            update(layer - 1, first, rows, model, state, vectors)
        elif part == PROJECTION:
            matrix, source, to, stride = plan[PROJECTION_WEIGHT], 0, operand, plan[X]
            for index in range(operand, 2 * operand, WIDTH):
                store(vectors, index, fill(0.0))
        elif part == OUTPUT:
            matrix, to, stride = plan[OUTPUT_WEIGHT], logits, plan[V]
            source = operand if plan[PROJECTION_WEIGHT] >= 0 else 0
        elif part == NGRAM_SHARE:
            matrix, source, to, stride = plan[NGRAM_OUTPUT], plan[NGRAMS_AT], logits, plan[V]
        if matrix >= 0:
            add_products(rows, vectors, source, plan[X], model, matrix, vectors, to, stride, room, t)


@register_jitable
def read_ngrams(model, symbol, state, symbols, vectors, to):
    """What stands beside the embedding, and the last symbols; the equations are those of `charlm.streams.ngrams`.

    Args:
        symbols: where in `state` those before `symbol` are; then that and those but the oldest.
        to: where in `vectors` the input begins.
    """
    plan, floats = model.plan, model.floats
    to += plan[NGRAMS_AT]
    for place in range(plan[X] - plan[NGRAMS_AT]):
        vectors[to + place] = np.float32(0)
    key, last = symbol * MULTIPLIER, symbols + plan[N] - 2
    for n in range(plan[N] - 1):
        key = (key + np.int64(state[last - n])) * MULTIPLIER
        begin = plan[NGRAMS] + (key >> SHIFT & MASK) % plan[NGRAM_ROWS] * plan[D]
        for place in range(plan[D]):
            vectors[to + place] += floats[begin + place]
    for place in range(symbols, last):
        state[place] = state[place + 1]
    state[last] = np.float32(symbol)


@in_place
def begin_planes(first, rows, T, t, model, at, ids, vectors, planes):
    """Fill the planes with what the product is added to: biases, or layer 0's whole share of the input."""
    plan = model.plan
    for row in range(rows):
        begin = plan[at + START] + ids[(first + row) * (T + 1) + t] * plan[at + START_STRIDE]
        copy(vectors, planes + row * plan[P], model.floats, begin, plan[P])


@in_place
def begin_shares(first, rows, model, at, state, vectors, operand, shares):
    """Fill shares of the state with what the product is added to, and `operand` with the layer's last outputs."""
    plan = model.plan
    late = plan[H] if plan[at + LATE] >= 0 else 0
    for row in range(rows):
        copy(vectors, operand + row * plan[X], state, (first + row) * plan[S] + plan[at + STATE], plan[H])
        begin = shares + row * plan[R]
        for place in range(begin, begin + plan[R] - late, WIDTH):
            store(vectors, place, fill(0.0))
        copy(vectors, begin + plan[R] - late, model.floats, plan[at + LATE], late)


@in_place
def update(layer, first, rows, model, state, vectors):
    """A layer's next state from its planes and shares, and what the layer above is given."""
    plan, at = model.plan, WIDTHS_COUNT + layer * LAYER_COUNT
    planes, shares = 2 * rows * plan[X], place_of_shares(layer, rows, plan)
    begin = first * plan[S] + plan[at + STATE]
    squash(rows, plan[CELL], plan[H], vectors, planes, plan[P], shares, plan[R], state, begin, plan[S])
    for row in range(rows):
        for place in range(0, plan[H], WIDTH):
            y, to = load(state, begin + row * plan[S] + place), row * plan[X] + place
            store(vectors, to, load(vectors, to) + y if plan[at + RESIDUAL] > 0 else y)


@in_place
def copy(values, to, source, begin, count):
    """So many numbers, whole vectors of them."""
    for place in range(0, count, WIDTH):
        store(values, to + place, load(source, begin + place))


@in_place
def place_of_logits(rows, plan):
    """Where logits (rows, V) lie in the room."""
    return rows * (2 * plan[X] + plan[P])


@in_place
def place_of_shares(layer, rows, plan):
    """Where a layer's shares of the state (rows, R) lie in the room."""
    return rows * (2 * plan[X] + plan[P] + plan[V] + layer * plan[R])


@register_jitable
def normalise(rows, model, at, vectors, operand):
    """Layer norm, as `charlm.runtime.layer.layer_norm`; what is padding stays zero."""
    plan, floats = model.plan, model.floats
    width, depth, norm = plan[at + REAL_WIDTH], plan[at + DEPTH], plan[at + NORM]
    for row in range(rows):
        begin, to = row * plan[X], operand + row * plan[X]
        mean, variance = np.float32(0), np.float32(0)
        for place in range(begin, begin + width):
            mean += vectors[place]
        mean /= np.float32(width)
        for place in range(begin, begin + width):
            variance += (vectors[place] - mean) * (vectors[place] - mean)
        factor = np.float32(1) / np.sqrt(variance / np.float32(width) + EPSILON)
        for place in range(depth):
            value = (vectors[begin + place] - mean) * factor * floats[norm + place] + floats[norm + depth + place]
            vectors[to + place] = value if place < width else np.float32(0)
