"""Halves: float32 as two numbers of bfloat16, and their products in matrix tiles."""

import numpy as np
import pytest
import torch

from charlm.simd import HAS_AMX, WIDTH, begin_products, compiled, end_products, rows_of_tile
from charlm.simd.halves import HALVES_PANEL, filled_depth, halves_of, pack_halves
from charlm.simd.tiles_of_halves import accumulate_halves, store_halves

# a processor without tiles has no such product
TILES = [1, 2] if HAS_AMX else []
SENTINEL = np.float32(-123.0)
NAN = 0x7FC0  # of bfloat16


@compiled
def one(x, x_offset, count, weights, offset, depth, result, begin, stride):
    tiles, height = begin_products(x, count)
    for tile in range(tiles):
        row, rows = rows_of_tile(0, count, tile, tiles)
        here, to = x_offset + row * 2 * depth, begin + row * stride
        accumulate_halves(x, here, rows, height, weights, offset, depth, 1, result, to, stride)
    end_products(x)


@compiled
def two(x, x_offset, count, weights, offset, depth, result, begin, stride):
    tiles, height = begin_products(x, count)
    for tile in range(tiles):
        row, rows = rows_of_tile(0, count, tile, tiles)
        here, to = x_offset + row * 2 * depth, begin + row * stride
        accumulate_halves(x, here, rows, height, weights, offset, depth, 2, result, to, stride)
    end_products(x)


@compiled
def stored(values, begin, depth, halves, to):
    store_halves(values, begin, depth, halves, to)


def drawn(*shape, seed):
    """float32 of many sizes."""
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * 10.0 ** random.integers(-6, 6, shape)).astype(np.float32)


def multiplied(x, matrix, vectors, before):
    """`accumulate_halves` in the middle of longer arrays: x (rows, depth), matrix (vectors * WIDTH, depth)."""
    rows, depth = x.shape
    deep, stride, begin = filled_depth(depth), vectors * WIDTH + 16, 5
    # nan before and behind all that is read, so that nothing read too far is lost; room for more rows behind the result
    halves = np.full(7 + (rows + 16) * 2 * deep, NAN, dtype=np.uint16)
    flat = x.reshape(-1)
    for row in range(rows):
        stored(flat, row * depth, depth, halves, 7 + row * 2 * deep)
    beside = np.full(1024, NAN, np.uint16)
    weights = np.concatenate([beside, pack_halves(matrix).reshape(-1), beside])
    result = np.full(begin + (rows + 16) * stride, SENTINEL)
    grid, behind = result[begin : begin + rows * stride].reshape(rows, stride), result[begin + rows * stride :]
    grid[:, : vectors * WIDTH] = before
    (one if vectors == 1 else two)(halves, 7, rows, weights, len(beside), deep, result, begin, stride)
    assert (result[:begin] == SENTINEL).all()
    assert (behind == SENTINEL).all()
    assert (grid[:, vectors * WIDTH :] == SENTINEL).all()
    return grid[:, : vectors * WIDTH].copy()


def test_a_number_is_its_halves_to_sixteen_bits():
    values = drawn(20_000, seed=0)
    upper, lower = (torch.from_numpy(half.view(np.int16)).view(torch.bfloat16) for half in halves_of(values))
    assert torch.equal(upper, torch.from_numpy(values).bfloat16())
    assert torch.equal(lower, (torch.from_numpy(values) - upper.float()).bfloat16())
    exact = values.astype(np.float64)
    left = np.abs(exact - upper.double().numpy() - lower.double().numpy())
    assert (left <= 2.0**-17 * np.abs(exact)).all()
    assert left.any()


@pytest.mark.parametrize("vectors", TILES)
@pytest.mark.parametrize("depth", [16, 32, 144])
@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 31, 32, 33, 70])
def test_products_are_those_of_float32_to_a_few_bits(rows, depth, vectors):
    x, matrix = drawn(rows, depth, seed=1), drawn(vectors * WIDTH, depth, seed=2)
    before = drawn(rows, vectors * WIDTH, seed=3)
    found = multiplied(x, matrix, vectors, before)
    exact_x, exact_w = x.astype(np.float64), matrix.astype(np.float64)
    size = np.abs(before) + np.abs(exact_x) @ np.abs(exact_w).T
    # upper halves alone would be off by up to 2^-7
    assert (np.abs(found - (before + exact_x @ exact_w.T)) <= 2.0**-15 * size).all()


@pytest.mark.parametrize("vectors", TILES)
def test_a_row_is_the_same_whatever_rows_stand_beside_it(vectors):
    x, matrix, before = drawn(40, 64, seed=1), drawn(vectors * WIDTH, 64, seed=2), drawn(40, vectors * WIDTH, seed=3)
    alone = [multiplied(x[[row]], matrix, vectors, before[[row]])[0] for row in range(len(x))]
    for some in (range(3, 18), range(20), range(7, 40), range(39, -1, -1)):
        found = multiplied(x[list(some)], matrix, vectors, before[list(some)])
        np.testing.assert_array_equal(found, [alone[row] for row in some])


@pytest.mark.parametrize("columns", [16, 17, 48, 96])
def test_panels_have_all_columns_and_zeros(columns):
    matrix = drawn(columns, 20, seed=6)
    panels = pack_halves(matrix)
    assert panels.size == -(-columns // (HALVES_PANEL * WIDTH)) * HALVES_PANEL * WIDTH * filled_depth(20) * 2
    upper, lower = panels[:, :, :, 0], panels[:, :, :, 1]
    # (panels, depths, vectors, pairs, columns, 2) -> (columns, depth)
    for half, expected in ((upper, halves_of(matrix)[0]), (lower, halves_of(matrix)[1])):
        grid = half.transpose(0, 2, 4, 1, 3, 5).reshape(-1, filled_depth(20))
        np.testing.assert_array_equal(grid[:columns, :20], expected)
        assert not grid[columns:].any()
        assert not grid[:, 20:].any()
