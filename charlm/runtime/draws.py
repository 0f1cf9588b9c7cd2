"""The transforms and the draw of `charlm.generation`, compiled: one row at a time, in the same order.

Logits are widened to float64 and go through the same operations as there; only exp is a float32's here, so a draw
can differ from NumPy's where the uniform number falls on the edge between two symbols, to about seven digits.
"""

# compiled functions have the types that Numba finds
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from charlm.runtime.drawing import LARGEST_LOGIT, RECENT, RULES
from charlm.simd import WIDTH, exp, fill, largest, load, store, total
from charlm.simd.integers import greatest

PENALTY, TEMPERATURE, TOP_K, TOP_P, MIN_P = range(len(RULES))
LEAST_POWER = np.float32(-87.0)


@register_jitable
def draw(logits, begin, V, rules, uniform, recent, row, written, room):
    """One id from a row of logits.

    Args:
        rules: float64, one number for each of `charlm.runtime.drawing.RULES`.
        uniform: from [0, 1).
        recent: (N, RECENT) ids, a ring in which the id drawn takes the oldest one's place.
        written: (N,) how many ids were put into the ring.
    """
    wide, order, powers = room.wide, room.order, room.likelihoods
    for index in range(V):
        wide[index] = np.float64(logits[begin + index])
    if rules[PENALTY] != 1:
        penalise(wide, order, rules[PENALTY], recent, row, min(written[row], RECENT))
    best = 0
    for index in range(V):
        if wide[index] > wide[best]:
            best = index
    if rules[TEMPERATURE] == 0:
        chosen = best
    else:
        if rules[TEMPERATURE] != 1:
            top = wide[best]
            for index in range(V):
                wide[index] = (wide[index] - top) / rules[TEMPERATURE]
        top = wide[best]
        k = int(rules[TOP_K])
        if 0 < k < V:
            keep_best(wide, order, V, k)
        if rules[TOP_P] < 1:
            likelihoods(wide, top, V, powers)
            keep_nucleus(wide, order, V, rules[TOP_P], powers)
        if rules[MIN_P] > 0:
            least = top + math.log(rules[MIN_P])
            for index in range(V):
                if wide[index] < least:
                    wide[index] = -np.inf
        likelihoods(wide, top, V, powers)
        chosen = invert(powers, V, uniform)
    recent[row * RECENT + written[row] % RECENT] = chosen
    return chosen


@register_jitable
def penalise(wide, marks, penalty, recent, row, count):
    """`charlm.generation.transforms.RepetitionPenalty`: each symbol of the ring once."""
    for place in range(row * RECENT, row * RECENT + count):
        marks[recent[place]] = 0
    for place in range(row * RECENT, row * RECENT + count):
        symbol = recent[place]
        if marks[symbol] == 0 and np.isfinite(wide[symbol]):
            changed = wide[symbol] / penalty if wide[symbol] > 0 else wide[symbol] * penalty
            wide[symbol] = min(max(changed, -LARGEST_LOGIT), LARGEST_LOGIT)
        marks[symbol] = 1


@register_jitable
def likelihoods(wide, top, V, powers):
    """e^(wide - top), zero where that is below the least float32."""
    for index in range(V):
        powers[index] = np.float32(wide[index] - top)
    for place in range(0, len(powers), WIDTH):
        store(powers, place, exp(load(powers, place)))
    for index in range(V):
        if not wide[index] - top >= LEAST_POWER:
            powers[index] = 0


@register_jitable
def invert(powers, V, uniform):
    """The first symbol at which the cumulative distribution exceeds `uniform`."""
    whole = 0.0
    for index in range(V):
        whole += powers[index]
    sought, cumulative, last = uniform * whole, 0.0, 0
    for index in range(V):
        cumulative += powers[index]
        if cumulative > sought:
            return index
        if powers[index] > 0:
            last = index
    return last


@register_jitable
def keep_best(wide, order, V, k):
    """`charlm.generation.transforms.TopK`."""
    count = heap_of(wide, order, V)
    for index in range(V):
        order[V + index] = 0
    for _ in range(k):
        if count > 0:
            order[V + order[0]] = 1
            count = drop_first(wide, order, count)
    for index in range(V):
        if order[V + index] == 0:
            wide[index] = -np.inf


@register_jitable
def keep_nucleus(wide, order, V, share, powers):
    """`charlm.generation.transforms.TopP`."""
    whole = 0.0
    for index in range(V):
        whole += powers[index]
    count = heap_of(wide, order, V)
    for index in range(V):
        order[V + index] = 0
    held = 0.0
    while count > 0:
        symbol = order[0]
        order[V + symbol] = 1
        held += powers[symbol]
        if held >= share * whole:
            break
        count = drop_first(wide, order, count)
    for index in range(V):
        if order[V + index] == 0:
            wide[index] = -np.inf


@register_jitable
def before(wide, one, other):
    """Whether symbol `one` is likelier than `other`; of equals, the lower id."""
    return wide[one] > wide[other] or (wide[one] == wide[other] and one < other)


@register_jitable
def sink(wide, order, place, count):
    """Let the symbol at `place` of a heap sink to where it belongs."""
    symbol = order[place]
    while 2 * place + 1 < count:
        child = 2 * place + 1
        if child + 1 < count and before(wide, order[child + 1], order[child]):
            child += 1
        if not before(wide, order[child], symbol):
            break
        order[place] = order[child]
        place = child
    order[place] = symbol


@register_jitable
def heap_of(wide, order, V):
    """The symbols that are not ruled out, likeliest first, as a heap; returns how many they are."""
    count = 0
    for index in range(V):
        if wide[index] > -np.inf:
            order[count] = index
            count += 1
    for place in range(count // 2 - 1, -1, -1):
        sink(wide, order, place, count)
    return count


@register_jitable
def drop_first(wide, order, count):
    """Take the first of a heap away; returns how many are left."""
    count -= 1
    order[0] = order[count]
    if count > 0:
        sink(wide, order, 0, count)
    return count


@register_jitable
def nats_of(logits, begin, V, target, right, place):
    """Loss of `target` under the logits of a row, float64; nan where they are not finite.

    right[place] becomes whether it was the likeliest, the lowest id of equals.
    """
    most = fill(np.float32(-np.inf))
    for index in range(begin, begin + V, WIDTH):
        most = largest(most, load(logits, index))
    top = greatest(most)
    sums = fill(0.0)
    for index in range(begin, begin + V, WIDTH):
        sums = sums + exp(load(logits, index) - top)
    whole = np.float64(total(sums))
    own = logits[begin + target]
    if not (np.isfinite(whole) and np.isfinite(top)):
        return np.nan
    likeliest = own == top
    for index in range(begin, begin + target):
        if logits[index] == top:
            likeliest = False
    right[place] = 1 if likeliest else 0
    return math.log(whole) + np.float64(top) - np.float64(own)
