"""The compiled loop: lanes of a text coded side by side. What it computes is said by `charlm.coding.reference`.

Letters: N lanes, M symbols of the longest. All arrays are flat; `model` is a `charlm.coding.layout.Packed`, `room`
a `charlm.coding.call.Room`. A call works on the lanes from `first` to `last`: lanes do not meet, so each thread has
its own.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from charlm.coding import ranges
from charlm.coding.call import NUMBERS, Room
from charlm.coding.compiled_steps import add_products, bound, normalise, reset, squash
from charlm.coding.layout import Packed
from charlm.coding.plan import (
    BIAS,
    CANDIDATE,
    CELL,
    DEPTH,
    EMBEDDING,
    INPUT,
    LATE,
    LAYER,
    LOG2_E,
    NGRAM_INPUT,
    NGRAM_OUTPUT,
    NGRAM_ROWS,
    NGRAMS,
    NGRAMS_AT,
    NORM,
    OUTPUT,
    PROJECTION,
    RECURRENT,
    RESIDUAL,
    START,
    START_STRIDE,
    STATE,
    SYMBOLS,
    V_REAL,
    WIDTHS,
    D,
    E,
    H,
    L,
    N,
    P,
    S,
    V,
    X,
)
from charlm.coding.tables import FRACTION, HIGHEST
from charlm.coding.weights import LOG_DIGITS, REST
from charlm.coding.whole import LIMIT
from charlm.runtime.layout import GRU, GRU_RESET_BEFORE
from charlm.simd.words import array
from charlm.streams.ngrams import MASK, MULTIPLIER, SHIFT

WIDTHS_COUNT, LAYER_COUNT = len(WIDTHS), len(LAYER)
CODER = ranges.NUMBERS

encode, aim, decode = map(register_jitable, (ranges.encode, ranges.aim, ranges.decode))
carry = register_jitable(ranges.carry)


def entry(words):
    """`run` for `charlm.simd.entries`."""
    model = Packed(
        array(words, NUMBERS, 0, np.int64),
        array(words, NUMBERS, 1, np.int32),
        array(words, NUMBERS, 2, np.int16),
        array(words, NUMBERS, 3, np.int64),
        array(words, NUMBERS, 4, np.int64),
        array(words, NUMBERS, 5, np.int32),
        array(words, NUMBERS, 6, np.int32),
    )
    ids, counts = array(words, NUMBERS, 7, np.int64), array(words, NUMBERS, 8, np.int64)
    state, coders = array(words, NUMBERS, 9, np.int32), array(words, NUMBERS, 10, np.int64)
    stream, bounds = array(words, NUMBERS, 11, np.uint8), array(words, NUMBERS, 12, np.int64)
    room = Room(
        array(words, NUMBERS, 13, np.int32),
        array(words, NUMBERS, 14, np.int32),
        array(words, NUMBERS, 15, np.int64),
        array(words, NUMBERS, 16, np.int32),
        array(words, NUMBERS, 17, np.int16),
        array(words, NUMBERS, 18, np.int64),
    )
    decoding, first, last, M, begin, end = words[0], words[1], words[2], words[3], words[4], words[5]
    run(decoding, first, last, M, begin, end, model, ids, counts, state, coders, stream, bounds, room)


@register_jitable
def run(decoding, first, last, M, begin, end, model, ids, counts, state, coders, stream, bounds, room):
    """Code the symbols from `begin` to `end` of some lanes.

    Args:
        ids: (N, M) int64; read, or when decoding written: -1 where a stream is none that was encoded.
        counts: (N,) symbols of each lane.
        state: (N, S) int32, of before symbol `begin`; then of before `end`.
        coders: (N, `charlm.coding.ranges.NUMBERS`) int64.
        stream: uint8; lane n's bytes begin at bounds[n] and end before bounds[n + 1].
    """
    plan, rows = model.plan, last - first
    for t in range(begin, end):
        if t > 0:
            advance(first, rows, M, t - 1, model, ids, state, room)
            answer(rows, model, room)
        else:
            begin_logits(rows, model, room)
        for row in range(rows):
            lane = first + row
            if t < counts[lane]:
                total = share_out(model, room, row * plan[V])
                at = lane * M + t
                if decoding:
                    ids[at] = take(coders, lane, stream, bounds, room.shares, plan[V_REAL], total)
                else:
                    below = 0
                    for symbol in range(ids[at]):
                        below += room.shares[symbol]
                    encode(coders, lane * CODER, stream, bounds[lane], below, room.shares[ids[at]], total)


@register_jitable
def take(coders, lane, stream, bounds, shares, symbols, total):
    """Decode a symbol; -1 where there is none."""
    aimed, below, symbol = aim(coders, lane * CODER, total), 0, 0
    if aimed >= total:
        return -1
    while below + shares[symbol] <= aimed:
        below += shares[symbol]
        symbol += 1
    decode(coders, lane * CODER, stream, bounds[lane], bounds[lane + 1], below, shares[symbol], total)
    return symbol


@register_jitable
def share_out(model, room, begin):
    """`charlm.coding.weights.shares` of a row of logits, into the room; returns their sum."""
    plan, logits, powers, shares = model.plan, room.logits, model.powers, room.shares
    most = np.int64(logits[begin])
    for symbol in range(plan[V_REAL]):
        most = max(most, np.int64(logits[begin + symbol]))
    total = 0
    for symbol in range(plan[V_REAL]):
        down = (most - logits[begin + symbol]) * plan[LOG2_E] >> LOG_DIGITS
        part = down & ((1 << FRACTION) - 1)
        place, rest = part >> REST, part & ((1 << REST) - 1)
        here = np.int64(powers[place])
        found = here + ((powers[place + 1] - here) * rest >> REST)
        share = (found >> min(down >> FRACTION, HIGHEST + 1)) + 1
        shares[symbol] = share
        total += share
    return total


@register_jitable
def advance(first, rows, M, t, model, ids, state, room):
    """One step through all layers; the last one's output (rows, X) is then at the beginning of the room, and of the
    logits (rows, V) there is what does not come from it."""
    plan, vectors = model.plan, room.vectors
    normal, planes = rows * plan[X], 2 * rows * plan[X]
    for row in range(rows):
        begin = plan[EMBEDDING] + max(ids[(first + row) * M + t], 0) * plan[E]
        for place in range(plan[E]):
            vectors[row * plan[X] + place] = model.numbers[begin + place]
        if plan[NGRAMS] >= 0:
            symbol, symbols = max(ids[(first + row) * M + t], 0) + 1, (first + row) * plan[S] + plan[SYMBOLS]
            read_ngrams(model, symbol, state, symbols, vectors, row * plan[X])
    begin_logits(rows, model, room)
    if plan[NGRAMS] >= 0:
        add_products(rows, vectors, plan[NGRAMS_AT], plan[X], model, plan[NGRAM_OUTPUT], room.logits, 0, plan[V], room)
    for layer in range(plan[L]):
        at = WIDTHS_COUNT + layer * LAYER_COUNT
        begin_planes(first, rows, M, t, model, at, ids, vectors, planes)
        if plan[at + DEPTH] > 0:
            source = 0
            if plan[at + NORM] >= 0:
                normalise(rows, model, at, vectors, normal)
                source = normal
            add_products(rows, vectors, source, plan[X], model, plan[at + INPUT], vectors, planes, plan[P], room)
        if layer == 0 and plan[NGRAM_INPUT] >= 0:
            source = plan[NGRAMS_AT]
            add_products(rows, vectors, source, plan[X], model, plan[NGRAM_INPUT], vectors, planes, plan[P], room)
            for place in range(planes, planes + rows * plan[P]):
                vectors[place] = bound(np.int64(vectors[place]), 2 * LIMIT)
        # of a GRU, the first plane is of the input alone
        to = planes + (plan[H] if plan[CELL] == GRU else 0)
        begin = first * plan[S] + plan[at + STATE]
        add_products(rows, state, begin, plan[S], model, plan[at + RECURRENT], vectors, to, plan[P], room)
        if plan[CELL] == GRU_RESET_BEFORE:
            reset(rows, model, vectors, planes, state, begin, normal)
            to = planes + 2 * plan[H]
            add_products(rows, vectors, normal, plan[X], model, plan[at + CANDIDATE], vectors, to, plan[P], room)
        squash(rows, model, vectors, planes, state, begin)
        for row in range(rows):
            for place in range(plan[H]):
                y, to = state[begin + row * plan[S] + place], row * plan[X] + place
                vectors[to] = bound(np.int64(vectors[to]) + y, 2 * LIMIT) if plan[at + RESIDUAL] > 0 else y


@register_jitable
def read_ngrams(model, symbol, state, symbols, vectors, to):
    """What stands beside the embedding; arguments as those of `charlm.runtime.loops.read_ngrams`."""
    plan, numbers = model.plan, model.numbers
    to += plan[NGRAMS_AT]
    end = plan[X] - plan[NGRAMS_AT]
    for place in range(end):
        vectors[to + place] = 0
    key, last = symbol * MULTIPLIER, symbols + plan[N] - 2
    for n in range(plan[N] - 1):
        key = (key + state[last - n]) * MULTIPLIER
        begin = plan[NGRAMS] + (key >> SHIFT & MASK) % plan[NGRAM_ROWS] * plan[D]
        for place in range(plan[D]):
            vectors[to + place] = bound(np.int64(vectors[to + place]) + numbers[begin + place], LIMIT)
    for place in range(symbols, last):
        state[place] = state[place + 1]
    state[last] = symbol


@register_jitable
def answer(rows, model, room):
    """The output layer: its share of the logits (rows, V)."""
    plan, vectors, y = model.plan, room.vectors, 0
    if plan[PROJECTION] >= 0:
        y = rows * plan[X]
        vectors[y : 2 * y] = 0
        add_products(rows, vectors, 0, plan[X], model, plan[PROJECTION], vectors, y, plan[X], room)
    add_products(rows, vectors, y, plan[X], model, plan[OUTPUT], room.logits, 0, plan[V], room)


@register_jitable
def begin_logits(rows, model, room):
    """Of each row, (rows, V), what its symbols have before any text."""
    plan = model.plan
    for row in range(rows):
        for place in range(plan[V]):
            room.logits[row * plan[V] + place] = model.numbers[plan[BIAS] + place]


@register_jitable
def begin_planes(first, rows, M, t, model, at, ids, vectors, planes):
    """Fill the planes with what the products are added to: biases, or layer 0's whole share of the input."""
    plan = model.plan
    late = plan[H] if plan[at + LATE] >= 0 else 0
    for row in range(rows):
        begin = plan[at + START] + max(ids[(first + row) * M + t], 0) * plan[at + START_STRIDE]
        to = planes + row * plan[P]
        for place in range(plan[P] - late):
            vectors[to + place] = model.numbers[begin + place]
        for place in range(late):
            vectors[to + plan[P] - late + place] = model.numbers[plan[at + LATE] + place]
