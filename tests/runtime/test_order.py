"""The order of a step's products: each in its time, and as much of it as can be where the last step left off."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import pytest

from charlm.runtime.order import CANDIDATE, INPUT, OUTPUT, PROJECTION, STEP, orders

LAYERS = (1, 2, 3, 4, 7)
PIECES = 64  # of a matrix, which go into the cache one by one


def step_of_parts(order: list[int]) -> dict[int, int]:
    """How many layers have had their step when a layer's recurrent product is computed."""
    return {part: order[:place].count(STEP) for place, part in enumerate(order) if part >= 0}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("candidate", [False, True])
@pytest.mark.parametrize("projection", [False, True])
def test_parts_are_those_of_a_step(layers, candidate, projection):
    for order in orders(layers, candidate=candidate, projection=projection):
        assert sorted(part for part in order if part >= 0) == list(range(layers))
        rest = [part for part in order if part < 0]
        step = [INPUT, CANDIDATE, STEP] if candidate else [INPUT, STEP]
        assert rest == step * layers + [PROJECTION] * projection + [OUTPUT]


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("candidate", [False, True])
def test_every_step_has_its_own_recurrent_product(layers, candidate):
    """Between a layer's step and its next one the product is computed once, whichever step is even."""
    for first, second in pairwise(orders(layers, candidate=candidate, projection=False) * 2):
        before, after = step_of_parts(first), step_of_parts(second)
        for layer in range(layers):
            # computed before the layer's own step it serves that one, and after it the next
            assert (before[layer] > layer) + (after[layer] <= layer) == 1
        if candidate:
            place = [index for index, part in enumerate(second) if part == CANDIDATE]
            late = [layer for layer in range(layers) if after[layer] <= layer]
            assert all(second.index(layer) < place[layer] for layer in late)


def read_again(sequence: list[list[int]], capacity: int) -> float:
    """The share of pieces that are in a cache which drops what was used longest ago; odd steps read from the end."""
    cache: OrderedDict[tuple[int, int], None] = OrderedDict()
    found = all_read = 0
    for t, order in enumerate(sequence):
        layer = 0
        for part in order:
            layer += part == STEP
            matrix = part if part >= 0 else 100 + layer
            # layer 0 looks its input up
            if part < 0 and (part != INPUT or layer == 0):
                continue
            for piece in range(PIECES):
                key = (matrix, PIECES - 1 - piece if t % 2 else piece)
                if t > 1:
                    all_read += 1
                    found += key in cache
                cache.pop(key, None)
                cache[key] = None
                if len(cache) > capacity:
                    cache.popitem(last=False)
    return found / all_read


@pytest.mark.parametrize(("layers", "share"), [(1, 0.95), (2, 0.9), (3, 0.5), (4, 0.4)])
@pytest.mark.parametrize("cached", [0.9, 1.2, 1.9])
def test_a_cache_that_holds_a_part_of_the_weights_serves_that_part(layers, share, cached):
    """Of as many matrices as the cache holds at least a share is found there; in one order all the time far less."""
    even, odd = orders(layers, candidate=False, projection=False)
    capacity = int(cached * PIECES)
    most = min(1.0, capacity / (PIECES * (2 * layers - 1)))
    found = read_again([even, odd] * 10, capacity)
    assert found >= share * most
    assert layers == 1 or read_again([even, even] * 10, capacity) < 0.8 * found
