"""Gradients of weights are sums over every row of a window, none twice: whole numbers, so that they are exact."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from charlm.kernels import Scratch, weight_gradient
from charlm.kernels.panels import flat, padding
from charlm.kernels.team import Work
from charlm.kernels.weight_gradient import PIECE, WeightGradients
from charlm.simd import HAS_BFLOAT16

FORMATS = [torch.float32, torch.bfloat16] if HAS_BFLOAT16 else [torch.float32]
every_format = pytest.mark.parametrize("dtype", FORMATS, ids=str)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed))


@every_format
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("rows", [3, 35, PIECE, 2 * PIECE + 33])
@pytest.mark.parametrize("columns_of_a_job", [3, 100])
def test_every_row_counts_once(
    columns_of_a_job: int, rows: int, threads: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A last piece that is shorter, rows of an odd number, a weight of some of the planes, columns to be filled up."""
    unit, names = padding(dtype), 3
    width, scratch = 8 * unit, Scratch(threads)
    monkeypatch.setattr(weight_gradient, "SUMS", 0)
    monkeypatch.setattr(weight_gradient, "FEWEST_COLUMNS", columns_of_a_job * unit)
    planes, ids = draw(rows, width, seed=1).to(dtype), draw(rows, seed=2).abs() % names
    found = WeightGradients(flat(planes), flat(ids), names, scratch)
    begins, values = (0, unit), [draw(rows, columns * unit, seed=3 + columns).to(dtype) for columns in (2, 3)]
    weights = [
        found.of_weight(flat(value), value.shape[1], begin, width - 2 * begin)
        for begin, value in zip(begins, values, strict=True)
    ]
    work = Work()
    found.add_packing(work)
    found.add_finding(work, [], threads)
    work.run(threads)
    for weight, begin, value in zip(weights, begins, values, strict=True):
        of = planes[:, begin : width - begin]
        assert torch.equal(weight[:, : value.shape[1]].double(), of.double().t() @ value.double())
        assert not weight[:, value.shape[1] :].any()
    chosen = torch.nn.functional.one_hot(ids, names).double()
    assert torch.equal(found.start.double(), chosen.t() @ planes.double())


@every_format
def test_the_bits_do_not_depend_on_who_sums(dtype: torch.dtype) -> None:
    unit, rows = padding(dtype), 700
    generator = torch.Generator().manual_seed(1)
    planes, values = (torch.randn(rows, 9 * unit, generator=generator).to(dtype) for _ in range(2))
    seen = []
    for threads in (1, 2, 5):
        found = WeightGradients(flat(planes), flat(torch.zeros(rows, dtype=torch.int64)), 1, Scratch(threads))
        weight, work = found.of_weight(flat(values), 9 * unit, 0, 9 * unit), Work()
        found.add_packing(work)
        found.add_finding(work, [], threads)
        work.run(threads)
        seen.append((weight, found.start))
    for weight, start in seen[1:]:
        assert torch.equal(weight, seen[0][0])
        assert torch.equal(start, seen[0][1])


@every_format
def test_planes_that_do_not_fit_are_refused(dtype: torch.dtype) -> None:
    unit = padding(dtype)
    planes = flat(torch.zeros(1, 2 * unit, dtype=dtype))
    gradients = WeightGradients(planes, flat(torch.zeros(1, dtype=torch.int64)), 1, Scratch(1))
    of = partial(gradients.of_weight, planes, 2 * unit)
    for begin, count in ((0, unit // 2), (unit // 2, unit), (unit, 2 * unit), (-unit, unit)):
        with pytest.raises(ValueError, match=f"a multiple of {unit}"):
            of(begin, count)
    assert of(0, 2 * unit).shape[0] == 2 * unit
