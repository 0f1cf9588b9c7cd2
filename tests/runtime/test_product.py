"""The matrix product that rows do not notice each other in."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from charlm.runtime.product import LARGEST_TILE, Product, tile_height

SHAPES = [(1, 1), (3, 1), (1, 5), (10, 3), (64, 16), (65, 17), (300, 100), (513, 512), (100, 1000), (40, 2500)]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_a_product_is_numpys_product(rows, columns):
    random = np.random.default_rng(0)
    weight, x = random.standard_normal((rows, columns)), random.standard_normal((5, columns))
    weight, x = weight.astype(np.float32), x.astype(np.float32)
    exact = x.astype(np.float64) @ weight.T.astype(np.float64)
    np.testing.assert_allclose(Product(weight)(x), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_a_row_is_the_same_bits_whatever_is_beside_it(rows, columns):
    random = np.random.default_rng(1)
    product = Product(random.standard_normal((rows, columns)).astype(np.float32))
    x = random.standard_normal((9, columns)).astype(np.float32)
    together = product(x)
    for n in (1, 2, 3, 8):
        for start in range(9 - n + 1):
            np.testing.assert_array_equal(product(x[start : start + n]), together[start : start + n])


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_tiles_are_small_and_even(rows, columns):
    height = tile_height(rows, columns)
    assert height % 4 == 0
    assert height == 4 or height * columns < LARGEST_TILE
    assert -(-rows // height) * height < rows + height


PROGRAM = """
import hashlib, numpy as np
from charlm.runtime.product import Product
random, digest = np.random.default_rng(0), hashlib.sha256()
# sizes at which one plain product differs between one thread and two, as each gets an odd half
for rows, columns in ((2596, 650), (1540, 512), (3076, 1024)):
    product = Product(random.standard_normal((rows, columns)).astype(np.float32))
    digest.update(product(random.standard_normal((3, columns)).astype(np.float32)).tobytes())
print(digest.hexdigest())
"""


def test_the_thread_count_changes_no_bit():
    def digest(threads: int) -> str:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
        return run.stdout.decode()

    assert len({digest(threads) for threads in (1, 2, 3)}) == 1
