"""Every fast path computes what its readable cell computes, and what torch's own layer does."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from charlm.config import ModelConfig
from charlm.kernels import KERNELS, Lookup, find_kernel, using
from charlm.models import CELLS
from charlm.models.stack import Layer

# B, T, in, H: usual, then odd ones; lanes that make one tile, and several of unequal height
SHAPES = [(4, 6, 16, 16), (3, 5, 4, 7), (1, 1, 5, 7), (1, 9, 3, 1), (2, 1, 33, 17), (13, 4, 20, 80), (29, 3, 64, 70)]
# of the largest number
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10}
FAST = [(family, name) for family, kernels in KERNELS.items() for name in kernels]
fast_paths = pytest.mark.parametrize(("family", "name"), FAST, ids=[f"{family}-{name}" for family, name in FAST])


def make_layer(name: str, shape: tuple[int, int, int, int], dtype: torch.dtype, **settings: Any) -> Layer:
    """A layer with weights and biases that are all random."""
    config = ModelConfig(cell=name, hidden_size=shape[3], embedding_size=shape[2], **settings)
    layer = Layer(config, 0).to(dtype)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return layer


def run(
    family: str, layer: Layer, shape: tuple[int, int, int, int], seed: int | None, looked_up: bool = False
) -> dict[str, Tensor]:
    """Output, state after, and the gradients of a weighted sum of both, by name."""
    B, T, inputs, H = shape
    dtype = layer.input_weight.dtype
    generator = torch.Generator().manual_seed(5)
    given = 3 if looked_up else B * T
    rows = torch.randn((given, inputs), generator=generator).to(dtype).requires_grad_()
    ids = torch.randint(3, (B, T), generator=generator)
    x = Lookup(ids, rows) if looked_up else rows.view(B, T, inputs)
    fields = layer.cell_type.state_type._fields
    state = [torch.randn((B, H), generator=generator).to(dtype).requires_grad_() for _ in fields]
    layer.zero_grad()
    masks = None if seed is None else torch.Generator().manual_seed(seed)
    with using(family):
        y, after = layer(x, layer.cell_type.state_type(*state), masks)
    total = sum((part.double() * torch.randn(part.shape, generator=generator)).sum() for part in (y, *after))
    total.backward()
    found = {"output": y, "input gradient": rows.grad}
    for field, before, part in zip(fields, state, after, strict=True):
        found |= {f"{field} after": part, f"{field} gradient": before.grad}
    found |= {f"{name} gradient": parameter.grad for name, parameter in layer.named_parameters()}
    return {name: value.detach().clone() for name, value in found.items()}


@pytest.mark.parametrize("looked_up", [False, True], ids=["inputs", "looked-up"])
@pytest.mark.parametrize("masks", [None, 7], ids=["plain", "masked"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@fast_paths
def test_fast_path_equals_readable_cell(
    family: str, name: str, shape: tuple[int, int, int, int], dtype: torch.dtype, masks: int | None, looked_up: bool
) -> None:
    layer = make_layer(name, shape, dtype, dropout_input=0.3, dropout_recurrent=0.4)
    if looked_up:
        layer.dropout = 0.0  # of inputs that are dropped one by one there is no table
    fast = run(family, layer, shape, masks, looked_up)
    readable = run("readable", layer, shape, masks, looked_up)
    assert fast.keys() == readable.keys()
    for what, value in fast.items():
        assert (value - readable[what]).abs().max() <= TOLERANCE[dtype] * readable[what].abs().max(), what


TORCH_LAYERS = {
    "elman": lambda inputs, H: torch.nn.RNN(inputs, H, nonlinearity="tanh", batch_first=True),
    "elman-relu": lambda inputs, H: torch.nn.RNN(inputs, H, nonlinearity="relu", batch_first=True),
    "gru": lambda inputs, H: torch.nn.GRU(inputs, H, batch_first=True),
    "lstm": lambda inputs, H: torch.nn.LSTM(inputs, H, batch_first=True),
}


@pytest.mark.parametrize("family", KERNELS)
@pytest.mark.parametrize("name", TORCH_LAYERS)
def test_equals_the_layer_of_torch_with_the_same_weights(family: str, name: str) -> None:
    shape = B, T, inputs, H = (3, 8, 5, 7)
    layer = make_layer(name, shape, torch.float64)
    theirs = TORCH_LAYERS[name](inputs, H).double()
    with torch.no_grad():
        for own, name_there in zip(layer.weights, ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), strict=True):
            getattr(theirs, f"{name_there}_l0").copy_(own)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((B, T, inputs), generator=generator).double()
    state = [torch.randn((1, B, H), generator=generator).double() for _ in layer.cell_type.state_type._fields]
    expected, after_expected = theirs(x, tuple(state) if len(state) > 1 else state[0])
    with using(family):
        y, after = layer(x, layer.cell_type.state_type(*(part[0] for part in state)), None)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    parts = after_expected if len(state) > 1 else (after_expected,)
    for part, part_expected in zip(after, parts, strict=True):
        torch.testing.assert_close(part, part_expected[0], rtol=0, atol=1e-12)


# one tile and several, a single lane and step, units and inputs that are padded
@pytest.mark.parametrize("shape", [(4, 20, 16, 24), (1, 1, 5, 7), (2, 1, 33, 17), (37, 3, 64, 70)], ids=str)
@pytest.mark.parametrize("masks", [None, 7], ids=["plain", "masked"])
@pytest.mark.parametrize("family", KERNELS)
@pytest.mark.parametrize("name", CELLS)
def test_autocast_computes_in_bfloat16_and_carries_float32(
    name: str, family: str, masks: int | None, shape: tuple[int, int, int, int]
) -> None:
    layer = make_layer(name, shape, torch.float32, dropout_input=0.3, dropout_recurrent=0.4)
    with torch.no_grad():
        for weight in layer.parameters():
            weight *= 0.4  # a network that forgets: else rounding grows with time in any format
    exact = run("readable", layer, shape, masks)
    with torch.autocast("cpu", torch.bfloat16), warnings.catch_warnings():
        warnings.simplefilter("error")
        rounded = run(family, layer, shape, masks)
    for what, value in exact.items():
        error = (value - rounded[what].float()).norm() / value.norm()
        # bfloat16 has 8 bits, a relative step of 0.004; a gradient has gone through twice the roundings
        assert error < (0.15 if what.endswith("gradient") else 0.03), what
        if what.endswith("after"):
            assert rounded[what].dtype == torch.float32
    assert not torch.equal(exact["output"], rounded["output"].float())
    if name in KERNELS[family]:
        assert rounded["output"].dtype == torch.bfloat16


@fast_paths
def test_without_gradients_a_kernel_gives_the_same(family: str, name: str) -> None:
    shape = (3, 5, 4, 7)
    layer = make_layer(name, shape, torch.float32)
    x = torch.randn((3, 5, 4), generator=torch.Generator().manual_seed(3))
    with using(family):
        with_graph, _ = layer(x, layer.initial_state(3), None)
        with torch.inference_mode():
            without, _ = layer(x, layer.initial_state(3), None)
    torch.testing.assert_close(without, with_graph.detach(), rtol=1e-5, atol=3e-7)


def test_weights_on_cuda_are_for_cudnn() -> None:
    class There:  # stands for a tensor on a device that tests do not have
        device = torch.device("cuda")
        dtype = torch.float32

    for family in ("torch", "compiled"):
        with using(family):
            assert find_kernel("lstm", There()) is KERNELS["cudnn"]["lstm"]
    assert find_kernel("lstm", torch.zeros(1)) is KERNELS["torch"]["lstm"]
    with using("readable"):
        assert find_kernel("lstm", There()) is None
