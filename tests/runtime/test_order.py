"""The order of a step's products: each in its time, and as much of it as can be where the last step left off."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import pytest

from charlm.runtime.order import CANDIDATE, INPUT, NGRAM_SHARE, OUTPUT, PROJECTION, UPDATE, orders

LAYERS = (1, 2, 3, 4, 7)
PIECES, OUTPUT_PIECES = 64, 8  # of a matrix, which go into the cache one by one


def step_of_parts(order: list[int]) -> dict[int, int]:
    """How many layers have had their step when a layer's recurrent product is computed."""
    return {part: order[:place].count(UPDATE) for place, part in enumerate(order) if part >= 0}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("candidate", [False, True])
@pytest.mark.parametrize("projection", [False, True])
@pytest.mark.parametrize("ngrams", [False, True])
def test_parts_are_those_of_a_step(layers, candidate, projection, ngrams):
    for order in orders(layers, candidate=candidate, projection=projection, ngrams=ngrams):
        assert sorted(part for part in order if part >= 0) == list(range(layers))
        rest = [part for part in order if part < 0]
        layer = [INPUT, CANDIDATE, UPDATE] if candidate else [INPUT, UPDATE]
        assert rest == [NGRAM_SHARE] * ngrams + layer * layers + [PROJECTION] * projection + [OUTPUT]


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("candidate", [False, True])
def test_every_step_has_its_own_recurrent_product(layers, candidate):
    """Between a layer's step and its next one the product is computed once, whichever step is even."""
    for first, second in pairwise(orders(layers, candidate=candidate, projection=False, ngrams=False) * 2):
        before, after = step_of_parts(first), step_of_parts(second)
        for layer in range(layers):
            # computed before the layer's own step it serves that one, and after it the next
            assert (before[layer] > layer) + (after[layer] <= layer) == 1
        if candidate:
            place = [index for index, part in enumerate(second) if part == CANDIDATE]
            late = [layer for layer in range(layers) if after[layer] <= layer]
            assert all(second.index(layer) < place[layer] for layer in late)


def read_again(sequence: list[list[int]], capacity: int) -> float:
    """The share of pieces that are in a cache which drops what was used longest ago.

    Odd steps read matrices from the end. Layer 0 looks its input up, and the output has few symbols.
    """
    cache: OrderedDict[tuple[object, int], None] = OrderedDict()
    found = all_read = 0
    for t, order in enumerate(sequence):
        layer = 0
        for part in order:
            layer += part == UPDATE
            if part == UPDATE or (part == INPUT and layer == 0):
                continue
            matrix = ("input", layer) if part == INPUT else part
            count = OUTPUT_PIECES if part == OUTPUT else PIECES
            for piece in reversed(range(count)) if t % 2 else range(count):
                if t > 1:
                    all_read += 1
                    found += (matrix, piece) in cache
                cache.pop((matrix, piece), None)
                cache[matrix, piece] = None
                if len(cache) > capacity:
                    cache.popitem(last=False)
    return found / all_read


@pytest.mark.parametrize(("layers", "share"), [(1, 0.95), (2, 0.85), (3, 0.45), (4, 0.4)])
@pytest.mark.parametrize("cached", [0.9, 1.2, 1.9, 3.5])
def test_a_cache_that_holds_a_part_of_the_weights_serves_that_part(layers, share, cached):
    """Of as many matrices as the cache holds at least a share is found there; in one order all the time far less."""
    even, odd = orders(layers, candidate=False, projection=False, ngrams=False)
    capacity, weights = int(cached * PIECES), PIECES * (2 * layers - 1) + OUTPUT_PIECES
    most = min(1.0, capacity / weights)
    found = read_again([even, odd] * 10, capacity)
    assert found >= share * most
    assert most == 1 or layers == 1 or read_again([even, even] * 10, capacity) < 0.8 * found
