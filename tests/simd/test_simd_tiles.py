"""Tiles: products of a few rows with a panel, for every height, width and format."""

import numpy as np
import pytest
import torch

from charlm.simd import (
    DEPTH_UNIT,
    HAS_AMX,
    HAS_BFLOAT16,
    MOST_ROUNDED_ROWS,
    MOST_ROWS,
    PANEL,
    WIDTH,
    accumulate,
    begin_products,
    compiled,
    end_products,
    multiply,
    processor,
    rows_of_tile,
)
from charlm.simd.integers import accumulate_integers

FORMATS = ["float32", "bfloat16"] if HAS_BFLOAT16 else ["float32"]
MOST = {"float32": MOST_ROWS, "bfloat16": MOST_ROUNDED_ROWS}
UNIT = {"float32": 1, "bfloat16": DEPTH_UNIT}
SENTINEL = np.float32(-123.0)


@compiled
def one(fresh, x, x_offset, row_stride, count, weights, offset, depth, sums):
    tiles, height = begin_products(x, count)
    for tile in range(tiles):
        row, rows = rows_of_tile(0, count, tile, tiles)
        begin, room = x_offset + row * row_stride, sums[row * 1 * WIDTH :]
        if fresh:
            multiply(x, begin, row_stride, 1, rows, height, weights, offset, depth, 1, room)
        else:
            accumulate(x, begin, row_stride, 1, rows, height, weights, offset, depth, 1, room)
    end_products(x)


@compiled
def three(fresh, x, x_offset, row_stride, count, weights, offset, depth, sums):
    tiles, height = begin_products(x, count)
    for tile in range(tiles):
        row, rows = rows_of_tile(0, count, tile, tiles)
        begin, room = x_offset + row * row_stride, sums[row * 3 * WIDTH :]
        if fresh:
            multiply(x, begin, row_stride, 1, rows, height, weights, offset, depth, 3, room)
        else:
            accumulate(x, begin, row_stride, 1, rows, height, weights, offset, depth, 3, room)
    end_products(x)


@compiled
def four(fresh, x, x_offset, row_stride, count, weights, offset, depth, sums):
    tiles, height = begin_products(x, count)
    for tile in range(tiles):
        row, rows = rows_of_tile(0, count, tile, tiles)
        begin, room = x_offset + row * row_stride, sums[row * 4 * WIDTH :]
        if fresh:
            multiply(x, begin, row_stride, 1, rows, height, weights, offset, depth, 4, room)
        else:
            accumulate(x, begin, row_stride, 1, rows, height, weights, offset, depth, 4, room)
    end_products(x)


TILES = {1: one, 3: three, 4: four}
every_tile = pytest.mark.parametrize("vectors", TILES)
every_format = pytest.mark.parametrize("kind", FORMATS)


