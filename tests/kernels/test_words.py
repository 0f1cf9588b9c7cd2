"""Random words: those of the generator's authors, the same from every kernel."""

import numpy as np
import pytest

from charlm.kernels import random_words, using

FAMILIES = ["compiled", "torch"]


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_those_of_splitmix64(family):
    """Vigna's reference program gives these for this seed."""
    with using(family):
        found = random_words(1234567, 5)
    assert found.tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("count", [0, 1, 7, 16, 1003])
@pytest.mark.parametrize("seed", [0, 5, 2**63 - 1])
def test_every_kernel_draws_the_same(seed, count):
    drawn = []
    for family in FAMILIES:
        with using(family):
            drawn.append(random_words(seed, count))
    assert len(drawn[0]) == count
    assert all(np.array_equal(drawn[0], other) for other in drawn)
