"""Packed weights hold every number once, where tiles look for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlm.kernels.packing import pack_backward, pack_forward
from charlm.simd import PANEL, WIDTH

WIDE = PANEL * WIDTH


@pytest.mark.parametrize(
    ("planes", "H", "depth", "block"), [(4, 3 * WIDTH, 5, WIDTH), (1, 2 * WIDE, 7, WIDE), (3, WIDTH, 1, WIDTH)]
)
def test_panels_for_going_forward(planes: int, H: int, depth: int, block: int) -> None:
    weight = np.arange(planes * H * depth, dtype=np.int32) + 1
    panels = np.zeros_like(weight)
    pack_forward(0, H // block, weight, panels, planes, H, depth, block)
    expected = weight.reshape(planes, H // block, block, depth).transpose(1, 3, 0, 2)
    assert np.array_equal(panels.reshape(expected.shape), expected)
    part = np.zeros_like(weight)
    pack_forward(H // block - 1, H // block, weight, part, planes, H, depth, block)
    assert np.array_equal(part.reshape(expected.shape)[-1], expected[-1])
    assert not part.reshape(expected.shape)[:-1].any()


@pytest.mark.parametrize("columns", [WIDTH, WIDE, 2 * WIDE + WIDTH])
@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_panels_for_going_back(kind: Any, columns: int) -> None:
    rows, pairs = 6, kind == np.uint16
    count = -(-columns // WIDE)
    weight = (np.arange(rows * columns) + 1).astype(kind)
    room = np.pad(weight.reshape(rows, columns), ((0, 0), (0, count * WIDE - columns)))
    expected = room.reshape(rows, count, WIDE).transpose(1, 0, 2)
    if pairs:
        expected = expected.reshape(count, rows // 2, 2, WIDE).transpose(0, 1, 3, 2)
    panels = np.zeros(count * rows * WIDE, kind)
    pack_backward(0, count, weight, panels, rows, columns, pairs)
    assert np.array_equal(panels.reshape(expected.shape), expected)
    part = np.zeros_like(panels)
    pack_backward(count - 1, count, weight, part, rows, columns, pairs)
    assert np.array_equal(part.reshape(expected.shape)[-1], expected[-1])
    assert not part.reshape(expected.shape)[:-1].any()
