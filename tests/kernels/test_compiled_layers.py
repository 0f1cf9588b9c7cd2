"""Compiled layers beside torch's: what training does with them from window to window, from lane to lane."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import charlm.simd
from charlm.config import ModelConfig
from charlm.kernels import KERNELS, Lookup, find_kernel, using
from charlm.models.stack import Layer
from charlm.simd import HAS_BFLOAT16

# sizes that are padded, and one that is whole vectors, of which nothing is copied
SIZES = {"padded": (5, 7), "whole": (64, 64)}
FORMATS = [torch.float32, torch.bfloat16] if HAS_BFLOAT16 else [torch.float32]
every_cell = pytest.mark.parametrize("cell", KERNELS["compiled"])
every_size = pytest.mark.parametrize("size", SIZES)
every_format = pytest.mark.parametrize("dtype", FORMATS, ids=str)


def make_layer(cell: str, size: str) -> Layer:
    inputs, H = SIZES[size]
    layer = Layer(ModelConfig(cell=cell, hidden_size=H, embedding_size=inputs), 0)
    for index, parameter in enumerate(layer.parameters()):
        parameter.data = draw(*parameter.shape, seed=index) * (0.7 * H**-0.5)
    return layer


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@contextlib.contextmanager
def computing(family: str, dtype: torch.dtype = torch.float32, threads: int | None = None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with using(family), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            yield
    finally:
        torch.set_num_threads(before)


def first_state(layer: Layer, B: int) -> Any:
    kind = layer.cell_type.state_type
    H = layer.recurrent_weight.shape[1]
    return kind(*(draw(B, H, seed=20 + index).requires_grad_() for index in range(len(kind._fields))))


def weighted(*parts: Tensor) -> Tensor:
    """A sum in which every number counts differently."""
    return torch.stack(
        [(part.float() * draw(*part.shape, seed=50 + index)).sum() for index, part in enumerate(parts)]
    ).sum()


def gradients(layer: Layer, *others: Tensor) -> list[Tensor]:
    found = [tensor.grad for tensor in (*layer.parameters(), *others)]
    assert all(gradient is not None for gradient in found)
    return [gradient.clone() for gradient in found if gradient is not None]


def close(found: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@every_format
@every_size
@every_cell
def test_two_windows_with_the_state_handed_on_are_one(cell: str, size: str, dtype: torch.dtype) -> None:
    """Going forward bit for bit; the gradients of both windows add up to those of the long one."""
    layer = make_layer(cell, size)
    x = draw(6, 9, SIZES[size][0], seed=9).requires_grad_()
    found = []
    for cuts in ([9], [4, 5]):
        layer.zero_grad()
        x.grad = None
        start = state = first_state(layer, 6)
        outputs = []
        with computing("compiled", dtype):
            for window in x.split(cuts, dim=1):
                y, state = layer(window, state, None)
                outputs.append(y)
            joined = torch.cat(outputs, 1)
        weighted(joined, *state).backward()
        found.append(([joined, *state], gradients(layer, x, *start)))
    (whole, whole_back), (parts, parts_back) = found
    for one, other in zip(parts, whole, strict=True):
        assert torch.equal(one, other)
    close(parts_back, whole_back, 1e-5 if dtype == torch.float32 else 2e-2)


@every_size
@every_cell
def test_gradients_of_several_windows_add_up(cell: str, size: str) -> None:
    """As with torch's kernels, windows between which the state is cut, all taken before one step."""
    layer = make_layer(cell, size)
    found = []
    for family in ("compiled", "torch"):
        layer.zero_grad()
        state = layer.initial_state(4)
        for window in range(3):
            with computing(family):
                y, state = layer(draw(4, 5, SIZES[size][0], seed=window), state, None)
            weighted(y).backward()
            state = type(state)(*(part.detach() for part in state))
        found.append(gradients(layer))
    close(*found)


@every_cell
def test_gradients_are_taken_once(cell: str) -> None:
    layer = make_layer(cell, "padded")
    with computing("compiled"):
        y, _ = layer(draw(2, 3, 5, seed=1), layer.initial_state(2), None)
    y.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="gradients were taken already; they can be taken once"):
        y.sum().backward()


@every_cell
def test_what_no_loss_depends_on_has_no_part_in_the_gradient(cell: str) -> None:
    """The loss may be of the state after the window alone, or of the outputs alone."""
    layer = make_layer(cell, "padded")
    losses: list[Callable[[Tensor, Any], Tensor]] = [
        lambda y, after: weighted(y),
        lambda y, after: weighted(after[0]),
        lambda y, after: weighted(after[-1]),
    ]
    for loss in losses:
        found = []
        for family in ("compiled", "torch"):
            layer.zero_grad()
            state = first_state(layer, 3)
            with computing(family):
                loss(*layer(draw(3, 4, 5, seed=1), state, None)).backward()
            found.append(gradients(layer, *state))
        close(*found)