def numbers(kind, *shape, seed):
    """Random numbers of a format, in float64, and as loops take them."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if kind == "float32":
        return drawn.double().numpy(), drawn.numpy()
    rounded = drawn.bfloat16()
    return rounded.double().numpy(), rounded.view(torch.int16).numpy().view(np.uint16)


def as_panel(matrix, kind):
    """(depth, columns) -> a panel: of bfloat16 two depths lie beside each other, and what is multiplied at once."""
    depth, columns = matrix.shape
    if kind == "bfloat16":
        pieces = matrix.reshape(depth // DEPTH_UNIT, DEPTH_UNIT // 2, 2, columns // WIDTH, WIDTH)
        matrix = pieces.transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(matrix).reshape(-1)


def multiplied(x, panel, rows, vectors, depth, before, fresh=False):
    """`accumulate`, or `multiply`, on rows that lie apart, in the middle of longer arrays; returns the sums."""
    stride, x_offset, offset = x.shape[1] + 6, 4, 2 * WIDTH
    longer = np.full(x_offset + len(x) * stride, 7, x.dtype)
    for row, values in enumerate(x):
        longer[x_offset + row * stride :][: x.shape[1]] = values
    weights = np.concatenate([np.full(offset, 9, panel.dtype), panel, np.full(offset, 9, panel.dtype)])
    wide = vectors * WIDTH
    sums = np.concatenate([before.reshape(-1), np.full(wide, SENTINEL)])
    TILES[vectors](fresh, longer, x_offset, stride, rows, weights, offset, depth, sums)
    assert (sums[rows * wide :] == SENTINEL).all()
    return sums[: rows * wide].reshape(rows, wide)


@pytest.mark.parametrize("depths", [1, 2, 17])
@pytest.mark.parametrize("rows", [*range(1, MOST_ROWS + 1), 15, 16, 17, 23, 31, 32, 33, 70])
@every_tile
@every_format
def test_a_tile_adds_the_product_to_what_was_there(kind, vectors, rows, depths):
    """As many rows as one tile takes, and more, which are several tiles of one setting."""
    depth = depths * UNIT[kind]
    exact_x, x = numbers(kind, rows, depth, seed=1)
    exact_w, w = numbers(kind, depth, vectors * WIDTH, seed=2)
    before = numbers("float32", rows, vectors * WIDTH, seed=3)[1]
    found = multiplied(x, as_panel(w, kind), rows, vectors, depth, before)
    expected = before + exact_x @ exact_w
    size = np.abs(before) + np.abs(exact_x) @ np.abs(exact_w)
    assert (np.abs(found - expected) <= 1e-6 * size).all()


@pytest.mark.parametrize("rows", [1, MOST_ROWS, 16, 23, 40])
@every_tile
@every_format
def test_a_product_takes_the_place_of_what_was_there(kind, vectors, rows):
    """Whatever that was: in memory that nobody has written to yet there may be nan."""
    depth = 2 * UNIT[kind]
    exact_x, x = numbers(kind, rows, depth, seed=1)
    exact_w, w = numbers(kind, depth, vectors * WIDTH, seed=2)
    before = np.full((rows, vectors * WIDTH), np.nan, np.float32)
    found = multiplied(x, as_panel(w, kind), rows, vectors, depth, before, fresh=True)
    assert (np.abs(found - exact_x @ exact_w) <= 1e-6 * (np.abs(exact_x) @ np.abs(exact_w))).all()


@every_tile
def test_a_row_of_odd_depth(vectors):
    """A single number times a vector; float32 alone has odd depths."""
    exact_w, w = numbers("float32", 7, vectors * WIDTH, seed=2)
    exact_x, x = numbers("float32", 1, 7, seed=1)
    for depth in (1, 3, 7):
        nothing = np.zeros((1, vectors * WIDTH), np.float32)
        found = multiplied(x[:, :depth], w[:depth].reshape(-1), 1, vectors, depth, nothing)
        np.testing.assert_allclose(found, exact_x[:, :depth] @ exact_w[:depth], atol=2e-6)


@every_tile
@every_format
def test_a_row_is_the_same_whatever_rows_stand_beside_it(kind, vectors):
    depth, most = 160, MOST[kind]
    x = numbers(kind, most, depth, seed=1)[1]
    panel = as_panel(numbers(kind, depth, vectors * WIDTH, seed=2)[1], kind)
    before = numbers("float32", most, vectors * WIDTH, seed=3)[1]
    alone = [multiplied(x[[row]], panel, 1, vectors, depth, before[[row]])[0] for row in range(most)]
    for rows in range(2, most + 1):
        for first in range(most - rows + 1):
            some = np.roll(np.arange(first, first + rows), first)
            found = multiplied(x[some], panel, rows, vectors, depth, before[some])
            for place, row in enumerate(some):
                assert np.array_equal(found[place], alone[row]), (rows, place, row)


@compiled
def across(x, x_offset, unit, step, rows, weights, depth, sums):
    accumulate(x, x_offset, unit, step, rows, 0, weights, 0, depth, 4, sums)


@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
@pytest.mark.parametrize("kind", ["float32"] if HAS_AMX else FORMATS)
def test_rows_may_lie_across(kind, rows):
    """As in a product over a window: what all rows have at one depth stands together. Matrix tiles do without."""
    depth, first, together = 10, 3, 13
    exact_x, x = numbers(kind, together, depth, seed=1)
    exact_w, w = numbers(kind, depth, 4 * WIDTH, seed=2)
    unit = 2 if kind == "bfloat16" else 1
    lying = np.ascontiguousarray(x.T.reshape(depth // unit, unit, together).transpose(0, 2, 1)).reshape(-1)
    sums = np.zeros((rows, 4 * WIDTH), np.float32)
    across(lying, first * unit, unit, together, rows, as_panel(w, kind), depth, sums.reshape(-1))
    expected = exact_x[first : first + rows] @ exact_w
    size = np.abs(exact_x[first : first + rows]) @ np.abs(exact_w)
    assert (np.abs(sums - expected) <= 1e-6 * size).all()


def test_what_is_multiplied_at_once_fits_into_the_registers(monkeypatch):
    """Sums, weights, and one number of a row; as many vectors as there is room for."""
    for registers, found in ((32, [4, 4, 4, 4, 4, 4]), (16, [4, 4, 2, 2, 2, 2])):
        monkeypatch.setattr(processor, "REGISTERS", registers)
        assert [processor.vectors_at_once(rows, 4) for rows in range(1, 7)] == found
        assert [processor.vectors_at_once(rows, 1) for rows in range(1, 7)] == [1] * 6
        assert all((rows + 1) * processor.vectors_at_once(rows, 3) + 1 <= registers for rows in range(1, MOST_ROWS + 1))


@compiled
def whole(x, stride, rows, weights, depth, sums):
    accumulate_integers(x, 0, stride, rows, weights, 0, depth, PANEL, sums)


@pytest.mark.parametrize("rows", range(1, MOST_ROWS + 1))
@pytest.mark.parametrize("group", [2, 4])
@pytest.mark.parametrize("extreme", [True, False])
def test_products_of_whole_numbers_are_exact(rows, group, extreme):
    """Of the largest and the smallest too, whose products, and pairs of them, do not fit into 16 bits."""
    draws, depth, wide = np.random.default_rng(rows), 12 * group, PANEL * WIDTH
    ours, theirs = (np.uint8, np.int8) if group == 4 else (np.int16, np.int16)
    limits = [[0, 255] if group == 4 else [-32767, 32767], [-127, 127] if group == 4 else [-1000, 1000]]
    left, right = (
        draws.choice(ends, shape) if extreme else draws.integers(ends[0], ends[1] + 1, shape)
        for ends, shape in zip(limits, ((rows, depth), (depth, wide)), strict=True)
    )
    before = draws.integers(-1000, 1000, (rows, wide))
    panel = right.reshape(depth // group, group, wide).transpose(0, 2, 1)
    sums = np.ascontiguousarray(before, dtype=np.int32).reshape(-1)
    packed = np.ascontiguousarray(panel, dtype=theirs).reshape(-1)
    whole(np.ascontiguousarray(left, dtype=ours).reshape(-1), depth, rows, packed, depth, sums)
    assert np.array_equal(sums.reshape(rows, wide), before + left @ right)
