"""Packed weights hold every number once, where tiles look for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from charlm.kernels import Scratch
from charlm.kernels.packing import column_of, pack_columns, pack_forward, pack_rows
from charlm.kernels.panels import pack_back, round_up
from charlm.simd import DEPTH_UNIT, HAS_BFLOAT16, PANEL, WIDTH, compiled

WIDE = PANEL * WIDTH
KINDS = [np.float32, np.uint16] if HAS_BFLOAT16 else [np.float32]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("planes", "H", "depth", "block"),
    [(4, 3 * WIDTH, 5 * WIDTH, WIDTH), (1, 2 * WIDE, 2 * WIDTH, WIDE), (3, WIDTH, WIDTH, WIDTH)],
)
def test_panels_for_going_forward(planes: int, H: int, depth: int, block: int, kind: Any) -> None:
    depth = round_up(depth, DEPTH_UNIT if kind == np.uint16 else 1)
    weight = torch.randn(planes * H * depth, generator=torch.Generator().manual_seed(1))
    panels = np.zeros(len(weight), kind)
    pack_forward(0, H // block, weight.numpy(), panels, planes, H, depth, block)
    expected = _held(weight, kind).reshape(planes, H // block, block, depth).transpose(1, 3, 0, 2)
    expected = _in_order(expected.reshape(H // block, depth, planes * block), kind)
    assert np.array_equal(panels.reshape(expected.shape), expected)
    part = np.zeros_like(panels)
    pack_forward(H // block - 1, H // block, weight.numpy(), part, planes, H, depth, block)
    assert np.array_equal(part.reshape(expected.shape)[-1], expected[-1])
    assert not part.reshape(expected.shape)[:-1].any()


def _in_order(panels: Any, kind: Any) -> Any:
    """Of panels (count, depth, columns) the numbers as `charlm.simd.tiles` has them."""
    if kind == np.float32:
        return panels
    count, depth, columns = panels.shape
    pieces = panels.reshape(count, depth // DEPTH_UNIT, DEPTH_UNIT // 2, 2, columns // WIDTH, WIDTH)
    return pieces.transpose(0, 1, 4, 2, 5, 3)


def _held(numbers: torch.Tensor, kind: Any) -> Any:
    """float32 numbers in the format of the panels, rounded as torch does it."""
    return numbers.bfloat16().view(torch.uint16).numpy() if kind == np.uint16 else numbers.numpy()


@pytest.mark.parametrize(("first", "last"), [(0, 6), (7, 16), (1, 2)])
@pytest.mark.parametrize(("columns", "block"), [(WIDTH, 1), (WIDTH, PANEL), (2 * WIDE + WIDTH, PANEL), (3 * WIDTH, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_a_product_sums_over(kind: Any, columns: int, block: int, first: int, last: int) -> None:
    """From inside longer rows; of bfloat16 filled up to whole depths with zeros."""
    begin, stride, wide = 3, columns + 2 * WIDTH, block * WIDTH
    values = _numbers(begin + 20 * stride, kind)
    rows = values[begin:].reshape(20, stride)[first:last, :columns]
    depth = round_up(len(rows), DEPTH_UNIT if kind == np.uint16 else 1)
    count = -(-columns // wide)
    room = np.pad(rows, ((0, depth - len(rows)), (0, count * wide - columns)))
    expected = _in_order(room.reshape(depth, count, wide).transpose(1, 0, 2), kind)
    panels = np.full(count * depth * wide, 77, kind)
    pack_rows(first, last, values, begin, stride, columns, block, panels)
    assert np.array_equal(panels.reshape(expected.shape), expected)


@compiled
def find_columns(panels: Any, columns: int, rows: int, places: Any) -> None:
    for column in range(columns):
        begin, _, step = column_of(panels, column, rows)
        for row in range(rows):
            # `accumulate` goes a step further for every number, of bfloat16 for every pair that stands together
            places[row, column] = begin + (row // 2 * 2 * step + row % 2 if panels.itemsize == 2 else row * step)


@pytest.mark.parametrize(("first", "last"), [(0, 6), (7, 16), (1, 101)])
@pytest.mark.parametrize("columns", [2 * WIDTH, WIDE + 2 * WIDTH])
@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_a_product_multiplies(kind: Any, columns: int, first: int, last: int) -> None:
    begin, stride = 3, columns + 2 * WIDTH
    values = _numbers(begin + 120 * stride, kind)
    rows = values[begin:].reshape(120, stride)[first:last, :columns]
    whole = round_up(len(rows), DEPTH_UNIT if kind == np.uint16 else 1)
    panels, places = np.full(whole * columns, 77, kind), np.zeros((whole, columns), np.int64)
    pack(first, last, values, begin, stride, columns, panels)
    find_columns(panels, columns, whole, places)
    assert np.array_equal(np.sort(places, axis=None), np.arange(whole * columns))
    assert np.array_equal(panels[places[: len(rows)]], rows)
    assert not panels[places[len(rows) :]].any()


@compiled
def pack(first: int, last: int, values: Any, begin: int, stride: int, columns: int, to: Any) -> None:
    pack_columns(first, last, values, begin, stride, columns, to)


def _numbers(count: int, kind: Any) -> Any:
    """All of them different, as far as the format has so many."""
    numbers = np.arange(1, count + 1, dtype=np.float32)
    # the upper halves of floats are bfloat16
    return (numbers.view(np.uint32) >> 16).astype(np.uint16) if kind == np.uint16 else numbers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("depth", [WIDTH, 2 * WIDE + WIDTH, 700 * WIDTH])
def test_panels_for_going_back_are_packed_by_any_number_of_threads(depth: int, threads: int, kind: Any) -> None:
    rows = 4 * WIDTH
    blocks = torch.randn(4, WIDTH, depth, generator=torch.Generator().manual_seed(1))
    count = -(-depth // WIDE)
    room = np.pad(_held(blocks, kind).reshape(-1, depth), ((0, 0), (0, count * WIDE - depth)))
    expected = _in_order(room.reshape(rows, count, WIDE).transpose(1, 0, 2), kind)
    dtype = torch.bfloat16 if kind == np.uint16 else torch.float32
    assert np.array_equal(pack_back(blocks, dtype, threads, Scratch()).reshape(expected.shape), expected)