# up to 16 are one matrix tile, more are two, more than 32 several pairs of them
@pytest.mark.parametrize("lanes", [13, 16, 17, 33, 70])
@every_format
@every_cell
def test_a_lane_is_the_same_whatever_lanes_stand_beside_it(cell: str, dtype: torch.dtype, lanes: int) -> None:
    layer = make_layer(cell, "padded")
    x, state = draw(lanes, 4, 5, seed=1).requires_grad_(), first_state(layer, lanes)

    def computed(some: slice) -> list[Tensor]:
        given = [tensor.detach()[some].requires_grad_() for tensor in (x, *state)]
        with computing("compiled", dtype, threads=1):
            y, after = layer(given[0], type(state)(*given[1:]), None)
        parts = [y, *after]
        weights = [draw(lanes, *part.shape[1:], seed=60)[some] for part in parts]
        torch.stack(
            [(part.float() * weight).sum() for part, weight in zip(parts, weights, strict=True)]
        ).sum().backward()
        return [tensor.detach() for tensor in parts] + gradients(layer, *given)[-len(given) :]

    together = computed(slice(0, lanes))
    for lane in sorted({0, 1, 8, 12, lanes - 17, lanes - 1} & set(range(lanes))):
        for found, wanted in zip(computed(slice(lane, lane + 1)), together, strict=True):
            assert torch.equal(found[0], wanted[lane])


@pytest.mark.parametrize("looked_up", [False, True], ids=["inputs", "looked-up"])
@pytest.mark.parametrize("B", [1, 2, 7])
@every_cell
def test_any_number_of_threads_computes_the_same(cell: str, B: int, looked_up: bool) -> None:
    """More threads than lanes, as many, and fewer; outputs and gradients bit for bit."""
    layer = make_layer(cell, "padded")
    rows = draw(3, 5, seed=1)
    ids = torch.arange(B * 6).view(B, 6) % 3
    found = []
    for threads in (1, 2, 3, 8):
        layer.zero_grad()
        x = rows.clone().requires_grad_()
        state = first_state(layer, B)
        with computing("compiled", threads=threads):
            y, after = layer(Lookup(ids, x) if looked_up else x[ids], state, None)
            weighted(y, *after).backward()
        found.append(([y, *after], gradients(layer, x, *state)))
    for outputs, back in found[1:]:
        for one, other in zip([*outputs, *back], [*found[0][0], *found[0][1]], strict=True):
            assert torch.equal(one, other)


def family_of(cell: str, weight: Tensor) -> str | None:
    kernel = find_kernel(cell, weight)
    return next((family for family, kernels in KERNELS.items() if kernels.get(cell) is kernel), None)


def test_where_compiled_loops_do_not_fit_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.zeros(1)
    with using("compiled"):
        for cell in KERNELS["compiled"]:
            assert family_of(cell, weight) == "compiled"
            assert family_of(cell, weight.double()) == "torch"
            for there, family in ((True, "compiled"), (False, "torch")):
                monkeypatch.setattr(charlm.simd, "HAS_BFLOAT16", there)
                with torch.autocast("cpu", torch.bfloat16):
                    assert family_of(cell, weight) == family
                assert family_of(cell, weight) == "compiled"
            with torch.autocast("cpu", torch.float16):
                assert family_of(cell, weight) == "torch"
        assert find_kernel("gru-reset-before", weight) is None
    assert family_of("lstm", weight) == "torch"


def test_a_layer_computes_in_torch_what_compiled_loops_do_not_take() -> None:
    layer = make_layer("lstm", "padded").double()
    x = draw(2, 3, 5, seed=1).double()
    results = []
    for family in ("compiled", "torch"):
        with using(family):
            results.append(layer(x, layer.initial_state(2), None)[0])
    assert torch.equal(*results)


@every_format
def test_small_changes_of_a_gru_add_up(dtype: torch.dtype) -> None:
    """A state that moves by less than bfloat16 can tell at each step still arrives: it is not rounded on its way."""
    layer = make_layer("gru", "padded")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.input_bias.view(3, 7)[1:] = torch.tensor([[6.9], [2.0]])  # update gate 0.999, candidate 0.96
    state = type(layer.initial_state(2))(torch.full((2, 7), -0.9))
    with computing("compiled", dtype), torch.no_grad():
        _, after = layer(torch.zeros(2, 300, 5), state, None)
    new, kept = torch.tensor(2.0).tanh(), torch.tensor(6.9).sigmoid() ** 300
    torch.testing.assert_close(after[0], new + kept * (state[0] - new), rtol=0, atol=2e-3)


@pytest.mark.parametrize("changed", ["recurrent_weight", "input_weight", "x"])
def test_what_was_changed_before_the_way_back_is_noticed(changed: str) -> None:
    """Going back reads weights and inputs again; as with torch's layers that must not be others by then."""
    layer, x = make_layer("lstm", "whole"), draw(2, 3, 64, seed=1).requires_grad_()
    with computing("compiled"):
        y, _ = layer(x, layer.initial_state(2), None)
    with torch.no_grad():
        (x if changed == "x" else getattr(layer, changed)).mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_whoever_leaves_first_a_family_that_was_asked_for_stays() -> None:
    weight = torch.zeros(16, 16)
    outer, inner = using("torch"), using("compiled")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert find_kernel("lstm", weight) is KERNELS["compiled"]["lstm"]
    inner.__exit__(None, None, None)
    assert find_kernel("lstm", weight) is KERNELS["torch"]["lstm"]
