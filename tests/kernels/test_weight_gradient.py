"""Gradients of weights are sums over every row of a window, none twice: whole numbers, so that they are exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from charlm.kernels import Scratch
from charlm.kernels.panels import flat, padding
from charlm.kernels.team import shares
from charlm.kernels.weight_gradient import Lanes, WeightGradient, find_gradients
from charlm.simd import HAS_BFLOAT16

FORMATS = [torch.float32, torch.bfloat16] if HAS_BFLOAT16 else [torch.float32]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize(("T", "B"), [(1, 3), (7, 5), (64, 33), (3, 700)])
def test_every_row_counts_once(T: int, B: int, parts: int, dtype: torch.dtype) -> None:
    """A last piece that is shorter, rows of an odd number, a weight that begins further along."""
    unit, generator = padding(dtype), torch.Generator().manual_seed(1)
    width, first_plane, widths = 4 * unit, unit, (2 * unit, 3 * unit)
    draw = lambda *shape: torch.randint(-3, 4, shape, generator=generator).to(dtype)  # noqa: E731
    planes, values = draw(T, B, width), [draw(T, B, columns) for columns in widths]
    scratch = Scratch(parts)
    weights = [
        (WeightGradient(parts, width, widths[0], scratch), 0),
        (WeightGradient(parts, 2 * unit, widths[1], scratch), first_plane),
    ]
    for part, (first, last) in enumerate(shares(B, parts)):
        applied = [
            weight.applied(part, begin, flat(value)) for (weight, begin), value in zip(weights, values, strict=True)
        ]
        find_gradients(Lanes(part, first, last, T, B, scratch.part(part)), flat(planes), width, applied)
    for part in range(parts):
        for weight, _ in weights:
            weight.add_up(part, parts)
    for (weight, begin), value in zip(weights, values, strict=True):
        of = planes.view(-1, width)[:, begin : begin + weight.rows]
        expected = of.double().t() @ value.view(T * B, -1).double()
        assert np.array_equal(weight.total[:, : value.shape[2]].numpy(), expected.numpy())


@pytest.mark.parametrize("dtype", FORMATS)
def test_planes_that_do_not_fit_are_refused(dtype: torch.dtype) -> None:
    unit, scratch = padding(dtype), Scratch(1)
    weight = WeightGradient(1, unit // 2, unit, scratch)
    values = torch.zeros(1, 1, unit, dtype=dtype)
    with pytest.raises(ValueError, match=f"a multiple of {unit}"):
        find_gradients(Lanes(0, 0, 1, 1, 1, scratch.part(0)), flat(values), unit, [weight.applied(0, 0, flat(values))])
